from __future__ import annotations

import threading
import types
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from edgemass.clock import Clock, SystemClock
from edgemass.counters import Counters
from edgemass.detections import Classification, Detections
from edgemass.detector import Detector, Inference, Ran, Thresholds
from edgemass.errors import SinkClosedError, SinkError, StaleFrameError
from edgemass.frame import Frame
from edgemass.messages import (
    CameraState,
    ClassificationMessage,
    CountsMessage,
    DetectionMessage,
    EventMessage,
    FrameMessage,
    ModelRef,
)
from edgemass.pipeline.line import CameraLine, LoadedModel
from edgemass.pipeline.moment import Identity
from tests.simulators.manual_clock import ManualClock
from tests.simulators.scripted_camera import picture

PATIENCE_S = 10.0


class Answer:
    """Stands for a detector: one stream that always finds the same."""

    def __init__(self, found: Detections | Classification) -> None:
        self.found = found
        self.thresholds: Thresholds | None = None
        self.manifest = types.SimpleNamespace(labels=("person", "car"), score=0.5)
        self.variant = "fp32"
        self.before_preparation: Callable[[], object] = lambda: None
        self.ran = 0

    def stream(self) -> Answer:
        return self

    def detect(self, image: object, thresholds: Thresholds, before_run: Callable[[], object]) -> Inference:  # noqa: ARG002
        self.thresholds = thresholds
        self.before_preparation()
        before_run()
        self.ran += 1
        return Inference(self.found, Ran(2_000_000, "scripted/cpu", self.variant))


class RecordingSink:
    def __init__(self, name: str = "recording") -> None:
        self.name = name
        self.broken = self.closed = False
        self.messages: list[FrameMessage] = []

    def publish(self, message: FrameMessage, frame: Frame) -> None:  # noqa: ARG002
        if self.closed:
            raise SinkClosedError("nobody reads")
        if self.broken:
            raise SinkError("full")
        self.messages.append(message)

    def event(self, event: EventMessage, picture: bytes | None) -> None:
        pass

    def counts(self, counts: CountsMessage) -> None:
        pass

    def camera_state(self, camera: str, state: CameraState) -> None:
        pass

    def close(self, timeout_s: float) -> None:
        pass


def frame(width: int = 200, height: int = 100) -> Frame:
    def load() -> Any:
        return np.zeros((height, width, 3), np.uint8)

    return Frame(load, width=width, height=height, mono_ns=5, time_ns=1_795_342_502_118_000_000, arrived_ns=5)


def line(
    found: Detections | Classification,
    *sinks: RecordingSink,
    score: Any = 0.5,
    max_age_ms: float | None = None,
    clock: Clock | None = None,
) -> tuple[CameraLine, Answer, Counters]:
    answer, counters = Answer(found), Counters()
    made = CameraLine(
        "door",
        LoadedModel(cast("Detector", answer), ModelRef("toy", "1", "sha256:00", "fp32")),
        sinks,
        identity=Identity("pi", "boot", "run"),
        score=score,
        max_age_ms=max_age_ms,
        clock=clock or SystemClock(),
        counters=counters,
    )
    return made, answer, counters


TWO = Detections(
    np.array([[20, 10, 100, 50], [-5, 0, 200, 100.0001]], np.float32),
    np.array([0.9, 0.6], np.float32),
    np.array([0, 1], np.int64),
)


def test_every_frame_yields_one_document_and_seq_counts_them() -> None:
    sink = RecordingSink()
    made, _, _ = line(Detections.empty(), sink)
    for _ in range(3):
        made.process(frame())
    assert [message.seq for message in sink.messages] == [1, 2, 3]
    assert all(isinstance(message, DetectionMessage) and message.detections == [] for message in sink.messages)


def test_boxes_are_fractions_of_the_frame_and_stay_inside_it() -> None:
    made, _, _ = line(TWO)
    message = made.process(frame())
    assert isinstance(message, DetectionMessage)
    assert [d.box for d in message.detections] == [(0.1, 0.1, 0.5, 0.5), (0.0, 0.0, 1.0, 1.0)]
    assert [d.label for d in message.detections] == ["person", "car"]
    assert message.time == "2026-11-22T10:15:02.118Z"
    assert (message.backend, message.model.name, message.device, message.camera) == (
        "scripted/cpu",
        "toy",
        "pi",
        "door",
    )
    assert message.latency_ms.infer == 2.0


def test_a_score_per_label_lets_the_lowest_through_the_decoder_and_filters_after_it() -> None:
    made, answer, _ = line(TWO, score={"person": 0.3, "*": 0.7})
    message = made.process(frame())
    assert isinstance(message, DetectionMessage)
    assert [d.label for d in message.detections] == ["person"]
    assert answer.thresholds is not None
    assert answer.thresholds.score == pytest.approx(0.3)


def test_a_classifier_gives_a_classification_document_with_the_five_best() -> None:
    made, _, _ = line(Classification(np.array([1.0000001, 0.2], np.float32), np.array([1, 0], np.int64)))
    message = made.process(frame())
    assert isinstance(message, ClassificationMessage)
    assert [(c.label, c.score) for c in message.classes] == [("car", 1.0), ("person", 0.2)]


def test_a_broken_sink_costs_the_others_nothing_and_is_logged_when_it_starts_and_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    good, bad = RecordingSink("good"), RecordingSink("bad")
    made, _, counters = line(TWO, bad, good)
    caplog.set_level("INFO", "edgemass")
    for broken in (True, True, True, False):
        bad.broken = broken
        made.process(frame())
    assert len(good.messages) == 4
    assert counters["sink_failed.bad"] == 3
    assert [record.getMessage() for record in caplog.records] == [
        "bad loses documents: full",
        "bad takes documents again",
    ]


def test_a_closed_sink_is_left_out_and_the_line_knows_when_nobody_listens() -> None:
    first, second = RecordingSink("first"), RecordingSink("second")
    made, _, counters = line(TWO, first, second)
    first.closed = True
    made.process(frame())
    made.process(frame())
    heard = [made.heard]
    assert len(second.messages) == 2
    second.closed = True
    made.process(frame())
    assert [*heard, made.heard] == [True, False]
    assert counters["sink_failed.first"] == 0


def test_a_frame_that_grew_too_old_before_its_run_is_not_run_and_yields_no_document() -> None:
    sink, clock = RecordingSink(), ManualClock()
    made, answer, counters = line(TWO, sink, max_age_ms=500, clock=clock)
    made.process(picture(clock, 1))
    answer.before_preparation = lambda: clock.advance(0.6)  # the runtime was busy with another camera
    with pytest.raises(StaleFrameError, match="600 ms old, the camera's max_age_ms is 500"):
        made.process(picture(clock, 2))
    assert answer.ran == 1
    assert [message.seq for message in sink.messages] == [1]
    assert counters.snapshot() == {"frames_processed": 1}
    assert list(made.age_ms) == [0.0]


def test_without_a_budget_a_frame_of_any_age_is_run() -> None:
    sink, clock = RecordingSink(), ManualClock()
    made, answer, _ = line(TWO, sink, clock=clock)
    answer.before_preparation = lambda: clock.advance(3600)
    made.process(picture(clock, 1))
    assert len(sink.messages) == 1


def other_model(found: Detections | Classification) -> LoadedModel:
    return LoadedModel(cast("Detector", Answer(found)), ModelRef("toy", "1", "sha256:00", "int8"))


class Blocking(Answer):
    """Is in a frame until it is let go."""

    def __init__(self) -> None:
        super().__init__(TWO)
        self.entered, self.go = threading.Event(), threading.Event()

    def detect(self, image: object, thresholds: Thresholds, before_run: Callable[[], object]) -> Inference:
        self.entered.set()
        assert self.go.wait(PATIENCE_S)
        return super().detect(image, thresholds, before_run)


def test_a_model_is_exchanged_between_two_frames_and_no_number_is_left_out() -> None:
    made, _, _ = line(TWO)
    first = made.process(frame())
    new = other_model(TWO)
    cast("Answer", new.detector).variant = "int8"
    assert made.exchange(new)
    second = made.process(frame())
    assert [(message.seq, message.model.variant) for message in (first, second)] == [(1, "fp32"), (2, "int8")]


def test_the_old_model_ends_its_frame_before_it_is_out_of_use() -> None:
    made, _, _ = line(TWO)
    old = Blocking()
    made.exchange(LoadedModel(cast("Detector", old), ModelRef("toy", "1", "sha256:00", "fp32")))
    told: list[FrameMessage] = []
    loop = threading.Thread(target=lambda: told.append(made.process(frame())))
    loop.start()
    assert old.entered.wait(PATIENCE_S)
    new = other_model(TWO)
    cast("Answer", new.detector).variant = "int8"
    assert not made.exchange(new)
    old.go.set()
    loop.join(PATIENCE_S)
    assert made.exchange(new)
    told.append(made.process(frame()))
    assert [message.model.variant for message in told] == ["fp32", "int8"]


def test_another_bundle_brings_its_own_labels_and_thresholds() -> None:
    made, _, _ = line(TWO, score={"person": 0.3})
    other = Answer(TWO)
    other.manifest = types.SimpleNamespace(labels=("dog", "person"), score=0.65)
    assert made.exchange(LoadedModel(cast("Detector", other), ModelRef("other", "2", "sha256:01", "fp32")))
    message = made.process(frame())
    assert isinstance(message, DetectionMessage)
    assert message.model.name == "other"
    assert [(found.label, found.score) for found in message.detections] == [("dog", 0.9), ("person", 0.6)]


def test_no_frame_is_in_a_line_that_is_held() -> None:
    made, _, _ = line(TWO)
    done = threading.Event()

    def loop() -> None:
        made.process(frame())
        done.set()

    with made.held(PATIENCE_S) as held:
        assert held
        thread = threading.Thread(target=loop)
        thread.start()
        assert not done.wait(0.05)
        other = Answer(TWO)
        other.variant = "int8"
        made.replace(LoadedModel(cast("Detector", other), ModelRef("toy", "1", "sha256:00", "int8")))
    thread.join(PATIENCE_S)
    assert done.is_set()
    assert made.process(frame()).model.variant == "int8"


def test_a_frame_is_shown_to_whoever_watches_with_its_document() -> None:
    made, _, _ = line(TWO)
    seen: list[FrameMessage] = []

    def watcher(message: FrameMessage, _: Frame) -> None:
        seen.append(message)

    made.watch(watcher)
    shown = [made.process(frame())]
    made.unwatch(watcher)
    made.process(frame())
    assert seen == shown
