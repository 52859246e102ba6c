"""A real Prometheus that scrapes devices, or texts as if they came from some, and answers questions."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, final

from tests.simulators.broker import free_port, wait_until

SCRAPE_S = 0.25


def missing() -> str:
    """Why no Prometheus can be started here; empty when one can."""
    there = all(shutil.which(program) for program in ("prometheus", "promtool"))
    return "" if there else "no promtool: run tests/install-servers.sh"


def promtool(*arguments: str, text: str = "") -> str:
    """Run one of its checks; what it has to say, "" where that is nothing."""
    done = subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, check=False, timeout=60)
    return (done.stdout + done.stderr) if done.returncode else done.stderr


@final
class Prometheus:
    """devices: instance -> HOST:PORT, or its metrics as text; scraped every second."""

    def __init__(self, folder: Path, devices: Mapping[str, str | Callable[[], str]]) -> None:
        self._folder = folder
        self._port = free_port()
        self._servers: list[ThreadingHTTPServer] = []
        targets = [
            {"targets": [self._place(device)], "labels": {"instance": instance}} for instance, device in devices.items()
        ]
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "global": {"scrape_interval": f"{SCRAPE_S * 1000:.0f}ms"},
            "scrape_configs": [{"job_name": "edgemass", "static_configs": targets}],
        }
        (folder / "prometheus.yml").write_text(json.dumps(settings))  # JSON is YAML

    def __enter__(self) -> Prometheus:
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._answers, f"Prometheus: {(self._folder / 'log').read_text()[-2000:]}", 60)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that it finds now."""
        asked = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/api/v1/query?{asked}", timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def _place(self, device: str | Callable[[], str]) -> str:
        if isinstance(device, str):
            return device
        self._servers.append(_serve(device))
        return f"127.0.0.1:{self._servers[-1].server_port}"

    def _answers(self) -> bool:
        try:
            self.query("up")
        except OSError:
            return False
        return True


def _serve(metrics: Callable[[], str]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(metrics().encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
