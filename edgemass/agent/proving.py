"""Proves a new model on this very board, before it takes the place of the one that runs.

Every model is loaded in a child process of its own, as the daemon would load it: what crashes, hangs or takes all the
memory ends there. `judging` holds the rules.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Sequence

import msgspec

from edgemass import cache
from edgemass import manifest as manifests
from edgemass.agent._proving_child import Effort, Load, Order
from edgemass.agent.judging import Ending, Evidence, Measurements, ProvingLimits, Verdict, judge, needs_met
from edgemass.backends import own_process
from edgemass.bundles import Bundle, picks
from edgemass.bundles.loading import LOAD_S
from edgemass.device_profile import Defaults
from edgemass.frame import Image
from edgemass.health import memory

__all__ = ["How", "ProvingLimits", "Verdict", "prove"]

logger = logging.getLogger(__name__)

DEADLINE_S = 300.0
"""Both children. A model of 10 ms a frame takes 8 s, one of 100 ms on a Raspberry Pi half a minute; the rest is for
worn SD cards and boards with other work. Who runs on TensorRT, which builds its engines first, gives it more."""
EFFORT = Effort()
NICE = 10  # the cameras go first; at 19 a busy board would give it nothing
MOST_FRAMES = 8
MOST_BYTES = 64_000_000  # of all frames together; they go through a file that may lie in memory
_PROGRAM = "from edgemass.agent._proving_child import main; main()"


class How(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration asks of the runtime; see `open_detector`."""

    backend: str | tuple[str, ...] | None = None
    threads: int | None = None
    strict: bool = False
    variant: str | None = None
    defaults: Defaults = Defaults()


def prove(  # noqa: PLR0913 (an order has so many parts)
    new: Bundle,
    running: Bundle | None,
    *,
    how: How,
    frames: Sequence[Image] = (),
    limits: ProvingLimits | None = None,
    wanted_labels: Collection[str] = (),
    deadline_s: float = DEADLINE_S,
    cancelled: threading.Event | None = None,
    beside: bool = True,
) -> Verdict:
    """Load, run and measure the new model, and the running one alike, and say whether it may take its place.

    running: None where nothing runs that it could be compared with. frames: of the cameras, BGR; a few will do.
    wanted_labels: that the configuration names. cancelled: ends it early.
    beside: the running model is loaded in the daemon meanwhile; False = it has been stopped to make room, and what has
        no room even then is refused for good.
    """
    limits, stop = limits or ProvingLimits(), cancelled or threading.Event()
    board = memory.of_board()
    verdict = needs_met(new.manifest, wanted_labels, board, limits)
    if verdict.ok:
        desk = _Desk(_few(frames), limits, stop, deadline_s)
        try:
            found, ending, old = desk.compare(*_loads(new, running, how))
            measured = Measurements(new=found, ending=ending, running=old, memory=board, beside=beside)
            verdict = judge(measured, new.manifest, limits)
        except OSError as error:  # no process can be started, or no file written
            verdict = Verdict(ok=False, reason=f"it cannot be proven now: {error}")
    if not beside and not verdict.fits_beside:
        verdict = msgspec.structs.replace(verdict, quarantine=not verdict.ok)
    logger.info("the new model is proven" if verdict.ok else "the new model is refused", extra=_told(new, verdict))
    return verdict


def _few(frames: Sequence[Image]) -> Sequence[Image]:
    most = max(1, MOST_BYTES // max((frame.nbytes for frame in frames), default=1))
    return frames[: min(MOST_FRAMES, most)]


def _loads(new: Bundle, running: Bundle | None, how: How) -> tuple[Load, Load | None]:
    """Both opened alike. What was measured best for one of them is used where that is known of the new one too: else a
    running model that has been tuned would be compared with one that has not yet been.
    """
    free = how.backend is None and how.threads is None and how.variant is None
    picked = not free or picks.load(new) is not None
    return _load(new, how, picked=picked), _load(running, how, picked=picked) if running is not None else None


def _load(bundle: Bundle, how: How, *, picked: bool) -> Load:
    return Load(
        manifest=manifests.to_json(bundle.manifest).decode(),
        folder=str(bundle.folder.resolve()),
        blobs=str(bundle.blobs.resolve()) if bundle.blobs else "",
        runtime=how.backend,
        threads=how.threads,
        strict=how.strict,
        variant=how.variant,
        defaults=how.defaults,
        picked=picked,
    )


class _Desk:
    """Orders children and reads what they say. deadline_s: for all together."""

    def __init__(
        self, frames: Sequence[Image], limits: ProvingLimits, stop: threading.Event, deadline_s: float
    ) -> None:
        self._frames, self._limits, self._stop = frames, limits, stop
        self._ends, self._share_s = time.monotonic() + deadline_s, min(LOAD_S, deadline_s / 3)

    def compare(self, new: Load, running: Load | None) -> tuple[Evidence, Ending, Evidence | None]:
        """What was seen of the new model, how its child ended, and what was seen of the running one."""
        if running is None:
            return *self._ask(new, checks=True, deadline_s=self._left_s), None
        old, ending = self._ask(running, checks=False, deadline_s=self._share_s)
        if not old.done:
            logger.warning("the running model cannot be measured again: %s %s", old.error, ending)
            return *self._ask(new, checks=True, deadline_s=self._left_s), old
        found = self._ask(new, checks=True, beside=running, beside_bytes=old.memory_bytes, deadline_s=self._left_s)
        return *found, old

    @property
    def _left_s(self) -> float:
        return max(0.0, self._ends - time.monotonic())

    def _ask(
        self, model: Load, *, checks: bool, deadline_s: float, beside: Load | None = None, beside_bytes: int = 0
    ) -> tuple[Evidence, Ending]:
        """What a child saw and how it ended."""
        order = Order(
            model=model,
            beside=beside,
            checks=checks,
            beside_bytes=beside_bytes,
            reserve_bytes=self._limits.reserve_bytes,
            effort=EFFORT,
            frames=len(self._frames),
            cache=cache.handed_over(),
            nice=NICE,
            deadline_s=int(deadline_s) + 1,
        )
        kills = memory.kills()
        ended = own_process.run(_PROGRAM, order, self._frames, deadline_s=deadline_s, cancelled=self._stop)
        ending = Ending(
            signal=ended.signal if ended.code is not None and ended.code < 0 else "",
            hung_s=deadline_s if ended.code is None else 0.0,
            words=ended.last_words,
            out_of_memory=memory.kills() > kills,
            cancelled=self._stop.is_set() and ended.code is None,
        )
        return _last(ended.answer), ending


def _last(answer: bytes) -> Evidence:
    """The last line that was written whole."""
    for line in reversed(answer.split(b"\n")):
        try:
            return msgspec.json.decode(line, type=Evidence)
        except msgspec.DecodeError:
            continue
    return Evidence()


def _told(bundle: Bundle, verdict: Verdict) -> dict[str, object]:
    told = {name: value for name, value in msgspec.structs.asdict(verdict).items() if value not in (None, "")}
    return {"model": bundle.manifest.name, "version": bundle.manifest.version, **told}
