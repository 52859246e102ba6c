"""How fast the queue empties and how much it may write. Rules only."""

from __future__ import annotations

NS = 1_000_000_000
DAY_NS = 86_400 * NS


class Bucket:
    """So many units may go at once, and so many come back a second.

    level: units that may go now; below 0 after more went than there were. now_ns: monotonic.
    """

    def __init__(self, capacity: float, per_s: float, now_ns: int) -> None:
        self.level = capacity
        self._capacity = capacity
        self._per_s = per_s
        self._at_ns = now_ns

    def refill(self, now_ns: int) -> float:
        """What may go now."""
        passed_s = max(0, now_ns - self._at_ns) / NS
        self._at_ns = max(now_ns, self._at_ns)
        self.level = min(self._capacity, self.level + passed_s * self._per_s)
        return self.level

    def take(self, amount: float = 1.0) -> None:
        self.level -= amount

    def ready_ns(self, amount: float = 1.0) -> int:
        """When so much may go, on the clock that `refill` was told of last."""
        short = amount - self.level
        return self._at_ns if short <= 0 else self._at_ns + int(short / self._per_s * NS) + 1


class Wear:
    """Bytes written to the disk, and what is left of a day's.

    Whole pages of PAGE bytes count, as a disk takes them, and one page of the file system's own for each time.
    """

    PAGE = 4096

    def __init__(self, daily_bytes: int | None, now_ns: int) -> None:
        self.written_bytes = 0
        self.daily_bytes = daily_bytes
        self._bucket = Bucket(daily_bytes or 0, (daily_bytes or 0) / 86_400, now_ns)

    def resume(self, used_bytes: float, since_ns: int, now_ns: int) -> None:
        """Go on from what an earlier run had used; since_ns: when it had, now_ns if no clock can tell."""
        if self.daily_bytes is not None:
            regained = max(0, now_ns - since_ns) / NS * self.daily_bytes / 86_400
            self._bucket.level = self.daily_bytes - max(0.0, min(used_bytes, self.daily_bytes) - regained)

    def wrote(self, start: int, end: int) -> None:
        """From one offset of a file to another."""
        if end > start:
            pages = -(-end // self.PAGE) - start // self.PAGE + 1
            self.written_bytes += pages * self.PAGE
            self._bucket.take(pages * self.PAGE)

    def used_bytes(self, now_ns: int) -> float:
        """Of a day's, what is not to be had now."""
        return 0.0 if self.daily_bytes is None else self.daily_bytes - self._bucket.refill(now_ns)

    def spent(self, now_ns: int, *, margin: float = 0.0) -> bool:
        """Whether nothing more may be written. margin: part of a day's that must be left."""
        return self.daily_bytes is not None and self._bucket.refill(now_ns) <= margin * self.daily_bytes
