"""EM701 and EM702: the configuration file, and the files with secrets that it names."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import msgspec

from edgemass import config as configs
from edgemass.config import Config, credentials
from edgemass.doctor.finding import Finding, Status, split_advice
from edgemass.doctor.machine import Machine
from edgemass.errors import ConfigError, EdgemassError
from edgemass.redact import redact_address

SECRET_FILES = ("password_file", "key", "token_file")
"""Options of addresses that name a file which only its owner should read."""


def read(machine: Machine) -> Config | None:
    """The configuration that the user named, as it stands there; None where there is none, or none that can be read."""
    if machine.config is None:
        return None
    try:
        return configs.load(machine.config)
    except ConfigError:
        return None


def loaded(machine: Machine) -> Config | None:
    """The same with the credentials that the service would be given, as far as they can be had."""
    config = read(machine)
    if config is None:
        return None
    try:
        cameras = {
            name: msgspec.structs.replace(camera, source=credentials.for_checks(camera.source))
            for name, camera in config.cameras.items()
        }
        found = tuple(credentials.for_checks(uri) for uri in config.sinks)
    except ConfigError:
        return None
    return msgspec.structs.replace(config, cameras=cameras, sinks=found)


def file(machine: Machine) -> Sequence[Finding]:
    """It is read as `edgemass run` does, and every address in it by its plug-in; nothing is opened."""
    if machine.config is None:
        return []
    try:
        config = configs.load(machine.config)
    except ConfigError as error:
        found, fix = split_advice(str(error))
        return [Finding(Status.FAIL, found, fix or "correct it there; `edgemass config schema` describes every key")]
    troubles = [Finding(Status.FAIL, *_advice(error)) for error in _addresses(config)]
    cameras = ", ".join(config.cameras) or "none"
    good = Finding(Status.OK, f"{machine.config} is good; cameras: {cameras}; sinks: {len(config.sinks) or 'console'}")
    return troubles or [good]


def _addresses(config: Config) -> Iterator[EdgemassError]:
    from edgemass import sinks, sources  # noqa: PLC0415 (without OpenCV these are findings)
    from edgemass.clock import SystemClock  # noqa: PLC0415
    from edgemass.sources import CaptureOptions  # noqa: PLC0415

    for camera in config.cameras.values():
        try:
            sources.open(credentials.for_checks(camera.source), CaptureOptions(), SystemClock()).close()
        except EdgemassError as error:
            yield error
    readable = []
    for uri in config.sinks:
        try:
            sinks.check(credentials.for_checks(uri))
            readable.append(uri)
        except EdgemassError as error:
            yield error
    try:
        sinks.check_apart(readable)
    except EdgemassError as error:
        yield error


def _advice(error: EdgemassError) -> tuple[str, str]:
    found, fix = split_advice(str(error))
    return found, fix or "correct the address in the configuration"


def secrets(machine: Machine) -> Sequence[Finding]:
    """Passwords that everybody can read: in the configuration itself, or in a file of their own."""
    config = read(machine)
    if config is None or machine.config is None:
        return []
    findings = []
    for address in _addresses_with_secret(config):
        if _open_to_all(machine.config):
            fix = f"chmod 640 {machine.config}, or put the password into a file: password_file=FILE"
            findings.append(
                Finding(Status.WARN, f"{redact_address(address)} holds its password, which every user can read", fix)
            )
    files = [path for path in secret_files(config) if _open_to_all(path)]
    return findings + [Finding(Status.WARN, f"every user can read {path}", f"chmod 600 {path}") for path in files]


def addresses(config: Config) -> list[str]:
    return [*(camera.source for camera in config.cameras.values()), *config.sinks]


def secret_files(config: Config) -> list[Path]:
    """Files that hold a password, a key or a token."""
    found = []
    for address in addresses(config):
        query = dict(parse_qsl(_split_query(address)))
        found += [Path(query[key]) for key in SECRET_FILES if key in query]
    if config.updates is not None and config.updates.password_file:
        found.append(Path(config.updates.password_file))
    if config.http is not None and config.http.token_file:
        found.append(Path(config.http.token_file))
    return found


def _addresses_with_secret(config: Config) -> list[str]:
    written = [address for address in addresses(config) if "{credential:" not in address]
    return [address for address in written if redact_address(address) != address]


def _split_query(address: str) -> str:
    try:
        return urlsplit(address).query
    except ValueError:
        return ""


def _open_to_all(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
