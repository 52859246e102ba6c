"""Adds an 8-bit variant to a bundle: makes it, measures what it costs, and writes it only if that is little enough."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgemass import evaluate
from edgemass.bundles import Bundle, check_target, extend_bundle, optimize
from edgemass.bundles.fingerprint import fingerprint
from edgemass.bundles.loading import preferred
from edgemass.detector import Detector, Stream
from edgemass.errors import BundleError, UsageError
from edgemass.evaluate import DetectionAccuracy
from edgemass.manifest import Accuracy, Manifest, Variant
from edgemass_tools import agreement, pictures, speed
from edgemass_tools.agreement import Agreement
from edgemass_tools.int8 import recipe
from edgemass_tools.int8.plan import Plan
from edgemass_tools.int8.ranges import Method
from edgemass_tools.int8.recipe import Made, Measured
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
    max_loss: of mAP 50-95. force: write it whatever it loses.
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


@dataclass(frozen=True)
class Outcome:
    """What was written. accuracy: of float and int8, where it was measured.

    time: of a run of int8 over that of the stock file, one thread on this machine; time_of_source: the same of the
        float variant that it was made from.
    """

    bundle: Bundle
    variant: Variant
    plan: Plan
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
    _check_order(bundle.manifest, order)
    check_target(bundle, order.output)
    with tempfile.TemporaryDirectory(prefix="edgemass-quantize.") as work:
        folder = Path(work)
        bundle = _with_rewritten(bundle, folder, steps)
        source = _source(bundle)
        used = _pictures(order, folder)
        calibration, held_out = _split(used.paths)
        measured = recipe.measure(
            bundle.path(source), bundle.manifest.of(source), calibration, method=order.method, steps=steps
        )
        tried = _try(bundle, source, measured, held_out, folder, order, steps)
        if not order.force and (reason := _too_much(bundle.manifest, order, tried)):
            raise BundleError(reason)
        stock = bundle.manifest.reference
        files = [(tried.file, tried.variant), (bundle.path(source), source), (bundle.path(stock), stock)]
        seconds = speed.run_s([(variant.runtime, path, bundle.manifest.of(variant)) for path, variant in files])
        manifest = _described(bundle, source, tried, order)
        written = extend_bundle(bundle, manifest, {tried.file.name: tried.file}, order.output)
    return Outcome(
        written,
        written.variant(NAME),
        tried.made.plan,
        used,
        tried.agreement,
        tried.accuracy,
        seconds[0] / seconds[2],
        seconds[1] / seconds[2],
    )


@dataclass(frozen=True)
class _Tried:
    """One 8-bit file and what it costs."""

    made: Made
    file: Path
    variant: Variant
    agreement: Agreement
    accuracy: tuple[DetectionAccuracy, DetectionAccuracy] | None


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
        variant = _variant(file, source)
        in_int8 = _stream(Bundle(bundle.manifest, folder, (variant,), folder), variant)
        agreed = agreement.compare(
            in_float, in_int8, held_out, bundle.manifest.score, steps("comparing with the float model")
        )
        after = _accuracy(bundle.manifest, order, in_int8, steps("measuring int8"))
        accuracy = (before, after) if before is not None and after is not None else None
        tried = _Tried(made, file, variant, agreed, accuracy)
        reason = _too_much(bundle.manifest, order, tried)
        if not reason or order.force:
            break
        logger.info("%s", reason)
    return tried


def _check_order(manifest: Manifest, order: Order) -> None:
    reference = manifest.reference
    if reference.runtime == "tflite":
        raise UsageError(
            f"{manifest.name} is a TFLite model ({reference.file}); quantize from its ONNX export, or let the exporter "
            "quantize it"
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


def _source(bundle: Bundle) -> Variant:
    """The best float variant for ONNX Runtime."""
    return next(item for item in preferred(bundle) if item.runtime == "onnx" and item.precision == "fp32")


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
    old, variant, plan, agreed, accuracy = (
        bundle.manifest,
        tried.variant,
        tried.made.plan,
        tried.agreement,
        tried.accuracy,
    )
    kept = [item for item in bundle.variants if item.name != NAME]
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
    share = "nothing to compare" if agreed.share is None else f"{agreed.share:.1%} of {agreed.all} answers"
    known = "" if accuracy is not None else "; its accuracy was not measured"
    sentence = (
        f"{NAME}: made from {source.name}, {plan.weighted - plan.float_weighted} of {plan.weighted} layers in 8 bits; "
        f"agrees with it on {share} in {agreed.pictures} pictures that it was not calibrated on{known}"
    )
    assumed = (*(item for item in old.assumed if not item.startswith(f"{NAME}: ")), sentence)
    return msgspec.structs.replace(old, variants=(*kept, variant), accuracy=own, assumed=assumed)


def _entry(data: str, measured: DetectionAccuracy) -> Accuracy:
    return Accuracy(
        data=data,
        images=measured.images,
        map_50_95=round(measured.map_50_95, 4),
        map_50=round(measured.map_50, 4),
    )


def _replaced(entries: tuple[Accuracy, ...], new: Accuracy) -> tuple[Accuracy, ...]:
    return (*(item for item in entries if item.data != new.data), new)
