"""Asks the child process that rewrites a model, and takes in what it made."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgemass import durable
from edgemass import manifest as manifests
from edgemass.bundles.child import Child
from edgemass.bundles.fingerprint import fingerprint
from edgemass.bundles.folder import Bundle
from edgemass.bundles.optimize._rewriter import Order, Report
from edgemass.errors import BundleError
from edgemass.manifest import Manifest, Variant

DEADLINE_S = 300.0
SUFFIX = "-optimized"
WORK_PREFIX = ".optimize."
_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from edgemass.bundles.optimize._rewriter import main; main()"


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    variant: the rewritten one, None where nothing was kept. file: of it, where it lies.
    done: one sentence per change. kept_out: one sentence for each change that was not made, or why nothing was kept.
    ratio: time of one frame, preparation and decoding included, over that of the stock file on this machine.
    """

    variant: Variant | None
    file: Path | None
    done: tuple[str, ...]
    kept_out: tuple[str, ...]
    ratio: float | None = None


def supports(made: Manifest) -> str:
    """Why a bundle cannot be rewritten at all; "" where it may."""
    if made.reference.runtime != "onnx":
        return f"the stock file is {made.reference.runtime}; only ONNX files are rewritten"
    if made.task != "detection":
        return f"the task is {made.task}; only detectors are rewritten"
    if made.input.width is None or made.input.height is None:
        return "the picture's size is free; only graphs of one size are rewritten"
    if made.state:
        return "the model keeps a state from frame to frame"
    return ""


def rewrite(
    bundle: Bundle, folder: Path, *, pictures: Sequence[Path] = (), anyway: bool = False, deadline_s: float = DEADLINE_S
) -> Outcome:
    """Rewrite the bundle's stock file into `folder`.

    pictures: real ones to compare the answers on, beside made-up ones. anyway: keep what is not faster here.

    Raises:
        BundleError: the stock file is missing, or the child crashed on it or took too long.
    """
    made = bundle.manifest
    if reason := supports(made):
        return Outcome(None, None, (), (reason,))
    stock = made.reference
    path = bundle.path(stock)
    name = f"{Path(stock.file).stem}.optimized.onnx"
    with tempfile.TemporaryDirectory(dir=folder, prefix=WORK_PREFIX) as work:
        order = Order(
            model=str(path.resolve()),
            manifest=manifests.to_json(made).decode(),
            folder=work,
            pictures=tuple(str(picture) for picture in pictures),
            anyway=anyway,
        )
        with Child(path, _PROGRAM) as child:
            answer = child.ask(msgspec.json.encode(order) + b"\n", "rewriting it", deadline_s)
        report = msgspec.msgpack.decode(answer, type=Report)
        if not report.file:
            return Outcome(None, None, (), report.kept_out, report.ratio)
        target = folder / name
        durable.move(Path(report.file), target)
    sha256, size = fingerprint(target)
    variant = Variant(
        name=f"{stock.name}{SUFFIX}",
        file=name,
        runtime="onnx",
        sha256=sha256,
        size_bytes=size,
        precision=stock.precision,
        made_from=stock.name,
        input=report.input if report.input != made.input else None,
        output=report.output if report.output != made.output else None,
    )
    others = tuple(item for item in made.variants if item.name != variant.name)
    try:
        msgspec.structs.replace(made, variants=(*others, variant))
    except ValueError as error:
        raise BundleError(f"{made.name}: the rewritten file does not fit the bundle: {error}") from error
    return Outcome(variant, target, report.done, report.kept_out, report.ratio)
