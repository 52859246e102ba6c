"""How to reach a broker, read from an address.

mqtt://[user[:password]@]host[:port][?password_file=F&ca=F&cert=F&key=F&client_id=ID&version=5|3.1.1]

mqtts://, or any of ca, cert and key, means TLS; the port is 1883, with TLS 8883. Without `ca` the system's certificate
authorities are believed. `cert` may hold the key too. Without `version` MQTT 5 is tried first, then 3.1.1.
"""

from __future__ import annotations

import difflib
import logging
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from edgemass.errors import ConfigError, UsageError
from edgemass.redact import redact_address

logger = logging.getLogger(__name__)

Version = Literal["5", "3.1.1"]

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_KEYS = ("password_file", "ca", "cert", "key", "client_id", "version")


@dataclass(frozen=True, kw_only=True)
class MqttOptions:
    """One broker and who we are to it. Files are read anew for every connection, so a renewed one is taken up.

    client_id: None leaves it to whoever connects. version: None = 5, then 3.1.1.
    """

    host: str
    port: int
    tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    client_id: str | None = None
    version: Version | None = None

    @property
    def where(self) -> str:
        """host:port, for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def with_client_id(self, client_id: str) -> MqttOptions:
        """The same with this client id where the address gives none."""
        return self if self.client_id else replace(self, client_id=client_id)

    def read_password(self) -> str | None:
        """The password, from its file where there is one.

        Raises:
            ConfigError: the file cannot be read.
        """
        if self.password_file is None:
            return self.password
        try:
            return self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the MQTT password_file {self.password_file}: {_reason(error)}") from error

    def tls_context(self) -> ssl.SSLContext | None:
        """What TLS needs; None without TLS.

        Raises:
            ConfigError: a certificate or key cannot be read.
        """
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as error:
            raise ConfigError(f"cannot use ca={self.ca} for MQTT: {_reason(error)}; it must be a PEM file") from error
        if self.cert is not None:
            try:
                # A service has nobody to ask for a passphrase: the empty one makes an encrypted key an error.
                context.load_cert_chain(self.cert, self.key, password="")
            except OSError as error:
                named = f"cert={self.cert}" + (f", key={self.key}" if self.key else "")
                raise ConfigError(
                    f"cannot use {named} for MQTT: {_reason(error)}; give PEM files that belong together, the key "
                    "without a passphrase"
                ) from error
        return context


def parse(uri: str) -> MqttOptions:
    """Read an address, and its files once, so that what is wrong with them is known at once.

    Raises:
        UsageError: the address cannot be read.
        ConfigError: a file that it names cannot be used.
    """
    options = _read(uri)
    _check(options, redact_address(uri))
    return options


def client_of(uri: str) -> tuple[str, int, str | None]:
    """Host, port and client id that an address asks for: two clients with the same throw each other out for ever.

    Names of this machine count as one. Nothing is looked up, and no file is read.

    Raises:
        UsageError: the address cannot be read.
    """
    options = _read(uri)
    host = options.host.rstrip(".")
    return "localhost" if host in _THIS_MACHINE else host, options.port, options.client_id


def _read(uri: str) -> MqttOptions:
    shown = redact_address(uri)
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{shown} is not an MQTT address: {error}; write mqtt://[user@]host[:port]") from error
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise UsageError(f"{shown} is not an MQTT address; write mqtt://[user@]host[:port] or mqtts://...")
    if parts.path.strip("/") or parts.fragment:
        raise UsageError(f"{shown} has something after the host; topics are fixed, write mqtt://[user@]host[:port]")
    query = _query(parts.query, shown)
    if "key" in query and "cert" not in query:
        raise UsageError(f"{shown} gives key without cert; a client certificate needs both")
    tls = parts.scheme == "mqtts" or bool({"ca", "cert"} & query.keys())
    return MqttOptions(
        host=parts.hostname,
        port=port or (8883 if tls else 1883),
        tls=tls,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        client_id=query.get("client_id"),
        version=_version(query.get("version"), shown),
        **{name: Path(query[name]) for name in ("password_file", "ca", "cert", "key") if name in query},
    )


def _query(text: str, shown: str) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if name not in _KEYS:
            near = difflib.get_close_matches(name, _KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_KEYS)}"
            raise UsageError(f"{shown}: unknown option {name!r}; {hint}")
        if not value:
            raise UsageError(f"{shown}: option {name} is empty")
        if name in query:
            raise UsageError(f"{shown}: option {name} is given twice")
        query[name] = value
    return query


def _version(text: str | None, shown: str) -> Version | None:
    if text not in (None, "5", "3.1.1"):
        raise UsageError(f"{shown}: version must be 5 or 3.1.1, found {text!r}")
    return cast("Version | None", text)


def _check(options: MqttOptions, shown: str) -> None:
    if options.password and options.password_file:
        raise UsageError(f"{shown} gives a password and a password_file; keep the file")
    if options.user is None and (options.password or options.password_file):
        raise UsageError(f"{shown} gives a password without a user; write mqtt://user@host?password_file=FILE")
    if options.password:
        logger.warning(
            "the MQTT address %s holds its password, which every user of this machine can read from the process list; "
            "use password_file=FILE",
            shown,
        )
    options.read_password()
    options.tls_context()


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "not PEM"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)
