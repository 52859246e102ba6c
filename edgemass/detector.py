"""Preprocess, run, decode, suppress: a picture in, detections out. The same code for `run`, `eval` and `bench`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgemass import families
from edgemass.backends import Backend
from edgemass.detections import Classification, Detections
from edgemass.errors import BundleError
from edgemass.frame import Image
from edgemass.imaging.letterbox import Letterbox
from edgemass.imaging.nms import suppress
from edgemass.imaging.parts import parts_of
from edgemass.imaging.preprocess import Preprocessor
from edgemass.in_order import InOrder
from edgemass.manifest import AuxiliaryInput, InputSpec, Manifest, Nms
from edgemass.tensors import AnyArray, TensorInfo


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What counts as found.

    score: only above this. multi_label: several labels per box, as accuracy is measured; else the best one.
    max_detections: None leaves it to the manifest.
    """

    score: float
    multi_label: bool = False
    max_detections: int | None = None


@dataclass(frozen=True, slots=True)
class Ran:
    """One run.

    infer_ns: the runtime alone. backend: what really ran it. variant: of the file; "" outside a bundle.
    degraded: why nothing better ran, "" where what was asked for did.
    """

    infer_ns: int
    backend: str
    variant: str = ""
    degraded: str = ""


@dataclass(frozen=True, slots=True)
class Inference:
    """found: boxes in pixels of the frame, best first, or classes. ran: what computed it."""

    found: Detections | Classification
    ran: Ran


class Detector:
    """One loaded model, shared by the cameras that use it; each camera has its own `Stream`."""

    def __init__(
        self,
        manifest: Manifest,
        backend: Backend,
        variant: Callable[[], str] = str,
        degraded: Callable[[], str] = str,
    ) -> None:
        """Check that model and manifest belong together.

        variant: tells the file that the last run used; a backend may change it from one run to the next.
        degraded: tells why the last run did not run on what was asked for, "" where it did.

        Raises:
            BundleError: the file's tensors do not fit the manifest.
        """
        self.manifest = manifest
        self.backend = backend
        self._variant = variant
        self._degraded = degraded
        outputs = {info.name: info for info in backend.outputs}
        family = families.load(manifest.output.family)
        self._decode = families.prepare(manifest, outputs)
        self._frame_space = bool(getattr(family, "frame_space", False))
        self._lock = InOrder()
        _check_inputs(manifest, {info.name: info for info in backend.inputs})
        _check_state(manifest, outputs)

    def stream(self) -> Stream:
        """The side of one camera: its buffers and, for stateful models, its memory."""
        return PartStream(self) if self.manifest.input.in_parts else Stream(self)

    def infer(
        self, inputs: Mapping[str, AnyArray], thresholds: Thresholds, before_run: Callable[[], object] | None = None
    ) -> tuple[Detections | Classification, Any, Ran]:
        """Run and decode under the lock, since outputs may live in the runtime's memory.

        before_run: called when it is this run's turn at the runtime; what it raises ends the call.
        Returns what was decoded (model pixels, before NMS), the next state by input name, and what ran.
        """
        with self._lock:
            if before_run is not None:
                before_run()
            started = time.perf_counter_ns()
            outputs = self.backend.run(inputs)
            infer_ns = time.perf_counter_ns() - started
            ran = Ran(infer_ns, self.backend.name, self._variant(), self._degraded())
            found = self._decode(outputs, score_threshold=thresholds.score, multi_label=thresholds.multi_label)
            state = {pair.input: outputs[pair.output].data.copy() for pair in self.manifest.state}
        return found, state, ran

    @property
    def variant(self) -> str:
        """The file that the last run used; "" outside a bundle. For any thread."""
        return self._variant()

    @property
    def degraded(self) -> str:
        """Why the last run did not run on what was asked for, "" where it did. For any thread."""
        return self._degraded()

    @property
    def frame_space(self) -> bool:
        """The graph itself answers in pixels of the original frame."""
        return self._frame_space


class Feed:
    """Every input of a model's run: the picture, what belongs to it, and the state of one camera.

    Of a frame that takes several runs it prepares the first.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._preprocess = parts_of(manifest.input) if manifest.input.in_parts else Preprocessor(manifest.input)
        self._auxiliary = [(spec.name, _auxiliary(spec)) for spec in manifest.auxiliary_inputs]
        self._inputs: dict[str, AnyArray] = {}
        self.forget()

    def forget(self) -> None:
        """Back to the state that a scene begins with."""
        for pair in self._manifest.state:
            self._inputs[pair.input] = np.full(pair.shape, pair.initial, pair.dtype)

    def remember(self, state: Mapping[str, AnyArray]) -> None:
        """Take the state, by input name, into the next run."""
        self._inputs.update(state)

    def prepare(self, image: Image) -> tuple[Mapping[str, AnyArray], Letterbox]:
        """Every input of a run by name, and where the frame lies in the model's picture; good until the next call."""
        tensor, letterbox = self._preprocess(image)
        self._inputs[self._manifest.input.name] = tensor
        for name, fill in self._auxiliary:
            self._inputs[name] = fill(letterbox)
        return self._inputs, letterbox

    def parts(self, image: Image) -> Iterator[Mapping[str, AnyArray]]:
        """Every input of each run that a frame takes; remember the state of one before the next is asked for."""
        for tensor in self._preprocess.parts(image):
            self._inputs[self._manifest.input.name] = tensor
            yield self._inputs


def made_up_picture(seed: int = 0) -> Image:
    """A drawn picture, uint8 (480, 640, 3), the same every time for a seed: shapes, edges and noise, so that all of a
    graph has something to do.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:480, 0:640]
    picture = np.stack([rows * 255 // 479, columns * 255 // 639, (rows + columns) % 256], axis=-1)
    for _ in range(12):
        x, y, width, height = rng.integers((0, 0, 40, 40), (500, 360, 140, 120))
        picture[y : y + height, x : x + width] = rng.integers(0, 256, 3)
    noisy = picture + rng.integers(-12, 13, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def made_up_inputs(manifest: Manifest) -> Mapping[str, AnyArray]:
    """Inputs of a run on `made_up_picture`."""
    inputs, _ = Feed(manifest).prepare(made_up_picture())
    return {name: array.copy() for name, array in inputs.items()}


class Stream:
    """One camera's way through a detector; used by one thread."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._feed = Feed(detector.manifest)
        self._nms = detector.manifest.output.nms

    def forget(self) -> None:
        """Start anew: a stateful model must not carry over what another scene left."""
        self._feed.forget()

    def prepare(self, image: Image) -> tuple[Mapping[str, AnyArray], Letterbox]:
        """See Feed."""
        return self._feed.prepare(image)

    def detect(self, image: Image, thresholds: Thresholds, before_run: Callable[[], object] | None = None) -> Inference:
        """Find what is in one frame.

        image: uint8 (height, width, 3) BGR. before_run: see Detector.infer.

        Raises:
            BackendError: the runtime failed.
        """
        inputs, letterbox = self.prepare(image)
        found, state, ran = self._detector.infer(inputs, thresholds, before_run)
        self._feed.remember(state)
        if isinstance(found, Detections):
            found = self._finish(found, letterbox, thresholds)
        return Inference(found, ran)

    def _finish(self, found: Detections, letterbox: Letterbox, thresholds: Thresholds) -> Detections:
        limit = thresholds.max_detections
        if self._nms is not None:
            found = _suppress(found, self._nms, limit)
        else:
            best_first = np.argsort(-found.score, kind="stable")
            found = found.take(best_first[: limit if limit is not None else Nms().max_detections])
        if self._detector.frame_space:
            size = np.array([letterbox.frame_width, letterbox.frame_height] * 2, np.float32)
            boxes = np.clip(found.xyxy, 0, size)
        else:
            boxes = letterbox.to_frame(found.xyxy)
        visible = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        if visible.all():
            return Detections(boxes, found.score, found.class_id)
        return Detections(boxes[visible], found.score[visible], found.class_id[visible])


class PartStream(Stream):
    """For models that read a frame in several runs: the state is carried through them, and ends with the frame."""

    def detect(self, image: Image, thresholds: Thresholds, before_run: Callable[[], object] | None = None) -> Inference:
        """Find the classes of one picture, or of one text as texts.as_image makes it: what the last run answers.

        before_run: called once, before the first run.

        Raises:
            BackendError: the runtime failed.
        """
        self.forget()
        runs: list[Ran] = []
        for inputs in self._feed.parts(image):
            found, state, ran = self._detector.infer(inputs, thresholds, None if runs else before_run)
            self._feed.remember(state)
            runs.append(ran)
        return Inference(found, replace(ran, infer_ns=sum(ran.infer_ns for ran in runs)))


def _suppress(found: Detections, nms: Nms, limit: int | None) -> Detections:
    return suppress(
        found,
        iou=nms.iou,
        class_agnostic=nms.class_agnostic,
        max_detections=nms.max_detections if limit is None else limit,
    )


def _auxiliary(spec: AuxiliaryInput) -> Callable[[Letterbox], AnyArray]:
    """A function from the frame's placement to the further input's value."""
    values: dict[str, Callable[[Letterbox], tuple[float, ...]]] = {
        "frame-size-wh": lambda box: (box.frame_width, box.frame_height),
        "frame-size-hw": lambda box: (box.frame_height, box.frame_width),
        "input-size-wh": lambda box: (box.width, box.height),
        "input-size-hw": lambda box: (box.height, box.width),
        "scale-factor-yx": lambda box: (box.scale_y, box.scale_x),
    }
    if spec.role == "constant":
        constant = np.full(spec.shape, spec.value, spec.dtype)
        return lambda _: constant
    measure = values[spec.role]
    return lambda box: np.asarray(measure(box), spec.dtype).reshape(spec.shape)


def _check_inputs(manifest: Manifest, inputs: Mapping[str, TensorInfo]) -> None:
    spec = manifest.input
    named = {spec.name, *(item.name for item in manifest.auxiliary_inputs), *(item.input for item in manifest.state)}
    if named != set(inputs):
        raise BundleError(
            f"{manifest.name}: the manifest feeds {', '.join(sorted(named))}, "
            f"the file wants {', '.join(sorted(inputs))}; import the file again"
        )
    picture = inputs[spec.name]
    if picture.dtype != spec.dtype:
        raise BundleError(
            f"{manifest.name}: input {spec.name} is {picture.dtype} in the file, {spec.dtype} in the manifest"
        )
    wanted = _input_shape(manifest.input)
    fits = len(picture.shape) == len(wanted) and all(
        found is None or want is None or found == want for found, want in zip(picture.shape, wanted, strict=True)
    )
    if not fits:
        shown = [side if side is not None else "any" for side in picture.shape]
        raise BundleError(
            f"{manifest.name}: input {spec.name} has shape {shown} in the file, {list(wanted)} in the manifest"
        )


def _input_shape(spec: InputSpec) -> tuple[int | None, ...]:
    """Of one run."""
    rows = spec.height if spec.rows_per_run is None else spec.rows_per_run
    length = None if spec.text is None else spec.text.bytes_per_run
    axes = {"N": 1, "H": rows, "W": spec.width, "C": 1 if spec.color == "GRAY" else 3, "T": length}
    return tuple(axes[axis] for axis in spec.layout)


def _check_state(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> None:
    for pair in manifest.state:
        if pair.output not in outputs:
            raise BundleError(f"{manifest.name}: state output {pair.output} is not in the file")
