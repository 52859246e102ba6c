"""Where a model lies: `oci://host[:port]/repository[:tag][@digest]`, or `FOLDER[:name[:tag]][@digest]`, an OCI layout.

`oci:` means TLS, but for loopback hosts; `oci+http:` and `oci+https:` say which.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import msgspec

from edgemass import oci
from edgemass.errors import UsageError
from edgemass.redact import redact_address

_SCHEMES = ("oci", "oci+http", "oci+https")
DEFAULT_TAG = "latest"
LAYOUT_FILE = "oci-layout"

# The grammars of the OCI distribution specification.
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_HOST = re.compile(r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")
_EXAMPLE = "oci://registry.example.org/models/door:1.2"


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """Of a repository, or of one manifest in it.

    address: as it was given, without its password. base_url: of the registry; empty for a folder.
    folder: of an OCI layout; None for a registry. repository: in a folder the bundle's name; empty if none was given.
    user, password: from the address.
    """

    address: str
    base_url: str = ""
    folder: Path | None = None
    repository: str = ""
    tag: str | None = None
    digest: str | None = None
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Reference({self.address})"

    @property
    def wanted(self) -> str:
        """What to ask the registry for: the digest, the tag, or the usual tag."""
        return self.digest or self.tag or DEFAULT_TAG

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Raises UsageError: it is none."""
        scheme, separator, rest = text.partition("://")
        if not separator:
            return _folder(text)
        if scheme not in _SCHEMES:
            raise UsageError(f"{redact_address(text)!r} is no address of a model; wanted one such as {_EXAMPLE}")
        return _registry(text, rest, scheme)


def mirror_of(registry: str) -> str:
    """Where the metadata is that comes with a registry: /trust/ of its host, or trust/ in its folder."""
    reference = Reference.parse(registry)
    return str(reference.folder / "trust") if reference.folder is not None else f"{reference.base_url}/trust/"


def is_reference(text: str) -> bool:
    """Whether it is an address or an OCI layout, not a name or a bundle's folder."""
    return text.partition("://")[0] in _SCHEMES or (_split_folder(text)[0] / LAYOUT_FILE).is_file()


def is_tag(text: str) -> bool:
    return _TAG.fullmatch(text) is not None


def is_repository(text: str) -> bool:
    return len(text) <= 255 and _REPOSITORY.fullmatch(text) is not None


def _registry(text: str, rest: str, scheme: str) -> Reference:
    told = redact_address(text)
    rest, digest = _split_digest(rest, told)
    login, at, rest = rest.rpartition("@")
    host, _, path = rest.partition("/")
    repository, _, tag = path.partition(":")
    if not _HOST.fullmatch(host):
        raise UsageError(f"{told}: no host {host!r}; wanted an address such as {_EXAMPLE}")
    if not _REPOSITORY.fullmatch(repository) or len(repository) > 255:
        raise UsageError(
            f"{told}: no repository {repository!r}; wanted lower case letters, digits and . _ - between slashes, "
            f"as in {_EXAMPLE}"
        )
    user, _, password = login.partition(":")
    plain = scheme == "oci+http" or (scheme == "oci" and _is_loopback(host))
    return Reference(
        address=told,
        base_url=f"http{'' if plain else 's'}://{host}",
        repository=repository,
        tag=_checked_tag(tag, told) if ":" in path else None,
        digest=digest,
        user=unquote(user) if at else "",
        password=unquote(password) if at else "",
    )


def _folder(text: str) -> Reference:
    rest, digest = _split_digest(text, text)
    folder, name, tag = _split_folder(rest)
    if name and not _REPOSITORY.fullmatch(name):
        raise UsageError(f"{text}: no name {name!r}; wanted FOLDER:name:tag with a name in lower case letters")
    return Reference(
        address=text, folder=folder, repository=name, tag=_checked_tag(tag, text) if tag else None, digest=digest
    )


def _split_folder(text: str) -> tuple[Path, str, str]:
    """Folder, name and tag; a folder that is there may have colons in its own name."""
    text = text.partition("@sha256:")[0]
    parts = text.split(":")
    for count in range(len(parts), max(len(parts) - 3, 0), -1):
        folder = Path(":".join(parts[:count]))
        if folder.is_dir():
            name, tag = ([*parts[count:], "", ""])[:2]
            return folder, name, tag
    name, tag = ([*parts[1:], "", ""])[:2]
    return Path(parts[0]), name, tag


def _split_digest(text: str, told: str) -> tuple[str, str | None]:
    rest, separator, hexadecimal = text.rpartition("@sha256:")
    if not separator:
        return text, None
    digest = f"sha256:{hexadecimal}"
    if not oci.is_digest(digest):
        raise UsageError(f"{told}: wanted 64 hexadecimal digits behind @sha256:, found {len(hexadecimal)} characters")
    return rest, digest


def _checked_tag(tag: str, told: str) -> str:
    if not is_tag(tag):
        raise UsageError(f"{told}: no tag {tag!r}; wanted up to 128 letters, digits and . _ -")
    return tag


def _is_loopback(host: str) -> bool:
    """Without TLS: nobody listens in between."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return name in ("localhost", "[::1]") or (name.startswith("127.") and name.replace(".", "").isdigit())


def fallback_tag(digest: str) -> str:
    """Under which the referrers of a manifest are listed where there is no API for them."""
    return digest.replace(":", "-", 1)
