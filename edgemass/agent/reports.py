"""What a slot says of itself: `edgemass.reported/1`, retained on every channel and kept in a file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from edgemass.clock import Clock, rfc3339
from edgemass.messages import ModelRef, Phase, Reported, to_json
from edgemass.sinks import Channel

logger = logging.getLogger(__name__)

FOLDER = "reported"
PROGRESS_NS = 1_000_000_000
"""Between two reports of the same phase."""


class Reports:
    """One slot's reports. Used by one thread at a time.

    loaded: tells which model runs at this moment.
    """

    def __init__(
        self,
        device: str,
        slot: str,
        *,
        loaded: Callable[[], ModelRef],
        channels: Sequence[Channel],
        folder: Path,
        clock: Clock,
    ) -> None:
        self.last: Reported | None = None
        self._device = device
        self._slot = slot
        self._loaded = loaded
        self._channels = channels
        self._path = folder / f"{slot}.json"
        self._clock = clock
        self._said_ns = 0

    def say(
        self,
        phase: Phase,
        *,
        sequence: int = 0,
        origin: str = "",
        progress: float | None = None,
        wanted: str = "",
        reason: str = "",
    ) -> None:
        """Publish where the slot stands; of a phase that goes on, at most every second."""
        now_ns = self._clock.monotonic_ns()
        last = self.last
        goes_on = last is not None and (last.phase, last.sequence, last.origin, last.reason) == (
            phase,
            sequence,
            origin,
            reason,
        )
        if (
            goes_on
            and now_ns - self._said_ns < PROGRESS_NS
            and last is not None
            and self._loaded().digest == last.digest
        ):
            return
        running = self._loaded()
        report = Reported(
            device=self._device,
            slot=self._slot,
            phase=phase,
            name=running.name,
            version=running.version,
            digest=running.digest,
            variant=running.variant,
            since=last.since if goes_on and last is not None else rfc3339(self._clock.time_ns()),
            sequence=sequence,
            origin=origin,  # type: ignore[arg-type]
            progress=None if progress is None else round(min(max(progress, 0.0), 1.0), 3),
            wanted="" if wanted == running.digest else wanted,
            reason=reason,
        )
        self._said_ns = now_ns
        self.last = report
        self._publish(report)

    def _publish(self, report: Reported) -> None:
        document = to_json(report)
        for channel in self._channels:
            channel.retain(f"slot/{self._slot}/reported", document)
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = self._path.with_suffix(".part")
            temporary.write_bytes(document)
            temporary.replace(self._path)  # not synced: it is made anew at every start
        except OSError as error:
            logger.debug("the report is not kept: %s", error)
