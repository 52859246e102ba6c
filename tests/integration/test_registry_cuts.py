"""Downloads over TLS from a real registry, cut at random bytes: nothing wrong arrives, next to nothing twice."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgemass import oci
from edgemass.errors import RegistryUnavailableError
from edgemass.registry.client import RegistryClient
from edgemass.registry.part_file import PartFile
from edgemass.registry.reference import Reference
from edgemass.registry.transport import Transport
from tests.simulators.broker import Certificates
from tests.simulators.faulty_proxy import Fault, FaultyProxy
from tests.simulators.manual_clock import ManualClock
from tests.simulators.registry import PASSWORD, USER, RegistryServer

pytestmark = pytest.mark.registry

CONTENT = random.Random(0).randbytes(3_000_017)
DESCRIPTOR = oci.Descriptor(oci.WEIGHTS, oci.sha256(CONTENT), len(CONTENT))
MOST_AT_ONCE = 400_000
MOST_TWICE = 64 * 1024
SEED = "EDGEMASS_CUTS_SEED"
"""Environment variable with the seed of a campaign that is to be repeated."""


@dataclass
class Cuts:
    """Draws where each connection ends, and notes what came twice between one connection and the next.

    twice: bytes that the client received, headers included, beyond those by which its file grew, for each connection.
    """

    draw: random.Random
    client: RegistryClient | None = None
    part: PartFile | None = None
    twice: list[int] = field(default_factory=list)
    _before: int | None = None

    def __call__(self) -> Fault:
        if self.client is not None and self.part is not None:
            surplus = self.client.received - self.part.size
            if self._before is not None:
                self.twice.append(surplus - self._before)
            self._before = surplus
        return Fault(cut=self.draw.randrange(MOST_AT_ONCE), reset=self.draw.random() < 0.5)

    def begin(self, client: RegistryClient, part: PartFile) -> None:
        self.client, self.part, self._before = client, part, None


@pytest.fixture(scope="module")
def transport(tmp_path_factory: pytest.TempPathFactory) -> Transport:
    folder = tmp_path_factory.mktemp("certificates")
    certificates = Certificates.issue(folder)
    (folder / "password").write_text(f"{PASSWORD}\n")
    return Transport(ca=str(certificates.ca), user=USER, password_file=str(folder / "password"), stall_s=10.0)


@pytest.fixture(scope="module")
def server(transport: Transport, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    folder = Path(str(transport.ca)).parent
    certificates = Certificates(folder / "ca.pem", folder / "server.pem", folder / "client.pem")
    with RegistryServer(tmp_path_factory.mktemp("registry"), certificates, login=True) as running:
        client = RegistryClient(Reference.parse(running.address), transport)
        client.put_blob(DESCRIPTOR.digest, DESCRIPTOR.size, CONTENT)
        client.close()
        yield running


@pytest.mark.parametrize(
    "cuts",
    [pytest.param(150, id="sample"), pytest.param(10_000, id="campaign", marks=[pytest.mark.slow])],
)
def test_cuts_at_random_bytes_neither_damage_a_file_nor_cost_much(
    cuts: int, server: RegistryServer, transport: Transport, tmp_path: Path
) -> None:
    seed = int(os.environ.get(SEED, 0 if cuts < 1000 else random.SystemRandom().randrange(10**9)))
    print(f"{SEED}={seed}")
    plan = Cuts(random.Random(seed))
    files = 0
    with FaultyProxy(server.port, plan) as proxy:
        reference = Reference.parse(f"oci+https://127.0.0.1:{proxy.port}/models/tiny")
        while proxy.cuts < cuts:
            path = tmp_path / f"{files}.bin"
            fetch(reference, transport, path, plan)
            assert path.read_bytes() == CONTENT
            path.unlink()
            files += 1
        print(f"{proxy.cuts} cuts, {files} files, {max(plan.twice)} bytes twice at most, {proxy.sent} sent")
    assert max(plan.twice) <= MOST_TWICE


def fetch(reference: Reference, transport: Transport, path: Path, plan: Cuts) -> None:
    """As a device does: what a call left, the next one goes on with, in a new process."""
    while True:
        client = RegistryClient(reference, transport, clock=ManualClock(jump=True))
        try:
            with PartFile(path) as part:
                plan.begin(client, part)
                client.read_blob(DESCRIPTOR, part, lambda _done: None)
                part.finish()
                return
        except RegistryUnavailableError:
            continue
        finally:
            client.close()
