"""Against a real HTTP server on loopback."""

from __future__ import annotations

import itertools
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import trustme

from edgemass import sources
from edgemass.clock import SystemClock
from edgemass.counters import Counters
from edgemass.errors import SourceError
from edgemass.messages import CameraState
from edgemass.pipeline.capture import Capture
from edgemass.sources import CaptureOptions
from edgemass.sources.mjpeg import MjpegCamera
from tests.simulators.mjpeg_server import HEIGHT, WIDTH, Behaviour, MjpegServer, jpeg, number_of

NOTICE_S = 5.0
RETURN_S = 10.0
SECRET = "hunter2"


def opened(address: str) -> MjpegCamera:
    camera = sources.open(address, CaptureOptions(), SystemClock())
    assert isinstance(camera, MjpegCamera)
    return camera


def with_password(address: str, password: str) -> str:
    return address.replace("://", f"://viewer:{password}@")


def numbers(address: str, count: int) -> list[int]:
    """The numbers of the first pictures."""
    frames = itertools.islice(opened(address).frames(), count)
    return [number_of(frame.image) for frame in frames]


def error_of(address: str) -> str:
    """What the first picture fails with."""
    with pytest.raises(SourceError) as told:
        next(opened(address).frames())
    assert "\n" not in str(told.value)
    assert SECRET not in str(told.value)
    return str(told.value)


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(),
        Behaviour(length=None),
        Behaviour(length=None, head=b""),
        Behaviour(length=-30),
        Behaviour(chunked=True),
        Behaviour(chunked=True, piece=11),
        Behaviour(content_type='multipart/x-mixed-replace; boundary="--frame"', delimiter=b"----frame"),
        Behaviour(content_type="Multipart/X-Mixed-Replace"),
    ],
    ids=lambda behaviour: f"{behaviour.content_type} {behaviour.length} {behaviour.chunked} {behaviour.piece}",
)
def test_every_picture_arrives_in_order_however_it_is_wrapped(behaviour: Behaviour) -> None:
    with MjpegServer(behaviour) as server:
        frames = list(itertools.islice(opened(server.address).frames(), 5))
    assert [number_of(frame.image) for frame in frames] == [0, 1, 2, 3, 4]
    assert {(frame.width, frame.height) for frame in frames} == {(WIDTH, HEIGHT)}
    assert all(later.mono_ns > earlier.mono_ns for earlier, later in itertools.pairwise(frames))


def test_a_change_of_size_within_the_stream_is_followed() -> None:
    def parts(number: int) -> bytes:
        return jpeg(number, (32, 16) if number >= 2 else (WIDTH, HEIGHT))

    with MjpegServer(Behaviour(parts=parts)) as server:
        shapes = [frame.image.shape for frame in itertools.islice(opened(server.address).frames(), 4)]
    assert shapes == [(HEIGHT, WIDTH, 3)] * 2 + [(16, 32, 3)] * 2


def test_broken_pictures_are_counted_left_out_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    bad = {1: jpeg(1)[:-50], 2: b"no picture", 3: b"\xff\xd8\xff\xd9"}
    with MjpegServer(Behaviour(parts=lambda number: bad.get(number, jpeg(number)))) as server:
        camera = opened(server.address)
        with caplog.at_level("INFO", logger="edgemass.sources.mjpeg"):
            seen = [number_of(frame.image) for frame in itertools.islice(camera.frames(), 5)]
    assert seen == [0, 4, 5, 6, 7]
    assert camera.broken == 3
    words = [record.getMessage().partition(" sends ")[2] for record in caplog.records]
    assert words == ["broken pictures; they are left out", "whole pictures again"]


@pytest.mark.parametrize("auth", ["basic", "digest", "digest-sha-256"])
def test_user_and_password_of_the_address_open_the_stream(auth: str) -> None:
    with MjpegServer(Behaviour(auth=auth)) as server:
        assert numbers(with_password(server.address, "right"), 2) == [0, 1]
        assert "right" not in "".join(server.seen)


@pytest.mark.parametrize("auth", ["basic", "digest", "digest-sha-256"])
def test_a_wrong_password_is_told_without_the_password_and_tried_once(auth: str) -> None:
    with MjpegServer(Behaviour(auth=auth)) as server:
        assert "401 Unauthorized; check user and password" in error_of(with_password(server.address, SECRET))
        assert server.connections == 2  # a third one could lock the user out
        assert "check user and password" in error_of(server.address)


def test_a_redirect_is_followed_and_the_password_stays_with_its_host() -> None:
    with MjpegServer(Behaviour(auth="basic")) as behind:
        same = MjpegServer(Behaviour(location=behind.address))
        other = MjpegServer(Behaviour(location=behind.address.replace("127.0.0.1", "localhost")))
        with same, other:
            assert numbers(with_password(same.address, "right"), 2) == [0, 1]
            before = len(behind.seen)
            assert "401" in error_of(with_password(other.address, "right"))
            assert len(behind.seen) == before + 1
            assert "authorization" not in behind.seen[-1].lower()


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (
            Behaviour(content_type="text/html", whole=b"<html>" * 999, endless=True),
            "found text/html, wanted multipart/x-",
        ),
        (Behaviour(content_type="image/jpeg", whole=jpeg(1)), "found image/jpeg, wanted multipart/x-"),
        (Behaviour(content_type=None, whole=b"x", endless=True), "found no content type"),
        (Behaviour(whole=b"x" * 4096, endless=True), "no line that begins with --"),
        (Behaviour(whole=b"--f\r\n\r\n\xff\xd8" + b"x" * 65536, endless=True), "found a part without an end"),
        (Behaviour(length=99_999_999), "at most 16000000 are taken"),
        (Behaviour(status="404 Not Found"), "answers 404 Not Found; the camera has no stream of this path"),
        (Behaviour(status="503 Busy"), "answers 503 Busy; does it serve too many viewers"),
        (Behaviour(status="999 \x1b[31m What"), "answers 999"),
        (Behaviour(status="twohundred"), "its answer is not HTTP"),
        (Behaviour(location="rtsp://cam/1"), "sends on to 'rtsp://cam/1'; wanted an address of http"),
        (Behaviour(location="/mjpeg"), "sends on from one address to the next"),
        (Behaviour(count=0), "ended the stream"),
        (Behaviour(count=0, delimiter=b""), "ended the stream"),
    ],
)
def test_what_is_no_stream_is_told_with_what_was_found(behaviour: Behaviour, words: str) -> None:
    with MjpegServer(behaviour) as server, pytest.raises(SourceError, match=words) as told:
        next(opened(server.address).frames())
    assert str(told.value).isprintable()


def test_a_host_that_does_not_listen_is_told_with_what_to_check() -> None:
    with MjpegServer() as server:
        address = server.address
    assert "connection refused; is the camera on" in error_of(with_password(address, SECRET))


class Watched:
    """A capture with its states, each with the monotonic time at which it was told."""

    def __init__(self, address: str) -> None:
        self.states: list[tuple[float, CameraState]] = []
        self.counters = Counters()
        self.capture = Capture(
            "cam",
            opened(address),
            clock=SystemClock(),
            counters=self.counters,
            on_state=lambda state: self.states.append((time.monotonic(), state)),
        )

    def offline(self, timeout_s: float) -> CameraState:
        """The first offline state; frames are taken meanwhile, as a detect loop does."""
        give_up = time.monotonic() + timeout_s
        while time.monotonic() < give_up:
            self.capture.slot.get(0.05)
            for _, state in self.states:
                if state.state == "offline":
                    return state
        raise AssertionError(f"not noticed in {timeout_s} s; states {self.states}")

    def drain(self) -> None:
        while self.capture.slot.get(0.0) is not None:
            pass


@pytest.fixture
def watch() -> Iterator[Callable[[str], Watched]]:
    running: list[Watched] = []

    def start(address: str) -> Watched:
        watched = Watched(address)
        running.append(watched)
        watched.capture.start()
        assert watched.capture.slot.get(RETURN_S) is not None
        return watched

    yield start
    for watched in running:
        watched.capture.stop(5.0)


def test_a_server_that_was_killed_and_comes_back_is_seen_again(watch: Callable[[str], Watched]) -> None:
    with MjpegServer() as server:
        camera = watch(server.address)
        server.kill()
        camera.offline(NOTICE_S)
        camera.drain()
        server.start()
        assert camera.capture.slot.get(RETURN_S) is not None
        assert camera.counters["reconnects"] == 1


def test_a_silent_server_is_noticed_and_seen_again(watch: Callable[[str], Watched]) -> None:
    with MjpegServer() as server:
        camera = watch(server.address)
        server.silence()
        assert "is silent: nothing came for 4 s" in camera.offline(NOTICE_S).reason
        camera.drain()
        server.resume()
        assert camera.capture.slot.get(RETURN_S) is not None


def test_a_server_that_accepts_and_says_nothing_is_noticed() -> None:
    with MjpegServer() as server:
        server.silence()
        started = time.monotonic()
        assert "is silent" in error_of(server.address)
        assert time.monotonic() - started < NOTICE_S


def test_a_head_that_never_ends_does_not_hold_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgemass.sources._http_stream.OPENING_S", 1.0)
    with MjpegServer(Behaviour(status="200 OK\r\nX: " + "y" * 4000, piece=1, pause_s=0.05)) as server:
        assert "gave no answer in 1 s" in error_of(server.address)


def test_a_picture_that_drips_for_ever_does_not_hold_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgemass.sources.mjpeg.NO_PICTURE_S", 1.0)
    with MjpegServer(Behaviour(piece=4, pause_s=0.05)) as server:
        assert "no whole picture for 1 s" in error_of(server.address)


def test_a_slow_camera_is_waited_for() -> None:
    with MjpegServer(Behaviour(piece=300, pause_s=0.2)) as server:
        assert numbers(server.address, 2) == [0, 1]


def test_close_ends_a_read_that_waits() -> None:
    with MjpegServer() as server:
        camera = opened(server.address)
        rest: list[object] = []
        frames = camera.frames()
        next(frames)
        server.silence()
        thread = threading.Thread(target=lambda: rest.extend(frames))
        thread.start()
        camera.close()
        thread.join(2.0)  # far below the 4 s after which silence is noticed
        assert not thread.is_alive()


def test_an_iterator_that_is_closed_hangs_up() -> None:
    with MjpegServer(Behaviour(fps=100)) as server:
        frames = opened(server.address).frames()
        next(frames)
        before = threading.active_count()
        frames.close()  # type: ignore[attr-defined]  # every source's iterator is a generator
        give_up = time.monotonic() + 5.0
        while threading.active_count() >= before and time.monotonic() < give_up:
            time.sleep(0.01)
        assert threading.active_count() == before - 1  # the server's thread for this connection


@pytest.fixture(scope="module")
def own_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_a_certificate_of_the_cameras_own_is_refused_unless_it_is_let_through(own_certificate: ssl.SSLContext) -> None:
    with MjpegServer(tls=own_certificate) as server:
        assert "#verify=no behind the address takes any" in error_of(server.address)
        assert numbers(server.address + "#verify=no", 3) == [0, 1, 2]


def test_a_silent_server_is_noticed_behind_tls_too(
    own_certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgemass.sources._http_stream.SILENCE_S", 1.0)
    with MjpegServer(tls=own_certificate) as server:
        frames = opened(server.address + "#verify=no").frames()
        next(frames)
        server.silence()
        with pytest.raises(SourceError, match="is silent"):
            list(frames)


def test_https_to_a_port_of_http_is_told() -> None:
    with MjpegServer() as server:
        assert "does this port speak https?" in error_of(server.address.replace("http:", "https:"))
