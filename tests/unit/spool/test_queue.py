"""The queue on a real disk: what a process that was killed left is found, and the account closes."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest

from edgemass.config.delivery import DeliveryConfig
from edgemass.errors import EdgemassError
from edgemass.spool.accounts import Run
from tests.unit.spool.queues import BOOT, NEXT_BOOT, Opened, closes, name, now

SMALL = DeliveryConfig(max_bytes=1 << 20, memory_bytes=1 << 16)


def run_of(opened: Opened, run_id: str = "a") -> Run:
    return opened.queue.accounts.runs[run_id]


def test_events_leave_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    opened.put(3)
    opened.put(2, camera="yard")
    assert opened.send() == [("a", "door", 1), ("a", "door", 2), ("a", "door", 3), ("a", "yard", 1), ("a", "yard", 2)]
    assert (run_of(opened).produced, run_of(opened).delivered, run_of(opened).queued) == (5, 5, 0)


def test_nothing_is_lost_when_the_process_is_killed_before_any_sync(tmp_path: Path) -> None:
    first = Opened(tmp_path)
    first.put(3)
    first.kill()
    second = Opened(tmp_path, run_id="b")
    second.put(1)
    assert second.send() == [("a", "door", 1), ("a", "door", 2), ("a", "door", 3), ("b", "door", 1)]
    assert (run_of(second).produced, run_of(second).delivered) == (3, 3)


def test_what_never_left_is_no_possible_duplicate_after_a_kill(tmp_path: Path) -> None:
    first = Opened(tmp_path)
    first.put(2, away=False)
    assert len([first.queue.take(now()) for _ in range(2)]) == 2
    first.put(2)  # the connection is gone
    first.kill()
    second = Opened(tmp_path)
    documents = [second.queue.take(now()) for _ in range(4)]
    assert [second.queue.is_doubtful(document) for document in documents if document] == [True, True, False, False]


def test_what_was_handed_over_in_any_earlier_run_stays_a_possible_duplicate(tmp_path: Path) -> None:
    first = Opened(tmp_path)
    first.put(3)
    assert [first.queue.take(now()) for _ in range(3)]
    first.kill()
    second = Opened(tmp_path, run_id="b")
    assert second.queue.take(now())
    second.put(1)  # away again, with two of the first run not sent anew
    second.kill()
    third = Opened(tmp_path, run_id="c")
    documents = [document for _ in range(4) if (document := third.queue.take(now()))]
    assert [third.queue.is_doubtful(document) for document in documents] == [True, True, True, False]


def test_all_that_another_boot_left_may_have_been_sent(tmp_path: Path) -> None:
    first = Opened(tmp_path)
    first.put(2)
    first.kill()
    second = Opened(tmp_path, at=now(boot=NEXT_BOOT))
    documents = [document for _ in range(2) if (document := second.queue.take(now(boot=NEXT_BOOT)))]
    assert [second.queue.is_doubtful(document) for document in documents] == [True, True]


def test_what_was_acknowledged_long_before_a_kill_is_not_sent_again(tmp_path: Path) -> None:
    first = Opened(tmp_path)
    first.put(4)
    first.send(3)
    first.queue.keep(now(5))
    first.kill()
    second = Opened(tmp_path)
    assert (run_of(second).delivered, run_of(second).queued) == (3, 1)
    assert second.send() == [("a", "door", 4)]


def test_acknowledgements_out_of_order_survive_a_kill_as_an_exact_account(tmp_path: Path) -> None:
    first = Opened(tmp_path)
    first.put(3)
    documents = [document for _ in range(3) if (document := first.queue.take(now()))]
    first.queue.settle(documents[2].index, "")
    first.queue.settle(documents[0].index, "")
    first.queue.keep(now(), force=True)
    first.kill()
    second = Opened(tmp_path)
    assert second.send() == [("a", "door", 2), ("a", "door", 3)]
    assert (run_of(second).produced, run_of(second).delivered, run_of(second).dropped) == (3, 3, {})


def test_a_sync_comes_only_for_what_no_broker_acknowledged_within_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    opened = Opened(tmp_path)
    opened.put(1, away=False)
    opened.send()
    opened.queue.keep(now(1.5))
    assert not synced
    opened.put(5, at=now(2))
    opened.queue.keep(now(2.9))
    assert not synced
    assert opened.queue.due_ns() == now(3).mono_ns
    opened.queue.keep(now(3))
    assert len(synced) == 1


def test_a_full_queue_drops_the_oldest_and_counts_them(tmp_path: Path) -> None:
    opened = Opened(tmp_path, SMALL, segment_bytes=1 << 16)
    opened.put(3000)
    run = run_of(opened)
    assert run.dropped["full"] > 500
    assert sum(path.stat().st_size for path in tmp_path.glob("*.seg")) <= SMALL.max_bytes + (1 << 16)
    sent = opened.send()
    assert [seq for _, _, seq in sent] == list(range(run.dropped["full"] + 1, 3001))
    assert run.produced == run.delivered + run.dropped["full"] == 3000


def test_what_is_in_flight_is_not_dropped_by_a_full_queue(tmp_path: Path) -> None:
    opened = Opened(tmp_path, SMALL, segment_bytes=1 << 16)
    opened.put(10)
    flying = opened.queue.take(now())
    assert flying is not None
    opened.put(3000)
    opened.queue.settle(flying.index, "")
    sent = opened.send()
    assert [seq for _, _, seq in sent] == sorted({seq for _, _, seq in sent})
    assert len(sent) + 1 + run_of(opened).dropped["full"] == 3010
    assert run_of(opened).queued == 0


def test_what_waits_behind_what_is_in_flight_is_not_passed_over_when_later_ones_are_dropped(tmp_path: Path) -> None:
    opened = Opened(tmp_path, SMALL, segment_bytes=1 << 18)
    opened.put(700)
    handed_over = [opened.queue.take(now())]
    while opened.queue._ahead:  # all that is in memory, and none of what lies behind it in the same file
        handed_over.append(opened.queue.take(now()))
    opened.put(3000)
    for document in handed_over:
        assert document is not None
        opened.queue.settle(document.index, "")
    sent = opened.send()
    assert run_of(opened).dropped["full"] > 0
    assert len(handed_over) + len(sent) + run_of(opened).dropped["full"] == 3700
    assert run_of(opened).queued == 0


def test_a_queue_that_was_full_closes_after_a_kill(tmp_path: Path) -> None:
    first = Opened(tmp_path, SMALL, segment_bytes=1 << 16)
    first.put(2500)
    first.kill()
    second = Opened(tmp_path, SMALL, segment_bytes=1 << 16)
    run = run_of(second)
    assert run.produced == 2500
    sent = second.send()
    assert len(sent) + sum(run.dropped.values()) == 2500


def test_old_events_expire_by_the_clock_of_the_boot(tmp_path: Path) -> None:
    config = DeliveryConfig(max_age_s=60)
    opened = Opened(tmp_path, config)
    opened.put(2)
    opened.put(1, at=now(50))
    assert opened.send(at=now(70)) == [("a", "door", 3)]
    assert run_of(opened).dropped == {"expired": 2}


@pytest.mark.parametrize("years", [50, -50])
def test_a_jump_of_the_clock_expires_nothing(tmp_path: Path, years: int) -> None:
    opened = Opened(tmp_path, DeliveryConfig(max_age_s=60))
    opened.put(2)
    assert len(opened.send(at=now(1, jump_s=years * 365 * 86400.0))) == 2


@pytest.mark.parametrize(("then", "since"), [(True, False), (False, True), (False, False)])
def test_between_boots_nothing_expires_unless_both_knew_the_time(tmp_path: Path, then: bool, since: bool) -> None:
    first = Opened(tmp_path, DeliveryConfig(max_age_s=60))
    first.put(2, at=now(synced=then))
    first.kill()
    later = now(5, boot=NEXT_BOOT, synced=since, jump_s=1e9)
    second = Opened(tmp_path, DeliveryConfig(max_age_s=60), later)
    assert len(second.send(at=later)) == 2


def test_between_boots_that_both_knew_the_time_the_old_expire(tmp_path: Path) -> None:
    first = Opened(tmp_path, DeliveryConfig(max_age_s=60))
    first.put(2)
    first.kill()
    later = now(5, boot=NEXT_BOOT, jump_s=1e6)
    second = Opened(tmp_path, DeliveryConfig(max_age_s=60), later)
    assert not second.send(at=later)
    assert run_of(second).dropped == {"expired": 2}


def test_a_seq_that_never_came_is_counted_as_unseen(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    opened.put(1)
    opened.seq["door"] = 5
    opened.put(1)
    assert (run_of(opened).produced, run_of(opened).dropped) == (6, {"unseen": 4})


def test_a_folder_that_vanishes_costs_nothing_that_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    folder = tmp_path / "spool"
    opened = Opened(folder)
    opened.put(3)
    shutil.rmtree(folder)
    opened.put(2)
    assert opened.queue.in_memory
    assert "in memory" in caplog.text
    opened.queue.keep(now(20))
    opened.kill()
    assert "on the disk again" in caplog.text
    again = Opened(folder)
    assert [seq for _, _, seq in again.send()] == [1, 2, 3, 4, 5]


def test_what_waited_in_a_folder_that_vanished_leaves_once_the_disk_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    opened = Opened(folder)
    opened.put(3)
    shutil.rmtree(folder)
    opened.put(1)
    opened.queue.keep(now(20))
    assert not opened.queue.in_memory
    opened.put(1)
    assert [seq for _, _, seq in opened.send()] == [1, 2, 3, 4, 5]
    assert run_of(opened).queued == 0


def test_what_cannot_be_read_of_a_file_that_vanished_is_counted(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    opened = Opened(folder)
    opened.put(600)  # more than is kept of what has only just been written
    (file,) = folder.glob("*.seg")
    with file.open("r+b") as hurt:
        hurt.seek(-1, os.SEEK_END)
        hurt.write(b"?")
    shutil.rmtree(folder)
    opened.put(1)
    assert len(opened.send()) == 600
    assert (run_of(opened).dropped, run_of(opened).queued) == ({"damaged": 1}, 0)


def test_older_segments_that_vanish_are_counted_as_damaged(tmp_path: Path) -> None:
    opened = Opened(tmp_path, segment_bytes=1 << 16)
    opened.put(1500)
    for path in sorted(tmp_path.glob("*.seg"))[1:3]:
        path.unlink()
    sent = opened.send()
    run = run_of(opened)
    assert run.dropped["damaged"] > 0
    assert len(sent) + run.dropped["damaged"] == 1500
    assert run.queued == 0


def test_an_event_at_the_end_of_a_segment_that_is_damaged_meanwhile_is_counted_once(tmp_path: Path) -> None:
    opened = Opened(tmp_path, segment_bytes=1 << 16)
    opened.put(1500)
    hurt = sorted(tmp_path.glob("*.seg"))[2]
    hurt.write_bytes(hurt.read_bytes()[:-1] + b"?")
    sent = opened.send()
    run = run_of(opened)
    assert run.dropped == {"damaged": 1}
    assert len(sent) == 1499
    assert run.queued == 0


def test_the_daily_budget_of_writes_is_kept_and_what_waits_then_is_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    config = DeliveryConfig(daily_bytes=1 << 20)
    opened = Opened(tmp_path, config)
    for second in range(300):
        opened.put(1, at=now(second))
        opened.queue.keep(now(second + 0.999))
        opened.queue.keep(now(second + 1))
    assert opened.queue.in_memory
    assert "may be written in a day" in caplog.text
    assert opened.wear.written_bytes <= (1 << 20) * 1.1
    opened.queue.keep(now(86_400))
    assert "on the disk again" in caplog.text
    assert len(opened.send(at=now(86_400))) == 300


def test_a_second_process_does_not_touch_the_queue_of_the_first(tmp_path: Path) -> None:
    first = Opened(tmp_path)
    first.put(1)
    with pytest.raises(EdgemassError, match="another process"):
        Opened(tmp_path)


def test_without_a_disk_the_oldest_in_memory_make_room() -> None:
    opened = Opened(None, SMALL)
    opened.put(500)
    run = run_of(opened)
    assert opened.queue.in_memory
    assert run.dropped["full"] + run.queued == 500
    sent = opened.send()
    assert [seq for _, _, seq in sent] == list(range(run.dropped["full"] + 1, 501))


def test_segments_that_are_settled_are_removed_once_what_they_told_is_safe(tmp_path: Path) -> None:
    opened = Opened(tmp_path, segment_bytes=1 << 16)
    opened.put(500)
    opened.send()
    opened.queue.keep(now(10))
    assert len(list(tmp_path.glob("*.seg"))) == 1
    opened.kill()
    again = Opened(tmp_path)
    assert (run_of(again).produced, run_of(again).delivered) == (500, 500)
    assert not again.send()


def test_one_that_was_put_back_is_the_next_again(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    opened.put(3)
    documents = [document for _ in range(2) if (document := opened.queue.take(now()))]
    for document in documents:
        opened.queue.put_back(document.index)
    assert [seq for _, _, seq in opened.send()] == [1, 2, 3]


def test_health_tells_how_much_waits_and_since_when(tmp_path: Path) -> None:
    opened = Opened(tmp_path)
    opened.put(3)
    health, first = opened.queue.health()
    assert (health.messages, health.in_memory) == (3, False)
    assert health.size_bytes > 1000
    assert first is not None
    assert name(first) == ("a", "door", 1)
    assert first.boot_id == BOOT
    assert closes(opened.queue)
