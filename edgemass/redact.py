"""Addresses without their passwords, for logs, errors, status and metrics."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^/@\s:]*)(?::(?P<password>\S*))?@")
_QUERY_SECRET = re.compile(r"(?i)([?&](?:password|passwd|pwd|pass|token|key|secret|auth)=)[^&\s]+")


def redact(text: str) -> str:
    """Replace passwords in every address that `text` holds; user names stay, they help and open nothing.

    A password may hold any character but a space, so the last `@` of a word ends it: rather too much is hidden than too
    little.

    rtsp://admin:hunter2@cam/1?token=abc -> rtsp://admin:***@cam/1?token=***
    """

    def hide(match: re.Match[str]) -> str:
        secret = "" if match["password"] is None else ":***"
        return f"{match['scheme']}{match['user']}{secret}@"

    return _QUERY_SECRET.sub(r"\1***", _USERINFO.sub(hide, text))
