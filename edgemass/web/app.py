"""The pages and endpoints of a device as an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection
from importlib import resources
from urllib.parse import parse_qs

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from edgemass.clock import Clock
from edgemass.health.prometheus import CONTENT_TYPE
from edgemass.sinks import Answer, Command
from edgemass.web.access import Key
from edgemass.web.given import Given
from edgemass.web.guard import COOKIE, COOKIE_S, Guard
from edgemass.web.streaming import Stream, frame

MAX_BODY = 4096
BODY_S = 10.0
COMMAND_S = 20.0
START_S = 5
"""Who asks something of a board that still starts may ask again after so long."""

FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/words.js": ("words.js", "text/javascript"),
    "/page.js": ("page.js", "text/javascript"),
    "/login.js": ("login.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""Path -> file of `static` and its type."""


class _Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a command, see sinks.Command."""

    name: str
    camera: str = ""
    value: str = ""


def app(given: Given, *, key: Key | None, names: Collection[str], clock: Clock) -> ASGIApp:
    """Pages and endpoints.

    key: what opens them; None = whoever can reach them may look. names: of the device, in lower case, by which browsers
        may ask for it; its IP addresses always do.
    """
    made = Starlette(
        routes=[
            *(Route(path, _file(*named)) for path, named in FILES.items()),
            Route("/login", _login, methods=["GET", "POST"]),
            Route("/logout", _logout, methods=["POST"]),
            Route("/api/status", _status),
            Route("/api/events", _events),
            Route("/api/events/{event}/picture.jpg", _picture),
            Route("/api/command", _command, methods=["POST"]),
            Route("/camera/{camera}/live.mjpeg", Stream(given.gallery), methods=["GET"]),
            Route("/camera/{camera}/frame.jpg", frame),
            Route("/metrics", _metrics),
            Route("/healthz", _health),
            Route("/readyz", _ready),
        ],
    )
    made.state.given = given
    return Guard(made, key=key, names=names, clock=clock)


def static(name: str) -> bytes:
    """A file of the page."""
    return resources.files("edgemass.web").joinpath("static", name).read_bytes()


def _file(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    """Answers with one file, read once."""
    body = static(name)

    async def answer(request: Request) -> Response:  # noqa: ARG001 (Starlette's)
        return Response(body, media_type=media_type)

    return answer


# Pages


async def _login(request: Request) -> Response:
    """The form, and what becomes of it."""
    if request.method == "GET":
        return _form("")
    body = await _body(request)
    if isinstance(body, Response):
        return body
    token = parse_qs(body.decode(errors="replace")).get("token", [""])[0].strip()
    guard: Guard = request.scope["guard"]
    refused = guard.log_in(request, token)
    if refused is not None:
        wait = refused.headers.get("retry-after")
        words = f"Too many wrong tokens. Wait {wait} seconds." if wait else "That is not the token of this device."
        return _form(words, refused.status_code, {"Retry-After": wait} if wait else None)
    answer = RedirectResponse("/", 303)
    if guard.key is not None:
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, guard.key.cookie, max_age=COOKIE_S, httponly=True, samesite="strict", secure=secure)
    return answer


def _form(problem: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    page = static("login.html").decode().replace("<!--problem-->", problem)
    return Response(page, status, headers, "text/html")


async def _logout(request: Request) -> Response:  # noqa: ARG001 (Starlette's)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


# Endpoints


async def _status(request: Request) -> Response:
    return _json(_given(request).status())


async def _events(request: Request) -> Response:
    """`?since=REVISION`: only what changed after it."""
    try:
        since = int(request.query_params.get("since", "0"))
    except ValueError:
        return PlainTextResponse("since must be a number: the revision of an earlier answer\n", 400)
    return _json(_given(request).events(since))


async def _picture(request: Request) -> Response:
    jpeg = _given(request).picture(request.path_params["event"])
    if jpeg is None:
        return PlainTextResponse("there is no picture of this event, or no longer\n", 404)
    return Response(jpeg, media_type="image/jpeg")


async def _metrics(request: Request) -> Response:
    metrics = _given(request).metrics
    if metrics is None:
        return PlainTextResponse("nobody makes metrics here\n", 404)
    return Response(metrics(), headers={"Content-Type": CONTENT_TYPE})


async def _health(request: Request) -> Response:
    return _yes(_given(request).live())


async def _ready(request: Request) -> Response:
    return _yes(_given(request).ready())


def _yes(yes: bool) -> Response:  # noqa: FBT001 (a question's answer)
    return PlainTextResponse("ok\n") if yes else PlainTextResponse("no\n", 503)


async def _command(request: Request) -> Response:
    """Hand a command over: 200 where it was done, 409 where not, 503 while the board starts, 504 where none came."""
    obey = _given(request).command()
    if obey is None:
        return PlainTextResponse("it still starts; ask again\n", 503, {"Retry-After": str(START_S)})
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        return PlainTextResponse('wanted application/json: {"name", "camera", "value"}\n', 415)
    body = await _body(request)
    if isinstance(body, Response):
        return body
    try:
        ask = msgspec.json.decode(body, type=_Ask)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return PlainTextResponse(f"no command: {error}\n", 400)
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Answer] = loop.create_future()

    def take(answer: Answer) -> None:
        if not answered.done():
            answered.set_result(answer)

    def reply(answer: Answer) -> None:
        """From any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has stopped
            loop.call_soon_threadsafe(take, answer)

    obey(Command(ask.name, ask.camera, ask.value), reply)
    try:
        answer = await asyncio.wait_for(answered, COMMAND_S)
    except asyncio.TimeoutError:
        return PlainTextResponse(f"no answer within {COMMAND_S:g} s\n", 504)
    return _json(answer, 200 if answer.ok else 409)


async def _body(request: Request) -> bytes | Response:
    """The body of a request, where it is small and comes soon."""

    async def read() -> bytes | Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return PlainTextResponse(f"larger than {MAX_BODY} bytes\n", 413)
        return body

    try:
        return await asyncio.wait_for(read(), BODY_S)
    except asyncio.TimeoutError:
        return PlainTextResponse(f"it did not come within {BODY_S:g} s\n", 408)


def _given(request: Request) -> Given:
    given: Given = request.app.state.given
    return given


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
