"""A trained sequence net as a bundle: ONNX and TFLite, with golden samples, latency and accuracy as measured here."""

from __future__ import annotations

import csv
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import nn

from edgemass import backends, durable, evaluate
from edgemass.backends import Options
from edgemass.bundles.fingerprint import fingerprint
from edgemass.bundles.folder import Bundle, add_variant, write_bundle
from edgemass.detections import Classification
from edgemass.detector import Detector, Feed, Stream, Thresholds, made_up_picture
from edgemass.errors import BundleError, UsageError
from edgemass.frame import Image
from edgemass.manifest import Accuracy, Golden, InputSpec, Manifest, OutputSpec, Resize, StateTensor, TextRule, Variant
from edgemass.sources.images import read
from edgemass.texts import as_image
from edgemass_tools import checkpoint
from edgemass_tools.checkpoint import Checkpoint
from edgemass_tools.data.sequences import TRUTH
from edgemass_tools.exporting import sequence_card, sequence_graphs
from edgemass_tools.exporting.sequence_graphs import NEXT, SCORES, Graph
from edgemass_tools.nets import lstm_digits, lstm_text
from edgemass_tools.training.sequence_runs import HELD

RUNTIMES = {  # runtime -> what writes its file
    "onnx": sequence_graphs.to_onnx,
    "tflite": sequence_graphs.to_tflite,
}
BYTES_PER_RUN = 64
GOLDEN = "golden-"  # begins the name of a sample's picture
GOLDEN_SAMPLES = 5
GOLDEN_TOLERANCE = 0.01
CLOSE = 1e-4
"""Between probabilities of PyTorch and of a runtime: a hundred times what float32 and another order of sums explain."""
LATENCY_RUNS = 50
SCORE = 0.1

Progress = Callable[[str], Callable[[int, int], None]]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for; see `edgemass-tools export`.

    per_run: rows or bytes of a run; None = the whole picture, BYTES_PER_RUN of a text.
    """

    checkpoint: Path
    output: Path
    runtimes: Sequence[str] = tuple(RUNTIMES)
    per_run: int | None = None
    name: str = ""
    licence: str = "unknown"


@dataclass(frozen=True)
class Outcome:
    """accuracy: of each variant by name, as `edgemass eval` says it; empty where nothing was held out."""

    bundle: Bundle
    accuracy: Mapping[str, Accuracy] = field(default_factory=dict)


@dataclass(frozen=True)
class _Made:
    """A variant with its file, before the bundle is written."""

    variant: Variant
    file: Path


def export(order: Order, progress: Progress) -> Outcome:
    """Write the bundle, after both runtimes gave what PyTorch gives.

    Raises:
        UsageError: no such checkpoint, a net of another kind, or a number of rows or bytes that does not do.
        BundleError: a runtime answers otherwise than PyTorch.
        ConfigError: a converter is not installed.
    """
    made = checkpoint.load(order.checkpoint)
    net = checkpoint.module(made)
    spec, graph = _input(made, net, order)
    held = order.checkpoint.parent / HELD / TRUTH
    with tempfile.TemporaryDirectory(prefix="edgemass-export.") as place:
        variants = []
        writing = progress("writing")
        for number, runtime in enumerate(order.runtimes):
            writing(number, len(order.runtimes))
            variants.append(_variant(graph, runtime, Path(place) / f"model.{runtime}"))
        manifest = _manifest(order, made, graph, spec, [item.variant for item in variants])
        samples = _samples(held, spec)
        measured: list[_Made] = []
        accuracy: dict[str, Accuracy] = {}
        for item in variants:
            detector = _detector(manifest, item)
            _check_answers(item.variant, detector, net, samples)
            found = _accuracy(detector.stream(), manifest, held, progress(f"measuring {item.variant.name}"))
            accuracy |= {item.variant.name: found} if found else {}
            measured.append(_with_figures(item, detector, samples, found))
            detector.backend.close()
        golden = _golden(_detector(manifest, variants[0]).stream(), manifest, samples)
        manifest = msgspec.structs.replace(
            manifest, variants=(measured[0].variant,), golden=golden, accuracy=tuple(accuracy.values())[:1]
        )
        bundle = _write(manifest, measured, samples, order.output)
    durable.write_bytes(order.output / "card.md", sequence_card.card(bundle.manifest, made, order.per_run).encode())
    return Outcome(bundle, accuracy)


def _input(made: Checkpoint, net: nn.Module, order: Order) -> tuple[InputSpec, Graph]:
    """How a device feeds the net, and the net so."""
    if isinstance(net, lstm_text.ByteReader):
        count = BYTES_PER_RUN if order.per_run is None else order.per_run
        rule = TextRule(bytes_per_run=count, padding=lstm_text.PADDING)
        example = torch.randint(1, lstm_text.BYTES, (1, count), dtype=torch.int32)
        return InputSpec(name="bytes", layout="NT", dtype="int32", text=rule), sequence_graphs.part(
            net, "bytes", example
        )
    if not isinstance(net, lstm_digits.RowReader):
        raise UsageError(f"{order.checkpoint} holds a {made.net}, which is no sequence net")
    side = net.lstm.input_size
    if order.per_run is not None and (order.per_run < 1 or side % order.per_run):
        raise UsageError(f"--per-run {order.per_run} does not divide the {side} rows of a picture")
    spec = InputSpec(
        name="rows",
        layout="NHW",
        dtype="float32",
        width=side,
        height=side,
        color="GRAY",
        resize=Resize(interpolation="area"),
        std=(255.0,),
        rows_per_run=order.per_run,
    )
    if order.per_run is None:
        return spec, sequence_graphs.whole(net, "rows", torch.rand(1, side, side))
    return spec, sequence_graphs.part(net, "rows", torch.rand(1, order.per_run, side))


def _variant(graph: Graph, runtime: str, path: Path) -> _Made:
    RUNTIMES[runtime](graph, path)
    sha256, size_bytes = fingerprint(path)
    return _Made(
        Variant(
            name=f"{runtime}-fp32",
            file=path.name,
            runtime="onnx" if runtime == "onnx" else "tflite",
            sha256=sha256,
            size_bytes=size_bytes,
        ),
        path,
    )


def _manifest(order: Order, made: Checkpoint, graph: Graph, spec: InputSpec, variants: Sequence[Variant]) -> Manifest:
    state = [
        StateTensor(input=name, output=name + NEXT, shape=tuple(value.shape), dtype="float32")
        for name, value in list(graph.example.items())[1:]
    ]
    try:
        return Manifest(
            name=order.name or order.output.name,
            task="classification",
            labels=made.labels,
            input=spec,
            output=OutputSpec(
                family="sequence_classifier", tensors={SCORES: (SCORES,)}, options={"activation": "none"}
            ),
            state=tuple(state),
            variants=tuple(variants),
            version="1",
            release=1,
            score=SCORE,
            licence=order.licence,
            source=f"edgemass-tools train --net {made.net}",
        )
    except ValueError as error:
        raise UsageError(f"--per-run does not do: {error}") from error


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


def _detector(manifest: Manifest, made: _Made) -> Detector:
    backend = backends.load(made.variant.runtime).open(made.file, Options(threads=1))
    return Detector(manifest, backend, lambda: made.variant.name)


def _check_answers(variant: Variant, detector: Detector, net: nn.Module, samples: Sequence[tuple[str, Image]]) -> None:
    """PyTorch on whole samples and the runtime on their parts must say the same.

    Raises:
        BundleError: they do not.
    """
    manifest = detector.manifest
    stream = detector.stream()
    for image in [image for _, image in samples] or [made_up_picture()]:
        found = stream.detect(image, Thresholds(-1.0)).found
        assert isinstance(found, Classification)
        parts = [inputs[manifest.input.name].copy() for inputs in Feed(manifest).parts(image)]
        with torch.inference_mode():
            wanted = torch.softmax(net(torch.from_numpy(np.concatenate(parts, axis=1))), 1)[0].numpy()
        worst = float(np.abs(found.score - wanted[found.class_id]).max())
        if not worst <= CLOSE:
            raise BundleError(
                f"{variant.name} answers otherwise than PyTorch: probabilities differ by {worst:.2g}, at most "
                f"{CLOSE:g} may be; nothing was written"
            )


def _accuracy(stream: Stream, manifest: Manifest, truth: Path, progress: Callable[[int, int], None]) -> Accuracy | None:
    """As `edgemass eval` has it; None where nothing was held out."""
    if not truth.is_file():
        return None
    if manifest.input.text is not None:
        found = evaluate.texts(stream, manifest.labels, truth, progress)
    else:
        found = evaluate.classification(stream, manifest.labels, truth.parent, truth, progress)
    return Accuracy(data=HELD, images=found.images, top1=round(found.top1, 4), top5=round(found.top5, 4))


def _with_figures(
    made: _Made, detector: Detector, samples: Sequence[tuple[str, Image]], accuracy: Accuracy | None
) -> _Made:
    """Latency is that of one frame with all its runs, one thread, the median of LATENCY_RUNS."""
    stream = detector.stream()
    image = samples[0][1] if samples else made_up_picture()
    took = [stream.detect(image, Thresholds(SCORE)).ran.infer_ns / 1e6 for _ in range(LATENCY_RUNS)]
    variant = msgspec.structs.replace(
        made.variant,
        measured_ms={checkpoint.machine(): round(statistics.median(took), 3)},
        accuracy=(accuracy,) if accuracy else (),
    )
    return _Made(variant, made.file)


def _golden(stream: Stream, manifest: Manifest, samples: Sequence[tuple[str, Image]]) -> tuple[Golden, ...]:
    golden = []
    for name, image in samples:
        found = stream.detect(image, Thresholds(manifest.score)).found
        assert isinstance(found, Classification)
        is_text = manifest.input.text is not None
        golden.append(
            Golden(
                labels=tuple(manifest.labels[class_id] for class_id in found.class_id),
                scores=tuple(round(float(score), 4) for score in found.score),
                score_tolerance=GOLDEN_TOLERANCE,
                image="" if is_text else f"{GOLDEN}{Path(name).name}",
                text=name if is_text else "",
            )
        )
    return tuple(golden)


def _write(manifest: Manifest, variants: Sequence[_Made], samples: Sequence[tuple[str, Image]], output: Path) -> Bundle:
    """The reference first, the others after it, then the golden pictures."""
    bundle = write_bundle(manifest, variants[0].file, output)
    for item in variants[1:]:
        bundle = add_variant(bundle, item.variant, item.file, output)
    try:
        for name, _ in samples if manifest.input.text is None else ():
            durable.copy(Path(name), output / f"{GOLDEN}{Path(name).name}")
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}; choose another folder with -o") from error
    return bundle
