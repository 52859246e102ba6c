from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgemass.agent.probation import (
    MIB,
    Baseline,
    Failed,
    Going,
    Passed,
    ProbationLimits,
    Sample,
    baseline,
    judge,
    sample,
)

LIMITS = ProbationLimits()
USUAL: dict[str, Any] = {
    "captured": 15.0,
    "served": 10.0,
    "processed": 10.0,
    "failures": 0.0,
    "detections": 20.0,
    "p95_ms": 50.0,
    "rss_bytes": 100.0 * MIB,
    "temperature_c": 60.0,
    "cpu_s": 0.4,
}
GROW = ("captured", "served", "processed", "failures", "detections", "cpu_s")


def samples(seconds: int, *changes: tuple[int, dict[str, float]], every: int = 2) -> list[Sample]:
    """What a board counts. changes: (from which second on, what is then otherwise); of what only grows, a second.

    rss_per_s: bytes that are added every second.
    """
    totals = dict.fromkeys(GROW, 0.0)
    rss = USUAL["rss_bytes"]
    made = []
    for second in range(seconds + 1):
        now = dict(USUAL)
        for start, change in changes:
            now |= change if second >= start else {}
        if second % every == 0:
            values = {name: round(total) for name, total in totals.items() if name != "cpu_s"}
            made.append(
                Sample(
                    at_s=1000.0 + second,
                    cpu_s=totals["cpu_s"],
                    p95_ms=now["p95_ms"],
                    rss_bytes=round(rss),
                    temperature_c=now["temperature_c"],
                    **values,
                )
            )
        for name in GROW:
            totals[name] += now[name]
        rss += now.get("rss_per_s", 0.0)
    return made


def usual() -> Baseline:
    before = baseline(samples(120), LIMITS)
    assert before is not None
    return before


def first_failure(made: list[Sample], before: Baseline | None, limits: ProbationLimits = LIMITS) -> tuple[float, str]:
    """(seconds after the exchange, reason); the daemon asks after every sample."""
    for count in range(1, len(made) + 1):
        standing = judge(before, made[:count], limits)
        if isinstance(standing, Failed):
            return made[count - 1].at_s - made[0].at_s, standing.reason
        if standing == Passed():
            break
    return -1.0, ""


def test_the_model_before_is_remembered_by_what_it_did() -> None:
    assert usual() == Baseline(
        captured_fps=15.0,
        served_fps=10.0,
        p95_ms=50.0,
        cpu_ms=40.0,
        error_share=0.0,
        frames=1200,
        detections=2400,
        steady=1.0,
        temperature_c=60.0,
    )


def test_a_model_that_was_hardly_seen_is_nothing_to_compare_with() -> None:
    assert baseline([], LIMITS) is None
    assert baseline(samples(1, every=1), LIMITS) is None


def test_a_model_like_the_one_before_passes_when_its_time_is_over_and_not_before() -> None:
    made = samples(300)
    assert judge(usual(), [], LIMITS) == Going(0.0)
    assert judge(usual(), made[:76], LIMITS) == Going(0.5)
    assert judge(usual(), made[:-1], LIMITS) == Going(0.99)
    assert judge(usual(), made, LIMITS) == Passed()


def test_without_a_camera_probation_has_no_end() -> None:
    off = {"captured": 0.0, "served": 0.0, "processed": 0.0, "detections": 0.0}
    assert judge(usual(), samples(900, (0, off)), LIMITS) == Going(0.99)


def test_a_probation_of_no_time_asks_for_some_frames_all_the_same() -> None:
    limits = msgspec.structs.replace(LIMITS, duration_s=0.0)
    assert judge(usual(), samples(0), limits) == Going(0.99)
    assert judge(usual(), samples(4), limits) == Passed()


def test_a_board_that_is_held_back_runs_fewer_frames_and_that_is_no_fault_of_the_model() -> None:
    held = samples(300, (60, {"served": 2.5, "processed": 2.5, "detections": 5.0}))
    told = [msgspec.structs.replace(item, fps_ratio=0.25 if item.at_s >= 1060 else 1.0) for item in held]
    assert isinstance(judge(usual(), told, LIMITS), Passed)
    assert first_failure(held, usual())[1].startswith("it keeps up with")


def test_a_model_that_cannot_keep_up_is_told_from_a_board_that_is_held_back() -> None:
    made = samples(300, (60, {"served": 1.0, "processed": 1.0, "detections": 2.0}))
    told = [msgspec.structs.replace(item, fps_ratio=0.25 if item.at_s >= 1060 else 1.0) for item in made]
    assert first_failure(told, usual())[1].startswith("it keeps up with")


@pytest.mark.parametrize(
    ("change", "within_s", "reason"),
    [
        (
            {"served": 0.0, "processed": 0.0, "detections": 0.0},
            16,
            "no frame was processed for 16 s, while the cameras",
        ),
        ({"served": 5.0, "processed": 5.0}, 60, "it keeps up with"),
        ({"p95_ms": 150.0, "cpu_s": 1.2}, 30, "it is too slow: p95 150.0 ms for a frame, before it were 50.0 ms"),
        ({"failures": 1.0, "processed": 9.0, "served": 9.0}, 10, "runs failed, "),
        ({"temperature_c": 82.0}, 30, "the board gets too hot: 82 degrees Celsius, before it were 60"),
        ({"detections": 0.0}, 60, "it finds 0."),
        ({"detections": 400.0}, 60, "it finds "),
        ({"rss_per_s": 256 * 1024.0}, 150, "the memory of the process grows all the time"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("start", [0, 100])
def test_a_model_that_goes_bad_fails_in_time_and_for_the_right_reason(
    change: dict[str, float], within_s: int, reason: str, start: int
) -> None:
    after_s, found = first_failure(samples(300, (start, change)), usual())
    assert reason in found
    assert 0 <= after_s <= start + within_s


@pytest.mark.parametrize(
    "change",
    [
        {"captured": 7.5, "served": 5.0, "processed": 5.0, "detections": 10.0},  # the camera gives half
        {"processed": 1.0, "detections": 2.0},  # the motion gate leaves out what is still
        {"served": 8.0, "processed": 8.0, "detections": 16.0},
        {"p95_ms": 90.0, "cpu_s": 0.7},
        {"p95_ms": 150.0, "cpu_s": 0.5},  # something else on the board is busy
        {"temperature_c": 69.0},
        {"detections": 8.0},
        {"detections": 80.0},
        {"failures": 0.01},
        {"rss_per_s": 1024.0},
    ],
    ids=lambda value: next(iter(value)),
)
def test_what_changes_a_little_or_for_another_reason_is_no_failure(change: dict[str, float]) -> None:
    assert first_failure(samples(300, (50, change)), usual()) == (-1.0, "")


def test_an_empty_street_is_no_fault_where_people_only_came_by_before() -> None:
    """Something was found half of the time."""
    quiet = {"detections": 0.0}
    before = baseline(samples(120, (60, quiet)), LIMITS)
    assert first_failure(samples(300, (0, quiet)), before) == (-1.0, "")


def test_a_cool_board_may_become_warm() -> None:
    before = msgspec.structs.replace(usual(), temperature_c=40.0)
    assert first_failure(samples(300, (0, {"temperature_c": 65.0})), before) == (-1.0, "")


def test_a_model_may_be_as_slow_as_the_cameras_allow() -> None:
    limits = msgspec.structs.replace(LIMITS, fast_enough_ms=200.0)
    assert first_failure(samples(300, (0, {"p95_ms": 150.0, "cpu_s": 1.2})), usual(), limits) == (-1.0, "")


def test_memory_that_grows_once_late_is_no_leak() -> None:
    late = [
        msgspec.structs.replace(item, rss_bytes=item.rss_bytes + 50 * MIB * (item.at_s > 1200)) for item in samples(300)
    ]
    assert first_failure(late, usual()) == (-1.0, "")


def test_without_a_model_before_only_what_is_wrong_by_itself_counts() -> None:
    assert first_failure(samples(300, (0, {"p95_ms": 900.0, "detections": 0.0})), None) == (-1.0, "")
    still = {"served": 0.0, "processed": 0.0}
    assert first_failure(samples(300, (50, still)), None)[1].startswith("no frame was processed for 16 s")
    failing = {"failures": 2.0}
    assert first_failure(samples(300, (0, failing)), None)[1].startswith("8 of 48 runs failed")


def test_cameras_are_counted_together() -> None:
    door = {"frames_captured": 30, "frames_processed": 10, "frames_still": 2, "frames_skipped": 18}
    yard = {"frames_captured": 5, "frames_processed": 4, "backend_failures": 1}
    made = sample([door, yard], at_s=7.0, detections=3, rss_bytes=5)
    assert made == Sample(
        at_s=7.0, captured=35, served=16, processed=14, failures=1, detections=3, p95_ms=None, rss_bytes=5
    )
