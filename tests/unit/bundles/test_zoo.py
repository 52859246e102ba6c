"""The models that come with edgemass, and the names that stand for models."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from edgemass import cli, families, manifest
from edgemass.bundles import zoo
from edgemass.bundles.folder import load_bundle, write_bundle
from edgemass.bundles.model_file import MAX_MODEL_BYTES
from edgemass.errors import BundleError, UsageError
from edgemass.families import FAMILIES
from edgemass.manifest import Manifest
from tests.conftest import REPOSITORY

MODELS = REPOSITORY / "models"
DOCUMENT = REPOSITORY / "docs" / "models.md"
LICENCES = {"Apache-2.0", "MIT", "BSD-3-Clause"}

MOST_BYTES = 1_500_000  # of a file that lies in the repository


def read(folder: Path) -> Manifest:
    return manifest.from_toml((folder / "manifest.toml").read_bytes(), where=folder.name)


FOLDERS = sorted(path for path in MODELS.iterdir() if path.is_dir())
OURS = [path for path in FOLDERS if not read(path).reference.address]
"""Made by our own tools: their weights lie here."""


@pytest.fixture(params=[path for path in FOLDERS if path not in OURS], ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


@pytest.mark.parametrize("folder", OURS, ids=lambda folder: folder.name)
def test_a_model_of_our_own_comes_with_small_files_golden_samples_and_how_it_was_made(folder: Path) -> None:
    bundle = load_bundle(folder)
    made = bundle.manifest
    assert made.name == folder.name
    assert made.licence in LICENCES
    files = {variant.file for variant in made.variants} | {sample.image for sample in made.golden}
    assert {path.name for path in folder.iterdir()} == {"card.md", "manifest.toml"} | files
    assert all(bundle.path(variant).stat().st_size <= MOST_BYTES for variant in made.variants)
    assert all(sample.labels for sample in made.golden)
    assert all(variant.measured_ms for variant in made.variants)
    assert made.accuracy
    assert not made.assumed  # it is logged at every start; of our own model all is declared and measured
    card = (folder / "card.md").read_text(encoding="utf-8")
    for heading in ("## Files", "## How it was made", "## Limits", "## Make it again"):
        assert heading in card


def nothing(_done: int, _total: int) -> None:
    """A progress that nobody looks at."""


def test_a_folder_has_a_manifest_of_its_name_a_card_and_no_weights(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["card.md", "manifest.toml"]
    assert read(folder).name == folder.name
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", folder.name)


def test_every_file_has_a_digest_a_size_and_an_address_that_cannot_change(folder: Path) -> None:
    made = read(folder)
    assert made.licence in LICENCES
    for variant in made.variants:
        assert re.fullmatch(r"[0-9a-f]{64}", variant.sha256)
        assert 0 < variant.size_bytes <= MAX_MODEL_BYTES
        parts = urlsplit(variant.address)
        assert (parts.scheme, parts.hostname) == ("https", "raw.githubusercontent.com")
        owner, repository, commit, path = parts.path.lstrip("/").split("/", 3)
        assert re.fullmatch(r"[0-9a-f]{40}", commit)
        assert made.source == f"github.com/{owner}/{repository}, commit {commit[:10]}, {path}"


def test_labels_and_options_are_what_the_family_takes(folder: Path) -> None:
    made = read(folder)
    assert made.output.family in FAMILIES
    options = msgspec.convert(made.output.options, families.load(made.output.family).Options)
    assert not any(label.startswith("class_") for label in made.labels)
    wanted = getattr(options, "class_count", None)
    assert wanted is None or len(made.labels) == wanted
    named = {"coco80": 80, "coco90": 90, "face": 1, "digits": 10}
    for sentence in made.assumed:
        for name, count in named.items():
            if sentence == f"labels are those of {name}":
                assert len(made.labels) == count


def test_the_card_says_what_the_manifest_says(folder: Path) -> None:
    made, card = read(folder), (folder / "card.md").read_text()
    reference = made.reference
    assert f"| sha256 | `{reference.sha256}` |" in card
    assert f"{reference.runtime}, {reference.precision}, {reference.size_bytes} bytes" in card
    assert f"| licence | {made.licence} |" in card
    assert f"edgemass model pull {made.name}" in card
    owner, repository, commit, path = urlsplit(reference.address).path.lstrip("/").split("/", 3)
    assert f"| comes from | `github.com/{owner}/{repository}` at `{commit}`: `{path}` |" in card
    for one in made.accuracy:
        values = (one.map_50_95, one.map_50) if made.task == "detection" else (one.top1, one.top5)
        figures = " | ".join(f"{value:.3f}" for value in values if value is not None)
        assert f"| {one.data} | {one.images} | {figures} |" in card
    assert ("Not measured." in card) == (not made.accuracy)


def test_the_page_about_models_lists_each_of_them_as_it_is() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `") and line.count("|") == 7]
    wanted = []
    for made in map(read, FOLDERS):
        measured = "not measured"
        for one in made.accuracy:
            metric, value = ("mAP", one.map_50_95) if one.map_50_95 is not None else ("top-1", one.top1)
            measured = f"{metric} {value:.3f} ({one.data})"
        megabytes = f"{made.reference.size_bytes / 1e6:.2f} MB"
        wanted.append(
            f"| `{made.name}` | {made.task} | {made.reference.runtime} {made.reference.precision} | {megabytes} | "
            f"{measured} | {made.licence} |"
        )
    assert rows == wanted


def test_the_list_shows_what_is_known_of_every_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(zoo, "ZOO", (MODELS,))
    monkeypatch.setattr(zoo, "SYSTEM_STORE", tmp_path / "nothing")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "nothing"))
    assert cli.main(["model", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "task", "size", "accuracy", "licence", "pulled"]
    assert [line.split()[0] for line in lines[1:]] == [folder.name for folder in FOLDERS]
    row = next(line for line in lines if line.startswith("picodet-s-320 "))
    assert re.fullmatch(r"picodet-s-320 +detection +4\.04 MB +mAP 0\.288 \(coco-val\) +Apache-2\.0 +no", row)
    assert cli.main(["model", "list", "--json"]) == 0
    models = msgspec.json.decode(capsys.readouterr().out)["models"]
    assert all(model["licence"] in LICENCES for model in models)
    assert [model["name"] for model in models if model["pulled"]] == [path.name for path in OURS]
    assert {model["name"]: model["size_bytes"] for model in models}["picodet-s-320"] == 4040569


@pytest.mark.parametrize(
    ("environment", "user_id", "wanted"),
    [
        ({"XDG_DATA_HOME": "/d", "HOME": "/home/ada"}, 1000, ["/d/edgemass/models", "/var/lib/edgemass/models"]),
        ({"HOME": "/home/ada"}, 1000, ["/home/ada/.local/share/edgemass/models", "/var/lib/edgemass/models"]),
        ({"XDG_DATA_HOME": "d", "HOME": "/h"}, 1000, ["/h/.local/share/edgemass/models", "/var/lib/edgemass/models"]),
        ({}, 1000, ["/var/lib/edgemass/models"]),
        ({"XDG_DATA_HOME": "/d", "HOME": "/home/ada"}, 0, ["/var/lib/edgemass/models"]),
    ],
)
def test_pulled_models_lie_with_the_users_data_or_roots_with_the_systems(
    environment: dict[str, str], user_id: int, wanted: list[str]
) -> None:
    assert [str(folder) for folder in zoo.stores(environment, user_id)] == wanted


def test_a_pulled_model_comes_before_the_packed_one(tmp_path: Path, manifest: Manifest, model_file: Path) -> None:
    write_bundle(manifest, model_file, tmp_path / "zoo" / "tiny")
    write_bundle(manifest, model_file, tmp_path / "store" / "tiny")
    bundle = zoo.installed("tiny", [tmp_path / "zoo"], [tmp_path / "store"])
    assert bundle is not None
    assert bundle.folder == tmp_path / "store" / "tiny"


def test_a_broken_pulled_model_is_named_and_not_taken(
    tmp_path: Path, manifest: Manifest, model_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_bundle(manifest, model_file, tmp_path / "store" / "tiny")
    (tmp_path / "store" / "tiny" / "manifest.toml").write_text("name = 3")
    assert zoo.installed("tiny", [], [tmp_path / "store"]) is None
    assert zoo.entries([], [tmp_path / "store"]) == []
    assert "`edgemass model pull tiny` mends it" in caplog.text


def test_a_pulled_model_that_the_zoo_no_longer_has_keeps_its_name(
    tmp_path: Path, manifest: Manifest, model_file: Path
) -> None:
    write_bundle(manifest, model_file, tmp_path / "store" / "old")
    (entry,) = zoo.entries([tmp_path / "zoo"], [tmp_path / "store"])
    assert entry.name == "old"
    assert entry.bundle is not None


def test_an_unknown_name_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no model 'picodet' to pull; known are .*; did you mean picodet-s-320\?"):
        zoo.pull("picodet", tmp_path, progress=nothing, zoo=[MODELS])


def test_a_model_whose_weights_come_with_edgemass_is_not_pulled(
    tmp_path: Path, manifest: Manifest, model_file: Path
) -> None:
    write_bundle(manifest, model_file, tmp_path / "zoo" / "tiny")
    with pytest.raises(UsageError, match="need not be pulled; use it with --model tiny"):
        zoo.pull("tiny", tmp_path / "out", progress=nothing, zoo=[tmp_path / "zoo"])


@pytest.mark.parametrize("kind", ["file", "stranger", "bundle", "broken"])
def test_a_folder_that_holds_something_else_is_left_alone(
    tmp_path: Path, manifest: Manifest, model_file: Path, kind: str
) -> None:
    target = tmp_path / "target"
    if kind == "file":
        target.touch()
    elif kind == "bundle":
        write_bundle(manifest, model_file, target)
    else:
        target.mkdir()
        (target / {"stranger": "notes.txt", "broken": "manifest.toml"}[kind]).write_text("mine")
    before = {path: path.read_bytes() for path in target.rglob("*")}
    with pytest.raises(UsageError, match=f"{target} .*-o"):
        zoo.pull("picodet-s-320", target, progress=nothing, zoo=[MODELS])
    assert {path: path.read_bytes() for path in target.rglob("*")} == before


def test_a_manifest_that_asks_for_too_much_is_refused(tmp_path: Path, manifest: Manifest) -> None:
    huge = msgspec.structs.replace(manifest.reference, address="https://127.0.0.1/f", size_bytes=1 << 40)
    (tmp_path / "zoo" / "tiny").mkdir(parents=True)
    made = msgspec.structs.replace(manifest, variants=(huge,))
    (tmp_path / "zoo" / "tiny" / "manifest.toml").write_bytes(msgspec.toml.encode(made))
    with pytest.raises(BundleError, match="at most 2147483648 may be"):
        zoo.pull("tiny", tmp_path / "out", progress=nothing, zoo=[tmp_path / "zoo"])


@pytest.mark.parametrize("name", ["", ".", "..", "../models/picodet-s-320", "a/b", "x\0y", "n" * 300])
def test_no_name_leads_out_of_the_zoo(name: str) -> None:
    assert zoo.packed(name, [MODELS]) is None
    assert zoo.installed(name, [MODELS], [MODELS]) is None
