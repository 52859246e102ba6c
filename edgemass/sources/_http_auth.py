"""What a camera wants to hear after 401: basic (RFC 7617) and digest (RFC 7616) authentication."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

_SCHEME = re.compile(r"(?i)(?:^|,)\s*(basic|digest)(?:\s+|$)")
_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_DIGESTS = {  # strongest first
    "SHA-256": hashlib.sha256,
    "MD5": hashlib.md5,
}


@dataclass(frozen=True)
class Credentials:
    user: str
    password: str


def authorization(
    challenges: Sequence[str], credentials: Credentials, *, method: str, target: str, cnonce: str
) -> str | None:
    """The Authorization header for the strongest challenge that is understood; None when none is.

    challenges: the values of every WWW-Authenticate header. target: path and query as they stand in the request.
    cnonce: a random word.
    """
    parsed = [item for challenge in challenges for item in _parse(challenge)]
    for algorithm in _DIGESTS:
        for scheme, parameters in parsed:
            asked = parameters.get("algorithm", "MD5").upper().removesuffix("-SESS")
            qops = [word.strip() for word in parameters.get("qop", "").lower().split(",") if word.strip()]
            usable = "nonce" in parameters and "realm" in parameters and (not qops or "auth" in qops)
            if scheme == "digest" and asked == algorithm and usable:
                return _digest(parameters, algorithm, credentials, f"{method}:{target}", cnonce)
    if any(scheme == "basic" for scheme, _ in parsed):
        pair = f"{credentials.user}:{credentials.password}".encode()
        return "Basic " + base64.b64encode(pair).decode("ascii")
    return None


def _parse(challenge: str) -> list[tuple[str, dict[str, str]]]:
    """(scheme, parameters) of each challenge in one header; both names in lower case."""
    starts = list(_SCHEME.finditer(challenge))
    ends = [*(match.start() for match in starts[1:]), len(challenge)]
    found = []
    for start, end in zip(starts, ends, strict=False):
        pairs = _PARAMETER.finditer(challenge, start.end(), end)
        parameters = {pair[1].lower(): _unescape(pair[2]) if pair[2] is not None else pair[3] for pair in pairs}
        found.append((start[1].lower(), parameters))
    return found


def _digest(parameters: dict[str, str], algorithm: str, credentials: Credentials, request: str, cnonce: str) -> str:
    """RFC 7616, 3.4; without qop as RFC 2069 had it, which old cameras still speak."""

    def hashed(*words: str) -> str:
        return _DIGESTS[algorithm](":".join(words).encode(), usedforsecurity=False).hexdigest()

    realm, nonce = parameters["realm"], parameters["nonce"]
    secret = hashed(credentials.user, realm, credentials.password)
    if parameters.get("algorithm", "").upper().endswith("-SESS"):
        secret = hashed(secret, nonce, cnonce)
    method, _, target = request.partition(":")
    words = {"username": credentials.user, "realm": realm, "nonce": nonce, "uri": target}
    bare = {"algorithm": parameters["algorithm"]} if "algorithm" in parameters else {}
    if parameters.get("qop"):
        bare |= {"qop": "auth", "nc": "00000001"}
        words |= {
            "cnonce": cnonce,
            "response": hashed(secret, nonce, bare["nc"], cnonce, "auth", hashed(method, target)),
        }
    else:
        words["response"] = hashed(secret, nonce, hashed(method, target))
    if "opaque" in parameters:
        words["opaque"] = parameters["opaque"]
    quoted = [f'{name}="{_escape(value)}"' for name, value in words.items()]
    return "Digest " + ", ".join([*quoted, *(f"{name}={value}" for name, value in bare.items())])


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
