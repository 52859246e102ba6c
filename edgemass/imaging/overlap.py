"""How far boxes cover each other."""

from __future__ import annotations

import numpy as np

from edgemass.tensors import AnyArray


def iou(ours: AnyArray, theirs: AnyArray) -> AnyArray:
    """(n, 4) and (m, 4) boxes -> (n, m)."""
    top_left = np.maximum(ours[:, None, :2], theirs[None, :, :2])
    bottom_right = np.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    shared = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    area = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) for boxes in (ours, theirs)]
    union = area[0][:, None] + area[1][None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))
