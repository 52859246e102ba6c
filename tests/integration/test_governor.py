"""A board that gets hot, with a real agent, a real runtime, and a tree of /sys whose files the test rewrites."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgemass import cache
from edgemass.agent import Agent, governing, governor, pacing
from edgemass.agent.slot import ModelSlot
from edgemass.bundles import Bundle
from edgemass.config import CameraConfig, Config, GovernorConfig
from tests.simulators import timed_detectors

pytestmark = pytest.mark.runtime

PATIENCE_S = 60.0
BOARDS = Path(__file__).resolve().parents[1] / "data" / "boards"
SLOW, FAST = {"work": 40}, {"work": 2}
FPS = 50
SETTLED = 25
"""Frames until the agent knows how many it runs."""
MANY, FEW = 0.6 * FPS, 0.35 * FPS
"""More and fewer than these: nothing is held back, and three quarters are."""


@pytest.fixture(autouse=True)
def _quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become moments."""
    monkeypatch.setattr(cache, "_chosen", [tmp_path / "cache"])
    monkeypatch.setattr(governor, "LOOK_S", 0.02)
    monkeypatch.setattr(pacing, "WINDOW_S", 0.4)
    for name, seconds in (("DOWN_S", 0.3), ("DOWN_AT_ONCE_S", 0.1), ("UP_S", 0.5), ("STALE_S", 0.5)):
        monkeypatch.setattr(governing, name, seconds)


class Pi:
    """A Raspberry Pi 400 whose temperature and firmware bits can be set."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        shutil.copytree(BOARDS / "raspberry-pi-400", self.root)
        zone = self.root / "sys/class/thermal/thermal_zone0"
        zone.mkdir(parents=True, exist_ok=True)
        (zone / "type").write_text("cpu-thermal\n")
        self._temp = zone / "temp"
        self._bits = self.root / "sys/devices/platform/soc/soc:firmware/get_throttled"
        self._bits.parent.mkdir(parents=True, exist_ok=True)
        self.set(50)

    def set(self, celsius: float, bits: int = 0) -> None:
        for file, text in ((self._temp, f"{celsius * 1000:.0f}\n"), (self._bits, f"{bits:x}\n")):
            fresh = file.with_name(f"{file.name}.new")
            fresh.write_text(text)
            fresh.replace(file)


class Run:
    """An agent in a thread; its documents go to a file."""

    def __init__(self, bundle: Bundle, folder: Path, pi: Pi, **asked: Any) -> None:
        self._messages = folder / "messages.jsonl"
        self._stop = threading.Event()
        source = f"synthetic:?width=64&height=64&frames=100000&fps={FPS}"
        self._agent = Agent(
            Config(
                cameras={"cam0": CameraConfig(source=source, realtime=True)},
                model=str(bundle.folder),
                device="pi",
                sinks=(f"jsonl:{self._messages}",),
                tune=False,
                root=str(pi.root),
                **asked,
            )
        )
        self._code: int | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self._code = self._agent.run(self._stop)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(PATIENCE_S)
        assert self._code == 0

    def documents(self) -> list[dict[str, Any]]:
        whole, _, _ = self._messages.read_text().rpartition("\n") if self._messages.exists() else ("", "", "")
        return [json.loads(line) for line in whole.splitlines()]

    def until(self, done: Callable[[], bool]) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < give_up
            assert self._thread.is_alive()
            time.sleep(0.02)

    def fps(self) -> float:
        """By the frames' own time, over the last ones."""
        times = [item["mono_ns"] / 1e9 for item in self.documents()[-8:]]
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) == 8 else 0.0

    @property
    def slot(self) -> ModelSlot:
        return self._agent._slot

    def variant(self) -> str:
        return str(self.documents()[-1]["model"]["variant"])


@pytest.fixture
def pi(tmp_path: Path) -> Pi:
    return Pi(tmp_path)


@pytest.fixture
def one(tmp_path: Path) -> Bundle:
    return timed_detectors.write(tmp_path / "one", {"fp32": FAST})


def said(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return any(text in record.getMessage() for record in caplog.records)


def test_heat_takes_frames_away_and_cool_air_gives_them_back(
    one: Bundle, tmp_path: Path, pi: Pi, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(one, tmp_path, pi)
    with caplog.at_level(logging.INFO), run.running():
        run.until(lambda: run.fps() > MANY and len(run.documents()) > SETTLED)
        pi.set(79)
        run.until(lambda: 0 < run.fps() < FEW)
        pi.set(60)
        run.until(lambda: said(caplog, "no longer held back"))
        run.until(lambda: run.fps() > MANY)
    documents = run.documents()
    assert [item["seq"] for item in documents] == list(range(1, len(documents) + 1))
    assert said(caplog, "held back: 79 °C, held back from 78 °C on")


def test_low_voltage_holds_back_until_the_bit_is_gone(
    one: Bundle, tmp_path: Path, pi: Pi, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(one, tmp_path, pi)
    with caplog.at_level(logging.INFO), run.running():
        run.until(lambda: len(run.documents()) > SETTLED)
        pi.set(50, bits=0x50005)
        run.until(lambda: 0 < run.fps() < FEW)
        pi.set(50, bits=0x50000)
        run.until(lambda: run.fps() > MANY)
    assert said(caplog, "held back: the voltage is too low")


def test_a_lighter_variant_runs_while_it_is_hot_and_no_longer(
    tmp_path: Path, pi: Pi, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = timed_detectors.write(tmp_path / "two", {"fp32": SLOW, "int8": {**FAST, "precision": "int8"}})
    run = Run(bundle, tmp_path, pi)
    with caplog.at_level(logging.INFO), run.running():
        run.until(lambda: len(run.documents()) > SETTLED)
        assert run.variant() == "fp32"
        pi.set(86)
        run.until(lambda: run.variant() == "int8")
        run.until(lambda: 0 < run.fps() < FEW)
        pi.set(50)
        run.until(lambda: run.variant() == "fp32" and run.fps() > MANY)
    documents = run.documents()
    assert [item["seq"] for item in documents] == list(range(1, len(documents) + 1))
    assert all(len(item["detections"]) == 6 for item in documents)


def test_a_variant_that_is_no_faster_here_stays_out(tmp_path: Path, pi: Pi, caplog: pytest.LogCaptureFixture) -> None:
    bundle = timed_detectors.write(tmp_path / "two", {"fp32": FAST, "int8": {**SLOW, "precision": "int8"}})
    run = Run(bundle, tmp_path, pi)
    with caplog.at_level(logging.INFO), run.running():
        run.until(lambda: len(run.documents()) > SETTLED)
        pi.set(86)
        run.until(lambda: said(caplog, "it stays out"))
        run.until(lambda: 0 < run.fps() < FEW)
    assert {item["model"]["variant"] for item in run.documents()} == {"fp32"}


def test_without_lighter_variants_only_frames_are_held_back(tmp_path: Path, pi: Pi) -> None:
    bundle = timed_detectors.write(tmp_path / "two", {"fp32": SLOW, "int8": {**FAST, "precision": "int8"}})
    run = Run(bundle, tmp_path, pi, governor=GovernorConfig(lighter_variant=False))
    with run.running():
        run.until(lambda: len(run.documents()) > SETTLED)
        pi.set(86)
        run.until(lambda: 0 < run.fps() < FEW)
    assert {item["model"]["variant"] for item in run.documents()} == {"fp32"}


def test_a_governor_that_is_switched_off_does_nothing(
    one: Bundle, tmp_path: Path, pi: Pi, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(one, tmp_path, pi, governor=GovernorConfig(enabled=False))
    pi.set(86, bits=1)
    with caplog.at_level(logging.INFO), run.running():
        run.until(lambda: len(run.documents()) > 2 * SETTLED)
        run.until(lambda: run.fps() > MANY)
    assert not said(caplog, "held back")


def test_nobody_exchanges_the_model_while_somebody_else_does(
    tmp_path: Path, pi: Pi, caplog: pytest.LogCaptureFixture
) -> None:
    """As during an update, which holds the slot to the end of its trial: frames are held back, the model stays."""
    bundle = timed_detectors.write(tmp_path / "two", {"fp32": SLOW, "int8": {**FAST, "precision": "int8"}})
    run = Run(bundle, tmp_path, pi)
    with caplog.at_level(logging.INFO), run.running():
        run.until(lambda: len(run.documents()) > SETTLED)
        with run.slot.changing:
            pi.set(86)
            run.until(lambda: 0 < run.fps() < FEW)
            assert run.variant() == "fp32"
        run.until(lambda: run.variant() == "int8")
