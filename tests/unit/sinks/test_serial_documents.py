from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edgemass.messages import CountsMessage, InOut
from edgemass.sinks._serial_documents import count_bodies, event_body, fit, frame_body, same, state_body
from edgemass.sinks._serial_framing import length
from tests.documents import OFFLINE, ONLINE, classification, detections, event

LABELS = st.text(max_size=12)


def counts(**labels: int | None) -> CountsMessage:
    return CountsMessage(
        device="pi-7f3a",
        camera="door",
        mono_ns=0,
        time="2026-11-22T02:00:00.000Z",
        clock_synced=True,
        available=True,
        labels=labels,
        zones={"yard": {"person": 1}},
        lines={"gate": InOut({"person": 3}, {"person": 2})},
    )


def test_frames_are_rows_of_whole_numbers() -> None:
    assert frame_body(detections(("person", (0.12, 0.3, 0.25, 0.8804)))) == {
        "k": "det",
        "c": "door",
        "d": [["person", 50, 120, 300, 250, 880]],
    }
    assert frame_body(classification("tabby", "lynx"))["d"] == [["tabby", 80], ["lynx", 40]]


def test_an_event_says_only_what_it_has() -> None:
    assert event_body(event()) == {
        "k": "evt",
        "c": "door",
        "t": "new",
        "o": "object",
        "i": "5f0c-1",
        "l": "person",
        "p": 50,
        "b": [100, 200, 300, 400],
    }


def test_states_say_their_reason_where_there_is_one() -> None:
    assert state_body("door", ONLINE) == {"k": "cam", "c": "door", "s": "online"}
    assert state_body("door", OFFLINE)["r"] == "no frame for 10 s"


def test_counts_are_a_line_for_each_place_and_unknown_ones_are_null() -> None:
    bodies = [body for _, body in count_bodies(counts(person=2, dog=None), 512)]
    assert bodies == [
        {"k": "cnt", "c": "door", "d": {"person": 2, "dog": None}},
        {"k": "cnt", "c": "door", "z": "yard", "d": {"person": 1}},
        {"k": "cnt", "c": "door", "z": "gate", "w": "in", "d": {"person": 3}},
        {"k": "cnt", "c": "door", "z": "gate", "w": "out", "d": {"person": 2}},
    ]


@given(st.dictionaries(LABELS, st.integers(0, 99), max_size=60), st.integers(96, 512))
def test_counts_of_many_labels_are_split_over_lines_that_fit_and_none_is_lost(
    labels: dict[str, int], max_line: int
) -> None:
    message = counts()
    named = list(count_bodies(CountsMessage(**{**_fields(message), "labels": labels}), max_line))
    frame = [body for _, body in named if "z" not in body]
    assert {label: number for body in frame for label, number in body["d"].items()} == labels
    assert all(length(body) <= max_line for body in frame if len(body["d"]) > 1)
    assert len({key for key, _ in named}) == len(named)


@given(st.lists(LABELS, min_size=1, max_size=80), st.integers(96, 512))
def test_a_frame_that_is_too_long_keeps_its_surest_and_says_how_many_it_left_out(
    labels: list[str], max_line: int
) -> None:
    body = frame_body(detections(*labels))
    fitted = fit(body, max_line)
    if fitted is None:
        assert length({**body, "d": body["d"][:1], "x": 1}) > max_line
        return
    shorter, left_out = fitted
    assert length(shorter) <= max_line
    assert shorter["d"] == body["d"][: len(shorter["d"])]
    assert len(shorter["d"]) + left_out == len(labels)
    assert shorter.get("x", 0) == left_out


def test_an_event_that_is_too_long_loses_what_matters_least() -> None:
    body = {**event_body(event()), "r": "left"}
    shorter, left_out = fit(body, length(body) - 1) or ({}, 0)
    assert left_out >= 1
    assert shorter["i"] == body["i"]
    assert "b" not in shorter
    assert fit({"k": "evt", "c": "c" * 500, "i": "1"}, 100) is None


def test_a_trembling_box_is_nothing_new_and_one_that_walks_is() -> None:
    def at(x: float, score: float = 0.5) -> dict[str, Any]:
        body = frame_body(detections(("person", (x, 0.2, x + 0.1, 0.8))))
        body["d"][0][1] = round(score * 100)
        return body

    assert same(at(0.1), at(0.115, 0.58))
    assert not same(at(0.1), at(0.13))
    assert not same(at(0.1), at(0.1, 0.7))
    assert not same(at(0.1), frame_body(detections()))
    assert not same(at(0.1), frame_body(detections(("dog", (0.1, 0.2, 0.2, 0.8)))))


def test_the_order_of_things_is_nothing_new() -> None:
    left, right = ("person", (0.1, 0.2, 0.2, 0.8)), ("person", (0.7, 0.2, 0.8, 0.8))
    assert same(frame_body(detections(left, right)), frame_body(detections(right, left)))


def _fields(message: CountsMessage) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__struct_fields__}
