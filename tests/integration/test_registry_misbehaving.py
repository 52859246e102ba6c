"""Registries that are silent, slow, lying or hostile, or none: each ends with a reason, and nothing wrong stays."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import trustme

from edgemass import oci
from edgemass.clock import Clock
from edgemass.errors import DigestMismatchError, EdgemassError, RegistryError, RegistryUnavailableError
from edgemass.registry.client import RegistryClient
from edgemass.registry.exchange import PAUSES_S
from edgemass.registry.part_file import PartFile, name
from edgemass.registry.reference import Reference
from edgemass.registry.transport import Transport
from tests.simulators.faulty_proxy import Fault, FaultyProxy
from tests.simulators.manual_clock import ManualClock
from tests.simulators.scripted_registry import HTML, Reply, ScriptedRegistry

CONTENT = random.Random(0).randbytes(300_000)
MANIFEST = b'{"schemaVersion":2}'
IMPATIENT = Transport(connect_s=5.0, stall_s=0.3, total_s=1.0, least_bytes_s=20_000.0)
PATIENT = Transport(connect_s=10.0, stall_s=10.0, total_s=60.0)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


@pytest.fixture
def server() -> Iterator[ScriptedRegistry]:
    with ScriptedRegistry(blobs=[CONTENT], manifests={"1.0": MANIFEST}) as running:
        yield running


def tls(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def descriptor() -> oci.Descriptor:
    return oci.Descriptor(oci.WEIGHTS, oci.sha256(CONTENT), len(CONTENT), {oci.FILE_PATH: "tiny.onnx"})


def read(address: str, path: Path, transport: Transport = PATIENT, clock: Clock | None = None) -> bytes:
    """As `published` does: the file has its name only when it is whole."""
    with closing(RegistryClient(Reference.parse(address), transport, clock=clock)) as client, PartFile(path) as part:
        client.read_blob(descriptor(), part, lambda _done: None)
        part.finish()
    return path.read_bytes()


def manifest(address: str, reference: str = "1.0", transport: Transport = PATIENT, clock: Clock | None = None) -> bytes:
    with closing(RegistryClient(Reference.parse(address), transport, clock=clock)) as client:
        return client.manifest(reference)


def leave(path: Path, content: bytes) -> None:
    """What an earlier call left."""
    name(path).write_bytes(content)


def left(path: Path) -> int:
    """Bytes for the next call to go on with."""
    return name(path).stat().st_size if name(path).exists() else 0


def range_of(first: int, last: int, total: int) -> dict[str, str]:
    return {"Content-Range": f"bytes {first}-{last}/{total}"}


TOO_SLOW = r"only \d+ bytes came|it took too long in all"
SLOW = [
    pytest.param(Fault(stall=0), r"it is silent|it took too long in all", id="silent"),
    pytest.param(Fault(drip=0, drip_s=0.01), TOO_SLOW, id="a byte at a time"),
]


@pytest.mark.parametrize("well", [0, 100_000], ids=["from the start", "from the middle on"])
@pytest.mark.parametrize(("fault", "reason"), SLOW)
def test_a_silent_or_slow_registry_ends_within_its_deadline(
    fault: Fault, reason: str, well: int, server: ScriptedRegistry, tmp_path: Path
) -> None:
    faults = iter([Fault(cut=well)] if well else [])
    with (
        FaultyProxy(server.port, lambda: next(faults, fault)) as proxy,
        pytest.raises(RegistryUnavailableError, match=reason),
    ):
        read(f"oci://127.0.0.1:{proxy.port}/models/tiny", tmp_path / "f", IMPATIENT)
    assert not (tmp_path / "f").exists()
    assert bool(left(tmp_path / "f")) == bool(well)


def test_bytes_that_drip_end_with_the_total_deadline_however_low_the_least_speed(
    server: ScriptedRegistry, tmp_path: Path
) -> None:
    drops = itertools.repeat(b"x")
    server.always = Reply(headers={"Content-Length": str(len(CONTENT))}, body=drops, pause_s=0.01)
    transport = Transport(stall_s=0.3, total_s=0.6, least_bytes_s=0.0)
    with pytest.raises(RegistryUnavailableError, match="it took too long in all"):
        read(server.address, tmp_path / "f", transport)
    assert not (tmp_path / "f").exists()


def test_a_header_that_never_ends_is_given_up(server: ScriptedRegistry) -> None:
    with (
        FaultyProxy(server.port, lambda: Fault(drip=20, drip_s=0.01)) as proxy,
        pytest.raises(RegistryUnavailableError, match=TOO_SLOW),
    ):
        manifest(f"oci://127.0.0.1:{proxy.port}/models/tiny", transport=IMPATIENT)


LIES = [
    pytest.param(Reply(headers={"Content-Length": "299999"}, body=(CONTENT,)), "299999 bytes are announced", id="less"),
    pytest.param(Reply(headers={"Content-Length": "10" * 9}, body=(CONTENT,)), "bytes are announced", id="far more"),
    pytest.param(
        Reply(headers={"Content-Length": ""}, body=(CONTENT, b"!")), "more than the 300000 bytes", id="a byte more"
    ),
    pytest.param(
        Reply(headers={"Content-Length": ""}, body=itertools.repeat(b"x" * 60_000)),
        "more than the 300000 bytes",
        id="without end",
    ),
    pytest.param(Reply(headers={"Content-Encoding": "gzip"}, body=(b"x",)), "is compressed", id="compressed"),
    pytest.param(HTML, "a web page answers instead of a registry", id="web page"),
    pytest.param(Reply(206, range_of(5, 299_999, 300_000), (CONTENT[5:],)), "another part", id="another part"),
    pytest.param(Reply(206, body=(CONTENT,)), "another part", id="no range"),
    pytest.param(Reply(204), "answers 204", id="nothing"),
]


@pytest.mark.parametrize(("reply", "reason"), LIES)
def test_a_file_that_is_not_the_one_is_refused(
    reply: Reply, reason: str, server: ScriptedRegistry, tmp_path: Path
) -> None:
    server.always = reply
    with pytest.raises(RegistryError, match=reason):
        read(server.address, tmp_path / "f")
    assert not (tmp_path / "f").exists()
    assert left(tmp_path / "f") == 0


def test_a_file_that_ends_too_early_is_asked_for_again_until_patience_is_over(
    server: ScriptedRegistry, tmp_path: Path
) -> None:
    server.always = Reply(headers={"Content-Length": ""}, body=(CONTENT[:1000],))
    clock = ManualClock(jump=True)
    with pytest.raises(RegistryUnavailableError, match="ended after 1000 of 300000 bytes"):
        read(server.address, tmp_path / "f", clock=clock)
    assert len(server.requests) == len(PAUSES_S) + 2  # the first brought something
    assert all(least / 2 <= found <= least for least, found in zip(PAUSES_S, clock.waits[1:], strict=True))


WRONG_RANGES = [
    pytest.param(range_of(99_999, 299_999, 300_000), id="too early"),
    pytest.param(range_of(100_001, 299_999, 300_000), id="too late"),
    pytest.param(range_of(100_000, 299_999, 300_001), id="of a longer file"),
    pytest.param({"Content-Range": "bytes all of it"}, id="nonsense"),
]


@pytest.mark.parametrize("headers", WRONG_RANGES)
def test_another_part_than_was_asked_for_is_refused(
    headers: dict[str, str], server: ScriptedRegistry, tmp_path: Path
) -> None:
    leave(tmp_path / "f", CONTENT[:100_000])
    server.always = Reply(206, headers, (CONTENT[100_000:],))
    with pytest.raises(RegistryError, match=r"another part than was asked for: .* wanted bytes 100000-299999/300000"):
        read(server.address, tmp_path / "f")
    assert left(tmp_path / "f") == 100_000


def test_a_whole_file_in_reply_to_a_range_begins_anew(server: ScriptedRegistry, tmp_path: Path) -> None:
    leave(tmp_path / "f", CONTENT[:100_000])
    server.always = Reply(body=(CONTENT,))
    assert read(server.address, tmp_path / "f") == CONTENT


def test_a_part_of_the_rest_is_taken_and_the_next_one_asked_for(server: ScriptedRegistry, tmp_path: Path) -> None:
    leave(tmp_path / "f", CONTENT[:100_000])
    server.script = [Reply(206, range_of(100_000, 199_999, 300_000), (CONTENT[100_000:200_000],))]
    assert read(server.address, tmp_path / "f", clock=ManualClock(jump=True)) == CONTENT
    assert server.requests[-1].headers["range"] == "bytes=200000-"


def test_a_damaged_file_is_told_by_its_digest_and_nothing_of_it_stays(server: ScriptedRegistry, tmp_path: Path) -> None:
    with (
        FaultyProxy(server.port, lambda: Fault(corrupt=150_000)) as proxy,
        pytest.raises(DigestMismatchError, match=r"tiny\.onnx .* is damaged"),
    ):
        read(f"oci://127.0.0.1:{proxy.port}/models/tiny", tmp_path / "f")
    assert not (tmp_path / "f").exists()
    assert left(tmp_path / "f") == 0


def test_a_piece_that_rotted_on_the_disk_costs_one_more_download(server: ScriptedRegistry, tmp_path: Path) -> None:
    leave(tmp_path / "f", b"?" + CONTENT[1:200_000])
    assert read(server.address, tmp_path / "f") == CONTENT
    assert [request.headers.get("range") for request in server.requests] == ["bytes=200000-", None]


@pytest.mark.parametrize(
    ("status", "pauses"), [(503, True), (502, True), (429, True), (500, True), (400, False), (403, False), (410, False)]
)
def test_only_what_may_pass_is_tried_again(status: int, pauses: bool, server: ScriptedRegistry, tmp_path: Path) -> None:
    clock = ManualClock(jump=True)
    server.script = [Reply(status)]
    if pauses:
        assert read(server.address, tmp_path / "f", clock=clock) == CONTENT
    else:
        with pytest.raises(RegistryError):
            read(server.address, tmp_path / "f", clock=clock)
    assert len(clock.waits) == pauses


def test_a_registry_that_asks_to_wait_is_waited_for_if_the_deadline_allows(server: ScriptedRegistry) -> None:
    clock = ManualClock(jump=True)
    server.script = [Reply(429, {"Retry-After": "30"}), Reply(503, {"Retry-After": "86400"})]
    with pytest.raises(RegistryUnavailableError, match="answers 503"):
        manifest(server.address, clock=clock)
    assert clock.waits == [30.0]


PAGES = [
    pytest.param(HTML, "a web page answers instead of a registry", id="web page"),
    pytest.param(Reply(302, {"Location": "https://login.example.org/?a=1"}), "followed for files only", id="redirect"),
    pytest.param(Reply(headers={"Content-Length": "9" * 12}, body=(b"{}",)), "an answer of 9+ bytes", id="announced"),
    pytest.param(
        Reply(headers={"Content-Length": ""}, body=itertools.repeat(b"x" * 60_000)), "more than 4194304", id="endless"
    ),
    pytest.param(Reply(404, {"Content-Type": "text/html"}, (b"<html>",)), r"1\.0: it is not there", id="not there"),
    pytest.param(Reply(403, body=(b"x" * 70_000,)), "may not do that$", id="long excuse"),
    pytest.param(Reply(400, body=(b"\x1b[31m no\r\nno " + b"A" * 900,)), r"\(\[31m no no A+\)$", id="rude words"),
    pytest.param(Reply(headers={"X-Long": "x" * 200_000}), "speaks no HTTP", id="endless header"),
]


@pytest.mark.parametrize(("reply", "reason"), PAGES)
def test_what_is_no_manifest_is_refused_with_the_reason(reply: Reply, reason: str, server: ScriptedRegistry) -> None:
    server.always = reply
    with pytest.raises(RegistryError, match=reason) as caught:
        manifest(server.address)
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


def test_a_manifest_that_is_not_that_of_its_digest_is_refused(server: ScriptedRegistry) -> None:
    server.always = Reply(body=(MANIFEST,))
    assert manifest(server.address, oci.sha256(MANIFEST)) == MANIFEST
    with pytest.raises(DigestMismatchError):
        manifest(server.address, oci.sha256(b"another"))
    server.always = Reply(headers={"Docker-Content-Digest": oci.sha256(b"another")}, body=(MANIFEST,))
    with pytest.raises(DigestMismatchError):
        manifest(server.address)


def test_redirects_are_followed_for_files_but_not_for_ever(server: ScriptedRegistry, tmp_path: Path) -> None:
    around = [Reply(307, {"Location": f"/v2/models/tiny/blobs/{oci.sha256(CONTENT)}"})]
    server.script = around * 3
    assert read(server.address, tmp_path / "f") == CONTENT
    server.script = around * 4
    with pytest.raises(RegistryError, match="redirects more than 3 times"):
        read(server.address, tmp_path / "g")


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://127.0.0.1:1/f", "redirects from TLS to http"),
        ("file:///etc/passwd", "wanted an address on the network"),
    ],
)
def test_no_redirect_leads_out_of_tls(
    location: str, reason: str, authority: trustme.CA, ca: str, tmp_path: Path
) -> None:
    with ScriptedRegistry(blobs=[CONTENT], tls=tls(authority.issue_cert("127.0.0.1"))) as server:
        server.script = [Reply(302, {"Location": location})]
        with pytest.raises(RegistryError, match=reason):
            read(server.address, tmp_path / "f", Transport(ca=ca))


def test_the_login_goes_to_no_other_host(server: ScriptedRegistry, tmp_path: Path) -> None:
    with ScriptedRegistry(blobs=[CONTENT]) as elsewhere:
        place = f"{elsewhere.url}/v2/models/tiny/blobs/{oci.sha256(CONTENT)}"
        server.script = [Reply(401, {"WWW-Authenticate": 'Basic realm="r"'}), Reply(307, {"Location": place})]
        address = f"oci://user:secret@127.0.0.1:{server.port}/models/tiny"
        assert read(address, tmp_path / "f") == CONTENT
    assert ["authorization" in request.headers for request in server.requests] == [False, True]
    assert ["authorization" in request.headers for request in elsewhere.requests] == [False]


def test_a_login_that_another_host_asks_for_is_not_given(server: ScriptedRegistry, tmp_path: Path) -> None:
    asks = Reply(401, {"WWW-Authenticate": 'Basic realm="r"'})
    with ScriptedRegistry(always=asks) as elsewhere:
        server.script = [Reply(307, {"Location": f"{elsewhere.url}/f"})]
        with pytest.raises(RegistryError):
            read(f"oci://user:secret@127.0.0.1:{server.port}/models/tiny", tmp_path / "f")
    assert ["authorization" in request.headers for request in elsewhere.requests] == [False]


def test_a_token_server_has_to_speak_tls_where_the_registry_does(authority: trustme.CA, ca: str) -> None:
    with ScriptedRegistry(tls=tls(authority.issue_cert("127.0.0.1"))) as server:
        server.always = Reply(401, {"WWW-Authenticate": 'Bearer realm="http://127.0.0.1:1/token",service="s"'})
        address = server.address.replace("://", "://user:secret@")
        with pytest.raises(RegistryError, match="wanted one that speaks TLS"):
            manifest(address, transport=Transport(ca=ca))


CERTIFICATES: list[tuple[str, Callable[[trustme.CA], trustme.LeafCert]]] = [
    ("certificate has expired", lambda ca: ca.issue_cert("127.0.0.1", not_after=dt.datetime(2020, 1, 1))),  # noqa: DTZ001
    ("IP address mismatch", lambda ca: ca.issue_cert("10.0.0.1")),
    ("unable to get local issuer certificate", lambda _: trustme.CA().issue_cert("127.0.0.1")),
]


@pytest.mark.parametrize(("reason", "issue"), CERTIFICATES, ids=["expired", "of another host", "of nobody"])
def test_a_certificate_that_does_not_hold_ends_at_once(
    reason: str, issue: Callable[[trustme.CA], trustme.LeafCert], authority: trustme.CA, ca: str
) -> None:
    clock = ManualClock(jump=True)
    with (
        ScriptedRegistry(tls=tls(issue(authority))) as server,
        pytest.raises(RegistryUnavailableError, match=reason),
    ):
        manifest(server.address, transport=Transport(ca=ca), clock=clock)
    assert clock.waits == []


def test_what_speaks_no_http_is_told(tmp_path: Path) -> None:
    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        with pytest.raises(EdgemassError, match="what answers speaks no HTTP"):
            read(f"oci://127.0.0.1:{listener.getsockname()[1]}/models/tiny", tmp_path / "f")
        thread.join(10)


def test_a_proxy_of_the_environment_is_used_but_not_for_this_machine(
    server: ScriptedRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with ScriptedRegistry(blobs=[CONTENT]) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert read("oci+http://registry.invalid/models/tiny", tmp_path / "f") == CONTENT
        assert read(server.address, tmp_path / "g") == CONTENT
    assert [request.path.partition("/v2")[0] for request in proxy.requests] == ["http://registry.invalid"]
    assert len(server.requests) == 1


def test_what_is_neither_tag_nor_digest_never_gets_into_an_address(server: ScriptedRegistry) -> None:
    with pytest.raises(RegistryError, match="neither a tag nor a digest"):
        manifest(server.address, "../../blobs/x")
    assert server.requests == []


def test_a_bandwidth_is_kept(server: ScriptedRegistry, tmp_path: Path) -> None:
    clock = ManualClock(jump=True)
    transport = Transport(bandwidth_bytes_s=10_000.0)
    assert read(server.address, tmp_path / "f", transport, clock) == CONTENT
    assert sum(clock.waits) == pytest.approx(30.0, rel=0.02)


def test_cuts_are_gone_on_from_where_they_happened(server: ScriptedRegistry, tmp_path: Path) -> None:
    places = iter([100_000, 100_000, 50_000])
    with FaultyProxy(server.port, lambda: Fault(cut=next(places, None))) as proxy:
        address = f"oci://127.0.0.1:{proxy.port}/models/tiny"
        assert read(address, tmp_path / "f", clock=ManualClock(jump=True)) == CONTENT
    assert proxy.sent < len(CONTENT) + 4 * 400


def test_referrers_are_sorted_out_here_whatever_the_registry_leaves_in(server: ScriptedRegistry) -> None:
    wanted = oci.Descriptor(oci.IMAGE_MANIFEST, oci.sha256(b"1"), 1, artifact_type="application/x")
    other = oci.Descriptor(oci.IMAGE_MANIFEST, oci.sha256(b"2"), 1, artifact_type="application/y")
    path = f"/v2/models/tiny/referrers/{oci.sha256(MANIFEST)}"
    index = [msgspec.json.encode({"schemaVersion": 2, "manifests": found}) for found in ([other], [wanted])]
    server.script = [Reply(headers={"Link": f'<{path}?page=2>; rel="next"'}, body=(index[0],)), Reply(body=(index[1],))]
    with closing(RegistryClient(Reference.parse(server.address), PATIENT)) as client:
        assert client.referrers(oci.sha256(MANIFEST), "application/x") == (wanted,)
    assert [request.path for request in server.requests] == [f"{path}?artifactType=application%2Fx", f"{path}?page=2"]


@pytest.mark.parametrize(
    "link", ['</v2/models/tiny/tags/list?n=1>; rel="next"', "<http://elsewhere.invalid/v2/>; rel=next", "<<"]
)
def test_a_list_of_tags_without_end_has_an_end(link: str, server: ScriptedRegistry) -> None:
    server.always = Reply(headers={"Link": link}, body=(b'{"tags":["b","a"]}',))
    with closing(RegistryClient(Reference.parse(server.address), PATIENT)) as client:
        assert client.tags() == ("a", "b")
    assert len(server.requests) <= 100
    assert all(request.path.startswith("/v2/models/tiny/") for request in server.requests)
