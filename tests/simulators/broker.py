"""A real mosquitto that can be killed, frozen and brought back, a listener to it, and a certificate authority."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, final

import trustme
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

PATIENCE_S = 20.0
PORTS = (20_000, 32_000)
"""Below those that Linux gives to connections, and above those of services."""
ADMIN = "admin"
"""Where a broker has users, the one that tests listen as; it has the password PASSWORD and, in an ACL, all rights."""
PASSWORD = "correct horse"


def missing() -> str:
    """Why no broker can be started here; empty when one can."""
    return "" if shutil.which("mosquitto") else "no mosquitto: run tests/install-servers.sh"


def free_port() -> int:
    """A port of the loopback device that nobody listens on.

    It is none of those that the kernel gives to connections: somebody else could have it before it is listened on, or
    a client that tries to reach it again and again could be given it and meet itself (`ip_local_port_range`).
    """
    while True:
        port = random.SystemRandom().randrange(*PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(what: Callable[[], object], reason: str | Callable[[], str], patience_s: float = PATIENCE_S) -> None:
    """Wait until `what()` is true; a failure names `reason`, or what that says then.

    Tests state an order of events by it, never a speed.
    """
    deadline = time.monotonic() + patience_s
    while not what():
        if time.monotonic() > deadline:
            raise AssertionError(
                f"waited {patience_s:.0f} s in vain: {reason if isinstance(reason, str) else reason()}"
            )
        time.sleep(0.01)


@dataclass(frozen=True)
class Certificates:
    """PEM files of one authority: its own, the broker's for 127.0.0.1 and localhost, and one client's."""

    ca: Path
    server: Path
    client: Path

    @classmethod
    def issue(cls, folder: Path) -> Certificates:
        authority = trustme.CA()
        paths = cls(folder / "ca.pem", folder / "server.pem", folder / "client.pem")
        folder.mkdir(parents=True, exist_ok=True)
        authority.cert_pem.write_to_path(paths.ca)
        authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(paths.server)
        authority.issue_cert("board@example.org").private_key_and_cert_chain_pem.write_to_path(paths.client)
        return paths


@final
@dataclass
class Broker:
    """Listens on a free port of the loopback device, the same one after a restart. Nothing is kept on disk.

    users: name -> password; none = anybody. acl: lines of an acl_file. certificates: TLS, and clients must show one.
    options: further lines of the configuration. verbose: it logs every packet.
    """

    folder: Path
    users: dict[str, str] = field(default_factory=dict)
    acl: str = ""
    certificates: Certificates | None = None
    options: tuple[str, ...] = ()
    verbose: bool = True
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.kill()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "mosquitto.log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start and wait until it takes connections."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "mosquitto.conf"
        config.write_text("\n".join(self._config()) + "\n", encoding="utf-8")
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["mosquitto", *["-v"] * self.verbose, "-c", str(config)], stdout=log, stderr=log
            )
        wait_until(self._listens, f"mosquitto on port {self.port}")

    def kill(self) -> None:
        """End it as a crash does; what it had retained is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """From now on it neither reads nor answers, while the kernel goes on accepting for it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _listens(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"mosquitto has ended:\n{self.log}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _config(self) -> list[str]:
        lines = [f"listener {self.port} 127.0.0.1", "persistence false", "log_dest stderr", *self.options]
        lines.append(f"allow_anonymous {'false' if self.users else 'true'}")
        if os.geteuid() == 0:
            lines.append("user root")  # else it may not read the files of this test
        if self.users:
            lines.append(f"password_file {self._password_file()}")
        if self.acl:
            acl = self.folder / "acl"
            acl.write_text(f"user {ADMIN}\ntopic readwrite #\n{self.acl}\n", encoding="utf-8")
            lines.append(f"acl_file {acl}")
        if self.certificates is not None:
            lines += [f"certfile {self.certificates.server}", f"keyfile {self.certificates.server}"]
            lines += [f"cafile {self.certificates.ca}", "require_certificate true"]
        return lines

    def _password_file(self) -> Path:
        """`mosquitto_passwd -U` turns clear text into hashes."""
        path = self.folder / "passwords"
        users = {ADMIN: PASSWORD, **self.users}
        path.write_text("".join(f"{user}:{password}\n" for user, password in users.items()), encoding="utf-8")
        path.chmod(0o600)
        subprocess.run(["mosquitto_passwd", "-U", str(path)], check=True, capture_output=True)
        return path


@dataclass(frozen=True)
class Heard:
    """content_type, payload_format: what MQTT 5 says of the payload."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    content_type: str | None
    payload_format: int | None


@final
class Listener:
    """A plain paho client that keeps all it hears; it comes back by itself too."""

    def __init__(self, broker: Broker, topic_filter: str = "#") -> None:
        self._heard: list[Heard] = []
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._filter = topic_filter
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        if broker.users:
            self._client.username_pw_set(ADMIN, PASSWORD)
        if broker.certificates is not None:
            client = str(broker.certificates.client)
            self._client.tls_set(str(broker.certificates.ca), certfile=client, keyfile=client)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(self._filter, qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", broker.port)

    def __enter__(self) -> Listener:
        self._client.loop_start()
        assert self._ready.wait(PATIENCE_S), "the listener could not subscribe"
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def heard(self, topic: str | None = None) -> list[Heard]:
        """All so far, or all of one topic, oldest first."""
        with self._lock:
            return [heard for heard in self._heard if topic is None or heard.topic == topic]

    def payloads(self, topic: str) -> list[bytes]:
        return [heard.payload for heard in self.heard(topic)]

    def forget(self) -> None:
        with self._lock:
            self._heard.clear()

    def _on_message(self, _: Client, __: Any, message: MQTTMessage) -> None:
        properties = message.properties
        with self._lock:
            self._heard.append(
                Heard(
                    message.topic,
                    bytes(message.payload),
                    message.qos,
                    message.retain,
                    getattr(properties, "ContentType", None),
                    getattr(properties, "PayloadFormatIndicator", None),
                )
            )
