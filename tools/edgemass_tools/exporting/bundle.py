"""A checkpoint becomes a bundle: files, manifest, golden samples, card; never with a file that answers otherwise."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch

from edgemass import backends, bundles
from edgemass.bundles import Bundle
from edgemass.bundles.fingerprint import fingerprint
from edgemass.detector import Detector, Feed, Stream, made_up_picture
from edgemass.errors import BundleError, UsageError
from edgemass.frame import Image
from edgemass.manifest import Manifest, Variant
from edgemass.progress import Steps, untold
from edgemass.sources.images import read
from edgemass.tensors import AnyArray
from edgemass_tools import agreement, card, checkpoint, exporting, speed
from edgemass_tools.checkpoint import Checkpoint
from edgemass_tools.exporting import golden, halves, tflite

TFLITE = "tflite"
TOLERANCE = 2e-3
"""Of a net's raw answers over their largest, between PyTorch and a runtime; with weights in halves the tenfold."""
LEAST_AGREEMENT = 0.97
IMAGINED = 2


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for.

    golden: pictures to take as golden samples; none = imagined ones, where the net can. halves: weights as float16.
    tflite: write a TFLite variant too. notes: Markdown for the card. labels: the classes to keep, none = all.
    size: (width, height) of the picture where it is another than in training.
    """

    output: Path
    name: str
    version: str = "1"
    release: int = 1
    licence: str = "unknown"
    score: float | None = None
    golden: tuple[Path, ...] = ()
    halves: bool = False
    tflite: bool = False
    notes: str = ""
    labels: tuple[str, ...] = ()
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Exported:
    """worst: largest difference of raw answers to PyTorch's over their largest."""

    bundle: Bundle
    worst: float


def export(source: Path, order: Order, steps: Steps) -> Exported:
    """See the module.

    Raises:
        UsageError: not a checkpoint, a net that cannot be exported, or a folder that holds something else.
        BundleError: a runtime answers otherwise than PyTorch.
    """
    body = checkpoint.load(source)
    if order.labels:
        body = checkpoint.only(body, order.labels)
    if order.size:
        body = msgspec.structs.replace(body, width=order.size[0], height=order.size[1])
    net = checkpoint.module(body)
    exporter = exporting.load(body.net)
    made = named(exporter.manifest(body, order.name), order)
    with tempfile.TemporaryDirectory(prefix="edgemass-export.") as work:
        folder = Path(work)
        path = folder / f"{order.name}.onnx"
        steps("ONNX")(0, 1)
        exporter.to_onnx(net, made, path)
        if order.halves:
            halves.store(path)
        made = msgspec.structs.replace(made, variants=(new_variant("onnx", path, "onnx"),))
        worst = _compared(net, made, path, halves=order.halves)
        files = {path.name: path}
        if order.tflite:
            steps("TFLite")(0, 1)
            variant, file = _tflite(body, made, folder)
            made = msgspec.structs.replace(made, variants=(*made.variants, variant))
            files[file.name] = file
        steps("golden samples")(0, 1)
        pictures = _golden_pictures(net, body, order)
        stream = _stream(made, made.reference, path)
        made = msgspec.structs.replace(made, golden=golden.samples(stream, made, pictures))
        for name, image in pictures:
            golden.write(image, folder / name)
            files[name] = folder / name
        _check_variants(made, files, pictures)
        made = timed(made, files)
        (folder / card.FILE).write_text(card.text(made, body, order.notes), encoding="utf-8")
        files[card.FILE] = folder / card.FILE
        written = bundles.write_new(made, files, order.output)
    return Exported(written, worst)


def named(made: Manifest, order: Order) -> Manifest:
    return msgspec.structs.replace(
        made,
        version=order.version,
        release=order.release,
        licence=order.licence,
        source="made by edgemass-tools, see card.md",
        score=made.score if order.score is None else order.score,
    )


def new_variant(name: str, path: Path, runtime: str) -> Variant:
    sha256, size = fingerprint(path)
    return Variant(
        name=name, file=path.name, runtime="onnx" if runtime == "onnx" else "tflite", sha256=sha256, size_bytes=size
    )


def _compared(net: torch.nn.Module, made: Manifest, path: Path, *, halves: bool) -> float:
    """How far ONNX Runtime's answers are from PyTorch's on a made-up picture.

    Raises:
        BundleError: too far.
    """
    prepared, _ = Feed(made).prepare(made_up_picture())
    inputs = {name: array.copy() for name, array in prepared.items()}
    backend = backends.load("onnx").open(path, backends.Options(threads=1))
    try:
        answers = [tensor.real() for tensor in backend.run(inputs).values()]
    finally:
        backend.close()
    wanted = _torch_answers(net, inputs[made.input.name])
    if [item.shape for item in answers] != [item.shape for item in wanted]:
        return float("nan")  # outputs of a length of their own; what they find is compared with the golden samples
    scale = max(float(np.abs(item).max()) for item in wanted)
    worst = max(float(np.abs(one - other).max()) for one, other in zip(answers, wanted, strict=True)) / scale
    if worst > TOLERANCE * (10 if halves else 1):
        raise BundleError(f"the ONNX file answers otherwise than PyTorch: {worst:.4f} of the largest answer")
    return worst


def _torch_answers(net: torch.nn.Module, picture: AnyArray) -> list[AnyArray]:
    def flat(item: object) -> list[AnyArray]:
        if isinstance(item, torch.Tensor):
            return [item.float().numpy()]
        if isinstance(item, Mapping):
            item = tuple(item.values())
        assert isinstance(item, Sequence)
        return [array for part in item for array in flat(part)]

    with torch.inference_mode():
        return flat(net(torch.from_numpy(picture)))


def _tflite(body: Checkpoint, made: Manifest, folder: Path) -> tuple[Variant, Path]:
    exporter = exporting.load_tflite(body.net)
    if exporter is None:
        raise UsageError(f"nets of kind {body.net!r} have no TFLite export; leave out --tflite")
    path = folder / f"{made.name}.tflite"
    checkpoint.save(body, folder / "for-tflite.pt")
    tflite.convert(folder / "for-tflite.pt", path)
    backend = backends.load("tflite").open(path, backends.Options(threads=1))
    names = tuple(info.name for info in backend.outputs)
    picture_name = backend.inputs[0].name
    backend.close()
    picture, answer = exporter.tflite_specs(made, names)
    variant = msgspec.structs.replace(
        new_variant(TFLITE, path, "tflite"),
        made_from=made.reference.name,
        input=msgspec.structs.replace(picture, name=picture_name),
        output=answer,
    )
    return variant, path


def _golden_pictures(net: torch.nn.Module, body: Checkpoint, order: Order) -> list[tuple[str, Image]]:
    if order.golden:
        return [(f"golden-{index}.png", read(path)) for index, path in enumerate(order.golden, start=1)]
    if body.net != "edge-detector":
        return []
    size = body.width, body.height
    return [(f"golden-{seed + 1}.png", golden.imagine(net, size, seed)) for seed in range(IMAGINED)]


def _stream(made: Manifest, variant: Variant, path: Path) -> Stream:
    backend = backends.load(variant.runtime).open(path, backends.Options(threads=1))
    return Detector(made.of(variant), backend, lambda: variant.name).stream()


def _check_variants(made: Manifest, files: Mapping[str, Path], pictures: Sequence[tuple[str, Image]]) -> None:
    """Raises BundleError where a further variant finds something else in the golden pictures than the reference."""
    first = _stream(made, made.reference, files[made.reference.file])
    for variant in made.variants[1:]:
        paths = [files[name] for name, _ in pictures]
        other = _stream(made, variant, files[variant.file])
        agreed = agreement.compare(first, other, paths, made.score, untold)
        if agreed.share is not None and agreed.share < LEAST_AGREEMENT:
            raise BundleError(
                f"variant {variant.name} agrees with {made.reference.name} on {agreed.same} of {agreed.all} answers in "
                "the golden samples; wanted all"
            )


def timed(made: Manifest, files: Mapping[str, Path]) -> Manifest:
    """With the milliseconds of a run on one thread of this machine."""
    timed = []
    for variant in made.variants:
        seconds = speed.run_s([(variant.runtime, files[variant.file], made.of(variant))])[0]
        key = f"{checkpoint.machine()}, 1 thread"
        timed.append(
            msgspec.structs.replace(variant, measured_ms={**variant.measured_ms, key: round(seconds * 1e3, 2)})
        )
    return msgspec.structs.replace(made, variants=tuple(timed))
