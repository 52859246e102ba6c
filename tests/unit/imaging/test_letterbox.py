from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemass.imaging.letterbox import Letterbox, place
from edgemass.manifest import InputSpec, Resize
from edgemass.tensors import FloatArray

SIDES = st.integers(1, 4000)
RULES = st.sampled_from(["stretch", "letterbox", "letterbox-top-left"])


def spec(rule: str, width: int = 640, height: int = 384) -> InputSpec:
    return InputSpec(name="in", layout="NCHW", dtype="float32", width=width, height=height, resize=Resize(rule=rule))  # type: ignore[arg-type]


def to_model(box: Letterbox, xyxy: FloatArray) -> FloatArray:
    """Boxes (n, 4) of the frame in pixels of the model's picture."""
    scale = np.array([box.scale_x, box.scale_y] * 2, np.float32)
    return (xyxy * scale + np.array([box.offset_x, box.offset_y] * 2, np.float32)).astype(np.float32)


@given(SIDES, SIDES, RULES)
def test_a_box_comes_back_from_the_model_where_it_was(width: int, height: int, rule: str) -> None:
    box = place(width, height, spec(rule))
    corners = np.array([[0.1 * width, 0.2 * height, 0.7 * width, 0.9 * height]], np.float32)
    back = box.to_frame(to_model(box, corners))
    assert back == pytest.approx(corners, abs=max(width, height) * 1e-4)


@given(SIDES, SIDES, RULES)
def test_the_whole_frame_lies_inside_the_models_picture(width: int, height: int, rule: str) -> None:
    box = place(width, height, spec(rule))
    left, top, right, bottom = to_model(box, np.array([[0, 0, width, height]], np.float32))[0]
    assert left >= -1e-3
    assert top >= -1e-3
    assert right <= 640 + 1e-2
    assert bottom <= 384 + 1e-2


def test_letterbox_keeps_the_shape_and_centres() -> None:
    box = place(1280, 720, spec("letterbox", 640, 640))
    assert (box.scaled_width, box.scaled_height, box.offset_x, box.offset_y) == (640, 360, 0, 140)


def test_top_left_letterbox_pads_right_and_bottom_only() -> None:
    box = place(1280, 720, spec("letterbox-top-left", 416, 416))
    assert (box.scaled_width, box.scaled_height, box.offset_x, box.offset_y) == (416, 234, 0, 0)


def test_centre_crop_cuts_both_ends_of_the_long_side() -> None:
    resize = Resize(rule="center-crop", short_side=256)
    box = place(500, 400, InputSpec(name="in", layout="NCHW", dtype="float32", width=224, height=224, resize=resize))
    assert (box.scaled_width, box.scaled_height, box.offset_x, box.offset_y) == (320, 256, -48, -16)


def test_shortest_edge_is_limited_by_the_long_side_and_padded_to_a_multiple() -> None:
    resize = Resize(rule="shortest-edge", short_side=800, long_side=1333, multiple=32)
    box = place(2000, 500, InputSpec(name="in", layout="CHW", dtype="float32", resize=resize))
    assert (box.scaled_width, box.scaled_height) == (1333, 333)
    assert (box.width, box.height) == (1344, 352)


def test_boxes_are_clipped_to_the_frame() -> None:
    box = place(100, 50, spec("stretch"))
    assert box.to_frame(np.array([[-50, -50, 9000, 9000]], np.float32)).tolist() == [[0, 0, 100, 50]]
