"""What a slot promises, whatever happens to it in whatever order."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemass.store import Kept, SlotState, Trial, rules
from edgemass.store.state import MOST_HISTORY, decode, encode

NOW = "2026-11-26T00:00:00.000Z"
A, B, C = (f"sha256:{letter * 64}" for letter in "abc")

Event = tuple[str, str]
events = st.lists(
    st.tuples(
        st.sampled_from(
            ("begin", "confirm", "roll back", "refuse", "end cleanly", "unusable", "restart", "reboot", "rebuild")
        ),
        st.sampled_from((A, B, C, f"sha256:{'d' * 64}")),
    ),
    max_size=40,
)


def after(state: SlotState, event: Event, boot: int, sequence: int) -> SlotState:
    """The state after one event; boot: of the process that it happens to."""
    what, digest = event
    results: dict[str, Callable[[], SlotState]] = {
        "begin": lambda: rules.begin_trial(
            state, digest, sequence=sequence, origin="local", boot_id=str(boot), now=NOW
        ),
        "confirm": lambda: rules.confirm(state, NOW),
        "roll back": lambda: rules.roll_back(state, "slow", NOW),
        "refuse": lambda: rules.refuse(state, digest, "NaN", sequence=sequence, origin="fleet", now=NOW),
        "end cleanly": lambda: rules.end_cleanly(state),
        "unusable": lambda: rules.unusable(state, digest, "damaged", NOW),
        "rebuild": lambda: rules.rebuilt((A, B), "damaged", NOW),
        "restart": lambda: rules.start(state, str(boot), NOW)[0],
        "reboot": lambda: rules.start(state, str(boot), NOW)[0],
    }
    return results[what]()


@settings(max_examples=300, deadline=None)
@given(events)
def test_what_ran_once_always_leaves_something_to_run(happened: list[Event]) -> None:
    state, boot = SlotState(), 1
    for sequence, event in enumerate(happened, 1):
        boot += event[0] == "reboot"
        old, state = state, after(state, event, boot, sequence)
        if event[0] not in ("unusable", "rebuild"):
            seen = [kept.digest for kept in old.confirmed if kept.since]
            assert set(seen) <= {kept.digest for kept in state.confirmed}, "nothing that was confirmed is lost"
            assert not seen or state.running is not None
        assert state.running not in state.refused, "what is refused is not what runs"
        assert len(state.history) <= MOST_HISTORY
        assert decode(encode(state)) == state
        assert {kept.digest for kept in state.confirmed[:2]} <= rules.needed({"main": state}, 0)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(("restart", "reboot", "clean restart", "clean reboot")), max_size=30), st.booleans())
def test_a_model_that_never_lasts_is_started_three_times_at_most(starts: list[str], old_one: bool) -> None:
    state = SlotState(confirmed=(Kept(A, NOW),) if old_one else ())
    boot, lost = 1, 1  # starts that did not end well; the first is that of the order
    state = rules.begin_trial(state, B, sequence=1, origin="local", boot_id="1", now=NOW)
    running: str | None = B
    for what in starts:
        if "clean" in what and running == B:
            state = rules.end_cleanly(state)
            lost -= 1
        boot += "reboot" in what
        state, answer = rules.start(state, str(boot), NOW)
        running = answer.digest
        lost += running == B
        assert lost <= rules.MOST_TRIES
        assert running in ((A, B) if old_one else (None, B))


def test_a_model_that_took_the_process_down_is_not_started_again_in_this_boot() -> None:
    state = rules.begin_trial(SlotState(confirmed=(Kept(A, NOW),)), B, sequence=3, origin="fleet", boot_id="x", now=NOW)
    state, answer = rules.start(state, "x", NOW)
    assert (answer.digest, answer.trial) == (A, False)
    assert "took the process down" in answer.reason
    assert "took the process down" in state.refused[B]
    assert state.sequences == {"fleet": 3}


def test_models_that_are_only_supposed_to_be_good_are_tried_one_after_the_other() -> None:
    state = rules.rebuilt((A, B), "damaged", NOW)
    started = []
    for _ in range(4):
        state, answer = rules.start(state, "x", NOW)  # and each takes the process down
        started.append((answer.digest, answer.trial))
    assert started == [(A, True), (B, True), (None, False), (None, False)]
    assert set(state.refused) == {A, B}


def test_a_confirmed_model_that_fails_when_it_is_tried_again_is_the_last_to_go_back_to() -> None:
    state = SlotState(confirmed=(Kept(A, NOW), Kept(B, NOW)))
    state = rules.begin_trial(state, A, sequence=1, origin="local", boot_id="x", now=NOW)
    state = rules.roll_back(state, "slow", NOW)
    assert state.running == B
    assert [kept.digest for kept in state.confirmed] == [B, A]


def confirmed(*digests: str) -> SlotState:
    state = SlotState()
    for number, digest in enumerate(digests, 1):
        state = rules.begin_trial(state, digest, sequence=number, origin="local", boot_id="x", now=NOW)
        state = rules.confirm(state, NOW)
    return state


def test_going_back_twice_goes_further_back_and_not_forward_again() -> None:
    assert rules.before(confirmed()) is None
    assert rules.before(confirmed(A)) is None
    assert rules.before(confirmed(A, B, C)) == B
    assert rules.before(confirmed(A, B, C, B)) == A
    assert rules.before(confirmed(A, B, C, B, A)) is None
    assert rules.before(confirmed(A, B, C, A)) == C, "that was an order for another model, and no way back"


def test_a_trial_goes_back_to_what_is_confirmed() -> None:
    state = rules.begin_trial(confirmed(A, B), C, sequence=9, origin="local", boot_id="x", now=NOW)
    assert rules.before(state) == B


def test_going_back_works_where_the_history_is_lost() -> None:
    state = msgspec.structs.replace(confirmed(A, B), history=())
    assert rules.before(state) == A


def test_who_tries_what_was_refused_has_decided_to() -> None:
    state = rules.refuse(SlotState(), B, "NaN", sequence=1, origin="local", now=NOW)
    state = rules.begin_trial(state, B, sequence=2, origin="local", boot_id="x", now=NOW)
    assert state.refused == {}
    assert state.trial == Trial(B, 1, "x", NOW, 2, "local")


def test_what_comes_of_a_trial_answers_the_last_order_for_it() -> None:
    state = rules.begin_trial(confirmed(A), B, sequence=2, origin="fleet", boot_id="x", now=NOW)
    again = rules.ordered_again(state, B, "fleet", 3)
    assert again.trial == Trial(B, 1, "x", NOW, 3, "fleet")
    assert again.sequences["fleet"] == 3
    assert rules.ordered_again(state, A, "fleet", 3).trial == state.trial
    assert rules.ordered_again(confirmed(A), A, "fleet", 3).trial is None
