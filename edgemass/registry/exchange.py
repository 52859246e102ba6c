"""One request to a registry at a time: with its login, within the deadline, again where that may help."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar, final

import httpx
import msgspec

from edgemass.clock import Clock
from edgemass.errors import RegistryError, RegistryUnavailableError
from edgemass.registry import answers, auth
from edgemass.registry.answers import PassingError
from edgemass.registry.reference import Reference
from edgemass.registry.transport import Transport, open_client
from edgemass.registry.wire import DEADLINE, Pace

PAUSES_S = (0.5, 1.0, 2.0, 4.0)
"""Before further attempts, the first one also after one that brought something; each is drawn from half of it to all of
it, so that boards that were cut off together do not come back together.
"""

MOST_REDIRECTS = 3
_MAX_TOKEN_ANSWER_BYTES = 128 * 1024
_NS = 1_000_000_000

Result = TypeVar("Result")
Content = Callable[[], Iterator[bytes]]
"""A body, as often as it has to be sent."""


class Answer(msgspec.Struct, frozen=True):
    """headers: lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@final
class Exchange:
    """With the registry of one reference. plain: without TLS."""

    def __init__(self, reference: Reference, transport: Transport, clock: Clock) -> None:
        self.plain = reference.base_url.startswith("http://")
        self._told = reference.address
        self._clock = clock
        self._total_ns = round(transport.total_s * _NS)
        self._deadline_ns = 0
        self._pace = Pace(clock, transport.stall_s, transport.least_bytes_s, transport.bandwidth_bytes_s)
        self._client = open_client(transport, reference.base_url, clock=clock, pace=self._pace)
        self._origin = _origin(self._client.base_url)
        login = auth.find_login(reference, transport)
        self._authorization = auth.Authorization(self._told, login, self._ask, clock, plain=self.plain)

    def close(self) -> None:
        self._client.close()

    @property
    def received(self) -> int:
        """Bytes that came so far, those of headers and of attempts that failed too."""
        return self._pace.received

    def start(self) -> None:
        """Begin an operation: from now on its deadline runs."""
        self._deadline_ns = self._clock.monotonic_ns() + self._total_ns

    def again(self, attempt: Callable[[], Result], gained: Callable[[], int] = lambda: 0) -> Result:
        """Repeat what fails for reasons that may pass.

        gained: how far the attempts have come; one that came further costs no patience.

        Raises:
            RegistryUnavailableError: the patience or the time is over.
        """
        fruitless, furthest = 0, gained()
        while True:
            try:
                return attempt()
            except PassingError as error:
                came = gained()
                fruitless = 0 if came > furthest else fruitless + 1
                furthest = max(furthest, came)
                pause_s = self._pause_s(fruitless, error)
                left_s = (self._deadline_ns - self._clock.monotonic_ns()) / _NS
                if fruitless > len(PAUSES_S) or pause_s >= left_s:
                    raise RegistryUnavailableError(str(error)) from error
            self._clock.wait(threading.Event(), pause_s)

    def _pause_s(self, fruitless: int, error: PassingError) -> float:
        longest_s = PAUSES_S[min(max(fruitless, 1), len(PAUSES_S)) - 1]
        return max(longest_s * (0.5 + random.random() / 2), error.wait_s or 0.0)  # noqa: S311 (spreads retries)

    def call(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        wanted: Collection[int],
        limit: int = answers.MAX_ERROR_BYTES,
        headers: Mapping[str, str] | None = None,
        content: Content | None = None,
        told: str = "",
    ) -> Answer:
        """One request and its whole answer, at most `limit` bytes of it; of one that is no success only the head.

        url: a path of the registry or an absolute address. wanted: the statuses that are no error. told: what is asked
        for, in errors.

        Raises:
            RegistryError, RegistryUnavailableError: another status, no answer, or one that no registry gives.
        """
        told = told or self._told
        with self.open(method, url, scope=scope, headers=headers or {}, content=content, told=told) as response:
            if response.status_code not in wanted:
                raise self.refusal(told, response)
            body = b""
            if response.is_success:
                answers.check_kind(told, response.headers)
                body = self._read(response, limit, told)
        return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, body)

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        headers: Mapping[str, str],
        content: Content | None = None,
        told: str = "",
        follow: bool = False,
    ) -> Iterator[httpx.Response]:
        """The answer to one request, its body not read yet; what fails in the block is translated too.

        A 401 is answered by a login. follow: redirects, at most MOST_REDIRECTS, never from TLS to without, and never
        with the login to another host.
        """
        told = told or self._told
        try:
            response = self._send(method, url, scope, headers, content)
            try:
                if response.status_code == httpx.codes.UNAUTHORIZED and self._is_ours(response.url):
                    response = self._with_login(response, method, scope, headers, content)
                for _ in range(MOST_REDIRECTS if follow else 0):
                    if not response.has_redirect_location:
                        break
                    target = self.allowed(response, told)
                    response.close()
                    response = self._send(method, target, scope, headers, content)
                if follow and response.has_redirect_location:
                    raise RegistryError(f"{told}: it redirects more than {MOST_REDIRECTS} times")
                yield response
            finally:
                response.close()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise answers.failure(told, error) from error

    def _send(
        self, method: str, url: str | httpx.URL, scope: str, headers: Mapping[str, str], content: Content | None
    ) -> httpx.Response:
        request = self._client.build_request(
            method,
            url,
            headers=headers,
            content=content() if content else None,
            extensions={DEADLINE: self._deadline_ns},
        )
        authorization = self._authorization.header(scope)
        if authorization and self._is_ours(request.url):
            request.headers["Authorization"] = authorization
        return self._client.send(request, stream=True)

    def _with_login(
        self, response: httpx.Response, method: str, scope: str, headers: Mapping[str, str], content: Content | None
    ) -> httpx.Response:
        if not self._authorization.answer(response.headers.get("www-authenticate", ""), scope):
            return response
        response.close()
        return self._send(method, response.url, scope, headers, content)

    def _ask(
        self,
        realm: str,
        query: Mapping[str, str],
        form: Mapping[str, str] | None,
        authorization: str | None,
    ) -> bytes:
        """A token server; see auth.Ask."""
        told = f"{self._told}: its token server {realm[:200]}"
        headers = {"Authorization": authorization} if authorization else {}
        try:
            request = self._client.build_request(
                "POST" if form else "GET",
                httpx.URL(realm).copy_merge_params(dict(query)),
                headers=headers,
                data=form,
                extensions={DEADLINE: self._deadline_ns},
            )
            response = self._client.send(request, stream=True)
            try:
                if response.status_code != httpx.codes.OK:
                    raise self.refusal(told, response)
                answers.check_kind(told, response.headers)
                return self._read(response, _MAX_TOKEN_ANSWER_BYTES, told)
            finally:
                response.close()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise answers.failure(told, error) from error

    def allowed(self, response: httpx.Response, told: str) -> httpx.URL:
        """Where an answer sends us, if we may go there.

        Raises:
            RegistryError: it leads out of TLS, or to no address at all.
        """
        target = response.url.join(response.headers.get("location", ""))
        if target.scheme not in ("https", "http") or not target.host:
            raise RegistryError(f"{told}: it redirects to {str(target)[:200]!r}, wanted an address on the network")
        if target.scheme == "http" and response.url.scheme == "https":
            raise RegistryError(
                f"{told}: it redirects from TLS to {target.scheme}://{target.host}, which is not followed"
            )
        return target

    def refusal(self, told: str, response: httpx.Response) -> Exception:
        """An answer of a status that was not wanted; what it says is read as far as that is sensible."""
        try:
            body = self._read(response, answers.MAX_ERROR_BYTES, told)
        except RegistryError:
            body = b""
        user, now_s = self._authorization.user, self._clock.time_ns() / _NS
        return answers.refusal(told, response.status_code, response.headers, body, user=user, now_s=now_s)

    def _read(self, response: httpx.Response, limit: int, told: str) -> bytes:
        length = response.headers.get("content-length", "0")
        body = bytearray()
        if response.request.method != "HEAD":
            if not length.isdigit() or int(length) > limit:
                raise RegistryError(f"{told}: an answer of {length[:20]} bytes, at most {limit} are read")
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > limit:
                    raise RegistryError(f"{told}: an answer of more than {limit} bytes")
        return bytes(body)

    def _is_ours(self, url: httpx.URL) -> bool:
        return _origin(url) == self._origin


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """Httpx leaves the port out where it is the usual one."""
    return url.scheme, url.host, url.port
