"""Videos with a bright thing that walks from left to right, and a detector that finds what is bright."""

from __future__ import annotations

import errno
import re
import threading
import types
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
import pytest
from av.video.stream import VideoStream

from edgemass import annotate, cli
from edgemass.annotate import Annotated, frames_to_come, open_source
from edgemass.config import CameraConfig
from edgemass.config.scene import LineConfig, ZoneConfig
from edgemass.detections import Classification, Detections
from edgemass.detector import Detector, Inference, Ran, Thresholds
from edgemass.errors import ConfigError, EdgemassError, SourceError, UsageError
from edgemass.frame import Image

WIDTH, HEIGHT, FRAMES = 160, 90, 60


class Bright:
    """Finds the bright thing in a picture: a detector that looks at nothing but pixels."""

    def __init__(self, task: str = "detection", *, after: Callable[[int], None] = lambda _: None) -> None:
        self.manifest = types.SimpleNamespace(
            name="bright", task=task, labels=("person", "car"), score=0.5, input=types.SimpleNamespace(text=None)
        )
        self.seen: list[Image] = []
        self._after = after

    def stream(self) -> Bright:
        return self

    def detect(self, image: Image, thresholds: Thresholds) -> Inference:  # noqa: ARG002
        self.seen.append(image)
        self._after(len(self.seen))
        if self.manifest.task == "classification":
            found: Detections | Classification = Classification(np.array([0.9], np.float32), np.array([1], np.int64))
        else:
            rows, columns = np.nonzero(image[..., 1] > 200)
            boxes = [[columns.min(), rows.min(), columns.max(), rows.max()]] if len(rows) else []
            n = len(boxes)
            xyxy = np.array(boxes, np.float32).reshape(n, 4)
            found = Detections(xyxy, np.full(n, 0.9, np.float32), np.zeros(n, np.int64))
        return Inference(found, Ran(0, "scripted/cpu", ""))


def video(path: Path, *, frames: int = FRAMES, width: int = WIDTH, step: int = 1) -> Path:
    """Ten frames a second; every tenth second has only one. step: in frames, from one to the next."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, HEIGHT, "yuv420p"
        for number in range(frames):
            image = np.full((HEIGHT, width, 3), 60, np.uint8)
            left = 5 + number * step * 2
            image[30:70, left : left + 20] = 255
            picture = av.VideoFrame.from_ndarray(image, format="bgr24")
            picture.pts, picture.time_base = number * step, Fraction(1, 10)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def run(
    source: str,
    target: Path,
    camera: CameraConfig | None = None,
    *,
    detector: Bright | None = None,
    frames: int | None = None,
    stop: threading.Event | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Annotated:
    wanted = camera or CameraConfig(source=source)
    opened = open_source(source, wanted, target, frames=frames)
    model = cast("Detector", detector or Bright())
    return annotate.annotate(
        opened, target, model, wanted, frames=frames, stop=stop or threading.Event(), progress=progress
    )


def decoded(path: Path) -> list[tuple[float, Image]]:
    with av.open(str(path)) as container:
        return [
            (picture.time or 0.0, np.asarray(picture.to_ndarray(format="bgr24"), np.uint8))
            for picture in container.decode(video=0)
        ]


def test_every_frame_comes_out_at_its_own_time_with_what_was_seen_drawn(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    clip = video(tmp_path / "in.mp4", step=2, frames=25)
    result = run(str(clip), tmp_path / "out.mp4", progress=lambda *done: told.append(done))
    found = decoded(tmp_path / "out.mp4")
    assert [at_s for at_s, _ in found] == pytest.approx([number * 0.2 for number in range(25)], abs=0.001)
    before = [image for _, image in decoded(clip)]
    assert np.abs(before[20].astype(int) - found[20][1]).max() > 60
    assert (result.frames, result.things, result.stopped) == (25, {"person": 1}, False)
    assert result.size_bytes == (tmp_path / "out.mp4").stat().st_size
    assert told == [(number, 25) for number in range(1, 26)]


def test_zones_lines_and_counts_of_a_camera_are_counted_and_drawn(tmp_path: Path) -> None:
    clip = video(tmp_path / "in.mp4")
    camera = CameraConfig(
        source=str(clip),
        lines={"gate": LineConfig(points=((0.5, 0.0), (0.5, 1.0)))},
        zones={"right": ZoneConfig(points=((0.6, 0.0), (1.0, 0.0), (1.0, 1.0), (0.6, 1.0)))},
    )
    result = run(str(clip), tmp_path / "out.mp4", camera)
    assert sorted(result.lines["gate"]) == [0, 1]
    pictures = [image.astype(int) for _, image in decoded(tmp_path / "out.mp4")]
    zone = (slice(75, 88), slice(105, 155))  # where nobody walks
    assert (
        np.abs(pictures[-1][zone].mean(axis=(0, 1)) - 60).max() > np.abs(pictures[5][zone].mean(axis=(0, 1)) - 60).max()
    )


def test_rotation_crop_masks_and_rate_of_the_camera_count(tmp_path: Path) -> None:
    clip = video(tmp_path / "in.mp4")
    mask = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.2), (0.0, 0.2))
    camera = CameraConfig(source=str(clip), rotate=90, crop=(0.0, 0.0, 0.5, 1.0), masks=(mask,), max_fps=5)
    detector = Bright()
    result = run(str(clip), tmp_path / "out.mp4", camera, detector=detector)
    assert (result.width, result.height) == (90, 80)
    assert result.frames == len(detector.seen) == FRAMES // 2
    assert all((image[:15] == 0).all() for image in detector.seen)
    assert result.seconds == pytest.approx(5.8, abs=0.001)


def test_it_ends_after_so_many_frames(tmp_path: Path) -> None:
    result = run(str(video(tmp_path / "in.mp4")), tmp_path / "out.mp4", frames=7)
    assert result.frames == len(decoded(tmp_path / "out.mp4")) == 7


def test_whoever_stops_it_has_what_was_done_as_a_video_that_plays(tmp_path: Path) -> None:
    stop = threading.Event()
    detector = Bright(after=lambda count: stop.set() if count == 12 else None)
    result = run(str(video(tmp_path / "in.mp4")), tmp_path / "out.mp4", detector=detector, stop=stop)
    assert result.stopped
    assert result.frames == len(decoded(tmp_path / "out.mp4")) == 12


def test_what_fails_on_the_way_leaves_neither_a_file_nor_a_part_of_one(tmp_path: Path) -> None:
    def fail(count: int) -> None:
        if count == 5:
            raise RuntimeError("broken")

    clip = video(tmp_path / "in.mp4")
    (tmp_path / "out").mkdir()
    with pytest.raises(RuntimeError, match="broken"):
        run(str(clip), tmp_path / "out" / "out.mp4", detector=Bright(after=fail))
    assert list((tmp_path / "out").iterdir()) == []


def test_classifiers_have_their_classes_drawn(tmp_path: Path) -> None:
    clip = video(tmp_path / "in.mp4")
    result = run(str(clip), tmp_path / "out.mp4", detector=Bright("classification"), frames=3)
    assert result.things == {}
    plain, drawn = decoded(clip)[2][1], decoded(tmp_path / "out.mp4")[2][1]
    assert np.abs(plain[:14, :60].astype(int) - drawn[:14, :60]).max() > 60


def test_pictures_of_a_folder_are_a_video_too(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, size in enumerate([(40, 63), (48, 64), (90, 20)]):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((*size, 3), 80, np.uint8))
    result = run(str(folder), tmp_path / "out.mp4", CameraConfig(source=str(folder), fps=4))
    found = decoded(tmp_path / "out.mp4")
    assert (result.frames, result.width, result.height) == (3, 64, 40)
    assert [at_s for at_s, _ in found] == pytest.approx([0, 0.25, 0.5], abs=0.001)


def test_about_how_many_frames_there_will_be_is_known(tmp_path: Path) -> None:
    clip = str(video(tmp_path / "in.mp4"))
    plain, slower = CameraConfig(source=clip), CameraConfig(source=clip, max_fps=2.5)
    source = open_source(clip, plain, tmp_path / "out.mp4", frames=None)
    assert [frames_to_come(source, plain, frames) for frames in (None, 7, 500)] == [60, 7, 60]
    assert frames_to_come(source, slower, None) == 15
    drawn = open_source("synthetic:", plain, tmp_path / "out.mp4", frames=9)
    assert frames_to_come(drawn, plain, 9) == 9


def test_a_mistake_says_what_to_do_and_touches_nothing(tmp_path: Path) -> None:
    clip = str(video(tmp_path / "in.mp4"))
    before = (tmp_path / "in.mp4").read_bytes()
    cases: list[tuple[str, Path, type[EdgemassError], str]] = [
        ("nowhere.mp4", tmp_path / "out.mp4", SourceError, "nowhere.mp4"),
        (clip, tmp_path / "no" / "out.mp4", UsageError, "there is no folder"),
        (clip, tmp_path / "in.mp4", UsageError, "the video itself"),
        (clip, tmp_path / "out.gif", UsageError, "ends with .mp4"),
        (clip, tmp_path, UsageError, "cannot tell the format"),
        ("rtsp://127.0.0.1:1/cam", tmp_path / "out.mp4", UsageError, "--frames"),
        ("text:-", tmp_path / "out.mp4", UsageError, "gives texts"),
    ]
    for source, target, kind, says in cases:
        with pytest.raises(kind, match=re.escape(says)):
            run(source, target)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
    assert (tmp_path / "in.mp4").read_bytes() == before


def test_a_camera_that_does_not_go_with_the_model_is_refused(tmp_path: Path) -> None:
    clip = str(video(tmp_path / "in.mp4"))
    zone = ZoneConfig(points=((0, 0), (1, 0), (1, 1)), labels=("persn",))
    cases = [
        (CameraConfig(source=clip, privacy="counts-only"), Bright(), "counts-only"),
        (CameraConfig(source=clip, zones={"door": zone}), Bright(), "'persn'"),
        (CameraConfig(source=clip, zones={"door": zone}), Bright("classification"), "finds boxes"),
    ]
    for camera, detector, says in cases:
        with pytest.raises(ConfigError, match=says):
            run(clip, tmp_path / "out.mp4", camera, detector=detector)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--frames", "0"], "--frames must be above 0"),
        (["--max-fps", "nan"], "--max-fps must be above 0"),
        (["--score", "7"], "between 0 and 1"),
        (["--camera", "door"], "give --config FILE too"),
        (["--config", "CONFIG"], "say which with --camera"),
        (["--config", "CONFIG", "--camera", "garden"], "has no camera 'garden'; it has door, yard"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    tmp_path: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.toml").write_text('[cameras.door]\nsource = "0"\n[cameras.yard]\nsource = "1"\n')
    words = [str(tmp_path / "c.toml") if word == "CONFIG" else word for word in arguments]
    assert cli.main(["annotate", "in.mp4", "-o", str(tmp_path / "out.mp4"), *words]) == 2
    told = capsys.readouterr().err
    assert says in told
    assert told.count("\n") == 1


def test_a_full_disk_is_told_with_the_name_of_the_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> Annotated:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / ".out.mp4.1.part"))

    monkeypatch.setattr(annotate, "annotate", full)
    out = tmp_path / "out.mp4"
    assert cli.main(["annotate", "synthetic:?frames=2", "-o", str(out)]) == 1
    assert f"cannot write {out}: No space left on device; make room" in capsys.readouterr().err
