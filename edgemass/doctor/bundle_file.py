"""A file for a bug report: what the doctor found, versions, configuration, log and status, all without secrets."""

from __future__ import annotations

import io
import subprocess
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import distributions
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
import tomli_w

from edgemass import __version__, durable
from edgemass.config import shown
from edgemass.doctor import configuration, daemon
from edgemass.doctor.finding import Report
from edgemass.doctor.machine import Machine
from edgemass.redact import redact_address, redact_log

MOST_BYTES = 2 << 20
MEMBER_BYTES = 400 << 10
"""Of each member before it is packed; five of them stay below MOST_BYTES even where nothing can be packed."""
LOG_LINES, LOG_S = 2000, 20.0
SHORTEST_SECRET = 4
"""What is shorter is no secret that could be looked for: it would be found in every other word."""
_WHEN = (1980, 1, 1, 0, 0, 0)  # the same report makes the same file


def write(path: Path, report: Report, machine: Machine) -> None:
    """Write it, for its owner alone.

    Raises:
        OSError: it cannot be written.
    """
    hidden = secrets(machine)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in _members(report, machine):
            archive.writestr(zipfile.ZipInfo(name, _WHEN), _clean(text, hidden), zipfile.ZIP_DEFLATED)
    durable.write_bytes(path, packed.getvalue(), mode=0o600)


def secrets(machine: Machine) -> Sequence[str]:
    """What this configuration keeps secret, to be looked for everywhere: longest first."""
    config = configuration.loaded(machine)
    if config is None:
        return ()
    found: set[str] = set()
    for address in configuration.addresses(config):
        found |= set(_of_address(address))
    for path in configuration.secret_files(config):
        try:
            with path.open("rb") as file:
                found.add(file.read(4096).decode("utf-8", "replace").strip())
        except OSError:
            continue
    return sorted((secret for secret in found if len(secret) >= SHORTEST_SECRET), key=len, reverse=True)


def _of_address(address: str) -> Iterator[str]:
    try:
        parts = urlsplit(address)
        password = parts.password
    except ValueError:
        return
    if password:
        yield from (password, unquote(password))
    for key, value in parse_qsl(parts.query):
        if redact_address(f"x?{key}={value}") != f"x?{key}={value}":
            yield value


def _members(report: Report, machine: Machine) -> Iterator[tuple[str, str]]:
    yield "report.json", msgspec.json.format(msgspec.json.encode(report)).decode()
    yield "versions.txt", _versions(machine)
    config = configuration.read(machine)
    if config is not None:
        yield "configuration.toml", tomli_w.dumps(shown.table(config))
    log = _log()
    if log:
        yield "log.txt", log
    status = daemon.text(machine)
    if status:
        yield "status.json", status


def _versions(machine: Machine) -> str:
    packages = {f"{item.metadata['Name']} {item.version}" for item in distributions(path=list(machine.packages))}
    head = [f"edgemass {__version__}", f"Python {'.'.join(map(str, machine.python))}", machine.architecture]
    head += [machine.model, machine.text("proc/version") or "", machine.text("etc/os-release") or ""]
    return "\n".join([*filter(None, head), "", *sorted(packages, key=str.lower), ""])


def _log() -> str:
    """The service's last lines; "" where there is no journal, or it is not ours to read."""
    command = ["journalctl", "--unit=edgemass", f"--lines={LOG_LINES}", "--no-pager", "--quiet", "--output=short-iso"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=LOG_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace")


def _clean(text: str, hidden: Sequence[str]) -> bytes:
    """Without secrets, and its end where it is too long. What is secret is taken out before anything is cut."""
    for secret in hidden:
        text = text.replace(secret, "***")
    data = redact_log(text).encode()
    return data if len(data) <= MEMBER_BYTES else b"[...]\n" + data[-MEMBER_BYTES:].partition(b"\n")[2]
