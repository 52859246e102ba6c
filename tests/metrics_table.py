"""Writes the table of metrics into docs/health.md: python -m tests.metrics_table."""

from __future__ import annotations

import re
from pathlib import Path

from edgemass.health.metrics import METRICS

DOCS = Path(__file__).resolve().parents[1] / "docs" / "health.md"
HEAD = "| metric | type | what it says |\n|---|---|---|\n"


def table() -> str:
    return HEAD + "".join(f"| `{metric.name}` | {metric.kind} | {metric.help} |\n" for metric in METRICS)


def main() -> None:
    text = DOCS.read_text(encoding="utf-8")
    found = re.compile(re.escape(HEAD) + r"(?:\|.*\n)*")
    DOCS.write_text(found.sub(lambda _: table(), text), encoding="utf-8")


if __name__ == "__main__":
    main()
