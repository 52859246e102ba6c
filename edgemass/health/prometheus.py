"""A health document as text for Prometheus: the format alone, `metrics` says what is in it."""

from __future__ import annotations

import math

from edgemass.health.metrics import METRICS
from edgemass.health.samples import Sample
from edgemass.messages.health import HealthMessage

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(message: HealthMessage) -> str:
    """All metrics of a document in the text format 0.0.4; serve them as CONTENT_TYPE."""
    lines: list[str] = []
    for metric in METRICS:
        samples = list(metric.samples(message))
        if samples:
            lines += [f"# HELP {metric.name} {_escaped(metric.help)}", f"# TYPE {metric.name} {metric.kind}"]
            lines += [_line(metric.name, sample) for sample in samples]
    return "\n".join([*lines, ""])


def _line(name: str, sample: Sample) -> str:
    labels = ",".join(f'{label}="{_quoted(value)}"' for label, value in sample.labels.items())
    return f"{name}{sample.suffix}{f'{{{labels}}}' if labels else ''} {number(sample.value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quoted(value: str) -> str:
    return _escaped(value).replace('"', r"\"")


def number(value: float) -> str:
    """As Go writes and reads it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.15g}"
