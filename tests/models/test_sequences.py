"""Sequence nets trained for a few steps, exported, and run as a device runs them, on the real runtimes."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train of edgemass-tools")
pytest.importorskip("onnxruntime", reason="needs the extra onnx")

from edgemass import bundles, cli, evaluate
from edgemass.detections import Classification
from edgemass.detector import Thresholds
from edgemass.frame import Image
from edgemass.progress import Progress
from edgemass.sources.images import read
from edgemass.texts import as_image
from edgemass_tools import checkpoint
from edgemass_tools.cli import main as tools
from edgemass_tools.training import sequence_runs
from edgemass_tools.training.loop import Settings

pytestmark = [pytest.mark.runtime, pytest.mark.timeout(900)]  # LiteRT's converter takes long on a busy machine

WORDS = {"fruit": ("apple", "pear", "plum", "cherry"), "metal": ("iron", "zinc", "copper", "tin")}
TFLITE = importlib.util.find_spec("litert_torch") is not None


def write_texts(path: Path, count: int = 80) -> Path:
    draw = np.random.default_rng(0)
    rows = [(" ".join(draw.choice(WORDS[label], 3)), label) for label in WORDS for _ in range(count // 2)]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def write_pictures(folder: Path, count: int = 20) -> Path:
    """Bright above or bright below."""
    draw = np.random.default_rng(0)
    for label in ("above", "below"):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            picture = draw.integers(0, 60, (28, 28)).astype(np.uint8)
            picture[:14] += 150 if label == "above" else 0
            picture[14:] += 150 if label == "below" else 0
            cv2.imwrite(str(folder / label / f"{number}.png"), picture)
    return folder


def train(net: str, data: Path, run: Path, *more: str, epochs: int = 6) -> int:
    options = ["--threads", "1", "--batch", "16", "--lr", "0.02", "--measure-every", "2"]
    return tools(["train", "--net", net, "--data", str(data), "--epochs", str(epochs), *options, *more, "-o", str(run)])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """runs/text, runs/rows: trained; text, rows, whole: bundles of them."""
    place = tmp_path_factory.mktemp("sequences")
    assert train("lstm-text", write_texts(place / "texts.csv"), place / "runs" / "text", "--option", "hidden=16") == 0
    assert train("lstm-digits", write_pictures(place / "data"), place / "runs" / "rows", "--option", "hidden=16") == 0
    also = ["--tflite"] if TFLITE else []
    for name, run, more in (
        ("text", "text", ["--per-run", "8"]),
        ("rows", "rows", ["--per-run", "7"]),
        ("whole", "rows", []),
    ):
        order = ["export", str(place / "runs" / run / "model.pt"), "-o", str(place / name), *more, *also]
        assert tools(order) == 0
    return place


def best(found: object) -> tuple[int, float]:
    assert isinstance(found, Classification)
    return int(found.class_id[0]), float(found.score[0])


def held(place: Path, name: str) -> Path:
    return place / "runs" / ("text" if name == "text" else "rows") / "held" / "truth.csv"


@pytest.mark.parametrize("name", ["text", "rows", "whole"])
def test_the_device_measures_what_training_reported(place: Path, name: str) -> None:
    bundle = bundles.resolve(str(place / name))
    truth = held(place, name)
    trained = checkpoint.load(truth.parents[1] / "model.pt").record[-1].results
    for variant in bundle.manifest.variants:
        stream = bundles.open_detector(bundle, variant=variant.name)[0].stream()
        if name == "text":
            found = evaluate.texts(stream, bundle.manifest.labels, truth, lambda _done, _all: None)
        else:
            found = evaluate.classification(
                stream, bundle.manifest.labels, truth.parent, truth, lambda _done, _all: None
            )
        assert found.top1 == pytest.approx(trained["top1"], abs=1e-9)
        assert [(item.top1, item.images) for item in variant.accuracy] == [(found.top1, found.images)]
        assert found.top1 >= 0.9


@pytest.mark.parametrize("name", ["text", "rows", "whole"])
def test_golden_samples_are_found_by_every_variant(place: Path, name: str) -> None:
    bundle = bundles.resolve(str(place / name))
    assert len(bundle.manifest.golden) == 2
    for variant in bundle.manifest.variants:
        stream = bundles.open_detector(bundle, variant=variant.name)[0].stream()
        for golden in bundle.manifest.golden:
            image: Image = as_image(golden.text.encode()) if golden.text else read(bundle.folder / golden.image)
            class_id, score = best(stream.detect(image, Thresholds(bundle.manifest.score)).found)
            assert bundle.manifest.labels[class_id] == golden.labels[0]
            assert score == pytest.approx(golden.scores[0], abs=golden.score_tolerance)


def test_rows_in_parts_answer_as_the_whole_picture(place: Path) -> None:
    image = read(held(place, "rows").parent / "00000.png")
    answers = [
        best(bundles.open_detector(bundles.resolve(str(place / name)))[0].stream().detect(image, Thresholds(0.0)).found)
        for name in ("rows", "whole")
    ]
    assert answers[0][0] == answers[1][0]
    assert answers[0][1] == pytest.approx(answers[1][1], abs=1e-5)


def test_lines_on_standard_input_become_documents(place: Path) -> None:
    command = [sys.executable, "-m", "edgemass", "run", "--model", str(place / "text"), "--camera", "log=text:-"]
    lines = "iron zinc tin\n\nplum pear apple, and a cherry that is far away\n"
    done = subprocess.run(
        [*command, "--sink", "jsonl:-"], input=lines.encode(), capture_output=True, timeout=100, check=True
    )
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert [document["schema"] for document in documents] == ["edgemass.classification/1"] * 2
    assert [document["classes"][0]["label"] for document in documents] == ["metal", "fruit"]
    assert documents[0]["frame"] == {"width": 13, "height": 1}


def test_an_interrupted_training_ends_with_the_same_weights(place: Path, tmp_path: Path) -> None:
    order = sequence_runs.Order(
        net="lstm-text",
        net_options={"hidden": 16},
        start=None,
        data=place / "texts.csv",
        val=None,
        batch=16,
        settings=Settings(epochs=6, lr=0.02, measure_every=2, precision="fp32"),
        output=tmp_path / "cut",
    )

    def interrupt(what: str) -> Progress:
        if what.startswith("epoch 4"):
            raise KeyboardInterrupt
        return lambda _done, _total: None

    with pytest.raises(KeyboardInterrupt):
        sequence_runs.run(order, interrupt)
    assert train("lstm-text", order.data, order.output, "--option", "hidden=16") == 0
    assert len((order.output / "history.jsonl").read_text().splitlines()) == 6
    whole, cut = (checkpoint.load(run / "model.pt").weights for run in (place / "runs" / "text", order.output))
    assert whole.keys() == cut.keys()
    for name, value in whole.items():
        assert (value == cut[name]).all(), name


def test_training_goes_on_from_other_weights_with_new_classes(place: Path, tmp_path: Path) -> None:
    data = tmp_path / "more.csv"
    data.write_text(write_texts(place / "again.csv").read_text() + "oak elm,wood\nash fir,wood\n" * 10)
    begun = ("--from", str(place / "runs" / "text" / "model.pt"))
    assert train("lstm-text", data, tmp_path / "run", "--option", "hidden=16", *begun, epochs=2) == 0
    made = checkpoint.load(tmp_path / "run" / "model.pt")
    assert made.labels == ("fruit", "metal", "wood")
    assert len(made.record) == 2
    assert train("lstm-text", data, tmp_path / "other", "--option", "hidden=8", *begun) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "--model", "text", "--camera", "synthetic:"], "reads texts; give text:FILE"),
        (["run", "--model", "whole", "--camera", "text:-"], "reads pictures"),
        (["eval", "text", "--images", "data", "--labels", "x.csv"], "give --texts truth.csv"),
        (["eval", "whole", "--texts", "texts.csv"], "give --images DIR --labels truth.csv"),
        (["eval", "text", "--texts", "wrong.csv"], "no column 'label'"),
        (["bench", "rows"], "reads a frame in several runs"),
    ],
)
def test_what_does_not_go_together_is_told_with_exit_code_2(
    place: Path, arguments: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    (place / "wrong.csv").write_text("text,class\nhello,metal\n")
    assert cli.main(arguments) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--net", "lstm-text"], "learns from --data"),
        (["--net", "lstm-text", "--data", "missing.csv"], "No such file"),
        (["--net", "lstm-text", "--data", "one.csv"], "only the class"),
        (["--net", "lstm-text", "--data", "texts.csv", "--val", "strange.csv"], "nothing to learn of 'wood'"),
        (["--net", "lstm-digits", "--data", "small.png"], "has 8x8 pixels"),
        (["--net", "lstm-digits", "--data", "empty"], "holds no folders"),
        (["--net", "edge-detector", "--data", "texts.csv"], "are for sequence nets"),
    ],
)
def test_data_that_does_not_do_is_refused_before_anything_is_learnt(
    place: Path, arguments: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    (place / "empty").mkdir(exist_ok=True)
    (place / "one.csv").write_text("text,label\na,b\n")
    (place / "strange.csv").write_text("text,label\noak,wood\n")
    cv2.imwrite("small.png", np.zeros((8, 8, 3), np.uint8))
    assert tools(["train", *arguments, "-o", "never"]) == 2
    assert told in capsys.readouterr().err
    assert not (place / "never").exists()


def test_a_number_of_rows_that_does_not_divide_the_picture_is_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = ["export", str(place / "runs" / "rows" / "model.pt"), "--per-run", "5", "-o", str(tmp_path / "out")]
    assert tools(order) == 2
    assert "does not divide the 28 rows" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
