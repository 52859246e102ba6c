from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from edgemass.agent.judging import (
    MIB,
    Ending,
    Evidence,
    Measurements,
    ProvingLimits,
    Thing,
    Verdict,
    judge,
    leak,
    needs_met,
    speeds,
)
from edgemass.health.memory import Room
from edgemass.manifest import Manifest, Needs, Variant
from tests.simulators import bundles

LIMITS = ProvingLimits()
BOARD = Room(total=1000 * MIB, available=500 * MIB)
MANIFEST = bundles.made_of(Variant(name="fp32", file="a.onnx", runtime="onnx", sha256="0" * 64, size_bytes=1)).manifest
PERSON = Thing("cat", 0.9, (0.0, 0.0, 10.0, 10.0))


def evidence(**facts: Any) -> Evidence:
    """Of a model that is as good as the running one."""
    fine: dict[str, Any] = {
        "done": True,
        "backend": "onnxruntime/cpu",
        "memory_bytes": 50 * MIB,
        "times_ms": [[10.0] * 20] * 3,
        "running_times_ms": [[10.0] * 20] * 3,
        "seen": [[PERSON]] * 6,
        "growth": [(run, 100 * MIB) for run in range(0, 210, 10)],
    }
    return Evidence(**{**fine, **facts})


def verdict(
    new: Evidence,
    *,
    ending: Ending | None = None,
    running: Evidence | None = None,
    memory: Room = BOARD,
    beside: bool = True,
    manifest: Manifest = MANIFEST,
    limits: ProvingLimits = LIMITS,
) -> Verdict:
    old = running or evidence(running_times_ms=[])
    measured = Measurements(new=new, ending=ending or Ending(), running=old, memory=memory, beside=beside)
    return judge(measured, manifest, limits)


def test_a_model_like_the_running_one_may_run() -> None:
    found = verdict(evidence())
    assert (found.ok, found.reason, found.fits_beside, found.ratio) == (True, "", True, 1.0)


@pytest.mark.parametrize(
    ("facts", "ending", "reason"),
    [
        ({"doing": "loading it"}, Ending(signal="SIGSEGV"), "it crashed while loading it (SIGSEGV)"),
        ({"doing": "timing it, round 1"}, Ending(hung_s=60.0), "it hangs: no end within 60 s while timing it, round 1"),
        ({"doing": "loading it"}, Ending(words="MemoryError"), "it failed while loading it: MemoryError"),
        ({"error": "a.onnx: cannot load it"}, Ending(), "a.onnx: cannot load it"),
    ],
)
def test_a_child_that_did_not_come_to_its_end_is_refused_and_the_reason_says_where(
    facts: dict[str, Any], ending: Ending, reason: str
) -> None:
    found = verdict(evidence(done=False, **facts), ending=ending)
    assert (found.ok, found.quarantine, found.reason) == (False, True, reason)


def test_a_model_is_not_blamed_where_the_running_one_cannot_be_loaded_again_either() -> None:
    broken = evidence(done=False, error="no accelerator")
    found = verdict(broken, running=broken)
    assert (found.ok, found.quarantine) == (False, False)


def test_a_model_is_not_blamed_for_a_runtime_that_is_not_installed() -> None:
    found = verdict(evidence(done=False, error="ONNX Runtime is not installed", blameless=True))
    assert (found.ok, found.quarantine) == (False, False)


def test_memory_that_runs_out_asks_for_room_and_blames_nobody() -> None:
    found = verdict(evidence(done=False, doing="loading it"), ending=Ending(signal="SIGKILL", out_of_memory=True))
    assert found.reason == "memory ran out while loading it; 500 MiB were free"
    assert (found.ok, found.fits_beside, found.quarantine) == (False, False, False)


def test_memory_that_runs_out_because_of_a_leak_blames_the_model() -> None:
    growth = [(run, run * MIB) for run in range(0, 110, 10)]
    found = verdict(evidence(done=False, growth=growth), ending=Ending(signal="SIGKILL", out_of_memory=True))
    assert found.reason.startswith("its memory grows with every run: 100 MiB in 100 runs")
    assert found.quarantine


def test_what_does_not_fit_beside_the_running_model_may_follow_it() -> None:
    found = verdict(evidence(memory_bytes=480 * MIB))
    assert (found.ok, found.fits_beside) == (True, False)


def test_what_does_not_fit_the_board_at_all_is_refused() -> None:
    found = verdict(evidence(memory_bytes=600 * MIB))
    assert (found.ok, found.quarantine) == (False, True)
    assert found.reason == (
        "it takes 600 MiB of memory; 500 MiB are free, the running model would free 50 MiB, "
        "and 64 MiB have to stay free"
    )
    assert not verdict(evidence(memory_bytes=480 * MIB), beside=False).ok


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"strange": ["1 of 2 values of y on frame 1 are NaN"]}, "its numbers are not finite: 1 of 2 values of y"),
        ({"golden": ["a.png: no 'cat' is found where one is"], "golden_samples": 2}, "golden sample a.png: no 'cat'"),
        (
            {"seen": [[]] * 6},
            "it finds nothing in 6 frames of the cameras, where the running model finds 6 things in 6",
        ),
        ({"growth": [(run, run * 4096) for run in range(0, 210, 10)]}, "its memory grows with every run: 0.8 MiB"),
        (
            {"times_ms": [[30.0] * 20] * 3},
            "it is too slow: p95 30.0 ms for a frame, 3.0 times the running model's 10.0",
        ),
    ],
)
def test_what_is_wrong_is_refused_for_good_and_said(facts: dict[str, Any], reason: str) -> None:
    found = verdict(evidence(**facts))
    assert found.reason.startswith(reason)
    assert (found.ok, found.quarantine) == (False, True)


def test_golden_samples_that_are_met_are_told_as_a_share() -> None:
    assert verdict(evidence(golden=["a.png: wrong"], golden_samples=4)).golden == 0.75
    assert verdict(evidence()).golden is None


@pytest.mark.parametrize(
    "old", [[[]] * 6, [[PERSON] * 9, *[[]] * 5], [[Thing("ox", 0.9)]] * 6], ids=["nothing", "one frame", "unknown"]
)
def test_silence_says_nothing_without_evidence_that_something_is_there(old: list[list[Thing]]) -> None:
    assert verdict(evidence(seen=[[]] * 6), running=evidence(seen=old)).ok


def test_other_names_for_the_same_things_are_wrong_labels() -> None:
    def both(left: str, right: str) -> list[list[Thing]]:
        return [[Thing(left, 0.9, (0.0, 0.0, 10.0, 9.0)), Thing(right, 0.9, (50.0, 50.0, 60.0, 60.0))]] * 3

    old = evidence(seen=both("cat", "dog"))
    swapped = evidence(seen=both("dog", "cat"))
    found = verdict(swapped, running=old)
    assert found.reason.startswith("its labels are wrong: of 6 things that both models find")
    assert "it calls 6 otherwise, 3 times 'dog' for 'cat'" in found.reason
    assert verdict(evidence(seen=both("cat", "dog")), running=old).ok
    assert verdict(swapped, running=old, limits=ProvingLimits(evidence=7)).ok


def test_one_thing_in_view_that_was_called_wrongly_until_now_may_get_another_name() -> None:
    dog = Thing("dog", 0.9, (0.0, 0.0, 10.0, 9.0))
    assert verdict(evidence(seen=[[dog]] * 6)).ok


def test_what_is_quick_enough_or_little_slower_is_not_too_slow() -> None:
    slow = evidence(times_ms=[[30.0] * 20] * 3)
    assert verdict(slow, limits=ProvingLimits(fast_enough_ms=33.0)).ok
    assert verdict(slow, limits=ProvingLimits(latency_ratio=3.5)).ok
    tiny = evidence(times_ms=[[1.5] * 20] * 3, running_times_ms=[[0.3] * 20] * 3)
    assert verdict(tiny).ok


def test_a_burst_of_other_work_in_one_round_makes_no_model_slow() -> None:
    assert verdict(evidence(times_ms=[[10.0] * 20, [90.0] * 20, [10.0] * 20])).ok


def test_times_of_its_own_child_stand_in_where_there_was_no_room_for_both() -> None:
    new = evidence(running_times_ms=[], times_ms=[[30.0] * 20] * 3)
    old = evidence(times_ms=[[10.0] * 20])
    assert speeds(new, old) == (3.0, 30.0, 10.0)
    assert speeds(new, None) == (None, 30.0, None)


def test_an_accelerator_that_is_needed_has_to_run_it() -> None:
    needy = msgspec.structs.replace(MANIFEST, needs=Needs(accelerator="edgetpu"))
    assert (
        verdict(evidence(), manifest=needy).reason
        == "it needs the accelerator edgetpu, here it runs on onnxruntime/cpu"
    )
    assert verdict(evidence(backend="litert/edgetpu"), manifest=needy).ok


@pytest.mark.parametrize("leaked", [2500, 4096, 65536])
@pytest.mark.parametrize("seed", range(5))
def test_a_leak_is_seen_through_the_noise_of_an_allocator(leaked: int, seed: int) -> None:
    draw = random.Random(seed)
    growth = [(run, 50 * MIB + leaked * run + draw.choice((0, 4096, 8192))) for run in range(0, 210, 10)]
    assert leak(growth) == pytest.approx(leaked, rel=0.2)
    assert not verdict(evidence(growth=growth)).ok


@pytest.mark.parametrize("seed", range(20))
def test_memory_that_goes_up_and_down_or_up_once_is_no_leak(seed: int) -> None:
    draw = random.Random(seed)
    steps = sorted(draw.sample(range(0, 210, 10), 2))
    once = [(run, 50 * MIB + 8 * MIB * sum(run >= step for step in steps)) for run in range(0, 210, 10)]
    assert verdict(evidence(growth=once)).ok
    up_and_down = [(run, 50 * MIB + draw.choice((0, 3, 8, 11)) * MIB) for run in range(0, 210, 10)]
    assert verdict(evidence(growth=up_and_down)).ok


def test_too_few_samples_of_memory_say_nothing() -> None:
    assert leak([(run, run * MIB) for run in range(4)]) is None


def test_what_the_manifest_needs_is_held_against_the_board_first() -> None:
    def of(ram_bytes: int | None) -> Verdict:
        return needs_met(msgspec.structs.replace(MANIFEST, needs=Needs(ram_bytes=ram_bytes)), (), BOARD, LIMITS)

    assert of(None).ok
    assert of(400 * MIB).ok
    tight = of(450 * MIB)
    assert (tight.ok, tight.fits_beside, tight.quarantine) == (False, False, False)
    large = of(1200 * MIB)
    assert large.reason == "it needs 1200 MiB of memory, this board has 1000 MiB"
    assert large.quarantine
    assert needs_met(MANIFEST, (), Room(0, 0), LIMITS).ok


def test_a_label_that_the_configuration_names_has_to_be_known() -> None:
    assert needs_met(MANIFEST, ("cat", "*"), BOARD, LIMITS).ok
    found = needs_met(MANIFEST, ("cat", "ox"), BOARD, LIMITS)
    assert found.reason == "the configuration names 'ox', it knows cat, dog; change either"
    assert not found.quarantine
