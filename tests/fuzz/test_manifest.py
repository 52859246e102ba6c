"""Whatever a manifest holds: one that every part of the program can work with, or a BundleError of one line."""

from __future__ import annotations

import json
import re
import resource
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import strategies as st

from edgemass import families, manifest, oci
from edgemass.bundles.describing import describe, describe_json
from edgemass.bundles.folder import Bundle
from edgemass.detector import Detector
from edgemass.errors import BundleError
from edgemass.families import FAMILIES
from edgemass.manifest import Manifest
from edgemass.tensors import TensorInfo
from tests.fuzz.campaign import counts, hold, may_refuse
from tests.fuzz.models import MODELS, EchoBackend, Model
from tests.fuzz.mutations import mutated_bytes, mutated_document, mutated_texts

models = st.sampled_from(list(MODELS.values()))


def use(read: Manifest, outputs: tuple[TensorInfo, ...], folder: Any) -> None:
    """All that happens to a manifest between reading it and the first frame."""
    bundle = Bundle(read, folder)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", bundle.digest)
    assert oci.oci_manifest(read)
    assert describe(bundle)
    assert json.loads(describe_json(bundle))["name"] == read.name
    assert manifest.from_json(manifest.to_json(read), where="again") == read
    backend = EchoBackend(read, outputs)
    stream = Detector(read, backend).stream()
    for width, height in ((64, 48), (1, 1)):
        stream.prepare(np.zeros((height, width, 3), np.uint8))


def use_or_refuse(read: Any, model: Model, folder: Any) -> None:
    """read: a function that gives a manifest or raises BundleError."""
    with may_refuse(BundleError):
        use(read(), model.outputs, folder)


@counts(150, 50_000)
def test_a_document_with_values_exchanged_is_refused_or_can_be_used(tmp_path: Any, examples: int) -> None:
    def promise(model: Model, data: st.DataObject) -> None:
        document = data.draw(mutated_document(manifest.to_json(model.manifest)))
        text = json.dumps(document).encode()
        use_or_refuse(lambda: manifest.from_json(text, where="fuzz"), model, tmp_path)

    hold(promise, examples, model=models, data=st.data())


@counts(100, 30_000)
def test_damaged_toml_is_refused_or_can_be_used(tmp_path: Any, examples: int) -> None:
    def promise(model: Model, data: st.DataObject) -> None:
        text = data.draw(mutated_texts(manifest.to_toml(model.manifest)))
        use_or_refuse(lambda: manifest.from_toml(text, where="fuzz"), model, tmp_path)

    hold(promise, examples, model=models, data=st.data())


@counts(100, 30_000)
def test_damaged_json_is_refused_or_can_be_used(tmp_path: Any, examples: int) -> None:
    def promise(model: Model, data: st.DataObject) -> None:
        text = data.draw(mutated_bytes(manifest.to_json(model.manifest)))
        use_or_refuse(lambda: manifest.from_json(text, where="fuzz"), model, tmp_path)

    hold(promise, examples, model=models, data=st.data())


@counts(150, 30_000)
def test_any_family_meets_tensors_of_any_other_with_a_bundle_error(examples: int) -> None:
    """Roles swapped, shapes that disagree, a family that is not the graph's."""

    def promise(model: Model, other: Model, family: str, data: st.DataObject) -> None:
        names = st.lists(st.sampled_from([info.name for info in model.outputs]), max_size=4).map(tuple)
        spec = other.manifest.output
        tensors = {role: data.draw(names) for role in spec.tensors}
        options = data.draw(st.sampled_from([spec.options, model.manifest.output.options, {}]))
        output = msgspec.structs.replace(spec, family=family, tensors=tensors, options=options)
        mixed = msgspec.structs.replace(model.manifest, output=output, labels=other.manifest.labels)
        with may_refuse(BundleError):
            families.prepare(mixed, {info.name: info for info in model.outputs})

    hold(promise, examples, model=models, other=models, family=st.sampled_from(list(FAMILIES)), data=st.data())


DEEP = 200_000


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"[" * DEEP, id="brackets"),
        pytest.param(b'{"options":' * DEEP, id="objects"),
        pytest.param(b'{"name":"' + b"\\ud800" + b'"}', id="half a surrogate pair"),
        pytest.param(b"\xff\xfe\x00", id="no UTF-8"),
        pytest.param(b'{"release":' + b"9" * DEEP + b"}", id="a number without end"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_json_that_no_writer_writes_is_refused(text: bytes) -> None:
    with pytest.raises(BundleError, match="fuzz: "):
        manifest.from_json(text, where="fuzz")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"a = " + b"[" * DEEP, id="brackets"),
        pytest.param(b"a = " + b"{b=" * DEEP, id="tables"),
        pytest.param(b"[" + b"a." * DEEP + b"a]", id="dots in a header"),
        pytest.param(b"\"a b\" . 'c' . " * DEEP + b"a = 1", id="dots in a key"),
        pytest.param(b"b = {" + b"a." * DEEP + b"a = 1}", id="dots in a table"),
        pytest.param(b"release = " + b"9" * DEEP, id="a number without end"),
        pytest.param(b"\xff\xfe\x00", id="no UTF-8"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_toml_that_no_person_writes_is_refused(text: bytes) -> None:
    with pytest.raises(BundleError, match="fuzz: "):
        manifest.from_toml(text, where="fuzz")


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("yolox", {"strides": [1] * 1000}),
        ("yolox", {"strides": [0]}),
        ("nanodet", {"strides": [1, 1, 1]}),
        ("nanodet", {"bins": 2**40}),
        ("fastestdet", {"stride": 1}),
        ("fastestdet", {"objectness_power": 0.0}),
        ("blazeface", {"strides": [1] * 100, "anchors_per_layer": 10**6}),
        ("yolo_grid", {"anchors": [1.0] * 12, "strides": [1, 1]}),
        ("yolo_grid", {"anchors": "yolov4-tiny", "strides": []}),
        ("ssd_raw", {"grids": [[10**9, 10**9]]}),
        ("ssd_raw", {"grids": [[0, 0]]}),
        ("ssd_raw", {"aspect_ratios": [-1.0]}),
    ],
)
def test_options_that_would_fill_the_memory_are_refused(family: str, options: dict[str, Any]) -> None:
    model = MODELS[family]
    largest = msgspec.structs.replace(model.manifest.input, width=manifest.MAX_SIDE, height=manifest.MAX_SIDE)
    output = msgspec.structs.replace(model.manifest.output, options=options)
    made = msgspec.structs.replace(model.manifest, input=largest, output=output)
    free = {info.name: TensorInfo(info.name, tuple(None for _ in info.shape), info.dtype) for info in model.outputs}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BundleError):
        families.prepare(made, free)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 1024 * 1024
