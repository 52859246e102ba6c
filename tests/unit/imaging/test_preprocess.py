from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from edgemass.frame import Image
from edgemass.imaging.preprocess import Preprocessor
from edgemass.manifest import InputSpec, Resize


def picture(width: int = 90, height: int = 60, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def reference(image: Image, spec: InputSpec) -> np.ndarray[Any, Any]:
    """The slow and obvious way, in float64; the picture already has the model's size."""
    pixels = image.astype(np.float64)
    if spec.color == "GRAY":
        pixels = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None].astype(np.float64)
    elif spec.color == "RGB":
        pixels = pixels[..., ::-1]
    real = (pixels - np.array(spec.mean)) / np.array(spec.std)
    if spec.dtype in ("uint8", "int8"):
        stored = np.rint(real / spec.scale) + spec.zero_point if spec.scale else np.rint(real)
        limits = np.iinfo(spec.dtype)
        real = np.clip(stored, limits.min, limits.max)
    layouts = {
        "NHWC": real[None],
        "HWC": real,
        "NCHW": real.transpose(2, 0, 1)[None],
        "CHW": real.transpose(2, 0, 1),
        "NHW": real[None, ..., 0],
    }
    return np.asarray(layouts[spec.layout].astype(spec.dtype))


@pytest.mark.parametrize("layout", ["NHWC", "NCHW", "CHW", "HWC"])
@pytest.mark.parametrize("color", ["RGB", "BGR", "GRAY"])
@pytest.mark.parametrize(
    ("dtype", "mean", "std", "scale", "zero_point"),
    [
        ("float32", (0.0,), (255.0,), None, 0),
        ("float32", (103.5, 116.3, 123.7), (57.4, 57.1, 58.4), None, 0),
        ("float32", (104.0, 117.0, 123.0), (1.0,), None, 0),
        ("float16", (0.0,), (255.0,), None, 0),
        ("uint8", (0.0,), (1.0,), None, 0),
        ("uint8", (0.0,), (255.0,), 1 / 255, 0),
        ("uint8", (127.5,), (127.5,), 0.0078125, 128),
        ("int8", (0.0,), (255.0,), 1 / 255, -128),
        ("int8", (104.0, 117.0, 123.0), (1.0,), 1.0745, -14),
    ],
)
def test_every_layout_colour_and_type_equals_the_slow_way(
    layout: Any,
    color: Any,
    dtype: Any,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    scale: float | None,
    zero_point: int,
) -> None:
    if color == "GRAY":
        mean, std = mean[:1], std[:1]
    spec = InputSpec(
        name="in",
        layout=layout,
        dtype=dtype,
        width=90,
        height=60,
        color=color,
        mean=mean,
        std=std,
        scale=scale,
        zero_point=zero_point,
    )
    image = picture()
    tensor, _ = Preprocessor(spec)(image)
    wanted = reference(image, spec)
    assert tensor.dtype == wanted.dtype
    assert tensor.shape == wanted.shape
    assert np.allclose(
        tensor.astype(np.float64), wanted.astype(np.float64), atol=2e-3 if dtype == "float16" else 1e-4, rtol=1e-3
    )


def test_padding_is_painted_and_stays_painted() -> None:
    spec = InputSpec(
        name="in", layout="NHWC", dtype="uint8", width=64, height=64, resize=Resize(rule="letterbox", pad_value=114)
    )
    prepare = Preprocessor(spec)
    for seed in range(3):
        tensor, box = prepare(picture(80, 40, seed))
        assert (tensor[0, : box.offset_y] == 114).all()
        assert (tensor[0, box.offset_y + box.scaled_height :] == 114).all()


def test_a_camera_that_changes_its_resolution_is_laid_out_anew() -> None:
    spec = InputSpec(
        name="in",
        layout="NHWC",
        dtype="uint8",
        width=64,
        height=64,
        color="BGR",
        resize=Resize(rule="letterbox", pad_value=0),
    )
    prepare = Preprocessor(spec)
    prepare(np.full((64, 32, 3), 255, np.uint8))
    tensor, _ = prepare(np.full((32, 64, 3), 255, np.uint8))
    assert (tensor[0, :16] == 0).all()
    assert (tensor[0, 16:48] == 255).all()


def test_centre_crop_shows_the_middle() -> None:
    spec = InputSpec(
        name="in",
        layout="NHWC",
        dtype="uint8",
        width=20,
        height=20,
        color="BGR",
        resize=Resize(rule="center-crop", short_side=20),
    )
    image = np.zeros((20, 60, 3), np.uint8)
    image[:, 20:40] = 200
    tensor, _ = Preprocessor(spec)(image)
    assert (tensor == 200).all()
