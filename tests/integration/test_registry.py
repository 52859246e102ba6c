"""Bundles to and from Debian's docker-registry, over TLS and with logins."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from edgemass import bundles, cli, oci
from edgemass.bundles import published
from edgemass.errors import RegistryError, RegistryUnavailableError
from edgemass.registry import blobs
from edgemass.registry.client import RegistryClient
from edgemass.registry.part_file import PartFile
from edgemass.registry.reference import Reference
from edgemass.registry.transport import Transport
from tests.simulators.broker import Certificates, free_port
from tests.simulators.manual_clock import ManualClock
from tests.simulators.registry import PASSWORD, USER, RegistryServer
from tests.simulators.token_server import TokenServer

pytestmark = pytest.mark.registry


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.issue(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with RegistryServer(tmp_path_factory.mktemp("registry"), certificates, login=True) as running:
        yield running


@pytest.fixture
def transport(certificates: Certificates, tmp_path: Path) -> Transport:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    return Transport(ca=str(certificates.ca), user=USER, password_file=str(tmp_path / "password"), total_s=60)


@pytest.fixture
def client(server: RegistryServer, transport: Transport) -> Iterator[RegistryClient]:
    opened = RegistryClient(Reference.parse(server.address), transport)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _no_docker_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


def read(client: RegistryClient, descriptor: oci.Descriptor, path: Path) -> bytes:
    with PartFile(path) as part:
        client.read_blob(descriptor, part, lambda _done: None)
        part.finish()
    return path.read_bytes()


def referrer(client: RegistryClient, subject: str, artifact_type: str) -> bytes:
    empty = oci.Descriptor("application/vnd.oci.empty.v1+json", oci.sha256(b"{}"), 2)
    client.put_blob(empty.digest, empty.size, b"{}")
    of = oci.Descriptor(oci.IMAGE_MANIFEST, subject, len(client.manifest(subject)))
    made = oci.ImageManifest(2, oci.IMAGE_MANIFEST, artifact_type, empty, (empty,), subject=of)
    return msgspec.json.encode(made)


def test_a_pulled_bundle_is_the_pushed_one_to_the_byte(client: RegistryClient, tmp_path: Path) -> None:
    bundle = bundles.resolve("edgemass-person")
    pushed = published.push(bundle, client, ["1.0"], lambda _done, _total: None)
    assert (pushed.digest, pushed.there) == (bundle.digest, 0)
    pulled = published.pull(client, "1.0", tmp_path / "pulled", lambda _done, _total: None)
    assert pulled.digest == bundle.digest
    for path in (tmp_path / "pulled").iterdir():
        if path.name != "manifest.toml":
            assert path.read_bytes() == (bundle.folder / path.name).read_bytes()
    assert {variant.file for variant in bundle.manifest.variants} <= {path.name for path in pulled.folder.iterdir()}


def test_what_is_there_is_not_sent_again(client: RegistryClient) -> None:
    bundle = bundles.resolve("edgemass-person")
    published.push(bundle, client, ["again"], lambda _done, _total: None)
    assert published.push(bundle, client, ["b", "a"], lambda _done, _total: None).sent == 0
    assert {"a", "again", "b"} <= set(client.tags())


@pytest.mark.assets
def test_a_bundle_of_a_real_detector_comes_back_whole(client: RegistryClient, assets: Path, tmp_path: Path) -> None:
    bundle = bundles.resolve(str(assets / "detectors" / "yolov5n_640.onnx"))
    published.push(bundle, client, ["big"], lambda _done, _total: None)
    seen: list[tuple[int, int]] = []
    pulled = published.pull(client, "big", tmp_path / "pulled", lambda done, total: seen.append((done, total)))
    assert pulled.path(pulled.manifest.reference).stat().st_size > 7_000_000
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]


def test_a_pull_goes_on_where_the_last_one_ended(client: RegistryClient, tmp_path: Path) -> None:
    content = random.Random(1).randbytes(500_000)
    descriptor = oci.Descriptor(oci.WEIGHTS, oci.sha256(content), len(content))
    client.put_blob(descriptor.digest, descriptor.size, content)
    with PartFile(tmp_path / "f") as part:
        part.append(content[:400_000])
    before = client.received
    assert read(client, descriptor, tmp_path / "f") == content
    assert client.received - before < 110_000


def test_a_large_blob_goes_in_chunks(client: RegistryClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "MONOLITHIC_BYTES", 100_000)
    content = random.Random(2).randbytes(350_001)
    (tmp_path / "source").write_bytes(content)
    descriptor = oci.Descriptor(oci.WEIGHTS, oci.sha256(content), len(content))
    client.put_blob(descriptor.digest, descriptor.size, tmp_path / "source")
    assert client.has_blob(descriptor.digest)
    assert read(client, descriptor, tmp_path / "f") == content


def test_referrers_are_found_although_the_registry_has_no_such_api(client: RegistryClient) -> None:
    subject = published.push(bundles.resolve("edgemass-person"), client, [], lambda _done, _total: None).digest
    first = client.put_manifest(referrer(client, subject, "application/vnd.example.a"), None)
    second = client.put_manifest(referrer(client, subject, "application/vnd.example.b"), None)
    client.put_manifest(referrer(client, subject, "application/vnd.example.b"), None)
    assert [found.digest for found in client.referrers(subject, "application/vnd.example.a")] == [first]
    assert [found.digest for found in client.referrers(subject, "application/vnd.example.b")] == [second]
    assert client.referrers(oci.sha256(b"nobody"), "application/vnd.example.a") == ()


def test_what_is_not_there_is_told_apart_from_a_registry_that_is_away(
    server: RegistryServer, client: RegistryClient, transport: Transport
) -> None:
    with pytest.raises(RegistryError, match=r"manifest nothing: it is not there .*MANIFEST_UNKNOWN"):
        client.manifest("nothing")
    assert not client.has_blob(oci.sha256(b"nothing"))
    away = Reference.parse(f"oci://127.0.0.1:{free_port()}/models/tiny")
    with (
        closing(RegistryClient(away, transport, clock=ManualClock(jump=True))) as nobody,
        pytest.raises(RegistryUnavailableError, match="Connection refused"),
    ):
        nobody.manifest("nothing")
    assert PASSWORD not in server.log


@pytest.mark.parametrize("given", ["nothing", "a wrong password"])
def test_a_login_that_does_not_do_is_said(given: str, server: RegistryServer, transport: Transport) -> None:
    login = "" if given == "nothing" else f"{USER}:wrong@"
    bare = msgspec.structs.replace(transport, user=None, password_file=None)
    reference = Reference.parse(f"oci+https://{login}{server.host}/models/tiny")
    reason = "it does not let board in" if login else "it wants a login"
    with closing(RegistryClient(reference, bare)) as client, pytest.raises(RegistryError, match=reason) as caught:
        client.tags()
    assert "wrong" not in str(caught.value)


def test_logins_of_docker_are_taken(
    server: RegistryServer, certificates: Certificates, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docker").mkdir()
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": {server.host: {"auth": auth}}}))
    address = f"oci+https://{server.host}/models/docker:1"
    assert cli.main(["model", "push", "edgemass-person", address, "--ca", str(certificates.ca)]) == 0
    assert "tagged 1" in capsys.readouterr().out


def test_the_command_line_pushes_and_pulls_and_keeps_the_password_to_itself(
    server: RegistryServer, certificates: Certificates, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    password = PASSWORD.replace(" ", "%20").replace(":", "%3A").replace("@", "%40")
    address = f"oci+https://{USER}:{password}@{server.host}/models/door"
    with_ca = ["--ca", str(certificates.ca)]
    assert cli.main(["model", "push", "edgemass-person", f"{address}:1.2", "--tag", "newest", *with_ca]) == 0
    output = tmp_path / "door"
    assert cli.main(["model", "pull", f"{address}:newest", "-o", str(output), *with_ca]) == 0
    assert cli.main(["model", "pull", f"{address}:newest", "-o", str(output), *with_ca]) == 0  # nothing left to do
    assert cli.main(["model", "pull", f"{address}:other", "-o", str(tmp_path / "other"), *with_ca]) == 1
    told = capsys.readouterr()
    assert bundles.load_bundle(output).digest in told.out
    assert "other: it is not there" in told.err
    assert password not in told.out + told.err
    assert PASSWORD not in told.out + told.err


def test_a_token_is_fetched_once_for_each_thing_to_do(tmp_path: Path, certificates: Certificates) -> None:
    with TokenServer(tmp_path / "tokens", USER, PASSWORD) as tokens:
        both = tmp_path / "both.pem"
        both.write_bytes(certificates.ca.read_bytes() + tokens.ca.read_bytes())
        (tmp_path / "password").write_text(PASSWORD)
        transport = Transport(ca=str(both), user=USER, password_file=str(tmp_path / "password"))
        server = RegistryServer(
            tmp_path / "registry", certificates, token_realm=tokens.realm, token_certificate=tokens.ca
        )
        with server:
            reference = Reference.parse(server.address)
            with closing(RegistryClient(reference, transport)) as client:
                client.put_blob(oci.sha256(b"abc"), 3, b"abc")
                assert client.has_blob(oci.sha256(b"abc"))
                assert client.has_blob(oci.sha256(b"abc"))
            actions = [query["scope"].removeprefix("repository:models/tiny:") for query in tokens.asked]
            assert [set(words.split(",")) for words in actions] == [{"pull", "push"}, {"pull"}]
            (tmp_path / "password").write_text("wrong")
            with (
                closing(RegistryClient(reference, transport)) as client,
                pytest.raises(RegistryError, match=r"its token server .* does not let board in"),
            ):
                client.tags()


def test_a_registry_that_dies_while_it_is_asked_is_reported_as_away(tmp_path: Path, certificates: Certificates) -> None:
    transport = Transport(ca=str(certificates.ca), stall_s=0.3, connect_s=0.3, total_s=2.0)
    server = RegistryServer(tmp_path / "registry", certificates)
    with server, closing(RegistryClient(Reference.parse(server.address), transport)) as client:
        assert not client.has_blob(oci.sha256(b"a"))
        server.freeze()
        with pytest.raises(RegistryUnavailableError, match=r"silent|no connection in time|took too long"):
            client.has_blob(oci.sha256(b"a"))
