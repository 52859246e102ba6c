"""A repository of trust metadata with all its keys, and what somebody in between may do to it.

Time is handed in, so that metadata can be signed in the past and a board can wake up in 1970. Keys are made here.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, final

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile

from edgemass.messages import Desired
from edgemass.oci import sha256
from edgemass.registry.transport import Transport
from edgemass.registry.trust import Trust, orders
from edgemass.registry.trust.repository import Repository
from edgemass.registry.trust.rules import Release

NOW = datetime.now(timezone.utc).replace(microsecond=0)
MODEL = b"the OCI manifest of a model"


@final
class BoardClock:
    """What a board believes the time to be; its monotonic clock is real."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def time_ns(self) -> int:
        return int(self.now.timestamp() * 1e9)

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        return event.wait(timeout_s)


def release(number: int, name: str = "door", **more: Any) -> Release:
    content = MODEL + str((name, number)).encode()
    return Release(name=name, digest=sha256(content), length=len(content), release=number, version=str(number), **more)


@final
@dataclass
class Honest:
    """The repository as its owner keeps it. keys: role -> signers; two of the three of root must sign."""

    folder: Path
    keys: dict[str, list[CryptoSigner]] = field(default_factory=dict)
    fleet: CryptoSigner = field(default_factory=CryptoSigner.generate_ed25519)
    now: datetime = NOW

    def __post_init__(self) -> None:
        for role, count in (("root", 3), ("targets", 1), ("snapshot", 1), ("timestamp", 1)):
            self.keys[role] = [CryptoSigner.generate_ed25519() for _ in range(count)]
        self.repository.create(self.keys, {"root": 2})  # type: ignore[arg-type]
        self.repository.add_fleet_key(self.fleet.public_key)
        self.publish(release(1))

    @property
    def repository(self) -> Repository:
        return Repository(self.folder, now=lambda: self.now)

    @property
    def all_keys(self) -> list[CryptoSigner]:
        return [key for keys in self.keys.values() for key in keys]

    @property
    def root(self) -> bytes:
        """As it is embedded in devices."""
        return (self.folder / "1.root.json").read_bytes()

    def publish(self, *releases: Release) -> None:
        self.repository.add_releases(releases)
        self.repository.sign(self.all_keys)

    def refresh(self) -> None:
        self.repository.refresh(self.all_keys)

    def copy(self, to: Path) -> Path:
        """The metadata as it is now."""
        shutil.copytree(self.folder, to)
        return to

    def order(self, digest: str, **more: Any) -> bytes:
        told: dict[str, Any] = {
            "device": "pi",
            "slot": "main",
            "sequence": 1,
            "issued": f"{self.now:%Y-%m-%dT%H:%M:%SZ}",
            "expires": f"{self.now + timedelta(days=30):%Y-%m-%dT%H:%M:%SZ}",
            "name": "door",
            "digest": digest,
        }
        return orders.sign(Desired(**{**told, **more}), self.fleet)


@final
@dataclass
class Victim:
    """A board. cache: what it remembers of the metadata."""

    folder: Path
    root: bytes
    clock: BoardClock = field(default_factory=BoardClock)

    def refresh(self, mirror: Path | str, **transport: Any) -> Trust:
        """Ask for news there; raises what the board says to it."""
        trust = Trust(self.folder, self.root, str(mirror), Transport(**transport), self.clock)
        trust.refresh()
        return trust

    def tear_cache(self) -> None:
        """A power cut tore what the board has cached, but for its floor."""
        shutil.rmtree(self.folder / "metadata")


def resign(folder: Path, name: str, keys: list[CryptoSigner], **changes: Any) -> None:
    """Change fields of a file of the metadata and sign it with these keys only."""
    path = folder / name
    metadata: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
    for field_name, value in changes.items():
        setattr(metadata.signed, field_name, value)
    metadata.signatures.clear()
    for key in keys:
        metadata.sign(key, append=True)
    path.write_bytes(metadata.to_bytes())


def online_takeover(honest: Honest, folder: Path, *, targets: bytes, timestamp_version: int = 1000) -> None:
    """What a thief of both online keys can serve: any targets file, named by a snapshot and timestamp of his own."""
    version = Metadata.from_bytes(targets).signed.version
    (folder / f"{version}.targets.json").write_bytes(targets)
    newest = max(folder.glob("*.snapshot.json"), key=lambda path: int(path.name.split(".")[0]))
    number = timestamp_version
    target = folder / f"{number}.snapshot.json"
    shutil.copy(newest, target)
    meta = {"targets.json": MetaFile(version)}
    resign(folder, target.name, honest.keys["snapshot"], version=number, meta=meta)
    resign(folder, "timestamp.json", honest.keys["timestamp"], version=number, snapshot_meta=MetaFile(number))


@contextmanager
def misbehaving(folder: Path, how: str) -> Iterator[str]:
    """Serve metadata badly; the address. how: "endless" (a timestamp without an end), "slow" (a byte every 50 ms)."""
    done = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = folder / self.path.rpartition("/")[2]
            if self.path.endswith("timestamp.json"):
                self.send_response(200)
                self.end_headers()
                piece = b" " * 65536 if how == "endless" else b" "
                while not done.is_set():
                    try:
                        self.wfile.write(piece)
                    except OSError:
                        return
                    if how == "slow":
                        done.wait(0.05)
                return
            self.send_response(200 if path.is_file() else 404)
            self.end_headers()
            if path.is_file():
                self.wfile.write(path.read_bytes())

        def log_message(self, *_: Any) -> None:
            """Not in a test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        done.set()
        server.shutdown()
        server.server_close()
