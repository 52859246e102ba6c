"""What is said of a scene's objects, and when: once when they come, rarely while they stay, once when they go."""

from __future__ import annotations

from dataclasses import replace

from edgemass.config.scene import EventsConfig, ZoneConfig
from edgemass.scene.crossings import Totals
from edgemass.scene.filters import accepts
from edgemass.scene.happening import Happening, Type
from edgemass.scene.objects import SceneObject

_MOVED = 0.02  # of the frame: an update is worth sending for that
_NS = 1e9


class Telling:
    """Numbers the events of one scene and decides which documents they have.

    totals: crossings of the lines, counted on as they are told. numbers: events so far.
    """

    def __init__(self, config: EventsConfig, zones: dict[str, ZoneConfig], totals: Totals, numbers: int = 0) -> None:
        self.totals = totals
        self._config = config
        self._zones = zones
        self.numbers = numbers
        self._last_new_ns: dict[str, int] = {}

    def tell(self, thing: SceneObject, aspect: float, mono_ns: int) -> list[Happening]:
        """What a frame brings of one object that is believed.

        aspect: width of the frame by its height, in pixels.
        """
        told: list[Happening] = []
        if not thing.counted and accepts(self._config, thing.label, thing.top_score, thing.box, aspect):
            thing.counted = True
            told += self._announce(thing, mono_ns)
        told += self._visits(thing, mono_ns)
        told += self._crossings(thing, mono_ns)
        if thing.number and self._has_news(thing, mono_ns):
            told.append(_happening(thing, "update", mono_ns))
            _remember(thing, mono_ns)
        return told

    def end(self, thing: SceneObject, mono_ns: int, reason: str) -> list[Happening]:
        """Its visits are over, and so is its event."""
        told = [
            self._visit(thing, name, "end", mono_ns, reason) for name, visit in thing.visits.items() if visit.number
        ]
        if thing.number:
            told.append(replace(_happening(thing, "end", mono_ns), reason=reason))
        return told

    def _announce(self, thing: SceneObject, mono_ns: int) -> list[Happening]:
        last_ns = self._last_new_ns.get(thing.label)
        if last_ns is not None and mono_ns - last_ns < self._config.min_gap_s * _NS:
            return []  # counted and drawn, but not told
        self._last_new_ns[thing.label] = mono_ns
        thing.number = self._next()
        _remember(thing, mono_ns)
        return [_happening(thing, "new", mono_ns)]

    def _has_news(self, thing: SceneObject, mono_ns: int) -> bool:
        if thing.row < 0 or mono_ns - thing.told_ns < self._config.update_s * _NS:
            return False
        if thing.told != _standing(thing):
            return True
        if thing.stationary:
            return False
        (x, y), (old_x, old_y) = thing.tail[-1], thing.told_place
        return abs(x - old_x) + abs(y - old_y) > _MOVED

    def _visits(self, thing: SceneObject, mono_ns: int) -> list[Happening]:
        told = []
        for name, visit in thing.visits.items():
            if visit.inside and not visit.number:
                if thing.row >= 0 and mono_ns - visit.since_ns >= self._zones[name].dwell_s * _NS:
                    visit.number = self._next()
                    told.append(self._visit(thing, name, "new", mono_ns))
            elif visit.number and not visit.inside:
                told.append(self._visit(thing, name, "end", mono_ns, "left"))
                visit.number = 0
        return told

    def _visit(self, thing: SceneObject, zone: str, type_: Type, mono_ns: int, reason: str = "") -> Happening:
        visit = thing.visits[zone]
        return replace(
            _happening(thing, type_, mono_ns),
            kind="zone",
            number=visit.number,
            started_ns=visit.since_ns,
            until_ns=mono_ns if type_ == "new" else thing.seen_ns if visit.inside else visit.first_ns,
            object=thing.number,
            zone=zone,
            reason=reason,
        )

    def _crossings(self, thing: SceneObject, mono_ns: int) -> list[Happening]:
        told = []
        for line, direction, at_ns in thing.crossings:
            total = self.totals[line][direction]
            total[thing.label] = total.get(thing.label, 0) + 1
            told.append(
                replace(
                    _happening(thing, "end", mono_ns),
                    kind="line",
                    number=self._next(),
                    started_ns=at_ns,
                    until_ns=at_ns,
                    object=thing.number,
                    line=line,
                    direction=direction,
                )
            )
        thing.crossings.clear()
        return told

    def _next(self) -> int:
        self.numbers += 1
        return self.numbers


def _standing(thing: SceneObject) -> tuple[object, ...]:
    return (thing.label, thing.stationary, thing.zones)


def _remember(thing: SceneObject, mono_ns: int) -> None:
    thing.told_ns = mono_ns
    thing.told = _standing(thing)
    if thing.tail:
        thing.told_place = thing.tail[-1]


def _happening(thing: SceneObject, type_: Type, mono_ns: int) -> Happening:
    """The object's own event."""
    seen = thing.row >= 0
    x1, y1, x2, y2 = (round(min(max(side, 0.0), 1.0), 5) for side in thing.box)
    return Happening(
        type=type_,
        kind="object",
        number=thing.number,
        mono_ns=mono_ns,
        started_ns=thing.first_ns,
        until_ns=thing.seen_ns if type_ == "end" else mono_ns,
        track_id=thing.track_id,
        label=thing.label,
        class_id=thing.class_id,
        score=round(thing.score, 4) if seen else None,
        top_score=round(thing.top_score, 4),
        box=(x1, y1, x2, y2),
        path=tuple(thing.path),
        zones=thing.zones,
        entered=thing.entered,
        dwell_s=thing.dwell_s(),
        stationary=thing.stationary,
        row=thing.row,
    )
