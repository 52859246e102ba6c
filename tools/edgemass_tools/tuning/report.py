"""What a search found: a table, a picture of history and importance, and the best settings as TOML."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from edgemass import durable
from edgemass.errors import UsageError
from edgemass_tools.tuning.space import Value
from edgemass_tools.tuning.study import Found, Row

BEST, TABLE, PICTURE = "best.toml", "trials.csv", "study.png"
_MARKS = {"pruned": ("x", "tab:orange"), "failed": ("s", "tab:red")}


def write(found: Found, folder: Path, about: Mapping[str, Any]) -> None:
    """BEST, TABLE and PICTURE in that folder. about: objective, command and whatever else BEST shall tell.

    Raises:
        UsageError: it cannot be written.
    """
    best, default = found.best, found.default
    told: dict[str, Any] = {**about, "trials": len(found.rows)}
    if best is not None:
        told |= {"trial": best.number, "value": best.value, "notes": best.notes, "settings": best.settings}
    if default is not None and default.value is not None:
        told |= {"value_of_default": default.value}
    tables: dict[str, Any] = {key: told.pop(key) for key in ("notes", "settings") if key in told}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        durable.write_bytes(folder / TABLE, _csv(found).encode())
        durable.write_bytes(folder / BEST, tomli_w.dumps({**told, **tables}).encode())
        draw(found, str(about.get("objective", "value")), folder / PICTURE)
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror}; choose another folder with -o") from error


def _csv(found: Found) -> str:
    text = io.StringIO()
    settings = list(dict.fromkeys(name for row in found.rows for name in row.settings))
    notes = list(dict.fromkeys(name for row in found.rows for name in row.notes))
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("trial", "state", "value", *settings, *notes, "seconds", "why"))
    for row in found.rows:
        values = [row.settings.get(name, "") for name in settings] + [row.notes.get(name, "") for name in notes]
        value = "" if row.value is None else row.value
        table.writerow((row.number, row.state, value, *values, row.seconds, row.why))
    return text.getvalue()


def lines(found: Found, most: int = 10) -> list[str]:
    """The default, then the best trials, for a terminal."""
    default = found.default
    if default is None:
        return ["no trial is done"]
    done = sorted((row for row in found.rows if row.value is not None), key=lambda row: -(row.value or 0.0))
    shown = [default, *(row for row in done[:most] if row is not default)]
    told = [_line(row, "default" if row is default else f"trial {row.number}") for row in shown]
    count = {state: sum(row.state == state for row in found.rows) for state in ("done", "pruned", "failed")}
    told.append(f"{count['done']} done, {count['pruned']} given up early, {count['failed']} failed")
    if found.importance:
        told.append("importance " + ", ".join(f"{name} {share:.2f}" for name, share in found.importance.items()))
    return told


def _line(row: Row, name: str) -> str:
    value = row.state if row.value is None else f"{row.value:.4f}"
    notes = "".join(f"  {key} {note:.4g}" for key, note in row.notes.items())
    settings = " ".join(f"{key}={shown(item)}" for key, item in row.settings.items())
    return f"{name:10} {value:>8}{notes}  {settings}"


def shown(value: Value) -> str:
    """Four digits are enough to do it again."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def draw(found: Found, objective: str, path: Path) -> None:
    """Every trial over its number with the best so far, and how much each parameter matters. Writes a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 (slow, and only for pictures)
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    done = [(row.number, row.value) for row in found.rows if row.value is not None]
    if done:
        numbers, values = zip(*done, strict=True)
        left.scatter(numbers, values, s=18, color="tab:blue", label="done")
        best = [max(value for _, value in done[: place + 1]) for place in range(len(done))]
        left.step(numbers, best, where="post", color="tab:green", label="best so far")
    if found.default is not None and found.default.value is not None:
        left.axhline(found.default.value, color="gray", linestyle="--", linewidth=1, label="default")
    for state, (mark, color) in _MARKS.items():
        numbers = tuple(row.number for row in found.rows if row.state == state)
        if numbers:
            transform = left.get_xaxis_transform()
            left.scatter(numbers, [0.02] * len(numbers), marker=mark, color=color, transform=transform, label=state)
    left.set_xlim(-0.7, max(len(found.rows), 2) - 0.3)
    left.set_xlabel("trial")
    left.set_ylabel(objective)
    left.grid(alpha=0.3)
    left.legend(frameon=False, fontsize=8)
    shares = sorted(found.importance.items(), key=lambda item: item[1])
    if shares:
        right.barh([name for name, _ in shares], [share for _, share in shares], color="tab:blue")
    else:
        right.text(0.5, 0.5, "too few trials to say", ha="center", va="center")
    right.set_title("importance")
    right.set_xlabel("share")
    figure.savefig(path, dpi=100)
