"""The motion gate on real videos: what it spares, and that it spares nobody who moves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgemass import sources
from edgemass.bundles import open_detector, resolve
from edgemass.clock import SystemClock
from edgemass.config.motion import MotionConfig
from edgemass.detections import Detections
from edgemass.detector import Stream, Thresholds
from edgemass.frame import Frame
from edgemass.scene.motion import MotionGate, brightness
from edgemass.sources import CaptureOptions
from edgemass.sources.images import read
from edgemass.tensors import FloatArray
from tests.simulators.clips import write_clip
from tests.simulators.daemon import edgemass

EVERY = 3  # frames between two looks of the ungated detector
SURE, FAINT = 0.5, 0.3  # scores: what counts as a person, and what may have been one a moment ago
STANDS = 0.7  # overlap with a box of EVERY frames before (0.3 s): else the person moves
EMPTY_S = 5.5  # nobody has entered one-by-one-person-detection.mp4 before

pytestmark = [pytest.mark.assets, pytest.mark.runtime]


@pytest.fixture(scope="module")
def stream(assets: Path) -> Iterator[Stream]:
    detector, _ = open_detector(resolve(str(model(assets))), threads=1)
    yield detector.stream()
    detector.backend.close()


def model(assets: Path) -> Path:
    return assets / "detectors" / "ssd_mobilenet_v1_coco_quant_postprocess.tflite"


def frames(video: Path) -> Iterator[Frame]:
    return sources.open(str(video), CaptureOptions(), SystemClock()).frames()


def people(stream: Stream, frame: Frame) -> tuple[FloatArray, FloatArray]:
    """Boxes of what is surely a person, and of what may be one."""
    found = stream.detect(frame.image, Thresholds(FAINT)).found
    assert isinstance(found, Detections)
    person = found.take(np.flatnonzero(found.class_id == 0))
    return person.xyxy[person.score > SURE], person.xyxy


def moves(now: FloatArray, before: FloatArray) -> bool:
    """Whether somebody is not where anybody was before."""
    if len(now) == 0 or len(before) == 0:
        return len(now) > 0
    top_left = np.maximum(now[:, None, :2], before[None, :, :2])
    bottom_right = np.minimum(now[:, None, 2:], before[None, :, 2:])
    both = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (now, before)]
    overlap = both / (areas[0][:, None] + areas[1][None] - both)
    return bool((overlap.max(axis=1) < STANDS).any())


@pytest.mark.parametrize(("video", "least"), [("vtest.avi", 200), ("one-by-one-person-detection.mp4", 40)])
def test_frames_with_a_person_who_moves_are_kept(video: str, least: int, assets: Path, stream: Stream) -> None:
    gate = MotionGate(MotionConfig(heartbeat_s=3600.0))
    with_person, moving = [], []  # whether each such frame passed
    before = np.empty((0, 4), np.float32)
    for number, frame in enumerate(frames(assets / "videos" / video)):
        passed = gate.passes(brightness(frame), frame.mono_ns)
        if number % EVERY == 0:
            sure, faint = people(stream, frame)
            if len(sure):
                with_person.append(passed)
            if moves(sure, before):
                moving.append(passed)
            before = faint
    assert len(moving) >= least
    assert np.mean(moving) >= 0.98
    assert np.mean(with_person) >= 0.95  # who stands still for long is taken for the scene


def test_an_empty_room_is_skipped_until_somebody_enters(assets: Path, stream: Stream) -> None:
    gate = MotionGate(MotionConfig(heartbeat_s=3600.0, linger_s=0.5))
    passed_s, first_person_s, start_ns = [], None, None
    for frame in frames(assets / "videos" / "one-by-one-person-detection.mp4"):
        start_ns = frame.mono_ns if start_ns is None else start_ns
        at_s = (frame.mono_ns - start_ns) / 1e9
        if gate.passes(brightness(frame), frame.mono_ns):
            passed_s.append(at_s)
        if len(people(stream, frame)[0]):
            first_person_s = at_s
            break
    assert first_person_s is not None
    assert not [at_s for at_s in passed_s if 0.5 < at_s < EMPTY_S]
    entered_s = min(at_s for at_s in passed_s if at_s > EMPTY_S)
    assert entered_s <= first_person_s


def test_a_still_camera_is_looked_at_by_its_heartbeat_alone(assets: Path, tmp_path: Path) -> None:
    """The whole command, with the decoder's own noise of a compressed still picture."""
    picture = read(assets / "pictures" / "zidane.jpg")[:360, :640]
    noise = np.random.default_rng(0)
    noisy = (np.clip(picture + noise.normal(0, 4, picture.shape), 0, 255).astype(np.uint8) for _ in range(80))
    clip = write_clip(tmp_path / "still.mp4", noisy, fps=10)
    settings = f"""
        model = "{model(assets)}"
        sinks = ["jsonl:{tmp_path / "out.jsonl"}"]
        [cameras.door]
        source = "{clip}"
        motion = {{ heartbeat_s = 3, linger_s = 1 }}
    """
    (tmp_path / "edgemass.toml").write_text(settings)
    done = edgemass("run", "--config", str(tmp_path / "edgemass.toml"))
    assert done.returncode == 0, done.stderr
    documents = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    start_ns = documents[0]["mono_ns"]
    # the first frame and what lingers after it, then a heartbeat 3 s after the last one of those, and another
    assert [round((document["mono_ns"] - start_ns) / 1e8) for document in documents] == [*range(10), 39, 69]
    assert "frames_still=68" in done.stderr
