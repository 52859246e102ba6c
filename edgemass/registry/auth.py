"""Logins: basic, and the bearer tokens of the distribution specification (docs.docker.com/registry/spec/auth/token)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import final

import msgspec

from edgemass.clock import Clock
from edgemass.errors import ConfigError, RegistryError
from edgemass.registry.reference import Reference
from edgemass.registry.transport import Transport

_MAX_FILE_BYTES = 1 << 20
_MAX_TOKEN_BYTES = 64 * 1024
_DEFAULT_LIFE_S = 60.0  # of a token that does not say, by Docker's specification
_LONGEST_LIFE_S = 86_400.0
_LIFE_SLACK_S = 5.0
_NS = 1_000_000_000

_SCHEME = re.compile(r"\s*,?\s*(?P<scheme>[A-Za-z][A-Za-z0-9._-]*)(?=\s|$)")
_PARAMETER = re.compile(r'\s*,?\s*(?P<key>[A-Za-z_]+)\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,"]+))')
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=:-]+")


class Login(msgspec.Struct, frozen=True):
    """refresh_token: an `identitytoken` of `docker login`, instead of a password. origin: whence it is, for errors."""

    user: str = ""
    password: str = ""
    refresh_token: str = ""
    origin: str = ""

    def __repr__(self) -> str:
        return f"Login({self.user!r}, from {self.origin})"

    def basic(self) -> str:
        """The Authorization header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


class _DockerEntry(msgspec.Struct):
    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""


class _DockerConfig(msgspec.Struct):
    auths: dict[str, _DockerEntry] = {}


class _TokenAnswer(msgspec.Struct):
    token: str = ""
    access_token: str = ""
    expires_in: float = _DEFAULT_LIFE_S


class Challenge(msgspec.Struct, frozen=True):
    """scheme: lower case."""

    scheme: str
    parameters: dict[str, str]


def find_login(reference: Reference, transport: Transport) -> Login | None:
    """That of the address, else of `transport`, else of Docker's file.

    Raises:
        ConfigError: a file that holds it cannot be read.
    """
    if reference.user and reference.password:
        return Login(reference.user, reference.password, origin="the address")
    user = reference.user or transport.user
    if user:
        if transport.password_file is None:
            raise ConfigError(f"{reference.address}: user {user} has no password; give the file that holds it")
        password = _read(Path(transport.password_file), "password_file").decode("utf-8", "replace").rstrip("\r\n")
        return Login(user, password, origin=transport.password_file)
    if transport.docker_config is not None:
        host = reference.base_url.partition("://")[2]
        return _docker_login(Path(transport.docker_config), host)
    return None


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise ConfigError(f"{what}: cannot read {path}: {error.strerror}") from error


def _docker_login(path: Path, host: str) -> Login | None:
    try:
        auths = msgspec.json.decode(_read(path, "logins of docker"), type=_DockerConfig).auths
        entry = next((entry for name, entry in auths.items() if _host(name) == host), None)
        if entry is None:
            return None
        user, _, password = base64.b64decode(entry.auth, validate=True).decode().partition(":")
    except (ValueError, RecursionError, binascii.Error) as error:
        raise ConfigError(f"{path}: no logins as `docker login` writes them ({error})") from error
    login = Login(user or entry.username, password or entry.password, entry.identitytoken, str(path))
    return login if login.user or login.refresh_token else None


def _host(name: str) -> str:
    """Of a key in `auths`: a host, or an address with version, as older ones are."""
    return name.rpartition("://")[2].partition("/")[0]


def challenges(header: str) -> list[Challenge]:
    """What WWW-Authenticate asks for; what cannot be understood is passed over."""
    found: list[Challenge] = []
    position = 0
    while position < len(header):
        if found and (match := _PARAMETER.match(header, position)):
            value = match["plain"] if match["quoted"] is None else re.sub(r"\\(.)", r"\1", match["quoted"])
            found[-1].parameters[match["key"].lower()] = value
        elif match := _SCHEME.match(header, position):
            found.append(Challenge(match["scheme"].lower(), {}))
        else:
            break
        position = match.end()
    return found


Ask = Callable[[str, Mapping[str, str], Mapping[str, str] | None, str | None], bytes]
"""Ask a token server: (address, query, form to post or None, Authorization) -> body of its answer.

Raises: RegistryError, RegistryUnavailableError.
"""


@final
class Authorization:
    """What is sent along, found out from what the registry asks for."""

    def __init__(self, told: str, login: Login | None, ask: Ask, clock: Clock, *, plain: bool) -> None:
        """told: the registry in errors. plain: it is spoken to without TLS, so its token server may be, too."""
        self._told = told
        self._login = login
        self._ask = ask
        self._clock = clock
        self._plain = plain
        self._basic = False
        self._tokens: dict[str, tuple[str, int]] = {}  # scope -> token, monotonic time of its end
        self.user = login.user if login else ""

    def header(self, scope: str) -> str | None:
        """For a request that needs `scope`, as far as is known."""
        if self._basic and self._login is not None:
            return self._login.basic()
        token, ends_ns = self._tokens.get(scope, ("", 0))
        return f"Bearer {token}" if token and self._clock.monotonic_ns() < ends_ns else None

    def answer(self, header: str, scope: str) -> bool:
        """Do what a 401 asks for; whether it is worth to try again.

        Raises:
            RegistryError: the token server refuses, or must not be asked.
            RegistryUnavailableError: it cannot be reached.
        """
        asked = {challenge.scheme: challenge.parameters for challenge in challenges(header)}
        if "bearer" in asked:
            self._tokens[scope] = self._fetch_token(asked["bearer"], scope)
            return True
        if "basic" in asked and self._login is not None and self._login.password and not self._basic:
            self._basic = True
            return True
        return False

    def _fetch_token(self, asked: Mapping[str, str], scope: str) -> tuple[str, int]:
        realm = asked.get("realm", "")
        if not realm.startswith("https://") and not (self._plain and realm.startswith("http://")):
            raise RegistryError(f"{self._told}: its token server is {realm[:200]!r}, wanted one that speaks TLS")
        query = {"scope": asked.get("scope", scope)}
        if "service" in asked:
            query["service"] = asked["service"]
        login = self._login
        if login is not None and login.refresh_token:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": login.refresh_token,
                "client_id": "edgemass",
                **query,
            }
            body = self._ask(realm, {}, form, None)
        else:
            if login is not None:
                query["account"] = login.user
            body = self._ask(realm, query, None, login.basic() if login else None)
        started_ns = self._clock.monotonic_ns()
        try:
            told = msgspec.json.decode(body, type=_TokenAnswer)
        except (ValueError, RecursionError) as error:
            raise RegistryError(f"{self._told}: its token server {realm} does not answer as one ({error})") from error
        token = told.token or told.access_token
        if not _TOKEN.fullmatch(token) or len(token) > _MAX_TOKEN_BYTES:
            raise RegistryError(f"{self._told}: its token server {realm} gave no token")
        life_s = min(max(told.expires_in, _DEFAULT_LIFE_S), _LONGEST_LIFE_S) - _LIFE_SLACK_S
        return token, started_ns + round(life_s * _NS)
