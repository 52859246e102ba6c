"""What a subscriber can say of the documents that it got."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgemass.messages import to_json
from edgemass.messages.health import Account, AccountMessage
from edgemass.spool.stream import RunVerdict, Stream
from tests.documents import event


def account(
    produced: int,
    delivered: int,
    *,
    queued: int = 0,
    final: bool = True,
    interrupted: bool = False,
    last: int | None = None,
    **dropped: int,
) -> bytes:
    return to_json(
        AccountMessage(
            device="pi-7f3a",
            run_id="5f0c",
            boot_id="00000000-0000-0000-0000-000000000000",
            time="2026-11-22T02:00:00.000Z",
            clock_synced=True,
            final=final,
            interrupted=interrupted,
            classes={"events": Account(produced=produced, delivered=delivered, queued=queued, dropped=dropped)},
            cameras={"door": produced if last is None else last},
        )
    )


def heard(*documents: int | bytes, **flags: Any) -> RunVerdict:
    """What is said of the only run. documents: seq of events of camera door, or payloads as they are."""
    stream = Stream()
    for document in documents:
        if isinstance(document, int):
            stream.take(to_json(msgspec.structs.replace(event(document), **flags)))
        else:
            stream.take(document)
    verdict = stream.verdict()
    [run] = verdict.runs
    assert verdict.ok == (not run.problems)
    return run


def test_a_run_of_which_all_came_is_fine() -> None:
    run = heard(1, 2, 3, account(3, 3))
    assert not run.problems
    assert (run.received, run.missing, run.state) == (3, 0, "final")


@pytest.mark.parametrize("came", [(1, 3), (2, 3), (1, 2)])
def test_one_that_is_missing_is_named(came: tuple[int, ...]) -> None:
    [missing] = {1, 2, 3} - set(came)
    [problem] = heard(*came, account(3, 3)).problems
    assert f"1 are missing, 0 of them dropped or queued by the account: door {missing}" in problem


def test_what_the_device_dropped_and_counted_is_not_missing() -> None:
    assert not heard(1, 5, account(5, 2, full=3)).problems


def test_one_that_the_account_calls_dropped_and_that_came_does_not_close() -> None:
    assert heard(1, 2, 3, account(3, 2, full=1)).problems == ["3 came and 2 were delivered by the account"]


def test_a_duplicate_must_be_flagged() -> None:
    assert heard(1, 2, 2, account(2, 2)).problems == ["1 came twice and are not flagged"]
    flagged = heard(1, 2, 2, account(2, 2), duplicate_possible=True)
    assert (flagged.problems, flagged.duplicates_flagged) == ([], 1)


def test_order_is_checked() -> None:
    run = heard(1, 3, 2, account(3, 3))
    assert run.problems == ["1 came out of order"]
    assert run.missing == 0


def test_what_waits_is_not_lost_but_the_account_is_not_closed_either() -> None:
    assert heard(1, 2, account(5, 2, queued=3, final=False)).problems == ["3 are still queued"]
    assert not heard(1, 2, 3, account(3, 2, queued=1, final=False)).problems  # acknowledged since


def test_without_an_account_nothing_is_fine() -> None:
    assert heard(1, 2).problems == ["no account of it came"]


def test_an_account_that_contradicts_itself_is_told() -> None:
    assert "does not close" in heard(1, 2, account(3, 2)).problems[0]


def test_an_account_must_not_go_back() -> None:
    assert "went back" in heard(1, 2, account(2, 2, final=False), account(1, 1)).problems[0]


def test_events_above_the_account_are_excused_only_where_the_run_was_cut_off() -> None:
    assert not heard(1, 2, 3, account(2, 2, interrupted=True)).problems
    assert heard(1, 2, 3, account(2, 2)).problems == ["1 came that are in no account"]
    assert not heard(1, 2, 3, account(2, 2, final=False)).problems


def test_a_subscriber_that_came_later_is_answerable_from_its_first_event_on() -> None:
    stream = Stream()
    stream.take(account(10, 10, final=False), retained=True)
    for seq in (12, 13):
        stream.take(to_json(event(seq)))
    stream.take(account(13, 13))
    assert stream.verdict().ok
    stream.take(account(14, 14))
    assert not stream.verdict().ok


def test_a_run_that_was_over_before_the_subscriber_came_is_passed_over() -> None:
    stream = Stream()
    stream.take(account(10, 10), retained=True)
    assert stream.verdict().runs == []


def test_what_is_no_document_is_counted_and_other_documents_are_passed_over() -> None:
    stream = Stream()
    stream.take(b"{")
    stream.take(b'{"schema": "edgemass.event/1", "seq": "x"}')
    stream.take(b'{"schema": "edgemass.counts/1"}')
    stream.take(b'{"schema": "\xff"}')
    stream.take(b'{"a":' + b"[" * 100_000)
    stream.take(b"")
    assert stream.verdict().unreadable == 4


@pytest.mark.parametrize("seed", range(5))
def test_a_seq_of_any_height_costs_no_memory(seed: int) -> None:
    run = heard(1, 2**53 - seed, account(2, 2, last=2**53))
    assert run.missing > 2**52
    assert run.problems


def test_an_account_closes_though_the_device_was_renamed_before_its_events_could_leave() -> None:
    stream = Stream()
    stream.take(to_json(msgspec.structs.replace(event(1, camera="door"), device="its-earlier-name")))
    stream.take(account(1, 1))
    verdict = stream.verdict()
    assert (verdict.ok, len(verdict.runs)) == (True, 1), verdict


@pytest.mark.parametrize("name", ["its-earlier-name", "pi-7f3a"])
def test_a_run_is_asked_about_by_any_name_that_the_device_had_in_it(name: str) -> None:
    stream = Stream([name])
    stream.take(to_json(msgspec.structs.replace(event(1, camera="door"), device="its-earlier-name")))
    stream.take(account(1, 1))
    stream.take(to_json(msgspec.structs.replace(event(1), device="another", run_id="another")))
    verdict = stream.verdict()
    assert (verdict.ok, [(run.device, run.received) for run in verdict.runs]) == (True, [("pi-7f3a", 1)])
