"""locked.py REPORT LOCK: the entries of a hashed lock that a resolution of pip's (`--report`) needs."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path


def main(report: Path, lock: Path) -> None:
    resolved = [item["metadata"]["name"] for item in json.loads(report.read_text(encoding="utf-8"))["install"]]
    wanted = {_normal(name) for name in resolved} - {"edgemass"}
    entries = re.split(r"\n(?=[A-Za-z0-9])", lock.read_text(encoding="utf-8"))
    by_name = [(_normal(re.split(r"[=\[ ;]", entry, maxsplit=1)[0]), entry) for entry in entries]
    missing = wanted - {name for name, _ in by_name}
    if missing:
        sys.exit(f"{lock} has no {', '.join(sorted(missing))}; `make lock` writes it anew")
    sys.stdout.write("".join(f"{entry}\n" for name, entry in by_name if name in wanted))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
