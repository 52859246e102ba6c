from __future__ import annotations

from edgemass.spool.pacing import DAY_NS, NS, Bucket, Wear


def test_no_more_than_the_rate_goes_over_any_long_time() -> None:
    bucket = Bucket(5, 50, 0)
    gone = 0
    for millisecond in range(10_000):
        while bucket.refill(millisecond * 10**6) >= 1:
            bucket.take()
            gone += 1
    assert 499 <= gone <= 505


def test_a_bucket_says_when_the_next_may_go() -> None:
    bucket = Bucket(1, 50, 0)
    bucket.take()
    ready = bucket.ready_ns()
    assert bucket.refill(ready - 10) < 1
    assert bucket.refill(ready) >= 1


def test_whole_pages_count_and_one_of_the_file_system() -> None:
    wear = Wear(1 << 20, 0)
    wear.wrote(0, 10)
    assert wear.written_bytes == 2 * 4096
    wear.wrote(10, 5000)
    assert wear.written_bytes == 5 * 4096
    wear.wrote(5000, 5000)
    assert wear.written_bytes == 5 * 4096


def test_a_budget_that_is_used_up_comes_back_within_a_day_and_outlives_the_process() -> None:
    wear = Wear(1 << 20, 0)
    wear.wrote(0, 1 << 20)
    assert wear.spent(0)
    assert not wear.spent(DAY_NS // 10)
    other = Wear(1 << 20, 0)
    other.resume(wear.used_bytes(DAY_NS // 2), DAY_NS // 2, DAY_NS // 2)
    assert 0.4 * (1 << 20) < other.used_bytes(0) < 0.6 * (1 << 20)


def test_without_a_budget_nothing_is_ever_spent() -> None:
    wear = Wear(None, 0)
    wear.wrote(0, 1 << 40)
    assert not wear.spent(NS)
