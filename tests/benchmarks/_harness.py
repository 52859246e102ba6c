"""What the benchmarks share: taking turns, figures, tables, and what a result has to say of its machine.

A benchmark prints a table and writes one JSON object:

    {"benchmark", "date", "machine", "versions", "arguments", "rows": [{...}], "figures": {name: number}}

rows: the table, one object a line. figures: the few numbers that a target is set for.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NoReturn, TypeAlias

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD = REPOSITORY / "build"
RESULTS = BUILD / "bench"
MODELS = RESULTS / "models"
PEERS = BUILD / "peers"

SKIPPED = 77  # exit code, as Automake's tests have it

PACKAGES = (
    "edgemass",
    "onnxruntime",
    "ai-edge-litert",
    "opencv-python-headless",
    "numpy",
    "av",
    "paho-mqtt",
    "msgspec",
)

Cell: TypeAlias = "str | float | int | None"
Row: TypeAlias = "dict[str, Cell]"


def arguments(doc: str | None, name: str, *, rounds: int | None = None) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes.

    rounds: the default of --rounds; None leaves the option out.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=RESULTS / f"{name}.json", metavar="FILE", help="where to write")
    if rounds is not None:
        parser.add_argument(
            "--rounds", type=int, default=rounds, metavar="N", help=f"turns of each (default: {rounds})"
        )
    return parser


def skip(reason: str) -> NoReturn:
    """End as one that cannot run here, which is no failure."""
    print(f"skipped: {reason}")
    raise SystemExit(SKIPPED)


def need_models(models: Iterable[str | Path]) -> None:
    """Skip where one of the exported files is not there."""
    for model in models:
        path = Path(model)
        if path.parent == MODELS and not path.is_file():
            skip(f"no file {path.name}; `python tests/benchmarks/peers_env.py ultralytics` exports it")


def pin(cores: str | None) -> list[int]:
    """Keep this process and its children to some cores ("0", "0,1"); returns those that it may use."""
    if cores:
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    return sorted(os.sched_getaffinity(0))


def take_turns(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Call each in turn, `rounds` times, the order reversed every other round; drift of the machine hits all alike."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds):
        order = list(contenders)[:: 1 if turn % 2 == 0 else -1]
        for name in order:
            gc.collect()
            found[name].append(contenders[name]())
    return found


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round."""
    return [one / other for one, other in zip(above, below, strict=True)]


def spread(values: Sequence[float], digits: int = 3) -> Row:
    """Median, least and greatest."""
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }


def times_ms(work: Callable[[], object], runs: int) -> list[float]:
    """Milliseconds of each of `runs` calls."""
    found = []
    for _ in range(runs):
        started = time.perf_counter_ns()
        work()
        found.append((time.perf_counter_ns() - started) / 1e6)
    return found


def machine() -> dict[str, str | int | float]:
    """What the figures depend on; the host's name is nobody's business."""
    model = next((line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if "model name" in line), "")
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "cpu": model or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores": os.cpu_count() or 0,
        "usable_cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory / 1e6),
        "system": platform.system(),
        "kernel": platform.release().split("-")[0],
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of Python and what is installed beside it; extra: of other environments."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found | dict(extra or {})


def table(rows: Iterable[Row]) -> str:
    """Rows as a Markdown table with aligned columns; keys of the first row are the header."""
    rows = list(rows)
    if not rows:
        return "(nothing)"
    cells = [list(rows[0]), *([_shown(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    drawn = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return "\n".join([drawn[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *drawn[1:]])


def finish(
    name: str,
    target: Path,
    *,
    rows: Sequence[Row],
    figures: Mapping[str, float],
    more_rows: Sequence[Row] = (),
    extra_versions: Mapping[str, str] | None = None,
) -> None:
    """Print the table, the figures and the circumstances, and write them.

    more_rows: a second table with other columns.
    """
    result = {
        "benchmark": name,
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": versions(extra_versions),
        "arguments": [Path(part).name if "/" in part else part for part in sys.argv[1:]],
        "rows": list(rows),
        "more_rows": list(more_rows),
        "figures": dict(figures),
    }
    for part in filter(None, (rows, more_rows)):
        print(table(part))
    for figure, value in figures.items():
        print(f"{figure}: {value:.4g}")
    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    print(", ".join(f"{key} {value}" for key, value in versions(extra_versions).items()))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written: {target.name}", flush=True)


def _shown(value: Cell) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
