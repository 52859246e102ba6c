"""Root file systems of other architectures: Debian's packages and Python's wheels, unpacked and never configured.

They lie under build/boards, so that only the first run fetches anything. One that was not finished is begun anew.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from tests.boards import user_mode

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / "build" / "boards"
LOCK = REPOSITORY / "requirements" / "run.txt"
ARMV7L_LOCK = Path(__file__).with_name("armv7l.txt")
SITE = "opt/site"
"""Where the Python packages lie inside a root."""
STEPS = 3  # raised when the steps below put other things into a root
SUITE = "bookworm"  # Raspberry Pi OS's base with the last Python that tflite-runtime has wheels for
PYTHON = "3.11"
FETCH_S = 600
BUILD_S = 900  # msgspec takes two minutes under emulation on two cores
ARM64_PACKAGES = (
    *("python3", "dash", "coreutils", "busybox-static", "linux-image-arm64", "udev", "v4l-utils"),
    *("systemd", "systemd-sysv", "dbus", "procps"),
    *("mosquitto", "mosquitto-clients"),
)
SYSTEMD_PACKAGES = (
    *("systemd", "systemd-sysv", "udev", "kmod", "procps", "python3", "libstdc++6", "ca-certificates"),
    *("mosquitto", "mosquitto-clients"),
)
ARMHF_PACKAGES = ("python3", "python3-numpy", "python3-opencv", "dash", "gcc", "libc6-dev", "libpython3.11-dev")
PLAIN_PACKAGES = frozenset({"paho-mqtt", "pyserial", "tomli-w"})  # pure Python: one wheel for every board
MSGSPEC_SOURCE = "opt/msgspec"
MSGSPEC_BUILD = (
    f"import os; os.chdir('/{MSGSPEC_SOURCE}'); from setuptools import build_meta; build_meta.build_wheel('dist')"
)

_DROP_SECURITY = """--setup-hook=sed -i /security/d "$1"/etc/apt/sources.list"""


class UnavailableError(Exception):
    """What a root is made of cannot be had here: no network, a mirror that is just being updated."""


@dataclass(frozen=True)
class Locked:
    """One entry of a hashed lock file. text: the entry without its marker, as pip reads it."""

    requirement: Requirement
    text: str


def locked(lock: str, environment: Mapping[str, str]) -> dict[str, Locked]:
    """The entries of a lock that apply to another machine, by name.

    pip itself judges markers by the Python that it runs on, whatever --platform says.

    environment: marker variables that differ from this machine's.
    """
    entries = {}
    for entry in re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"(?m)^\s*#.*\n?", "", lock)):
        head, *hashes = (part.strip(" \\\n") for part in entry.split("--hash="))
        if not head:
            continue
        requirement = Requirement(head)
        if requirement.marker is None or requirement.marker.evaluate(dict(environment)):
            text = " ".join([str(requirement).split(";")[0].strip(), *(f"--hash={value}" for value in hashes)])
            entries[requirement.name] = Locked(requirement, text)
    return entries


def _one_at_a_time(build: Callable[[], Path]) -> Callable[[], Path]:
    """Two runs of the tests on one machine share the cache: the second one waits."""

    @functools.wraps(build)
    def alone() -> Path:
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return build()

    return alone


@_one_at_a_time
def arm64() -> Path:
    """Debian arm64 with its kernel, udev and mosquitto, and the wheels of requirements/run.txt for aarch64.

    Raises:
        UnavailableError: something cannot be fetched.
    """
    lock = LOCK.read_text(encoding="utf-8")
    root, finished = _root("arm64", ARM64_PACKAGES, lock)
    if not finished.exists():
        _unpack(root, "arm64", ARM64_PACKAGES)
        environment = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0", "platform_machine": "aarch64"}
        platforms = ["manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64"]
        _install(root / SITE, locked(lock, environment), platforms)
        _compile(root)
        finished.touch()
    return root


@_one_at_a_time
def armhf() -> Path:
    """Debian armhf with its own NumPy and OpenCV, tflite-runtime, and msgspec built by its own compiler.

    Raises:
        UnavailableError: something cannot be fetched.
    """
    lock, tools = LOCK.read_text(encoding="utf-8"), ARMV7L_LOCK.read_text(encoding="utf-8")
    root, finished = _root("armhf", ARMHF_PACKAGES, lock + tools)
    if not finished.exists():
        _unpack(root, "armhf", ARMHF_PACKAGES)
        # The lock leaves 32-bit ARM out; its pure packages and the source of msgspec are the same everywhere.
        everywhere = locked(lock, {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0"})
        wanted = {name: everywhere[name] for name in PLAIN_PACKAGES}
        wanted |= locked(tools, {})
        _install(root / SITE, wanted, ["manylinux_2_34_armv7l", "manylinux2014_armv7l"])
        _build_msgspec(root, everywhere["msgspec"])
        finished.touch()
    return root


@_one_at_a_time
def systemd() -> Path:
    """Debian of this machine's own kind with systemd and a broker, configured, as a board is that was just set up.

    Raises:
        UnavailableError: something cannot be fetched.
    """
    root, finished = _root("systemd", SYSTEMD_PACKAGES, "")
    if not finished.exists():
        options = ["--quiet", "--variant=minbase", f"--include={','.join(SYSTEMD_PACKAGES)}", _DROP_SECURITY]
        _call(["mmdebstrap", *options, SUITE, str(root)], FETCH_S)
        (root / "etc/machine-id").write_text("")
        finished.touch()
    return root


def _root(arch: str, packages: Sequence[str], recipe: str) -> tuple[Path, Path]:
    """The folder for this recipe, and the file that says that it is finished; older ones are removed."""
    text = "\n".join([str(STEPS), SUITE, *packages, recipe])
    root = CACHE / f"{arch}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    finished = root.with_suffix(".finished")
    if not finished.exists():
        for old in CACHE.glob(f"{arch}-*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    return root, finished


def _unpack(root: Path, arch: str, packages: Sequence[str]) -> None:
    """Debian's packages. Those of the security archive are left out: one archive less that may be half updated."""
    options = ["--quiet", "--variant=extract", f"--arch={arch}", f"--include={','.join(packages)}", _DROP_SECURITY]
    _call(["mmdebstrap", *options, SUITE, str(root)], FETCH_S)
    for mountpoint in ("proc", "sys", "run", "repository", "assets"):
        (root / mountpoint).mkdir(exist_ok=True)
    # What configuring base-passwd and adduser would have written.
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nedgemass:x:990:990::/:/bin/false\n")
    (root / "etc/group").write_text("root:x:0:\ntty:x:5:\nvideo:x:44:\nedgemass:x:990:\n")


def _install(site: Path, entries: Mapping[str, Locked], platforms: Sequence[str]) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as requirements:
        requirements.write("".join(f"{entry.text}\n" for entry in entries.values()))
        requirements.flush()
        board = ["--implementation=cp", f"--python-version={PYTHON}", *(f"--platform={name}" for name in platforms)]
        _pip("install", requirements.name, "--only-binary=:all:", "--target", str(site), *board)


def _compile(root: Path) -> None:
    """Have Python's own modules compiled once, as Debian does when it configures them: a run begins twice as fast."""
    if not user_mode.missing("aarch64"):
        command = ["/usr/bin/python3", "-c", "import edgemass.cli.run, edgemass.agent, edgemass.bundles.observe"]
        environment = {"PYTHONPATH": f"/repository:/{SITE}"}
        mounts = {REPOSITORY: "/repository"}
        user_mode.run(root, "aarch64", command, environment=environment, mounts=mounts, timeout_s=BUILD_S)


def _build_msgspec(root: Path, msgspec: Locked) -> None:
    """Build the wheel from its source with the root's own Python and gcc, as a board without wheels does it."""
    source = root / MSGSPEC_SOURCE
    source.mkdir()
    requirements = source.with_suffix(".txt")
    requirements.write_text(msgspec.text + "\n", encoding="utf-8")
    _pip("download", str(requirements), "--no-binary=msgspec", "--dest", str(root / "opt"))
    (archive,) = (root / "opt").glob("msgspec-*.tar.gz")
    _call(["tar", "-xf", str(archive), "-C", str(source), "--strip-components=1", "--no-same-owner"], FETCH_S)
    command = ["/usr/bin/python3", "-c", MSGSPEC_BUILD]
    built = user_mode.run(root, "arm", command, environment={"PYTHONPATH": f"/{SITE}"}, timeout_s=BUILD_S)
    if built.returncode:
        raise RuntimeError(f"msgspec does not build on armhf: {built.stderr.strip()[-500:]}")
    (wheel,) = (source / "dist").glob("msgspec-*armv7l.whl")
    with zipfile.ZipFile(wheel) as files:
        files.extractall(root / SITE)


def _pip(verb: str, requirements: str, *options: str) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    _call([*pip, verb, "--require-hashes", "--no-deps", "--requirement", requirements, *options], FETCH_S)


def _call(command: Sequence[str], timeout_s: float) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=timeout_s, env=_environment())
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{command[0]} did not end in {timeout_s:.0f} s") from error
    except subprocess.CalledProcessError as error:
        raise UnavailableError(f"{' '.join(command[:4])} ... failed: {error.stderr.strip()[-500:]}") from error


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
