"""Bundles pulled by address: only what somebody pushed as a bundle becomes one, and only where nothing else lies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from edgemass import bundles, cli, manifest, oci
from edgemass.bundles import published
from edgemass.bundles.folder import Bundle
from edgemass.errors import BundleError, DigestMismatchError, EdgemassError, RegistryUnavailableError, UsageError
from edgemass.registry import part_file
from edgemass.registry.client import RegistryClient
from edgemass.registry.reference import Reference
from edgemass.registry.transport import Transport
from tests.simulators import tiny_detectors
from tests.simulators.manual_clock import ManualClock
from tests.simulators.scripted_registry import Reply, ScriptedRegistry


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    model = tiny_detectors.yolo_v8(tmp_path / "tiny.onnx")
    return bundles.write_bundle(bundles.import_model(model), model, tmp_path / "tiny")


@pytest.fixture
def server(bundle: Bundle) -> Iterator[ScriptedRegistry]:
    """It has the bundle as 1.0."""
    made = bundle.manifest
    content = [manifest.to_json(made), *(bundle.path(variant).read_bytes() for variant in made.variants)]
    with ScriptedRegistry(content, {"1.0": oci.oci_manifest(made)}) as running:
        yield running


def pull(server: ScriptedRegistry, directory: Path, tag: str = "1.0") -> Bundle:
    clock = ManualClock(jump=True)
    with closing(RegistryClient(Reference.parse(server.address), Transport(), clock=clock)) as client:
        return published.pull(client, tag, directory, lambda _done, _total: None)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_a_pulled_bundle_has_the_digest_that_the_registry_knows(
    server: ScriptedRegistry, bundle: Bundle, tmp_path: Path
) -> None:
    assert pull(server, tmp_path / "pulled").digest == oci.sha256(server.manifests["1.0"]) == bundle.digest


def test_what_is_there_and_right_is_not_fetched_again(server: ScriptedRegistry, tmp_path: Path) -> None:
    file = pull(server, tmp_path / "pulled").manifest.reference.file
    server.requests.clear()
    pull(server, tmp_path / "pulled")
    assert len(server.requests) == 2  # the manifest and what it is made of
    (tmp_path / "pulled" / file).write_bytes(b"rotten")
    pull(server, tmp_path / "pulled")
    assert len(server.requests) == 5


def test_a_pull_that_was_cut_goes_on_where_it_ended(server: ScriptedRegistry, bundle: Bundle, tmp_path: Path) -> None:
    size = bundle.manifest.reference.size_bytes
    server.script = [
        Reply(body=(server.manifests["1.0"],)),
        Reply(body=(server.blobs[0],)),
        Reply(headers={"Content-Length": str(size)}, body=(server.blobs[1][: size // 2],)),
        *[Reply(503)] * 20,
    ]
    with pytest.raises(RegistryUnavailableError, match="answers 503"):
        pull(server, tmp_path / "pulled")
    file = bundle.manifest.reference.file
    assert files(tmp_path / "pulled") == [part_file.name(Path(file)).name]
    server.script.clear()
    assert pull(server, tmp_path / "pulled").digest == bundle.digest
    assert server.requests[-1].headers["range"] == f"bytes={size // 2}-"


def test_a_damaged_file_leaves_nothing(server: ScriptedRegistry, tmp_path: Path) -> None:
    server.script = [Reply(body=(server.manifests["1.0"],)), Reply(body=(server.blobs[0],))]
    server.script += [Reply(body=(bytes(len(server.blobs[1])),))]
    with pytest.raises(DigestMismatchError):
        pull(server, tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()


def changed(data: bytes, **changes: object) -> bytes:
    return msgspec.json.encode({**msgspec.json.decode(data), **changes})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"artifactType": "application/vnd.docker.image"}, "wanted a bundle that"),
        ({"layers": []}, "its files are not those of its manifest"),
        ({"annotations": {"a": "b"}}, "its files are not those of its manifest"),
        ({"schemaVersion": 1}, "schemaVersion 1, wanted 2"),
        ({"config": {"mediaType": oci.CONFIG, "digest": "sha256:../x", "size": 1}}, "no OCI image manifest"),
        ({"config": {"mediaType": oci.CONFIG, "digest": f"sha256:{'0' * 64}", "size": 10**9}}, "its manifest has"),
    ],
)
def test_what_is_no_bundle_is_refused(
    changes: dict[str, object], reason: str, server: ScriptedRegistry, tmp_path: Path
) -> None:
    server.manifests["1.0"] = changed(server.manifests["1.0"], **changes)
    with pytest.raises(EdgemassError, match=reason):
        pull(server, tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()


def test_no_file_name_leads_out_of_the_folder(server: ScriptedRegistry, tmp_path: Path) -> None:
    config = changed(
        server.blobs[0], variants=[{**msgspec.json.decode(server.blobs[0])["variants"][0], "file": "../x"}]
    )
    image = msgspec.json.decode(server.manifests["1.0"])
    image["config"] = {**image["config"], "digest": oci.sha256(config), "size": len(config)}
    image["layers"][0]["annotations"][oci.FILE_PATH] = "../x"
    server.blobs[0], server.manifests["1.0"] = config, msgspec.json.encode(image)
    with pytest.raises(BundleError, match="plain file name"):
        pull(server, tmp_path / "pulled")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("content", [{"notes.txt": "mine"}, {"manifest.toml": "name = 1"}, None])
def test_a_folder_that_holds_something_else_is_left_alone(
    content: dict[str, str] | None, server: ScriptedRegistry, tmp_path: Path
) -> None:
    folder = tmp_path / "pulled"
    if content is None:
        folder.write_text("a file")
    else:
        folder.mkdir()
        for file, text in content.items():
            (folder / file).write_text(text)
    before = files(folder)
    with pytest.raises(UsageError, match="-o"):
        pull(server, folder)
    assert files(folder) == before


def test_another_bundle_is_not_overwritten(server: ScriptedRegistry, bundle: Bundle, tmp_path: Path) -> None:
    other = msgspec.structs.replace(bundle.manifest, version="2")
    bundles.write_new(other, {item.file: bundle.path(item) for item in other.variants}, tmp_path / "pulled")
    with pytest.raises(UsageError, match="holds another bundle"):
        pull(server, tmp_path / "pulled")


def test_a_changed_picture_is_not_pushed(server: ScriptedRegistry, bundle: Bundle) -> None:
    person = bundles.resolve("edgemass-person")
    broken = Bundle(person.manifest, bundle.folder, blobs=None)
    with (
        closing(RegistryClient(Reference.parse(server.address), Transport())) as client,
        pytest.raises(BundleError, match="is missing"),
    ):
        published.push(broken, client, ["1"], lambda _done, _total: None)
    assert server.requests == []


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["push", "edgemass-person", "https://r.example.org/a"], 2, "no address of a model"),
        (["push", "edgemass-person", "oci://r.example.org/a", "--tag", "a b"], 2, "--tag 'a b'"),
        (["push", "edgemass-person", f"oci://r.example.org/a@sha256:{'0' * 64}"], 2, "give a tag instead"),
        (["push", "nothing-there", "oci://r.example.org/a"], 2, "no model 'nothing-there'"),
        (["push", "edgemass-person", "oci://me@r.example.org/a"], 78, "user me has no password"),
        (["pull", "oci://r.example.org/a", "--ca", "none.pem"], 78, "ca: no file none.pem"),
        (["pull", "oci://r.example.org/A"], 2, "no repository 'A'"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line_each(
    arguments: list[str], code: int, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["model", *arguments]) == code
    told = capsys.readouterr().err
    assert reason in told
    assert len(told.splitlines()) == 1
