"""Damaged model files meet the runtime in its child: a working import, or one of our own errors, within limits."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from edgemass import backends
from edgemass.bundles import child, import_model, onnx_graph, open_detector, read_graph
from edgemass.bundles.folder import Bundle
from edgemass.bundles.observe import Observer
from edgemass.detector import Thresholds
from edgemass.errors import BackendError, BundleError, UsageError
from tests.fuzz.campaign import counts, hold, may_refuse
from tests.fuzz.mutations import mutated_bytes
from tests.simulators.tiny_models import onnx_add, onnx_external, save_onnx, tflite_add

pytestmark = pytest.mark.runtime
pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("ai_edge_litert", reason="needs the extra tflite")

ASSETS = (
    "classifiers/mobilenet_v1_0.25_128_quant.tflite",
    "classifiers/tflm_mnist_trained_lstm_int8.tflite",
    "detectors/face_detection_short_range.tflite",
    "detectors/ultraface_version-RFB-320.onnx",
)


def later(*values: Any) -> list[Any]:
    """Parameters that only the campaign tries: each costs two processes."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


def import_and_run(path: Path) -> None:
    """All that a user can do with a bare file."""
    with may_refuse(BundleError, BackendError, UsageError):
        made = import_model(path)
        detector, _ = open_detector(Bundle(made, path.parent))
        try:
            detector.stream().detect(np.zeros((48, 64, 3), np.uint8), Thresholds(0.1))
        finally:
            detector.backend.close()


@counts(6, 20_000)
def test_a_damaged_tiny_model_is_imported_or_refused(tmp_path: Path, examples: int) -> None:
    good = [onnx_add(tmp_path / "a.onnx").read_bytes(), tflite_add(tmp_path / "a.tflite").read_bytes()]
    path = tmp_path / "model"

    def promise(content: bytes) -> None:
        path.write_bytes(content)
        import_and_run(path)

    hold(promise, examples, content=st.sampled_from(good).flatmap(mutated_bytes))


@pytest.mark.assets
@counts(5, 5_000)
def test_a_damaged_real_model_is_imported_or_refused(assets: Path, tmp_path: Path, examples: int) -> None:
    """Damage in its head, where the graph lies in TFLite files, and anywhere."""
    path = tmp_path / "model"

    def promise(name: str, data: st.DataObject) -> None:
        content = (assets / name).read_bytes()
        head = data.draw(st.sampled_from([256, 4096, 65536, len(content)]))
        start = data.draw(st.sampled_from([0, max(0, len(content) - head)]))
        piece = data.draw(mutated_bytes(content[start : start + head]))
        path.write_bytes(content[:start] + piece + content[start + head :])
        import_and_run(path)

    hold(promise, examples, name=st.sampled_from(ASSETS), data=st.data())


def onnx_graph_of(path: Path, nodes: Sequence[Any], constants: Sequence[Any], shape: Sequence[int | str]) -> Path:
    import onnx

    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "bomb",
        [onnx.helper.make_tensor_value_info("in", kind, [1, 3, 32, 32])],
        [onnx.helper.make_tensor_value_info("out", kind, shape)],
        constants,
    )
    return save_onnx(graph, path)


def allocates(path: Path, numbers: int) -> Path:
    """A graph that fills so many floats on its way."""
    import onnx
    from onnx.helper import make_node

    side = onnx.numpy_helper.from_array(np.array([numbers], np.int64), "side")
    nodes = [
        make_node("ReduceMax", ["in"], ["scalar"], keepdims=0),
        make_node("Expand", ["scalar", "side"], ["huge"]),
        make_node("Add", ["huge", "scalar"], ["sum"]),
        make_node("ReduceSum", ["sum"], ["total"], keepdims=0),
        make_node("Add", ["in", "total"], ["out"]),
    ]
    return onnx_graph_of(path, nodes, [side], [1, 3, 32, 32])


@pytest.mark.parametrize("numbers", [2**33, *later(2**40, 2**61, 2**63 - 1)])
def test_a_model_that_wants_all_memory_is_contained(numbers: int, tmp_path: Path) -> None:
    """32 GiB for the smallest of these; the child fails alone, before it has touched more than it may."""
    path = allocates(tmp_path / "model.onnx", numbers)
    with may_refuse(BundleError, BackendError):
        graph = read_graph(path)
        assert not graph.runs
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 <= child.MOST_MEMORY_BYTES


def test_the_limit_of_the_child_holds_for_what_is_really_allocated(tmp_path: Path) -> None:
    limited = (
        "import sys; sys.path[:] = sys.argv[1:]; from edgemass.bundles import child; child.limit_memory(2**28); "
        "import numpy; numpy.ones(2**28, 'uint8')"
    )
    with (
        child.Child(tmp_path / "model.onnx", limited) as process,
        pytest.raises(BundleError, match=r"model\.onnx: the runtime failed .*Unable to allocate 256"),
    ):
        process.ask(b"", "trying", 60)


def test_a_model_that_runs_for_ever_is_ended(tmp_path: Path) -> None:
    import onnx
    from onnx.helper import make_graph, make_node, make_tensor_value_info

    kind = onnx.TensorProto
    body = make_graph(
        [make_node("Identity", ["go"], ["goes"]), make_node("Add", ["value", "value"], ["next"])],
        "body",
        [
            make_tensor_value_info("turn", kind.INT64, []),
            make_tensor_value_info("go", kind.BOOL, []),
            make_tensor_value_info("value", kind.FLOAT, [1, 3, 32, 32]),
        ],
        [
            make_tensor_value_info("goes", kind.BOOL, []),
            make_tensor_value_info("next", kind.FLOAT, [1, 3, 32, 32]),
        ],
    )
    turns = onnx.numpy_helper.from_array(np.array(2**62, np.int64), "turns")
    on = onnx.numpy_helper.from_array(np.array(True), "on")
    loop = make_node("Loop", ["turns", "on", "in"], ["out"], body=body)
    path = onnx_graph_of(tmp_path / "model.onnx", [loop], [turns, on], [1, 3, 32, 32])
    with (
        Observer(path, "onnx", deadline_s=3) as observer,
        pytest.raises(BundleError, match="took more than 3 s"),
    ):
        observer.report([(32, 32)])


def test_a_graph_that_feeds_itself_is_refused(tmp_path: Path) -> None:
    from onnx.helper import make_node

    nodes = [
        make_node("Add", ["in", "b"], ["a"]),
        make_node("Add", ["a", "a"], ["b"]),
        make_node("Relu", ["b"], ["out"]),
    ]
    path = onnx_graph_of(tmp_path / "model.onnx", nodes, [], [1, 3, 32, 32])
    with pytest.raises(BundleError):
        read_graph(path)


@pytest.mark.parametrize("shape", [[2**62, 2**62], [1, 84, 2**40], *later([0, 0, 0, 0], [-1, -5], [1] * 500)])
def test_shapes_without_measure_are_refused_or_left_alone(shape: list[int], tmp_path: Path) -> None:
    from onnx.helper import make_node

    path = onnx_graph_of(tmp_path / "model.onnx", [make_node("Relu", ["in"], ["out"])], [], shape)
    import_and_run(path)


@pytest.mark.parametrize(
    "shape", [(1, 2**30, 2**30, 3), (1, 0, 0, 3), *later((2**31 - 1, 2**31 - 1, 1, 1), (-1, -1, -1, -1))]
)
def test_tflite_shapes_without_measure_are_refused_or_left_alone(shape: tuple[int, ...], tmp_path: Path) -> None:
    import_and_run(tflite_add(tmp_path / "model.tflite", shape))


@pytest.mark.parametrize("scale", [0.0, float("nan"), *later(-1.0, float("inf"), 1e-45)])
def test_tflite_scales_without_measure_are_refused_or_left_alone(scale: float, tmp_path: Path) -> None:
    path = tflite_add(tmp_path / "model.tflite", quantized=(0.5, 0))
    content = path.read_bytes().replace(np.float32(0.5).tobytes(), np.float32(scale).tobytes())
    path.write_bytes(content)
    import_and_run(path)


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../secret", "a/../../secret", "C:\\secret", "", ".", "link", "\0", "x" * 300, "loop"]
)
def test_weights_outside_the_folder_are_never_opened(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"\0\0\x80?")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "loop").symlink_to(folder / "loop")
    with pytest.raises(BundleError):
        onnx_graph.read(onnx_external(folder / "model.onnx", location))


def test_what_is_loaded_in_this_process_was_read_in_a_child_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bare file that the child refuses is not opened by a runtime here."""
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx_add(path).read_bytes()[:-20])
    opened: list[Path] = []
    monkeypatch.setattr(backends.load("onnx"), "open", lambda model, _: opened.append(model))
    with pytest.raises(BundleError):
        import_model(path)
    assert opened == []
