"""`edgemass run` under strace, in folders of its own: what it opens to write, and every byte that it sends."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WRITES = "write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,sendmmsg,sendfile,copy_file_range,splice"
OPENS = "open,openat,openat2,creat,memfd_create,mmap"
_OPENED = re.compile(r'(?:open|openat|openat2|creat)\((?:[^,"]*, )?"([^"]*)"(.*)')
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def missing() -> str:
    """Why nothing can be traced here; empty when it can."""
    if not shutil.which("strace"):
        return "no strace"
    probe = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, check=False)
    return "" if probe.returncode == 0 else "strace may not trace here"


@dataclass(frozen=True)
class Left:
    """What a run left and sent. files: path -> content, in its folders. opened: to be written. sent: all bytes."""

    code: int
    out: bytes
    err: bytes
    files: dict[Path, bytes]
    opened: frozenset[Path]
    sent: bytes


def run(folder: Path, *arguments: str, timeout_s: float = 120.0) -> Left:
    """Run to the end, with home, temporary files and working directory below `folder`; the tests' own cache."""
    home, trace = folder / "home", folder / "trace"
    home.mkdir()
    places = {name: str(home) for name in ("HOME", "TMPDIR", "TMP", "TEMP", "XDG_CACHE_HOME")}
    command = ["strace", "-f", "-qq", "-xx", "-s", "10000000", "-e", f"trace={WRITES},{OPENS}", "-o", str(trace)]
    done = subprocess.run(
        [*command, sys.executable, "-B", "-m", "edgemass", "--verbose", "run", *arguments],
        capture_output=True,
        check=False,
        timeout=timeout_s,
        cwd=home,
        env={**os.environ, **places, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    lines = trace.read_text(encoding="ascii", errors="replace").splitlines()
    trace.unlink()
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return Left(done.returncode, done.stdout, done.stderr, files, frozenset(_opened(lines)), b"".join(_sent(lines)))


def _opened(lines: list[str]) -> Iterator[Path]:
    for line in lines:
        match = _OPENED.search(line)
        if match and re.search("O_WRONLY|O_RDWR|O_CREAT|O_TMPFILE|creat", match[0].replace(match[1], "")):
            yield Path(os.fsdecode(ast.literal_eval(f'b"{match[1]}"')))
        elif "memfd_create(" in line:
            yield Path("/memfd")


def _sent(lines: list[str]) -> Iterator[bytes]:
    for line in lines:
        if _OPENED.search(line) or "mmap(" in line or "memfd_create(" in line:
            continue
        for text in _TEXT.findall(line):
            yield bytes.fromhex(text.replace("\\x", ""))
