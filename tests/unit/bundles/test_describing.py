"""A bundle in words."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from edgemass.bundles.describing import describe, describe_json
from edgemass.bundles.folder import Bundle
from edgemass.manifest import AuxiliaryInput, Manifest, StateTensor


def test_people_read_what_goes_in_what_comes_out_and_what_was_assumed(manifest: Manifest) -> None:
    text = describe(Bundle(manifest, Path()))
    for wanted in (
        "images: 320x320 RGB, float32 NCHW",
        "letterbox, padded with 114, (pixel - 0) / 255",
        "family    yolo_v8",
        "output: output0",
        "normalized = True",
        "NMS over each class at IoU 0.6, at most 100 boxes",
        "3: cat, ???, dog (1 unused)",
        "onnx-fp32: tiny.onnx, onnx, fp32",
        "assumed   labels are made up",
        Bundle(manifest, Path()).digest,
    ):
        assert wanted in text


def test_further_inputs_and_state_are_told(manifest: Manifest) -> None:
    rich = msgspec.structs.replace(
        manifest,
        auxiliary_inputs=(AuxiliaryInput(name="orig_target_sizes", role="frame-size-wh"),),
        state=(StateTensor(input="c_in", output="c_out", shape=(1, 8), dtype="float32"),),
    )
    text = describe(Bundle(rich, Path()))
    assert "orig_target_sizes: frame-size-wh" in text
    assert "c_in <- c_out: state [1, 8] float32" in text


def test_machines_read_one_json_object_with_the_digest(manifest: Manifest) -> None:
    bundle = Bundle(manifest, Path("bundles/tiny"))
    line = describe_json(bundle)
    assert "\n" not in line
    fields = json.loads(line)
    assert fields["digest"] == bundle.digest
    assert fields["folder"] == "bundles/tiny"
    assert fields["input"]["width"] == 320
    assert fields["variants"][0]["sha256"] == manifest.reference.sha256
