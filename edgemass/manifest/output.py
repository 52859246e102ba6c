"""The model's answer, and what is left of it after non-maximum suppression."""

from __future__ import annotations

from typing import Any

import msgspec

MAX_DETECTIONS = 1000


class Nms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Non-maximum suppression over one class at a time (or over all with `class_agnostic`)."""

    iou: float = 0.6
    class_agnostic: bool = False
    max_detections: int = 100


class OutputSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The answer.

    family: a row of FAMILIES.
    tensors: role -> names of output tensors, as the family defines its roles; levels in the order of `options.strides`.
    options: the family's own table; its file declares and checks it.
    nms: None where the graph or the family leaves at most one box per object.
    """

    family: str
    tensors: dict[str, tuple[str, ...]]
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    nms: Nms | None = None


def check_nms(nms: Nms | None) -> None:
    if nms is not None and not (0 <= nms.iou <= 1 and 1 <= nms.max_detections <= MAX_DETECTIONS):
        raise ValueError(
            f"output.nms: iou must lie between 0 and 1 and max_detections between 1 and {MAX_DETECTIONS}, found "
            f"{nms.iou} and {nms.max_detections}"
        )
