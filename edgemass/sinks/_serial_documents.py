"""Documents in as few bytes as a small parser and a slow line can bear. Rules only; docs/serial.md lists the keys.

A score is in percent; a box is x1, y1, x2, y2 in thousandths of the frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgemass.messages import CameraState, CountsMessage, DetectionMessage, EventMessage, FrameMessage
from edgemass.sinks._serial_framing import length

Body = dict[str, Any]

FRAMES, EVENTS, COUNTS, STATES = "frames", "events", "counts", "states"
KINDS = (FRAMES, EVENTS, COUNTS, STATES)
OURS = ("hi", "det", "cls", "evt", "cnt", "cam", "ans", "nak")
"""Every `k` that we send."""

JITTER = 20
"""Thousandths of the frame by which an edge may move and still be where it was. Chosen, not measured."""
SCORE_JITTER = 10  # percent

_EXPENDABLE = {"evt": ("z", "s", "b", "r"), "cam": ("r",), "ans": ("v", "e")}
"""What a line that is too long loses first, by kind."""
_TYPES = {"new": "new", "update": "upd", "end": "end"}


def frame_body(message: FrameMessage) -> Body:
    """`det` or `cls`: what is in a frame, the surest first."""
    if isinstance(message, DetectionMessage):
        found = sorted(message.detections, key=lambda item: -item.score)
        rows = [
            [item.label, _percent(item.score), *_box(item.box)] + ([item.track_id] if item.track_id is not None else [])
            for item in found
        ]
        return {"k": "det", "c": message.camera, "d": rows}
    return {"k": "cls", "c": message.camera, "d": [[item.label, _percent(item.score)] for item in message.classes]}


def event_body(event: EventMessage) -> Body:
    """`evt`; what is empty is left out."""
    body: Body = {
        "k": "evt",
        "c": event.camera,
        "t": _TYPES[event.type],
        "o": event.kind,
        "i": event.id.removeprefix(f"{event.camera}-"),
        "l": event.label,
        "p": None if event.score is None else _percent(event.score),
        "z": event.zone or event.line,
        "w": event.direction,
        "s": event.state,
        "r": event.reason,
        "u": round(event.duration_s) if event.type == "end" else 0,
        "b": None if event.box is None else _box(event.box),
    }
    return {key: value for key, value in body.items() if value not in (None, "", 0)}


def state_body(camera: str, state: CameraState) -> Body:
    """`cam`: how a camera is."""
    return {"k": "cam", "c": camera, "s": state.state, **({"r": state.reason} if state.reason else {})}


def count_bodies(counts: CountsMessage, max_line: int) -> Iterator[tuple[tuple[str, ...], Body]]:
    """`cnt`: one for the frame, each zone, and each way over each line; more where labels do not fit into one.

    Gives each with a name of its own, under which a newer one takes its place.
    """
    places: list[tuple[Body, Mapping[str, int | None]]] = [({}, counts.labels)]
    places += [({"z": zone}, present) for zone, present in counts.zones.items()]
    for line, ways in counts.lines.items():
        places += [({"z": line, "w": "in"}, ways.in_), ({"z": line, "w": "out"}, ways.out)]
    for place, numbers in places:
        head = {"k": "cnt", "c": counts.camera, **place}
        for index, some in enumerate(_portions(head, numbers, max_line)):
            yield (counts.camera, *place.values(), str(index)), {**head, "d": some}


def _portions(head: Body, numbers: Mapping[str, int | None], max_line: int) -> Iterator[dict[str, int | None]]:
    """All of them, so many at a time as fit into a line, and at least one."""
    some: dict[str, int | None] = {}
    for label, number in numbers.items():
        if some and length({**head, "d": {**some, label: number}}) > max_line:
            yield some
            some = {}
        some[label] = number
    if some:
        yield some


def fit(body: Body, max_line: int) -> tuple[Body, int] | None:
    """The body so that its line is not too long, and how many things were left out; "x" says it there too.

    None where nothing that is worth a line would be left.
    """
    if length(body) <= max_line:
        return body, 0
    if body["k"] in ("det", "cls"):
        rows = body["d"]
        for kept in range(len(rows) - 1, 0, -1):
            shorter = {**body, "d": rows[:kept], "x": len(rows) - kept}
            if length(shorter) <= max_line:
                return shorter, len(rows) - kept
        return None
    shorter = dict(body)
    gone = 0
    for key in _EXPENDABLE.get(body["k"], ()):
        if shorter.pop(key, None) is not None:
            gone += 1
            if length({**shorter, "x": gone}) <= max_line:
                return {**shorter, "x": gone}, gone
    return None


def same(body: Body, other: Body) -> bool:
    """Whether a frame shows what another one showed, but for the trembling of boxes and scores."""
    if body["k"] != other["k"] or len(body["d"]) != len(other["d"]):
        return False
    pairs = zip(sorted(body["d"], key=_by_place), sorted(other["d"], key=_by_place), strict=True)
    return all(_alike(row, before) for row, before in pairs)


def _alike(row: list[Any], before: list[Any]) -> bool:
    """A row is label, score, four edges, and a track's number where there is one."""
    return (
        row[0] == before[0]
        and row[6:] == before[6:]
        and abs(row[1] - before[1]) <= SCORE_JITTER
        and all(abs(edge - was) <= JITTER for edge, was in zip(row[2:6], before[2:6], strict=True))
    )


def _by_place(row: list[Any]) -> tuple[Any, ...]:
    return row[0], *row[6:], *row[2:6]


def _percent(score: float) -> int:
    return round(score * 100)


def _box(box: tuple[float, float, float, float]) -> list[int]:
    return [round(edge * 1000) for edge in box]
