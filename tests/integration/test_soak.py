"""A day of a board in minutes, while broker, camera, disk, accelerator and clock fail at random."""

from __future__ import annotations

import os
import statistics
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from tests.simulators import broker as brokers
from tests.simulators.soak_faults import INSIDE, KINDS, schedule
from tests.simulators.soak_world import Soak, World

pytestmark = pytest.mark.runtime

SEED = "EDGEMASS_SOAK_SEED"
"""Environment variable with the seed of a run that is to be repeated."""
HOURS = "EDGEMASS_SOAK_HOURS"
"""Environment variable with another length of the long one."""
ON_THEIR_WAY = 2
"""Frames: one before the model, one in it."""
FLAT = 0.02
SAMPLE_HOURS, SAMPLE_GAP_S, SAMPLE_SPEED = 0.25, 100.0, 80.0
DAY_HOURS, DAY_GAP_S, DAY_SPEED = 24.0, 1800.0, 80.0


def check(soak: Soak) -> None:
    """What holds of every run, however long: nothing hung, nothing was lost unsaid."""
    said = f"seed {soak.order.seed}: {soak.last}\n" + "\n".join(soak.said)
    assert soak.code == 0, said
    assert soak.last.threads == [], said
    assert soak.last.unaccounted == 0, said
    assert all(0 <= look.unaccounted <= ON_THEIR_WAY for look in soak.looks), said
    assert soak.verdict is not None
    assert soak.verdict.ok, f"{soak.verdict}\n{said}"
    [run] = soak.verdict.runs
    assert run.state == "final"
    assert run.produced == run.delivered + sum(run.dropped.values()), soak.verdict
    assert (run.queued, run.missing) == (0, sum(run.dropped.values())), soak.verdict


def growth(soak: Soak) -> float:
    """Of the resident set: the last quarter of the time against the second one; medians. The first is to warm up."""
    total_s = soak.rss[-1][0]

    def during(quarter: int) -> float:
        return statistics.median(size for at_s, size in soak.rss if quarter <= at_s / total_s * 4 <= quarter + 1)

    return during(3) / during(1) - 1


def test_a_seed_decides_every_fault() -> None:
    assert schedule(7, 24, gap_s=DAY_GAP_S) == schedule(7, 24, gap_s=DAY_GAP_S) != schedule(8, 24, gap_s=DAY_GAP_S)


@pytest.mark.parametrize("seed", range(20))
def test_a_day_has_every_kind_of_fault_and_none_hits_what_is_hit_already(seed: int) -> None:
    faults = schedule(seed, DAY_HOURS, gap_s=DAY_GAP_S)
    assert {(fault.what, fault.kind) for fault in faults} == {(what, kind) for what in KINDS for kind in KINDS[what]}
    for what in KINDS:
        own = [fault for fault in faults if fault.what == what]
        assert all(one.ends_s <= next_.at_s for one, next_ in pairwise(own))
    assert max(fault.ends_s for fault in faults) < DAY_HOURS * 3600


@pytest.mark.broker
@pytest.mark.skipif(bool(brokers.missing()), reason=brokers.missing())
@pytest.mark.timeout(300)
def test_a_board_lives_through_faults_of_every_kind_and_accounts_for_all(tmp_path: Path) -> None:
    seed = int(os.environ.get(SEED, "8"))
    soak = World(tmp_path, seed=seed, hours=SAMPLE_HOURS, gap_s=SAMPLE_GAP_S, speed=SAMPLE_SPEED).run()
    check(soak)
    hit = Counter(fault.what for fault in soak.hit)
    assert hit.keys() == KINDS.keys() - set(INSIDE)


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.skipif(bool(brokers.missing()), reason=brokers.missing())
def test_a_day_of_a_board_with_faults_of_every_kind(tmp_path: Path) -> None:
    hours = float(os.environ.get(HOURS, DAY_HOURS))
    seed = int(os.environ.get(SEED, "8"))
    soak = World(tmp_path, seed=seed, hours=hours, gap_s=DAY_GAP_S, speed=DAY_SPEED).run()
    kinds = Counter(f"{fault.what} {fault.kind}" for fault in schedule(seed, hours, gap_s=DAY_GAP_S))
    print(f"seed {seed}, {hours:g} h: {soak.last}", soak.verdict, f"faults {dict(kinds)}", sep="\n")
    print(f"growth {growth(soak):+.4f}; MB", [round(size / 1e6, 1) for _, size in soak.rss[:: len(soak.rss) // 48 + 1]])
    check(soak)
    assert {look.backend for look in soak.looks} >= {"onnxruntime/openvino", "onnxruntime/cpu"}
    assert abs(growth(soak)) <= FLAT
