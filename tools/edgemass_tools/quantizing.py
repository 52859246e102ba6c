"""Adds an 8-bit variant to a bundle: makes it, measures what it costs, and writes it only if that is little enough."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from edgemass import evaluate
from edgemass.bundles import Bundle, check_target, extend_bundle, optimize
from edgemass.bundles.fingerprint import fingerprint
from edgemass.bundles.loading import preferred
from edgemass.detector import Detector, Stream
from edgemass.errors import BundleError, UsageError
from edgemass.evaluate import DetectionAccuracy
from edgemass.manifest import Accuracy, Manifest, RuntimeName, Variant
from edgemass_tools import agreement, card, checkpoint, pictures, speed
from edgemass_tools.agreement import Agreement
from edgemass_tools.int8 import recipe
from edgemass_tools.int8 import tflite as int8_tflite
from edgemass_tools.int8.ranges import Method
from edgemass_tools.int8.recipe import Measured
from edgemass_tools.pictures import Pictures

logger = logging.getLogger(__name__)

NAME = "int8"
TRIES = 3
LEAST_AGREEMENT = 0.95
"""Without annotations: share of detections that float and int8 must have in common. The models of docs/quantize.md,
which lose less than 0.010 mAP, reach 0.97 to 1.00; that is a coarse measure, and the limit a coarse one."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for.

    images, clip: one of them, to calibrate with. annotations, eval_images: to measure with; both or none.
    max_loss: of mAP 50-95. force: write it whatever it loses. runtime: that runs it, None = that of the stock file.
    drop: variants to leave out of what is written, such as the float one that only 8 bits were made from.
    """

    output: Path
    images: Path | None = None
    clip: Path | None = None
    annotations: Path | None = None
    eval_images: Path | None = None
    samples: int = 64
    method: Method = "percentile"
    budget: float = recipe.BUDGET
    max_loss: float = 0.010
    seed: int = 0
    force: bool = False
    runtime: RuntimeName | None = None
    drop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What was written. layers: in 8 bits, of all. accuracy: of float and int8, where it was measured.

    time: of a run of int8 over that of the stock file, one thread on this machine; time_of_source: the same of the
        float variant that it was made from.
    """

    bundle: Bundle
    variant: Variant
    layers: str
    used: Pictures
    agreement: Agreement
    accuracy: tuple[DetectionAccuracy, DetectionAccuracy] | None
    time: float
    time_of_source: float


def quantize(bundle: Bundle, order: Order, steps: recipe.Steps) -> Outcome:
    """See the module.

    Raises:
        UsageError: pictures, annotations or the output folder are not what they should be.
        BundleError: the model cannot be quantized, or loses too much.
    """
    runtime = order.runtime or bundle.manifest.reference.runtime
    _check_order(bundle, order, runtime)
    check_target(bundle, order.output)
    with tempfile.TemporaryDirectory(prefix="edgemass-quantize.") as work:
        folder = Path(work)
        if runtime == "onnx":
            bundle = _with_rewritten(bundle, folder, steps)
        source = _source(bundle, runtime)
        used = _pictures(order, folder)
        calibration, held_out = _split(used.paths)
        if runtime == "onnx":
            measured = recipe.measure(
                bundle.path(source), bundle.manifest.of(source), calibration, method=order.method, steps=steps
            )
            tried = _try(bundle, source, measured, held_out, folder, order, steps)
        else:
            tried = _try_tflite(bundle, source, (calibration, held_out), folder, order, steps)
        if not order.force and (reason := _too_much(bundle.manifest, order, tried)):
            raise BundleError(reason)
        stock = bundle.manifest.reference
        files = [(tried.file, tried.variant), (bundle.path(source), source), (bundle.path(stock), stock)]
        seconds = speed.run_s([(variant.runtime, path, bundle.manifest.of(variant)) for path, variant in files])
        tried = replace(tried, variant=_timed(tried.variant, seconds[0]))
        manifest = _without(_described(bundle, source, tried, order), order.drop)
        new = {tried.file.name: tried.file, **_card(bundle, manifest, order, tried, folder)}
        written = extend_bundle(bundle, manifest, new, order.output, order.drop)
    return Outcome(
        written,
        written.variant(tried.variant.name),
        tried.layers,
        used,
        tried.agreement,
        tried.accuracy,
        seconds[0] / seconds[2],
        seconds[1] / seconds[2],
    )


@dataclass(frozen=True)
class _Tried:
    """One 8-bit file and what it costs."""

    layers: str
    file: Path
    variant: Variant
    agreement: Agreement
    accuracy: tuple[DetectionAccuracy, DetectionAccuracy] | None


def _precisions(bundle: Bundle) -> str:
    return ", ".join(f"{item.name} ({item.runtime}, {item.precision})" for item in bundle.variants)


def _try(
    bundle: Bundle,
    source: Variant,
    measured: Measured,
    held_out: tuple[Path, ...],
    folder: Path,
    order: Order,
    steps: recipe.Steps,
) -> _Tried:
    """Make and measure one, and again with half the budget, while it loses too much: more stays in float each time."""
    in_float = _stream(bundle, source)
    file = folder / f"{Path(bundle.manifest.reference.file).stem}.int8.onnx"
    before = _accuracy(bundle.manifest, order, in_float, steps("measuring float"))
    for attempt in range(TRIES):
        made = recipe.make(measured, order.budget / 2**attempt)
        file.write_bytes(made.data)
        layers = f"{made.plan.weighted - made.plan.float_weighted} of {made.plan.weighted}"
        tried = _measured(bundle, in_float, _variant(file, source), (layers, file, held_out), order, steps, before)
        reason = _too_much(bundle.manifest, order, tried)
        if not reason or order.force:
            break
        logger.info("%s", reason)
    return tried


def _try_tflite(
    bundle: Bundle,
    source: Variant,
    pictures: tuple[tuple[Path, ...], tuple[Path, ...]],
    folder: Path,
    order: Order,
    steps: recipe.Steps,
) -> _Tried:
    """Make a full-integer TFLite file; there every layer is in 8 bits, so that there is nothing to try again with."""
    calibration, held_out = pictures
    in_float = _stream(bundle, source)
    file = folder / f"{Path(source.file).stem}.int8.tflite"
    steps("quantizing")(0, 1)
    variant = int8_tflite.make(bundle.path(source), bundle.manifest.of(source), calibration, source, file)
    before = _accuracy(bundle.manifest, order, in_float, steps("measuring float"))
    return _measured(bundle, in_float, variant, ("all", file, held_out), order, steps, before)


def _measured(
    bundle: Bundle,
    in_float: Stream,
    variant: Variant,
    made: tuple[str, Path, tuple[Path, ...]],
    order: Order,
    steps: recipe.Steps,
    before: DetectionAccuracy | None,
) -> _Tried:
    """What an 8-bit file costs.

    made: layers in 8 bits, the file, and the pictures that were held out. before: accuracy in float.
    """
    layers, file, held_out = made
    in_int8 = _stream(Bundle(bundle.manifest, file.parent, (variant,), file.parent), variant)
    agreed = agreement.compare(
        in_float, in_int8, held_out, bundle.manifest.score, steps("comparing with the float model")
    )
    after = _accuracy(bundle.manifest, order, in_int8, steps("measuring int8"))
    accuracy = (before, after) if before is not None and after is not None else None
    return _Tried(layers, file, variant, agreed, accuracy)


def _check_order(bundle: Bundle, order: Order, runtime: RuntimeName) -> None:
    manifest = bundle.manifest
    reference = manifest.reference
    names = [variant.name for variant in manifest.variants]
    for name in order.drop:
        if name not in names:
            raise UsageError(f"--drop {name}: {manifest.name} has no such variant, it has {', '.join(names)}")
    if runtime == "onnx" and reference.runtime == "tflite":
        raise UsageError(
            f"{manifest.name} is a TFLite model ({reference.file}); give --runtime tflite, or quantize its ONNX export"
        )
    if runtime == "tflite" and not any(
        item.runtime == "tflite" and item.precision == "fp32" for item in bundle.variants
    ):
        raise UsageError(
            f"{manifest.name} has no float TFLite variant, only {_precisions(bundle)}; `edgemass-tools export "
            "--tflite` writes one of a checkpoint"
        )
    if reference.precision == "int8":
        raise BundleError(f"{manifest.name} is int8 already ({reference.file}); quantize from the float export")
    if reference.precision != "fp32":
        raise BundleError(f"{manifest.name} is {reference.precision} ({reference.file}); quantize from the fp32 export")
    if (order.annotations is None) != (order.eval_images is None):
        raise UsageError("--annotations and --eval-images go together: the truth, and the pictures that it is of")
    if order.annotations is not None and manifest.task != "detection":
        raise UsageError(f"{manifest.name} is a {manifest.task} model: leave out --annotations")


def _with_rewritten(bundle: Bundle, folder: Path, steps: recipe.Steps) -> Bundle:
    """With the lossless rewrite of the stock file as a derived variant, where there can be one and none is there yet.

    It is taken even where it is no faster: what a machine's clock says must not decide what the file holds.
    """
    steps("rewriting without loss")(0, 1)
    if any(variant.made_from and variant.precision == "fp32" for variant in bundle.variants):
        return bundle
    if optimize.supports(bundle.manifest):
        return bundle
    try:
        outcome = optimize.rewrite(bundle, folder, anyway=True)
    except BundleError as error:
        logger.warning("quantizing the stock file, since it cannot be rewritten: %s", error)
        return bundle
    if outcome.variant is None:
        return bundle
    return Bundle(bundle.manifest, bundle.folder, (outcome.variant,), folder)


def _source(bundle: Bundle, runtime: RuntimeName) -> Variant:
    """The best float variant for a runtime."""
    return next(item for item in preferred(bundle) if item.runtime == runtime and item.precision == "fp32")


def _without(manifest: Manifest, names: tuple[str, ...]) -> Manifest:
    """Some variants left out. For the first of all the next one stands in: its input and output are the manifest's."""
    first, *others = (variant for variant in manifest.variants if variant.name not in names)
    if first.name == manifest.reference.name:
        return msgspec.structs.replace(manifest, variants=(first, *others))
    others = [
        msgspec.structs.replace(item, input=item.input or manifest.input, output=item.output or manifest.output)
        for item in others
    ]
    alone = msgspec.structs.replace(first, input=None, output=None, accuracy=(), made_from="")
    return msgspec.structs.replace(
        manifest.of(first), variants=(alone, *others), accuracy=first.accuracy or manifest.accuracy
    )


def _pictures(order: Order, folder: Path) -> Pictures:
    """A quarter more than asked for: those are held out."""
    wanted = order.samples + max(1, order.samples // 4)
    if order.clip is not None:
        return pictures.from_clip(order.clip, wanted, order.seed, folder)
    if order.images is None:
        raise UsageError("nothing to calibrate with; give --images DIR or --clip VIDEO")
    return pictures.from_folder(order.images, wanted, order.seed)


def _split(paths: tuple[Path, ...]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """To calibrate with, and held out: a fifth; a single picture has to serve for both."""
    held_out = max(1, len(paths) // 5)
    return paths[: max(1, len(paths) - held_out)], paths[-held_out:]


def _variant(file: Path, source: Variant) -> Variant:
    sha256, size = fingerprint(file)
    return Variant(
        name=NAME,
        file=file.name,
        runtime="onnx",
        sha256=sha256,
        size_bytes=size,
        precision="int8",
        made_from=source.name,
        input=source.input,
        output=source.output,
    )


def _stream(bundle: Bundle, variant: Variant) -> Stream:
    from edgemass import backends  # noqa: PLC0415 (its runtime is imported when first asked for)

    backend = backends.load(variant.runtime).open(bundle.path(variant), backends.Options(threads=os.cpu_count()))
    return Detector(bundle.manifest.of(variant), backend, lambda: variant.name).stream()


def _accuracy(manifest: Manifest, order: Order, stream: Stream, progress: Progress) -> DetectionAccuracy | None:
    if order.annotations is None or order.eval_images is None:
        return None
    return evaluate.detection(stream, manifest.labels, order.eval_images, order.annotations, progress)


def _too_much(manifest: Manifest, order: Order, tried: _Tried) -> str:
    """What to tell of a variant that loses too much, or of which nobody can say; "" where all is well."""
    advice = (
        "calibrate with pictures like those of the cameras, give more --samples or a smaller --budget, or accept it "
        "with --force; nothing was written"
    )
    agreed = tried.agreement
    if tried.accuracy is not None:
        before, after = (item.map_50_95 for item in tried.accuracy)
        if before - after > order.max_loss:
            return (
                f"{manifest.name} loses {before - after:.3f} mAP in 8 bits ({before:.3f} to {after:.3f}), wanted at "
                f"most {order.max_loss:.3f}; {advice}"
            )
    elif agreed.share is None:
        return (
            f"{manifest.name} finds nothing in the {agreed.pictures} pictures held out, so that nobody can say what "
            "8 bits cost; give pictures with what it knows, or --annotations; nothing was written"
        )
    elif agreed.share < LEAST_AGREEMENT:
        return (
            f"{manifest.name} in 8 bits agrees with float on {agreed.share:.1%} of {agreed.all} answers in "
            f"{agreed.pictures} pictures, wanted at least {LEAST_AGREEMENT:.0%}; {advice}"
        )
    return ""


def _described(bundle: Bundle, source: Variant, tried: _Tried, order: Order) -> Manifest:
    """The manifest with the new variant (in place of an older int8), and what is known of its accuracy."""
    old, variant, agreed, accuracy = bundle.manifest, tried.variant, tried.agreement, tried.accuracy
    kept = [item for item in bundle.variants if item.name != variant.name]
    own = old.accuracy
    if accuracy is not None and order.annotations is not None:
        data = order.annotations.resolve().parent.name
        measured = [_entry(data, item) for item in accuracy]
        variant = msgspec.structs.replace(variant, accuracy=(measured[1],))
        if source.name == old.reference.name:
            own = _replaced(own, measured[0])
        else:
            position = next(place for place, item in enumerate(kept) if item.name == source.name)
            kept[position] = msgspec.structs.replace(source, accuracy=_replaced(source.accuracy, measured[0]))
    assumed = [item for item in old.assumed if not item.startswith(f"{variant.name}: ")]
    if accuracy is None:
        share = "nothing to compare" if agreed.share is None else f"{agreed.share:.1%} of {agreed.all} answers"
        assumed.append(
            f"{variant.name}: made from {source.name}, {tried.layers} layers in 8 bits; agrees with it on {share} in "
            f"{agreed.pictures} pictures that it was not calibrated on; its accuracy was not measured"
        )
    return msgspec.structs.replace(old, variants=(*kept, variant), accuracy=own, assumed=tuple(assumed))


def _timed(variant: Variant, seconds: float) -> Variant:
    key = f"{checkpoint.machine()}, 1 thread"
    return msgspec.structs.replace(variant, measured_ms={key: round(seconds * 1e3, 2)})


def _card(bundle: Bundle, manifest: Manifest, order: Order, tried: _Tried, folder: Path) -> dict[str, Path]:
    """The bundle's card with the new variant, where it has one that the workshop wrote."""
    old = bundle.folder / card.FILE
    if not old.is_file():
        return {}
    settings = {
        "variant": tried.variant.name,
        "layers in 8 bits": tried.layers,
        "samples": order.samples,
        "method": order.method,
        "seed": order.seed,
    }
    text = card.extended(old.read_text(encoding="utf-8"), manifest, checkpoint.step("quantize", settings=settings))
    path = folder / card.FILE
    path.write_text(text, encoding="utf-8")
    return {card.FILE: path}


def _entry(data: str, measured: DetectionAccuracy) -> Accuracy:
    return Accuracy(
        data=data,
        images=measured.images,
        map_50_95=round(measured.map_50_95, 4),
        map_50=round(measured.map_50, 4),
    )


def _replaced(entries: tuple[Accuracy, ...], new: Accuracy) -> tuple[Accuracy, ...]:
    return (*(item for item in entries if item.data != new.data), new)
