"""A two-stage detector on its whole road: learnt from drawn pictures, exported, and run as a device runs it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch: pip install 'edgemass-tools[train]'")
pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'edgemass-tools[train]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx enables this")

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from edgemass import bundles, evaluate  # noqa: E402
from edgemass.detections import Detections  # noqa: E402
from edgemass.detector import Detector, Stream, Thresholds  # noqa: E402
from edgemass.errors import UsageError  # noqa: E402
from edgemass.frame import Image  # noqa: E402
from edgemass_tools import checkpoint, cli  # noqa: E402
from edgemass_tools.nets import boxes  # noqa: E402
from edgemass_tools.torch_backend import TorchBackend  # noqa: E402
from edgemass_tools.training import two_stage  # noqa: E402

pytestmark = [pytest.mark.runtime, pytest.mark.timeout(300)]

OPTIONS = ("widths=[8,8,16,16,16]", "neck=16", "hidden=16", "anchors=[16,32,64]", "aspect=1")
LABELS = ("dark", "light")
FRAMES = ((480, 640), (360, 360), (200, 90), (720, 1280))  # height, width


def drawn(rng: np.random.Generator, height: int, width: int) -> tuple[Image, list[tuple[int, list[int]]]]:
    """A noisy picture with a dark and a light rectangle: (class, x, y, w, h)."""
    image = rng.integers(90, 140, (height, width, 3)).astype(np.uint8)
    found = []
    for class_id, value in enumerate((10, 245)):
        w, h = (int(v) for v in rng.integers(height // 5, height // 2, 2))
        x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
        image[y : y + h, x : x + w] = value
        found.append((class_id, [x, y, w, h]))
    return image, found


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """COCO annotations and the folder of their pictures."""
    folder = tmp_path_factory.mktemp("shapes")
    rng = np.random.default_rng(0)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number in range(1, 17):
        image, found = drawn(rng, 64, 96)
        cv2.imwrite(str(folder / f"{number}.png"), image)
        images.append({"id": number, "file_name": f"{number}.png", "width": 96, "height": 64})
        for class_id, bbox in found:
            row = {"id": len(annotations) + 1, "image_id": number, "category_id": class_id + 1, "bbox": bbox}
            annotations.append(row | {"area": bbox[2] * bbox[3], "iscrowd": 0})
    categories = [{"id": index + 1, "name": label} for index, label in enumerate(LABELS)]
    path = folder / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path, folder


def train(truth: tuple[Path, Path], output: Path, *more: str) -> int:
    annotations, images = (str(item) for item in truth)
    options = [part for option in OPTIONS for part in ("--option", option)]
    data = ["--annotations", annotations, "--images", images, "--val-annotations", annotations, "--val-images", images]
    schedule = ["--size", "96x64", "--batch", "8", "--workers", "0", "--threads", "1", "--precision", "fp32"]
    command = ["train", "--net", "faster-rcnn", *options, *data, *schedule, "--epochs", "4", "--plain-epochs", "2"]
    return cli.main([*command, "-o", str(output), *more])


@pytest.fixture(scope="module")
def learnt(truth: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("learnt")
    assert train(truth, folder) == 0
    return folder / "model.pt"


@pytest.fixture(scope="module")
def exported(learnt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "shapes"
    golden = learnt.parent / "golden.png"
    cv2.imwrite(str(golden), drawn(np.random.default_rng(9), 120, 160)[0])
    assert cli.main(["export", str(learnt), "-o", str(folder), "--score", "0.05", "--golden", str(golden)]) == 0
    return folder


def in_torch(learnt: Path) -> Stream:
    body = checkpoint.load(learnt)
    manifest = two_stage.torch_manifest(body.labels, (body.width, body.height))
    return Detector(manifest, TorchBackend(checkpoint.module(body), manifest, two_stage.answers)).stream()


def in_bundle(bundle: str) -> Stream:
    detector, _ = bundles.open_detector(bundles.resolve(bundle), threads=1)
    return detector.stream()


def found(stream: Stream, image: Image) -> Detections:
    answer = stream.detect(image, Thresholds(0.01)).found
    assert isinstance(answer, Detections)
    return answer


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")  # of the exporter
def test_cells_are_those_of_the_runtime(tmp_path: Path) -> None:
    class Cells(nn.Module):
        def forward(self, features: Tensor, rois: Tensor) -> Tensor:
            return boxes.pool(features, rois, 5, 1 / 8)

    rng = torch.Generator().manual_seed(0)
    features = torch.rand(1, 6, 9, 12, generator=rng)
    low = torch.rand(1, 40, 2, generator=rng) * torch.tensor([90.0, 66.0])
    high = torch.minimum(low + torch.rand(1, 40, 2, generator=rng) * 80, torch.tensor([96.0, 72.0]))
    rois = torch.cat([torch.cat([low, high], 2), torch.tensor([[[0.0, 0.0, 96.0, 72.0], [8.0, 8.0, 8.0, 8.0]]])], 1)
    path = tmp_path / "cells.onnx"
    names = ["features", "rois"]
    torch.onnx.export(Cells(), (features, rois), str(path), input_names=names, opset_version=17, dynamo=False)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"features": features.numpy(), "rois": rois.numpy()})
    np.testing.assert_allclose(answer, boxes.pool(features, rois, 5, 1 / 8).numpy(), atol=1e-5)


def test_a_device_finds_what_the_net_finds_in_pictures_of_any_size(learnt: Path, exported: Path) -> None:
    net, device = in_torch(learnt), in_bundle(str(exported))
    rng = np.random.default_rng(3)
    for height, width in FRAMES:
        image, _ = drawn(rng, height, width)
        wanted, answer = found(net, image), found(device, image)
        assert len(wanted.score) > 0
        np.testing.assert_allclose(answer.score, wanted.score, atol=1e-4)
        np.testing.assert_array_equal(answer.class_id, wanted.class_id)
        np.testing.assert_allclose(answer.xyxy, wanted.xyxy, atol=0.05)


def test_a_bundle_evaluates_to_what_training_reported(learnt: Path, exported: Path, truth: tuple[Path, Path]) -> None:
    annotations, images = truth
    told = checkpoint.load(learnt).record[-1].results
    measured = evaluate.detection(in_bundle(str(exported)), LABELS, images, annotations, lambda _done, _total: None)
    assert measured.map_50 == pytest.approx(told["map_50"], abs=0.002)
    assert measured.map_50_95 == pytest.approx(told["map_50_95"], abs=0.002)


def test_the_bundle_says_what_the_net_was_trained_on(exported: Path) -> None:
    made = bundles.resolve(str(exported)).manifest
    assert made.output.family == "faster_rcnn"
    assert (made.input.layout, made.input.color, made.input.resize.short_side) == ("CHW", "BGR", 64)
    assert [sample.image for sample in made.golden] == ["golden-1.png"]
    assert "short side 64" in (exported / "card.md").read_text()


def test_the_bare_file_is_recognised_as_the_zoos(exported: Path, tmp_path: Path) -> None:
    (file,) = exported.glob("*.onnx")
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(LABELS))
    from edgemass import cli as device

    assert device.main(["model", "import", str(file), "-o", str(tmp_path / "bare"), "--labels", str(labels)]) == 0
    made = bundles.resolve(str(tmp_path / "bare")).manifest
    own = bundles.resolve(str(exported)).manifest
    assert made.output == own.output
    assert made.input.mean == own.input.mean
    assert made.input.resize.short_side == 800  # the zoo's, since a bare file does not tell
    assert len(found(in_bundle(str(tmp_path / "bare")), drawn(np.random.default_rng(1), 300, 400)[0]).score) > 0


def test_an_interrupted_run_ends_with_the_same_weights(learnt: Path, truth: tuple[Path, Path], tmp_path: Path) -> None:
    assert train(truth, tmp_path, "--stop-after", "0.0000001") == 0  # no epoch ends in time, one after the other
    for _ in range(4):
        assert train(truth, tmp_path, "--stop-after", "0.001") == 0
    assert train(truth, tmp_path) == 0
    once, resumed = (checkpoint.load(path).weights for path in (learnt, tmp_path / "model.pt"))
    for name, value in once.items():
        assert torch.equal(value, resumed[name]), name


def test_another_kind_of_net_gives_the_layers_that_both_have(truth: tuple[Path, Path], tmp_path: Path) -> None:
    annotations, images = (str(item) for item in truth)
    command = ["train", "--option", "widths=[8,8,16,16,16]", "--option", "neck=16", "--annotations", annotations]
    schedule = ["--images", images, "--size", "96x64", "--epochs", "1", "--batch", "8", "--workers", "0"]
    assert cli.main([*command, *schedule, "--threads", "1", "-o", str(tmp_path / "first")]) == 0
    begun = tmp_path / "first" / "model.pt"
    assert train(truth, tmp_path / "second", "--from", str(begun), "--lr", "1e-9") == 0
    made = checkpoint.load(tmp_path / "second" / "model.pt")
    assert made.net == "faster-rcnn"
    assert [step.verb for step in made.record] == ["train", "train"]
    name = "stages.1.0.0.weight"
    torch.testing.assert_close(made.weights[name], checkpoint.load(begun).weights[name], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--soft",), "a two-stage net learns objects, not scores"),
        (("--option", "anchor=[1]"), "anchor"),
        (("--option", "anchors=[]"), "at least one"),
        (("--option", "aspect=0"), "aspect"),
        (("--labels", "cat"), "has no category cat"),
    ],
)
def test_a_wrong_order_is_told_in_one_line(
    more: tuple[str, ...], told: str, truth: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(truth, tmp_path, *more) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("edgemass-tools: error: ")
    assert told in said


def test_a_checkpoint_of_other_layers_is_refused(learnt: Path, tmp_path: Path) -> None:
    body = checkpoint.load(learnt)
    checkpoint.save(msgspec.structs.replace(body, weights={}), tmp_path / "empty.pt")
    with pytest.raises(UsageError, match="do not belong to this net"):
        checkpoint.module(checkpoint.load(tmp_path / "empty.pt"))


@pytest.mark.slow
@pytest.mark.assets
@pytest.mark.timeout(3600)
def test_people_are_learnt_and_a_bundle_finds_as_many_as_training_told(assets: Path, tmp_path: Path) -> None:
    pictures, held = assets / "train" / "images", assets / "train" / "heldout.json"
    data = ["--annotations", str(assets / "train" / "train.json"), "--images", str(pictures), "--labels", "person"]
    data += ["--val-annotations", str(held), "--val-images", str(pictures)]
    schedule = ["--size", "160x128", "--epochs", "4", "--per-epoch", "400", "--batch", "16", "--workers", "0"]
    made = tmp_path / "made"
    assert cli.main(["train", "--net", "faster-rcnn", *data, *schedule, "-o", str(made)]) == 0
    history = [json.loads(line) for line in (made / "history.jsonl").read_text().splitlines()]
    for part in ("loss_objectness", "loss_shifts", "loss_classes"):
        assert history[-1][part] < history[0][part], part
    golden = str(assets / "pictures" / "bus.jpg")
    assert cli.main(["export", str(made / "model.pt"), "-o", str(tmp_path / "bundle"), "--golden", golden]) == 0
    told = checkpoint.load(made / "model.pt").record[-1].results
    stream = in_bundle(str(tmp_path / "bundle"))
    measured = evaluate.detection(stream, ("person",), pictures, held, lambda _done, _total: None)
    assert measured.map_50 == pytest.approx(told["map_50"], abs=0.002)
