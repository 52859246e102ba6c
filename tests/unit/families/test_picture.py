"""Which input takes the picture, and how it is filled."""

from __future__ import annotations

import pytest

from edgemass.families._picture import IMAGENET, SYMMETRIC, UNIT, find_picture, input_spec
from edgemass.families.yolo_v8 import RECIPE
from edgemass.graph import Graph
from edgemass.manifest import Resize
from edgemass.tensors import Quantization, TensorInfo


def graph(*shapes: tuple[int | None, ...], format_: str = "onnx", dtype: str = "float32") -> Graph:
    return Graph(format_, tuple(TensorInfo(f"in{i}", shape, dtype) for i, shape in enumerate(shapes)), ())


@pytest.mark.parametrize(
    ("shape", "layout", "width", "height", "channels"),
    [
        ((1, 3, 480, 640), "NCHW", 640, 480, 3),
        ((None, 3, None, None), "NCHW", None, None, 3),
        ((1, 480, 640, 3), "NHWC", 640, 480, 3),
        ((None, None, None, 3), "NHWC", None, None, 3),
        ((1, 28, 28, 1), "NHWC", 28, 28, 1),
        ((1, 1, 28, 28), "NCHW", 28, 28, 1),
        ((3, None, None), "CHW", None, None, 3),
        ((480, 640, 3), "HWC", 640, 480, 3),
        ((1, 28, 28), "NHW", 28, 28, 1),
    ],
)
def test_layout_and_size_are_read_from_the_shape(
    shape: tuple[int | None, ...], layout: str, width: int | None, height: int | None, channels: int
) -> None:
    found = find_picture(graph(shape))

    assert found is not None
    assert (found.layout, found.width, found.height, found.channels) == (layout, width, height, channels)


@pytest.mark.parametrize("shape", [(None, None), (2, None, 128), (4, 3, 224, 224), (1, 8, 8, 320), (1, 3, 4, 4), ()])
def test_other_tensors_are_no_pictures(shape: tuple[int | None, ...]) -> None:
    assert find_picture(graph(shape)) is None


def test_whole_numbers_of_64_bits_are_no_pictures() -> None:
    assert find_picture(graph((1, 3, 64, 64), dtype="int64")) is None


def test_colour_comes_before_grey_and_large_before_small() -> None:
    found = find_picture(graph((1, 1, 640, 640), (1, 3, 32, 32), (1, 3, 320, 320)))

    assert found is not None
    assert found.info.name == "in2"


def test_a_float_picture_takes_the_recipe_and_says_so() -> None:
    picture = find_picture(graph((1, 3, 224, 224)))
    assert picture is not None

    spec, assumed = input_spec(picture, IMAGENET, Resize())

    assert (spec.mean, spec.std, spec.color) == (IMAGENET.mean, IMAGENET.std, "RGB")
    assert "123.675" in assumed[0]


def test_a_grey_picture_stays_grey_whatever_its_range() -> None:
    info = TensorInfo("x", (1, 64, 64, 1), "int8", Quantization(1.0745, -14))  # the range of Caffe's three channels
    picture = find_picture(Graph("tflite", (info,), ()))
    assert picture is not None

    spec, _ = input_spec(picture, UNIT, Resize())

    assert (spec.color, spec.mean, spec.std) == ("GRAY", (0.0,), (1.0,))


@pytest.mark.parametrize(
    ("dtype", "quantization", "wanted"),
    [
        ("uint8", Quantization(1 / 128, 128), (None, 0)),
        ("uint8", Quantization(1 / 127, 127), (None, 0)),
        ("int8", Quantization(1 / 128, 0), (1.0, -128)),
        ("int8", Quantization(1.0, -128), (1.0, -128)),
        ("int8", None, (1.0, -128)),
    ],
)
def test_plainly_scaled_integers_take_pixels_as_they_are(
    dtype: str, quantization: Quantization | None, wanted: tuple[float | None, int]
) -> None:
    picture = find_picture(Graph("tflite", (TensorInfo("x", (1, 64, 64, 3), dtype, quantization),), ()))
    assert picture is not None

    for recipe in (SYMMETRIC, UNIT):
        spec, _ = input_spec(picture, recipe, Resize())
        assert (spec.scale, spec.zero_point) == wanted
        assert (spec.mean, spec.std) == ((0.0,), (1.0,))


def test_a_family_of_one_preprocessing_keeps_it_whatever_the_calibration_was() -> None:
    # As converters write it that calibrate YOLOv8 with pictures of their own, prepared for ImageNet.
    info = TensorInfo("x", (1, 64, 64, 3), "int8", Quantization(0.01866, -14))
    picture = find_picture(Graph("tflite", (info,), ()))
    assert picture is not None

    spec, assumed = input_spec(picture, RECIPE, Resize())
    assert (spec.mean, spec.std) == ((0.0,), (255.0,))
    assert (spec.scale, spec.zero_point) == (0.01866, -14)
    assert "Ultralytics" in assumed[0]

    spec, _ = input_spec(picture, SYMMETRIC, Resize())
    assert spec.mean == IMAGENET.mean
