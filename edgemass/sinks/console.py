"""Lines for a person on standard output: `console:`.

    10:15:02.118  door   person 0.91 left, dog 0.54 bottom right
    10:15:12.121  door   still person, dog (300 frames, 30.0 fps)
    10:15:14.020  door   nothing
    10:15:14.020  yard   offline: no frame for 10 s
    10:20:31.007  door   9480 frames in all: person in 411, dog in 37

A camera that tells events has lines of these instead:

    10:15:02.118  gate   person 7 is here
    10:15:31.020  gate   person 7 crossed street: in
    10:15:42.377  gate   person 7 left zone door after 38.2 s
    10:15:44.020  gate   person 7 is gone after 41.9 s

Times are the frames' own, by the clock on the wall as in the log. What appears is told at once, what went when it has
been gone for a second, what moved every few seconds, and what stays after 10 s, then ever more rarely: detectors
flicker, and the screen must not.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from edgemass.errors import SinkError, UsageError
from edgemass.frame import Frame
from edgemass.messages import CameraState, CountsMessage, Detection, DetectionMessage, EventMessage, FrameMessage
from edgemass.sinks import SinkContext
from edgemass.sinks._stdout import write_line

_NS = 1_000_000_000
GONE_NS = 1 * _NS
REPEAT_NS = 2 * _NS
"""The same labels are told anew only after so long: an object may change its label with every frame."""
MOVED_NS = 3 * _NS
SUMMARY_NS = 10 * _NS
SUMMARY_MOST_NS = 600 * _NS
MOST_NAMED = 8
CLASSES_NAMED = 3

_COLUMNS = ("left", "", "right")
_ROWS = ("top", "", "bottom")


def open(uri: str, context: SinkContext) -> ConsoleSink:  # noqa: A001 (the plug-ins' own word)
    """Raises UsageError: something behind the colon."""
    check(uri)
    return ConsoleSink(context)


def check(uri: str) -> None:
    """See `sinks.check`."""
    if uri.partition(":")[2]:
        raise UsageError(f"console: takes nothing behind the colon, found {uri!r}")


@dataclass
class _Camera:
    """What a reader has been told of one camera. Rules only: frames in, news out. Times are the frames' own.

    labels, places: as told last. told: labels -> when they were told. less_ns: since when something is missing.
    frames, summary_ns: frames since, and time of, the last line; interval_ns: until the next summary.
    tells_events: its frames have no news of their own then. crossed: its lines.
    total, seen: frames of the whole run, and for each label in how many of them it was. last_time: as in the document.
    """

    labels: Counter[str] | None = None
    places: list[str] = field(default_factory=list)
    told: dict[tuple[str, ...], int] = field(default_factory=dict)
    told_ns: int = 0
    less_ns: int | None = None
    frames: int = 0
    summary_ns: int = 0
    interval_ns: int = SUMMARY_NS
    total: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    last_time: str = ""
    tells_events: bool = False
    crossed: str = ""

    def news(self, message: FrameMessage) -> str:
        """What to say of this frame, "" for nothing."""
        now_ns = message.mono_ns
        labels, places = _situation(message)
        self.frames += 1
        self.total += 1
        self.seen.update(set(labels))
        if labels == self.labels:
            self.less_ns = None
            if places != self.places and now_ns - self.told_ns >= MOVED_NS:
                return self._tell(message, labels, places)
            return self._summary(now_ns)
        if labels <= (self.labels or Counter()):
            self.less_ns = now_ns if self.less_ns is None else self.less_ns
            return self._tell(message, labels, places) if now_ns - self.less_ns >= GONE_NS else ""
        self.less_ns = None
        if now_ns - self.told.get(tuple(sorted(labels.elements())), now_ns - REPEAT_NS) < REPEAT_NS:
            return ""
        return self._tell(message, labels, places)

    def _tell(self, message: FrameMessage, labels: Counter[str], places: list[str]) -> str:
        now_ns = message.mono_ns
        self.labels, self.places, self.less_ns = labels, places, None
        self.told = {seen: told_ns for seen, told_ns in self.told.items() if now_ns - told_ns < REPEAT_NS}
        self.told[tuple(sorted(labels.elements()))] = self.told_ns = now_ns
        self.frames, self.summary_ns, self.interval_ns = 0, now_ns, SUMMARY_NS
        return _describe(message)

    def in_all(self) -> str:
        """Of the whole run."""
        if not self.total:
            return f"in all{self.crossed}" if self.crossed else ""
        named = ", ".join(f"{label} in {count}" for label, count in self.seen.most_common(MOST_NAMED))
        return f"{self.total} frame{'' if self.total == 1 else 's'} in all: {named or 'nothing found'}{self.crossed}"

    def _summary(self, now_ns: int) -> str:
        """What has not changed for a while, and how many frames say so."""
        passed_ns = now_ns - self.summary_ns
        if passed_ns < self.interval_ns or self.labels is None:
            return ""
        named = ", ".join(label if count == 1 else f"{count} {label}" for label, count in self.labels.items())
        text = f"still {named or 'nothing'} ({self.frames} frames, {self.frames * _NS / passed_ns:.1f} fps)"
        self.frames, self.summary_ns = 0, now_ns
        self.interval_ns = min(self.interval_ns * 2, SUMMARY_MOST_NS)
        return text


class ConsoleSink:
    name = "console:"

    def __init__(self, context: SinkContext) -> None:
        self._counters = context.counters
        self._cameras: dict[str, _Camera] = {}
        self._width = 0

    def publish(self, message: FrameMessage, frame: Frame) -> None:  # noqa: ARG002 (the plug-ins' contract)
        camera = self._cameras.setdefault(message.camera, _Camera())
        camera.last_time = message.time
        text = camera.news(message)
        if text and not camera.tells_events:
            self._write(camera.last_time, message.camera, text)

    def event(self, event: EventMessage, picture: bytes | None) -> None:  # noqa: ARG002 (the plug-ins' contract)
        if event.kind == "camera":
            return  # its state is told
        camera = self._cameras.setdefault(event.camera, _Camera())
        camera.tells_events, camera.last_time = True, event.time
        text = _describe_event(event)
        if text:
            self._write(event.time, event.camera, text)

    def counts(self, counts: CountsMessage) -> None:
        """Lines that were crossed are told at the end; all of it at once where the camera tells nothing else."""
        camera = self._cameras.setdefault(counts.camera, _Camera())
        camera.crossed, camera.last_time = _describe_lines(counts), counts.time
        if not camera.total and not camera.tells_events:
            self._write(counts.time, counts.camera, _describe_counts(counts))

    def camera_state(self, camera: str, state: CameraState) -> None:
        self._write(state.since, camera, f"{state.state}: {state.reason}" if state.reason else state.state)

    def close(self, timeout_s: float) -> None:  # noqa: ARG002 (the plug-ins' contract)
        """Say for each camera what was seen in all; nothing where nobody reads any more."""
        with contextlib.suppress(SinkError):
            while self._cameras:
                name = next(iter(self._cameras))
                camera = self._cameras.pop(name)
                if text := camera.in_all():
                    write_line(self._line(camera.last_time, name, text))

    def _line(self, time: str, camera: str, text: str) -> bytes:
        self._width = max(self._width, len(camera))
        return f"{_on_the_wall(time)}  {camera:<{self._width}}  {text}".encode()

    def _write(self, time: str, camera: str, text: str) -> None:
        try:
            write_line(self._line(time, camera, text))
        except SinkError:
            self._counters.add("dropped")
            raise
        self._counters.add("published")


def _on_the_wall(time: str) -> str:
    """The local time of a document's."""
    return f"{datetime.fromisoformat(time.replace('Z', '+00:00')).astimezone():%H:%M:%S.%f}"[:-3]


def _situation(message: FrameMessage) -> tuple[Counter[str], list[str]]:
    """The labels, and label and place of each."""
    if isinstance(message, DetectionMessage):
        found = sorted(message.detections, key=lambda detection: detection.label)
        return Counter(seen.label for seen in found), sorted(f"{seen.label} {_where(seen)}" for seen in found)
    return Counter(seen.label for seen in message.classes[:1]), []


def _describe(message: FrameMessage) -> str:
    if not isinstance(message, DetectionMessage):
        return ", ".join(f"{found.label} {found.score:.2f}" for found in message.classes[:CLASSES_NAMED]) or "nothing"
    best = sorted(message.detections, key=lambda found: -found.score)
    parts = [f"{found.label} {found.score:.2f} {_where(found)}" for found in best[:MOST_NAMED]]
    more = len(best) - MOST_NAMED
    return ", ".join([*parts, f"and {more} more"] if more > 0 else parts) or "nothing"


def _describe_event(event: EventMessage) -> str:
    """One line, "" for what is not worth one."""
    who = f"{event.label} {event.track_id}"
    if event.kind == "line":
        return f"{who} crossed {event.line}: {event.direction}"
    if event.kind == "zone":
        if event.type == "new":
            return f"{who} is in zone {event.zone}"
        return f"{who} left zone {event.zone} after {event.duration_s:.1f} s"
    if event.type == "new":
        return f"{who} is here"
    if event.type == "end":
        return f"{who} is gone after {event.duration_s:.1f} s"
    return f"{who} stands still" if event.stationary else ""


def _describe_counts(counts: CountsMessage) -> str:
    """2 person, 1 car; door: 1 person; gate: 3 person in."""

    def numbers(labels: Mapping[str, int | None]) -> str:
        told = ", ".join(f"{'?' if count is None else count} {label}" for label, count in labels.items() if count != 0)
        return told or "nothing"

    zones = "".join(f"; {zone}: {numbers(labels)}" for zone, labels in counts.zones.items())
    return f"{numbers(counts.labels)}{zones}{_describe_lines(counts)}"


def _describe_lines(counts: CountsMessage) -> str:
    """; gate: 3 person in, 1 person out."""
    parts = []
    for line, ways in counts.lines.items():
        told = [
            f"{n} {label} {way}" for way, labels in (("in", ways.in_), ("out", ways.out)) for label, n in labels.items()
        ]
        parts.append(f"; {line}: {', '.join(told) or 'nobody crossed'}")
    return "".join(parts)


def _where(found: Detection) -> str:
    """The ninth of the picture that holds the middle of the box: "top left", "centre", "right"."""
    x1, y1, x2, y2 = found.box
    column = min(2, int((x1 + x2) / 2 * 3))
    row = min(2, int((y1 + y2) / 2 * 3))
    return f"{_ROWS[row]} {_COLUMNS[column]}".strip() or "centre"
