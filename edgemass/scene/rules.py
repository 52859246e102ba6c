"""Rules: what happens before a camera -> what shall be done. Pure: it says which rules fire, the agent acts.

Every rule stands for itself: two that fit the same thing both fire, in the order of the file. A rule fires once for an
object while all that it asks for goes on to hold, and again only after it has ceased to hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from edgemass.config.rules import Day, RuleConfig
from edgemass.scene.filters import accepts
from edgemass.scene.happening import Direction, Happening
from edgemass.scene.objects import SceneObject

_NS = 1e9
_DAYS: tuple[Day, ...] = get_args(Day)
_CAMERA = -1  # in place of a track's id


@dataclass(frozen=True, slots=True)
class LocalTime:
    """weekday: 0 is Monday. minute: of the day. known: False while the board's clock cannot be right."""

    weekday: int
    minute: int
    known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """A rule whose actions are to be done now.

    number: of the object's event, 0 where it has none. duration_s: for how long it has held.
    """

    rule: str
    mono_ns: int
    label: str = ""
    number: int = 0
    track_id: int = 0
    score: float = 0.0
    zone: str = ""
    line: str = ""
    direction: Direction | Literal[""] = ""
    state: str = ""
    duration_s: float = 0.0


@dataclass(slots=True)
class _Memory:
    """held: track -> since when it is in the state that it fired for. last_ns: when the rule fired."""

    held: dict[int, int]
    last_ns: int | None = None


class Rules:
    """The rules of one camera."""

    def __init__(self, rules: Mapping[str, RuleConfig]) -> None:
        self._rules = rules
        self._memory = {name: _Memory({}) for name in rules}
        self._state = ("", 0)

    def look(
        self,
        objects: Sequence[SceneObject],
        happenings: Sequence[Happening],
        now: LocalTime,
        mono_ns: int,
        aspect: float,
    ) -> list[Firing]:
        """What a frame sets off.

        objects: those that are believed. aspect: width of the frame by its height, in pixels.
        """
        fired = []
        for name, rule in self._rules.items():
            if rule.line is not None:
                crossings = _crossings(name, rule, happenings, mono_ns, aspect) if _in_time(rule, now) else []
                found = [firing for firing in crossings if self._may(name, rule, mono_ns)]
            elif rule.state is None:
                found = self._stays(name, rule, objects, now, mono_ns, aspect)
            else:
                continue
            fired += found
        return fired

    def camera(self, state: str, since_ns: int, now: LocalTime, mono_ns: int) -> list[Firing]:
        """What the camera's state sets off; to be asked again now and then while it lasts."""
        if state != self._state[0]:
            self._state = (state, since_ns)
        fired = []
        for name, rule in self._rules.items():
            memory = self._memory[name]
            if rule.state is None:
                continue
            if rule.state != state or not _in_time(rule, now):
                memory.held.clear()
                continue
            held_s = (mono_ns - self._state[1]) / _NS
            if _CAMERA in memory.held or held_s < rule.for_s or not self._may(name, rule, mono_ns):
                continue
            memory.held[_CAMERA] = mono_ns
            fired.append(Firing(rule=name, mono_ns=mono_ns, state=state, duration_s=round(held_s, 3)))
        return fired

    def _stays(
        self, name: str, rule: RuleConfig, objects: Sequence[SceneObject], now: LocalTime, mono_ns: int, aspect: float
    ) -> list[Firing]:
        """Objects that are seen, have been in view, or in the rule's zone, for long enough, and were not told of yet.

        One that `every_s` leaves no room for is told of when there is, if it is still there.
        """
        memory = self._memory[name]
        if not _in_time(rule, now):
            memory.held.clear()
            return []
        since = {thing.track_id: _since_ns(thing, rule.zone) for thing in objects}
        for track_id, held_ns in list(memory.held.items()):
            if since.get(track_id) != held_ns:
                del memory.held[track_id]  # it is gone, or came again
        fired = []
        for thing in objects:
            since_ns = since[thing.track_id]
            if since_ns is None or thing.row < 0 or thing.track_id in memory.held:
                continue
            held_s = (mono_ns - since_ns - _missed_ns(thing, rule.zone)) / _NS
            fits = held_s >= rule.for_s and accepts(rule, thing.label, thing.top_score, thing.box, aspect)
            if fits and self._may(name, rule, mono_ns):
                memory.held[thing.track_id] = since_ns
                firing = _of_object(name, thing, mono_ns, held_s)
                fired.append(replace(firing, zone=rule.zone or ""))
        return fired

    def _may(self, name: str, rule: RuleConfig, mono_ns: int) -> bool:
        """Whether `every_s` leaves room for it."""
        memory = self._memory[name]
        if memory.last_ns is not None and 0 <= mono_ns - memory.last_ns < rule.every_s * _NS:
            return False
        memory.last_ns = mono_ns
        return True


def _since_ns(thing: SceneObject, zone: str | None) -> int | None:
    """Since when it is in view, or in the zone; None where it is not."""
    if zone is None:
        return thing.first_ns
    visit = thing.visits.get(zone)
    return visit.since_ns if visit is not None and visit.inside else None


def _missed_ns(thing: SceneObject, zone: str | None) -> int:
    """For how much of that the camera was away."""
    return thing.missed_ns if zone is None else thing.visits[zone].missed_ns


def _crossings(
    name: str, rule: RuleConfig, happenings: Sequence[Happening], mono_ns: int, aspect: float
) -> list[Firing]:
    return [
        Firing(
            rule=name,
            mono_ns=mono_ns,
            label=said.label,
            number=said.object,
            track_id=said.track_id,
            score=said.top_score,
            line=said.line,
            direction=said.direction,
        )
        for said in happenings
        if said.kind == "line"
        and said.line == rule.line
        and rule.direction in (None, said.direction)
        and accepts(rule, said.label, said.top_score, said.box, aspect)
    ]


def _of_object(rule: str, thing: SceneObject, mono_ns: int, held_s: float) -> Firing:
    return Firing(
        rule=rule,
        mono_ns=mono_ns,
        label=thing.label,
        number=thing.number,
        track_id=thing.track_id,
        score=round(thing.top_score, 4),
        duration_s=round(held_s, 3),
    )


def _in_time(rule: RuleConfig, now: LocalTime) -> bool:
    """Whether the time of day lets it fire; while the clock cannot be right, it does: better too often than never."""
    if not now.known:
        return True
    if rule.between is None:
        return not rule.days or _DAYS[now.weekday] in rule.days
    start, end = (int(time[:2]) * 60 + int(time[3:]) for time in rule.between)
    if start < end:
        begun, within = now.weekday, start <= now.minute < end
    else:  # over midnight: the span belongs to the day on which it began
        begun = now.weekday if now.minute >= start else (now.weekday - 1) % 7
        within = now.minute >= start or now.minute < end
    return within and (not rule.days or _DAYS[begun] in rule.days)
