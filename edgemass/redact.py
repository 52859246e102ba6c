"""Addresses without their passwords, for logs, errors, status and metrics."""

from __future__ import annotations

import re
from urllib.parse import quote

_WORD = re.compile(r"\S+")
# Of other schemes it cannot be told whether `x://y@host` is a user or, behind a user x, a password that begins with //.
_SCHEME = re.compile(
    r"(?i)(?<![a-z0-9])(?:rtsps?|rtmps?|https?|mqtts?|wss?|tcp|udp|tls|ssl|srt|rtp|s?ftp|ssh|oci|serial)\Z"
)
_COLON = re.compile(":|%3A", re.IGNORECASE)
# The long ones in compounds too, as userpwd and authToken; the short ones also end words that are no secrets.
_LONG = r"[\w-]*(?:password|passwd|passphrase|pwd|token|apikey|secret|signature|sessionid)"
_SHORT = r"(?:[\w-]*[_-])?(?:pass|loginpas|pw|key|auth|sig)"
# Some cameras want their password in the path: rtsp://cam/user=admin_password=..._channel=1; GStreamer in a property:
# user-pw=...; the payload of a rule may begin with one.
_KEY = rf"(?i)((?<![\w-])(?:{_LONG}|{_SHORT})[ \t]{{0,4}}(?:=|%3D)[ \t]{{0,4}})"
_SECRET = re.compile(_KEY + r"""((?:\\?"[^"\n]*"|\\?'[^'\n]*')[^&\s]*|[^&\s]+)""")
_SECRET_OF_ADDRESS = re.compile(_KEY + r"[^&]+")

# In logs and documents: password: hunter2, "token": "abc", Authorization: Bearer abc
_NAMED = re.compile(
    r"""(?i)((?:password|passwd|passphrase|pwd|(?<![^\W_])pw|secret|token|api_?key|credential|authorization)["']?\s{0,4}[:=]\s{0,4})"""
    r"""("[^"\n]*"|'[^'\n]*'|(?:(?:Basic|Bearer|Digest)[ ])?[^\s,;}&]+)"""
)

SHORTEST = 4
"""Characters; what is shorter stands in every text by chance."""
MOST_HIDDEN = 64
_hidden: tuple[str, ...] = ()


def hide(secret: str) -> None:
    """Hide this text wherever it stands from now on, plain or percent-encoded; of many, the newest MOST_HIDDEN.

    For secrets of which this process has read the contents; those below SHORTEST characters are left alone.
    """
    global _hidden  # noqa: PLW0603 (one list for the process, as the secrets are)
    if len(secret) >= SHORTEST:
        forms = (secret, quote(secret, safe=""))
        newest = tuple(dict.fromkeys((*forms, *_hidden)))[: 2 * MOST_HIDDEN]
        _hidden = newest


def redact(text: str) -> str:
    """Replace passwords in every address that `text` holds; user names stay, they help and open nothing.

    A password may hold any character but a space, so the last `@` of a word ends it: rather too much is hidden than too
    little. An address whose scheme was forgotten or misspelt is hidden too. Takes time in proportion to the text.

    rtsp://admin:hunter2@cam/1?token=abc -> rtsp://admin:***@cam/1?token=***
    """
    text = _without_hidden(text)
    return _SECRET.sub(r"\1***", _WORD.sub(_hide, text) if "@" in text else text)


def redact_log(text: str) -> str:
    """`redact` for texts of any origin, such as logs: what stands behind the name of a secret is hidden too.

    mqtt password: hunter2 -> mqtt password: ***
    """
    return _NAMED.sub(r"\1***", redact(text))


def redact_address(address: str) -> str:
    """`redact` for a text that is known to be one address: spaces may be part of its password."""
    return _SECRET_OF_ADDRESS.sub(r"\1***", _without_password(_without_hidden(address)))


def _without_hidden(text: str) -> str:
    """Without the secrets that were told to `hide`, the longest first: one may be part of another."""
    for secret in sorted(_hidden, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _hide(match: re.Match[str]) -> str:
    return _without_password(match[0])


def _without_password(word: str) -> str:
    """The word with everything hidden from the first `:` (or %3A) behind its scheme to its last `@`."""
    login, at, rest = word.rpartition("@")
    if not at:
        return word
    scheme, scheme_end, behind = login.partition("://")
    if ":" in scheme or not _SCHEME.search(scheme):
        scheme, scheme_end, behind = "", "", login
    colon = _COLON.search(behind)
    user = f"{behind[: colon.start()]}:***" if colon else behind
    return f"{scheme}{scheme_end}{user}@{rest}"
