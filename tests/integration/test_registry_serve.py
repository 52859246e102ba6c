"""`edgemass registry serve`: any client of the distribution API pulls from it, and who may pushes to it."""

from __future__ import annotations

import contextlib
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, final

import httpx
import pytest

from edgemass import oci
from edgemass.errors import RegistryError
from edgemass.oci import Descriptor
from edgemass.registry import deltas
from edgemass.registry.client import RegistryClient
from edgemass.registry.fetching import fetch
from edgemass.registry.layout import Layout
from edgemass.registry.part_file import PartFile
from edgemass.registry.reference import Reference
from edgemass.registry.server import Login
from edgemass.registry.transport import Transport
from tests.simulators.board import PERSON
from tests.simulators.broker import Certificates, wait_until
from tests.simulators.daemon import edgemass
from tests.simulators.layouts import LayoutServer, Released, publish, released

SIZE = 600_000
WEIGHTS = random.Random(1).randbytes(SIZE)
CHANGED = WEIGHTS[:-2000] + random.Random(2).randbytes(2000)
LOGIN = Login("board", "correct horse: battery@staple")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "models", "toy")


@pytest.fixture
def made(layout: Layout) -> Released:
    return publish(layout, {"a.onnx": WEIGHTS}, "1")


@contextmanager
def client(server: LayoutServer, login: Login | None = None, folder: Path | None = None) -> Iterator[RegistryClient]:
    transport = Transport()
    if login is not None:
        assert folder is not None
        (folder / "password").write_text(login.password, encoding="utf-8")
        transport = Transport(user=login.user, password_file=str(folder / "password"))
    with closing(RegistryClient(Reference.parse(server.address()), transport)) as made:
        yield made


@pytest.fixture
def served(layout: Layout, made: Released) -> Iterator[httpx.Client]:
    assert made.digest
    with LayoutServer(layout.folder) as server, httpx.Client(base_url=server.url, trust_env=False) as http:
        yield http


# Pulling.


def test_every_manifest_and_blob_comes_as_it_is(served: httpx.Client, made: Released) -> None:
    assert served.get("/v2/").json() == {}
    for reference in ("1", made.digest):
        answer = served.get(f"/v2/toy/manifests/{reference}")
        assert answer.content == made.manifest
        assert answer.headers["docker-content-digest"] == made.digest
        assert answer.headers["content-type"] == oci.IMAGE_MANIFEST
        head = served.head(f"/v2/toy/manifests/{reference}")
        assert (head.content, head.headers["content-length"]) == (b"", str(len(made.manifest)))
    for digest, data in made.blobs.items():
        assert served.get(f"/v2/toy/blobs/{digest}").content == data
        head = served.head(f"/v2/toy/blobs/{digest}")
        assert (head.content, head.headers["content-length"], head.headers["etag"]) == (
            b"",
            str(len(data)),
            f'"{digest}"',
        )
    assert served.get("/v2/toy/tags/list").json() == {"name": "toy", "tags": ["1"]}


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-", 0, SIZE - 1),
        ("bytes=1000-", 1000, SIZE - 1),
        ("bytes=5-5", 5, 5),
        ("bytes=599999-700000", 599999, 599999),
    ],
)
def test_a_range_of_a_blob(served: httpx.Client, wanted: str, first: int, last: int) -> None:
    answer = served.get(f"/v2/toy/blobs/{oci.sha256(WEIGHTS)}", headers={"Range": wanted})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{SIZE}"
    assert answer.content == WEIGHTS[first : last + 1]


def test_a_range_beyond_the_end_is_refused(served: httpx.Client) -> None:
    answer = served.get(f"/v2/toy/blobs/{oci.sha256(WEIGHTS)}", headers={"Range": f"bytes={SIZE}-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{SIZE}")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v2/toy/manifests/2",
        f"/v2/toy/manifests/sha256:{'0' * 64}",
        "/v2/other/manifests/1",
        "/v2/toy/blobs/sha256:nothing",
        f"/v2/toy/blobs/sha256:{'0' * 64}",
        "/v2/toy/blobs/..%2f..%2findex.json",
        "/v2/..%2f..%2fetc/manifests/1",
        "/v2/other/tags/list",
        "/trust/../index.json",
        "/trust/..%2findex.json",
        "/trust/targets.json",
        "/trust/secret.pem",
    ],
)
def test_what_is_not_there_costs_few_bytes(served: httpx.Client, path: str) -> None:
    answer = served.get(path)
    assert answer.status_code == 404
    assert len(answer.content) < 100
    assert sum(len(name) + len(value) + 4 for name, value in answer.headers.raw) < 150


def test_only_metadata_is_served_from_the_trust_folder(layout: Layout, served: httpx.Client, tmp_path: Path) -> None:
    folder = layout.folder / "trust"
    folder.mkdir()
    (tmp_path / "elsewhere").write_bytes(b"{}")
    for name in ("timestamp.json", "12.root.json", "3.snapshot.json", "secret.pem", "root.json.part"):
        (folder / name).write_bytes(name.encode())
    (folder / "targets.json").symlink_to(tmp_path / "elsewhere")
    for name in ("timestamp.json", "12.root.json", "3.snapshot.json"):
        assert served.get(f"/trust/{name}").content == name.encode()
    for name in ("secret.pem", "root.json.part", "targets.json", "13.root.json"):
        assert served.get(f"/trust/{name}").status_code == 404


def test_a_symbolic_link_in_the_folder_is_not_served(layout: Layout, served: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    path = layout.path(oci.sha256(WEIGHTS))
    path.unlink()
    path.symlink_to(tmp_path / "secret")
    assert served.get(f"/v2/toy/blobs/{oci.sha256(WEIGHTS)}").status_code == 404


def test_what_is_pushed_into_the_folder_meanwhile_is_served(layout: Layout, served: httpx.Client) -> None:
    new = publish(layout, {"a.onnx": CHANGED}, "1")
    assert served.get("/v2/toy/manifests/1").content == new.manifest


def test_a_pull_that_was_cut_goes_on(layout: Layout, made: Released, tmp_path: Path) -> None:
    descriptor = oci.parse(made.manifest, where="test").layers[0]
    with LayoutServer(layout.folder) as server, client(server) as registry, PartFile(tmp_path / "blob") as part:
        part.append(WEIGHTS[:500_000])
        registry.read_blob(descriptor, part, lambda _done: None)
        assert part.size == SIZE
        assert registry.received < 105_000


def test_many_devices_at_once_all_get_all_of_it(layout: Layout, made: Released, tmp_path: Path) -> None:
    right: list[bool] = []

    def device(place: int) -> None:
        with client(server) as registry:
            folder = tmp_path / str(place)
            folder.mkdir()
            fetched = fetch(registry, made.digest, choose=lambda _: ["a.onnx"], have=lambda _: None, incoming=folder)
            right.append({digest: path.read_bytes() for digest, path in fetched.files.items()} == made.blobs)

    with LayoutServer(layout.folder) as server:
        threads = [threading.Thread(target=device, args=(place,)) for place in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert right == [True] * 24


def test_an_update_over_http_costs_what_changed(layout: Layout, made: Released, tmp_path: Path) -> None:
    new = publish(layout, {"a.onnx": CHANGED}, "2", [made])
    (tmp_path / "old").write_bytes(WEIGHTS)
    (tmp_path / "incoming").mkdir()
    with LayoutServer(layout.folder) as server, client(server) as registry:
        fetched = fetch(
            registry,
            new.digest,
            choose=lambda _: ["a.onnx"],
            have=lambda digest: tmp_path / "old" if digest == oci.sha256(WEIGHTS) else None,
            incoming=tmp_path / "incoming",
        )
        assert {digest: path.read_bytes() for digest, path in fetched.files.items()} == new.blobs
        assert 2000 < registry.received < 2000 + 6000


# Pushing.


def test_a_push_over_http_is_what_a_push_into_the_folder_is(layout: Layout, tmp_path: Path) -> None:
    Layout(tmp_path / "served").create()
    with LayoutServer(tmp_path / "served", writable=True) as server, client(server) as registry:
        for target in (registry, layout):
            old = publish(target, {"a.onnx": WEIGHTS}, "1")
            new = publish(target, {"a.onnx": CHANGED}, "2", [old])
        assert registry.tags() == layout.tags() == ("1", "2")
        assert registry.referrers(new.digest, deltas.ARTIFACT) == layout.referrers(new.digest, deltas.ARTIFACT)
        served = Layout(tmp_path / "served", "toy")
        for tag in ("1", "2"):
            assert registry.manifest(tag) == layout.manifest(tag) == served.manifest(tag)
    blobs = [
        sorted(path.name for path in (folder / "blobs/sha256").iterdir()) for folder in (served.folder, layout.folder)
    ]
    assert blobs[0] == blobs[1]
    assert not list(served.folder.glob(".upload*"))


def test_a_large_blob_comes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgemass.registry.blobs.MONOLITHIC_BYTES", 100_000)
    Layout(tmp_path).create()
    with LayoutServer(tmp_path, writable=True) as server, client(server) as registry:
        registry.put_blob(oci.sha256(WEIGHTS), SIZE, WEIGHTS)
    assert Layout(tmp_path).read(oci.sha256(WEIGHTS), SIZE) == WEIGHTS


def test_nobody_writes_unless_it_is_allowed(layout: Layout, made: Released) -> None:
    with LayoutServer(layout.folder) as server, client(server) as registry:
        with pytest.raises(RegistryError, match="served for reading; see --writable"):
            publish(registry, {"a.onnx": CHANGED}, "1")
        assert registry.manifest("1") == made.manifest


def test_with_a_password_nobody_reads_or_writes_without_it(layout: Layout, made: Released, tmp_path: Path) -> None:
    with LayoutServer(layout.folder, writable=True, login=LOGIN) as server:
        with client(server) as stranger, pytest.raises(RegistryError, match=r"login|password|401"):
            stranger.manifest("1")
        wrong = Login("board", "guess")
        with client(server, wrong, tmp_path) as stranger, pytest.raises(RegistryError):
            publish(stranger, {"a.onnx": CHANGED}, "1")
        with client(server, LOGIN, tmp_path) as friend:
            assert friend.manifest("1") == made.manifest
            publish(friend, {"a.onnx": CHANGED}, "2")
            assert friend.tags() == ("1", "2")


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !!!", "Basic Ym9hcmQ6", "Bearer Ym9hcmQ6", "Basic Ym9hcmQ=", "Basic \xff"]
)
def test_logins_that_are_none(layout: Layout, made: Released, header: str) -> None:
    with LayoutServer(layout.folder, login=LOGIN) as server:
        headers = {"Authorization": header.encode("latin-1")} if header else {}
        answer = httpx.get(f"{server.url}/v2/toy/manifests/1", headers=headers, trust_env=False)
        assert made.digest
        assert (answer.status_code, answer.content) == (401, b"")
        assert answer.headers["www-authenticate"].startswith("Basic ")


def test_bad_uploads_leave_nothing(layout: Layout, made: Released) -> None:
    before = sorted(path.name for path in layout.folder.rglob("*"))
    with (
        LayoutServer(layout.folder, writable=True) as server,
        httpx.Client(base_url=server.url, trust_env=False) as http,
    ):

        def begin() -> str:
            return http.post("/v2/toy/blobs/uploads/").headers["location"]

        digest = oci.sha256(b"right")
        assert http.put(begin(), params={"digest": digest}, content=b"wrong").status_code == 400
        assert http.put(begin(), params={"digest": "sha256:../../x"}, content=b"right").status_code == 400
        assert http.put(begin(), content=b"right").status_code == 400
        assert http.put("/v2/toy/blobs/uploads/unknown", params={"digest": digest}, content=b"right").status_code == 404
        place = begin()
        assert http.patch(place, content=b"ri", headers={"Content-Range": "0-1"}).status_code == 202
        assert http.patch(place, content=b"ht", headers={"Content-Range": "3-4"}).status_code == 416
        assert http.patch(place, content=b"g", headers={"Content-Range": "2-2"}).status_code == 202
        assert http.delete(place).status_code == 204
        assert http.put(place, params={"digest": digest}, content=b"ht").status_code == 404
        assert http.post("/v2/..%2fup/blobs/uploads/").status_code == 404
        assert http.put("/v2/toy/manifests/2", content=b"{}").status_code == 400
        assert http.put("/v2/toy/manifests/2", content=bytes(5_000_000)).status_code == 400
        assert http.put(f"/v2/toy/manifests/{digest}", content=made.manifest).status_code == 400
        missing = released({"a.onnx": b"not there"}).manifest
        assert http.put("/v2/toy/manifests/2", content=missing).status_code == 400
    assert sorted(path.name for path in layout.folder.rglob("*")) == before


def test_uploads_that_are_never_ended_are_limited(layout: Layout, made: Released) -> None:
    with (
        LayoutServer(layout.folder, writable=True) as server,
        httpx.Client(base_url=server.url, trust_env=False) as http,
    ):
        assert made.digest
        statuses = [http.post("/v2/toy/blobs/uploads/").status_code for _ in range(70)]
        assert statuses == [202] * 64 + [429] * 6
        assert list(layout.folder.glob(".upload*"))
    assert not list(layout.folder.glob(".upload*"))
    (layout.folder / ".upload-killed").write_bytes(b"left")
    with LayoutServer(layout.folder, writable=True):
        assert not list(layout.folder.glob(".upload*"))


# The command.


@final
class Serve:
    """`edgemass registry serve` as a process of its own. said: what it printed when it was ready."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "edgemass", "registry", "serve", str(folder), "--listen", "127.0.0.1:0"]
        self._process = subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self._out: IO[str] = self._process.stdout
        self.said = self._out.readline()
        match = re.search(r":(\d+)", self.said)
        assert match, self._process.communicate(timeout=20)
        self.port = int(match[1])

    def __enter__(self) -> Serve:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate(timeout=20)

    def end(self, number: int) -> tuple[int, str]:
        """Exit code and standard error."""
        self._process.send_signal(number)
        error = self._process.communicate(timeout=20)[1]
        return self._process.returncode, error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_serves_and_ends_with_0(layout: Layout, made: Released, number: int) -> None:
    with Serve(layout.folder) as running:
        assert running.said.startswith(f"serving {layout.folder} at http://127.0.0.1:{running.port}")
        address = f"oci://127.0.0.1:{running.port}/toy"
        with closing(RegistryClient(Reference.parse(address), Transport())) as registry:
            assert registry.manifest("1") == made.manifest
        assert running.end(number) == (0, "")


def test_over_tls_with_a_password(layout: Layout, made: Released, tmp_path: Path) -> None:
    certificates = Certificates.issue(tmp_path / "certificates")
    (tmp_path / "password").write_text(f"{LOGIN.password}\n", encoding="utf-8")
    login = ("--user", LOGIN.user, "--password-file", str(tmp_path / "password"))
    tls = ("--tls-cert", str(certificates.server), "--tls-key", str(certificates.server))
    with Serve(layout.folder, *tls, *login, "--writable") as running:
        address = f"oci+https://127.0.0.1:{running.port}/person"
        ca = ("--ca", str(certificates.ca))
        pushed = edgemass("model", "push", str(PERSON), f"{address}:1", *ca, *login)
        assert pushed.returncode == 0, pushed.stderr
        pulled = edgemass("model", "pull", f"{address}:1", "-o", str(tmp_path / "pulled"), *ca, *login)
        assert pulled.returncode == 0, pulled.stderr
        assert edgemass("model", "pull", f"{address}:1", "-o", str(tmp_path / "other"), *ca).returncode == 1
        context = ssl.create_default_context(cafile=certificates.ca)
        assert httpx.get(f"https://127.0.0.1:{running.port}/v2/", verify=context, trust_env=False).status_code == 401
    assert Layout(layout.folder, "toy").manifest("1") == made.manifest


def test_a_board_that_stops_reading_holds_up_nobody_else(layout: Layout, made: Released) -> None:
    big = publish(layout, {"a.onnx": random.Random(5).randbytes(8_000_000)}, "big")
    digest = oci.parse(big.manifest, where="test").layers[0].digest
    with LayoutServer(layout.folder) as server:
        stuck = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
        for connection in stuck:
            connection.sendall(f"GET /v2/toy/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        with client(server) as registry:
            assert registry.manifest("1") == made.manifest
        for connection in stuck:
            connection.close()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_clients_that_vanish_leave_no_file_open(layout: Layout, made: Released) -> None:
    big = publish(layout, {"a.onnx": random.Random(5).randbytes(8_000_000)}, "big")
    digest = oci.parse(big.manifest, where="test").layers[0].digest
    path = str(layout.path(digest))

    def opened() -> int:
        names = []
        for item in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                names.append(str(item.readlink()))
        return names.count(path)

    with LayoutServer(layout.folder) as server:
        assert made.digest
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(f"GET /v2/toy/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                connection.recv(1000)
        wait_until(lambda: opened() == 0, "the server to let go of the blob")


def test_mistakes_are_told_in_one_line(layout: Layout, made: Released, tmp_path: Path) -> None:
    assert made.digest
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "holiday.jpg").write_bytes(b"")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cases = [
            ([str(layout.folder), "--listen", f"127.0.0.1:{port}"], 2, f"cannot listen on 127.0.0.1:{port}"),
            ([str(layout.folder), "--listen", "here"], 2, "wanted HOST:PORT"),
            ([str(layout.folder), "--tls-cert", "a.pem"], 2, "belong together"),
            ([str(layout.folder), "--tls-cert", "a.pem", "--tls-key", "b.pem"], 2, "no certificate"),
            ([str(layout.folder), "--user", "u"], 2, "belong together"),
            ([str(layout.folder), "--user", "u", "--password-file", str(tmp_path / "empty")], 2, "password"),
            ([str(layout.folder), "--user", "u", "--password-file", str(tmp_path / "none")], 2, "cannot read"),
            ([str(tmp_path / "nothing")], 1, "is no OCI layout"),
            ([str(tmp_path / "notes"), "--writable"], 2, "holds other things (holiday.jpg)"),
        ]
        for arguments, code, words in cases:
            done = edgemass("registry", "serve", *arguments)
            assert (done.returncode, done.stdout) == (code, "")
            assert words in done.stderr
            assert done.stderr.count("\n") == 1


def test_descriptors_of_a_layout_are_those_of_the_registry(layout: Layout, made: Released) -> None:
    with LayoutServer(layout.folder) as server, client(server) as registry:
        assert registry.referrers(made.digest, deltas.ARTIFACT) == ()
        assert not registry.has_blob(f"sha256:{'0' * 64}")
        layer: Descriptor = oci.parse(registry.manifest("1"), where="test").layers[0]
        assert registry.has_blob(layer.digest)
