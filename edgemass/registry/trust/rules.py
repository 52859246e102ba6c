"""What follows from metadata whose signatures are verified; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from edgemass.errors import TrustError

ROLES = ("root", "timestamp", "snapshot", "targets")
FLEET = "fleet"


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle that the offline role has signed.

    digest, length: of the OCI manifest. release: what "older" compares. hardware: it is for boards that answer to one
    of these words; () = for all. older_allowed: it may follow a newer one.
    """

    name: str
    digest: str
    length: int
    release: int
    version: str = ""
    hardware: tuple[str, ...] = ()
    older_allowed: bool = False

    @property
    def path(self) -> str:
        """Of its target in the metadata."""
        return release_path(self.name, self.digest)


class _Custom(msgspec.Struct, frozen=True):
    """What the metadata says of a release beside length and hash."""

    release: int
    version: str = ""
    hardware: tuple[str, ...] = ()
    older_allowed: bool = False


class Mark(msgspec.Struct, frozen=True):
    """The newest version of a role's metadata that was seen, and by whose keys: new keys begin anew."""

    version: int
    keys: str


class Floor(msgspec.Struct, frozen=True):
    """What was seen before and must not be fallen behind.

    time_s: Unix time that has passed for sure, as the timestamps said that were signed by `time_keys`.
    """

    marks: dict[str, Mark] = {}
    time_s: float = 0.0
    time_keys: str = ""


def release_path(name: str, digest: str) -> str:
    return f"{name}/{digest.removeprefix('sha256:')}"


def fleet_path(keyid: str) -> str:
    return f"{FLEET}/{keyid}"


def custom_of(release: Release) -> dict[str, Any]:
    """The custom field of its target."""
    made = _Custom(release.release, release.version, release.hardware, release.older_allowed)
    return dict(msgspec.to_builtins(made))


def release_of(path: str, length: int, hashes: Mapping[str, str], custom: object) -> Release:
    """A target as a release.

    Raises:
        TrustError: it is none.
    """
    name, _, hexadecimal = path.rpartition("/")
    if not name or hashes.get("sha256") != hexadecimal:
        raise TrustError(f"the signed entry {path!r} is no release: its hash is another one than its name")
    try:
        said = msgspec.convert(custom, _Custom)
    except msgspec.ValidationError as error:
        raise TrustError(f"the signed entry {path!r} is no release: {error}") from error
    return Release(
        name=name,
        digest=f"sha256:{hexadecimal}",
        length=length,
        release=said.release,
        version=said.version,
        hardware=said.hardware,
        older_allowed=said.older_allowed,
    )


def fits(release: Release, hardware: Collection[str]) -> bool:
    return not release.hardware or bool(set(release.hardware) & set(hardware))


def check_release(release: Release, *, hardware: Collection[str], confirmed_release: int) -> None:
    """Whether this board may run it now.

    hardware: words that the board answers to. confirmed_release: of the model that runs; -1 = none of a release.

    Raises:
        TrustError: it is for other boards, or older and not signed for going back.
    """
    if not fits(release, hardware):
        raise TrustError(
            f"{release.name} {release.version} is signed for {', '.join(release.hardware)}; this board answers to "
            f"{', '.join(hardware) or 'nothing'}"
        )
    if release.release < confirmed_release and not release.older_allowed:
        raise TrustError(
            f"{release.name} {release.version} is release {release.release}, older than release {confirmed_release} "
            "that was confirmed here; to go back, sign it with --allow-older"
        )


def newest(releases: Iterable[Release], name: str, hardware: Collection[str]) -> Release:
    """The newest release of a model for this board.

    Raises:
        TrustError: there is none.
    """
    found = [item for item in releases if item.name == name and fits(item, hardware)]
    if not found:
        raise TrustError(f"no release of {name!r} is signed for this board")
    return max(found, key=lambda item: (item.release, item.digest))


def keys_mark(keyids: Collection[str]) -> str:
    """Differs with the keys of a role."""
    return hashlib.sha256(" ".join(sorted(keyids)).encode()).hexdigest()[:16]


def check_floor(floor: Floor, seen: Mapping[str, Mark]) -> None:
    """Refuse metadata that is older than what was seen by the same keys.

    Raises:
        TrustError: it is.
    """
    for role, mark in seen.items():
        before = floor.marks.get(role)
        if before is not None and before.keys == mark.keys and mark.version < before.version:
            raise TrustError(
                f"the trust metadata was rolled back: {role} has version {mark.version}, this board has seen "
                f"{before.version}"
            )


def raised(floor: Floor, seen: Mapping[str, Mark], time_s: float, time_keys: str) -> Floor:
    """The floor after metadata was accepted."""
    if floor.time_keys in ("", time_keys):
        time_s = max(floor.time_s, time_s)
    return Floor({**floor.marks, **seen}, time_s, time_keys)
