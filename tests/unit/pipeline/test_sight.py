from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np

from edgemass.config.integrity import IntegrityConfig
from edgemass.frame import Frame
from edgemass.messages import CameraState
from edgemass.pipeline.ledger import Ledger
from edgemass.pipeline.sight import Sight
from edgemass.scene.integrity import Integrity, Memory
from tests.simulators.manual_clock import NS, ManualClock
from tests.simulators.mishaps import Grey, noisy

ONLINE = CameraState("online", "", "2026-11-26T00:00:00.000Z")
OFFLINE = CameraState("offline", "no answer", "2026-11-26T00:00:00.000Z")


def scene() -> Grey:
    """A picture with edges in every part."""
    rng = np.random.default_rng(5)
    tiles = rng.integers(40, 200, (18, 32)).astype(np.float32)
    return np.asarray(np.kron(tiles, np.ones((20, 20), np.float32)), np.uint8)


def show(sight: Sight, pictures: list[Grey], *, since_s: float) -> None:
    for index, picture in enumerate(pictures):
        at_ns = round((since_s + index / 2) * NS)
        image = np.repeat(picture[:, :, None], 3, axis=2)
        sight.look(
            Frame(
                lambda image=image: image,  # type: ignore[misc]
                width=image.shape[1],
                height=image.shape[0],
                mono_ns=at_ns,
                time_ns=at_ns,
                arrived_ns=at_ns,
            )
        )


def lively(picture: Grey, count: int, seed: int) -> list[Grey]:
    rng = np.random.default_rng(seed)
    return [noisy(picture.astype(np.float32), 2.0, rng) for _ in range(count)]


def states(told: list[CameraState]) -> list[str]:
    """Each once; a cause that becomes clearer is told again."""
    return [state for state, _ in groupby(state.state for state in told)]


def test_a_cloth_makes_the_camera_blind_and_taking_it_away_online_again(tmp_path: Path) -> None:
    told: list[CameraState] = []
    clock = ManualClock()
    ledger = Ledger(tmp_path / "views.json", Memory, "views", clock, every_s=600)
    sight = Sight("door", Integrity(IntegrityConfig()), told.append, clock, ledger)
    sight.captured(ONLINE)
    show(sight, lively(scene(), 80, 1), since_s=0)
    assert [state.state for state in told] == ["online"]
    show(sight, lively(np.full_like(scene(), 90), 20, 2), since_s=40)
    assert states(told) == ["online", "blind"]
    assert told[-1].reason.startswith("covered: ")
    show(sight, lively(scene(), 30, 3), since_s=50)
    assert states(told) == ["online", "blind", "online"]
    sight.keep(now=True)
    memory = ledger.read()
    assert memory is not None
    assert memory.views


def test_a_camera_that_went_away_blind_is_offline_and_begins_anew() -> None:
    told: list[CameraState] = []
    sight = Sight("door", Integrity(IntegrityConfig()), told.append, ManualClock())
    sight.captured(ONLINE)
    show(sight, lively(scene(), 80, 1), since_s=0)
    show(sight, lively(np.full_like(scene(), 90), 20, 2), since_s=40)
    sight.captured(OFFLINE)
    show(sight, lively(np.full_like(scene(), 90), 4, 2), since_s=60)
    assert states(told) == ["online", "blind", "offline"]
    sight.captured(ONLINE)
    show(sight, lively(scene(), 30, 3), since_s=70)
    assert told[-1].state == "online"
