"""One object's stay in one zone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Visit:
    """inside: believed to be in the zone, since `since_ns`. streak: frames in a row that say otherwise.

    number: of the event of this stay, 0 while it has none (yet). before_s: of earlier stays.
    missed_ns: of this stay, while the camera was away.
    """

    inside: bool = False
    since_ns: int = 0
    streak: int = 0
    first_ns: int = 0
    number: int = 0
    before_s: float = 0.0
    missed_ns: int = 0

    def see(self, *, inside: bool, inertia: int, mono_ns: int) -> None:
        """Take in a frame in which the object was seen. A stay counts from its first frame, and so does its absence."""
        if inside == self.inside:
            self.streak = 0
            return
        if not self.streak:
            self.first_ns = mono_ns
        self.streak += 1
        if self.streak < inertia:
            return
        self.streak = 0
        if inside:
            self.since_ns, self.missed_ns = self.first_ns, 0
        else:
            self.before_s += (self.first_ns - self.since_ns) / 1e9
        self.inside = inside

    def dwell_s(self, mono_ns: int) -> float:
        """Seconds in the zone so far, all stays together."""
        return self.before_s + ((mono_ns - self.since_ns) / 1e9 if self.inside else 0.0)
