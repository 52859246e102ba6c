"""What an update costs on the wire, counted at the device's socket; for more models see benchmarks/update_bytes.py."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edgemass import oci
from edgemass.registry import deltas
from edgemass.registry.client import RegistryClient
from edgemass.registry.fetching import fetch
from edgemass.registry.reference import Reference
from edgemass.registry.transport import Transport
from tests.benchmarks.update_bytes import changed, fetched_bytes
from tests.simulators import tiny_models
from tests.simulators.board import PERSON
from tests.simulators.layouts import publish
from tests.simulators.registry import RegistryServer

LITTLE_BYTES = 8000
"""Headers, manifests and the list of referrers."""


def convolutions(path: Path, channels: int, count: int) -> Path:
    """An ONNX file of `count` 3x3 convolutions and a last one of 80 classes, with weights as training leaves them."""
    import onnx

    chance = np.random.default_rng(1)
    shapes = [(channels, channels, 3, 3)] * count + [(80, channels, 1, 1)]
    weights = [
        onnx.numpy_helper.from_array(chance.normal(scale=0.02, size=shape).astype(np.float32), f"w{place}")
        for place, shape in enumerate(shapes)
    ]
    nodes = [
        onnx.helper.make_node("Conv", [f"x{place}", f"w{place}"], [f"x{place + 1}"]) for place in range(len(shapes))
    ]
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "convolutions",
        [onnx.helper.make_tensor_value_info("x0", kind, [1, channels, 32, 32])],
        [onnx.helper.make_tensor_value_info(f"x{len(shapes)}", kind, None)],
        weights,
    )
    return tiny_models.save_onnx(graph, path)


def test_new_last_layers_of_a_12_mb_model_cost_at_most_2_percent_of_it(tmp_path: Path) -> None:
    old = convolutions(tmp_path / "model.onnx", 256, 5).read_bytes()
    assert 11.5e6 < len(old) < 12.5e6
    new, share = changed(old, "last")
    assert 0.005 < share < 0.01
    assert fetched_bytes(old, new) <= 0.02 * len(new)


@pytest.mark.assets
def test_new_last_layers_of_a_real_int8_model_cost_at_most_2_percent_of_it(assets: Path) -> None:
    old = (assets / "detectors" / "yolov8n_640_int8dyn.onnx").read_bytes()
    new, share = changed(old, "last")
    assert share > 0.004
    assert fetched_bytes(old, new) <= 0.02 * len(new)


@pytest.mark.parametrize("change", ["last", "quarter", "all"])
def test_an_update_never_costs_more_than_the_compressed_file(change: str) -> None:
    old = (PERSON / "edgemass-person.int8.onnx").read_bytes()
    new, _ = changed(old, change)
    assert fetched_bytes(old, new) <= len(deltas.make(None, new)) + LITTLE_BYTES


def test_a_model_that_was_trained_anew_costs_no_more_than_itself(tmp_path: Path) -> None:
    old = convolutions(tmp_path / "model.onnx", 64, 3).read_bytes()
    new = np.random.default_rng(7).bytes(len(old))
    assert fetched_bytes(old, new) <= len(new) + LITTLE_BYTES


@pytest.mark.registry
def test_deltas_come_from_a_registry_without_the_referrers_api_too(tmp_path: Path) -> None:
    old = np.random.default_rng(1).bytes(500_000)
    new = old[:-2000] + np.random.default_rng(2).bytes(2000)
    (tmp_path / "old").write_bytes(old)
    (tmp_path / "incoming").mkdir()
    with RegistryServer(tmp_path / "registry") as server:
        reference = Reference.parse(server.address)
        with closing(RegistryClient(reference, Transport())) as workshop:
            base = publish(workshop, {"model.onnx": old}, "1")
            made = publish(workshop, {"model.onnx": new}, "2", [base])
        with closing(RegistryClient(reference, Transport())) as device:
            fetched = fetch(
                device,
                made.digest,
                choose=lambda _: ["model.onnx"],
                have=lambda digest: tmp_path / "old" if digest == oci.sha256(old) else None,
                incoming=tmp_path / "incoming",
            )
            assert device.received < 2000 + LITTLE_BYTES
    assert {digest: path.read_bytes() for digest, path in fetched.files.items()} == made.blobs
