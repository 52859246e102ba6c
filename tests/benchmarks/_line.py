"""One camera's line as the daemon runs it, put together for a measurement, with the made-up load behind the network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgemass import sinks
from edgemass.bench import CountingSink
from edgemass.bundles import open_detector
from edgemass.clock import SystemClock, boot_id
from edgemass.counters import Counters
from edgemass.detector import Detector
from edgemass.frame import Frame
from edgemass.messages import ModelRef
from edgemass.pipeline.line import CameraLine, LoadedModel
from edgemass.pipeline.moment import Identity
from edgemass.sinks import Sink, SinkContext
from tests.benchmarks._clip import load_arrays
from tests.benchmarks.synthetic_load import SyntheticLoad

if TYPE_CHECKING:
    from edgemass.bundles import Bundle

SCORE = 0.25


def load(bundle: Bundle, threads: int, *, synthetic: bool, variant: str | None = None) -> tuple[Detector, str]:
    """A detector and the name of the variant that it runs.

    variant: this one and no other; None leaves the choice to edgemass.
    synthetic: 30 made-up objects take the place of what the network says, see synthetic_load.
    """
    detector, running = open_detector(bundle, threads=threads, variant=variant)
    if synthetic:
        spec = detector.manifest.input
        assert spec.width is not None
        assert spec.height is not None
        options = detector.manifest.output.options
        normalized = bool(options.get("normalized", False))
        detector.backend = SyntheticLoad(detector.backend, spec.width, spec.height, normalized=normalized)
    return detector, running.name


def camera_line(bundle: Bundle, detector: Detector, variant: str, outputs: list[Sink], score: float) -> CameraLine:
    manifest = bundle.manifest
    return CameraLine(
        "bench",
        LoadedModel(detector, ModelRef(manifest.name, manifest.version, bundle.digest, variant)),
        outputs,
        identity=Identity("bench", boot_id(), "bench"),
        score=score,
        clock=SystemClock(),
        counters=Counters(),
    )


def counting_line(bundle: Bundle, detector: Detector, variant: str, *, score: float = SCORE) -> CameraLine:
    """Documents become JSON and end there."""
    return camera_line(bundle, detector, variant, [CountingSink()], score)


def mqtt_sink(url: str) -> tuple[Sink, Counters]:
    """A connected sink and its counters."""
    counters = Counters()
    return sinks.open(url, SinkContext("bench", SystemClock(), counters)), counters


def frames_from_memory() -> Iterator[Frame]:
    """The street's pictures for ever, each with the time at which it was asked for."""
    pictures = load_arrays()
    turn = 0
    while True:
        image = pictures[turn % len(pictures)]
        turn += 1
        now = time.monotonic_ns()
        height, width = image.shape[:2]
        yield Frame(
            lambda image=image: image,  # type: ignore[misc]
            width=width,
            height=height,
            mono_ns=now,
            time_ns=time.time_ns(),
            arrived_ns=now,
        )


def model_size(bundle: Bundle) -> int:
    """The longer side of the model's picture."""
    spec = bundle.manifest.input
    return max(spec.width or 0, spec.height or 0)
