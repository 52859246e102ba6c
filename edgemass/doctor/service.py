"""EM711 and EM712: the service under systemd, and its user's groups."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from edgemass.doctor.finding import Finding, Status
from edgemass.doctor.machine import Machine

UNIT = "edgemass.service"
USER = "edgemass"
FOLDERS = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
GROUPS = {  # group -> nodes under /dev that it opens
    "video": ("video*",),
    "render": ("dri/renderD*",),
    "plugdev": (),
    "dialout": ("ttyUSB*", "ttyACM*", "ttyAMA*"),
}
SHOW_S = 10.0
_KEYS = ("LoadState", "ActiveState", "SubState", "Result", "NRestarts", "UnitFileState", "ExecMainStatus")
RESTARTS = 3
"""More of them since the unit was started are no accident."""


def installed(machine: Machine) -> bool:
    return any(machine.exists(f"{folder}/{UNIT}") for folder in FOLDERS)


def unit(machine: Machine) -> Sequence[Finding]:
    """Says nothing where systemd does not run, or there is no unit."""
    if not (installed(machine) and machine.exists("run/systemd/system")):
        return []
    try:
        done = subprocess.run(
            ["systemctl", "show", UNIT, f"--property={','.join(_KEYS)}"],  # noqa: S607 (found on PATH)
            capture_output=True,
            text=True,
            check=False,
            timeout=SHOW_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [Finding(Status.WARN, f"systemd cannot be asked: {error}", "see `systemctl status edgemass`")]
    return [judge(dict(line.partition("=")[::2] for line in done.stdout.splitlines()))]


def judge(shown: dict[str, str]) -> Finding:
    """shown: what `systemctl show` says, key by key."""
    state = f"{shown.get('ActiveState', '?')} ({shown.get('SubState', '?')})"
    log = "journalctl -u edgemass -n 50 tells why"
    if shown.get("LoadState") != "loaded":
        return Finding(
            Status.WARN, f"{UNIT} is {shown.get('LoadState') or 'not loaded'}", "sudo systemctl daemon-reload"
        )
    if shown.get("ActiveState") == "failed":
        code = shown.get("ExecMainStatus", "")
        fix = "edgemass config check, then sudo systemctl restart edgemass" if code == "78" else log
        return Finding(Status.FAIL, f"{UNIT} failed: {shown.get('Result')}, exit code {code}", fix)
    restarts = int(shown.get("NRestarts") or 0)
    if shown.get("SubState") == "auto-restart" or restarts > RESTARTS:
        return Finding(Status.WARN, f"{UNIT} is {state} and was started anew {restarts} times", log)
    if shown.get("ActiveState") == "inactive":
        return Finding(Status.NOTE, f"{UNIT} does not run", "sudo systemctl enable --now edgemass")
    if shown.get("UnitFileState") == "disabled":
        return Finding(
            Status.NOTE, f"{UNIT} is {state}, but not started with the board", "sudo systemctl enable edgemass"
        )
    return Finding(Status.OK, f"{UNIT} is {state}, started anew {restarts} times")


def groups(machine: Machine) -> Sequence[Finding]:
    """Whether the service's user may open what is plugged in; says nothing where there is no unit."""
    if not installed(machine):
        return []
    users = [line.split(":") for line in (machine.text("etc/passwd") or "").splitlines()]
    user = next((fields for fields in users if fields[0] == USER and len(fields) > 3), None)
    if user is None:
        return [Finding(Status.FAIL, f"there is no user {USER}", "sudo systemd-sysusers, or install the service again")]
    lines = [line.split(":") for line in (machine.text("etc/group") or "").splitlines()]
    named = {fields[0]: fields for fields in lines if len(fields) > 3}
    lacking = [
        name
        for name, patterns in GROUPS.items()
        if name in named and _present(machine, patterns) and not _member(named[name], user[3])
    ]
    if lacking:
        fix = f"sudo usermod -aG {','.join(lacking)} {USER} && sudo systemctl restart edgemass"
        return [Finding(Status.WARN, f"{USER} is not in {', '.join(lacking)}, whose devices are plugged in", fix)]
    return [Finding(Status.OK, f"{USER} may open what is plugged in")]


def _present(machine: Machine, patterns: Sequence[str]) -> bool:
    return any(next((machine.root / "dev").glob(pattern), None) is not None for pattern in patterns)


def _member(group: Sequence[str], primary: str) -> bool:
    return USER in group[3].split(",") or group[2] == primary
