"""The metadata of a TUF repository, as those who sign it change it.

    DIR/N.root.json  N.targets.json  N.snapshot.json  timestamp.json     what devices read
    DIR/staged/root.json  targets.json                                    signed by too few so far; no device reads it

Root and targets are signed offline, by as many keys as their thresholds say, one after the other if need be; snapshot
and timestamp by keys that are online, and often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from securesystemslib.exceptions import FormatError
from securesystemslib.signer import Key, Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from edgemass import durable
from edgemass.errors import TrustError, UsageError
from edgemass.registry.trust import rules
from edgemass.registry.trust.device import ISSUED
from edgemass.registry.trust.rules import Release

Role = Literal["root", "targets", "snapshot", "timestamp"]
OFFLINE: tuple[Role, ...] = ("root", "targets")
ONLINE: tuple[Role, ...] = ("snapshot", "timestamp")
STAGED = "staged"
DAYS: Mapping[str, float] = {"root": 365, "targets": 365, "snapshot": 7, "timestamp": 2}
"""For which signatures hold. Root, targets: a ceremony a year. Timestamp: how long a frozen mirror goes unnoticed."""

_Signed = TypeVar("_Signed", Root, Targets, Snapshot, Timestamp)


@dataclass(frozen=True)
class Standing:
    """How a role stands. staged: a newer version waits for `missing` more signatures. keys: name -> key id."""

    role: str
    version: int
    expires: datetime
    threshold: int
    keys: tuple[str, ...]
    missing: int


class Repository:
    """The metadata in one folder.

    now: the time by which things are signed.
    """

    def __init__(self, folder: Path, *, now: Callable[[], datetime] | None = None) -> None:
        self.folder = folder
        self._now = now or (lambda: datetime.now(timezone.utc).replace(microsecond=0))

    def create(self, signers: Mapping[Role, list[Signer]], thresholds: Mapping[Role, int]) -> None:
        """Begin: a root of trust, and nothing signed by it yet.

        Raises:
            UsageError: there is one already.
        """
        if any(self.folder.glob("*.json")):
            raise UsageError(f"{self.folder} has trust metadata already; go on with add-key, sign, rotate or refresh")
        root = Root(version=1, expires=self._expires("root"), consistent_snapshot=True)
        for role, keys in signers.items():
            for signer in keys:
                root.add_key(signer.public_key, role)
            root.roles[role].threshold = thresholds.get(role, 1)
        self._stage("root", Metadata(root))
        self._stage("targets", Metadata(Targets(version=1, expires=self._expires("targets"))))
        self.sign([signer for keys in signers.values() for signer in keys])

    # Changes; each is staged until enough have signed it.

    def add_releases(self, releases: Iterable[Release]) -> None:
        """Vouch for bundles."""
        metadata = self._draft("targets", Targets)
        for release in releases:
            target = TargetFile(release.length, {"sha256": release.digest.removeprefix("sha256:")}, release.path)
            target.unrecognized_fields["custom"] = rules.custom_of(release)
            metadata.signed.targets[release.path] = target
        self._stage("targets", metadata)

    def withdraw(self, digest: str) -> int:
        """Vouch for a bundle no more; returns how many entries there were."""
        metadata = self._draft("targets", Targets)
        hexadecimal = digest.removeprefix("sha256:")
        gone = [path for path in metadata.signed.targets if path.rpartition("/")[2] == hexadecimal]
        for path in gone:
            del metadata.signed.targets[path]
        if gone:
            self._stage("targets", metadata)
        return len(gone)

    def add_fleet_key(self, key: Key) -> None:
        """Let the fleet sign orders with this key."""
        public = (
            bytes.fromhex(key.keyval["public"]) if "public" in key.keyval and "-" not in key.keyval["public"] else b""
        )
        if not public:
            raise UsageError("the fleet's key must be Ed25519")
        metadata = self._draft("targets", Targets)
        target = TargetFile.from_data(rules.fleet_path(key.keyid), public)
        target.unrecognized_fields["custom"] = {"ed25519": public.hex()}
        metadata.signed.targets[rules.fleet_path(key.keyid)] = target
        self._stage("targets", metadata)

    def withdraw_fleet_key(self, beginning: str) -> str:
        """Let the fleet sign with this key no more; returns its id.

        beginning: of the id, so much of it that no other key of the fleet has it.

        Raises:
            UsageError: the fleet has no such key, or several.
        """
        fitting = [keyid for keyid in self.fleet_keys() if beginning and keyid.startswith(beginning)]
        if len(fitting) != 1:
            raise UsageError(
                f"the fleet has {len(fitting)} keys {beginning!r}, wanted one; see `edgemass trust status`"
            )
        metadata = self._draft("targets", Targets)
        del metadata.signed.targets[rules.fleet_path(fitting[0])]
        self._stage("targets", metadata)
        return fitting[0]

    def add_key(self, role: Role, key: Key) -> None:
        """One more key may sign for a role."""
        metadata = self._draft("root", Root)
        metadata.signed.add_key(key, role)
        self._stage("root", metadata)

    def set_threshold(self, role: Role, threshold: int) -> None:
        """So many keys of a role have to sign."""
        metadata = self._draft("root", Root)
        if not 1 <= threshold <= len(metadata.signed.roles[role].keyids):
            raise UsageError(
                f"{role} has {len(metadata.signed.roles[role].keyids)} keys; a threshold of {threshold} cannot be met"
            )
        metadata.signed.roles[role].threshold = threshold
        self._stage("root", metadata)

    def rotate(self, role: Role, key: Key, *, instead_of: str | None = None) -> None:
        """Let a new key sign for a role, instead of one, or of all, that did.

        For devices the versions of a role with new keys begin anew: rotating snapshot and timestamp both undoes a
        fast-forward by a thief.
        """
        metadata = self._draft("root", Root)
        root = metadata.signed
        old = [keyid for keyid in root.roles[role].keyids if keyid.startswith(instead_of or "")]
        if instead_of and len(old) != 1:
            raise UsageError(f"{role} has {len(old)} keys {instead_of}; see `edgemass trust status`")
        threshold = root.roles[role].threshold
        if len(root.roles[role].keyids) - len(old) + 1 < threshold:
            known = ", ".join(keyid[:16] for keyid in root.roles[role].keyids)
            raise UsageError(
                f"{role} needs {threshold} keys, and a new one instead of all would be the only one; say which to "
                f"replace with --instead-of ({known})"
            )
        root.add_key(key, role)
        for keyid in old:
            if keyid != key.keyid:
                root.revoke_key(keyid, role)
        self._stage("root", metadata)
        if role == "targets":  # what the old key signed counts no more
            self._stage("targets", self._draft("targets", Targets))

    # Signatures.

    def sign(self, signers: Iterable[Signer]) -> list[str]:
        """Add signatures to what is staged, publish what has enough, and renew snapshot and timestamp where that is
        possible with these keys; returns what was published.
        """
        keys = list(signers)
        done: list[str] = []
        for role in OFFLINE:
            staged = self._staged(role)
            if staged is None or self._waits_for_root(role):
                continue
            self._add_signatures(role, staged, keys)
            if self._missing(role, staged) == 0:
                durable.write_bytes(self.folder / f"{staged.signed.version}.{role}.json", staged.to_bytes())
                (self.folder / STAGED / f"{role}.json").unlink()
                done.append(f"{role} {staged.signed.version}")
            else:
                durable.write_bytes(self.folder / STAGED / f"{role}.json", staged.to_bytes())
        if done or self._current("snapshot") is None:
            done += self.refresh(keys)
        return done

    def _waits_for_root(self, role: Role) -> bool:
        """Whether a root that still lacks signatures gives the role other keys: only theirs will count."""
        root = self._staged("root")
        return role != "root" and root is not None and root.signed.roles[role] != self._root().signed.roles[role]

    def refresh(self, signers: Iterable[Signer]) -> list[str]:
        """Sign snapshot, where it is due, and timestamp anew; returns what was signed.

        Devices refuse a timestamp that is older than DAYS says: this has to be done again and again.
        """
        keys = list(signers)
        if self._current("root") is None or self._current("targets") is None:
            return []
        done: list[str] = []
        targets = self._must("targets", Targets).signed
        snapshot = self._current("snapshot")
        due = snapshot is None or (
            snapshot.signed.meta["targets.json"].version != targets.version
            or snapshot.signed.expires - self._now() < timedelta(days=DAYS["snapshot"]) / 2
            or self._missing("snapshot", snapshot) > 0
        )
        if due:
            version = snapshot.signed.version + 1 if snapshot is not None else 1
            made = Metadata(
                Snapshot(
                    version=version, expires=self._expires("snapshot"), meta={"targets.json": MetaFile(targets.version)}
                )
            )
            if not self._add_signatures("snapshot", made, keys) or self._missing("snapshot", made):
                return done
            durable.write_bytes(self.folder / f"{version}.snapshot.json", made.to_bytes())
            done.append(f"snapshot {version}")
            snapshot = made
        assert snapshot is not None
        return [*done, *self._stamp(snapshot.signed.version, keys)]

    def _stamp(self, snapshot_version: int, keys: list[Signer]) -> list[str]:
        old = self._current("timestamp")
        version = old.signed.version + 1 if old is not None else 1
        stamp = Timestamp(version=version, expires=self._expires("timestamp"), snapshot_meta=MetaFile(snapshot_version))
        stamp.unrecognized_fields[ISSUED] = int(self._now().timestamp())
        made = Metadata(stamp)
        if not self._add_signatures("timestamp", made, keys) or self._missing("timestamp", made):
            return []
        durable.write_bytes(self.folder / "timestamp.json", made.to_bytes())
        return [f"timestamp {version}"]

    def _add_signatures(self, role: Role, metadata: Metadata[Any], keys: Iterable[Signer]) -> int:
        """How many of these keys sign for the role; a root is signed by the keys of the one before too."""
        wanted = set(self._root().signed.roles[role].keyids)
        if role == "root":
            wanted |= set(metadata.signed.roles["root"].keyids)
        ours = [signer for signer in keys if signer.public_key.keyid in wanted]
        for signer in ours:
            metadata.sign(signer, append=True)
        return len(ours)

    def _missing(self, role: Role, metadata: Metadata[Any]) -> int:
        """Signatures that it lacks, by the newest root, and for a root by the one before too."""
        payload = metadata.signed_bytes
        root = self._root().signed
        missing = root.get_verification_result(role, payload, metadata.signatures).missing
        if role == "root" and metadata.signed is not root:
            own = metadata.signed.get_verification_result(role, payload, metadata.signatures).missing
            missing = max(missing, own)
        return missing

    # Reading.

    def standing(self) -> list[Standing]:
        """How every role stands.

        Raises:
            UsageError: there is no metadata.
        """
        root = self._must("root", Root).signed
        found = []
        for role in (*OFFLINE, *ONLINE):
            metadata = self._current(role)
            staged = self._staged(role)
            found.append(
                Standing(
                    role,
                    metadata.signed.version if metadata else 0,
                    metadata.signed.expires if metadata else self._now(),
                    root.roles[role].threshold,
                    tuple(root.roles[role].keyids),
                    self._missing(role, staged) if staged is not None else 0,
                )
            )
        return found

    def releases(self) -> list[Release]:
        """What is signed, or staged to be."""
        metadata = self._staged("targets") or self._must("targets", Targets)
        return [
            rules.release_of(path, target.length, target.hashes, target.custom)
            for path, target in metadata.signed.targets.items()
            if not path.startswith(f"{rules.FLEET}/")
        ]

    def fleet_keys(self) -> list[str]:
        """Ids of the fleet's keys."""
        metadata = self._staged("targets") or self._must("targets", Targets)
        prefix = f"{rules.FLEET}/"
        return [path.removeprefix(prefix) for path in metadata.signed.targets if path.startswith(prefix)]

    def check(self) -> None:
        """Refuse where nothing was begun.

        Raises:
            UsageError: there is no root of trust, not even one that waits for signatures.
        """
        self._root()

    def has_root(self) -> bool:
        """Whether any root is published."""
        return self._current("root") is not None

    def _root(self) -> Metadata[Root]:
        """The newest published root, or the first one while it is staged."""
        found = self._current("root") or self._staged("root")
        if found is None:
            raise UsageError(f"{self.folder} has no trust metadata; begin with `edgemass trust init`")
        return cast("Metadata[Root]", found)

    def _must(self, role: Role, kind: type[_Signed]) -> Metadata[_Signed]:
        found = self._current(role)
        if found is None or not isinstance(found.signed, kind):
            way = "begin with `edgemass trust init`"
            if self._staged(role):
                way = f"{role} waits in {self.folder / STAGED} for signatures; see `edgemass trust --help`"
            raise UsageError(f"{self.folder} has no {role} metadata; {way}")
        return cast("Metadata[_Signed]", found)

    def _draft(self, role: Role, kind: type[_Signed]) -> Metadata[_Signed]:
        """The next version of a role: what is staged, or a copy of what is published, without signatures."""
        metadata = self._staged(role)
        if metadata is None:
            metadata = self._must(role, kind)
            metadata.signed.version += 1
        metadata.signed.expires = self._expires(role)
        metadata.signatures.clear()  # of another text
        return cast("Metadata[_Signed]", metadata)

    def _stage(self, role: Role, metadata: Metadata[Any]) -> None:
        place = self.folder / STAGED
        place.mkdir(parents=True, exist_ok=True)
        durable.write_bytes(place / f"{role}.json", metadata.to_bytes())

    def _staged(self, role: str) -> Metadata[Any] | None:
        return _load(self.folder / STAGED / f"{role}.json")

    def _current(self, role: str) -> Metadata[Any] | None:
        if role == "timestamp":
            return _load(self.folder / "timestamp.json")
        versions = [
            int(path.name.split(".")[0]) for path in self.folder.glob(f"*.{role}.json") if path.name[0].isdigit()
        ]
        return _load(self.folder / f"{max(versions)}.{role}.json") if versions else None

    def _expires(self, role: str) -> datetime:
        return self._now() + timedelta(days=DAYS[role])


def _load(path: Path) -> Metadata[Any] | None:
    """Raises TrustError: it is there and is no metadata."""
    try:
        return Metadata.from_bytes(path.read_bytes())
    except FileNotFoundError:
        return None
    except (RepositoryError, FormatError, ValueError, KeyError) as error:
        raise TrustError(f"{path} is no TUF metadata: {error}") from error
