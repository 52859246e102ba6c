"""`edgemass model pack` and `push` into a folder: what is wrong is told, and deltas go with what is right."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from edgemass import bundles, cli
from edgemass.registry import deltas
from edgemass.registry.layout import Layout
from tests.simulators.board import PERSON


@pytest.fixture
def door(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PERSON, tmp_path / "door"))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "models", "edgemass-person")


def edit(bundle: Path) -> None:
    """The card tells more than before; what is said otherwise stays."""
    with (bundle / "card.md").open("a", encoding="utf-8") as card:
        card.write("\nMore words.\n")


def test_pack_tells_the_digest_that_everybody_knows_it_by(door: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["model", "pack", str(door)]) == 0
    assert capsys.readouterr().out == f"digest: {bundles.load_bundle(door).digest}\n"


def test_pack_puts_a_bundle_into_a_folder_that_push_and_pull_know(door: Path, layout: Layout, tmp_path: Path) -> None:
    assert cli.main(["model", "pack", str(door), "-o", str(layout.folder), "--tag", "1", "--tag", "new"]) == 0
    assert layout.tags() == ("1", "new")
    assert cli.main(["model", "pull", f"{layout.folder}:edgemass-person:new", "-o", str(tmp_path / "pulled")]) == 0
    assert bundles.load_bundle(tmp_path / "pulled").digest == bundles.load_bundle(door).digest
    for name in ("card.md", "golden-1.png"):
        assert (tmp_path / "pulled" / name).read_bytes() == (door / name).read_bytes()


def test_a_bundle_whose_card_was_edited_is_sealed_first(
    door: Path, layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    before = bundles.load_bundle(door).digest
    edit(door)
    assert cli.main(["model", "pack", str(door), "-o", str(layout.folder)]) == 1
    error = capsys.readouterr().err
    assert "card.md is missing or was changed" in error
    command = re.search(r"`edgemass (model pack .* --seal)`", error)
    assert command
    assert not layout.folder.exists()
    assert cli.main(command[1].split()) == 0
    assert cli.main(["model", "pack", str(door), "-o", str(layout.folder)]) == 0
    assert bundles.load_bundle(door).digest != before


def test_a_bundle_whose_weights_were_changed_is_refused(door: Path, layout: Layout) -> None:
    (door / "edgemass-person.int8.onnx").write_bytes(b"other weights")
    assert cli.main(["model", "pack", str(door), "-o", str(layout.folder)]) == 1
    assert cli.main(["model", "push", str(door), str(layout.folder)]) == 1
    assert not layout.folder.exists()


def test_a_push_brings_deltas_from_what_had_the_tag(
    door: Path, layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    first = bundles.load_bundle(door).digest
    assert cli.main(["model", "push", str(door), str(layout.folder), "--no-delta"]) == 0
    assert layout.referrers(first, deltas.ARTIFACT) == ()
    edit(door)
    assert cli.main(["model", "pack", str(door), "--seal"]) == 0
    capsys.readouterr()
    assert cli.main(["model", "push", str(door), str(layout.folder)]) == 0
    second = bundles.load_bundle(door).digest
    assert f"delta: 0.00 MB for devices that have {first}" in capsys.readouterr().out
    assert {item.annotations[deltas.FROM] for item in layout.referrers(second, deltas.ARTIFACT)} == {"nothing", first}


def test_a_push_brings_deltas_from_further_bundles(door: Path, layout: Layout) -> None:
    digests: list[str] = []
    for tag in ("1", "2", "3"):
        more = ["--delta-from", "1", "--delta-from", digests[1]] if tag == "3" else []
        assert cli.main(["model", "push", str(door), str(layout.folder), "--tag", tag, *more]) == 0
        digests.append(bundles.load_bundle(door).digest)
        edit(door)
        assert cli.main(["model", "pack", str(door), "--seal"]) == 0
    found = {item.annotations[deltas.FROM] for item in layout.referrers(digests[2], deltas.ARTIFACT)}
    assert found == {"nothing", digests[0], digests[1]}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["push", "DOOR", "MODELS", "--delta-from", "9"], 1, "no '9'"),
        (["push", "DOOR", "MODELS", "--delta-from", "../up"], 2, "wanted a tag or a digest"),
        (["push", "DOOR", "MODELS", "--delta-from", "1", "--no-delta"], 2, "exclude each other"),
        (["pack", "DOOR", "--tag", "1"], 2, "--tag belongs to -o"),
        (["pack", "DOOR", "-o", "oci://localhost/x"], 2, "wanted a folder"),
        (["pack", "DOOR", "-o", "MODELS:UPPER:1"], 2, "no name 'UPPER'"),
        (["pack", "DOOR", "-o", "DOOR"], 2, "holds other things"),
        (["pack", "DOOR/edgemass-person.int8.onnx", "--seal"], 2, "is no bundle folder"),
    ],
)
def test_mistakes_are_told(
    door: Path, layout: Layout, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    assert cli.main(["model", "pack", str(door), "-o", str(layout.folder), "--tag", "1"]) == 0
    places = {"DOOR": str(door), "MODELS": str(layout.folder)}
    told = [re.sub("DOOR|MODELS", lambda match: places[match[0]], argument) for argument in arguments]
    assert cli.main(["model", *told]) == code
    assert words in capsys.readouterr().err
