"""EM401, EM402, EM411 and EM412: cameras that the kernel knows, and those that the user asks about."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgemass.doctor import configuration, daemon
from edgemass.doctor.answers import Format, Size, Trial, Unit
from edgemass.doctor.child import Answer
from edgemass.doctor.finding import MEND_FIRST, Finding, Status, split_advice
from edgemass.doctor.machine import Machine, answered
from edgemass.redact import redact_address

SIZES_SHOWN = 6
TRIAL_S = 30.0
"""For opening a camera and its first frames; a source gives up by itself after 4 to 20 s."""
# Image processors and decoders of boards, which register as capture nodes too: bcm2835-isp, pispbe, rpivid, ...
_NO_CAMERA = ("bcm2835-", "pispbe", "rpivid", "rpi-hevc", "rkisp", "tegra-v4l2-")
# Raw (Bayer) pictures of a sensor, which only the board's own camera stack can turn into colours; linux/videodev2.h.
_RAW = re.compile(r"BA81|GBRG|GRBG|RGGB|(BG|GB|BA|RG)1[0246]|p[BGgR](AA|CC|EE)|BYR2|PC1[BGgR]")


def local(machine: Machine) -> Sequence[Finding]:
    answer = _ask(machine)
    if answer.failure:
        fix = "unplug the cameras one by one: one of them hangs" if answer.late else MEND_FIRST
        return [Finding(Status.WARN, f"they cannot be asked: {answer.failure}", fix)]
    found = [unit for unit in _units(answer) if unit.captures and not unit.card.startswith(_NO_CAMERA)]
    if found:
        return [_describe(unit) for unit in found]
    fix = "plug in a USB camera; a CSI camera is csi://0, a network camera rtsp://HOST/PATH"
    if machine.in_container:
        fix = f"hand the device to the container (--device /dev/video0); or {fix}"
    return [Finding(Status.NOTE, "none that this user can see" if _locked(answer) else "none", fix)]


def access(machine: Machine) -> Sequence[Finding]:
    """Nodes that cannot be asked; says nothing where there are none."""
    answer = _ask(machine)
    if answer.failure:
        return []
    findings = []
    if locked := _locked(answer):
        fix = "sudo usermod -aG video $USER, then log in again; for a service: SupplementaryGroups=video"
        if machine.in_container:
            fix = f"hand {locked[0]} to the container with --device, and --group-add video; outside: {fix}"
        findings.append(Finding(Status.WARN, f"this user may not open {', '.join(locked)}", fix))
    broken = [unit.error for unit in _units(answer) if unit.error and not unit.forbidden]
    return findings + [Finding(Status.WARN, error, "plug it in anew; `dmesg` tells more") for error in broken]


def asked(machine: Machine) -> Sequence[Finding]:
    """Only where the user named a camera."""
    return [] if machine.camera is None else [_try(machine, machine.camera)]


def configured(machine: Machine) -> Sequence[Finding]:
    """Every camera of the configuration; what a daemon has is not opened a second time, but what it says is told."""
    config = configuration.loaded(machine)
    findings = []
    for name, camera in config.cameras.items() if config is not None else ():
        if not camera.enabled:
            finding = Finding(Status.NOTE, "switched off in the configuration")
        elif machine.daemon:
            finding = _of_daemon(machine, name)
        else:
            finding = _try(machine, camera.source)
        findings.append(Finding(finding.status, f"{name}: {finding.found}", finding.fix))
    return findings


def _of_daemon(machine: Machine, name: str) -> Finding:
    said = daemon.status(machine, "cameras", name)
    state = said.get("state")
    if state in (None, "online", "disabled"):
        return Finding(Status.NOTE, f"in use by the daemon{f', which says it is {state}' if state else ''}")
    reason = said.get("reason") or "it does not say why"
    return Finding(Status.FAIL, f"the daemon says it is {state}: {reason}", "end the daemon and ask again for more")


def _try(machine: Machine, source: str) -> Finding:
    answer = machine.ask("edgemass.doctor.camera_trial:trial", {"address": source}, TRIAL_S)
    trial = answered(answer, Trial)
    shown = redact_address(source)  # at once: the spaces of a password are its own only while the address is alone
    if trial is None:
        found, fix = split_advice(answer.failure)
        if answer.missing:
            fix = MEND_FIRST
        fix = fix or "check the address and the cable, and that no other program uses it"
        named = source in found or shown in found
        return Finding(Status.FAIL, found if named else f"{shown}: {found}", fix)
    if not trial.frames:
        return Finding(Status.FAIL, f"{shown} opens, but holds no picture", "give another file or folder")
    rate = f" at {trial.fps:.1f} fps" if trial.fps else ""
    size = f"{trial.width}x{trial.height}{rate}"
    found = f"{shown} gives {size}, {trial.frames} frames, the first after {trial.first_s:.1f} s"
    if trial.black:
        return Finding(Status.WARN, f"{found}, all black", "is there a cap on the lens, or is it dark?")
    return Finding(Status.OK, found)


def _ask(machine: Machine) -> Answer:
    return machine.once("edgemass.doctor.v4l2_modes:units", dev=str(machine.root / "dev"))


def _units(answer: Answer) -> list[Unit]:
    return answered(answer, list[Unit]) or []


def _locked(answer: Answer) -> list[str]:
    return [unit.node for unit in _units(answer) if unit.forbidden]


def _describe(unit: Unit) -> Finding:
    unit_name = f"{unit.card} {unit.name}" if unit.name == unit.node else f"{unit.card} {unit.name} ({unit.node})"
    if unit.formats and all(_RAW.fullmatch(item.fourcc) for item in unit.formats):
        return Finding(
            Status.NOTE,
            f"{unit_name}: a bare sensor, its pictures are raw",
            "use csi://0, which goes through the board's camera stack",
        )
    modes = "; ".join(_modes(item) for item in unit.formats) or "it tells no formats"
    if unit.name == unit.node:
        return Finding(
            Status.NOTE,
            f"{unit_name}: {modes}; it has no stable name under /dev/v4l",
            "with several cameras, run udev: only then is this one found again after a restart",
        )
    return Finding(Status.OK, f"{unit_name}: {modes}")


def _modes(item: Format) -> str:
    """MJPG 1920x1080@30 1280x720@60 (+9), the largest first."""
    sizes = sorted(item.sizes, key=lambda size: (-size.width * size.height, -size.width))
    shown = [_size(size) for size in sizes[:SIZES_SHOWN]]
    more = [f"(+{len(sizes) - SIZES_SHOWN})"] if len(sizes) > SIZES_SHOWN else []
    return " ".join([item.fourcc, *shown, *more])


def _size(size: Size) -> str:
    rate = f"@{size.fps:.4g}" if size.fps else ""
    return f"{'up to ' if size.up_to else ''}{size.width}x{size.height}{rate}"
