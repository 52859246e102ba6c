"""With the distribution's GStreamer and PyGObject, in this process and as a user runs it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemass import sources
from edgemass.clock import SystemClock
from edgemass.counters import Counters
from edgemass.errors import SourceError, SourceNotFoundError, UsageError
from edgemass.pipeline.capture import Capture
from edgemass.sources import CaptureOptions, csi, gstreamer
from edgemass.sources.gstreamer import GstCamera
from tests.simulators import system_gstreamer
from tests.simulators.system_gstreamer import FakeElement

pytestmark = [
    pytest.mark.rtsp,  # the same packages
    pytest.mark.filterwarnings("ignore:DynamicImporter:ImportWarning"),  # PyGObject 3.42 on Python 3.10 and newer
]

PATIENCE_S = 10.0
SMALL = "video/x-raw,width=64,height=48,framerate=30/1"


@pytest.fixture(scope="module")
def folder_of_gi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gi")
    try:
        system_gstreamer.provide(folder)
    except system_gstreamer.MissingError as error:
        if os.environ.get("CI") and error.installable:
            pytest.fail(str(error))
        pytest.skip(str(error))
    return folder


@pytest.fixture(autouse=True)
def gst(folder_of_gi: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(folder_of_gi))
    return gstreamer.load("the tests")


def opened(address: str, **options: Any) -> GstCamera:
    camera = sources.open(address, CaptureOptions(**options), SystemClock())
    assert isinstance(camera, GstCamera)
    return camera


def error_of(address: str) -> str:
    """What the frames end with."""
    with pytest.raises(SourceError) as told:
        list(opened(address).frames())
    assert "\n" not in str(told.value)
    return str(told.value)


def test_pictures_arrive_as_bgr_whatever_the_pipeline_gives_and_however_wide_they_are() -> None:
    for caps in ("format=I420,width=64", "format=RGBA,width=62", "format=YUY2,width=66", "format=GRAY8,width=65"):
        camera = opened(f"gst:videotestsrc is-live=true pattern=red ! video/x-raw,{caps},height=48,framerate=30/1")
        frames = list(itertools.islice(camera.frames(), 3))
        for frame in frames:
            assert frame.image.shape == (48, int(caps[-2:]), 3) == (frame.height, frame.width, 3)
            if "GRAY" not in caps:  # of red, whose blue and green are next to nothing
                assert np.abs(frame.image.astype(int) - [0, 0, 255]).max() < 12
        assert all(later.mono_ns > earlier.mono_ns for earlier, later in itertools.pairwise(frames))
        assert all(frame.arrived_ns == frame.mono_ns for frame in frames)


def test_a_picture_can_be_looked_at_after_its_pipeline_is_gone() -> None:
    frames = opened(f"gst:videotestsrc pattern=blue ! {SMALL}").frames()
    frame = next(frames)
    frames.close()  # type: ignore[attr-defined]  # every source's iterator is a generator
    assert np.abs(frame.image.astype(int) - [255, 0, 0]).max() < 12


def test_an_appsink_of_the_users_own_is_read() -> None:
    camera = opened(f"gst:videotestsrc ! {SMALL} ! videoconvert ! video/x-raw,format=BGR ! appsink name=mine")
    assert next(camera.frames()).image.shape == (48, 64, 3)


def test_an_appsink_without_bgr_is_told_what_to_put_before_it() -> None:
    text = f"gst:videotestsrc ! {SMALL},format=NV12 ! appsink"
    assert "gives NV12; wanted BGR: put `videoconvert ! video/x-raw,format=BGR` before" in error_of(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("videotestsrc !", "syntax error"),
        ("videotestsrc colour=red", 'no property "colour" in element "videotestsrc"'),
        ("videotestsrc pattern=pink", 'could not set property "pattern"'),
        ("audiotestsrc", "could not link audiotestsrc0 to videoconvert"),
        ("videotestsrc ! fakesink", "could not link fakesink"),
        ("appsink", "has 0 appsinks behind a source"),
        ("videotestsrc ! appsink videotestsrc ! appsink", "has 2 appsinks behind a source"),
    ],
)
def test_what_is_no_pipeline_is_refused_before_anything_runs(text: str, words: str) -> None:
    with pytest.raises(UsageError) as told:
        opened(f"gst:{text}")
    assert words in " ".join(str(told.value).replace("audiotestsrc1", "audiotestsrc0").split())


@pytest.mark.parametrize(
    ("element", "advice"),
    [
        ("nvarguscamerasrc", "it comes with NVIDIA's JetPack, on a Jetson only"),
        ("libcamerasrc", "it comes with gstreamer1.0-libcamera"),
        ("videotestsource", "is its name right, and its plug-in installed?"),
    ],
)
def test_an_element_that_is_missing_is_named_with_what_brings_it(element: str, advice: str, gst: Any) -> None:
    if gst.ElementFactory.find(element) is not None:
        pytest.skip(f"{element} is here")
    with pytest.raises(SourceNotFoundError, match=f'no element "{element}"; {advice}'.replace("?", r"\?")):
        opened(f"gst:{element} ! videoconvert")


def test_a_device_that_is_not_there_is_told_in_the_drivers_words() -> None:
    words = error_of("gst:v4l2src device=/dev/video987")
    assert "failed in v4l2src" in words
    assert "No such file or directory" in words


def test_a_password_is_in_no_error() -> None:
    words = error_of("gst:rtspsrc location=rtsp://admin:hunter2@127.0.0.1:1/cam user-pw=hunter2 ! decodebin")
    assert "failed in rtspsrc" in words
    assert "hunter2" not in words


def test_a_pipeline_that_breaks_gives_its_pictures_and_then_the_reason() -> None:
    frames = opened(f"gst:videotestsrc ! {SMALL} ! identity error-after=4").frames()
    assert next(frames).image.shape == (48, 64, 3)
    with pytest.raises(SourceError, match="failed in identity"):
        list(frames)


def test_a_pipeline_that_ends_is_told_and_can_be_begun_again() -> None:
    camera = opened(f"gst:videotestsrc num-buffers=2 ! {SMALL}")
    for _ in range(2):
        frames = camera.frames()
        assert next(frames).image.shape == (48, 64, 3)
        with pytest.raises(SourceError, match=r" ended$"):
            list(frames)


def test_a_pipeline_that_gives_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gstreamer, "START_S", 0.5)
    assert "is silent: no picture for 0 s" in error_of(f"gst:appsrc is-live=true ! {SMALL}")


def test_a_pipeline_that_falls_silent_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gstreamer, "SILENCE_S", 1.0)
    frames = opened("gst:videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=1/60").frames()
    next(frames)
    with pytest.raises(SourceError, match="is silent: no picture for 1 s"):
        next(frames)


def test_a_picture_that_its_decoder_calls_damaged_is_counted_and_left_out(gst: Any) -> None:
    camera = opened(f"gst:videotestsrc ! {SMALL}")
    caps = gst.Caps.from_string("video/x-raw,format=BGR,width=4,height=2")
    for flags, given in ((0, True), (gst.BufferFlags.CORRUPTED, False)):
        buffer = gst.Buffer.new_wrapped(bytes(24))
        buffer.set_flags(flags)
        assert (camera._frame(gst, gst.Sample.new(buffer, caps, None, None)) is not None) is given
    assert camera.corrupt == 1


def test_close_ends_a_wait_for_pictures() -> None:
    camera = opened(f"gst:appsrc is-live=true ! {SMALL}")
    thread = threading.Thread(target=lambda: list(camera.frames()))
    thread.start()
    camera.close()
    thread.join(PATIENCE_S)  # below the 15 s after which silence is noticed
    assert not thread.is_alive()
    assert list(camera.frames()) == []


def test_opening_and_closing_leaves_no_thread_behind() -> None:
    def open_once() -> None:
        frames = opened(f"gst:videotestsrc is-live=true ! {SMALL} ! queue").frames()
        next(frames)
        frames.close()  # type: ignore[attr-defined]  # every source's iterator is a generator

    open_once()
    before = native_threads()
    for _ in range(10):
        open_once()
    give_up = time.monotonic() + PATIENCE_S
    while native_threads() > before and time.monotonic() < give_up:
        time.sleep(0.05)
    assert native_threads() <= before


def native_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_a_pipeline_that_breaks_is_begun_again_by_its_capture() -> None:
    counters = Counters()
    camera = opened(f"gst:videotestsrc is-live=true ! {SMALL} ! identity error-after=5")
    capture = Capture("cam", camera, clock=SystemClock(), counters=counters)
    capture.start()
    try:
        give_up = time.monotonic() + PATIENCE_S
        while counters["reconnects"] < 2 and time.monotonic() < give_up:
            capture.slot.get(0.1)
        assert counters["reconnects"] >= 2
    finally:
        assert capture.stop(5.0)


@pytest.fixture
def raspberry() -> Iterator[FakeElement]:
    with FakeElement("libcamerasrc", source="videotestsrc is-live=true", properties=("camera-name",)) as element:
        yield element


@pytest.fixture
def jetson() -> Iterator[FakeElement]:
    argus = FakeElement("nvarguscamerasrc", source="appsrc is-live=true", properties=("sensor-id",))
    converter = FakeElement("nvvidconv", source="videotestsrc is-live=true", sink="fakesink async=false")
    libcamera = FakeElement("libcamerasrc", source="videotestsrc")
    with argus, converter, libcamera:
        yield argus


def test_csi_takes_libcamera_where_there_is_no_argus(raspberry: FakeElement) -> None:
    name = "/base/soc/i2c0mux/i2c@1/imx219@10"
    camera = opened(f"csi://{name}", width=128, height=96, fps=15)
    frame = next(camera.frames())
    assert (frame.width, frame.height) == (128, 96)
    assert raspberry.set_to["camera-name"][-1] == name


def test_csi_takes_a_number_of_what_libcamera_lists(raspberry: FakeElement, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = opened("csi://1", width=64, height=48)
    with pytest.raises(SourceError, match="csi://1 is not there; libcamera lists none"):
        next(camera.frames())
    monkeypatch.setattr(csi, "_listed", lambda _: ["/base/a", "/base/b"])  # the ribbon cable is in
    assert next(camera.frames()).image.shape == (48, 64, 3)
    assert raspberry.set_to["camera-name"][-1] == "/base/a"


def test_csi_takes_argus_where_it_is_with_the_sensor_of_that_number(jetson: FakeElement) -> None:
    camera = opened("csi://1", width=1280, height=720, fps=30)
    assert next(camera.frames()).image.ndim == 3
    assert set(jetson.set_to["sensor-id"]) == {"1"}
    with pytest.raises(UsageError, match="wanted its sensor-id: csi://0"):
        opened("csi:///base/soc/i2c0mux/i2c@1/imx219@10")


def test_csi_names_both_elements_where_there_is_neither(gst: Any) -> None:
    if gst.ElementFactory.find("libcamerasrc") or gst.ElementFactory.find("nvarguscamerasrc"):
        pytest.skip("this machine has one")
    with pytest.raises(SourceNotFoundError, match=r'no element "nvarguscamerasrc".*"libcamerasrc".*apt-get install'):
        opened("csi://0")


def run(folder: Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if folder is not None:
        environment["PYTHONPATH"] = str(folder)
    return subprocess.run(
        [sys.executable, "-m", "edgemass", "run", "--model", "demo:", "--sink", "jsonl:-", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
    )


def test_a_pipeline_feeds_the_line(folder_of_gi: Path) -> None:
    done = run(folder_of_gi, "--camera", "door=gst:videotestsrc is-live=true ! " + SMALL, "--frames", "3")
    assert done.returncode == 0, done.stderr
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["camera"], each["seq"]) for each in documents] == [("door", 1), ("door", 2), ("door", 3)]
    assert documents[0]["frame"] == {"width": 64, "height": 48}


def test_a_missing_element_ends_the_command_with_one_line(folder_of_gi: Path) -> None:
    done = run(folder_of_gi, "--camera", "gst:nosuchsrc")
    assert done.returncode == 1
    assert done.stdout == ""
    words = 'no element "nosuchsrc"; is its name right, and its plug-in installed?'
    assert done.stderr == f"edgemass: error: gst:nosuchsrc cannot be built: {words}\n"


def test_missing_pygobject_ends_the_command_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "gi.py").write_text("raise ImportError('No module named gi')\n", encoding="utf-8")
    done = run(tmp_path, "--camera", "gst:videotestsrc")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "apt-get install python3-gi" in done.stderr
