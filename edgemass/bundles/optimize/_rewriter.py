"""The child process that rewrites a model, holds the answers of both against each other, and measures the gain.

Standard input: one JSON `Order` on a line. Standard output: one msgpack `Report`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edgemass import backends, families
from edgemass import manifest as manifests
from edgemass.backends import own_process
from edgemass.bundles import child
from edgemass.bundles.optimize import agreement
from edgemass.bundles.optimize.agreement import Difference
from edgemass.detections import Detections
from edgemass.detector import Detector, Feed, Stream, Thresholds, made_up_picture
from edgemass.errors import EdgemassError
from edgemass.frame import Image
from edgemass.graph import FeatureMap
from edgemass.manifest import InputSpec, Manifest, OutputSpec

if TYPE_CHECKING:
    from edgemass.bundles.optimize.onnx_graph_editor import Editor

MOST_PICTURES = 16
LEAST_CANDIDATES = 20
GAIN = 0.99  # of the stock file's time; less is noise
_LEAST_ROUNDS, _ENOUGH_ROUNDS, _ROUNDS = 3, 12, 60
_MEASURE_S, _LONGEST_S = 2.0, 10.0


class Order(msgspec.Struct, frozen=True):
    """folder: where the file is to be written. pictures: paths. anyway: keep what is not faster."""

    model: str
    manifest: str
    folder: str
    pictures: tuple[str, ...] = ()
    anyway: bool = False


class Report(msgspec.Struct, frozen=True):
    """file: "" where nothing was kept."""

    file: str = ""
    input: InputSpec | None = None
    output: OutputSpec | None = None
    done: tuple[str, ...] = ()
    kept_out: tuple[str, ...] = ()
    ratio: float | None = None


def main() -> None:
    answer = own_process.open_answer()
    child.limit_memory()
    order = own_process.take_order(Order)
    try:
        report = rewritten(order)
    except EdgemassError as error:
        report = Report(kept_out=(str(error),))
    except Exception as error:  # noqa: BLE001 (this process's outermost line: the graph is stranger than all that was thought of)
        report = Report(kept_out=(f"not kept: {error!r}",))
    with answer as pipe:
        pipe.write(msgspec.msgpack.encode(report))


def rewritten(order: Order) -> Report:
    """Try the ways to read the cut head, then the whole head; the first that answers like the stock file is taken.

    Raises:
        BackendError, BundleError: the stock file cannot be run.
    """
    made = manifests.from_json(order.manifest.encode(), where=order.model)
    folder = Path(order.folder)
    pictures = _pictures(made, order.pictures)
    base = _plain(Path(order.model), made, folder / "plain.onnx")
    stock = _detector(Path(order.model), made)
    maps = _last_maps(base, made, folder)
    ways = families.cut(made, [item for _, item in maps.values()])
    refused: list[str] = []
    for output in [*ways, None]:
        try:
            attempt = _Attempt(base, made, output, {name: value for name, (value, _) in maps.items()}, known=bool(ways))
            report = _judged(attempt, stock, pictures, order)
        except Exception as error:  # noqa: BLE001 (one way that leads nowhere must not keep from the next)
            refused.append(f"not kept: {error if isinstance(error, EdgemassError) else repr(error)}")
            continue
        refused += report.kept_out
        if report.file or report.ratio is not None:
            return msgspec.structs.replace(report, kept_out=tuple(refused))
    return Report(kept_out=tuple(refused))


def _judged(attempt: _Attempt, stock: Detector, pictures: Sequence[Image], order: Order) -> Report:
    """One attempt, kept if it answers as the stock file does and is faster; without a file and a ratio it does not.

    Raises:
        BackendError, BundleError: the new graph cannot be run.
    """
    against = tuple(attempt.kept_out)
    if not attempt.done:
        return Report(kept_out=against)
    file = attempt.save(Path(order.folder))
    ours = _detector(file, attempt.manifest)
    difference = _difference(stock, ours, pictures)
    if difference.candidates < LEAST_CANDIDATES:
        few = (
            f"not kept: both find {difference.candidates} candidates on {len(pictures)} pictures, too few to compare "
            "answers by; give pictures with something to find (--images)"
        )
        return Report(kept_out=(*against, few))
    if difference.missing:
        other = f"not kept, since it answers otherwise than the stock file: {difference}"
        return Report(kept_out=(*against, other))
    ratio = _ratio(stock, ours, pictures)
    if ratio > GAIN and not order.anyway:
        return Report(kept_out=(*against, f"it gains nothing here: {ratio:.3f} of the time"), ratio=ratio)
    checked = f"same answers on {len(pictures)} pictures: {difference}"
    spec = attempt.manifest
    return Report(str(file), spec.input, spec.output, (*attempt.done, checked), against, ratio)


def _plain(model: Path, made: Manifest, target: Path) -> Path:
    """The graph with the manifest's picture for its size and constants folded, as ONNX Runtime writes it.

    Raises:
        BackendError: it cannot be loaded.
    """
    import onnx  # noqa: PLC0415

    from edgemass.backends import onnxruntime as runtime  # noqa: PLC0415

    fixed = onnx.load_model(str(model))
    names = {value.name: value for value in fixed.graph.input}
    spec = made.input
    sides = {"N": 1, "C": 1 if spec.color == "GRAY" else 3, "H": spec.height, "W": spec.width}
    for dim, axis in zip(names[spec.name].type.tensor_type.shape.dim, spec.layout, strict=True):
        dim.dim_value = sides[axis]
    for value in fixed.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value"):
                dim.Clear()
    del fixed.graph.value_info[:]
    sized = target.with_suffix(".sized.onnx")
    onnx.save_model(fixed, str(sized))
    runtime.save_plain(sized, target)
    return target


def _last_maps(base: Path, made: Manifest, folder: Path) -> dict[str, Any]:
    """The head's last maps, by name: their values as ONNX describes them, and as families look at them.

    Empty where the graph's outputs are such maps already.
    """
    import onnx  # noqa: PLC0415

    from edgemass.bundles.optimize import cut_head  # noqa: PLC0415

    editor = _edited(base)
    names = cut_head.last_maps(editor)
    if not names or set(names) & set(editor.outputs):
        return {}
    constants = {name: cut_head.constants_behind(editor, name, set(names)) for name in names}
    editor.answer_with([onnx.helper.make_empty_tensor_value_info(name) for name in names])
    cut = folder / "maps.onnx"
    onnx.save_model(editor.model, str(cut))
    session = backends.load("onnx").open(cut, backends.Options())
    wanted = {info.name for info in session.inputs}
    inputs, _ = Feed(made).prepare(made_up_picture())
    outputs = session.run({name: array for name, array in inputs.items() if name in wanted})
    maps = {}
    for name in names:
        data = outputs[name].data
        if data.ndim != 4:
            return {}
        value = onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(data.dtype), data.shape)
        maps[name] = (value, FeatureMap(name, data.shape[1], data.shape[2], data.shape[3], constants[name]))
    session.close()
    return maps


def _edited(path: Path) -> Editor:
    import onnx  # noqa: PLC0415

    from edgemass.bundles.optimize.onnx_graph_editor import Editor  # noqa: PLC0415

    return Editor(onnx.load_model(str(path)))


class _Attempt:
    """One way to rewrite. done, kept_out: sentences. manifest: as the new graph answers."""

    def __init__(
        self, base: Path, made: Manifest, output: OutputSpec | None, maps: Mapping[str, Any], *, known: bool
    ) -> None:
        from edgemass.bundles.optimize.fold_input import fold_input  # noqa: PLC0415
        from edgemass.bundles.optimize.fuse_hard_swish import fuse_hard_swish  # noqa: PLC0415
        from edgemass.bundles.optimize.split_convolutions import split_convolutions  # noqa: PLC0415

        self.done: list[str] = []
        self.kept_out: list[str] = []
        self.editor = _edited(base)
        if output is not None:
            names = [name for names in output.tensors.values() for name in names]
            self.editor.answer_with([maps[name] for name in names])
            self.done.append(f"the head ends at its {len(names)} last maps; what followed is done for candidates only")
        elif not known:
            family = made.output.family
            self.kept_out.append(f"the head of family {family} stays whole: its end is not one that is known")
        parts = split_convolutions(self.editor)
        if parts:
            self.done.append(f"{parts} convolutions that were split afterwards are computed in parts")
        swishes = fuse_hard_swish(self.editor)
        if swishes:
            self.done.append(f"{swishes} hard swishes are two operators instead of four")
        spec, against = fold_input(self.editor, made.input)
        if against:
            self.kept_out.append(against)
        else:
            self.done.append("the graph takes uint8 BGR pixels; normalization is part of its first weights")
        self.editor.prune()
        self.manifest = msgspec.structs.replace(made, input=spec, output=output or made.output)

    def save(self, folder: Path) -> Path:
        import onnx  # noqa: PLC0415

        model = self.editor.model
        model.producer_name, model.doc_string = "edgemass", ""
        path = folder / "rewritten.onnx"
        onnx.save_model(model, str(path))
        return path


def _detector(path: Path, made: Manifest) -> Detector:
    return Detector(made, backends.load("onnx").open(path, backends.Options()))


def _pictures(made: Manifest, paths: Sequence[str]) -> list[Image]:
    """Noise and drawn shapes of the model's size, and the user's own; what cannot be read is left out."""
    import cv2  # noqa: PLC0415

    rng = np.random.default_rng(0)
    patches = rng.integers(0, 256, (9, 16, 3), np.uint8)
    pictures: list[Image] = [
        made_up_picture(),
        rng.integers(0, 256, (made.input.height or 1, made.input.width or 1, 3), np.uint8),
        np.asarray(cv2.resize(patches, (640, 360), interpolation=cv2.INTER_CUBIC), np.uint8),
    ]
    for path in paths[:MOST_PICTURES]:
        image = cv2.imread(path, cv2.IMREAD_COLOR)
        if image is not None:
            pictures.append(np.asarray(image, np.uint8))
    return pictures


def _difference(stock: Detector, ours: Detector, pictures: Sequence[Image]) -> Difference:
    """Over all pictures; each at the highest threshold that enough candidates pass."""
    one, other = stock.stream(), ours.stream()
    total = Difference(0)
    for picture in pictures:
        for threshold in agreement.THRESHOLDS:
            wanted = _candidates(stock, one, picture, threshold)
            if len(wanted) >= agreement.FEW_CANDIDATES or threshold == agreement.THRESHOLDS[-1]:
                break
        total = total.worse(agreement.compare(wanted, _candidates(ours, other, picture, threshold), threshold))
    return total


def _candidates(detector: Detector, stream: Stream, picture: Image, threshold: float) -> Detections:
    inputs, _ = stream.prepare(picture)
    found, _, _ = detector.infer(inputs, Thresholds(threshold, multi_label=True))
    assert isinstance(found, Detections)
    return found


def _ratio(stock: Detector, ours: Detector, pictures: Sequence[Image]) -> float:
    """Best time of a frame over the stock file's, turn by turn."""
    streams = stock.stream(), ours.stream()
    best = [float("inf"), float("inf")]
    started_all = time.perf_counter()
    for turn in range(_ROUNDS):
        for which, stream in enumerate(streams):
            started = time.perf_counter()
            stream.detect(pictures[0], Thresholds(stock.manifest.score))
            best[which] = min(best[which], time.perf_counter() - started)
        passed_s = time.perf_counter() - started_all
        if (turn >= _ENOUGH_ROUNDS and passed_s > _MEASURE_S) or (turn >= _LEAST_ROUNDS and passed_s > _LONGEST_S):
            break
    return best[1] / best[0]
