"""Bundles without files, for what only looks at their manifests."""

from __future__ import annotations

from pathlib import Path

from edgemass.bundles import Bundle
from edgemass.manifest import Accuracy, InputSpec, Manifest, OutputSpec, Variant


def made_of(*variants: Variant, accuracy: tuple[Accuracy, ...] = (), name: str = "toy") -> Bundle:
    """variants: the stock file first."""
    return Bundle(
        Manifest(
            name=name,
            task="detection",
            labels=("cat", "dog"),
            input=InputSpec(name="images", layout="NCHW", dtype="float32", width=64, height=64),
            output=OutputSpec(family="yolo_v8", tensors={"output": ("output",)}),
            variants=variants,
            accuracy=accuracy,
        ),
        Path("toy"),
    )
