"""Loads a model as the daemon would, and asks it what its bundle says it answers. Runs in a child process."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from edgemass import bundles
from edgemass.backends import Backend
from edgemass.bundles import golden
from edgemass.bundles.loading import open_detector
from edgemass.detector import Thresholds, made_up_picture
from edgemass.imaging import leave_cores_to_the_runtime
from edgemass.texts import as_image

LOWEST = 0.005
"""Golden samples are compared with all that is found above this, as when a model is proven."""
MOST_SAMPLES = 8
_TEXT = as_image(b"one line of a log")


class ModelTrial(msgspec.Struct, frozen=True):
    """backend: what it really runs on; degraded: why that is not what was asked for. run_s: of its second run.

    samples: golden ones that were tried. missed: what was wrong with each that failed.
    """

    name: str
    version: str
    variant: str
    backend: str
    degraded: str
    load_s: float
    run_s: float
    samples: int
    missed: tuple[str, ...]


def trial(
    model: str, backend: str | Sequence[str] | None = None, threads: int | None = None, variant: str | None = None
) -> object:
    """Verify, load and try a model, as JSON has it.

    Raises:
        EdgemassError: it is not there, damaged, or cannot be loaded or run.
    """
    leave_cores_to_the_runtime()
    bundle = bundles.resolve(model)
    manifest = bundle.manifest
    began_s = time.monotonic()
    detector, used = open_detector(bundle, runtime=backend, threads=threads, variant=variant)
    load_s = time.monotonic() - began_s
    stream = detector.stream()
    picture = made_up_picture() if manifest.input.text is None else _TEXT
    for _ in range(2):
        began_s = time.monotonic()
        stream.detect(picture, Thresholds(manifest.score))
    run_s = time.monotonic() - began_s
    accelerated = detector.backend.name.partition("/")[2] not in ("cpu", "xnnpack")
    everything = Thresholds(LOWEST, max_detections=300 if manifest.task == "detection" else None)
    samples = [sample for sample in manifest.golden if sample.text or golden.picture(bundle, sample) is not None]
    missed = []
    for sample in samples[:MOST_SAMPLES]:
        stream.forget()
        image = golden.read(bundle, sample)
        found = stream.detect(image, everything).found
        tolerance = golden.tolerances(sample, manifest, used, accelerated=accelerated)
        size = (image.shape[1], image.shape[0])
        missed.append(golden.compare(sample, found, manifest, size=size, tolerance=tolerance))
    return msgspec.to_builtins(
        ModelTrial(
            manifest.name,
            manifest.version,
            used.name,
            detector.backend.name,
            _degraded(detector.backend),
            load_s,
            run_s,
            len(missed),
            tuple(filter(None, missed)),
        )
    )


def _degraded(backend: Backend) -> str:
    return getattr(backend, "degraded", None) or ""
