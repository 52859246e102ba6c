"""Secrets that the service manager hands over as files, by their names in addresses.

    mqtt://user@host?password_file=credential:NAME     becomes the path of the file, for every option that names a file
    rtsp://user:{credential:NAME}@camera/stream        becomes what is in it, percent-encoded, and hidden in logs

systemd gives them with LoadCredential=; a folder of them under its own name, which goes before each file's.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote

from edgemass import redact
from edgemass.errors import ConfigError

VARIABLE = "CREDENTIALS_DIRECTORY"
FOLDER = Path("/etc/edgemass/credentials")
PREFIX = "edgemass-folder_"
"""LoadCredential=edgemass-folder:FOLDER names the files of the folder so."""

_NAME = r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]*)"
_FILE = re.compile(rf"(?<==)credential:{_NAME}(?=$|[&#])")
_CONTENT = re.compile(rf"\{{credential:{_NAME}\}}")


def resolve(address: str, folder: Path | None) -> str:
    """The address with its credentials in place.

    folder: as the environment's CREDENTIALS_DIRECTORY names it; None = there is no service manager that gives any.

    Raises:
        ConfigError: it names one that was not given, or that cannot be read.
    """
    address = _FILE.sub(lambda match: quote(str(_file(match["name"], folder)), safe="/"), address)
    return _CONTENT.sub(lambda match: quote(_read(match["name"], folder), safe=""), address)


def for_checks(address: str, folder: Path | None = None) -> str:
    """The address as the service would have it, for who looks at it beside the service.

    folder: as above; None = FOLDER, where this user may look into it, else every credential is taken for good: a
    password is made up, a file left out.

    Raises:
        ConfigError: it names one that is not there, or that cannot be read.
    """
    place = folder or (FOLDER if os.access(FOLDER, os.R_OK | os.X_OK) else None)
    if place is not None:
        return resolve(address, place)
    start, mark, query = address.partition("?")
    options = [option for option in query.split("&") if not _FILE.search(f"={option.partition('=')[2]}")]
    return _CONTENT.sub("made-up", start + (mark + "&".join(options) if any(options) else ""))


def _file(name: str, folder: Path | None) -> Path:
    if folder is None:
        raise ConfigError(
            f"credential:{name} is given by the service manager, and there is none here; name the file itself, or "
            "start it as a service"
        )
    found = next((path for path in (folder / name, folder / f"{PREFIX}{name}") if path.is_file()), None)
    if found is None:
        raise ConfigError(f"there is no credential {name}; put it into {FOLDER / name} and restart the service")
    return found


def _read(name: str, folder: Path | None) -> str:
    try:
        secret = _file(name, folder).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"cannot read the credential {name}: {reason}") from error
    redact.hide(secret)
    return secret
