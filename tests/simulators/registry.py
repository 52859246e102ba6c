"""A real docker-registry of Debian's, with TLS and logins where that is asked for."""

from __future__ import annotations

import ctypes
import ctypes.util
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import final

from tests.simulators.broker import Certificates, free_port, wait_until

USER = "board"
PASSWORD = "correct horse: battery@staple"


def missing() -> str:
    """Why no registry can be started here; empty when one can."""
    return "" if shutil.which("docker-registry") else "no docker-registry: run tests/install-servers.sh"


@final
@dataclass
class RegistryServer:
    """Listens on a free port of the loopback device, the same one after a restart; what it has stays in `folder`.

    certificates: TLS. login: asks for USER and PASSWORD. token_realm: sends clients there for a token, signed by
    `token_certificate`.
    """

    folder: Path
    certificates: Certificates | None = None
    login: bool = False
    token_realm: str = ""
    token_certificate: Path | None = None
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    def __enter__(self) -> RegistryServer:
        self.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.kill()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """Of a repository in it, without login."""
        return f"oci{'+https' if self.certificates else ''}://{self.host}/models/tiny"

    @property
    def log(self) -> str:
        return (self.folder / "registry.log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start and wait until it takes connections."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "config.yml"
        config.write_text("\n".join(self._config()) + "\n", encoding="utf-8")
        with (self.folder / "registry.log").open("ab") as log:
            self._process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)
        wait_until(self._listens, f"docker-registry on port {self.port}")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """From now on it neither reads nor answers, while the kernel goes on accepting for it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def _listens(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"docker-registry has ended:\n{self.log}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _config(self) -> list[str]:
        lines = [
            "version: 0.1",
            "log: {level: warn, accesslog: {disabled: true}}",
            f"storage: {{filesystem: {{rootdirectory: '{self.folder / 'data'}'}}}}",
            "http:",
            f"  addr: 127.0.0.1:{self.port}",
            "  secret: of-these-tests",
        ]
        if self.certificates is not None:
            lines.append(f"  tls: {{certificate: '{self.certificates.server}', key: '{self.certificates.server}'}}")
        if self.login:
            path = self.folder / "htpasswd"
            path.write_text(f"{USER}:{_bcrypt(PASSWORD)}\n", encoding="ascii")
            lines += ["auth:", f"  htpasswd: {{realm: tests, path: '{path}'}}"]
        if self.token_realm:
            signed = f"issuer: tests, rootcertbundle: '{self.token_certificate}'"
            lines += ["auth:", f"  token: {{realm: '{self.token_realm}', service: tests, {signed}}}"]
        return lines


def _bcrypt(password: str) -> str:
    """As htpasswd -B writes it, by the C library: Python has none, and 2^5 rounds do for a test."""
    library = ctypes.CDLL(ctypes.util.find_library("crypt") or "libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    hashed: bytes | None = library.crypt(password.encode(), b"$2y$05$saltsaltsaltsaltsaltse")
    assert hashed is not None
    assert hashed.startswith(b"$2y$05$"), hashed
    return hashed.decode()
