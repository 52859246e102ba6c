"""What joins the agent and its page: cameras that change, privacy, and what cannot be opened."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import msgspec
import pytest

from edgemass.agent.page import COUNTS_ONLY, OFF, Page, Told
from edgemass.clock import SystemClock
from edgemass.config import CameraConfig, Config, HttpConfig, camera_config
from edgemass.errors import ConfigError
from edgemass.messages.health import HealthMessage
from edgemass.pipeline.line import CameraLine
from edgemass.pipeline.moment import Identity
from edgemass.web.gallery import Seat
from tests import documents
from tests.simulators.device_page import RUN, Line, health
from tests.simulators.events import event

DOOR = camera_config({"source": "0"}, "camera door")


class Reading(Line):
    """private: as a camera's line has it."""

    private = False


def opened(folder: Path, told: Told | None = None, **http: str) -> Page:
    config = Config(cameras={"door": DOOR}, state=str(folder))
    table = HttpConfig(**{"listen": "0", **http})  # type: ignore[arg-type]
    identity = Identity("pi-7f3a", "boot", RUN)
    return Page(config, table, identity=identity, clock=SystemClock(), told=told or Told())


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    made = opened(tmp_path)
    yield made
    made.close()


def show(page: Page, *lines: Reading, cameras: dict[str, CameraConfig] | None = None) -> None:
    page.show([cast("CameraLine", line) for line in lines], cameras or {line.camera: DOOR for line in lines})


def is_over(seat: Seat) -> bool:
    return seat.over


def test_nothing_changes_while_the_cameras_are_the_same(page: Page) -> None:
    line = Reading("door")
    show(page, line)
    seat = page._gallery.seat("door", lambda: None)
    assert seat is not None
    show(page, line)
    assert not is_over(seat)
    show(page, line, cameras={"door": msgspec.structs.replace(DOOR, max_fps=3.0)})
    assert is_over(seat), "zones and lines may have changed: whoever looks comes again"
    seat.leave()
    assert not line.watchers


def test_a_camera_that_is_switched_off_is_shown_as_that(page: Page) -> None:
    show(page, cameras={"door": DOOR})
    told = page._status().cameras["door"]
    assert (told.view, told.why) == (False, OFF)
    assert not page._ready()


def test_a_camera_that_becomes_private_takes_its_pictures_with_it(page: Page) -> None:
    line = Reading("door")
    show(page, line)
    page.sink.event(event(1), b"jpeg")
    page.sink.publish(documents.detections("person"), documents.frame())
    show(page, line, cameras={"door": msgspec.structs.replace(DOOR, privacy="counts-only")})
    told = page._status().cameras["door"]
    assert (told.view, told.why, told.latest) == (False, COUNTS_ONLY, None)
    assert page.sink.picture_of("door-1") is None
    assert page.sink.events_since(0).events == []


def test_a_line_that_is_private_has_no_view_whatever_the_configuration_says(page: Page) -> None:
    line = Reading("door")
    line.private = True
    show(page, line)
    assert page._status().cameras["door"].why == COUNTS_ONLY


def test_ready_is_what_health_says_and_without_it_what_was_seen(page: Page, tmp_path: Path) -> None:
    line = Reading("door")
    show(page, line)
    assert not page._ready()
    page.sink.camera_state("door", documents.ONLINE)
    assert page._ready()
    known: list[HealthMessage] = [health(ready=False)]
    other = opened(tmp_path, Told(health=lambda: known[-1]))
    try:
        assert not other._ready()
        known.append(health(ready=True))
        assert other._ready()
        assert other._status().health == known[-1]
    finally:
        other.close()


@pytest.mark.parametrize("missing", ["uvicorn", "starlette"])
def test_a_missing_extra_is_named_with_what_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    for name in [name for name in sys.modules if name.startswith(("edgemass.web.", f"{missing}."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=rf"{missing}; pip install 'edgemass\[http\]'"):
        opened(tmp_path)


def test_others_are_sent_to_the_page_only_where_they_can_reach_it(
    page: Page, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert page.address == ""
    for listen in ("0.0.0.0:0", "[::]:0"):
        other = opened(tmp_path, listen=listen)
        assert other.address.endswith(f".local:{other.port}/")
        assert f", for others at {other.address}" in caplog.text
        other.close()


def test_a_state_folder_that_cannot_be_written_is_told_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"give http\.token_file"):
        opened(tmp_path / "file", listen="0.0.0.0:0")


@pytest.mark.parametrize("left", [b"", b"\xff" * 32, b"\0" * 33])
def test_a_token_that_the_disk_has_damaged_is_made_anew_and_stops_nobody(
    tmp_path: Path, left: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    kept = tmp_path / "http-token"
    kept.write_bytes(left)
    page = opened(tmp_path, listen="0.0.0.0:0")
    try:
        assert len(kept.read_text().strip()) == 32
        assert kept.stat().st_mode & 0o777 == 0o600
        assert "is damaged; another one is made" in caplog.text
    finally:
        page.close()


def test_a_token_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the token"):
        opened(tmp_path, token_file=str(tmp_path / "none"))
