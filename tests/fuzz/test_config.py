"""Whatever a configuration file holds: a configuration that can be used, or one line that says what is wrong."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import strategies as st

from edgemass import config, sinks, sources
from edgemass.clock import SystemClock
from edgemass.counters import Counters
from edgemass.errors import ConfigError, EdgemassError
from edgemass.sources import CaptureOptions
from tests.fuzz.campaign import counts, hold, may_refuse
from tests.fuzz.mutations import mutated_texts, toml_values

GOOD = b"""\
model = "demo:"
device = "pi-7f3a"
sinks = ["console:", "mqtt://user@broker"]
backend = "onnx"
threads = 2
strict = false
frames = 10

[cameras.door]
source = "rtsp://cam/1"
width = 1280
height = 720
fps = 15.0
fourcc = "MJPG"
rotate = 90
crop = [0.1, 0.2, 0.9, 1.0]
max_fps = 5.0
score = {person = 0.6, "*" = 0.5}
max_age_ms = 500
motion = {threshold = 20, min_area = 0.001, heartbeat_s = 5.0, linger_s = 2}
realtime = false

[cameras.yard]
source = "clip.mp4"
score = 0.5
"""


def check_usable(read: config.Config) -> None:
    """What the agent computes from it must be possible."""
    for camera in read.cameras.values():
        assert all(value is None or (value > 0 and math.isfinite(value)) for value in (camera.fps, camera.max_fps))
        assert camera.max_fps is None or int(1e9 / camera.max_fps) >= 0
        assert 0 < camera.max_age_ms < math.inf
        assert isinstance(camera.motion, bool) or all(
            math.isfinite(value) for value in msgspec.structs.astuple(camera.motion)
        )
        assert camera.fps is None or round(1e9 / camera.fps) >= 0
    assert read.threads is None or 0 < read.threads < 2**31
    assert read.frames is None or read.frames > 0


def read_or_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with may_refuse(ConfigError, naming=str(path)):
        check_usable(config.load(path))


@counts(300, 50_000)
def test_a_damaged_file_is_refused_or_can_be_used(tmp_path: Path, examples: int) -> None:
    path = tmp_path / "edgemass.toml"
    hold(lambda content: read_or_refused(path, content), examples, content=mutated_texts(GOOD))


@counts(300, 50_000)
def test_a_value_of_any_type_in_any_place_is_refused_or_can_be_used(tmp_path: Path, examples: int) -> None:
    path = tmp_path / "edgemass.toml"
    keys = [line.partition(b" = ")[0] for line in GOOD.splitlines() if b" = " in line]

    def promise(key: bytes, value: str) -> None:
        lines = [key + b" = " + value.encode() if line.startswith(key) else line for line in GOOD.splitlines()]
        read_or_refused(path, b"\n".join(lines))

    hold(promise, examples, key=st.sampled_from(keys), value=toml_values)


@pytest.mark.parametrize("nested", [b"a = " + b"[" * 100_000, b"a = " + b"{b=" * 100_000, b"[" + b"a." * 5000 + b"a]"])
def test_nesting_without_end_is_refused(tmp_path: Path, nested: bytes) -> None:
    path = tmp_path / "edgemass.toml"
    path.write_bytes(nested)
    with pytest.raises(ConfigError, match=r"is not TOML|unknown key"):
        config.load(path)


def test_a_file_without_end_is_refused_unread() -> None:
    with pytest.raises(ConfigError, match=r"/dev/zero is no file"):
        config.load(Path("/dev/zero"))


def test_a_file_of_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "edgemass.toml"
    with path.open("wb") as file:
        file.truncate(1 << 36)
    with pytest.raises(ConfigError, match="larger than"):
        config.load(path)


ADDRESS = st.text("abcmqtprs:/@[]?=&%#.0123456789-+*\\\"' \né\0", max_size=40)
SCHEMES = st.sampled_from(
    ["", "mqtt://", "mqtts://", "rtsp://", "file://", "images:", "synthetic:", "v4l2://", "jsonl:"]
)


@counts(400, 50_000)
def test_any_address_of_a_sink_is_opened_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, examples: int
) -> None:
    monkeypatch.chdir(tmp_path)
    context = sinks.SinkContext("pi", SystemClock(), Counters())

    def promise(scheme: str, rest: str) -> None:
        with may_refuse(EdgemassError):
            sinks.open(scheme + rest, context).close(0)

    wanted = st.sampled_from(["", "mqtt://", "mqtts://[", "serial:", "mqtt://h?version=", "://", "mqtt:"])
    hold(promise, examples, scheme=wanted, rest=ADDRESS)


@counts(400, 50_000)
def test_any_address_of_a_camera_is_opened_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, examples: int
) -> None:
    monkeypatch.chdir(tmp_path)

    def promise(scheme: str, rest: str) -> None:
        with may_refuse(EdgemassError):
            sources.open(scheme + rest, CaptureOptions(), SystemClock()).close()

    hold(promise, examples, scheme=SCHEMES, rest=ADDRESS)
