"""An HTTP camera that answers with anything: frames or our own error, wherever it is cut, in bounded memory."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import strategies as st

from edgemass.clock import SystemClock
from edgemass.errors import EdgemassError, SourceError
from edgemass.sources import CaptureOptions, mjpeg
from edgemass.sources._multipart import MAX_HEAD_BYTES, MAX_PART_BYTES, MalformedError, Parts
from tests.fuzz.campaign import counts, hold, may_refuse
from tests.fuzz.mutations import mutated_bytes
from tests.simulators.mjpeg_server import jpeg

PATIENCE_S = 20.0


def body(count: int) -> bytes:
    parts = (
        b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(picture), picture)
        for picture in map(jpeg, range(count))
    )
    return b"".join(parts) + b"--frame--\r\n"


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\n\r\n"
HEADS = (
    HEAD,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: multipart/x-mixed-replace\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: //[\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://u:p@127.0.0.1:99999/\r\n\r\n",
    b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="a", nonce="b", qop="auth", algorithm=MD5-sess\r\n\r\n',
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\nContent-Type: multipart/\xff\r\n\r\n",
    b"HTTP/9.9 999 \xff\r\n\r\n",
)


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    """The data in pieces, cut at these places."""
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    start = 0
    for end in ends:
        yield data[start:end]
        start = end


def pictures_of(pieces: Iterator[bytes]) -> list[bytes]:
    parts = Parts()
    found: list[bytes] = []
    with contextlib.suppress(MalformedError):
        for piece in pieces:
            found += parts.feed(piece)
    return found


@counts(200, 50_000)
def test_a_damaged_body_gives_whole_jpegs_only(examples: int) -> None:
    def promise(data: bytes, places: list[int]) -> None:
        for picture in pictures_of(cut(data, places)):
            assert picture.startswith(b"\xff\xd8")
            assert b"\xff\xd9" in picture

    hold(promise, examples, data=mutated_bytes(body(3)), places=st.lists(st.integers(0, 10_000), max_size=20))


@counts(200, 50_000)
def test_where_a_good_body_is_cut_does_not_matter(examples: int) -> None:
    whole = [jpeg(number) for number in range(3)]

    def promise(places: list[int]) -> None:
        assert pictures_of(cut(body(3), places)) == whole

    hold(promise, examples, places=st.lists(st.integers(0, 10_000), max_size=50))


@pytest.mark.parametrize(
    "piece", [b"x", b"-", b"\n", b"--", b"\r\n\r\n", b"\xff\xd8", b"--frame\r\n", b"\r\n--frame", b"a: "]
)
@pytest.mark.parametrize("start", [b"", b"--frame\r\n", b"--frame\r\nContent-Length: 999999999999\r\n\r\n\xff\xd8"])
def test_a_stream_of_one_thing_is_left_or_read_within_bounds(start: bytes, piece: bytes) -> None:
    """What is kept never outgrows a part, and the work not the data: else this would not end in the test's time."""
    parts = Parts()
    block = piece * (65_536 // len(piece))
    with contextlib.suppress(MalformedError):
        parts.feed(start)
        for _ in range(400):
            assert len(parts.feed(block)) <= len(block)
            assert len(parts._buffer) <= MAX_PART_BYTES + MAX_HEAD_BYTES + 2 * len(block)


@contextlib.contextmanager
def camera_that_says(answer: bytes) -> Iterator[str]:
    """Takes what is asked, answers with these bytes, and hangs up; one client after the other."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.recv(65_536)
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://user:hunter2@127.0.0.1:{server.getsockname()[1]}/stream"
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(PATIENCE_S)


def watch(source: mjpeg.MjpegCamera) -> None:
    for frame in source.frames():
        assert frame.image.shape == (frame.height, frame.width, 3)


@counts(60, 20_000)
def test_any_answer_of_a_camera_gives_frames_or_our_own_error(examples: int) -> None:
    def promise(answer: bytes) -> None:
        with camera_that_says(answer) as address:
            source = mjpeg.open(address, CaptureOptions(), SystemClock())
            with pytest.raises(SourceError) as caught:
                watch(source)
            assert "hunter2" not in str(caught.value)

    heads = st.sampled_from(HEADS)
    answers = st.one_of(
        heads.map(lambda head: head + body(2)),
        heads.map(lambda head: head + body(2)).flatmap(mutated_bytes),
        st.binary(max_size=300),
    )
    hold(promise, examples, answer=answers)


@counts(300, 50_000)
def test_any_address_is_opened_or_refused_without_its_password(examples: int) -> None:
    odd = st.text("abc@:/?#[]%&=.\0é 09-\r\n", max_size=15)

    def promise(scheme: str, user: str, host: str, path: str) -> None:
        with may_refuse(EdgemassError):
            source = mjpeg.open(f"{scheme}://{user}:hunter2@{host}/{path}", CaptureOptions(), SystemClock())
            assert "hunter2" not in source.name

    hosts = st.one_of(odd, st.sampled_from(["cam", "[::1]:80", "h:0", "h:65536", "h:²"]))
    hold(promise, examples, scheme=st.sampled_from(["http", "https", "HTTP"]), user=odd, host=hosts, path=odd)
