"""Data that is measured with and never learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Held:
    """COCO annotations and their pictures."""

    annotations: Path
    images: Path
