"""Layout folders with releases in them, and a server of one on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import final

import uvicorn

from edgemass import manifest, oci
from edgemass.manifest import Variant
from edgemass.registry import pushing
from edgemass.registry.protocol import Registry
from edgemass.registry.server import Login, application
from tests.simulators.broker import wait_until
from tests.simulators.bundles import made_of


@dataclass(frozen=True)
class Released:
    """A bundle of made-up weights. manifest: OCI's. blobs: digest -> content."""

    manifest: bytes
    blobs: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        return oci.sha256(self.manifest)


def released(files: Mapping[str, bytes], name: str = "toy") -> Released:
    """files: name -> weights; each is a variant."""
    blobs = {oci.sha256(data): data for data in files.values()}
    variants = [
        Variant(name=file, file=file, runtime="onnx", sha256=oci.sha256(data).partition(":")[2], size_bytes=len(data))
        for file, data in files.items()
    ]
    made = made_of(*variants, name=name).manifest
    config = manifest.to_json(made)
    return Released(oci.oci_manifest(made), {**blobs, oci.sha256(config): config})


def publish(
    registry: Registry, files: Mapping[str, bytes], tag: str = "1", delta_from: Sequence[Released] | None = None
) -> Released:
    """Push it, with deltas if they are asked for."""
    made = released(files)
    bases = None if delta_from is None else [base.manifest for base in delta_from]
    pushing.push(made.manifest, dict(made.blobs), registry, [tag], delta_from=bases)
    return made


@final
@dataclass
class LayoutServer:
    """`edgemass registry serve` in a thread of its own. login: asked of everybody."""

    folder: Path
    writable: bool = False
    login: Login = field(default_factory=Login)
    _held: ExitStack = field(default_factory=ExitStack, init=False, repr=False)
    port: int = field(default=0, init=False)

    def __enter__(self) -> LayoutServer:
        listening = self._held.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = listening.getsockname()[1]
        asgi = application(self.folder, writable=self.writable, login=self.login)
        server = uvicorn.Server(uvicorn.Config(asgi, log_level="error", lifespan="on", ws="none", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="layout-server")
        thread.start()
        self._held.callback(thread.join, 20)
        self._held.callback(setattr, server, "should_exit", True)
        wait_until(lambda: server.started, "the server of a layout folder")
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._held.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def address(self, repository: str = "toy") -> str:
        return f"oci://127.0.0.1:{self.port}/{repository}"
