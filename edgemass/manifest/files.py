"""The files of a bundle: variants of the model, pictures to try it on, pages for people."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec

from edgemass.manifest.input import InputSpec
from edgemass.manifest.output import OutputSpec

FILE = "manifest.toml"
MAX_FILE_NAME = 255  # bytes, of every file system that we know

_SHA256 = re.compile(r"[0-9a-f]{64}")

RuntimeName = Literal["onnx", "tflite"]


class Accuracy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What `edgemass eval` said of a variant, with its words.

    data: which pictures or texts. images: how many of them.
    """

    data: str
    images: int
    map_50_95: float | None = None
    map_50: float | None = None
    top1: float | None = None
    top5: float | None = None


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One model file of the bundle.

    file: name in the bundle's folder, no path.
    precision: "fp32", "fp16", "int8", ...
    measured_ms: board -> median latency of a run.
    address: https://... of exactly this file, where `edgemass model pull` gets it; empty when it comes with the bundle.
    made_from: name of the variant that this one was rewritten or quantized from; empty for the stock file.
    input, output: where they differ from the manifest's own, as those of a rewritten graph do.
    accuracy: measured with this variant; the manifest's own is that of the reference variant.
    """

    name: str
    file: str
    runtime: RuntimeName
    sha256: str
    size_bytes: int
    precision: str = "fp32"
    targets: tuple[str, ...] = ()
    measured_ms: dict[str, float] = msgspec.field(default_factory=dict)
    address: str = ""
    made_from: str = ""
    input: InputSpec | None = None
    output: OutputSpec | None = None
    accuracy: tuple[Accuracy, ...] = ()


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A picture of the bundle, or a text, with what the reference variant finds in it.

    image: a file beside the manifest; or text: what is read.
    sha256, size_bytes: of the picture's file; without them it stays behind when the bundle is published.
    """

    labels: tuple[str, ...]
    scores: tuple[float, ...]
    image: str = ""
    text: str = ""
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    score_tolerance: float = 0.05
    iou_tolerance: float = 0.9
    sha256: str = ""
    size_bytes: int = 0


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file for people that comes with the bundle, such as card.md."""

    file: str
    sha256: str
    size_bytes: int


def check_variants(variants: tuple[Variant, ...]) -> None:
    if not variants:
        raise ValueError("variants is empty, wanted at least the stock file")
    if variants[0].input is not None or variants[0].output is not None:
        raise ValueError(f"variants: {variants[0].name} comes first, so its input and output are the manifest's own")
    names = [variant.name for variant in variants]
    for variant in variants:
        if names.count(variant.name) > 1:
            raise ValueError(f"variants: two are named {variant.name!r}; give each a name of its own")


def check_files(variants: tuple[Variant, ...], golden: tuple[Golden, ...], documents: tuple[Document, ...]) -> None:
    """Every file lies in the bundle's own folder, under a name of its own; golden samples may share a picture."""
    pictures = {item.image: ("golden", item.image, item.sha256) for item in golden if item.image}
    files = [("variants", item.file, item.sha256) for item in variants]
    files += [("documents", item.file, item.sha256) for item in documents]
    files += pictures.values()
    names = [name for _, name, _ in files]
    for where, name, sha256 in files:
        plain = Path(name).name == name and name not in ("", ".", "..") and "\0" not in name
        if not plain or len(name.encode(errors="replace")) > MAX_FILE_NAME:
            raise ValueError(f"{where}: file {name!r} must be a plain file name inside the bundle's folder")
        if name == FILE or (where != "variants" and names.count(name) > 1):
            raise ValueError(f"{where}: file {name!r} is taken; give each file a name of its own")
        if not (_SHA256.fullmatch(sha256) or (where != "documents" and not sha256)):
            raise ValueError(f"{where}: sha256 of {name} must be 64 hexadecimal digits, found {sha256[:80]!r}")
