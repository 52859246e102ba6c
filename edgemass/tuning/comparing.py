"""All that `edgemass bench --all` does: frames, rows, the best of them, and what is worth saying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from edgemass.bundles import Bundle, picks
from edgemass.bundles.derived import with_derived
from edgemass.errors import UsageError
from edgemass.progress import Progress
from edgemass.tuning import frames, measuring
from edgemass.tuning.candidates import accelerators, candidates, reference
from edgemass.tuning.choosing import Choice, Limits, choose, quantized_for_nothing, unsteady
from edgemass.tuning.quantization import dynamic
from edgemass.tuning.row import Row
from edgemass.tuning.table import table


@dataclass(frozen=True)
class Comparison:
    """bundle: with what this device derives. frames: on what it was measured, in words. notes: sentences."""

    bundle: Bundle
    frames: str
    seconds: float
    rows: tuple[Row, ...]
    choice: Choice
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        return f"{self.bundle.manifest.name} on {self.frames}"


def compare(
    bundle: Bundle,
    *,
    camera: str | None,
    variant: str | None,
    seconds: float | None,
    limits: Limits,
    progress: Progress,
) -> Comparison:
    """Measure everything that this board can run of a bundle.

    camera: whose frames to use; None = made-up pictures. variant: this one only. seconds: for each row.

    Raises:
        UsageError: no such variant, or a camera address that nothing can read.
        SourceError: the camera gave no frame.
    """
    pictures = frames.made_up() if camera is None else frames.of_camera(camera)
    bundle = with_derived(bundle)
    if variant is not None:
        bundle.variant(variant)  # refuses one that is not there
    wanted = candidates(bundle, variant=variant, accelerators=accelerators())
    seconds = measuring.SECONDS if seconds is None else seconds
    rows = measuring.measure(bundle, wanted, pictures, seconds=seconds, progress=progress)
    choice = choose(bundle, rows, limits, reference(bundle))
    height, width = pictures[0].shape[:2]
    return Comparison(
        bundle,
        f"{len(pictures)} {'made-up pictures' if camera is None else 'frames'} of {width}x{height}",
        seconds,
        tuple(rows),
        choice,
        (*unsteady(choice), *quantized_for_nothing(bundle, rows), *dynamic(bundle)),
    )


def told(comparison: Comparison) -> str:
    """For people: what was measured, the table, the notes, the best."""
    best = comparison.choice.best
    lines = [
        f"{comparison.title}, {comparison.seconds:g} s a row",
        f"of ref.: p95 over that of {reference(comparison.bundle)}, measured in turn with each row",
        "",
        table(comparison.rows, comparison.choice),
        "",
        *(f"note: {note}" for note in comparison.notes),
    ]
    if best is None:
        return "\n".join((*lines, f"best: {comparison.choice.reason}"))
    return "\n".join((*lines, f"best: {best.candidate}, {best.ratio:.2f} of the reference; {comparison.choice.reason}"))


def as_json(comparison: Comparison, *, picked: bool) -> str:
    """For scripts: one object."""
    best = comparison.choice.best
    rows: Sequence[dict[str, Any]] = [
        {**_flat(row), "usable": said.usable, "reason": said.reason, "best": row is best}
        for row, said in zip(comparison.rows, comparison.choice.verdicts, strict=True)
    ]
    return msgspec.json.encode(
        {
            "model": comparison.bundle.manifest.name,
            "digest": comparison.bundle.digest,
            "frames": comparison.frames,
            "seconds": comparison.seconds,
            "versions": picks.versions(),
            "board": picks.board(),
            "reference": msgspec.to_builtins(reference(comparison.bundle)),
            "rows": rows,
            "best": _flat(best) if best else None,
            "notes": comparison.notes,
            "picked": picked,
        }
    ).decode()


def check_limits(limits: Limits) -> None:
    """Refuse limits that mean nothing.

    Raises:
        UsageError: one is out of range.
    """
    if not 0 <= limits.max_loss <= 1:
        raise UsageError(f"--max-loss must lie between 0 and 1, found {limits.max_loss}")
    if not 0 < limits.min_agreement <= 1:
        raise UsageError(f"--min-agreement must lie above 0 and at most at 1, found {limits.min_agreement}")


def _flat(row: Row) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(row)
    flat = {**fields.pop("candidate"), **fields}
    return flat if row.failure else {**flat, "ratio": round(row.ratio, 4)}
