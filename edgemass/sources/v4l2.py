"""Local cameras, with OpenCV's V4L2. Addresses: `0`, `/dev/video0`, `v4l2:///dev/v4l/by-id/...`.

A number or a /dev/videoN says which camera is meant on the first opening only: it is turned into the unit's stable
name, and after an unplug that same unit is waited for, whatever number it or another camera then gets. Where there is
a folder to keep that in, it holds over restarts too.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgemass.clock import Clock
from edgemass.errors import SourceError, UsageError
from edgemass.frame import Frame, Image
from edgemass.sources import CaptureOptions
from edgemass.sources._timeline import ready
from edgemass.sources._v4l2_memory import Memory, Unit
from edgemass.sources._v4l2_units import Capability, by_id_is_shared, capture_nodes, port_of, query, stable_name

logger = logging.getLogger(__name__)

# OpenCV's own select() gives up after 10 s (OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT); only a driver that hangs gets past it.
READ_TIMEOUT_S = 12.0

OpenCapture = Callable[[str, int], Any]


def open(uri: str, options: CaptureOptions, clock: Clock) -> V4l2Camera:  # noqa: A001 (the plug-ins' own word)
    """A camera that need not be there yet.

    Raises:
        UsageError: the address names no device.
    """
    return V4l2Camera(_node(uri), options, clock)


def _node(uri: str, dev: Path = Path("/dev")) -> Path:
    if uri.isdecimal() and len(uri) <= 3:
        return dev / f"video{int(uri)}"
    path = re.sub(r"^v4l2:(?://)?", "", uri, flags=re.IGNORECASE)
    if not re.fullmatch(r"/dev/\S+", path):
        raise UsageError(f"cannot read camera {uri!r}; wanted a number, /dev/videoN or v4l2:///dev/v4l/by-id/NAME")
    return Path(path)


class V4l2Camera:
    """One local camera. Frames are stamped when they arrive.

    unit: which one it is, once it was found; what is opened from then on.
    """

    live = True
    realtime = True
    read_timeout_s = READ_TIMEOUT_S

    def __init__(
        self,
        node: Path,
        options: CaptureOptions,
        clock: Clock,
        *,
        dev: Path = Path("/dev"),
        ask: Callable[[Path], Capability] = query,
        open_capture: OpenCapture = cv2.VideoCapture,
    ) -> None:
        self.name = str(node)
        self.unit: Unit | None = None
        self._asked = node
        self._options = options
        self._clock = clock
        self._dev = dev
        self._ask = ask
        self._open_capture = open_capture
        by_number = node.parent == dev and options.state is not None
        self._memory = Memory.of(options.state, node) if by_number and options.state is not None else None
        self._opened: Path | None = None
        self._told: dict[str, object] = {}
        self._closed = threading.Event()

    def close(self) -> None:
        self._closed.set()

    def frames(self) -> Iterator[Frame]:
        if self._closed.is_set():
            return
        capture = self._open()
        try:
            while not self._closed.is_set():
                yield self._frame(self._read(capture))
        finally:
            capture.release()

    def _open(self) -> Any:
        node = self._find().resolve()
        self._tell_unit(node)
        try:
            capture = self._open_capture(str(node), cv2.CAP_V4L2)
            if not capture.isOpened():
                raise SourceError(f"{self.name} cannot be opened; does another program use it?")
            self._set_up(capture)
        except cv2.error as error:
            raise SourceError(f"{self.name} cannot be opened: {' '.join(str(error).split())}") from error
        return capture

    def _find(self) -> Path:
        """A name of the unit, which is fixed the first time that it is there.

        Raises:
            SourceError: it is not there, or the node gives no pictures.
        """
        known = self._known()
        if known is None:
            known = self.unit = self._identify()
            if self._memory is not None and known.name != self._asked:
                self._memory.write(known)
        name = known.port if known.port is not None and by_id_is_shared(self._dev) else known.name
        if not name.exists():
            forget = f"; if it was replaced for good, delete {self._memory.file}" if self._memory is not None else ""
            raise SourceError(f"{self.name} is not there: waiting for {name}, no other camera is taken for it{forget}")
        return name

    def _known(self) -> Unit | None:
        """The unit that was meant before, unless somebody took that back."""
        if self._memory is None:
            return self.unit
        if self.unit is None:
            self.unit = self._memory.read()
        elif not self.unit.name.exists() and not self._memory.file.exists():
            return None
        return self.unit

    def _identify(self) -> Unit:
        """What the address means now."""
        if not self._ask(self._asked).captures:
            others = ", ".join(str(node) for node in capture_nodes(self._dev, self._ask)) or "none"
            raise SourceError(f"{self._asked} gives metadata, not pictures; nodes that give pictures: {others}")
        if self._asked.parent != self._dev:
            return Unit(self._asked)
        return Unit(stable_name(self._asked, self._dev), port_of(self._asked, self._dev))

    def _tell_unit(self, node: Path) -> None:
        """Say once for each place that it is found at which camera this is."""
        if node == self._opened or self.unit is None:
            return
        self._opened = node
        if self._asked.parent != self._dev:
            logger.info("camera found", extra={"asked": str(self._asked), "node": str(node)})
        elif self.unit.name == self._asked:
            logger.warning("%s has no stable name under /dev/v4l: after an unplug it may be another camera", self.name)
        elif node != self._asked.resolve():
            logger.warning("%s is not the camera that it was: going on with %s at %s", self.name, self.unit.name, node)
        else:
            logger.info("camera found", extra={"asked": str(self._asked), "unit": str(self.unit.name)})

    def _set_up(self, capture: Any) -> None:
        """Ask for size and rate, and say once what the device made of it."""
        options = self._options
        wanted = (
            (
                cv2.CAP_PROP_FOURCC,
                options.fourcc and cv2.VideoWriter.fourcc(*options.fourcc),
            ),  # first: sizes depend on it
            (cv2.CAP_PROP_FRAME_WIDTH, options.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, options.height),
            (cv2.CAP_PROP_FPS, options.fps),
            (cv2.CAP_PROP_BUFFERSIZE, 1),  # else the driver hands out frames that have waited
        )
        for key, value in wanted:
            if value is not None:
                capture.set(key, value)
        given = {
            "width": int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            "height": int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            "fps": capture.get(cv2.CAP_PROP_FPS),
            "fourcc": int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=False).decode("latin-1"),
        }
        if given != self._told:
            self._told = dict(given)
            logger.info("camera set up", extra={"source": self.name, **given})

    def _read(self, capture: Any) -> Image:
        try:
            taken, image = capture.read()
        except cv2.error as error:
            raise SourceError(f"{self.name} gave a broken frame: {' '.join(str(error).split())}") from error
        if not taken or image is None:
            raise SourceError(f"{self.name} gave no frame; was it unplugged?")
        if image.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        return np.asarray(image, np.uint8)

    def _frame(self, image: Image) -> Frame:
        now_ns = self._clock.monotonic_ns()
        return Frame(
            ready(image),
            width=image.shape[1],
            height=image.shape[0],
            mono_ns=now_ns,
            time_ns=self._clock.time_ns(),
            arrived_ns=now_ns,
        )
