"""Frames of any size go through a detector, whatever rule brings them into the model's picture."""

from __future__ import annotations

import resource

import msgspec
import numpy as np
import pytest
from hypothesis import strategies as st

from edgemass.detections import Detections
from edgemass.detector import Detector, Thresholds
from edgemass.frame import Image
from edgemass.imaging.letterbox import place
from edgemass.imaging.preprocess import Preprocessor
from edgemass.manifest import InputSpec, Manifest, Resize
from edgemass.tensors import Tensor, TensorInfo
from tests.fuzz.campaign import counts, hold
from tests.fuzz.models import MODELS, EchoBackend

SIZES = ((1, 1), (1, 4000), (4000, 1), (8000, 3), (3, 8000), (2, 2), (7681, 4321), (640, 480), (65535, 1), (1, 65535))
sizes = st.one_of(st.sampled_from(SIZES), st.tuples(st.integers(1, 3000), st.integers(1, 3000)))
rules = st.sampled_from(
    [
        Resize(),
        Resize(rule="letterbox", pad_value=114),
        Resize(rule="letterbox-top-left", interpolation="nearest"),
        Resize(rule="center-crop", short_side=73, interpolation="area"),
        Resize(rule="center-crop", short_side=4096),
        Resize(rule="center-crop", short_side=1),
        Resize(rule="shortest-edge", short_side=64, multiple=32),
        Resize(rule="shortest-edge", short_side=64, long_side=128, multiple=32),
    ]
)


def picture(width: int, height: int) -> Image:
    return np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)


def detector(resize: Resize, size: tuple[int, int], dtype: str, layout: str) -> Detector:
    """A YOLOv8 that finds one box over the whole of its picture and one in its middle."""
    model = MODELS["yolo_v8"]
    free = resize.rule == "shortest-edge"
    width, height = (None, None) if free else size
    spec = msgspec.convert(
        {"name": "image", "layout": layout, "dtype": dtype, "width": width, "height": height, "resize": resize},
        InputSpec,
    )
    made: Manifest = msgspec.structs.replace(model.manifest, input=spec)
    data = np.zeros((1, 7, 84), np.float32)
    data[0, :, 0] = (size[0] / 2, size[1] / 2, size[0], size[1], 0.9, 0, 0)
    data[0, :, 1] = (size[0] / 2, size[1] / 2, 4, 4, 0, 0.8, 0)
    infos = (TensorInfo("output", (1, 7, 84), "float32"),)
    return Detector(made, EchoBackend(made, infos, {"output": Tensor(data)}))


@counts(30, 5_000)
def test_a_frame_of_any_size_is_detected_in(examples: int) -> None:
    def promise(frames: list[tuple[int, int]], resize: Resize, size: tuple[int, int], dtype: str, layout: str) -> None:
        stream = detector(resize, size, dtype, layout).stream()
        for width, height in frames:
            found = stream.detect(picture(width, height), Thresholds(0.1)).found
            assert isinstance(found, Detections)
            assert bool(np.isfinite(found.xyxy).all())
            assert bool((found.xyxy >= 0).all())
            assert bool((found.xyxy <= [width, height, width, height]).all())

    hold(
        promise,
        examples,
        frames=st.lists(sizes, min_size=1, max_size=3),
        resize=rules,
        size=st.sampled_from([(64, 64), (1, 1), (1, 200), (320, 17), (224, 224)]),
        dtype=st.sampled_from(["float32", "float16", "uint8", "int8"]),
        layout=st.sampled_from(["NCHW", "NHWC", "CHW", "HWC"]),
    )


@pytest.mark.parametrize("rule", ["center-crop", "shortest-edge"])
@pytest.mark.parametrize("size", [(65535, 1), (1, 65535), (8000, 3)])
def test_a_thin_frame_does_not_fill_the_memory(rule: str, size: tuple[int, int]) -> None:
    """Its short side alone would make a picture of gigabytes."""
    resize = msgspec.convert({"rule": rule, "short_side": 2048, "multiple": 32}, Resize)
    stream = detector(resize, (1024, 1024), "uint8", "NHWC").stream()
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stream.detect(picture(*size), Thresholds(0.1))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 1024 * 1024


@counts(25, 50_000)
def test_what_the_crop_cuts_off_does_not_change_what_it_shows(examples: int) -> None:
    """Of a frame that grows beyond measure only what the model sees is resized; its colours stay where they were."""

    def promise(length: int, side: int, across: bool) -> None:
        spec = msgspec.convert(
            {
                "name": "image",
                "layout": "HWC",
                "dtype": "uint8",
                "color": "BGR",
                "width": 64,
                "height": 64,
                "resize": Resize(rule="center-crop", short_side=side),
            },
            InputSpec,
        )
        ramp = np.linspace(0, 255, length).round().astype(np.uint8)
        frame = np.repeat(np.repeat(ramp[:, None, None], 2, 1), 3, 2)
        frame = frame if across else np.ascontiguousarray(frame.transpose(1, 0, 2))
        shown, box = Preprocessor(spec)(frame)
        assert box == place(frame.shape[1], frame.shape[0], spec)
        assert abs(float(shown.mean()) - 127.5) < 4

    hold(
        promise, examples, length=st.integers(1000, 20_000), side=st.sampled_from([64, 500, 4096]), across=st.booleans()
    )
