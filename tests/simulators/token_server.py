"""A token server for docker-registry, by docker.com's specification of token authentication."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, final
from urllib.parse import parse_qs, urlsplit

import trustme
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_PATIENCE_S = 20.0


@final
@dataclass
class TokenServer:
    """Gives whoever knows user and password a token for what they ask, over TLS.

    life_s: of a token. asked: queries that came, as {"scope": "..."}.
    """

    folder: Path
    user: str
    password: str
    life_s: int = 300
    asked: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.ca = self.folder / "token-ca.pem"
        authority.cert_pem.write_to_path(self.ca)
        issued = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA)
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self._chain = [base64.b64encode(ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())).decode()]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(context)
        outer = self

        class Handler(_Handler):
            tokens = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> TokenServer:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="tokens", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_PATIENCE_S)

    @property
    def realm(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}/token"

    def token(self, scope: str) -> str:
        """A JSON web token that docker-registry believes; scope: repository:<name>:<actions>."""
        kind, name, actions = scope.split(":")
        now = int(time.time())
        claims = {
            "iss": "tests",
            "sub": self.user,
            "aud": "tests",
            "exp": now + self.life_s,
            "nbf": now - 10,
            "iat": now,
            "jti": str(len(self.asked)),
            "access": [{"type": kind, "name": name, "actions": actions.split(",")}],
        }
        signed = f"{_part({'typ': 'JWT', 'alg': 'ES256', 'x5c': self._chain})}.{_part(claims)}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_base64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _part(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class _Handler(BaseHTTPRequestHandler):
    tokens: TokenServer
    timeout = _PATIENCE_S

    def do_GET(self) -> None:
        query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        self.tokens.asked.append(query)
        login = base64.b64encode(f"{self.tokens.user}:{self.tokens.password}".encode()).decode()
        known = self.headers.get("Authorization") == f"Basic {login}"
        answer = {"token": self.tokens.token(query["scope"]), "expires_in": self.tokens.life_s} if known else {}
        self.send_response(200 if known else 401)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name in the base class)
        """Tests look at `asked`."""
