"""Commands as they arrive over MQTT: which of them are worth doing. Rules only."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import msgspec

from edgemass.errors import EdgemassError

MAX_BYTES = 4096


class RefusedError(EdgemassError):
    """A command that must not be done."""


class _Timed(msgspec.Struct):
    """value: of the command. expires: RFC 3339, or seconds of Unix time."""

    value: str | int | float | bool | None = None
    expires: str | float | None = None


def value_of(payload: bytes, *, retained: bool, now_s: float, synced: bool) -> tuple[str, float | None]:
    """The value, the payload as it is or that of {"value", "expires"}, and the Unix time at which it expires.

    now_s: Unix time. synced: whether it can be believed; else nothing that has an end can be trusted to have one left.

    Raises:
        RefusedError: a broker kept it for whoever comes, it has expired, or it is damaged.
    """
    if retained:
        raise RefusedError("it was retained, so that it would be done again after every start; send it without retain")
    if len(payload) > MAX_BYTES:
        raise RefusedError(f"it has {len(payload)} bytes; at most {MAX_BYTES} are taken")
    try:
        text = payload.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise RefusedError("it is not UTF-8") from None
    if not text.startswith("{"):
        return text, None
    try:
        timed = msgspec.json.decode(text, type=_Timed)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RefusedError(f'it is not {{"value", "expires"}}: {error}') from None
    expires_s = _seconds(timed.expires) if timed.expires is not None else None
    if expires_s is not None:
        if not synced:
            raise RefusedError("it has a time, and this board's clock is not set yet; send it again later")
        if now_s >= expires_s:
            raise RefusedError(f"it expired {now_s - expires_s:.0f} s ago")
    return _text(timed.value), expires_s


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    return "" if value is None else str(value)


def _seconds(expires: str | float) -> float:
    if not isinstance(expires, str):
        return float(expires)
    try:
        moment = msgspec.convert(expires, datetime)  # Python 3.10's own reader knows neither Z nor tenths
    except msgspec.ValidationError:
        raise RefusedError(f"expires must be RFC 3339 or Unix seconds, found {expires[:64]!r}") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
