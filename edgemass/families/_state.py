"""State tensors: what a model gives out to be given back with the next frame."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from edgemass.errors import BundleError
from edgemass.families._candidates import observed_shape
from edgemass.families._picture import find_picture
from edgemass.graph import Graph
from edgemass.manifest import StateTensor
from edgemass.tensors import TensorInfo

# Words that name the direction and not the thing: raw_inputs/init_lstm_c and raw_outputs/lstm_c are one state.
_DIRECTION = re.compile(
    r"(?<![a-z])(raw|inputs?|outputs?|in|out|init|initial|prev|previous|next|new|old|last|serving|default)(?![a-z])"
)


def pair_state(graph: Graph) -> tuple[StateTensor, ...]:
    """Inputs that take what an output gave the frame before; inputs that have no such output are left out.

    A pair has one dtype and one shape (free dimensions fit anything, and are 1 in the answer); where several outputs
    would do, the likest name wins, then the file's order.

    Raises:
        BundleError: a pair is quantized differently in and out, so that handing it over would change its values.
    """
    picture = find_picture(graph)
    inputs = [info for info in graph.inputs if picture is None or info.name != picture.info.name]
    likeness = [
        (_likeness(taken.name, given.name), -i, -j, taken, given)
        for i, taken in enumerate(inputs)
        for j, given in enumerate(graph.outputs)
        if taken.dtype == given.dtype and _fit(_fed_shape(graph, taken), observed_shape(graph, given))
    ]
    pairs: dict[str, tuple[TensorInfo, TensorInfo]] = {}
    used: set[str] = set()
    for *_, taken, given in sorted(likeness, key=lambda row: row[:3], reverse=True):
        if taken.name not in pairs and given.name not in used:
            pairs[taken.name] = (taken, given)
            used.add(given.name)
    return tuple(_state(*pairs[info.name]) for info in inputs if info.name in pairs)


def _fed_shape(graph: Graph, info: TensorInfo) -> tuple[int | None, ...]:
    return graph.run_shapes.get(info.name, info.shape)


def _fit(taken: tuple[int | None, ...], given: tuple[int | None, ...]) -> bool:
    if len(taken) != len(given) or len(taken) < 2:
        return False
    return all(a is None or b is None or a == b for a, b in zip(taken, given, strict=True))


def _likeness(taken: str, given: str) -> float:
    return SequenceMatcher(None, _stem(taken), _stem(given)).ratio()


def _stem(name: str) -> str:
    words = _DIRECTION.sub("", name.lower().replace("_", " "))
    return re.sub(r"[^a-z0-9]", "", words)


def _state(taken: TensorInfo, given: TensorInfo) -> StateTensor:
    if taken.quantization != given.quantization:
        raise BundleError(
            f"state {taken.name} is quantized as {taken.quantization}, but {given.name}, which feeds it, as "
            f"{given.quantization}; wanted one quantization for both, export the model again"
        )
    return StateTensor(
        input=taken.name,
        output=given.name,
        shape=tuple(1 if side is None else side for side in taken.shape),
        dtype=taken.dtype,
        initial=0.0 if taken.quantization is None else float(taken.quantization.zero_point),
    )
