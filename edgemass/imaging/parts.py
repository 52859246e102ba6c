"""A frame that a model reads in several runs: a picture some rows at a time, a text some bytes at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgemass.frame import Image
from edgemass.imaging.letterbox import Letterbox
from edgemass.imaging.preprocess import Preprocessor
from edgemass.manifest import InputSpec, TextRule
from edgemass.tensors import AnyArray


class Rows:
    """Pictures, `rows_per_run` rows at a time from top to bottom. What it gives is overwritten by the next frame."""

    def __init__(self, spec: InputSpec) -> None:
        assert spec.height is not None
        assert spec.rows_per_run is not None
        self._preprocess = Preprocessor(spec)
        self._axis = spec.layout.index("H")
        self._count = spec.height // spec.rows_per_run

    def __call__(self, image: Image) -> tuple[AnyArray, Letterbox]:
        """The first run's tensor, and where the frame lies in the whole picture."""
        tensor, letterbox = self._preprocess(image)
        return np.split(tensor, self._count, self._axis)[0], letterbox

    def parts(self, image: Image) -> Iterator[AnyArray]:
        """The tensor of each run."""
        tensor, _ = self._preprocess(image)
        yield from np.split(tensor, self._count, self._axis)


class Bytes:
    """Texts as they travel (see texts.as_image), `bytes_per_run` bytes at a time; an empty one is padding alone."""

    def __init__(self, spec: InputSpec, rule: TextRule) -> None:
        self._rule = rule
        self._dtype = spec.dtype

    def __call__(self, image: Image) -> tuple[AnyArray, Letterbox]:
        """The first run's tensor [1, bytes_per_run], and a placement that says nothing."""
        height, width = image.shape[:2]
        return next(self.parts(image)), Letterbox(width, height, width, height, width, height, 0, 0)

    def parts(self, image: Image) -> Iterator[AnyArray]:
        """The tensor of each run."""
        text, length = image[0, :, 0], self._rule.bytes_per_run
        for start in range(0, max(len(text), 1), length):
            part = text[start : start + length]
            tensor = np.full((1, length), self._rule.padding, self._dtype)
            tensor[0, : len(part)] = part
            yield tensor


def parts_of(spec: InputSpec) -> Rows | Bytes:
    """What cuts frames for an input that is read in parts."""
    return Rows(spec) if spec.text is None else Bytes(spec, spec.text)
