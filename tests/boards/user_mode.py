"""Programs of another architecture under QEMU's user mode: their own instructions, this machine's kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ENTER = Path(__file__).with_name("enter.sh")
NAMESPACES = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]


def missing(qemu: str) -> str:
    """Why nothing can be run here; empty when it can. qemu: "aarch64" or "arm"."""
    if os.geteuid() != 0:
        return "this needs root"
    absent = [name for name in ("mmdebstrap", f"qemu-{qemu}-static", "unshare") if shutil.which(name) is None]
    if absent or not Path(f"/usr/lib/binfmt.d/qemu-{qemu}.conf").exists():
        return f"no {' '.join(absent) or 'binfmt.d of qemu-user-static'}: run tests/boards/install-packages.sh"
    mount = ["mount", "-t", "binfmt_misc", "binfmt_misc", "/proc/sys/fs/binfmt_misc"]
    probe = subprocess.run([*NAMESPACES, *mount], capture_output=True, text=True, check=False, timeout=30)
    return probe.stderr and f"no binfmt_misc in a namespace (Linux 6.7 or newer has it): {probe.stderr.strip()}"


def run(
    root: Path,
    qemu: str,
    command: Sequence[str],
    *,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
    mounts: Mapping[Path, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run one command inside `root` to its end; it sees no /sys but what is mounted there.

    mounts: folders of this machine, and where they appear inside, read-only.
    """
    pairs = [f"{source}:{target}" for source, target in (mounts or {}).items()]
    return subprocess.run(
        [*NAMESPACES, "sh", str(ENTER), str(root), qemu, *pairs, "--", *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", **(environment or {})},
    )
