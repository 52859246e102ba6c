"""What a scene knows, as it is drawn: for annotated videos and for whoever watches a camera."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from edgemass.config.camera import CameraConfig
from edgemass.config.shapes import Point
from edgemass.imaging.overlay import Area, Crossing, Overlay
from edgemass.messages import Detection
from edgemass.scene.crossings import Totals
from edgemass.scene.happening import Counts, Numbers


class Followed(Protocol):
    """A thing in view, as far as it is drawn. tail: where it was lately, oldest first."""

    @property
    def track_id(self) -> int: ...

    @property
    def tail(self) -> Iterable[Point]: ...


def overlay(
    camera: CameraConfig,
    objects: Sequence[Followed],
    counts: Counts | None,
    totals: Totals,
    *,
    boxes: Iterable[Detection],
    banner: str = "",
) -> Overlay:
    """Zones, lines, tails and counts of one frame.

    objects: those that are believed. counts: as told last, None before. totals: of the lines. boxes: that are drawn;
        who is counted beside them is out of sight.
    """
    seen = Counter(box.label for box in boxes)
    zones = counts.zones if counts is not None else {}
    labels = counts.labels if counts is not None else {}
    inside = {name: _sum(zones.get(name, {})) for name in camera.zones}
    return Overlay(
        zones=tuple(
            Area(name=name, points=zone.points, count=inside[name], active=bool(inside[name]))
            for name, zone in camera.zones.items()
        ),
        lines=tuple(
            Crossing(
                name=name,
                points=line.points,
                in_=sum(totals[name]["in"].values()) if name in totals else 0,
                out=sum(totals[name]["out"].values()) if name in totals else 0,
                flip=line.flip,
            )
            for name, line in camera.lines.items()
        ),
        tails={thing.track_id: tuple(thing.tail) for thing in objects},
        banner=banner,
        counts=dict(labels),
        unseen={label: max(0, (count or 0) - seen[label]) for label, count in labels.items()},
    )


def _sum(numbers: Numbers) -> int | None:
    """All labels together; None where that cannot be known."""
    known = [number for number in numbers.values() if number is not None]
    return sum(known) if len(known) == len(numbers) else None
