"""Published anchors of the YOLO models with anchors, by name.

Source: the cfg files in AlexeyAB/darknet and dog-qiuqiu/Yolo-Fastest (`mask`, `anchors`, `scale_x_y`, `new_coords`),
the model files in ultralytics/yolov5 and yolov3, and WongKinYiu/yolov7.
"""

from __future__ import annotations

from dataclasses import dataclass

Sizes = tuple[float, ...]
"""Width, height of each anchor of one head, in pixels of the training picture."""

_Anchors = dict[int, Sizes]


@dataclass(frozen=True)
class Preset:
    """anchors: stride -> sizes. scale_x_y: centre = cell + scale x sigmoid - (scale - 1) / 2.

    squared: size = (2 x sigmoid)^2 x anchor, with scale_x_y = 2 ("new_coords"); else exp(raw) x anchor.
    """

    anchors: _Anchors
    scale_x_y: dict[int, float]
    squared: bool = False

    @property
    def strides(self) -> tuple[int, ...]:
        return tuple(self.anchors)


_V3: _Anchors = {
    8: (10, 13, 16, 30, 33, 23),
    16: (30, 61, 62, 45, 59, 119),
    32: (116, 90, 156, 198, 373, 326),
}
_V4: _Anchors = {
    8: (12, 16, 19, 36, 40, 28),
    16: (36, 75, 76, 55, 72, 146),
    32: (142, 110, 192, 243, 459, 401),
}
_TINY_COARSE: Sizes = (81, 82, 135, 169, 344, 319)
_TINY: _Anchors = {16: (10, 14, 23, 27, 37, 58), 32: _TINY_COARSE}
_P6: _Anchors = {
    8: (19, 27, 44, 40, 38, 94),
    16: (96, 68, 86, 152, 180, 137),
    32: (140, 301, 303, 264, 238, 542),
    64: (436, 615, 739, 380, 925, 792),
}


def _same(anchors: _Anchors, scale_x_y: float, *, squared: bool = False) -> Preset:
    return Preset(anchors, dict.fromkeys(anchors, scale_x_y), squared)


PRESETS = {
    "yolov3": _same(_V3, 1.0),  # yolov3-spp too
    "yolov3-tiny": _same(_TINY, 1.0),
    "yolov3-tiny-3l": _same(
        {
            8: (4, 7, 7, 15, 13, 25),
            16: (25, 42, 41, 67, 75, 94),
            32: (91, 162, 158, 205, 250, 332),
        },
        1.0,
    ),
    "yolov3-tiny-ultralytics": _same(_TINY, 2.0, squared=True),
    "yolov4": Preset(_V4, {8: 1.2, 16: 1.1, 32: 1.05}),
    # The fine head's mask is 1,2,3: it begins at 23,27 and has 81,82 in common with the coarse one.
    "yolov4-tiny": _same({16: (23, 27, 37, 58, 81, 82), 32: _TINY_COARSE}, 1.05),
    "yolov4-tiny-3l": _same(_V4, 1.05),
    "yolov4-csp": _same(_V4, 2.0, squared=True),  # yolov4x-mish and darknet's yolov7 too
    "yolo-fastest": _same({16: (12, 18, 37, 49, 52, 132), 32: (115, 73, 119, 199, 242, 238)}, 1.0),  # 1.0, 1.1 and xl
    "yolov5": _same(_V3, 2.0, squared=True),  # s, m, l, x; Ultralytics' yolov3 and yolov7-tiny too
    "yolov5-p6": _same(_P6, 2.0, squared=True),  # YOLOv7's w6, e6 and d6 too
    "yolov7": _same(_V4, 2.0, squared=True),
}
