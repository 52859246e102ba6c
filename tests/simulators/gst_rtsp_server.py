"""Serves one RTSP stream from loopback; started by rtsp_server.py with the system's Python, which has PyGObject.

Every picture is made here and pushed at the frame rate, so that its content is known: a bar that moves by a step each
time, the pictures of a raw file from the beginning again when it ends, or the time of sending as black and white bars.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402 (versions must be asked for first)

BLACK, WHITE = 16, 235  # luma range of ITU-R BT.601
BITS = 32
CAPS = "video/x-raw,format=I420,width={width},height={height},framerate={fps}/1"
PIPELINE = (
    "( appsrc name=pictures is-live=true format=time do-timestamp=true"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={fps}"
    " ! rtph264pay name=pay0 pt=96 config-interval=1 )"
)

Size = tuple[int, int]


def gray(row: bytes, size: Size) -> bytes:
    """An I420 picture whose rows are all `row`."""
    width, height = size
    return row * height + b"\x80" * (width * height // 2)


def moving_bar(size: Size) -> Iterator[bytes]:
    """A white bar of an eighth of the width that goes round."""
    width = size[0]
    bar = bytes([WHITE]) * (width // 8) + bytes([BLACK]) * (width - width // 8)
    place = 0
    while True:
        yield gray(bar[-place:] + bar[:-place] if place else bar, size)
        place = (place + 4) % width


def send_times(size: Size) -> Iterator[bytes]:
    """Unix milliseconds modulo 2**32, least significant bit at the left, each bit a bar as wide as fits."""
    bar = size[0] // BITS
    while True:
        now = int(time.time() * 1000)
        row = b"".join(bytes([WHITE if now >> bit & 1 else BLACK]) * bar for bit in range(BITS))
        yield gray(row.ljust(size[0], bytes([BLACK])), size)


def raw_pictures(path: str, size: Size) -> Iterator[bytes]:
    """The I420 pictures of a raw file, from the beginning again when it ends."""
    size_bytes = size[0] * size[1] * 3 // 2
    while True:
        with Path(path).open("rb") as raw:
            while picture := raw.read(size_bytes):
                yield picture


class Feeder:
    """Pushes pictures into the appsrc of a stream; `switch_after` pictures later they are of half the size."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options

    def configure(self, _factory: object, media: Any) -> None:
        source = media.get_element().get_child_by_name("pictures")
        state = {"count": 0, "pictures": self._begin(source, self._size(halved=False))}
        GLib.timeout_add(1000 // self._options.fps, self._push, source, state)

    def _push(self, source: Any, state: dict[str, Any]) -> bool:
        if state["count"] == self._options.switch_after:
            state["pictures"] = self._begin(source, self._size(halved=True))
        state["count"] += 1
        buffer = Gst.Buffer.new_wrapped(next(state["pictures"]))
        buffer.duration = Gst.SECOND // self._options.fps
        return bool(source.emit("push-buffer", buffer) == Gst.FlowReturn.OK)

    def _begin(self, source: Any, size: Size) -> Iterator[bytes]:
        options = self._options
        source.set_property("caps", Gst.Caps.from_string(CAPS.format(width=size[0], height=size[1], fps=options.fps)))
        if options.raw:
            return raw_pictures(options.raw, size)
        kinds: dict[str, Callable[[Size], Iterator[bytes]]] = {"bar": moving_bar, "time": send_times}
        return kinds[options.pictures](size)

    def _size(self, *, halved: bool) -> Size:
        divisor = 2 if halved else 1
        return self._options.width // divisor, self._options.height // divisor


def require_password(server: Any, user: str, password: str) -> None:
    """Basic authentication for everything."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pictures", choices=("bar", "time"), default="bar")
    parser.add_argument("--raw")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--fps", type=int, default=15)
    parser.add_argument("--switch-after", type=int, default=-1)
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    options = parser.parse_args(arguments)

    Gst.init(None)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_shared(True)
    factory.set_launch(PIPELINE.format(fps=options.fps))
    factory.connect("media-configure", Feeder(options).configure)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(options.port))
    if options.user:
        require_password(server, options.user, options.password)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("viewer", "media.factory.access", True)
        permissions.add_permission_for_role("viewer", "media.factory.construct", True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/cam", factory)
    if server.attach(None) == 0:
        raise SystemExit(f"cannot listen on port {options.port}")
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(sys.argv[1:])
