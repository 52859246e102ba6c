"""`edgemass run --http` as a process of its own: a real model, a real clip, the page beside it."""

from __future__ import annotations

import http.client
import json
import re
import socket
import stat
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.simulators.broker import wait_until
from tests.simulators.daemon import Daemon, edgemass

pytestmark = pytest.mark.runtime

CONFIG = """
model = "edgemass-person"
tune = false
[cameras.street]
source = "synthetic:"
max_fps = 10
[cameras.hall]
source = "synthetic:"
max_fps = 10
privacy = "counts-only"
[cameras.yard]
source = "synthetic:"
enabled = false
"""


def fetch(address: str, token: str | None = None) -> tuple[int, bytes]:
    """Status and body."""
    host, _, path = address.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=20)
    try:
        connection.request("GET", f"/{path}", headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def status_of(page: str, token: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(fetch(f"{page}/api/status", token)[1])
    return found


def address_of(daemon: Daemon) -> str:
    found: list[str] = []

    def told() -> bool:
        found.extend(re.findall(r"the device page is at (http://\S+)/", daemon.err))
        return bool(found)

    wait_until(told, "the address of the page", 60)
    return found[0]


def run(folder: Path, *options: str) -> Daemon:
    file = folder / "edgemass.toml"
    file.write_text(CONFIG)
    state = folder / "state"
    return Daemon(folder, "--config", str(file), "--state", str(state), "--sink", "jsonl:/dev/null", *options)


def test_a_camera_is_seen_with_what_was_found_and_a_private_one_is_not(tmp_path: Path) -> None:
    with run(tmp_path, "--http", "0") as daemon:
        page = address_of(daemon)

        def latest() -> object:
            return status_of(page)["cameras"].get("street", {}).get("latest")

        wait_until(latest, "the first document", 60)
        status = status_of(page)
        assert [*status["cameras"]] == ["street", "hall", "yard"]
        assert status["cameras"]["hall"]["why"].startswith("privacy = counts-only")
        assert status["cameras"]["hall"]["latest"] is None
        assert status["cameras"]["yard"]["why"] == "the camera is switched off"
        _, picture = fetch(f"{page}/camera/street/frame.jpg")
        assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR) is not None
        assert fetch(f"{page}/camera/hall/frame.jpg")[0] == 403
        assert fetch(f"{page}/healthz") == (200, b"ok\n")
        assert daemon.end() == 0


def test_an_open_page_makes_its_token_once_and_tells_only_where_it_is(tmp_path: Path) -> None:
    tokens = set()
    for _ in range(2):
        with run(tmp_path, "--http", "0.0.0.0:0") as daemon:
            page = address_of(daemon).replace("0.0.0.0", "127.0.0.1")
            file = tmp_path / "state" / "http-token"
            token = file.read_text().strip()
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert str(file) in daemon.err
            assert token not in daemon.err
            assert fetch(f"{page}/api/status")[0] == 401
            assert status_of(page, token)["token"] is True
            tokens.add(token)
    assert len(tokens) == 1


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--http", "nonsense:"], 2, "--http must be PORT, HOST:PORT"),
        (["--http", "192.0.2.1:80"], 78, "cannot listen on 192.0.2.1:80"),
    ],
)
def test_an_address_that_cannot_be_is_told_at_the_start(
    tmp_path: Path, options: list[str], code: int, told: str
) -> None:
    ended = edgemass("run", "--camera", "synthetic:", "--frames", "1", "--state", str(tmp_path), *options)
    assert ended.returncode == code
    assert told in ended.stderr


def test_a_port_that_is_taken_ends_the_start_so_that_it_is_tried_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = edgemass("run", "--camera", "synthetic:", "--frames", "1", "--state", str(tmp_path), "--http", port)
    assert ended.returncode == 1
    assert "another program does" in ended.stderr


def test_a_token_that_is_too_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short")
    file = tmp_path / "c.toml"
    file.write_text(f'[cameras.a]\nsource = "synthetic:"\n[http]\nlisten = "0"\ntoken_file = "{tmp_path}/token"\n')
    ended = edgemass("run", "--config", str(file), "--state", str(tmp_path))
    assert ended.returncode == 78
    assert "has 5 characters; wanted at least 16" in ended.stderr
