"""Stands before every page and endpoint: hosts, token or cookie, origin of commands, headers of answers."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgemass.clock import Clock
from edgemass.web.access import Key, Tries, host_allowed, same_origin

logger = logging.getLogger(__name__)

COOKIE = "edgemass"
COOKIE_S = 90 * 86_400
OPEN = frozenset({"/login", "/login.js", "/page.css", "/icon.svg", "/healthz", "/readyz"})
"""Without a token: they tell nothing of what the device sees."""

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with none at all, browsers send forms with the origin "null"
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


class Guard:
    """An ASGI application around another one.

    key: None = whoever can reach it may look, as on loopback. names: by which browsers may ask, in lower case.
    """

    def __init__(self, app: ASGIApp, *, key: Key | None, names: Collection[str], clock: Clock) -> None:
        self.key = key
        self._app = app
        self._names = frozenset(names)
        self._clock = clock
        self._tries = Tries()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        scope["guard"] = self
        connection = HTTPConnection(scope)
        answer = self._refusal(connection)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        await (self._app if answer is None else answer)(scope, receive, guarded)

    def log_in(self, connection: HTTPConnection, token: str) -> Response | None:
        """None where the token opens, else what to say."""
        address = _address(connection)
        if late := self._too_often(address):
            return late
        if self.key is None or self.key.opens(token):
            return None
        self._failed(address)
        return PlainTextResponse("wrong token\n", 401)

    def _refusal(self, connection: HTTPConnection) -> Response | None:
        host = connection.headers.get("host", "")
        if not host_allowed(host, self._names):
            return PlainTextResponse(
                "this device does not go by that name; ask for it by its IP address, or add the name to `hosts` of the "
                "table [http] in its configuration\n",
                421,
            )
        changes = connection.scope["method"] not in ("GET", "HEAD")
        if changes and not same_origin(
            host, connection.headers.get("origin"), connection.headers.get("sec-fetch-site")
        ):
            return PlainTextResponse("commands are only taken from the device's own page\n", 403)
        if self.key is None or connection.url.path in OPEN:
            return None
        return self._without_key(connection, self.key)

    def _without_key(self, connection: HTTPConnection, key: Key) -> Response | None:
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        cookie = connection.cookies.get(COOKIE)
        by_token = scheme.lower() == "bearer"
        if by_token or cookie is not None:
            address = _address(connection)
            if late := self._too_often(address):
                return late
            if key.opens(token.strip()) if by_token else key.opens_with_cookie(cookie or ""):
                return None
            self._failed(address)
        answer: Response = PlainTextResponse(
            "this needs the token of the device\n", 401, {"WWW-Authenticate": "Bearer"}
        )
        if connection.url.path == "/":
            answer = RedirectResponse("/login", 303)
        if cookie is not None:
            answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    def _too_often(self, address: str) -> Response | None:
        wait_s = self._tries.wait_s(address, self._clock.monotonic_ns())
        if not wait_s:
            return None
        return PlainTextResponse("too many wrong tokens; wait\n", 429, {"Retry-After": str(math.ceil(wait_s))})

    def _failed(self, address: str) -> None:
        now_ns = self._clock.monotonic_ns()
        self._tries.failed(address, now_ns)
        if self._tries.wait_s(address, now_ns):
            logger.warning("wrong tokens for the device page", extra={"address": address})


def _address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client is not None else ""
