"""One camera's straight line: frame -> detections -> document -> every sink."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemass.clock import Clock, clock_synced, rfc3339
from edgemass.counters import Counters
from edgemass.detections import Classification, Detections
from edgemass.detector import Detector, Inference, Ran, Thresholds
from edgemass.errors import StaleFrameError
from edgemass.frame import Frame
from edgemass.manifest import Manifest
from edgemass.messages import (
    ClassificationMessage,
    ClassScore,
    Detection,
    DetectionMessage,
    FrameMessage,
    FrameSize,
    Latency,
    ModelRef,
)
from edgemass.pipeline.album import Shown
from edgemass.pipeline.durations import Durations
from edgemass.pipeline.moment import Identity, Moment
from edgemass.pipeline.numbering import Numbering
from edgemass.pipeline.outlets import Outlets
from edgemass.pipeline.recording import Known
from edgemass.pipeline.reporting import SceneReporter
from edgemass.redact import redact
from edgemass.scene.scene import Observation, usable_score
from edgemass.sinks import Sink
from edgemass.tensors import FloatArray

logger = logging.getLogger(__name__)

Watcher = Callable[[FrameMessage, Frame], None]

TOP_CLASSES = 5
LATENCIES_KEPT = 1000


@dataclass(frozen=True)
class LoadedModel:
    """A detector that runs, and what documents call it."""

    detector: Detector
    ref: ModelRef


class CameraLine:
    """Detects in the frames of one camera and hands the documents to the sinks. Used by one thread.

    score: threshold for all labels, or by label with "*" for the others; None = the model's own, and so for labels that
        are not named.
    max_age_ms: a frame older than this is not run; None = any age will do, as for a file.
    total_ms, age_ms: of the last frames, how long they took, and how old they were when their runs began.
    infer_ms: of the runtime alone.
    reporter: sees what is found and tells of tracks, events and counts; None = boxes only.
    numbering: goes on from there; None = from the beginning.
    """

    def __init__(  # noqa: PLR0913 (what a camera's line joins; all but three by name)
        self,
        camera: str,
        model: LoadedModel,
        sinks: Sequence[Sink],
        *,
        identity: Identity,
        score: float | dict[str, float] | None,
        max_age_ms: float | None = None,
        reporter: SceneReporter | None = None,
        numbering: Numbering | None = None,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self.camera = camera
        self.total_ms: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self.age_ms: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self.infer_ms = Durations(LATENCIES_KEPT)
        self._watchers: tuple[Watcher, ...] = ()
        self._watching = threading.Lock()  # while that is changed
        self._at_work = threading.Lock()  # held while a frame is in the line
        self._next = model
        self._outlets = Outlets(camera, sinks, counters)
        self._reporter = reporter
        self._identity = identity
        self._score = score
        self._use(model)
        self._max_age_ms = max_age_ms
        self._clock = clock
        self._counters = counters
        self._numbering = numbering or Numbering()

    @property
    def processed(self) -> int:
        """Documents made so far."""
        return self._numbering.documents

    @property
    def private(self) -> bool:
        """Whether nothing that shows pixels or places may leave this line; only counts do."""
        return self._reporter is not None and self._reporter.config.counts_only

    @property
    def heard(self) -> bool:
        """Whether any sink still takes documents."""
        return self._outlets.heard and (self._reporter is None or self._reporter.outlets.heard)

    def watch(self, watcher: Watcher) -> None:
        """Show it every frame with its document when it is done; it must not raise or wait. For any thread."""
        with self._watching:
            self._watchers = (*self._watchers, watcher)

    def unwatch(self, watcher: Watcher) -> None:
        with self._watching:
            self._watchers = tuple(item for item in self._watchers if item != watcher)

    def exchange(self, model: LoadedModel) -> bool:
        """Run on another model from the next frame on; a stateful one starts without memory.

        For any thread. Returns whether the one before is out of use here; while a frame is in it, ask again.
        """
        self._next = model
        if self._at_work.acquire(blocking=False):
            try:
                self._take_next()
            finally:
                self._at_work.release()
        return self._loaded is model

    def _take_next(self) -> None:
        """Between two frames."""
        if self._next is not self._loaded:
            self._use(self._next)

    def _use(self, model: LoadedModel) -> None:
        self._loaded = model
        self._stream = model.detector.stream()
        self._model = model.ref
        self._labels = model.detector.manifest.labels
        self._model_score = model.detector.manifest.score
        self._shown, self._thresholds = self._scores(model.detector.manifest)

    def _scores(self, manifest: Manifest) -> tuple[FloatArray | None, Thresholds]:
        """For every class id the score above which it is published, None where the decoder's is the same for all; and
        the decoder's.
        """
        score, labels = self._score, manifest.labels
        if isinstance(score, dict):
            others = score.get("*", manifest.score)
            shown = np.array([score.get(label, others) for label in labels], np.float32)
        else:
            shown = np.full(len(labels), manifest.score if score is None else score, np.float32)
        least = float(shown.min())
        if self._reporter is not None and manifest.task == "detection":
            least = min(least, usable_score(self._reporter.config, labels, manifest.score))
        elif not isinstance(score, dict):
            return None, Thresholds(manifest.score if score is None else float(score))
        return shown, Thresholds(least)

    @contextlib.contextmanager
    def held(self, timeout_s: float) -> Iterator[bool]:
        """Keep frames out of the line for a while, as where a model must go before another has room.

        Yields whether that was possible: False where a frame is still in it after `timeout_s`.
        """
        held = self._at_work.acquire(timeout=timeout_s)
        try:
            yield held
        finally:
            if held:
                self._at_work.release()

    def replace(self, model: LoadedModel) -> None:
        """As `exchange`, for who holds the line."""
        self._next = model
        self._take_next()

    def configure(
        self, *, score: float | dict[str, float] | None, max_age_ms: float | None, reporter: SceneReporter | None
    ) -> None:
        """Judge and tell differently from the next frame on; for who holds the line."""
        self._score, self._max_age_ms, self._reporter = score, max_age_ms, reporter
        self._shown, self._thresholds = self._scores(self._loaded.detector.manifest)

    def forget(self) -> None:
        """The camera was away: what a stateful model remembers no longer holds."""
        self._stream.forget()

    def process(self, frame: Frame) -> FrameMessage:
        """One frame through the whole line.

        Raises:
            BackendError: the runtime failed.
            SourceError: the picture cannot be converted.
            StaleFrameError: the frame was too old when its run would have begun.
        """
        with self._at_work:
            self._take_next()
            return self._process(frame)

    def _process(self, frame: Frame) -> FrameMessage:
        started_ns = self._clock.monotonic_ns()
        inference = self._stream.detect(frame.image, self._thresholds, partial(self._check_age, frame))
        self._numbering.documents += 1
        with contextlib.nullcontext() if self._reporter is None else self._reporter.held():
            message = self._hand_out(frame, inference, started_ns)
        for watcher in self._watchers:
            watcher(message, frame)
        return message

    def _hand_out(self, frame: Frame, inference: Inference, started_ns: int) -> FrameMessage:
        """Make the document of a frame, publish it, and then what its scene saw in it."""
        message, observation = self._make(frame, inference, started_ns)
        self.total_ms.append(message.latency_ms.total)
        self.infer_ms.add(message.latency_ms.infer)
        self._counters.add("frames_processed")
        if not self.private:
            self._outlets.hand(lambda sink: sink.publish(message, frame))
        if observation is not None and self._reporter is not None and isinstance(message, DetectionMessage):
            self._reporter.report(*observation, (frame.width, frame.height), Shown(frame, message.detections))
        return message

    def _make(
        self, frame: Frame, inference: Inference, started_ns: int
    ) -> tuple[FrameMessage, tuple[Observation, Moment] | None]:
        """The document of a frame, and what its scene saw in it."""
        common = partial(self._common, frame, started_ns, inference.ran)
        found = inference.found
        if not isinstance(found, Detections):
            return ClassificationMessage(classes=self._classes(found), **common()), None
        if self._reporter is None:
            return DetectionMessage(detections=self._detections(frame, found, None), **common()), None
        moment = Moment.of(frame.mono_ns, frame.time_ns)
        known = Known(self._model_of(inference.ran), self._labels, self._model_score)
        places = Detections(_fractions(frame, found.xyxy).astype(np.float32), found.score, found.class_id)
        observation = self._reporter.observe(places, known, moment, (frame.width, frame.height), frame)
        detections = self._detections(frame, found, None if observation is None else observation.track_ids)
        return DetectionMessage(detections=detections, **common()), None if observation is None else (
            observation,
            moment,
        )

    def _check_age(self, frame: Frame) -> None:
        age_ms = _ms(self._clock.monotonic_ns() - frame.arrived_ns)
        if self._max_age_ms is not None and age_ms > self._max_age_ms:
            raise StaleFrameError(f"the frame is {age_ms:.0f} ms old, the camera's max_age_ms is {self._max_age_ms:g}")
        self.age_ms.append(age_ms)

    def _common(self, frame: Frame, started_ns: int, ran: Ran) -> dict[str, Any]:
        """What every document says; the latency ends here."""
        now_ns = self._clock.monotonic_ns()
        return {
            "device": self._identity.device,
            "camera": self.camera,
            "seq": self._numbering.documents,
            "run_id": self._identity.run_id,
            "boot_id": self._identity.boot_id,
            "mono_ns": frame.mono_ns,
            "time": rfc3339(frame.time_ns),
            "clock_synced": clock_synced(),
            "frame": FrameSize(frame.width, frame.height),
            "model": self._model_of(ran),
            "backend": ran.backend,
            "degraded": redact(ran.degraded) if ran.degraded else None,
            "latency_ms": Latency(
                queue=_ms(started_ns - frame.arrived_ns),
                infer=_ms(ran.infer_ns),
                total=_ms(now_ns - frame.arrived_ns),
            ),
        }

    def _model_of(self, ran: Ran) -> ModelRef:
        """The model as this very frame met it: another backend may run another file of the bundle."""
        if ran.variant not in ("", self._model.variant):
            self._model = msgspec.structs.replace(self._model, variant=ran.variant)
        return self._model

    def _detections(self, frame: Frame, found: Detections, track_ids: Sequence[int] | None) -> list[Detection]:
        """Those that are published. track_ids: of all that were found, 0 for none; None where nothing tracks."""
        boxes = _fractions(frame, found.xyxy).round(5).tolist()
        columns = (found.class_id.tolist(), found.score.tolist(), boxes, track_ids or [0] * len(found))
        shown = self._shown[found.class_id] < found.score if self._shown is not None else np.ones(len(found), bool)
        return [
            Detection(self._labels[class_id], class_id, round(score, 4), tuple(box), track_id or None)
            for class_id, score, box, track_id in compress(zip(*columns, strict=True), shown.tolist())
        ]

    def _classes(self, found: Classification) -> list[ClassScore]:
        return [
            ClassScore(self._labels[class_id], class_id, round(min(score, 1.0), 4))
            for class_id, score in zip(
                found.class_id[:TOP_CLASSES].tolist(), found.score[:TOP_CLASSES].tolist(), strict=True
            )
        ]


def _fractions(frame: Frame, xyxy: FloatArray) -> NDArray[np.float64]:
    """Boxes in pixels as fractions of the frame, held within it."""
    size = np.array([frame.width, frame.height] * 2, np.float64)
    return np.clip(xyxy / size, 0, 1)


def _ms(nanoseconds: int) -> float:
    return round(max(nanoseconds, 0) / 1e6, 3)
