"""Golden samples: pictures that come with a bundle, and what its reference variant finds in them.

Pictures are given, or imagined by the net itself: noise that is changed until the net is sure of seeing something.
Those belong to nobody, so that a model can be passed on with its test.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from edgemass.detections import Classification, Detections
from edgemass.detector import Stream, Thresholds
from edgemass.frame import Image
from edgemass.manifest import Golden, Manifest

SCORE_TOLERANCE = 0.2
IOU_TOLERANCE = 0.7
"""Wide enough for 8-bit variants on every runtime; a wrong channel order, resize rule or decoder misses by far more."""
STEPS = 60
COARSE = 8
"""Pixels of the picture per pixel that is changed: what the net then sees is smooth, and survives 8 bits and JPEG."""
AIM = 3.0
"""Logit that is aimed at."""


def imagine(net: nn.Module, size: tuple[int, int], seed: int) -> Image:
    """A picture (h, w, 3) uint8 BGR in which a detector is sure to see its first class, large and in the middle."""
    rng = torch.Generator().manual_seed(seed)
    width, height = size
    seen = torch.randn(1, 3, height // COARSE, width // COARSE, generator=rng) * 0.3
    seen.requires_grad_()
    optimizer = torch.optim.Adam([seen], 0.05)
    net.eval()
    for _ in range(STEPS):
        picture = functional.interpolate(seen, scale_factor=float(COARSE), mode="bilinear").sigmoid()
        noisy = picture + torch.randn(picture.shape, generator=rng) * 0.03
        levels = net(noisy)
        classes = levels[-1][0][0, 0]
        top, left = classes.shape[0] // 3, classes.shape[1] // 3
        middle = classes[top : classes.shape[0] - top, left : classes.shape[1] - left]
        loss = functional.relu(AIM - middle.amax()) + 0.05 * (seen[..., 1:] - seen[..., :-1]).abs().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    found = functional.interpolate(seen.detach(), scale_factor=float(COARSE), mode="bilinear").sigmoid()
    return (found[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


def samples(stream: Stream, manifest: Manifest, pictures: Sequence[tuple[str, Image]]) -> tuple[Golden, ...]:
    """What the stream finds in pictures of these file names.

    Only what lies clear of the threshold is asked for: what is just above it may be missed without being wrong.
    """
    found = []
    for name, image in pictures:
        stream.forget()
        answer = stream.detect(image, Thresholds(min(0.9, manifest.score + SCORE_TOLERANCE))).found
        boxes: tuple[tuple[float, float, float, float], ...] = ()
        if isinstance(answer, Detections):
            size = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
            boxes = tuple(tuple(round(float(v), 4) for v in box / size) for box in answer.xyxy)  # type: ignore[misc]
        class_id = answer.class_id[:1] if isinstance(answer, Classification) else answer.class_id
        found.append(
            Golden(
                image=name,
                labels=tuple(manifest.labels[int(index)] for index in class_id),
                scores=tuple(round(float(score), 3) for score in answer.score[: len(class_id)]),
                boxes=boxes,
                score_tolerance=SCORE_TOLERANCE,
                iou_tolerance=IOU_TOLERANCE,
            )
        )
    return tuple(found)


def write(image: Image, path: Path) -> None:
    """Store a picture without loss."""
    cv2.imwrite(str(path), image, [cv2.IMWRITE_PNG_COMPRESSION, 9])
