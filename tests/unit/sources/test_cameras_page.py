"""docs/cameras.md against the code."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from edgemass import sources
from edgemass.cli import parser
from edgemass.cli.run import _cameras
from edgemass.config import CameraConfig, load
from edgemass.config.motion import MotionConfig
from edgemass.errors import SourceNotFoundError
from edgemass.sources import SOURCES, CaptureOptions
from tests.simulators.manual_clock import ManualClock

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "cameras.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^edgemass run .*$", PAGE, re.MULTILINE)


def addresses(command: str) -> list[str]:
    options = parser().parse_args(shlex.split(command)[1:])
    return list(_cameras(options.camera, taken=()).values())


def test_every_source_has_an_example() -> None:
    shown = {sources.scheme(address) for command in COMMANDS for address in addresses(command)}
    assert shown >= set(SOURCES) - {"rtsps"}  # the same as rtsp but for its first letters
    assert all(f"`{row}:" in PAGE for row in SOURCES)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_example_is_understood(command: str) -> None:
    for address in addresses(command):
        with suppress(SourceNotFoundError):  # the file, GStreamer or the element is not here: no mistake of the page
            assert sources.open(address, CaptureOptions(), ManualClock()).name


def test_the_configuration_shown_is_accepted(tmp_path: Path) -> None:
    tables = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "edgemass.toml").write_text("\n".join(tables), encoding="utf-8")
    assert load(tmp_path / "edgemass.toml").cameras == {
        "door": CameraConfig(source="csi://0", width=1280, height=720, fps=30, rotate=180),
        "yard": CameraConfig(source="rtsp://10.0.0.7/stream1", max_age_ms=500, motion=MotionConfig()),
    }


def test_every_key_of_motion_is_told_with_its_default() -> None:
    for field in msgspec.structs.fields(MotionConfig):
        assert re.search(rf"^\| `{field.name}` \| [^|]+ \| {field.default:g} \|", PAGE, re.MULTILINE), field.name
