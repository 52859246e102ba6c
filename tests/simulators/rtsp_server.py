"""A real RTSP server (GStreamer's) that can be killed, silenced and brought back."""

from __future__ import annotations

import itertools
import os
import selectors
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, final

import av

from tests.simulators.broker import free_port

SYSTEM_PYTHON = "/usr/bin/python3"  # PyGObject comes from the distribution, for its own Python
SCRIPT = Path(__file__).with_name("gst_rtsp_server.py")
START_S = 20.0
RAW_PICTURES = 50
_PROBE = "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0')"


def missing() -> str:
    """Why no server can be started here; empty when one can."""
    if not Path(SYSTEM_PYTHON).exists():
        return f"no {SYSTEM_PYTHON}"
    probe = subprocess.run([SYSTEM_PYTHON, "-c", _PROBE], capture_output=True, check=False)
    return "" if probe.returncode == 0 else "no GStreamer RTSP server: run tests/install-servers.sh"


@final
class RtspServer:
    """One stream, rtsp://127.0.0.1:<port>/cam, H.264, a key frame every second.

    pictures: "bar" (a white bar that moves) or "time" (the time of sending as bars, see `sent_ms`).
    file: a video whose first pictures are played in a loop instead. switch_after: pictures until their size halves.
    """

    def __init__(
        self,
        *,
        pictures: str = "bar",
        file: Path | None = None,
        size: tuple[int, int] = (320, 240),
        fps: int = 15,
        switch_after: int | None = None,
        user: str = "",
        password: str = "",
    ) -> None:
        self._raw = raw_pictures(file, size) if file else None
        self.port = free_port()
        self.fps = fps
        options = {
            "--port": self.port,
            "--pictures": pictures,
            "--raw": self._raw.name if self._raw else None,
            "--width": size[0],
            "--height": size[1],
            "--fps": fps,
            "--switch-after": switch_after,
            "--user": user,
            "--password": password,
        }
        given = [(name, str(value)) for name, value in options.items() if value not in (None, "")]
        self._command = [SYSTEM_PYTHON, str(SCRIPT), *(word for pair in given for word in pair)]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/cam"

    def start(self) -> None:
        """Start it on its port and wait until it listens."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(START_S) or self._process.stdout.readline() != b"ready\n":
                self.kill()
                raise AssertionError("the RTSP server did not start; its own words are on standard error")

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        if self._process is None:
            return
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    def silence(self) -> None:
        """Stop it: connections stay open and nothing comes."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `silence`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def __enter__(self) -> RtspServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if self._raw is not None:
            self._raw.close()


def raw_pictures(file: Path, size: tuple[int, int]) -> IO[bytes]:
    """A file of I420 pictures: GStreamer's own decoders differ from one distribution to the next."""
    raw = tempfile.NamedTemporaryFile(suffix=".i420")  # noqa: SIM115 (lives as long as the server)
    with av.open(str(file)) as container:
        for picture in itertools.islice(container.decode(video=0), RAW_PICTURES):
            raw.write(picture.reformat(*size, format="yuv420p").to_ndarray().tobytes())
    raw.flush()
    return raw


def sent_ms(row: bytes) -> int:
    """Unix milliseconds modulo 2**32 that a row of a "time" picture carries, one byte a pixel."""
    bar = len(row) // 32
    return sum((row[bit * bar + bar // 2] > 128) << bit for bit in range(32))


def lag_ms(row: bytes) -> int:
    """Milliseconds since that picture was sent."""
    return (int(time.time() * 1000) - sent_ms(row)) % 2**32
