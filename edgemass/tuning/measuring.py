"""Measures candidates one after the other, each in a child process of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import msgspec

from edgemass import cache
from edgemass import manifest as manifests
from edgemass.backends import own_process
from edgemass.bundles import Bundle
from edgemass.bundles.loading import LOAD_S, LOAD_SLOWLY_S
from edgemass.frame import Image
from edgemass.progress import Progress, untold
from edgemass.tuning._child import Order
from edgemass.tuning.candidates import reference
from edgemass.tuning.row import Candidate, Row

SECONDS = 4.0
"""For one row, both sides together."""
_RUNS_S = 60.0  # for the least number of runs on a slow board, beyond the seconds asked for
_PROGRAM = "from edgemass.tuning._child import main; main()"


def measure(
    bundle: Bundle,
    wanted: Sequence[Candidate],
    pictures: Sequence[Image],
    *,
    seconds: float = SECONDS,
    nice: int = 0,
    longest_s: float = float("inf"),
    cancelled: threading.Event | None = None,
    progress: Progress = untold,
) -> list[Row]:
    """A row for every candidate, in their order; what crashes, hangs or cannot be loaded is a row that says so.

    seconds: for each row. nice: of the children. longest_s: for all together; what is left then is not measured.
    cancelled: ends it early, between rows or within one.
    """
    stop = cancelled or threading.Event()
    ends = time.monotonic() + longest_s
    rows: list[Row] = []
    hung: set[tuple[str, str]] = set()  # variant and backend: with another thread count they would hang as long
    for done, candidate in enumerate(wanted):
        progress(done, len(wanted))
        left_s = ends - time.monotonic()
        if stop.is_set() or left_s <= 0:
            rows.append(Row(candidate=candidate, failure="not measured: the time was over"))
            continue
        if (candidate.variant, candidate.backend) in hung:
            rows.append(Row(candidate=candidate, failure="not measured: it hangs with another number of threads"))
            continue
        deadline_s = min(_deadline_s(candidate, seconds), left_s)
        row = _ask(bundle, candidate, pictures, seconds=seconds, nice=nice, deadline_s=deadline_s, stop=stop)
        if row is None:
            hung.add((candidate.variant, candidate.backend))
            row = Row(candidate=candidate, failure=f"no answer within {deadline_s:.0f} s")
        rows.append(row)
    progress(len(wanted), len(wanted))
    return rows


def _deadline_s(candidate: Candidate, seconds: float) -> float:
    provider = candidate.backend.partition(":")[2]
    return LOAD_SLOWLY_S.get(provider, LOAD_S) + seconds + _RUNS_S


def _ask(
    bundle: Bundle,
    candidate: Candidate,
    pictures: Sequence[Image],
    *,
    seconds: float,
    nice: int,
    deadline_s: float,
    stop: threading.Event,
) -> Row | None:
    """What the child says; None where it hangs."""
    order = Order(
        manifest=manifests.to_json(bundle.manifest).decode(),
        folder=str(bundle.folder.resolve()),
        derived=bundle.derived,
        derived_folder=str(bundle.derived_folder or ""),
        blobs=str(bundle.blobs.resolve()) if bundle.blobs else "",
        candidate=candidate,
        reference=reference(bundle),
        cache=cache.handed_over(),
        seconds=seconds,
        nice=nice,
        pictures=len(pictures),
        deadline_s=int(deadline_s) + 1,
    )
    ended = own_process.run(_PROGRAM, order, pictures, deadline_s=deadline_s, cancelled=stop)
    if ended.code is None:
        return Row(candidate=candidate, failure="not measured: the time was over") if stop.is_set() else None
    if ended.code < 0:
        return Row(candidate=candidate, failure=f"it crashed ({ended.signal})")
    if ended.code or not ended.answer:
        return Row(candidate=candidate, failure=f"it failed: {ended.last_words}")
    return msgspec.msgpack.decode(ended.answer, type=Row)
