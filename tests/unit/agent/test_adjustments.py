"""What commands changed of cameras: kept, laid over the configuration, and never in its way."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemass.agent.adjustments import NAME, Adjustments
from edgemass.config import CameraConfig, Config
from edgemass.config.scene import EventsConfig
from tests.simulators.manual_clock import ManualClock


def config(folder: Path, **cameras: CameraConfig) -> Config:
    return Config(cameras=cameras or {"door": CameraConfig(source="0")}, state=str(folder), file="edgemass.toml")


def adjusted(folder: Path, **changes: bool | float | None) -> Adjustments:
    made = Adjustments(config(folder), ManualClock())
    asked, _ = made.with_("door", **changes)
    made.keep(asked)
    return made


def test_what_was_changed_is_there_after_a_restart_and_default_takes_it_back(tmp_path: Path) -> None:
    adjusted(tmp_path, enabled=False, score=0.7)
    again = Adjustments(config(tmp_path), ManualClock())
    assert (again.effective.cameras["door"].enabled, again.effective.cameras["door"].score) == (False, 0.7)
    asked, changed = again.with_("door", enabled=None, score=None)
    again.keep(asked)
    assert changed == config(tmp_path)
    assert Adjustments(config(tmp_path), ManualClock()).effective == config(tmp_path)


def test_one_that_no_longer_fits_the_configuration_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = adjusted(tmp_path, score=0.3)
    door = CameraConfig(source="0", score=0.6, events=EventsConfig(leave=0.5))
    made.config = config(tmp_path, door=door)
    assert made.effective.cameras["door"] == door
    assert made.effective.cameras["door"] == door
    assert caplog.text.count("is left out") == 1


@pytest.mark.parametrize(
    "kept", [b'{"cameras":{"door":{"max_fps":-5}}}', b'{"cameras":{"door":{"score":7}}}', b"{", b"[]"]
)
def test_a_damaged_file_changes_nothing(tmp_path: Path, kept: bytes) -> None:
    (tmp_path / NAME).write_bytes(kept)
    assert Adjustments(config(tmp_path), ManualClock()).effective == config(tmp_path)


def test_a_camera_that_is_gone_leaves_nothing_to_another_of_its_name(tmp_path: Path) -> None:
    made = adjusted(tmp_path, enabled=False)
    made.config = config(tmp_path, yard=CameraConfig(source="1"))
    made.forget_gone()
    again = Adjustments(config(tmp_path), ManualClock())
    assert again.effective.cameras["door"].enabled


def test_what_was_typed_once_is_not_changed_for_later(tmp_path: Path) -> None:
    typed = Config(cameras={"cam0": CameraConfig(source="0")}, state=str(tmp_path))
    made = Adjustments(typed, ManualClock())
    asked, _ = made.with_("cam0", enabled=False)
    made.keep(asked)
    assert not made.effective.cameras["cam0"].enabled
    assert Adjustments(typed, ManualClock()).effective == typed
