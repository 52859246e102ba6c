"""Classifiers that read a picture row by row: recurrent networks over [1, rows, columns], such as TFLite's MNIST LSTMs.

Role: scores [1, C]. White writing on black, as MNIST has it. Decoded as `classifier` does.
"""

from __future__ import annotations

from edgemass import families
from edgemass.errors import BundleError
from edgemass.families import classifier
from edgemass.families._picture import UNIT, find_picture, input_spec
from edgemass.families._state import pair_state
from edgemass.graph import Graph
from edgemass.manifest import Resize
from edgemass.tensors import TensorInfo

Options = classifier.Options
prepare = classifier.prepare


def recognise(graph: Graph) -> families.Recognition | None:
    """Claim what reads a grey picture as a sequence; this is also where models for other senses are turned away.

    Raises:
        BundleError: no input can take a picture, so no family will ever fit.
    """
    if not graph.inputs:
        return None
    picture = find_picture(graph)
    if picture is None or (picture.layout == "NHW" and picture.width != picture.height):
        inputs = ", ".join(f"{info.name} {_shown(info)}" for info in graph.inputs)
        raise BundleError(
            f"no input takes a picture: found {inputs}; wanted [1,3,H,W], [1,H,W,3] or a square [1,H,W]. "
            "Models for sound, text or other series cannot be fed from a camera"
        )
    if picture.layout != "NHW":
        return None
    answer = classifier.class_scores(graph, picture)
    if answer is None:
        return None
    scores, columns = answer
    spec, assumed = input_spec(picture, UNIT, Resize(interpolation="area"))
    return families.Recognition(
        task="classification",
        input=spec,
        tensors={"scores": (scores.name,)},
        class_count=columns,
        options={"activation": classifier.applied_activation(graph, scores)},
        state=pair_state(graph),
        assumed=(*assumed, f"input {picture.info.name} takes grey pictures, one row at a time, light on dark"),
        default_labels=classifier.default_labels(picture, columns),
        score=0.1,
    )


def _shown(info: TensorInfo) -> str:
    return "[" + ",".join("?" if side is None else str(side) for side in info.shape) + "]"
