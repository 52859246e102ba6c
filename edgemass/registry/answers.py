"""What a registry's answers and failures mean, in words and as our errors; no network here."""

from __future__ import annotations

import email.utils
import socket
import ssl
from collections.abc import Mapping
from datetime import timezone
from http import HTTPStatus

import httpx
import msgspec

from edgemass.errors import EdgemassError, RegistryError, RegistryUnavailableError
from edgemass.redact import redact

MAX_ERROR_BYTES = 64 * 1024
_MOST_WORDS = 300


class PassingError(RegistryUnavailableError):
    """Worth another attempt at once or soon. wait_s: how long the registry asked us to wait; None = it did not."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class _Problem(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Problems(msgspec.Struct):
    errors: list[_Problem] = []


def failure(told: str, error: httpx.HTTPError | httpx.InvalidURL) -> EdgemassError:
    """What went wrong below HTTP. told: what was asked of whom."""
    if isinstance(error, httpx.ConnectTimeout):
        return PassingError(f"{told}: no connection in time; check the network and the address")
    if isinstance(error, httpx.TimeoutException):
        return PassingError(f"{told}: {_how_slow(str(error))}")
    if isinstance(error, httpx.RemoteProtocolError) and not _is_cut(error):
        return RegistryError(f"{told}: what answers speaks no HTTP ({_words(str(error))}); check the address")
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return RegistryError(f"{told}: no address that can be asked ({_words(str(error))})")
    return _broken(told, _causes(error), connecting=isinstance(error, httpx.ConnectError))


def _broken(told: str, causes: list[BaseException], *, connecting: bool) -> EdgemassError:
    """What the system says of a connection."""
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return PassingError(f"{told}: the name of the host is not known ({cause.strerror}); check the network")
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = getattr(cause, "verify_message", "") or str(cause)
            return RegistryUnavailableError(
                f"{told}: its certificate does not hold here ({why}); is the clock right, and is its authority known?"
            )
    last = causes[-1]
    if isinstance(last, ssl.SSLError) and connecting:
        return RegistryUnavailableError(f"{told}: it does not speak TLS as we do ({last.reason or last})")
    reason = last.strerror if isinstance(last, OSError) and last.strerror else _words(str(last)) or "it ended"
    return PassingError(f"{told}: the connection failed ({reason})")


def _how_slow(text: str) -> str:
    """The words of our wire, or of a socket that was silent."""
    return text if text.startswith(("only ", "it took ")) else "it is silent"


def _is_cut(error: httpx.RemoteProtocolError) -> bool:
    """h11's words for a connection that ended before the answer did; it has no class for it."""
    return any(words in str(error) for words in ("peer closed", "disconnected", "Server disconnected"))


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


def check_kind(told: str, headers: Mapping[str, str]) -> None:
    """Refuse an answer that no registry gives.

    Raises:
        RegistryError: it is a web page, as a hotel's network sends, or compressed although we asked for the opposite.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        raise RegistryError(
            f"{told}: a web page answers instead of a registry; check the address, and whether the network wants a "
            "login first"
        )
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise RegistryError(f"{told}: the answer is compressed ({_words(encoding)}), which we asked it not to be")


def refusal(
    told: str, status: int, headers: Mapping[str, str], body: bytes, *, user: str, now_s: float
) -> EdgemassError:
    """An answer that is none of those that were hoped for. user: whom it was asked as; empty = nobody."""
    words = _said(body)
    if status == HTTPStatus.UNAUTHORIZED:
        who = f"does not let {user} in" if user else "wants a login"
        return RegistryError(f"{told}: it {who}{words}; check user and password")
    if status == HTTPStatus.FORBIDDEN:
        return RegistryError(f"{told}: {user or 'without a login this'} may not do that{words}")
    if status == HTTPStatus.NOT_FOUND:
        return RegistryError(f"{told}: it is not there{words}")
    if 300 <= status < 400:
        return RegistryError(
            f"{told}: redirected to {_words(headers.get('location', 'nowhere'))}, which is followed for files only"
        )
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT) or status >= 500:
        return PassingError(
            f"{told}: the registry answers {status}{words}; try again later", _retry_after_s(headers, now_s)
        )
    return RegistryError(f"{told}: the registry answers {status}{words}")


def _said(body: bytes) -> str:
    """What a registry, or a plain text, gives as the reason."""
    try:
        problems = msgspec.json.decode(body, type=_Problems).errors
        words = "; ".join(f"{problem.code} {problem.message}".strip() for problem in problems)
    except (ValueError, RecursionError):
        words = "" if body.lstrip()[:1] in (b"<", b"{", b"[") else body[:_MOST_WORDS].decode("utf-8", "replace")
    words = _words(words)
    return f" ({words})" if words else ""


def _words(text: str) -> str:
    """Of a stranger, as a part of one line."""
    text = redact(" ".join("".join(c if c.isprintable() else " " for c in text[: _MOST_WORDS * 2]).split()))
    return text if len(text) <= _MOST_WORDS else f"{text[:_MOST_WORDS]}..."


def _retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds, or a date."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    try:
        when = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    return max(when.timestamp() - now_s, 0.0)
