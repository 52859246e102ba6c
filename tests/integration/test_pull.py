"""Fetching a model over HTTP from servers that misbehave; nothing but the right file ever gets its name."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from edgemass import bundles, cli
from edgemass.bundles import zoo
from edgemass.bundles.download import PAUSES_S, Limits, Wanted, fetch
from edgemass.bundles.folder import Bundle
from edgemass.errors import BundleError, EdgemassError, RegistryUnavailableError, UsageError
from edgemass.manifest import InputSpec, Manifest, OutputSpec, Variant, to_toml
from tests.simulators.file_server import Answer, FileServer
from tests.simulators.manual_clock import ManualClock

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SIXTY_PERCENT = int(len(CONTENT) * 0.6)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PATIENT = Limits(silence_s=20.0, total_s=60.0)
ENDLESS = [Answer(cut=0.6, resume=False)] * 50


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer({"/tiny.onnx": CONTENT}) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def make_zoo(folder: Path, address: str) -> Path:
    """A zoo of one model, "tiny", whose weights lie at the address."""
    made = Manifest(
        name="tiny",
        task="detection",
        labels=("cat",),
        input=InputSpec(name="images", layout="NCHW", dtype="float32", width=32, height=32),
        output=OutputSpec(family="yolo_v8", tensors={"output": ("output0",)}),
        variants=(
            Variant(
                name="v", file="tiny.onnx", runtime="onnx", sha256=SHA256, size_bytes=len(CONTENT), address=address
            ),
        ),
        licence="MIT",
    )
    (folder / "tiny").mkdir(parents=True)
    (folder / "tiny" / "manifest.toml").write_bytes(to_toml(made))
    return folder


@pytest.fixture
def pull(server: FileServer, tmp_path: Path) -> Callable[[], Bundle]:
    """Pull "tiny" into tmp_path / "bundle"; every call is a new attempt of the user."""
    packed = make_zoo(tmp_path / "zoo", server.address("/tiny.onnx"))

    def call() -> Bundle:
        return zoo.pull(
            "tiny",
            tmp_path / "bundle",
            progress=lambda _done, _total: None,
            zoo=[packed],
            limits=PATIENT,
            clock=ManualClock(jump=True),
        )

    return call


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def is_whole(bundle: Bundle) -> bool:
    return (
        files(bundle.folder) == ["manifest.toml", "tiny.onnx"] and (bundle.folder / "tiny.onnx").read_bytes() == CONTENT
    )


def test_a_pulled_model_is_a_bundle_with_the_digest_of_its_manifest(pull: Callable[[], Bundle], tmp_path: Path) -> None:
    bundle = pull()
    assert is_whole(bundle)
    assert bundle.digest == Bundle(zoo.packed("tiny", [tmp_path / "zoo"]), bundle.folder).digest  # type: ignore[arg-type]
    assert bundle.path(bundle.manifest.reference).read_bytes() == CONTENT
    assert bundles.resolve(str(tmp_path / "bundle")).manifest == bundle.manifest


def test_what_is_there_and_right_is_not_fetched_again(server: FileServer, pull: Callable[[], Bundle]) -> None:
    pull()
    assert is_whole(pull())
    assert len(server.requests) == 1


def test_a_file_that_rotted_on_the_disk_is_fetched_again(pull: Callable[[], Bundle], tmp_path: Path) -> None:
    pull()
    (tmp_path / "bundle" / "tiny.onnx").write_bytes(CONTENT[:-1] + b"?")
    assert is_whole(pull())


def test_progress_grows_up_to_the_whole_size(server: FileServer, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    wanted = Wanted(server.address("/tiny.onnx"), SHA256, len(CONTENT))
    fetch(wanted, tmp_path / "f", lambda done, total: seen.append((done, total)), limits=PATIENT)
    assert seen == sorted(seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_cut_goes_on_where_it_ended(server: FileServer, pull: Callable[[], Bundle]) -> None:
    server.script = [Answer(cut=0.6), Answer(cut=0.5)]
    assert is_whole(pull())
    later = SIXTY_PERCENT + (len(CONTENT) - SIXTY_PERCENT) // 2
    assert [request.range for request in server.requests] == ["", f"bytes={SIXTY_PERCENT}-", f"bytes={later}-"]


def test_a_server_that_cannot_resume_sends_it_all_again(server: FileServer, pull: Callable[[], Bundle]) -> None:
    server.script = [Answer(cut=0.6), Answer(resume=False)]
    assert is_whole(pull())


def test_another_part_than_asked_for_is_not_used(server: FileServer, pull: Callable[[], Bundle]) -> None:
    server.script = [Answer(cut=0.6), Answer(shift=7)]
    assert is_whole(pull())
    assert [request.range for request in server.requests] == ["", f"bytes={SIXTY_PERCENT}-", ""]


def test_a_pull_that_failed_is_no_bundle_and_the_next_goes_on(
    server: FileServer, pull: Callable[[], Bundle], tmp_path: Path
) -> None:
    server.script = [Answer(cut=0.6), *[Answer(status=503)] * 3]
    with pytest.raises(RegistryUnavailableError, match=f"503.* after {SIXTY_PERCENT} of {len(CONTENT)} bytes"):
        pull()
    assert files(tmp_path / "bundle") == [".tiny.onnx.part"]
    server.requests.clear()
    assert is_whole(pull())
    assert [request.range for request in server.requests] == [f"bytes={SIXTY_PERCENT}-"]


@pytest.mark.parametrize("rubbish", [b"rubbish", b"\0" * len(CONTENT), b"\0" * (len(CONTENT) + 1)])
def test_what_an_older_pull_left_is_not_trusted(pull: Callable[[], Bundle], tmp_path: Path, rubbish: bytes) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / ".tiny.onnx.part").write_bytes(rubbish)
    assert is_whole(pull())


def test_a_redirect_is_followed_with_its_range(server: FileServer, pull: Callable[[], Bundle]) -> None:
    server.files["/elsewhere"] = CONTENT
    server.script = [Answer(cut=0.6), Answer(redirect="/elsewhere")]
    assert is_whole(pull())
    assert server.requests[-1].target == "/elsewhere"
    assert server.requests[-1].range == f"bytes={SIXTY_PERCENT}-"


def test_trouble_that_passes_is_waited_for(server: FileServer, pull: Callable[[], Bundle]) -> None:
    server.script = [Answer(status=500), Answer(status=429)]
    assert is_whole(pull())


@pytest.mark.parametrize(
    ("answers", "error", "told"),
    [
        ([Answer(status=404)], BundleError, r"/tiny\.onnx is not there \(404\); update edgemass"),
        ([Answer(status=500)] * 9, RegistryUnavailableError, "the server answers 500"),
        ([Answer(status=204)] * 9, RegistryUnavailableError, "the server answers 204"),
        ([Answer(cut=0.0)] * 9, RegistryUnavailableError, "the connection ended"),
        (ENDLESS, RegistryUnavailableError, f"ended after {SIXTY_PERCENT} of {len(CONTENT)} bytes"),
        ([Answer(redirect="/tiny.onnx")] * 50, BundleError, r"redirects without end or to nowhere \(302\)"),
        ([Answer(redirect="file:///etc/passwd")], BundleError, "to nowhere"),
        ([Answer(redirect="ftp://127.0.0.1/tiny.onnx")], BundleError, "not HTTPS; it is not followed"),
        ([Answer(content=b"\0" * len(CONTENT))], BundleError, f"found sha256 [0-9a-f]{{64}}, wanted {SHA256}"),
        ([Answer(content=b"<html>")], BundleError, f"found 6 bytes, wanted {len(CONTENT)}"),
        ([Answer(length=5)], BundleError, f"found 5 bytes, wanted {len(CONTENT)}"),
        ([Answer(content=CONTENT + b"more", length=-1)], BundleError, f"more than {len(CONTENT)} bytes"),
    ],
    ids=lambda value: "" if isinstance(value, (list, type)) else value,
)
def test_nothing_but_the_right_file_is_kept_and_the_error_is_one_line(
    server: FileServer,
    pull: Callable[[], Bundle],
    tmp_path: Path,
    answers: list[Answer],
    error: type[EdgemassError],
    told: str,
) -> None:
    server.script = list(answers)
    with pytest.raises(error, match=told) as caught:
        pull()
    assert "\n" not in str(caught.value)
    assert "tiny.onnx" not in files(tmp_path / "bundle")
    assert "manifest.toml" not in files(tmp_path / "bundle")
    if error is BundleError:
        assert not (tmp_path / "bundle").exists()


def test_attempts_that_bring_nothing_new_end_after_the_pauses(server: FileServer, tmp_path: Path) -> None:
    server.script = list(ENDLESS)
    clock = ManualClock(jump=True)
    with pytest.raises(RegistryUnavailableError):
        fetch(
            Wanted(server.address("/tiny.onnx"), SHA256, len(CONTENT)),
            tmp_path / "f",
            lambda _done, _total: None,
            limits=PATIENT,
            clock=clock,
        )
    assert clock.waits == list(PAUSES_S)
    assert len(server.requests) == len(PAUSES_S) + 2  # the first one brought something new


@pytest.mark.parametrize(
    ("answer", "limits", "told"),
    [
        (Answer(silent=True), Limits(silence_s=0.1), "the server is silent"),
        (Answer(stall=0.6), Limits(silence_s=0.1), f"the server is silent after {SIXTY_PERCENT}"),
        (Answer(trickle=True), Limits(total_s=0.5, slowest=1 << 40), f"0 of {len(CONTENT)} bytes came in 0 s"),
        (Answer(stall=0.6), Limits(total_s=0.5, slowest=1 << 40), f"{SIXTY_PERCENT} of {len(CONTENT)} bytes came in"),
    ],
    ids=["silent", "silent in the middle", "trickling headers", "past the deadline"],
)
def test_every_wait_has_an_end(server: FileServer, tmp_path: Path, answer: Answer, limits: Limits, told: str) -> None:
    server.script = [answer, *[Answer(silent=True)] * 9]
    with pytest.raises(RegistryUnavailableError, match=told):
        fetch(
            Wanted(server.address("/tiny.onnx"), SHA256, len(CONTENT)),
            tmp_path / "f",
            lambda _done, _total: None,
            limits=limits,
            clock=ManualClock(jump=True),
        )


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://host/f", "/etc/passwd", "https:///f"])
def test_only_web_addresses_are_fetched(tmp_path: Path, address: str) -> None:
    with pytest.raises(BundleError, match=f"cannot fetch '{re.escape(address)}'"):
        fetch(Wanted(address, SHA256, 1), tmp_path / "f", lambda _done, _total: None)


def try_address(address: str, folder: Path) -> str:
    """What the error says."""
    with pytest.raises(RegistryUnavailableError) as caught:
        fetch(
            Wanted(address, SHA256, len(CONTENT)),
            folder / "f",
            lambda _done, _total: None,
            limits=PATIENT,
            clock=ManualClock(jump=True),
        )
    assert files(folder) == []
    return str(caught.value)


def test_a_host_that_refuses_or_has_no_name_is_told_with_its_reason(tmp_path: Path) -> None:
    with FileServer({}) as gone:
        address = gone.address("/f")
    assert "Connection refused; check the network" in try_address(address, tmp_path)
    assert "cannot fetch http://a..b/f: " in try_address("http://a..b/f", tmp_path)


def test_a_proxy_of_the_environment_is_used_and_named_when_it_fails(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
    wanted = Wanted("http://models.invalid/tiny.onnx", SHA256, len(CONTENT))
    fetch(wanted, tmp_path / "f", lambda _done, _total: None, limits=PATIENT)
    assert server.requests[0].target == "http://models.invalid/tiny.onnx"
    (tmp_path / "f").unlink()
    with FileServer({}) as gone:
        port = gone.port
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    assert f"(through the proxy http://127.0.0.1:{port})" in try_address(wanted.address, tmp_path)


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FileServer({"/tiny.onnx": CONTENT}, tls=context) as secure:
        address = secure.address("/tiny.onnx")
        assert "certificate does not hold here" in try_address(address, tmp_path)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        wanted = Wanted(address, SHA256, len(CONTENT))
        fetch(wanted, tmp_path / "f", lambda _done, _total: None, limits=PATIENT)
        assert (tmp_path / "f").read_bytes() == CONTENT
        secure.script = [Answer(redirect="http://127.0.0.1/tiny.onnx")]
        with pytest.raises(BundleError, match="is not HTTPS"):
            fetch(wanted, tmp_path / "g", lambda _done, _total: None, limits=PATIENT)


CHILD = """\
import resource, sys
from pathlib import Path
from edgemass.bundles import zoo
from edgemass.errors import UsageError
if int(sys.argv[3]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), -1))
try:
    zoo.pull("tiny", Path(sys.argv[2]), progress=lambda done, total: None, zoo=[Path(sys.argv[1])])
except UsageError as error:
    print(error)
"""


def child(tmp_path: Path, largest_file: int = 0) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", CHILD, str(tmp_path / "zoo"), str(tmp_path / "bundle"), str(largest_file)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def test_a_pull_that_was_killed_leaves_no_bundle_and_goes_on(
    server: FileServer, pull: Callable[[], Bundle], tmp_path: Path
) -> None:
    server.script = [Answer(stall=0.6)]
    with child(tmp_path) as process:
        assert server.stalled.wait(30)
        part = tmp_path / "bundle" / ".tiny.onnx.part"
        while not part.exists() or part.stat().st_size < SIXTY_PERCENT:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    with pytest.raises(BundleError, match=r"is a folder without manifest\.toml"):
        bundles.resolve(str(tmp_path / "bundle"))
    assert is_whole(pull())
    assert server.requests[-1].range == f"bytes={SIXTY_PERCENT}-"


def test_of_two_pulls_at_once_the_second_says_so(
    server: FileServer, pull: Callable[[], Bundle], tmp_path: Path
) -> None:
    server.script = [Answer(stall=0.6)]
    with child(tmp_path) as process:
        assert server.stalled.wait(30)
        with pytest.raises(UsageError, match="is being fetched by another process"):
            pull()
        process.kill()


def test_a_disk_that_is_full_is_told_and_given_back(server: FileServer, tmp_path: Path) -> None:
    make_zoo(tmp_path / "zoo", server.address("/tiny.onnx"))
    with child(tmp_path, largest_file=SIXTY_PERCENT) as process:
        output, _ = process.communicate(timeout=60)
    assert re.fullmatch(r"cannot write .*: File too large; free some room or choose another folder with -o\n", output)
    assert files(tmp_path / "bundle") == []
    assert len(server.requests) == 1


def test_a_disk_with_too_little_room_is_told_before_anything_is_fetched(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"MB free, wanted 1152921504606\.8 MB"):
        fetch(Wanted(server.address("/tiny.onnx"), SHA256, 1 << 60), tmp_path / "f", lambda _done, _total: None)
    assert server.requests == []
    assert files(tmp_path) == []


def test_the_command_line_pulls_lists_and_resolves_by_name(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    packed, store = make_zoo(tmp_path / "zoo", server.address("/tiny.onnx")), tmp_path / "store"
    monkeypatch.setattr(zoo, "ZOO", (packed,))
    monkeypatch.setattr(zoo, "SYSTEM_STORE", store)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(
        UsageError, match=r"not on this device yet; get it \(1\.0 MB, licence MIT\) with `edgemass model"
    ):
        bundles.resolve("tiny")
    assert cli.main(["model", "pull", "tiny"]) == 0
    told = capsys.readouterr().out
    assert "--model tiny" in told
    bundle = bundles.resolve("tiny")
    assert is_whole(bundle)
    assert str(bundle.folder) in told
    assert cli.main(["model", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["models"]
    assert [(model["name"], model["pulled"], model["folder"]) for model in listed] == [
        ("tiny", True, str(store / "tiny"))
    ]
    (store / "tiny" / "manifest.toml").write_text("broken")
    with pytest.raises(UsageError, match="not on this device"):
        bundles.resolve("tiny")
    assert cli.main(["model", "pull", "tiny"]) == 0
    assert is_whole(bundles.resolve("tiny"))
