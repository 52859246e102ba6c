"""Clips of a camera's own video around events: its packets are kept for a while, and written as they came.

The capture's thread hands packets over and the detect loop says when something begins and ends; a thread of its own
writes. Neither of the others ever waits for the disk.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass, field

from edgemass.clock import Clock
from edgemass.config.clips import ClipsConfig
from edgemass.counters import Counters
from edgemass.pipeline.clip_file import ClipFile
from edgemass.pipeline.clip_folder import ClipFolder
from edgemass.sources.coded import CodedPacket, CodedStream

logger = logging.getLogger(__name__)

MEMORY_BYTES = 48 << 20  # of one camera's packets before an event: 60 s of 6 Mbit/s
QUEUE_BYTES = 64 << 20  # of packets that wait for the disk, those before the event among them
LAG_S = 3.0  # a frame is told of so much later than its packet came, at most
MAX_EVENTS = 1000  # going on at a time; a tracker follows no more
THIN_EVERY_BYTES = 8 << 20
LOOK_EVERY_S = 600.0  # for clips that became too old
_NS = 1e9


@dataclass(frozen=True, slots=True, eq=False)
class _Begin:
    name: str
    stream: CodedStream


class _End:
    """The clip is whole."""


@dataclass(slots=True)
class _Clip:
    """One that is being recorded. since_ns: its pre-roll begins. until_ns: it goes on so long at least."""

    name: str
    since_ns: int
    until_ns: int = 0
    events: set[str] = field(default_factory=set)


class Reel:
    """The last packets of a stream, whole groups from key frame to key frame.

    seconds: how far back it reaches at least, where `memory_bytes` allow it. left_out: packets that they did not allow.
    """

    def __init__(self, seconds: float, memory_bytes: int = MEMORY_BYTES) -> None:
        self._reach_ns = round(seconds * _NS)
        self._memory_bytes = memory_bytes
        self._groups: deque[list[CodedPacket]] = deque()
        self._bytes = 0
        self.left_out = 0

    def add(self, packet: CodedPacket) -> None:
        """Take the next one in; those before the first key frame are of no use."""
        if packet.key:
            self._groups.append([])
        if not self._groups:
            self.left_out += not packet.key
            return
        self._groups[-1].append(packet)
        self._bytes += len(packet.data)
        while len(self._groups) > 1 and self._groups[1][0].mono_ns <= packet.mono_ns - self._reach_ns:
            self._drop()
        while self._bytes > self._memory_bytes:
            self.left_out += len(self._groups[0])
            self._drop()

    def since(self, mono_ns: float) -> list[CodedPacket]:
        """From the last key frame that is not later than this on, or from the first that there is."""
        first = 0
        for index, group in enumerate(self._groups):
            if group[0].mono_ns <= mono_ns:
                first = index
        return [packet for group in list(self._groups)[first:] for packet in group]

    def clear(self) -> None:
        self._groups.clear()
        self._bytes = 0

    def _drop(self) -> None:
        self._bytes -= sum(len(packet.data) for packet in self._groups.popleft())


class ClipRecorder:
    """One camera's clips. `take` is for the capture's thread, `begin` and `end` for whoever tells events.

    counters: clips_written; clips_lost (the disk would not take them); clip_packets_left_out (for want of memory, or
        since the disk was too slow: the clip goes on at the next key frame).
    """

    def __init__(self, camera: str, config: ClipsConfig, *, clock: Clock, counters: Counters) -> None:
        self._camera = camera
        self._config = config
        self._clock = clock
        self._counters = counters
        self._folder = ClipFolder(camera, config, clock)
        self._lock = threading.Lock()
        self._stream: CodedStream | None = None
        self._reel = Reel(config.pre_roll_s + LAG_S)
        self._clip: _Clip | None = None
        self._waiting: deque[CodedPacket | _Begin | _End] = deque()
        self._waiting_bytes = 0
        self._skipping = False  # the queue was full: nothing is written until the next key frame
        self._news = threading.Event()
        self._closing = False
        self._writer = _Writer(camera, self._folder, config.max_bytes, counters)
        self._thread = threading.Thread(target=self._write, name=f"clips-{camera}", daemon=True)
        self._thread.start()

    # For the detect loop

    def begin(self, event_id: str, mono_ns: int) -> str:
        """Something begins: record it, in the clip that is going on where there is one.

        mono_ns: the frame's own time at which it began.
        Returns the name that the clip will have in the folder; "" where there will be none, since nothing comes from
        the camera that could be kept.
        """
        with self._lock:
            if self._stream is None or self._closing:
                return ""
            clip = self._clip or self._start(self._stream, mono_ns)
            begun = clip is not self._clip
            if len(clip.events) < MAX_EVENTS:
                clip.events.add(event_id)
            self._extend(clip, mono_ns)
            if begun:
                self._clip = clip
                for packet in self._reel.since(mono_ns - self._config.pre_roll_s * _NS):
                    self._record(packet)
            return clip.name

    def end(self, event_id: str, mono_ns: int) -> None:
        """It is over; the clip goes on for a while. One that is not known, or whose clip was full, changes nothing."""
        with self._lock:
            if self._clip is not None and event_id in self._clip.events:
                self._clip.events.discard(event_id)
                self._extend(self._clip, mono_ns)

    # For the capture

    def take(self, packet: CodedPacket | None) -> None:
        """The next packet of the camera; None when its stream ended. See sources.coded.Tap."""
        with self._lock:
            if packet is None or packet.stream is not self._stream:
                self._finish()
                self._reel.clear()
                self._stream = None if packet is None else packet.stream
            if packet is None or self._closing:
                return
            left_out = self._reel.left_out
            self._reel.add(packet)
            if self._reel.left_out > left_out:
                self._counters.add("clip_packets_left_out", self._reel.left_out - left_out)
            self._record(packet)

    def close(self, timeout_s: float) -> bool:
        """Finish what is being recorded; False where the disk has not taken it after `timeout_s`."""
        with self._lock:
            self._finish()
            self._closing = True
        self._news.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # Under the lock

    def _start(self, stream: CodedStream, mono_ns: int) -> _Clip:
        clip = _Clip(self._folder.name(stream.suffix), mono_ns - round(self._config.pre_roll_s * _NS))
        self._skipping = False
        self._put(_Begin(clip.name, stream))
        return clip

    def _extend(self, clip: _Clip, mono_ns: int) -> None:
        clip.until_ns = max(clip.until_ns, mono_ns + round(self._config.post_roll_s * _NS))

    def _record(self, packet: CodedPacket) -> None:
        """Give a packet to the writer, or find that the clip is over."""
        clip = self._clip
        if clip is None:
            return
        over = not clip.events and packet.mono_ns > clip.until_ns
        if over or packet.mono_ns - clip.since_ns > self._config.max_s * _NS:
            self._finish()
            return
        full = self._waiting_bytes + len(packet.data) > QUEUE_BYTES
        self._skipping = full or (self._skipping and not packet.key)
        if self._skipping:
            self._counters.add("clip_packets_left_out")
        else:
            self._put(packet)

    def _finish(self) -> None:
        if self._clip is not None:
            self._clip = None
            self._put(_End())

    def _put(self, item: CodedPacket | _Begin | _End) -> None:
        self._waiting.append(item)
        if isinstance(item, CodedPacket):
            self._waiting_bytes += len(item.data)
        self._news.set()

    # The writer's thread

    def _write(self) -> None:
        self._writer.open()
        while True:
            item = self._next()
            if item is not None:
                self._writer.take(item)
            elif self._closing:
                return
            elif not self._clock.wait(self._news, LOOK_EVERY_S):
                self._folder.thin()

    def _next(self) -> CodedPacket | _Begin | _End | None:
        with self._lock:
            if not self._waiting:
                if not self._closing:
                    self._news.clear()
                return None
            item = self._waiting.popleft()
            if isinstance(item, CodedPacket):
                self._waiting_bytes -= len(item.data)
            return item


class _Writer:
    """Writes one clip after the other; one that the disk does not take is lost, and the next one is tried."""

    def __init__(self, camera: str, folder: ClipFolder, max_bytes: float, counters: Counters) -> None:
        self._camera = camera
        self._folder = folder
        self._max_bytes = max_bytes
        self._counters = counters
        self._file: ClipFile | None = None
        self._name = ""
        self._thinned = 0
        self._failing = False

    def open(self) -> None:
        try:
            self._folder.open()
        except OSError as error:
            self._lose(error)

    def take(self, item: CodedPacket | _Begin | _End) -> None:
        try:
            if isinstance(item, _Begin):
                self._begin(item)
            elif isinstance(item, _End):
                self._end()
            else:
                self._packet(item)
        except OSError as error:
            self._lose(error)
        except Exception:  # the thread's outermost line
            logger.exception("a clip failed", extra={"camera": self._camera})
            self._lose(OSError(5, "the log tells where"))

    def _begin(self, item: _Begin) -> None:
        self._name, self._thinned = item.name, 0
        self._folder.make()
        self._folder.thin()
        self._file = ClipFile(self._folder.part(item.name), item.stream)

    def _packet(self, packet: CodedPacket) -> None:
        if self._file is None:
            return
        if not self._file.size_bytes and not packet.key:
            return
        if self._file.size_bytes + len(packet.data) > self._max_bytes:
            self._end()
            return
        self._file.write(packet)
        if self._file.size_bytes - self._thinned > THIN_EVERY_BYTES:
            self._thinned = self._file.size_bytes
            self._folder.thin(self._file.size_bytes)

    def _end(self) -> None:
        if self._file is None:
            return
        if not self._file.size_bytes:
            self._discard()
            return
        self._file.close()
        self._folder.keep(self._name)
        self._file, self._name = None, ""
        self._folder.thin()
        self._counters.add("clips_written")
        if self._failing:
            self._failing = False
            logger.info("clips can be written again", extra={"camera": self._camera})

    def _lose(self, error: OSError) -> None:
        """Give up the clip that is being written; logged when that starts, and when it ends."""
        if self._name:
            self._counters.add("clips_lost")
            self._discard()
        if not self._failing:
            self._failing = True
            logger.warning("clips are lost: %s", error.strerror or error, extra={"camera": self._camera})

    def _discard(self) -> None:
        if self._file is not None:
            self._file.discard()
        try:
            self._folder.part(self._name).unlink(missing_ok=True)
        except OSError:
            logger.debug("an unfinished clip stays until the next start", extra={"camera": self._camera})
        self._file, self._name = None, ""
