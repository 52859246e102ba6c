"""The device's side of trust: what is signed now, and never less than what was seen before.

python-tuf verifies signatures, thresholds, expiry, versions and consistency. Guards of our own, since it lacks them:
metadata is kept durably; a floor of versions is kept in two copies, so that a cache that is torn or thrown away does
not let an older repository in; and time never falls behind a moment that has passed for sure, so that nothing that has
expired becomes good again on a board that wakes up in 1970.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
from tuf.api import exceptions
from tuf.api.metadata import TargetFile
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from edgemass import RELEASED, durable
from edgemass.clock import Clock, clock_synced
from edgemass.errors import RegistryUnavailableError, StoreError, TrustError
from edgemass.messages import Desired
from edgemass.registry.transport import Transport
from edgemass.registry.trust import orders, rules
from edgemass.registry.trust.mirror import FOLDER, FolderFetcher, HttpFetcher
from edgemass.registry.trust.rules import Floor, Mark, Release

logger = logging.getLogger(__name__)

FLOORS = ("floor.json", "floor.copy.json")
ISSUED = "x-edgemass-issued"
"""Field of a timestamp: Unix time at which it was signed."""
_BUILT_S = datetime.fromisoformat(RELEASED).replace(tzinfo=timezone.utc).timestamp()
_SLACK_S = 86400.0  # by which the signer's clock may be ahead of a clock that the network has set
_LIMITS = UpdaterConfig(
    max_root_rotations=64,
    root_max_length=256_000,
    timestamp_max_length=8_192,
    snapshot_max_length=65_536,
    targets_max_length=5_000_000,
)


class Trust:
    """What this device trusts. `refresh` before anything else.

    folder: of what is remembered. root: the embedded root of trust, the bytes of an N.root.json.
    mirror: address or folder of the metadata.
    """

    def __init__(self, folder: Path, root: bytes, mirror: str, transport: Transport, clock: Clock) -> None:
        self._folder = folder
        self._root = root
        self._mirror = mirror
        self._transport = transport
        self._clock = clock
        self._floor = _read_floor(folder)
        self._updater: _Updater | None = None

    @property
    def floor_s(self) -> float:
        """Unix time that has passed for sure."""
        return max(_BUILT_S, self._floor.time_s)

    @property
    def now_s(self) -> float:
        """Unix time by which expiry is judged."""
        return max(self._clock.time_ns() / 1e9, self.floor_s)

    def refresh(self) -> None:
        """Fetch and verify what is new; afterwards the rest answers from memory.

        Raises:
            TrustError: the metadata is forged, incomplete, expired, or older than what was seen.
            RegistryUnavailableError: it cannot be reached now.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _translated(self._mirror), self._fetcher() as (fetcher, base):
            try:
                updater = self._verified(fetcher, base)
            except exceptions.ExpiredMetadataError:
                if not self._forget_time():
                    raise
                updater = self._verified(fetcher, base)
        seen = updater.seen()
        rules.check_floor(self._floor, seen)
        self._raise_floor(seen, updater)
        self._updater = updater

    def _verified(self, fetcher: FetcherInterface, base: str) -> _Updater:
        self._updater = _Updater(
            str(self._folder / "metadata"), base, fetcher=fetcher, config=_LIMITS, bootstrap=self._root
        )
        self._updater.judge_by(datetime.fromtimestamp(self.now_s, timezone.utc))
        self._updater.refresh()
        return self._updater

    def _forget_time(self) -> bool:
        """Time that was learned from timestamps whose keys were replaced since: a thief may have signed it."""
        assert self._updater is not None
        if not self._floor.time_keys or self._floor.time_keys == self._updater.timestamp_keys():
            return False
        self._floor = msgspec.structs.replace(self._floor, time_s=0.0, time_keys="")
        return True

    def release(self, name: str, digest: str) -> Release:
        """The signed release of that digest.

        Raises:
            TrustError: none is signed.
        """
        path = rules.release_path(name, digest)
        target = self._targets().get(path)
        if target is None:
            raise TrustError(f"{name} {digest} is not signed by the offline key; see `edgemass trust sign`")
        return _release(path, target)

    def releases(self) -> tuple[Release, ...]:
        """All that are signed; entries that are none are left out."""
        found = []
        for path, target in self._targets().items():
            if path.startswith(f"{rules.FLEET}/"):
                continue
            try:
                found.append(_release(path, target))
            except TrustError as error:
                logger.warning("%s", error)
        return tuple(found)

    def newest(self, name: str, hardware: tuple[str, ...]) -> Release:
        """Raises TrustError: nothing of that name is signed for this board."""
        return rules.newest(self.releases(), name, hardware)

    def desired(self, envelope: bytes, *, device: str, slot: str, last_sequence: int) -> Desired:
        """The order of an envelope, where the fleet signed it, for this slot of this device, and it still holds.

        Raises:
            TrustError: it must not be followed.
        """
        targets = self._targets()

        def key(keyid: str) -> str | None:
            target = targets.get(rules.fleet_path(keyid))
            return str(target.custom["ed25519"]) if target is not None and "ed25519" in (target.custom or {}) else None

        desired = orders.verify(envelope, key)
        orders.check(desired, device=device, slot=slot, last_sequence=last_sequence, now_s=self.now_s)
        return desired

    def _targets(self) -> dict[str, TargetFile]:
        assert self._updater is not None, "refresh first"
        return self._updater.targets()

    @contextmanager
    def _fetcher(self) -> Iterator[tuple[Any, str]]:
        if "://" not in self._mirror:
            yield FolderFetcher(Path(self._mirror)), FOLDER
            return
        transport = msgspec.structs.replace(self._transport, floor_s=max(self._transport.floor_s, self.floor_s))
        fetcher = HttpFetcher(transport, self._clock)
        try:
            yield fetcher, self._mirror
        finally:
            fetcher.close()

    def _raise_floor(self, seen: dict[str, Mark], updater: _Updater) -> None:
        """Remember; of this board's own clock only what the network has set, and never beyond what is signed."""
        time_s = updater.issued_s()
        if clock_synced():
            now_s = self._clock.time_ns() / 1e9
            time_s = min(max(time_s, min(now_s, updater.expires_s())), now_s + _SLACK_S)
        floor = rules.raised(self._floor, seen, time_s, updater.timestamp_keys())
        if floor == self._floor:
            return
        day = 86400.0
        if floor.marks == self._floor.marks and floor.time_s - self._floor.time_s < day:
            return  # an SD card wears out; a day of the clock changes no verdict but that of a frozen mirror
        self._floor = floor
        data = msgspec.json.encode(floor)
        try:
            for name in FLOORS:
                durable.write_bytes(self._folder / name, data, mode=0o600)
        except OSError as error:
            raise StoreError(f"cannot remember the trust metadata in {self._folder}: {error.strerror}") from error


class _Updater(Updater):
    """python-tuf's client, writing durably and judging expiry by a time that it is given."""

    def judge_by(self, now: datetime) -> None:
        self._trusted_set.reference_time = now

    def seen(self) -> dict[str, Mark]:
        root = self._trusted_set.root
        signed = {
            "root": root,
            "timestamp": self._trusted_set.timestamp,
            "snapshot": self._trusted_set.snapshot,
            "targets": self._trusted_set.targets,
        }
        return {
            # A root is followed step by step, whoever holds its keys now: its versions never begin anew.
            role: Mark(item.version, "" if role == "root" else rules.keys_mark(root.roles[role].keyids))
            for role, item in signed.items()
        }

    def targets(self) -> dict[str, TargetFile]:
        return self._trusted_set.targets.targets

    def issued_s(self) -> float:
        """When the timestamp was signed; 0 where it does not say. Never after its own end, nor after that of what is
        signed offline: who stole the online keys cannot move the time beyond.
        """
        issued = self._trusted_set.timestamp.unrecognized_fields.get(ISSUED, 0)
        ends = (item.expires.timestamp() for item in (self._trusted_set.root, self._trusted_set.targets))
        return min(float(issued), self.expires_s(), *ends) if isinstance(issued, (int, float)) else 0.0

    def timestamp_keys(self) -> str:
        return rules.keys_mark(self._trusted_set.root.roles["timestamp"].keyids)

    def expires_s(self) -> float:
        return float(self._trusted_set.timestamp.expires.timestamp())

    def _persist_file(self, filename: str, data: bytes) -> None:
        path = Path(filename)
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.write_bytes(path, data, mode=0o600)

    def _update_root_symlink(self) -> None:
        """The embedded root is passed each time; nothing reads the link."""


def _release(path: str, target: TargetFile) -> Release:
    return rules.release_of(path, target.length, target.hashes, target.custom)


def _read_floor(folder: Path) -> Floor:
    """The higher of both copies; a torn one is made again when the floor is next raised."""
    floors = []
    for name in FLOORS:
        try:
            floors.append(msgspec.json.decode((folder / name).read_bytes(), type=Floor))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:  # of bytes that are no text msgspec raises UnicodeDecodeError
            logger.warning("%s is damaged: %s", folder / name, error)
    return max(
        floors, key=lambda floor: (sum(mark.version for mark in floor.marks.values()), floor.time_s), default=Floor()
    )


@contextmanager
def _translated(mirror: str) -> Iterator[None]:
    """python-tuf's errors as ours."""
    try:
        yield
    except exceptions.ExpiredMetadataError as error:
        raise TrustError(
            f"{mirror}: {error}; nobody has signed anew (`edgemass trust refresh`), somebody holds new metadata "
            "back, or this board's clock is wrong"
        ) from error
    except exceptions.DownloadLengthMismatchError as error:
        raise TrustError(f"{mirror}: {error}") from error
    except exceptions.DownloadError as error:
        raise RegistryUnavailableError(f"the trust metadata cannot be fetched: {error}") from error
    except (exceptions.RepositoryError, ValueError, KeyError, TypeError) as error:
        raise TrustError(f"{mirror}: the trust metadata is not to be trusted: {error}") from error
    except OSError as error:
        raise StoreError(f"{error.filename or mirror}: {error.strerror}") from error
