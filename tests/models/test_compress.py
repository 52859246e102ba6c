"""Pruning and distillation by their commands, on drawn pictures and nets of some kilobytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'edgemass-tools[train]'")
pytest.importorskip("torch_pruning", reason="needs torch-pruning: pip install 'edgemass-tools[train]'")
pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'edgemass-tools[train]'")
pytest.importorskip("onnxruntime", reason="the extra onnx enables this")
pytest.importorskip("onnx", reason="the extra import enables this")

from edgemass_tools import checkpoint, cli, nets  # noqa: E402
from edgemass_tools.checkpoint import Checkpoint  # noqa: E402
from edgemass_tools.data import drawn  # noqa: E402
from edgemass_tools.pruning import operations  # noqa: E402
from tests.simulators import tiny_detectors  # noqa: E402

pytestmark = [pytest.mark.runtime, pytest.mark.timeout(300)]

USAGE = 2
LABEL = "cat"  # which the small teacher knows
OPTIONS = {"widths": [8, 16, 16, 24, 32], "depths": [1, 1, 1], "neck": 16, "head_depth": 1}
SHORT = ("--epochs", "2", "--batch", "4", "--workers", "0", "--threads", "1", "--precision", "fp32")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Annotations and the folder of their pictures."""
    folder = tmp_path_factory.mktemp("drawn")
    path = drawn.write(folder, 8, seed=0, size=(96, 64))
    path.write_text(path.read_text().replace(f'"{drawn.LABELS[0]}"', f'"{LABEL}"'))
    return path, folder / "images"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "model.pt"
    torch.manual_seed(0)
    net = nets.build("edge-detector", OPTIONS, 1)
    step = checkpoint.step("train")
    body = Checkpoint(
        net="edge-detector",
        options=OPTIONS,
        labels=(LABEL,),
        width=96,
        height=64,
        weights=net.state_dict(),
        record=(step,),
    )
    checkpoint.save(body, path)
    return path


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_detectors.yolo_v8(tmp_path_factory.mktemp("teacher") / "teacher.onnx")


def prune(trained: Path, pictures: tuple[Path, Path], output: Path, *more: str) -> int:
    data = ("--annotations", str(pictures[0]), "--images", str(pictures[1]))
    known = ("prune", str(trained), "--operations", "0.6", "--looks", "1", *data, *SHORT)
    return cli.main([*known, *more, "-o", str(output)])


def distill(teacher: Path, output: Path, *more: str) -> int:
    net = [part for key, value in OPTIONS.items() for part in ("--option", f"{key}={value}")]
    return cli.main(["distill", "--teacher", str(teacher), *net, *SHORT, "--size", "96x64", *more, "-o", str(output)])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")  # of the ONNX exporter
def test_a_pruned_net_is_smaller_works_and_tells_how_it_came_about(
    trained: Path, pictures: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = ("--val-annotations", str(pictures[0]), "--val-images", str(pictures[1]))
    assert prune(trained, pictures, tmp_path / "pruned", *held) == 0
    told = capsys.readouterr().out
    assert all(line in told for line in ("before ", "after cut ", "fine-tuned ", "M operations", "map_50"))
    path = tmp_path / "pruned" / "model.pt"
    assert path.stat().st_size < trained.stat().st_size
    whole, made = checkpoint.load(trained), checkpoint.load(path)
    counts = [operations.count(checkpoint.module(body), (96, 64)) for body in (whole, made)]
    assert counts[1] <= 0.6 * counts[0]
    assert [step.verb for step in made.record] == ["train", "prune", "fine-tune"]
    assert made.record[1].results["operations_after"] == counts[1]
    assert cli.main(["export", str(path), "-o", str(tmp_path / "bundle")]) == 0


def test_an_interrupted_pruning_goes_on_and_ends_with_the_same_weights(
    trained: Path, pictures: tuple[Path, Path], tmp_path: Path
) -> None:
    assert prune(trained, pictures, tmp_path / "whole") == 0
    assert prune(trained, pictures, tmp_path / "parts", "--stop-after", "0") == 0  # after the cut
    cut = (tmp_path / "parts" / "cut.pt").stat().st_mtime_ns
    assert prune(trained, pictures, tmp_path / "parts") == 0
    assert (tmp_path / "parts" / "cut.pt").stat().st_mtime_ns == cut
    one, other = (checkpoint.load(tmp_path / name / "model.pt").weights for name in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_share_out_of_range_another_net_or_another_pruning_is_refused(
    trained: Path, pictures: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prune(trained, pictures, tmp_path / "a", "--operations", "1.6") == USAGE
    assert "between 0 and 1" in capsys.readouterr().err
    assert prune(pictures[0], pictures, tmp_path / "a") == USAGE
    assert "is no checkpoint of edgemass-tools" in capsys.readouterr().err
    assert prune(trained, pictures, tmp_path / "a", "--labels", "dog") == USAGE
    assert "knows cat" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
    assert prune(trained, pictures, tmp_path / "b", "--no-finetune") == 0
    assert prune(trained, pictures, tmp_path / "b", "--operations", "0.8") == USAGE
    assert "another folder with -o" in capsys.readouterr().err


def test_a_student_learns_from_teachers_alone_and_goes_on_where_it_was(
    teacher: Path, pictures: tuple[Path, Path], tmp_path: Path
) -> None:
    more = ("--labels", LABEL, "--images", str(pictures[1]), "--object", "0.1", "--doubt", "0.01")
    assert distill(teacher, tmp_path, *more, "--stop-after", "0") == 0
    labels = (tmp_path / "labels.json").stat().st_mtime_ns
    assert distill(teacher, tmp_path, *more) == 0
    made = checkpoint.load(tmp_path / "model.pt")
    assert made.labels == (LABEL,)
    assert [step.verb for step in made.record] == ["label", "distill"]
    assert made.record[0].settings["teachers"][0].startswith("teacher ")
    assert made.record[1].settings["soft"] is True
    assert labels <= (tmp_path / "labels.json").stat().st_mtime_ns


def test_a_pruned_student_learns_from_teachers_beside_annotations(
    teacher: Path, trained: Path, pictures: tuple[Path, Path], tmp_path: Path
) -> None:
    assert prune(trained, pictures, tmp_path / "pruned", "--no-finetune") == 0
    others = tmp_path / "others"
    shutil.copytree(pictures[1], others)
    student = str(tmp_path / "pruned" / "model.pt")
    data = ("--annotations", str(pictures[0]), "--images", str(pictures[1]), "--unlabelled", str(others))
    told = ("distill", "--teacher", str(teacher), "--student", student, *SHORT, *data)
    assert cli.main([*told, "-o", str(tmp_path / "student")]) == 0
    made = checkpoint.load(tmp_path / "student" / "model.pt")
    assert [step.verb for step in made.record] == ["train", "prune", "label", "distill"]
    assert made.record[2].results["pictures"] == 16
    assert {name: tuple(value.shape) for name, value in made.weights.items()} == {
        name: tuple(value.shape) for name, value in checkpoint.load(Path(student)).weights.items()
    }


def test_teachers_that_cannot_teach_are_refused(
    teacher: Path, trained: Path, pictures: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = ("--images", str(pictures[1]))
    assert distill(teacher, tmp_path / "a", *images, "--labels", "zebra") == USAGE
    assert "knows none of zebra" in capsys.readouterr().err
    assert distill(tmp_path / "missing.onnx", tmp_path / "a", *images, "--labels", LABEL) == USAGE
    assert "missing.onnx" in capsys.readouterr().err
    assert distill(teacher, tmp_path / "a", "--labels", LABEL) == USAGE
    assert "no pictures" in capsys.readouterr().err
    assert distill(teacher, tmp_path / "a", *images, "--doubt", "0.9") == USAGE
    assert "--doubt <= --object" in capsys.readouterr().err
    assert distill(trained, tmp_path / "a", *images, "--labels", LABEL) != 0
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "a" / "model.pt").exists()


@pytest.mark.assets
def test_a_classifier_is_no_teacher_of_detectors(
    assets: Path, pictures: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classifier = assets / "classifiers" / "squeezenet1.0_dc.onnx"
    assert distill(classifier, tmp_path, "--images", str(pictures[1]), "--labels", LABEL) == USAGE
    assert "wanted a detector" in capsys.readouterr().err
