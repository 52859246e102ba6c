"""The child process that measures one candidate in turn with the reference variant.

Standard input: one line of JSON (Order), then the pictures, as `np.save` writes them. Standard output: one `Row` as
msgpack; what runtimes print goes to standard error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from edgemass import backends, cache
from edgemass import manifest as manifests
from edgemass.backends import Options, own_process
from edgemass.backends.choice import parse
from edgemass.bundles.folder import Bundle
from edgemass.detections import Classification, Detections
from edgemass.detector import Detector, Stream, Thresholds, made_up_picture
from edgemass.errors import EdgemassError
from edgemass.frame import Image
from edgemass.imaging import leave_cores_to_the_runtime
from edgemass.manifest import Variant
from edgemass.tuning import agreement
from edgemass.tuning.row import Agreement, Candidate, Row
from edgemass.tuning.turns import in_turns

_MOST_DETECTIONS = 300


class Order(msgspec.Struct, frozen=True):
    """manifest: its JSON. folder, derived, derived_folder, blobs: as in Bundle. seconds: for both sides together.

    cache: the parent's place for what is kept, "" where it has none. nice: added to the process's own.
    deadline_s: after which it ends itself.
    """

    manifest: str
    folder: str
    derived: tuple[Variant, ...]
    derived_folder: str
    blobs: str
    candidate: Candidate
    reference: Candidate
    cache: str
    seconds: float
    nice: int
    pictures: int
    deadline_s: int


def main() -> None:
    answer = own_process.open_answer()
    order = own_process.take_order(Order)
    own_process.step_back(order.nice, order.deadline_s)
    if order.cache:
        cache.use(Path(order.cache))
    try:
        row = measure(order, lambda: own_process.take_arrays(order.pictures))
    except EdgemassError as error:
        row = Row(candidate=order.candidate, failure=str(error))
    answer.write(msgspec.msgpack.encode(row))
    answer.flush()
    os._exit(0)  # the vendor's destructors are nobody's business here


def measure(order: Order, read_pictures: Callable[[], list[Image]]) -> Row:
    """Load both, run them in turns, compare what they find.

    read_pictures: called when the candidate's memory is known, which pictures would add to.

    Raises:
        EdgemassError: one of them cannot be loaded or run.
    """
    leave_cores_to_the_runtime()
    bundle = Bundle(
        manifests.from_json(order.manifest.encode(), where="the order"),
        Path(order.folder),
        order.derived,
        Path(order.derived_folder) if order.derived_folder else None,
        Path(order.blobs) if order.blobs else None,
    )
    backends.load(parse(order.candidate.backend)[0].runtime)  # the import of a runtime is not the variant's to load
    started = time.perf_counter()
    ours = _load(bundle, order.candidate)
    thresholds = Thresholds(bundle.manifest.score)
    ours.stream().detect(made_up_picture(), thresholds)
    load_s = time.perf_counter() - started
    rss_bytes = _rss_bytes()
    pictures = read_pictures()
    reference = _load(bundle, order.reference)
    agreed = _agreement(reference, ours, pictures)
    streams = (reference.stream(), ours.stream())
    times = in_turns(streams, pictures, (thresholds, thresholds), order.seconds)
    p50, p95 = (np.percentile(times, share, axis=1).tolist() for share in (50, 95))
    return Row(
        candidate=order.candidate,
        runs_on=ours.backend.name,
        p50_ms=round(p50[1], 3),
        p95_ms=round(p95[1], 3),
        reference_p50_ms=round(p50[0], 3),
        reference_p95_ms=round(p95[0], 3),
        load_s=round(load_s, 3),
        rss_bytes=rss_bytes,
        runs=len(times[0]),
        agreement=agreed,
    )


def _load(bundle: Bundle, candidate: Candidate) -> Detector:
    variant = bundle.variant(candidate.variant)
    choice = parse(candidate.backend)[0]
    options = Options(threads=candidate.threads, provider=choice.provider, provider_options=choice.options)
    backend = backends.load(choice.runtime).open(bundle.path(variant), options)
    backends.check_runs(backend)
    return Detector(bundle.manifest.of(variant), backend)


def _agreement(reference: Detector, ours: Detector, pictures: Sequence[Image]) -> Agreement:
    everything = Thresholds(
        min(agreement.LOWEST, reference.manifest.score),
        max_detections=_MOST_DETECTIONS if reference.manifest.task == "detection" else None,
    )
    wanted, found = (_found(detector.stream(), pictures, everything) for detector in (reference, ours))
    if reference.manifest.task == "classification":
        return agreement.of_classes(
            [item for item in wanted if isinstance(item, Classification)],
            [item for item in found if isinstance(item, Classification)],
        )
    return agreement.of_detections(
        [item for item in wanted if isinstance(item, Detections)],
        [item for item in found if isinstance(item, Detections)],
        reference.manifest.score,
    )


def _found(stream: Stream, pictures: Sequence[Image], thresholds: Thresholds) -> list[Detections | Classification]:
    found = []
    for picture in pictures:
        stream.forget()
        found.append(stream.detect(picture, thresholds).found)
    return found


def _rss_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
