"""A trained sequence net as a bundle, with its state, and golden samples and accuracy from what training held out."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import nn

from edgemass import backends, bundles, evaluate
from edgemass.bundles import Bundle
from edgemass.detections import Classification
from edgemass.detector import Detector, Feed, Stream, Thresholds, made_up_picture
from edgemass.errors import BundleError, UsageError
from edgemass.frame import Image
from edgemass.manifest import Accuracy, Golden, InputSpec, Manifest, OutputSpec, Resize, StateTensor, TextRule, Variant
from edgemass.progress import Progress, Steps
from edgemass.sources.images import read
from edgemass.texts import as_image
from edgemass_tools import card, checkpoint
from edgemass_tools.checkpoint import Checkpoint
from edgemass_tools.data.sequences import TRUTH
from edgemass_tools.exporting import sequence_graphs, tflite
from edgemass_tools.exporting.bundle import Order, named, new_variant, timed
from edgemass_tools.exporting.sequence_graphs import NEXT, SCORES, Graph
from edgemass_tools.nets import lstm_digits, lstm_text
from edgemass_tools.training.sequence_runs import HELD

BYTES_PER_RUN = 64
GOLDEN_SAMPLES = 5
GOLDEN_TOLERANCE = 0.01
CLOSE = 1e-4
"""Between probabilities of PyTorch and of a runtime: a hundred times what another order of float32 sums explains."""
SCORE = 0.1
_CHILD = "edgemass_tools.exporting._sequence_tflite"


@dataclass(frozen=True)
class Exported:
    """trained: what the checkpoint's last step reached. Variants bear their accuracy where something was held out."""

    bundle: Bundle
    trained: Mapping[str, float]


def export(source: Path, order: Order, per_run: int | None, steps: Steps) -> Exported:
    """Write the bundle, once every file gave what PyTorch gives.

    per_run: rows or bytes of a run; None = the whole picture, BYTES_PER_RUN of a text.

    Raises:
        UsageError: no sequence net, a number of rows or bytes that does not do, or a folder that holds something.
        BundleError: a runtime answers otherwise than PyTorch.
        ConfigError: the converter is not installed.
    """
    body = checkpoint.load(source)
    net = checkpoint.module(body)
    spec, graph = reading(net, per_run)
    truth = source.parent / HELD / TRUTH
    with tempfile.TemporaryDirectory(prefix="edgemass-export.") as work:
        files = _files(source, order, per_run, graph, Path(work), steps)
        made = named(_manifest(order.name, body, graph, spec, files), order)
        samples = _samples(truth, spec)
        variants = []
        for item in made.variants:
            detector = _detector(made, item, files[item.file])
            _check_answers(item, detector, net, samples)
            found = _accuracy(detector.stream(), made, truth, steps(f"measuring {item.name}"))
            variants.append(msgspec.structs.replace(item, accuracy=found))
            detector.backend.close()
        golden = _golden(_detector(made, made.reference, files[made.reference.file]).stream(), made, samples)
        made = msgspec.structs.replace(made, variants=tuple(variants), accuracy=variants[0].accuracy, golden=golden)
        made = timed(made, files)
        files |= {f"golden-{Path(name).name}": Path(name) for name, _ in samples if spec.text is None}
        files[card.FILE] = Path(work) / card.FILE
        files[card.FILE].write_text(card.text(made, body, order.notes), encoding="utf-8")
        written = bundles.write_new(made, files, order.output)
    return Exported(written, body.record[-1].results if body.record else {})


def reading(net: nn.Module, per_run: int | None) -> tuple[InputSpec, Graph]:
    """How a device feeds the net, and the net so."""
    if per_run is not None and per_run < 1:
        raise UsageError(f"--per-run must be at least 1, found {per_run}")
    if isinstance(net, lstm_text.ByteReader):
        count = per_run or BYTES_PER_RUN
        spec = InputSpec(
            name="bytes", layout="NT", dtype="int32", text=TextRule(bytes_per_run=count, padding=lstm_text.PADDING)
        )
        return spec, sequence_graphs.part(net, spec.name, torch.ones(1, count, dtype=torch.int32))
    if not isinstance(net, lstm_digits.RowReader):
        raise UsageError(f"{type(net).__name__} is no sequence net")
    side = net.lstm.input_size
    if per_run is not None and side % per_run:
        raise UsageError(f"--per-run {per_run} does not divide the {side} rows of a picture")
    spec = InputSpec(
        name="rows",
        layout="NHW",
        dtype="float32",
        width=side,
        height=side,
        color="GRAY",
        resize=Resize(interpolation="area"),
        std=(255.0,),
        rows_per_run=per_run,
    )
    if per_run is None:
        return spec, sequence_graphs.whole(net, spec.name, torch.zeros(1, side, side))
    return spec, sequence_graphs.part(net, spec.name, torch.zeros(1, per_run, side))


def _files(
    source: Path, order: Order, per_run: int | None, graph: Graph, folder: Path, steps: Steps
) -> dict[str, Path]:
    """The model files by name, the reference first."""
    path = folder / f"{order.name}.onnx"
    steps("ONNX")(0, 1)
    sequence_graphs.to_onnx(graph, path)
    files = {path.name: path}
    if order.tflite:
        path = folder / f"{order.name}.tflite"
        steps("TFLite")(0, 1)
        tflite.check_installed()
        tflite.run_child(_CHILD, [str(source), str(path), str(per_run or 0)], "LiteRT's converter")
        files[path.name] = path
    return files


def _manifest(name: str, body: Checkpoint, graph: Graph, spec: InputSpec, files: Mapping[str, Path]) -> Manifest:
    state = [
        StateTensor(input=key, output=key + NEXT, shape=tuple(value.shape), dtype="float32")
        for key, value in list(graph.example.items())[1:]
    ]
    first, *others = (new_variant(path.suffix[1:], path, path.suffix[1:]) for path in files.values())
    return Manifest(
        name=name,
        task="classification",
        labels=body.labels,
        input=spec,
        output=OutputSpec(family="sequence_classifier", tensors={SCORES: (SCORES,)}, options={"activation": "none"}),
        state=tuple(state),
        variants=(first, *(msgspec.structs.replace(item, made_from=first.name) for item in others)),
        score=SCORE,
    )


def _samples(truth: Path, spec: InputSpec) -> list[tuple[str, Image]]:
    """The first held-out item of some classes: a text, or the path of a picture, and what a camera would give."""
    if not truth.is_file():
        return []
    with truth.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    firsts: dict[str, str] = {}
    for item, label in rows:
        firsts.setdefault(label, item)
    chosen = list(firsts.values())[:: max(1, len(firsts) // GOLDEN_SAMPLES)][:GOLDEN_SAMPLES]
    if spec.text is not None:
        return [(text, as_image(text.encode())) for text in chosen]
    return [(str(truth.parent / name), read(truth.parent / name)) for name in chosen]


def _detector(made: Manifest, item: Variant, path: Path) -> Detector:
    backend = backends.load(item.runtime).open(path, backends.Options(threads=1))
    return Detector(made, backend, lambda: item.name)


def _check_answers(item: Variant, detector: Detector, net: nn.Module, samples: Sequence[tuple[str, Image]]) -> None:
    """PyTorch on whole samples and the runtime on their parts must say the same.

    Raises:
        BundleError: they do not.
    """
    made = detector.manifest
    stream = detector.stream()
    for image in [image for _, image in samples] or [made_up_picture()]:
        found = stream.detect(image, Thresholds(-1.0)).found
        assert isinstance(found, Classification)
        parts = [inputs[made.input.name].copy() for inputs in Feed(made).parts(image)]
        with torch.inference_mode():
            wanted = torch.softmax(net(torch.from_numpy(np.concatenate(parts, axis=1))), 1)[0].numpy()
        worst = float(np.abs(found.score - wanted[found.class_id]).max())
        if not worst <= CLOSE:
            raise BundleError(
                f"{item.name} answers otherwise than PyTorch: probabilities differ by {worst:.2g}, at most {CLOSE:g} "
                "may be; nothing was written"
            )


def _accuracy(stream: Stream, made: Manifest, truth: Path, progress: Progress) -> tuple[Accuracy, ...]:
    """As `edgemass eval` has it; nothing where nothing was held out."""
    if not truth.is_file():
        return ()
    if made.input.text is not None:
        found = evaluate.texts(stream, made.labels, truth, progress)
    else:
        found = evaluate.classification(stream, made.labels, truth.parent, truth, progress)
    return (Accuracy(data="held out of training", images=found.images, top1=found.top1, top5=found.top5),)


def _golden(stream: Stream, made: Manifest, samples: Sequence[tuple[str, Image]]) -> tuple[Golden, ...]:
    golden = []
    for name, image in samples:
        found = stream.detect(image, Thresholds(made.score)).found
        assert isinstance(found, Classification)
        golden.append(
            Golden(
                labels=tuple(made.labels[class_id] for class_id in found.class_id),
                scores=tuple(round(float(score), 4) for score in found.score),
                score_tolerance=GOLDEN_TOLERANCE,
                image="" if made.input.text is not None else f"golden-{Path(name).name}",
                text=name if made.input.text is not None else "",
            )
        )
    return tuple(golden)
