"""GStreamer pipelines, with PyGObject: `gst:v4l2src device=/dev/video0 ! image/jpeg ! jpegdec`.

Any pipeline as gst-launch-1.0 takes it, up to something that gives pictures; conversion to BGR and the appsink are
added where it has no appsink of its own. It counts as a camera: only its newest frame matters, and when it ends it is
begun again. A pipeline that is not live (a file) plays at its own speed.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from edgemass.clock import Clock
from edgemass.errors import SourceError, SourceNotFoundError, UsageError
from edgemass.frame import Frame, Image
from edgemass.redact import redact
from edgemass.sources import CaptureOptions

START_S = 15.0  # to the first picture: a sensor that wakes up (Argus takes 2 to 5 s), or a network camera inside
SILENCE_S = 4.0  # between two pictures; the promise is to notice a silent camera within 5 s
READ_TIMEOUT_S = 20.0  # past both: only a driver that hangs gets so far
NAME_LENGTH = 100  # a pipeline may be long, and its name stands in every message

SINK = "appsink name=edgemass_pictures max-buffers=1 drop=true"
INSTALL = (
    "on Debian and its kin: sudo apt-get install python3-gi gir1.2-gstreamer-1.0 gstreamer1.0-plugins-base, "
    "and an environment of the system's Python made with --system-site-packages"
)
_POLL_NS = 200_000_000  # how soon an error on the bus, or the end of the source, is noticed
_APPSINK = re.compile(r"(?<![\w=./-])appsink(?![\w=./-])")
_SECRET = re.compile(r"(?i)\b((?:[\w-]*-)?(?:pw|password|passphrase|secret|token)\s*=\s*)(\"[^\"]*\"|\S+)")
_NO_ELEMENT = re.compile(r'no element "(?P<element>.+)"')
_PLUGINS = {  # element, by its beginning -> what brings it
    "appsink": "gstreamer1.0-plugins-base",
    "videoconvert": "gstreamer1.0-plugins-base",
    "v4l2": "gstreamer1.0-plugins-good",
    "rtsp": "gstreamer1.0-plugins-good",
    "jpegdec": "gstreamer1.0-plugins-good",
    "h264parse": "gstreamer1.0-plugins-bad",
    "h265parse": "gstreamer1.0-plugins-bad",
    "avdec": "gstreamer1.0-libav",
    "libcamera": "gstreamer1.0-libcamera",
    "nv": "NVIDIA's JetPack, on a Jetson only",
}


def open(uri: str, options: CaptureOptions, clock: Clock) -> GstCamera:  # noqa: A001 (the plug-ins' own word)
    """A pipeline whose text has been read and whose elements are there; no device is touched yet.

    Width, height and rate are for the pipeline to say.

    Raises:
        UsageError: it is no pipeline, or sets what an element does not have.
        SourceNotFoundError: PyGObject, GStreamer or an element is not installed.
    """
    del options
    text = re.sub(r"^gst:", "", uri, flags=re.IGNORECASE).strip()
    if not text:
        raise UsageError(f"{uri!r} holds no pipeline; wanted gst:ELEMENT ! ELEMENT, such as gst:v4l2src ! jpegdec")
    name = name_of(text)
    check(with_appsink(text), name)
    return GstCamera(name, lambda: with_appsink(text), clock)


def name_of(text: str) -> str:
    """The pipeline without passwords, short enough for a log line."""
    shown = "gst:" + hide(text)
    return shown if len(shown) <= NAME_LENGTH else shown[: NAME_LENGTH - 3] + "..."


def hide(text: str) -> str:
    """One line without the passwords of addresses and of properties such as user-pw."""
    return _SECRET.sub(r"\1***", redact(" ".join(text.split())))


def with_appsink(text: str) -> str:
    """The pipeline with its end added, where it has no appsink."""
    return text if _APPSINK.search(text) else f"{text} ! videoconvert ! video/x-raw,format=BGR ! {SINK}"


def load(name: str) -> Any:
    """The module Gst, initialised.

    name: what asks for it, for the error.

    Raises:
        SourceNotFoundError: PyGObject or GStreamer is not installed.
    """
    try:
        import gi  # noqa: PLC0415 (comes from the distribution, and only these sources need it)

        gi.require_version("Gst", "1.0")
        from gi.repository import Gst  # noqa: PLC0415 (its version must be asked for first)
    except (ImportError, ValueError) as error:  # ValueError: no introspection data of GStreamer
        why = " ".join(str(error).split())
        raise SourceNotFoundError(f"{name} needs GStreamer and PyGObject ({why}); {INSTALL}") from error
    Gst.init(None)
    return Gst


def check(text: str, name: str) -> None:
    """Make a pipeline and let go of it.

    Raises:
        UsageError, SourceNotFoundError: as `open` tells.
    """
    _parse(load(name), text, name)


def _parse(gst: Any, text: str, name: str) -> tuple[Any, Any]:
    """The pipeline and its appsink."""
    from gi.repository import GLib  # noqa: PLC0415 (`load` has made sure of it)

    try:
        pipeline = gst.parse_launch(text)
    except GLib.Error as error:
        raise _not_a_pipeline(name, str(error.message)) from error
    found = _appsinks(gst, pipeline) if isinstance(pipeline, gst.Pipeline) else []
    if len(found) != 1:
        raise UsageError(f"{name} has {len(found)} appsinks behind a source; wanted one, or none and it is added")
    return pipeline, found[0]


def _not_a_pipeline(name: str, problem: str) -> UsageError | SourceNotFoundError:
    told = hide(problem)
    missing = _NO_ELEMENT.search(problem)
    if missing is None:
        return UsageError(f"{name} is no pipeline to raw pictures: {told}; try it with gst-launch-1.0")
    package = next((brings for begin, brings in _PLUGINS.items() if missing["element"].startswith(begin)), None)
    advice = f"it comes with {package}" if package else "is its name right, and its plug-in installed?"
    return SourceNotFoundError(f"{name} cannot be built: {told}; {advice}")


def _appsinks(gst: Any, pipeline: Any) -> list[Any]:
    found: list[Any] = []
    sinks = pipeline.iterate_all_by_element_factory_name("appsink")
    while True:
        result, sink = sinks.next()
        if result != gst.IteratorResult.OK:
            return found
        found.append(sink)


class GstCamera:
    """One pipeline. Frames are stamped when they arrive.

    make_text: called for each opening, for pipelines whose text depends on what is plugged in; may raise SourceError.
    corrupt: pictures so far that a decoder marked as damaged; they are left out.
    """

    live = True
    realtime = True
    read_timeout_s = READ_TIMEOUT_S

    def __init__(self, name: str, make_text: Callable[[], str], clock: Clock) -> None:
        self.name = name
        self.corrupt = 0
        self._make_text = make_text
        self._clock = clock
        self._closed = threading.Event()

    def close(self) -> None:
        self._closed.set()

    def frames(self) -> Iterator[Frame]:
        if self._closed.is_set():
            return
        gst = load(self.name)
        try:
            pipeline, sink = _parse(gst, self._make_text(), self.name)
        except UsageError as error:  # it could be read before: it will be again when a device is back
            raise SourceError(str(error)) from error
        try:
            self._play(gst, pipeline, sink)
            yield from self._watch(gst, pipeline, sink)
        finally:
            pipeline.set_state(gst.State.NULL)

    def _play(self, gst: Any, pipeline: Any, sink: Any) -> None:
        live = pipeline.set_state(gst.State.PAUSED) == gst.StateChangeReturn.NO_PREROLL
        if sink.get_name() == "edgemass_pictures":
            sink.set_property("sync", not live)  # what is live comes when it should; waiting would only add lag
        elif sink.get_property("max-buffers") == 0:  # GStreamer's default: no bound
            sink.set_property("max-buffers", 1)
            sink.set_property("drop", True)  # noqa: FBT003 (GObject's own call)
        if pipeline.set_state(gst.State.PLAYING) == gst.StateChangeReturn.FAILURE:
            raise self._fault(gst, pipeline) or SourceError(
                f"{self.name} cannot be started; try it with gst-launch-1.0"
            )

    def _watch(self, gst: Any, pipeline: Any, sink: Any) -> Iterator[Frame]:
        """Frames until the source is closed.

        Raises:
            SourceError: an element failed, the pipeline ended, or nothing comes.
        """
        patience_s = START_S
        waited_since_ns = self._clock.monotonic_ns()
        while not self._closed.is_set():
            sample = sink.emit("try-pull-sample", _POLL_NS)  # the GIL is released meanwhile
            if sample is not None:
                frame = self._frame(gst, sample)
                if frame is not None:
                    yield frame
                    patience_s = SILENCE_S
                    waited_since_ns = self._clock.monotonic_ns()
                continue
            fault = self._fault(gst, pipeline)
            if fault is not None:
                raise fault
            if sink.get_property("eos"):
                raise SourceError(f"{self.name} ended")
            if self._clock.monotonic_ns() - waited_since_ns >= patience_s * 1e9:
                raise SourceError(f"{self.name} is silent: no picture for {patience_s:.0f} s")

    def _fault(self, gst: Any, pipeline: Any) -> SourceError | None:
        """The error that an element has posted, as one line."""
        message = pipeline.get_bus().pop_filtered(gst.MessageType.ERROR)
        if message is None:
            return None
        error, debug = message.parse_error()
        detail = (debug or "").partition("\n")[2]  # behind the place in GStreamer's sources: the driver's own words
        words = hide(f"{error.message.rstrip('.')}: {detail}").rstrip(": ")
        return SourceError(f"{self.name} failed in {message.src.get_name()}: {words}")

    def _frame(self, gst: Any, sample: Any) -> Frame | None:
        """None for a picture that is damaged.

        Raises:
            SourceError: it is not BGR.
        """
        buffer = sample.get_buffer()
        if buffer.has_flags(gst.BufferFlags.CORRUPTED):
            self.corrupt += 1
            return None
        shape = sample.get_caps().get_structure(0)
        if shape.get_string("format") != "BGR":
            raise SourceError(
                f"{self.name} gives {shape.get_string('format') or shape.get_name()}; wanted BGR: "
                "put `videoconvert ! video/x-raw,format=BGR` before the appsink"
            )
        width, height = int(shape.get_int("width")[1]), int(shape.get_int("height")[1])
        now_ns = self._clock.monotonic_ns()
        return Frame(
            partial(_load, gst, buffer, (width, height), self.name),
            width=width,
            height=height,
            mono_ns=now_ns,
            time_ns=self._clock.time_ns(),
            arrived_ns=now_ns,
        )


def _load(gst: Any, buffer: Any, size: tuple[int, int], name: str) -> Image:
    """Copy the pixels out of GStreamer's memory."""
    mapped, info = buffer.map(gst.MapFlags.READ)
    if not mapped:
        raise SourceError(f"{name} gave a picture that cannot be read")
    try:
        return to_bgr(bytes(info.data), size, name)
    finally:
        buffer.unmap(info)


def to_bgr(data: bytes, size: tuple[int, int], name: str) -> Image:
    """BGR pixels of GStreamer's raw video, whose rows begin at multiples of 4 bytes.

    size: (width, height).

    Raises:
        SourceError: there are fewer bytes than such a picture has.
    """
    width, height = size
    row_bytes = (3 * width + 3) // 4 * 4
    if len(data) < row_bytes * height:
        wanted = row_bytes * height
        raise SourceError(f"{name} gave a picture of {len(data)} bytes; wanted {wanted} for {width} x {height} BGR")
    rows = np.frombuffer(data, np.uint8, count=row_bytes * height).reshape(height, row_bytes)
    return np.ascontiguousarray(rows[:, : 3 * width]).reshape(height, width, 3)
