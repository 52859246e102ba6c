"""A rewritten detector answers as its stock file does, and one that would not is never kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgemass import bundles, cache, durable, evaluate
from edgemass.bundles import Bundle, derived, optimize
from edgemass.bundles.optimize import rewrite
from edgemass.detections import Detections
from edgemass.detector import Thresholds
from edgemass.errors import BundleError
from edgemass.frame import Image
from edgemass.manifest import Variant
from tests.simulators import tiny_detectors
from tests.simulators.daemon import edgemass

pytestmark = [pytest.mark.runtime]

CUT = "the head ends at its"
LOSSLESS = 0.001
REWRITTEN = (
    "picodet_s_320_coco.onnx",
    pytest.param("yolo26n_e2e_640_int8.onnx", marks=pytest.mark.slow),  # a minute of its own
    "yolov5n_640.onnx",
    "yolox_nano_416.onnx",
)


def found(bundle: Bundle, variant: Variant, picture: Image, score: float = 0.05) -> Detections:
    detector, running = bundles.open_detector(bundle, variant=variant.name, threads=1)
    assert running == variant
    inference = detector.stream().detect(picture, Thresholds(score, multi_label=True))
    assert isinstance(inference.found, Detections)
    return inference.found


@pytest.fixture
def picture() -> Image:
    return np.random.default_rng(5).integers(0, 256, (90, 160, 3), np.uint8)


def both(path: Path, folder: Path) -> tuple[Bundle, str]:
    """The bundle with the rewritten variant, and what was done."""
    bundle = bundles.resolve(str(path))
    outcome = rewrite(bundle, folder, anyway=True)
    assert outcome.variant is not None, outcome.kept_out
    return Bundle(bundle.manifest, bundle.folder, (outcome.variant,), folder), "; ".join(outcome.done)


@pytest.mark.parametrize("head", ["apart", "joined"])
@pytest.mark.parametrize("side", [tiny_detectors.SIDE, "side"])
def test_a_yolo_of_either_generation_and_of_any_size_ends_before_its_activations(
    head: Any, side: int | str, tmp_path: Path, picture: Image
) -> None:
    bundle, done = both(tiny_detectors.yolo_v8(tmp_path / "m.onnx", head=head, side=side), tmp_path)
    assert CUT in done
    rewritten = bundle.derived[0]
    assert rewritten.input is not None
    assert (rewritten.input.dtype, rewritten.input.layout, rewritten.input.color) == ("uint8", "NHWC", "BGR")
    stock, ours = (found(bundle, variant, picture) for variant in bundle.variants)
    assert len(stock) == len(ours) > 10
    np.testing.assert_allclose(ours.xyxy, stock.xyxy, atol=0.05)
    np.testing.assert_allclose(ours.score, stock.score, atol=1e-5)
    assert ours.class_id.tolist() == stock.class_id.tolist()


def test_a_head_that_does_more_than_its_family_is_not_cut(tmp_path: Path, picture: Image) -> None:
    bundle = bundles.resolve(str(tiny_detectors.yolo_v8(tmp_path / "m.onnx", confidence=0.9)))
    outcome = rewrite(bundle, tmp_path, anyway=True)
    assert any("answers otherwise" in sentence for sentence in outcome.kept_out)
    assert outcome.variant is not None
    assert outcome.variant.output is None  # pixels in, the same answer out
    kept = Bundle(bundle.manifest, bundle.folder, (outcome.variant,), tmp_path)
    stock, ours = (found(kept, variant, picture) for variant in kept.variants)
    np.testing.assert_allclose(ours.score, stock.score, atol=1e-5)


def test_a_bare_file_is_rewritten_once_and_runs_rewritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny_detectors.yolo_v8(tmp_path / "m.onnx", seed=1)
    bundle = bundles.resolve(str(path))
    digest = bundle.digest
    with_variant = derived.with_derived(bundle)
    record = json.loads(next(derived_folder(with_variant).glob("*.json")).read_text())
    assert record["ratio"] > 0
    monkeypatch.setattr(optimize, "rewrite", lambda *_, **__: pytest.fail("rewritten again"))
    again = derived.with_derived(bundles.resolve(str(path)))
    assert again.derived == with_variant.derived
    assert again.digest == digest


def derived_folder(made: Bundle) -> Path:
    """A kilobyte model may gain nothing; the record of that is kept too."""
    if made.derived_folder is not None:
        return made.derived_folder
    return max(cache.folder(derived.KIND).iterdir(), key=lambda entry: entry.stat().st_mtime_ns)


@pytest.fixture
def slow_stock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rewriting is kept, as if it gained: that of a kilobyte model does or does not, as the clock says."""
    plain = optimize.rewrite

    def kept(bundle: Bundle, folder: Path, **options: Any) -> optimize.Outcome:
        return plain(bundle, folder, anyway=True, **options)

    monkeypatch.setattr(optimize, "rewrite", kept)


@pytest.mark.usefixtures("slow_stock")
@pytest.mark.parametrize("damage", ["record", "file", "empty file"])
def test_what_is_damaged_is_made_anew(damage: str, tmp_path: Path) -> None:
    bundle = bundles.resolve(str(tiny_detectors.yolo_v8(tmp_path / "m.onnx", seed=2)))
    made = derived.with_derived(bundle)
    folder = made.derived_folder
    assert folder is not None
    file = folder / made.derived[0].file
    whole = file.read_bytes()
    if damage == "record":
        next(folder.glob("*.json")).write_bytes(b"{")
    else:
        file.write_bytes(b"" if damage == "empty file" else whole[:-1] + bytes([whole[-1] ^ 1]))
    detector, running = bundles.open_detector(bundle, threads=1)
    detector.backend.close()
    if damage == "file":  # of the right size: the digest tells when it is loaded, and the stock file takes over
        assert running == bundle.manifest.reference
        detector, running = bundles.open_detector(bundle, threads=1)
        detector.backend.close()
    assert running.made_from
    assert file.read_bytes() == whole


def test_trouble_is_tried_again_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = bundles.resolve(str(tiny_detectors.yolo_v8(tmp_path / "m.onnx", seed=3)))
    calls: list[int] = []

    def crash(*_: object, **__: object) -> optimize.Outcome:
        calls.append(1)
        raise BundleError("the runtime crashed")

    with monkeypatch.context() as patch:
        patch.setattr(optimize, "rewrite", crash)
        for _ in range(derived.MOST_TRIES + 2):
            assert derived.with_derived(bundle) == bundle
    assert len(calls) == derived.MOST_TRIES


@pytest.mark.usefixtures("slow_stock")
def test_a_model_that_another_process_rewrites_runs_as_it_is(tmp_path: Path) -> None:
    bundle = bundles.resolve(str(tiny_detectors.yolo_v8(tmp_path / "m.onnx", seed=4)))
    folder = derived._folder(bundle)
    folder.mkdir()
    with durable.alone(folder / derived._LOCK) as alone:
        assert alone
        assert derived.with_derived(bundle) == bundle
    assert derived.with_derived(bundle).derived


def test_optimize_writes_a_bundle_whose_reference_is_the_stock_file(tmp_path: Path) -> None:
    path = tiny_detectors.yolo_v8(tmp_path / "m.onnx")
    done = edgemass("model", "optimize", str(path), "-o", str(tmp_path / "b"), "--anyway")
    assert done.returncode == 0, done.stderr
    assert CUT in done.stdout
    assert "same answers on 3 pictures" in done.stdout
    bundle = bundles.load_bundle(tmp_path / "b")
    stock, rewritten = bundle.manifest.variants
    assert bundle.path(stock).read_bytes() == path.read_bytes()
    assert (rewritten.made_from, rewritten.precision) == (stock.name, stock.precision)
    again = edgemass("model", "optimize", str(tmp_path / "b"), "--anyway")
    assert again.returncode == 0, again.stderr
    assert [item.name for item in bundles.load_bundle(tmp_path / "b").manifest.variants] == [
        stock.name,
        rewritten.name,
    ]


def test_pictures_that_cannot_be_read_are_left_out(tmp_path: Path, picture: Image) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    cv2.imwrite(str(images / "good.png"), picture)
    path = tiny_detectors.yolo_v8(tmp_path / "m.onnx")
    done = edgemass("model", "optimize", str(path), "-o", str(tmp_path / "b"), "--images", str(images), "--anyway")
    assert done.returncode == 0, done.stderr
    assert "same answers on 4 pictures" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--images", "absent"], "--images absent is no folder"),
        (["-o", "full"], "full is not empty"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(arguments: list[str], told: str, tmp_path: Path) -> None:
    tiny_detectors.yolo_v8(tmp_path / "m.onnx")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    done = edgemass("model", "optimize", "m.onnx", "--anyway", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def some_of(annotations: Path, place: Path) -> Path:
    """Every third picture: both sides see the same, so that few show a loss."""
    truth = json.loads(annotations.read_bytes())
    truth["images"] = truth["images"][::3]
    kept = {image["id"] for image in truth["images"]}
    truth["annotations"] = [box for box in truth["annotations"] if box["image_id"] in kept]
    place.write_text(json.dumps(truth))
    return place


@pytest.mark.assets
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", REWRITTEN)
def test_a_rewritten_model_has_the_accuracy_of_its_stock_file(name: str, assets: Path, tmp_path: Path) -> None:
    bundle, done = both(assets / "detectors" / name, tmp_path)
    assert CUT in done
    pictures = assets / "coco-val" / "images"
    truth = some_of(assets / "coco-val" / "instances.json", tmp_path / "instances.json")
    results = []
    for variant in bundle.variants:
        detector, _ = bundles.open_detector(bundle, variant=variant.name, threads=2)
        results.append(
            evaluate.detection(
                detector.stream(),
                bundle.manifest.labels,
                pictures,
                truth,
                lambda _done, _total: None,
            )
        )
    stock, ours = results
    assert abs(ours.map_50_95 - stock.map_50_95) <= LOSSLESS
    assert abs(ours.map_50 - stock.map_50) <= LOSSLESS
