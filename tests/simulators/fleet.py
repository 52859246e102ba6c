"""The cloud side: a registry, trust metadata that is served, a broker, and a fleet that signs orders."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import final

import msgspec
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edgemass.bundles import Bundle, write_new
from edgemass.bundles.folder import CARD
from edgemass.messages import Desired
from edgemass.registry.trust import keys, orders
from tests.simulators.board import DEVICE, PERSON
from tests.simulators.broker import Broker, Certificates, free_port, wait_until
from tests.simulators.daemon import edgemass
from tests.simulators.registry import PASSWORD, USER, RegistryServer


@final
class Fleet:
    """docker-registry with TLS and a login, `edgemass registry serve` for the metadata, mosquitto.

    Use it in a `with`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.certificates = Certificates.issue(folder / "certificates")
        self.registry = RegistryServer(folder / "registry", self.certificates, login=True)
        self.broker = Broker(folder / "broker")
        self.trust = folder / "models"
        self.password_file = folder / "password"
        self.password_file.write_text(PASSWORD, encoding="utf-8")
        self._port = free_port()
        self._metadata: subprocess.Popen[bytes] | None = None
        self._sequence = 0

    def __enter__(self) -> Fleet:
        self.trust.mkdir()
        self.run("trust", "init", str(self.trust))
        self.run("trust", "add-key", str(self.trust), "fleet", str(self.folder / "fleet.pub"))
        self.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """All servers; on the same ports as before."""
        self.registry.start()
        self.broker.start()
        command = [sys.executable, "-m", "edgemass", "registry", "serve", str(self.trust), "--writable"]
        self._metadata = subprocess.Popen([*command, "--listen", f"127.0.0.1:{self._port}"], stdout=subprocess.DEVNULL)
        wait_until(lambda: self._answers(), "the metadata")  # noqa: PLW0108

    def stop(self) -> None:
        """All of them are gone, as by a cut line."""
        self.registry.kill()
        self.broker.kill()
        if self._metadata is not None:
            self._metadata.kill()
            self._metadata.wait()
            self._metadata = None

    def _answers(self) -> bool:
        import socket

        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    @staticmethod
    def run(*arguments: str) -> str:
        done = edgemass(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def updates(self, *more: str) -> tuple[str, ...]:
        """Lines of a board's [updates]."""
        return (
            f'registry = "oci+https://{self.registry.host}/models/person"',
            f'metadata = "http://127.0.0.1:{self._port}/trust/"',
            f'trust = "{self.trust / "trust" / "1.root.json"}"',
            f'ca = "{self.certificates.ca}"',
            f'user = "{USER}"',
            f'password_file = "{self.password_file}"',
            *more,
        )

    def publish(self, bundle: Bundle, *sign: str) -> str:
        """Push and sign, as an operator does; the digest."""
        self.run(
            *("model", "push", str(bundle.folder)),
            f"oci+https://{self.registry.host}/models/person:{bundle.manifest.version}",
            *("--ca", str(self.certificates.ca), "--user", USER, "--password-file", str(self.password_file)),
        )
        self.run("trust", "sign", str(self.trust), str(bundle.folder), *sign)
        return bundle.digest

    def envelope(self, digest: str, *, device: str = DEVICE, slot: str = "main", sequence: int | None = None) -> bytes:
        """A signed order."""
        if sequence is None:
            self._sequence += 1
            sequence = self._sequence
        now = datetime.now(timezone.utc)
        desired = Desired(
            device=device,
            slot=slot,
            sequence=sequence,
            issued=f"{now:%Y-%m-%dT%H:%M:%SZ}",
            expires=f"{now + timedelta(days=30):%Y-%m-%dT%H:%M:%SZ}",
            name="edgemass-person",
            digest=digest,
        )
        return orders.sign(desired, keys.load(self.folder / "fleet.pem", None))

    def order(self, envelope: bytes, device: str = DEVICE) -> None:
        """Publish it, retained."""
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.connect("127.0.0.1", self.broker.port)
        client.loop_start()
        client.publish(f"edgemass/v1/{device}/slot/main/desired", envelope, qos=1, retain=True).wait_for_publish(20)
        client.disconnect()
        client.loop_stop()


def release(folder: Path, number: int) -> Bundle:
    """The person detector as a folder of its own, under another version."""
    from edgemass.bundles import load_bundle

    bundle = load_bundle(PERSON)
    made = msgspec.structs.replace(bundle.manifest, version=str(number), release=number)
    names = [*(variant.file for variant in made.variants), *(sample.image for sample in made.golden), CARD]
    return write_new(made, {name: bundle.folder / name for name in names}, folder)
