"""Bare model files into bundles, with the real runtimes and a classifier of a kilobyte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgemass import bundles
from edgemass.errors import BundleError, FamilyUnknownError, UsageError
from tests.simulators import tiny_models

pytestmark = pytest.mark.runtime


def classifier(path: Path, *, classes: int = 3, metadata: dict[str, str] | None = None) -> Path:
    """[1, 3, 32, 32] -> mean of each channel -> `classes` scores."""
    import onnx

    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = np.random.default_rng(0).normal(size=(3, classes)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["images"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
        ],
        "classifier",
        [helper.make_tensor_value_info("images", kind, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("scores", kind, [1, classes])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    return tiny_models.save_onnx(graph, path, metadata)


def label_file(folder: Path, *names: str) -> Path:
    path = folder / "labels.txt"
    path.write_text("\n".join(names))
    return path


def test_the_users_labels_come_before_those_of_the_file(tmp_path: Path) -> None:
    path = classifier(tmp_path / "m.onnx", metadata={"names": "{0: 'a', 1: 'b', 2: 'c'}"})
    assert bundles.import_model(path).labels == ("a", "b", "c")
    assert bundles.import_model(path, labels=label_file(tmp_path, "x", "y", "z")).labels == ("x", "y", "z")


def test_classes_that_nobody_names_get_numbers_and_that_is_told(tmp_path: Path) -> None:
    manifest = bundles.import_model(classifier(tmp_path / "m.onnx"))
    assert manifest.labels == ("class_0", "class_1", "class_2")
    assert any("no names" in sentence for sentence in manifest.assumed)


@pytest.mark.parametrize("names", ["{0: 'a', 1: '', 2: 'c'}", "{0: 'a', 2: 'b', 7: 'c'}", "a, b and c"])
def test_names_of_the_file_that_cannot_be_taken_are_not_called_missing(tmp_path: Path, names: str) -> None:
    manifest = bundles.import_model(classifier(tmp_path / "m.onnx", metadata={"names": names}))
    assert manifest.labels == ("class_0", "class_1", "class_2")
    assert manifest.assumed[-1].startswith(
        "the file's own names are not one text for each class: class_0 to class_2; give"
    )


@pytest.mark.parametrize(
    ("name", "meant"), [("m.tflite", "TFLite model"), ("m.onnx", "ONNX model"), ("m.mp4", "ONNX or TFLite model")]
)
def test_what_cannot_be_read_is_called_what_it_was_meant_to_be(tmp_path: Path, name: str, meant: str) -> None:
    (tmp_path / name).write_bytes(bytes(range(255, 0, -1)) * 9)
    with pytest.raises(BundleError, match=f"{name} is no whole {meant} .truncated or damaged"):
        bundles.import_model(tmp_path / name)


def test_another_number_of_labels_than_classes_is_refused_with_both(tmp_path: Path) -> None:
    path = classifier(tmp_path / "m.onnx")
    with pytest.raises(BundleError, match="5 labels, the graph has 3 classes"):
        bundles.import_model(path, labels=label_file(tmp_path, *"abcde"))
    with pytest.raises(BundleError, match=r"4 labels.* 3 classes"):
        bundles.import_model(path, labels=label_file(tmp_path, *"abcd"))


def test_a_bare_file_and_its_written_bundle_have_one_digest(tmp_path: Path) -> None:
    path = classifier(tmp_path / "m.onnx")
    bare = bundles.resolve(str(path))
    written = bundles.write_bundle(bundles.import_model(path), path, tmp_path / "bundle")
    assert bare.digest == written.digest == bundles.resolve(str(tmp_path / "bundle")).digest
    assert bare.manifest == written.manifest


def test_settings_end_up_in_the_manifest(tmp_path: Path) -> None:
    manifest = bundles.import_model(
        classifier(tmp_path / "m.onnx"), settings=["color=BGR", "top=2", "score=0.25", "name=door", "licence=MIT"]
    )
    assert manifest.input.color == "BGR"
    assert manifest.output.options["top"] == 2
    assert (manifest.score, manifest.name, manifest.licence) == (0.25, "door", "MIT")


def test_a_picture_size_that_the_graph_does_not_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has a fixed width of 32"):
        bundles.import_model(classifier(tmp_path / "m.onnx"), settings=["width=64"])


def test_a_setting_that_contradicts_another_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"input\.mean has 2 numbers, wanted 1 or 3") as caught:
        bundles.import_model(classifier(tmp_path / "m.onnx"), settings=["mean=1,2"])
    assert "\n" not in str(caught.value)


def test_another_family_than_the_graphs_is_refused(tmp_path: Path) -> None:
    path = classifier(tmp_path / "m.onnx")
    with pytest.raises(FamilyUnknownError, match="is not of the family yolo_v8"):
        bundles.import_model(path, family="yolo_v8")
    with pytest.raises(UsageError, match="unknown family 'yolo'; known are"):
        bundles.import_model(path, family="yolo")


def test_a_model_whose_weights_lie_elsewhere_is_not_bundled(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(np.ones(1, np.float32).tobytes())
    with pytest.raises(BundleError, match=r"weights lie in another file \(weights\.bin\)"):
        bundles.import_model(tiny_models.onnx_external(tmp_path / "m.onnx", "weights.bin"))


def test_a_written_bundle_runs(tmp_path: Path) -> None:
    path = classifier(tmp_path / "m.onnx")
    bundle = bundles.write_bundle(bundles.import_model(path), path, tmp_path / "bundle")
    detector, variant = bundles.open_detector(bundle, threads=1)
    assert (variant.runtime, variant.precision) == ("onnx", "fp32")
    assert detector.backend.name == "onnxruntime/cpu"


@pytest.mark.assets
def test_anchors_of_ones_own_are_taken(assets: Path) -> None:
    path = assets / "detectors" / "yolo-fastest-1.1.onnx"
    manifest = bundles.import_model(path, settings=["anchors=10,14,23,27,37,58,81,82,135,169,344,319"])
    assert manifest.output.options["anchors"] == [10, 14, 23, 27, 37, 58, 81, 82, 135, 169, 344, 319]


def transposed_head(path: Path, classes: int) -> Path:
    """[1, 3, 64, 64] -> [1, 84, 4 + classes]: a row for each cell of strides 8, 16 and 32, boxes in pixels."""
    import onnx

    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.random((1, 84, 4)) * 64, rng.random((1, 84, classes)) * 0.1], axis=2)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMax", ["images"], ["brightest"], keepdims=0),
            helper.make_node("Min", ["brightest", "one"], ["light"]),
            helper.make_node("Mul", ["rows", "light"], ["output"]),
        ],
        "head",
        [helper.make_tensor_value_info("images", kind, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("output", kind, [1, 84, 4 + classes])],
        [
            onnx.numpy_helper.from_array(rows.astype(np.float32), "rows"),
            onnx.numpy_helper.from_array(np.ones((), np.float32), "one"),
        ],
    )
    return tiny_models.save_onnx(graph, path, None)


def test_the_number_of_labels_or_a_named_family_decides_where_the_graph_does_not(tmp_path: Path) -> None:
    path = transposed_head(tmp_path / "m.onnx", classes=6)
    assert bundles.import_model(path).output.family == "yolox"
    assert bundles.import_model(path, labels=label_file(tmp_path, *"abcdef")).output.family == "yolo_v8"
    assert bundles.import_model(path, labels=label_file(tmp_path, *"abcde")).output.family == "yolox"
    named = bundles.import_model(path, family="yolo_v8")
    assert (named.output.family, len(named.labels)) == ("yolo_v8", 6)
