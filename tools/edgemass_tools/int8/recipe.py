"""The whole way from a float file to an 8-bit one, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgemass.detector import Feed
from edgemass.errors import BundleError
from edgemass.manifest import Manifest
from edgemass.sources.images import read
from edgemass_tools.int8 import activation, float_graph, plan, qdq, ranges, sensitivity
from edgemass_tools.int8.plan import Plan
from edgemass_tools.int8.ranges import Inputs, Method, Progress

BUDGET = 0.01
"""Mean squared error of the heads over their variance that 8 bits may cost; see docs/quantize.md."""


class Steps(Protocol):
    """Names what is done and gives the progress of it."""

    def __call__(self, what: str) -> Progress: ...


@dataclass(frozen=True)
class Made:
    """data: the 8-bit file. error: what is expected of `BUDGET` for the tensors that are rounded."""

    data: bytes
    plan: Plan
    error: float


def quantize(
    model: Path, manifest: Manifest, pictures: Sequence[Path], *, method: Method, budget: float, steps: Steps
) -> Made:
    """Quantize a float ONNX file.

    manifest: with the input of this file. pictures: what it is calibrated on, fed as the device feeds it.

    Raises:
        BundleError: a file that cannot be quantized, or nothing is left in 8 bits.
    """
    graph = float_graph.load(model)
    given = feeds(manifest, pictures)
    seen = ranges.observe(graph, given, steps("running the pictures"))
    chosen = ranges.choose(graph, given, seen, method, steps("counting values"))
    chosen = activation.clipped(graph, chosen)
    sample = given[: sensitivity.PICTURES]
    errors = sensitivity.measure(graph, chosen, sample, steps("finding what 8 bits hurt"))
    found = plan.plan(graph, errors, budget)
    if found.float_weighted == found.weighted:
        raise BundleError(
            f"{model.name}: 8 bits hurt every layer too much to stay below the budget of {budget:g}; raise --budget, "
            "or keep the float file"
        )
    return Made(qdq.write(graph, found, chosen, seen.means), found, sum(errors.values()))


def feeds(manifest: Manifest, pictures: Sequence[Path]) -> list[Inputs]:
    """Every input of a run for each picture, as the device prepares it; a stateful model begins anew with each."""
    feed = Feed(manifest)
    made: list[Inputs] = []
    for path in pictures:
        inputs, _ = feed.prepare(read(path))
        made.append({name: array.copy() for name, array in inputs.items()})
    return made
