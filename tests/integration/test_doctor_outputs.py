"""The doctor against real TLS, real models and a real daemon."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import threading
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import trustme

from edgemass.cli import state as states
from edgemass.doctor import Machine
from edgemass.doctor.broker import broker
from edgemass.doctor.model import model
from tests.simulators.broker import wait_until
from tests.simulators.daemon import Daemon, edgemass

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime.now(timezone.utc)
DAY = timedelta(days=1)


@contextlib.contextmanager
def tls_server(certificate: trustme.LeafCert) -> Iterator[int]:
    """Accepts connections and shakes hands, again and again; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer, contextlib.suppress(OSError), context.wrap_socket(peer, server_side=True) as wrapped:
                    wrapped.recv(1024)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.parametrize(
    ("identity", "valid", "trusted", "found", "fix"),
    [
        ("127.0.0.1", (NOW - 3 * DAY, NOW - DAY), True, "expired", "clock"),
        ("127.0.0.1", (NOW + DAY, NOW + 3 * DAY), True, "not yet valid", "clock"),
        ("broker.example.org", (NOW - DAY, NOW + DAY), True, "mismatch", "name that stands in the certificate"),
        ("127.0.0.1", (NOW - DAY, NOW + DAY), False, "", "ca=FILE"),
    ],
    ids=["expired", "clock before notBefore", "wrong host", "unknown authority"],
)
def test_what_tls_meets_is_told_apart(
    tmp_path: Path, identity: str, valid: tuple[datetime, datetime], trusted: bool, found: str, fix: str
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert(identity, not_before=valid[0], not_after=valid[1])
    with tls_server(certificate) as port:
        (told,) = broker(Machine(mqtt=f"mqtts://127.0.0.1:{port}{f'?ca={tmp_path}/ca.pem' if trusted else ''}"))
    assert told.status.value == "FAIL"
    assert found in told.found
    assert fix in told.fix


@pytest.mark.runtime
class TestModel:
    def test_our_own_model_finds_in_its_golden_samples_what_it_should(self) -> None:
        (told,) = model(Machine(model_asked=str(ROOT / "models" / "edgemass-person")))
        assert told.status.value == "OK"
        assert "2 golden samples come out right" in told.found

    def test_one_that_answers_otherwise_fails(self, tmp_path: Path) -> None:
        folder = shutil.copytree(ROOT / "models" / "edgemass-person", tmp_path / "model")
        manifest = folder / "manifest.toml"
        text = manifest.read_text()
        assert "0.4126" in text
        manifest.write_text(text.replace("0.4126", "0.0126"))
        (told,) = model(Machine(model_asked=str(folder)))
        assert told.status.value == "FAIL"
        assert "1 of its 2 golden samples come out wrong" in told.found

    def test_one_whose_file_is_damaged_fails(self, tmp_path: Path) -> None:
        folder = shutil.copytree(ROOT / "models" / "edgemass-person", tmp_path / "model")
        for file in folder.glob("*.onnx"):
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 1
            file.write_bytes(data)
        for file in folder.glob("*.tflite"):
            file.unlink()
        (told,) = model(Machine(model_asked=str(folder)))
        assert told.status.value == "FAIL"
        assert told.fix


@pytest.mark.runtime
def test_a_whole_configuration_is_tried_and_put_into_a_file_without_its_secrets(tmp_path: Path) -> None:
    config = tmp_path / "edgemass.toml"
    config.write_text(
        f"model = '{ROOT / 'models' / 'edgemass-person'}'\nstate = '{tmp_path / 'state'}'\n"  # no daemon has that
        "sinks = ['mqtt://me:hunter2@127.0.0.1:9', 'serial:///dev/edgemass-absent', 'jsonl:-']\n"
        "[cameras.door]\nsource = 'synthetic:?width=64&height=48'\n"
        "[cameras.yard]\nsource = 'rtsp://me:geheim@127.0.0.1:9/x'\n"
    )
    bundle = tmp_path / "report.zip"
    done = edgemass("doctor", "--json", "--config", str(config), "--bundle", str(bundle), timeout_s=100)
    said: dict[str, list[str]] = {}
    for check in json.loads(done.stdout)["checks"]:
        said.setdefault(check["code"], []).append(check["status"])
    assert done.returncode == 1
    assert said["EM412"] == ["OK", "FAIL"]
    assert said["EM502"] == said["EM503"] == ["FAIL"]
    assert said["EM701"] == said["EM801"] == ["OK"]
    assert said["EM702"] == ["WARN", "WARN"]
    with zipfile.ZipFile(bundle) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert {"report.json", "versions.txt", "configuration.toml"} <= texts.keys()
    for text in (*texts.values(), done.stdout, done.stderr):
        assert "hunter2" not in text
        assert "geheim" not in text
    assert json.loads(texts["report.json"]) == json.loads(done.stdout)


@pytest.mark.runtime
def test_what_a_running_daemon_has_is_left_to_it(tmp_path: Path) -> None:
    config = tmp_path / "edgemass.toml"
    config.write_text(
        f"model = '{ROOT / 'models' / 'edgemass-person'}'\ntune = false\nstate = '{tmp_path / 'state'}'\n"
        f"sinks = ['jsonl:{tmp_path / 'lines'}']\n[cameras.door]\nsource = 'synthetic:?width=64&height=48&fps=5'\n"
    )

    def camera() -> dict[str, str]:
        done = edgemass("doctor", "--json", "--config", str(config), timeout_s=100)
        (told,) = [check for check in json.loads(done.stdout)["checks"] if check["code"] == "EM412"]
        assert isinstance(told, dict)
        return told

    def online() -> bool:
        status = states.runtime(str(tmp_path / "state")) / "status.json"
        return status.is_file() and json.loads(status.read_text())["cameras"]["door"]["state"] == "online"

    with Daemon(tmp_path, "--config", str(config)) as daemon:
        wait_until(online, "its camera gives frames, and it says so", patience_s=60)
        told = camera()
        assert (told["status"], "in use by the daemon" in told["found"]) == ("NOTE", True)
        assert daemon.end() == 0
