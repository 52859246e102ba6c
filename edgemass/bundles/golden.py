"""Whether a model finds in its golden samples what its bundle says."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgemass.bundles.folder import Bundle
from edgemass.detections import Classification, Detections
from edgemass.errors import BundleError
from edgemass.frame import Image
from edgemass.imaging.overlap import iou
from edgemass.manifest import Golden, Manifest, Variant
from edgemass.sources import images
from edgemass.texts import as_image

OTHER_SCORE, OTHER_IOU = 0.2, 0.7
"""Tolerances that a variant of another precision has at least, and one on an accelerator: those of the workshop's own
8-bit variants, which a wrong channel order, resize rule or decoder misses by far more."""


def tolerances(sample: Golden, manifest: Manifest, variant: Variant, *, accelerated: bool) -> tuple[float, float]:
    """(greatest difference of a score, least IoU) for a variant; the sample itself speaks of the reference's."""
    if accelerated or variant.precision != manifest.reference.precision:
        return max(sample.score_tolerance, OTHER_SCORE), min(sample.iou_tolerance, OTHER_IOU)
    return sample.score_tolerance, sample.iou_tolerance


def picture(bundle: Bundle, sample: Golden) -> Path | None:
    """Where a sample's picture lies; None where it stayed behind when the bundle was published.

    Raises:
        BundleError: it was published and is not there.
    """
    path = bundle.file(sample.image, sample.sha256)
    if path.is_file():
        return path
    if not sample.sha256:
        return None
    raise BundleError(f"{bundle.manifest.name}: the golden sample {sample.image} is missing; fetch the bundle again")


def read(bundle: Bundle, sample: Golden) -> Image:
    """The picture, or the text as one."""
    return as_image(sample.text.encode()) if sample.text else images.read(bundle.file(sample.image, sample.sha256))


def compare(
    sample: Golden,
    found: Detections | Classification,
    manifest: Manifest,
    *,
    size: tuple[int, int],
    tolerance: tuple[float, float],
) -> str:
    """What is wrong, beginning with the sample's name; "" where all is right.

    found: everything above 0, boxes in pixels. size: (width, height) of the picture. tolerance: see `tolerances`.
    """
    name = sample.image or f"{sample.text[:40]!r}"
    wrong = (
        _classes(sample, found, manifest, tolerance[0])
        if isinstance(found, Classification)
        else _boxes(sample, found, manifest, size, tolerance)
    )
    return f"{name}: {wrong}" if wrong else ""


def _classes(sample: Golden, found: Classification, manifest: Manifest, tolerance: float) -> str:
    scores = {
        manifest.labels[int(index)]: float(score) for index, score in zip(found.class_id, found.score, strict=True)
    }
    if not sample.labels:
        return ""
    wanted, score = sample.labels[0], sample.scores[0]
    best = max(scores, key=lambda label: scores[label], default="nothing")
    if best != wanted and scores.get(best, 0.0) - scores.get(wanted, 0.0) > tolerance:
        return f"it says {best!r}, wanted {wanted!r}"
    if abs(scores.get(wanted, 0.0) - score) > tolerance:
        return f"{wanted!r} has score {scores.get(wanted, 0.0):.2f}, wanted {score:.2f} ± {tolerance:g}"
    return ""


def _boxes(
    sample: Golden,
    found: Detections,
    manifest: Manifest,
    size: tuple[int, int],
    tolerance: tuple[float, float],
) -> str:
    """Every golden box has a counterpart of its own, and nothing else is found that is sure of itself.

    A sample lists what its maker found above `score` + tolerance; so what is further above that and has no counterpart
    was not there.
    """
    free = list(range(len(found)))
    scale = np.array([size[0], size[1]] * 2, np.float32)
    for label, score, box in zip(sample.labels, sample.scores, sample.boxes, strict=True):
        overlap = iou((np.asarray(box, np.float32) * scale)[None], found.xyxy)[0]
        near = [row for row in free if overlap[row] >= tolerance[1]]
        same = [row for row in near if manifest.labels[int(found.class_id[row])] == label]
        best = max(same, key=lambda row: overlap[row] - abs(float(found.score[row]) - score), default=None)
        if best is None:
            sure = max(near, key=lambda row: float(found.score[row]), default=None)
            if sure is None or found.score[sure] < manifest.score:
                return f"no {label!r} is found where one is"
            return f"it says {manifest.labels[int(found.class_id[sure])]!r} of what is {label!r}"
        if abs(float(found.score[best]) - score) > tolerance[0]:
            return f"{label!r} has score {found.score[best]:.2f}, wanted {score:.2f} ± {tolerance[0]:g}"
        free.remove(best)
    sure_of = min(0.9, manifest.score + sample.score_tolerance) + tolerance[0]
    extra = [row for row in free if found.score[row] > sure_of]
    if extra:
        label = manifest.labels[int(found.class_id[extra[0]])]
        return f"it is sure of {len(extra)} things that are not there, the first is {label!r}"
    return ""
