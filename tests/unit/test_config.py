from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgemass import config
from edgemass.config import CameraConfig
from edgemass.config.motion import MotionConfig
from edgemass.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "edgemass.toml"
    path.write_text(text)
    return path


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        device = "pi-7f3a"
        model = "bundles/yolov8n"
        sinks = ["mqtt://broker", "console:"]
        [cameras.door]
        source = "rtsp://cam/1"
        rotate = 90
        crop = [0.0, 0.1, 1.0, 0.9]
        max_fps = 10
        score = { person = 0.6, "*" = 0.5 }
        """,
    )
    read = config.load(path)
    door = read.cameras["door"]
    assert (read.device, read.model, read.sinks) == ("pi-7f3a", "bundles/yolov8n", ("mqtt://broker", "console:"))
    assert (door.rotate, door.crop, door.max_fps) == (90, (0.0, 0.1, 1.0, 0.9), 10.0)
    assert door.score == {"person": 0.6, "*": 0.5}


def test_an_unknown_key_names_file_camera_key_and_the_nearest_known_one(tmp_path: Path) -> None:
    path = write(tmp_path, '[cameras.door]\nsource = "0"\nrotat = 90\n')
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "camera door" in message
    assert "`rotat`" in message
    assert "`rotate`" in message


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("rotate = 45", "rotate"),
        ("crop = [0.5, 0.0, 0.2, 1.0]", "crop must be"),
        ("max_fps = 0", "max_fps must be above 0"),
        ('fourcc = "MJPEG"', "four characters"),
        ("score = 1.5", "between 0 and 1"),
        ("max_age_ms = 0", "max_age_ms must be above 0"),
        ("max_age_ms = nan", "max_age_ms must lie between"),
        ('motion = "yes"', "must be true or false or a table, found text"),
        ("motion = { threshold = 0 }", "threshold must lie between 1 and 254"),
        ("motion = { min_area = nan }", "min_area must lie between 0 and 1"),
        ("motion = { linger_s = -1 }", "linger_s must lie between"),
        ("motion = { heart_s = 1 }", "unknown key `heart_s` of `motion`; did you mean `heartbeat_s`?"),
        ('width = "wide"', "width"),
    ],
)
def test_a_value_out_of_range_says_what_was_wanted(tmp_path: Path, line: str, told: str) -> None:
    path = write(tmp_path, f'[cameras.door]\nsource = "0"\n{line}\n')
    with pytest.raises(ConfigError, match=re.escape(told)):
        config.load(path)


def test_motion_is_off_or_on_or_a_table_of_what_counts_as_it(tmp_path: Path) -> None:
    read = [
        config.load(write(tmp_path, f'[cameras.door]\nsource = "0"\n{line}\n')).cameras["door"].motion
        for line in ("", "motion = true", "motion = { heartbeat_s = 60 }")
    ]
    assert read == [False, True, MotionConfig(heartbeat_s=60.0)]


@pytest.mark.parametrize("text", ["cameras = 3", "[cameras]\ndoor = 3", "not toml at all", '\x00"'])
def test_a_file_of_another_shape_is_a_configuration_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        config.load(write(tmp_path, text))


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        config.load(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("name", ["a/b", "#", "a+b", ""])
def test_a_camera_name_that_no_topic_can_hold_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        config.convert({"cameras": {name: CameraConfig(source="0")}}, config.Config, "here")


def test_the_device_id_is_stable_and_differs_between_machines(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("1f3c\n")
    second.write_text("77aa\n")
    assert config.device_id(first) == config.device_id(first)
    assert config.device_id(first) != config.device_id(second)
    assert config.device_id(tmp_path / "none")
