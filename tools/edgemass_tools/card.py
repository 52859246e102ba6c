"""The card of a model, from its manifest and record: what it is, what it was made of, how, and how well it does."""

from __future__ import annotations

from collections.abc import Iterator

from edgemass.manifest import Accuracy, InputSpec, Manifest
from edgemass_tools.checkpoint import Checkpoint, Step

FILE = "card.md"
_FILES, _MADE = "## Files\n", "## How it was made\n"
_EMPTY: tuple[object, ...] = ("", None, False, 0, [], {})


def text(manifest: Manifest, checkpoint: Checkpoint, notes: str) -> str:
    """Markdown."""
    parts = [
        f"# {manifest.name}\n",
        _summary(manifest),
        _FILES,
        _files(manifest),
        _MADE,
        *(_step(number, step) for number, step in enumerate(checkpoint.record, start=1)),
    ]
    if notes.strip():
        parts.append(notes.strip() + "\n")
    return "\n".join(parts)


def extended(old: str, manifest: Manifest, step: Step) -> str:
    """A card with the files of this manifest and one more step; one that somebody wrote by hand is left as it is."""
    head, files, rest = old.partition(_FILES)
    _, made, steps = rest.partition(_MADE)
    if not files or not made:
        return old
    steps, notes, tail = steps.partition("\n## ")
    return f"{head}{files}\n{_files(manifest)}\n{made}{steps}\n{_step(steps.count('### ') + 1, step)}{notes}{tail}"


def _summary(manifest: Manifest) -> str:
    labels = ", ".join(manifest.labels[:10]) + (", ..." if len(manifest.labels) > 10 else "")
    rows = {
        "task": manifest.task,
        "finds": labels,
        "input": _input(manifest),
        "licence": manifest.licence,
        "version": f"{manifest.version} (release {manifest.release})",
        "default score": f"{manifest.score:g}",
    }
    return _table(("", ""), ([key, value] for key, value in rows.items()))


def _size(spec: InputSpec) -> str:
    return f"{spec.width}x{spec.height}" if spec.width else f"short side {spec.resize.short_side}"


def _input(manifest: Manifest) -> str:
    spec = manifest.input
    if spec.text is not None:
        told = f"text, {spec.text.bytes_per_run} {spec.text.encoding} bytes a run"
    else:
        told = f"{_size(spec)} {spec.color}, {spec.resize.rule}"
        told += f", {spec.rows_per_run} rows a run" if spec.rows_per_run else ""
    state = ", ".join(f"{pair.input} {list(pair.shape)}" for pair in manifest.state)
    return f"{told}; state {state}" if state else told


def _files(manifest: Manifest) -> str:
    rows = []
    for variant in manifest.variants:
        measured = variant.accuracy or (manifest.accuracy if variant is manifest.reference else ())
        fast = "; ".join(f"{value:g} ms ({key})" for key, value in variant.measured_ms.items())
        rows.append(
            [
                variant.name,
                variant.runtime,
                variant.precision,
                f"{variant.size_bytes / 1e6:.2f} MB",
                fast,
                _said(measured),
            ]
        )
    return _table(("variant", "runtime", "precision", "size", "one run", "accuracy"), rows)


def _said(entries: tuple[Accuracy, ...]) -> str:
    said = []
    for entry in entries:
        values = (
            ("mAP 50-95", entry.map_50_95),
            ("mAP 50", entry.map_50),
            ("top-1", entry.top1),
            ("top-5", entry.top5),
        )
        figures = ", ".join(f"{name} {value:.3f}" for name, value in values if value is not None)
        said.append(f"{figures} on {entry.data} ({entry.images})")
    return "; ".join(said) or "not measured"


def _step(number: int, step: Step) -> str:
    lines = [f"### {number}. {step.verb}\n", f"{step.date}, {step.hours:.2f} h of {step.machine}.\n"]
    if step.data:
        lines += [*(f"- data: {line}" for line in step.data), ""]
    if step.settings:
        given = ", ".join(f"{key} {_plain(value)}" for key, value in step.settings.items() if value not in _EMPTY)
        lines.append(f"Settings: {given}.\n")
    if step.results:
        lines.append("Results: " + ", ".join(f"{key} {value:.4g}" for key, value in step.results.items()) + ".\n")
    if step.versions:
        lines.append("Versions: " + ", ".join(f"{key} {value}" for key, value in step.versions.items()) + ".\n")
    return "\n".join(lines)


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    return str(value)


def _table(head: tuple[str, ...], rows: Iterator[list[str]] | list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
