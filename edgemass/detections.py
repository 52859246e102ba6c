"""What a model found: columns, not a list of objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgemass.tensors import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """n boxes of one picture.

    xyxy: float32 (n, 4): left, top, right, bottom in pixels of whatever picture the holder says.
    score: float32 (n,), 0 to 1.
    class_id: int64 (n,), index into the model's labels.
    """

    xyxy: FloatArray
    score: FloatArray
    class_id: IntArray

    def __post_init__(self) -> None:
        n = len(self.score)
        for field, array, wanted in (
            ("xyxy", self.xyxy, (n, 4)),
            ("score", self.score, (n,)),
            ("class_id", self.class_id, (n,)),
        ):
            if array.shape != wanted:
                raise ValueError(f"{field} must have shape {wanted}, got {array.shape}")

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: IntArray | slice) -> Detections:
        """The given rows, in the given order."""
        return Detections(self.xyxy[rows], self.score[rows], self.class_id[rows])

    @classmethod
    def empty(cls) -> Detections:
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Classification:
    """The n best classes of one picture, best first.

    score: float32 (n,); class_id: int64 (n,), index into the model's labels.
    """

    score: FloatArray
    class_id: IntArray

    def __post_init__(self) -> None:
        if self.score.ndim != 1 or self.score.shape != self.class_id.shape:
            raise ValueError(
                f"score and class_id must be columns of one length, got {self.score.shape}, {self.class_id.shape}"
            )

    def __len__(self) -> int:
        return len(self.score)
