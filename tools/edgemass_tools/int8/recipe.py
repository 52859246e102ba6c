"""The whole way from a float file to an 8-bit one, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgemass.detector import Feed
from edgemass.errors import BundleError
from edgemass.manifest import Manifest
from edgemass.progress import Steps
from edgemass.sources.images import read
from edgemass.tensors import FloatArray
from edgemass_tools.int8 import activation, float_graph, plan, qdq, ranges, sensitivity
from edgemass_tools.int8.float_graph import FloatGraph
from edgemass_tools.int8.plan import Plan
from edgemass_tools.int8.ranges import Inputs, Method

BUDGET = 0.02
"""Mean squared error of the heads over their variance that 8 bits may cost; see docs/quantize.md."""


@dataclass(frozen=True)
class Measured:
    """All that is known of a float file before it is decided what stays in float.

    errors: by tensor, see `sensitivity`. means: of each convolution's input, per channel.
    """

    name: str
    graph: FloatGraph
    limits: dict[str, tuple[float, float]]
    errors: dict[str, float]
    means: dict[str, FloatArray]


@dataclass(frozen=True)
class Made:
    """data: the 8-bit file."""

    data: bytes
    plan: Plan
    budget: float


def measure(model: Path, manifest: Manifest, pictures: Sequence[Path], *, method: Method, steps: Steps) -> Measured:
    """Run a float ONNX file over the pictures.

    manifest: with the input of this file. pictures: what it is calibrated on, fed as the device feeds it.

    Raises:
        BundleError: a file that cannot be quantized.
    """
    graph = float_graph.load(model)
    given = feeds(manifest, pictures)
    seen = ranges.observe(graph, given, steps("running the pictures"))
    limits = activation.clipped(graph, ranges.choose(graph, given, seen, method, steps("counting values")))
    errors = sensitivity.measure(graph, limits, given[: sensitivity.PICTURES], steps("finding what 8 bits hurt"))
    return Measured(model.name, graph, limits, errors, seen.means)


def make(measured: Measured, budget: float) -> Made:
    """Write the 8-bit file whose rounded tensors add up to the budget.

    Raises:
        BundleError: nothing is left in 8 bits.
    """
    found = plan.plan(measured.graph, measured.errors, budget)
    if found.float_weighted == found.weighted:
        raise BundleError(
            f"{measured.name}: 8 bits hurt every layer too much to stay below the budget of {budget:g}; raise "
            "--budget, or keep the float file"
        )
    return Made(qdq.write(measured.graph, found, measured.limits, measured.means), found, budget)


def feeds(manifest: Manifest, pictures: Sequence[Path]) -> list[Inputs]:
    """Every input of a run for each picture, as the device prepares it; a stateful model begins anew with each."""
    feed = Feed(manifest)
    made: list[Inputs] = []
    for path in pictures:
        inputs, _ = feed.prepare(read(path))
        made.append({name: array.copy() for name, array in inputs.items()})
    return made
