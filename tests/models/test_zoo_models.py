"""The models of the zoo themselves: pulled from a server on loopback, they load, run and reach what their cards say."""

from __future__ import annotations

import csv
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import msgspec
import numpy as np
import pytest

from edgemass import bundles, evaluate, manifest
from edgemass.bundles import zoo
from edgemass.bundles.folder import Bundle
from edgemass.detections import Classification, Detections
from edgemass.detector import Detector, Thresholds
from edgemass.frame import Image
from edgemass.manifest import Accuracy, Manifest
from tests.conftest import REPOSITORY
from tests.simulators.file_server import FileServer

pytestmark = [pytest.mark.assets, pytest.mark.runtime]

MODELS = REPOSITORY / "models"
NOT_MEASURED = {"traffic-ssd-lstm", "ultraface-rfb-320"}  # there are no annotated pictures of what they find
QUICK = ("mnist-lstm-int8", "mobilenet-v1-025-128", "ssd-mobilenet-v1-coco")  # 500, 67 and 110 pictures in seconds
TOLERANCE = 0.005


def packed(name: str) -> Manifest:
    return manifest.from_toml((MODELS / name / "manifest.toml").read_bytes(), where=name)


NAMES = sorted(path.name for path in MODELS.iterdir() if path.is_dir() and packed(path.name).reference.address)


@pytest.fixture(scope="module")
def pulled(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with every model, pulled by its own manifest whose address leads to loopback instead."""
    folder = tmp_path_factory.mktemp("zoo")
    files: dict[str, bytes] = {}
    with FileServer(files) as server:
        for name in NAMES:
            made = packed(name)
            path = urlsplit(made.reference.address).path
            (source,) = assets.glob(f"*/{made.reference.file}")
            files[path] = source.read_bytes()
            here = msgspec.structs.replace(made.reference, address=server.address(path))
            (folder / "zoo" / name).mkdir(parents=True)
            text = manifest.to_toml(msgspec.structs.replace(made, variants=(here,)))
            (folder / "zoo" / name / "manifest.toml").write_bytes(text)
            zoo.pull(name, folder / "store" / name, progress=lambda _done, _total: None, zoo=[folder / "zoo"])
    return folder / "store"


def opened(name: str, pulled: Path) -> tuple[Bundle, Detector]:
    bundle = bundles.resolve(name, zoo=[MODELS], store=[pulled])
    detector, _ = bundles.open_detector(bundle, threads=2)
    return bundle, detector


def look(detector: Detector, path: Path) -> Detections | Classification:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None
    return detector.stream().detect(np.asarray(image, np.uint8), Thresholds(detector.manifest.score)).found


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_is_what_the_importer_reads_from_the_file(name: str, pulled: Path) -> None:
    made = packed(name)
    read = bundles.import_model(pulled / name / made.reference.file)
    assert (made.task, made.input, made.output.family, made.output.tensors) == (
        read.task,
        read.input,
        read.output.family,
        read.output.tensors,
    )
    assert (made.auxiliary_inputs, made.state, len(made.labels)) == (
        read.auxiliary_inputs,
        read.state,
        len(read.labels),
    )
    assert made.reference == msgspec.structs.replace(read.reference, address=made.reference.address)


def digit(assets: Path, folder: Path) -> Path:
    """A seven, light on dark."""
    cv2.imwrite(str(folder / "7.png"), digits(assets)[350][0])
    return folder / "7.png"


EXPECTED = {  # name -> a picture of the assets, and labels of what it shows
    "deimv2-atto-int8": ("pictures/bus.jpg", {"person"}),
    "fastestdet-352": ("pictures/dog.jpg", {"dog", "bicycle"}),
    "mobilenet-v1-025-128": ("pictures/cat_720p.jpg", {"tabby, tabby cat", "tiger cat", "Egyptian cat"}),
    "mobilenet-v2-224": ("pictures/cat_720p.jpg", {"tabby, tabby cat", "tiger cat", "Egyptian cat"}),
    "nanodet-m-416-int8": ("pictures/dog.jpg", {"dog", "bicycle"}),
    "picodet-s-320": ("pictures/dog.jpg", {"dog", "bicycle"}),
    "ssd-mobilenet-v1-coco": ("pictures/dog.jpg", {"dog", "bicycle"}),
    "traffic-ssd-lstm": ("pictures/traffic_frames/0001.bmp", {"sedan", "pickup_suv_van"}),
    "ultraface-rfb-320": ("pictures/zidane.jpg", {"face"}),
    "yolox-nano-416": ("pictures/dog.jpg", {"dog", "bicycle"}),
}


@pytest.mark.parametrize("name", NAMES)
def test_it_finds_what_a_picture_shows(name: str, pulled: Path, assets: Path, tmp_path: Path) -> None:
    bundle, detector = opened(name, pulled)
    file, wanted = EXPECTED.get(name, ("", {"7"}))
    found = look(detector, assets / file if file else digit(assets, tmp_path))
    labels = [bundle.manifest.labels[class_id] for class_id in found.class_id]
    if isinstance(found, Classification):
        assert labels[0] in wanted
    else:
        assert wanted <= set(labels)


def test_faces_are_found_where_they_are(pulled: Path, assets: Path) -> None:
    _, detector = opened("ultraface-rfb-320", pulled)
    found = look(detector, assets / "pictures" / "zidane.jpg")
    assert isinstance(found, Detections)
    centres = sorted(((found.xyxy[:, :2] + found.xyxy[:, 2:]) / 2).round(-2).tolist())
    assert centres == [[600, 300], [1000, 200]]  # in 1280x720, to 100 pixels


def digits(assets: Path) -> list[tuple[Image, int]]:
    """500 pictures of 28x28, and what they show: every tenth column of digits.png, its cells with a black edge."""
    sheet = cv2.imread(str(assets / "pictures" / "digits.png"), cv2.IMREAD_COLOR)
    assert sheet is not None
    cells = [
        (sheet[row * 20 : row * 20 + 20, column * 20 : column * 20 + 20], row // 5)
        for row in range(50)
        for column in range(0, 100, 10)
    ]
    return [(np.pad(cell, ((4, 4), (4, 4), (0, 0))), shown) for cell, shown in cells]


def measure(name: str, pulled: Path, assets: Path, folder: Path) -> list[tuple[Accuracy, tuple[float, float]]]:
    """What the manifest says, each with what is measured here: mAP 50-95 and 50, or top-1 and top-5."""
    bundle, detector = opened(name, pulled)
    measured = []
    for stated in bundle.manifest.accuracy:
        stream, labels = detector.stream(), bundle.manifest.labels
        if stated.data == "coco-val":
            images, truth = assets / "coco-val" / "images", assets / "coco-val" / "instances.json"
            boxes = evaluate.detection(stream, labels, images, truth, lambda _done, _total: None)
            assert boxes.images == stated.images
            measured.append((stated, (boxes.map_50_95, boxes.map_50)))
            continue
        images, truth = TRUTH[stated.data](assets, folder)
        classes = evaluate.classification(stream, labels, images, truth, lambda _done, _total: None)
        assert classes.images == stated.images
        measured.append((stated, (classes.top1, classes.top5)))
    return measured


def _digits_truth(assets: Path, folder: Path) -> tuple[Path, Path]:
    rows = []
    for index, (image, shown) in enumerate(digits(assets)):
        cv2.imwrite(str(folder / f"{index}.png"), image)
        rows.append((f"{index}.png", str(shown)))
    return folder, _write(folder, rows)


def _imagenet_truth(assets: Path, folder: Path) -> tuple[Path, Path]:
    """Class ids of networks whose class 0 is the background."""
    order = [line.split()[0] for line in (assets / "imagenet" / "wnids.txt").read_text().splitlines()]
    images = assets / "imagenet" / "images"
    names = sorted(path.name for path in images.iterdir())
    return images, _write(folder, [(name, str(order.index(name.split("_")[0]) + 1)) for name in names])


def _write(folder: Path, rows: list[tuple[str, str]]) -> Path:
    with (folder / "truth.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "truth.csv"


TRUTH = {"digits-500": _digits_truth, "imagenet-67": _imagenet_truth}


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in NAMES
        if name not in NOT_MEASURED
    ],
)
def test_it_is_as_accurate_as_its_card_says(name: str, pulled: Path, assets: Path, tmp_path: Path) -> None:
    measured = measure(name, pulled, assets, tmp_path)
    assert measured
    for stated, found in measured:
        wanted = (stated.map_50_95, stated.map_50) if stated.map_50_95 is not None else (stated.top1, stated.top5)
        assert found == pytest.approx(wanted, abs=TOLERANCE)
