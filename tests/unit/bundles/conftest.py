"""A bundle to test with."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edgemass.manifest import InputSpec, Manifest, Nms, OutputSpec, Resize, Variant

CONTENT = b"not really a model"


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        name="tiny",
        task="detection",
        labels=("cat", "???", "dog"),
        input=InputSpec(
            name="images",
            layout="NCHW",
            dtype="float32",
            width=320,
            height=320,
            resize=Resize(rule="letterbox", pad_value=114),
            std=(255.0,),
        ),
        output=OutputSpec(
            family="yolo_v8", tensors={"output": ("output0",)}, options={"layout": "CN", "normalized": True}, nms=Nms()
        ),
        variants=(
            Variant(
                name="onnx-fp32",
                file="tiny.onnx",
                runtime="onnx",
                sha256=hashlib.sha256(CONTENT).hexdigest(),
                size_bytes=len(CONTENT),
            ),
        ),
        source="tiny.onnx",
        assumed=("labels are made up",),
    )
