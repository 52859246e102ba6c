"""The card of a sequence net's bundle: what it is, what it was made of, what it reaches, and how to make it again."""

from __future__ import annotations

from collections.abc import Iterator

from edgemass.manifest import Manifest
from edgemass_tools.checkpoint import Checkpoint, Step


def card(manifest: Manifest, made: Checkpoint, per_run: int | None) -> str:
    """Markdown. per_run: as the export was asked."""
    return "\n".join(_lines(manifest, made, per_run)) + "\n"


def _lines(manifest: Manifest, made: Checkpoint, per_run: int | None) -> Iterator[str]:
    spec = manifest.input
    reads = (
        f"texts, {spec.text.bytes_per_run} bytes a run" if spec.text else f"grey pictures of {spec.width}x{spec.height}"
    )
    if spec.rows_per_run:
        reads += f", {spec.rows_per_run} rows a run"
    yield f"# {manifest.name}\n"
    yield f"An LSTM that reads {reads}, and tells one of {len(manifest.labels)} classes.\n"
    yield "| | |\n|---|---|"
    yield f"| net | `{made.net}` {made.options or ''} |"
    yield f"| classes | {', '.join(manifest.labels)} |"
    state = ", ".join(f"{pair.input} {list(pair.shape)}" for pair in manifest.state)
    yield f"| state | {f'{state}; carried from run to run, forgotten before the next frame' if state else 'none'} |"
    yield f"| licence | {manifest.licence} |"
    yield "\n## Variants\n"
    yield "| variant | bytes | top-1 | top-5 | items | ms a frame, one thread |\n|---|---|---|---|---|---|"
    for variant in manifest.variants:
        found = next(iter(variant.accuracy), None)
        figures = f"{found.top1:.4f} | {found.top5:.4f} | {found.images}" if found else "not measured | | "
        took = ", ".join(f"{ms:g} ({machine})" for machine, ms in variant.measured_ms.items())
        yield f"| `{variant.name}` | {variant.size_bytes} | {figures} | {took} |"
    yield "\nMeasured on what was held out of training, by the device's own path, as `edgemass eval` does.\n"
    yield "## How it was made\n"
    for step in made.record:
        yield from _step(step)
    options = f" --per-run {per_run}" if per_run is not None else ""
    yield f"Then `edgemass-tools export model.pt{options} -o {manifest.name}`."


def _step(step: Step) -> Iterator[str]:
    yield f"- {step.verb}, {step.date}: {step.hours * 3600:.0f} s on {step.machine}"
    for line in step.data:
        yield f"    - data: {line}"
    yield f"    - settings: {', '.join(f'{key} {value}' for key, value in step.settings.items())}"
    yield f"    - results: {', '.join(f'{key} {value:.4f}' for key, value in step.results.items())}"
    yield f"    - versions: {', '.join(f'{key} {value}' for key, value in step.versions.items())}\n"
