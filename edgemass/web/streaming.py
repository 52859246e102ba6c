"""A camera's view as MJPEG or as one picture. Plain ASGI: a stream needs to hear that its client is gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from edgemass.web.gallery import Gallery, Seat

FRAME_S = 10.0
"""A still camera gives a frame every few seconds, as its motion gate has it."""
BOUNDARY = "edgemass-frame"
RETRY_S = 10
_EDGE = f"--{BOUNDARY}\r\n".encode()


class Stream:
    """`/camera/<c>/live.mjpeg`: pictures as they come; who is slow gets fewer, and always the newest."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with _seated(self._gallery, Request(scope)) as seated:
            if isinstance(seated, Response):
                await seated(scope, receive, send)
                return
            content_type = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
            headers = [(b"content-type", content_type.encode()), (b"x-accel-buffering", b"no")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if scope["method"] != "HEAD":
                await _show(*seated, receive, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _show(seat: Seat, woken: asyncio.Event, receive: Receive, send: Send) -> None:
    """Until the client is gone or the view is over."""
    gone = asyncio.ensure_future(_disconnected(receive))
    gone.add_done_callback(lambda _: woken.set())
    number = 0
    await send({"type": "http.response.body", "body": _EDGE, "more_body": True})
    try:
        while not gone.done() and not seat.over:
            await woken.wait()
            woken.clear()
            picture = seat.after(number)
            if picture is None or gone.done():
                continue
            number = picture.number
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture.jpeg)}\r\n\r\n".encode()
            body = b"".join((head, picture.jpeg, b"\r\n", _EDGE))  # browsers show a part when they see its end
            await send({"type": "http.response.body", "body": body, "more_body": True})
    finally:
        gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def frame(request: Request) -> Response:
    """`/camera/<c>/frame.jpg`: the next picture."""
    gallery: Gallery = request.app.state.given.gallery
    async with _seated(gallery, request) as seated:
        if isinstance(seated, Response):
            return seated
        seat, woken = seated
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(woken.wait(), FRAME_S)
        picture = seat.after(0)
        if picture is None:
            return _busy(f"the camera gave no frame within {FRAME_S:g} s")
        return Response(picture.jpeg, media_type="image/jpeg")


@contextlib.asynccontextmanager
async def _seated(gallery: Gallery, request: Request) -> AsyncIterator[tuple[Seat, asyncio.Event] | Response]:
    """A place before the view that is asked for, with what tells of new pictures; or why there is none."""
    camera = request.path_params["camera"]
    if camera in gallery.hidden:
        yield PlainTextResponse(f"no view of {camera}: {gallery.hidden[camera]}\n", 403)
        return
    woken = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: so is the stream
            loop.call_soon_threadsafe(woken.set)

    try:
        seat = gallery.seat(camera, wake)
    except KeyError:
        yield PlainTextResponse(f"there is no camera {camera}\n", 404)
        return
    if seat is None:
        yield _busy("as many look as may; close another view, or raise `viewers` of the table [http]")
        return
    try:
        if seat.after(0) is not None:
            woken.set()
        yield seat, woken
    finally:
        seat.leave()


def _busy(reason: str) -> Response:
    return PlainTextResponse(f"{reason}\n", 503, {"Retry-After": str(RETRY_S)})
