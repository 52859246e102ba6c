"""The device page over real connections: who may look, what is told, and that no viewer harms anybody."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest

from edgemass.config.http import Address
from edgemass.errors import ConfigError, EdgemassError
from edgemass.frame import Frame
from edgemass.messages import FrameMessage
from edgemass.messages.health import HealthMessage
from edgemass.sinks import Answer, Command, Reply
from edgemass.web import server
from edgemass.web.access import MOST_FAILURES, WINDOW_S
from edgemass.web.app import MAX_BODY
from edgemass.web.server import MAX_CONNECTIONS, bind
from tests import documents
from tests.simulators.device_page import DevicePage, Line, health
from tests.simulators.events import event
from tests.simulators.manual_clock import ManualClock

TOKEN = "a token that nobody guesses"
BEARER = f"Bearer {TOKEN}"
PATIENCE_S = 20.0
JSON = "application/json"
PROTECTED = (
    "/",
    "/page.js",
    "/api/status",
    "/api/events",
    "/api/events/door-1/picture.jpg",
    "/camera/door/frame.jpg",
    "/camera/door/live.mjpeg",
    "/metrics",
    "/nothing",
)


@contextmanager
def frames_given(line: Line) -> Iterator[None]:
    """A camera that goes on by itself."""
    over = threading.Event()

    def give() -> None:
        seq = 0
        while not over.wait(0.002):
            seq += 1
            line.give(seq)

    thread = threading.Thread(target=give)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    ended = threading.Event()
    for _ in range(int(PATIENCE_S * 100)):
        if condition():
            return
        ended.wait(0.01)
    raise AssertionError(f"{what} never came about")


@contextmanager
def looking(page: DevicePage, path: str = "/camera/door/live.mjpeg") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", page.port), timeout=PATIENCE_S) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n".encode())
        yield connection


# Who may look


@pytest.mark.parametrize("path", PROTECTED)
def test_nothing_is_shown_without_the_token(path: str) -> None:
    with DevicePage(token=TOKEN) as page:
        page.sink.event(event(1), b"jpeg")
        tried: tuple[dict[str, str], ...] = (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": TOKEN},
            {"Cookie": "edgemass=wrong"},
        )
        for headers in tried:
            answer = page.ask(path, headers=headers)
            assert answer.status == (303 if path == "/" else 401)
            assert b"pi-7f3a" not in answer.body
        assert page.gallery.viewers == 0


def test_the_token_opens_as_bearer() -> None:
    with DevicePage(token=TOKEN) as page:
        assert page.ask("/api/status", Authorization=BEARER).json()["device"] == "pi-7f3a"


def test_logging_in_gives_a_cookie_that_scripts_and_other_sites_do_not_get() -> None:
    with DevicePage(token=TOKEN) as page:
        form = "application/x-www-form-urlencoded"
        body = b"token=" + TOKEN.replace(" ", "+").encode()
        answer = page.ask("/login", method="POST", body=body, Content_Type=form)
        assert (answer.status, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert "httponly" in cookie.lower()
        assert "samesite=strict" in cookie.lower()
        assert TOKEN not in cookie
        assert page.ask("/api/status", Cookie=cookie.partition(";")[0]).status == 200
        gone = page.ask("/logout", method="POST", Cookie=cookie.partition(";")[0])
        assert 'edgemass=""' in gone.headers["set-cookie"]


def test_guessing_is_slowed_down_and_the_right_token_waits_too() -> None:
    clock = ManualClock()
    with DevicePage(token=TOKEN, clock=clock) as page:
        for number in range(MOST_FAILURES):
            answer = page.ask("/api/status", Authorization=f"Bearer guess {number}")
            assert answer.status == 401
        late = page.ask("/api/status", Authorization=BEARER)
        assert (late.status, late.headers["retry-after"]) == (429, "60")
        assert page.ask("/login", method="POST", body=b"token=x").status == 429
        assert page.ask("/healthz").status == 200
        clock.advance(WINDOW_S)
        assert page.ask("/api/status", Authorization=BEARER).status == 200


def test_a_wrong_token_in_the_form_is_told_and_what_was_typed_is_not_shown_again() -> None:
    with DevicePage(token=TOKEN) as page:
        answer = page.ask("/login", method="POST", body=b"token=%3Cscript%3Ewrong")
        assert answer.status == 401
        assert "not the token" in answer.text
        assert "script>wrong" not in answer.text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8088", "localhost.evil.example", ""])
def test_a_name_that_was_rebound_to_the_device_gets_nothing(host: str) -> None:
    with DevicePage() as page:
        for path in ("/", "/api/status", "/healthz", "/camera/door/frame.jpg"):
            answer = page.ask(path, Host=host)
            assert answer.status == 421
            assert b"pi-7f3a" not in answer.body
        assert page.ask("/api/command", method="POST", Host=host).status == 421
        assert page.ask("/api/status", Host="porch.local:8088").status == 200


def test_every_answer_carries_the_policy_and_none_lets_other_sites_read() -> None:
    with DevicePage(token=TOKEN) as page:
        for path in ("/login", "/", "/nothing", "/page.css", "/api/status"):
            headers = page.ask(path).headers
            assert "default-src 'self'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert not any(name.startswith("access-control") for name in headers)
            assert "server" not in headers


# What is told


def test_the_status_is_the_health_document_and_what_the_cameras_tell() -> None:
    told = health()
    with DevicePage(health=told) as page:
        page.sink.camera_state("door", documents.ONLINE)
        page.sink.publish(documents.detections("person", seq=3), documents.frame())
        status = page.ask("/api/status").json()
    assert msgspec.convert(status["health"], HealthMessage) == told
    assert status["cameras"]["door"]["state"]["state"] == "online"
    assert status["cameras"]["door"]["latest"]["seq"] == 3
    assert (status["commands"], status["token"]) == (False, False)


def test_events_come_with_their_pictures_and_only_once() -> None:
    with DevicePage() as page:
        page.sink.event(event(1), b"jpeg")
        first = page.ask("/api/events").json()
        assert [row["event"]["id"] for row in first["events"]] == ["door-1"]
        picture = page.ask("/api/events/door-1/picture.jpg")
        assert (picture.headers["content-type"], picture.body) == ("image/jpeg", b"jpeg")
        assert page.ask(f"/api/events?since={first['revision']}").json()["events"] == []
        assert page.ask("/api/events?since=x").status == 400
        assert page.ask("/api/events/door-9/picture.jpg").status == 404


def test_probes_and_metrics_say_what_they_are_told() -> None:
    with DevicePage(metrics=lambda: "edgemass_up 1\n") as page:
        assert page.ask("/metrics").text == "edgemass_up 1\n"
        assert page.ask("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")
        assert (page.ask("/healthz").status, page.ask("/readyz").status) == (200, 200)
        page.live = page.ready = False
        assert (page.ask("/healthz").status, page.ask("/readyz").status) == (503, 503)
    with DevicePage() as page:
        assert page.ask("/metrics").status == 404


def test_probes_need_no_token() -> None:
    with DevicePage(token=TOKEN) as page:
        assert page.ask("/healthz").text == "ok\n"
        assert page.ask("/readyz").text == "ok\n"


# Views


def test_a_view_begins_with_the_first_viewer_and_ends_with_the_last() -> None:
    line = Line()
    with DevicePage(lines={"door": line}) as page, frames_given(line):
        assert not line.watchers
        with looking(page) as connection:
            received = b""
            while received.count(b"picture ") < 3:
                received += connection.recv(4096)
            assert b"multipart/x-mixed-replace" in received
            assert page.gallery.viewers == 1
        wait_until(lambda: not line.watchers, "the end of the view")
        assert page.gallery.viewers == 0


def test_one_picture_is_fresh_and_leaves_nobody_watching() -> None:
    line = Line()
    with DevicePage(lines={"door": line}) as page, frames_given(line):
        answer = page.ask("/camera/door/frame.jpg")
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.body.startswith(b"picture ")
        wait_until(lambda: not line.watchers, "the end of the view")


def test_more_viewers_than_may_look_are_told_so() -> None:
    with DevicePage(viewers=2) as page, looking(page), looking(page):
        wait_until(lambda: page.gallery.viewers == 2, "two viewers")
        for path in ("/camera/door/live.mjpeg", "/camera/door/frame.jpg"):
            answer = page.ask(path)
            assert answer.status == 503
            assert "retry-after" in answer.headers
        assert page.ask("/api/status").status == 200


def test_a_camera_of_counts_only_has_no_view_and_says_why() -> None:
    line = Line("hall")
    with DevicePage(lines={"hall": line}, hidden={"hall": "privacy = counts-only"}) as page:
        for path in ("/camera/hall/live.mjpeg", "/camera/hall/frame.jpg"):
            answer = page.ask(path)
            assert answer.status == 403
            assert "privacy = counts-only" in answer.text
        assert page.ask("/api/status").json()["cameras"]["hall"]["why"] == "privacy = counts-only"
        assert not line.watchers
        assert page.ask("/camera/other/live.mjpeg").status == 404


def test_a_viewer_that_takes_nothing_holds_up_neither_frames_nor_other_viewers() -> None:
    def large(message: FrameMessage, frame: Frame) -> bytes:  # noqa: ARG001 (as the artist's)
        return b"picture %d" % message.seq + bytes(2_000_000)

    line = Line()
    with DevicePage(lines={"door": line}, draw=large) as page, looking(page) as stalled:
        wait_until(lambda: bool(line.watchers), "a viewer")
        watcher = line.watchers[0]
        for seq in range(1, 200):
            line.give(seq)  # returns at once
        with looking(page) as other:
            wait_until(lambda: page.gallery.viewers == 2, "the second viewer")
            received = b""
            for seq in range(200, 400):
                line.give(seq)
                received = (received + other.recv(1 << 20))[-(1 << 22) :]
            assert b"picture 2" in received or b"picture 3" in received
        assert line.watchers == [watcher]
        assert stalled.recv(10) == b"HTTP/1.1 2"


def test_the_server_ends_in_time_with_viewers_and_half_a_request() -> None:
    line = Line()
    with DevicePage(lines={"door": line}) as page, frames_given(line):
        with looking(page) as viewer, socket.create_connection(("127.0.0.1", page.port)) as half:
            half.sendall(b"GET / HTTP/1.1\r\nHo")
            assert viewer.recv(1)
            page.gallery.close()
            page.server.close(10.0)
            assert not page.server._thread.is_alive()
            while viewer.recv(4096):
                pass
        assert not line.watchers


def test_who_takes_nothing_is_cut_off_and_so_is_who_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STALLED_S", 1.0)
    monkeypatch.setattr(server, "REQUEST_S", 1.0)
    line = Line()
    with DevicePage(lines={"door": line}, draw=lambda *_: bytes(3_000_000)) as page, frames_given(line):
        with looking(page), socket.create_connection(("127.0.0.1", page.port), timeout=PATIENCE_S) as half:
            wait_until(lambda: page.gallery.viewers == 1, "a viewer")
            half.sendall(b"GET / HTTP/1.1\r\nHo")
            assert half.recv(1) == b""
            wait_until(lambda: page.gallery.viewers == 0, "the end of who takes nothing")
        assert not line.watchers


@pytest.mark.parametrize("owed", ["", "Content-Length: 100\r\n"])
def test_a_second_request_that_is_never_finished_is_cut_off_as_the_first_is(
    monkeypatch: pytest.MonkeyPatch, owed: str
) -> None:
    monkeypatch.setattr(server, "REQUEST_S", 1.0)
    with DevicePage() as page, socket.create_connection(("127.0.0.1", page.port), timeout=PATIENCE_S) as half:
        half.sendall(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n{owed}\r\n".encode())
        assert half.recv(4096).startswith(b"HTTP/1.1 200")
        half.sendall(b"GET / HT")
        while half.recv(4096):
            pass


def test_more_connections_than_may_be_are_closed_and_the_page_goes_on() -> None:
    with DevicePage() as page:
        held = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(2 * MAX_CONNECTIONS)]
        for connection in held:
            connection.close()

        def answers() -> bool:
            with contextlib.suppress(OSError, http.client.HTTPException):  # while those before are being cleared away
                return page.ask("/healthz").status == 200
            return False

        wait_until(answers, "an answer")


# Commands


def test_a_command_is_handed_over_and_its_answer_comes_back() -> None:
    taken: list[Command] = []

    def obey(command: Command, reply: Reply) -> None:
        taken.append(command)
        done = Answer(ok=command.name == "snapshot", error="" if command.name == "snapshot" else "no such command")
        threading.Thread(target=reply, args=(done,)).start()

    with DevicePage(handle=obey) as page:
        body = json.dumps({"name": "snapshot", "camera": "door"}).encode()
        answer = page.ask("/api/command", method="POST", body=body, Content_Type=JSON)
        assert (answer.status, answer.json()) == (200, {"ok": True})
        answer = page.ask("/api/command", method="POST", body=b'{"name":"x"}', Content_Type=JSON)
        assert (answer.status, answer.json()) == (409, {"ok": False, "error": "no such command"})
    assert taken == [Command("snapshot", "door", ""), Command("x", "", "")]


def test_commands_of_other_sites_and_damaged_ones_are_refused() -> None:
    taken: list[Command] = []
    body = b'{"name": "snapshot"}'
    with DevicePage(handle=lambda command, _: taken.append(command)) as page:

        def send(body: bytes, **headers: str) -> int:
            dashed = {name.replace("_", "-"): value for name, value in headers.items()}
            return page.ask("/api/command", method="POST", body=body, headers=dashed).status

        assert send(body, Content_Type=JSON, Origin="http://evil.example") == 403
        assert send(body, Content_Type=JSON, Origin="null") == 403
        assert send(body, Content_Type=JSON, Sec_Fetch_Site="cross-site") == 403
        assert send(body, Content_Type="text/plain") == 415
        assert send(b"{", Content_Type=JSON) == 400
        assert send(b'{"name": 1}', Content_Type=JSON) == 400
        assert send(b"\xff", Content_Type=JSON) == 400
        assert send(b"x" * (MAX_BODY + 1), Content_Type=JSON) == 413
        assert page.ask("/api/command").status == 405
    assert taken == []


def test_while_nobody_obeys_yet_a_command_is_told_to_come_again() -> None:
    with DevicePage() as page:
        answer = page.ask("/api/command", method="POST", body=b"{}", Content_Type=JSON)
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0


# The port


def test_a_port_that_is_taken_is_told_at_the_start() -> None:
    with bind(Address("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EdgemassError, match="another program does") as caught:
            bind(Address("127.0.0.1", port))
        assert not isinstance(caught.value, ConfigError), "the other one may end: worth another start"


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine_is_a_mistake_of_the_configuration(host: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot listen on {host}"):
        bind(Address(host, 0))
