"""The real runtimes with models of a kilobyte: what the adapters know of their vendors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgemass import backends, cache
from edgemass.backends import Options
from edgemass.bundles import read_graph
from edgemass.bundles.graphs import read
from edgemass.errors import BackendError, BundleError
from edgemass.tensors import Quantization
from tests.simulators import tiny_models

pytestmark = pytest.mark.runtime

LOAD = """
import sys
from pathlib import Path
from edgemass import backends, cache
backends.load(sys.argv[1]).open(Path(sys.argv[2]), backends.Options())
"""


def stderr_of_a_load(runtime: str, model: Path, **variables: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    command = [sys.executable, "-c", LOAD, runtime, str(model)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stderr


def test_onnx_runtime_does_not_print_warnings(tmp_path: Path) -> None:
    model = tiny_models.onnx_add(tmp_path / "model", constant_is_input=True)
    assert stderr_of_a_load("onnx", model) == ""


def test_onnx_runtime_keeps_no_device_id_and_reports_to_nobody(tmp_path: Path) -> None:
    """Its telemetry keeps its store in the user's cache; without one it has nothing to send."""
    home = tmp_path / "home"
    home.mkdir()
    model = tiny_models.onnx_add(tmp_path / "model")
    stderr_of_a_load("onnx", model, HOME=str(home), XDG_CACHE_HOME=str(home))
    assert list(home.iterdir()) == []


def test_litert_does_not_print_its_greeting(tmp_path: Path) -> None:
    assert stderr_of_a_load("tflite", tiny_models.tflite_add(tmp_path / "model")) == ""


def test_what_others_write_to_stderr_during_a_load_is_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    from edgemass.backends import litert

    with litert._quiet():
        os.write(2, b"INFO: Created a delegate\nsomething else\n")
    assert capfd.readouterr().err == "something else\n"


def test_litert_without_xnnpack_says_so(tmp_path: Path) -> None:
    model = tiny_models.tflite_add(tmp_path / "model")
    plain = backends.load("tflite").open(model, Options(provider="cpu"))
    assert (plain.name, plain.requested) == ("litert/cpu", "litert/cpu")
    assert backends.load("tflite").open(model, Options()).name == "litert/xnnpack"


def test_quantized_tensors_come_out_stored_with_their_meaning(tmp_path: Path) -> None:
    model = tiny_models.tflite_add(tmp_path / "model", quantized=(0.5, -3))
    backend = backends.load("tflite").open(model, Options(threads=1))
    assert backend.inputs[0].dtype == "int8"
    assert backend.outputs[0].quantization == Quantization(0.5, -3)
    out = backend.run({"in": np.full((1, 4, 4, 3), 7, np.int8)})["out"]
    assert out.data.dtype == np.int8
    np.testing.assert_allclose(out.real(), 6)  # (7 + 3) * 0.5 + 1


def test_outputs_of_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"in is tensor\(string\), wanted a tensor of numbers"):
        backends.load("onnx").open(tiny_models.onnx_texts(tmp_path / "model"), Options())


@pytest.mark.assets
@pytest.mark.parametrize("name", ["tflm_mnist_trained_lstm.tflite", "tflm_mnist_trained_lstm_int8.tflite"])
def test_a_recurrent_model_forgets_the_last_picture(assets: Path, name: str) -> None:
    backend = backends.load("tflite").open(assets / "classifiers" / name, Options())
    info = backend.inputs[0]
    rng = np.random.default_rng(0)
    first, other = (rng.integers(0, 100, (1, 28, 28)).astype(info.dtype) for _ in range(2))
    answer = next(iter(backend.run({info.name: first}).values())).data.copy()
    backend.run({info.name: other})
    np.testing.assert_array_equal(next(iter(backend.run({info.name: first}).values())).data, answer)


def test_an_onnx_file_is_read_by_content_and_observed(tmp_path: Path) -> None:
    path = tiny_models.onnx_add(tmp_path / "named.wrongly.tflite", (1, 3, 8, 8), metadata={"names": "{0: 'a', 1: 'b'}"})
    file = read(path)
    graph = file.graph
    assert (graph.format, file.precision, graph.labels) == ("onnx", "fp32", ("a", "b"))
    assert [(node.kind, node.inputs, node.outputs) for node in graph.nodes] == [("Add", ("in", "one"), ("out",))]
    assert len(graph.runs) == 3
    low, high = graph.observed_range("out")
    assert 1 <= low < 1.05
    assert high == 2  # pixels went in as fractions


def test_a_tflite_file_is_read_by_content_and_observed(tmp_path: Path) -> None:
    file = read(tiny_models.tflite_add(tmp_path / "named.wrongly.onnx", (1, 8, 8, 3), quantized=(1 / 255, -128)))
    graph = file.graph
    assert (graph.format, file.precision) == ("tflite", "int8")
    assert [(node.kind, node.inputs, node.outputs) for node in graph.nodes] == [("ADD", ("in", "one"), ("out",))]
    assert graph.runs[2]["out"].data.shape == (1, 8, 8, 3)


def test_free_sizes_are_filled_with_the_size_that_the_exporter_wrote(tmp_path: Path) -> None:
    shape = ("batch", 3, "height", "width")
    given = read_graph(tiny_models.onnx_add(tmp_path / "a", shape, metadata={"imgsz": "[96, 128]"}))
    assert given.inputs[0].shape == (None, 3, None, None)
    assert given.run_shapes == {"in": (1, 3, 96, 128)}
    assert read_graph(tiny_models.onnx_add(tmp_path / "b", shape)).run_shapes == {"in": (1, 3, 320, 320)}


def test_the_same_file_is_observed_the_same_every_time(tmp_path: Path) -> None:
    path = tiny_models.onnx_add(tmp_path / "model", (1, 3, 8, 8))
    first, second = read_graph(path), read_graph(path)
    for one, other in zip(first.runs, second.runs, strict=True):
        np.testing.assert_array_equal(one["out"].data, other["out"].data)


@pytest.mark.parametrize("location", ["/etc/passwd", "../weights.bin", "a/../../weights.bin", "link", "C:\\w.bin", ""])
def test_weights_outside_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(4))
    (folder / "link").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(BundleError, match="outside its own folder"):
        read_graph(tiny_models.onnx_external(folder / "m.onnx", location))


def test_weights_beside_the_file_are_read(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(np.ones(1, np.float32).tobytes())
    file = read(tiny_models.onnx_external(tmp_path / "m.onnx", "weights.bin"))
    assert file.external == ("weights.bin",)
    assert file.graph.observed_range("out")[1] == 2


@pytest.mark.parametrize("make", [tiny_models.onnx_add, tiny_models.tflite_add])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_truncated_model_is_refused_in_one_line(tmp_path: Path, make: object, kept: float) -> None:
    assert callable(make)
    data = make(tmp_path / "whole").read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(BundleError) as caught:
        read_graph(path)
    assert "cut" in str(caught.value)
    assert "\n" not in str(caught.value)


def kept_graphs(monkeypatch: pytest.MonkeyPatch, place: Path) -> Path:
    monkeypatch.setattr(cache, "_chosen", [place])
    return place / "graphs"


def answer(model: Path, *, keep_graph: bool) -> list[float]:
    backend = backends.load("onnx").open(model, Options(threads=1, keep_graph=keep_graph))
    outputs = backend.run({"in": np.arange(48, dtype=np.float32).reshape(1, 3, 4, 4)})
    found: list[float] = outputs["out"].real().reshape(-1).tolist()
    backend.close()
    return found


def test_an_optimized_graph_is_kept_and_answers_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = kept_graphs(monkeypatch, tmp_path / "cache")
    model = tiny_models.onnx_add(tmp_path / "model.onnx")
    wanted = answer(model, keep_graph=False)
    assert not graphs.exists()
    assert answer(model, keep_graph=True) == wanted
    (kept,) = graphs.iterdir()
    written_ns = kept.stat().st_mtime_ns
    assert answer(model, keep_graph=True) == wanted
    assert kept.stat().st_mtime_ns == written_ns


@pytest.mark.parametrize("damage", [b"", b"no graph"])
def test_a_damaged_graph_is_made_anew(damage: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = kept_graphs(monkeypatch, tmp_path / "cache")
    model = tiny_models.onnx_add(tmp_path / "model.onnx")
    wanted = answer(model, keep_graph=True)
    (kept,) = graphs.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(damage)
    assert answer(model, keep_graph=True) == wanted
    assert kept.read_bytes() == whole


def test_a_model_that_was_replaced_has_another_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = kept_graphs(monkeypatch, tmp_path / "cache")
    model = tiny_models.onnx_add(tmp_path / "model.onnx")
    answer(model, keep_graph=True)
    tiny_models.onnx_add(tmp_path / "other.onnx").replace(model)
    answer(model, keep_graph=True)
    assert len(list(graphs.iterdir())) == 2


def test_without_a_place_for_graphs_the_model_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").touch()
    kept_graphs(monkeypatch, tmp_path / "cache")
    assert answer(tiny_models.onnx_add(tmp_path / "model.onnx"), keep_graph=True)[0] == 1.0
