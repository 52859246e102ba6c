"""A variant of the model that costs less, for a board that is hot: chosen by its manifest, believed when measured."""

from __future__ import annotations

import statistics

from edgemass.backends.choice import on_the_cpu
from edgemass.bundles import Bundle
from edgemass.config import Config
from edgemass.detector import Detector, Stream, Thresholds, made_up_picture
from edgemass.manifest import Variant

FASTER = 0.85
"""Of the time of a run: less is not worth answers that may be worse."""
RUNS = 7


def lighter_variant(bundle: Bundle, config: Config, *, running: str, backend: str) -> str | None:
    """The name of the lightest that may take the place of what runs; None where there is none.

    running: name of the variant that runs. backend: that it was to run on, in documents' words.

    It is for the same runtime, on the CPU, reads fewer pixels or computes in fewer bits, and neither more. Who asks for
    a variant, or to be strict, gets what was asked for.
    """
    manifest = bundle.manifest
    if config.variant is not None or config.strict or not on_the_cpu(backend):
        return None
    if manifest.input.in_parts or manifest.input.text is not None or manifest.state:
        return None
    # What was rewritten on this board computes in the precision of the stock file, and is not in the bundle.
    now = next((item for item in bundle.variants if item.name == running), manifest.reference)
    found = [item for item in bundle.variants if _is_lighter(bundle, item, now)]
    return min(found, key=lambda item: (*_cost(bundle, item), item.size_bytes)).name if found else None


def _is_lighter(bundle: Bundle, variant: Variant, now: Variant) -> bool:
    if variant.runtime != now.runtime or variant.targets or not bundle.has(variant):
        return False
    cost, cost_now = _cost(bundle, variant), _cost(bundle, now)
    return cost != cost_now and all(one <= other for one, other in zip(cost, cost_now, strict=True))


def _cost(bundle: Bundle, variant: Variant) -> tuple[int, int]:
    """Bits that it computes in, and pixels that it reads."""
    spec = bundle.manifest.of(variant).input
    return int("".join(filter(str.isdigit, variant.precision)) or 32), (spec.width or 0) * (spec.height or 0)


def speed_ratio(new: Detector, old: Detector, score: float) -> float:
    """Of the time of a run, that of the new over that of the old, in turns: both are slowed down alike by the cameras.

    Raises:
        BackendError: one of them does not run.
    """
    streams = (new.stream(), old.stream())
    times: tuple[list[int], list[int]] = ([], [])
    for _ in range(RUNS):
        for stream, taken in zip(streams, times, strict=True):
            taken.append(_run_ns(stream, score))
    return statistics.median(times[0]) / max(1, statistics.median(times[1]))


def _run_ns(stream: Stream, score: float) -> int:
    return stream.detect(made_up_picture(), Thresholds(score)).ran.infer_ns
