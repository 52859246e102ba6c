"""Accelerators that fail in every way, through the whole line: the right demotion, the right reason, and back again.

The accelerator is a fake, compiled here; LiteRT, its delegate interface, the child process and the ladder are real.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgemass import cache, families
from edgemass.agent import Agent
from edgemass.backends import Options, trial
from edgemass.backends.ladder import Ladder
from edgemass.bundles import Bundle, loading, picks, resolve, write_bundle
from edgemass.config import CameraConfig, Config
from edgemass.counters import Counters
from edgemass.detections import Classification
from edgemass.detector import Thresholds
from edgemass.errors import BackendError
from edgemass.frame import Frame
from edgemass.manifest import InputSpec, Manifest, OutputSpec, Variant
from edgemass.messages import ClassificationMessage, ModelRef
from edgemass.pipeline.line import CameraLine, LoadedModel
from edgemass.pipeline.moment import Identity
from edgemass.tensors import Outputs, TensorInfo
from tests.simulators import tiny_models
from tests.simulators.accelerators import build_fake_delegate
from tests.simulators.manual_clock import ManualClock

pytestmark = pytest.mark.runtime

PATIENCE_S = 20.0
TRIAL_S = 6.0
"""For a trial that hangs; the others may take what a busy machine makes them take."""
PICTURE = np.full((8, 8, 3), 100, np.uint8)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_fake_delegate(tmp_path_factory.mktemp("delegate"))


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """A classifier whose score is its greatest output: the pixel plus one."""
    module = types.ModuleType("adding_family")

    class Options(msgspec.Struct):
        pass

    def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> Any:  # noqa: ARG001
        def decode(found: Outputs, *, score_threshold: float, multi_label: bool = False) -> Classification:  # noqa: ARG001
            score = (found["out"].real().max() - 1) / 255
            return Classification(np.array([score], np.float32), np.zeros(1, np.int64))

        return decode

    module.Options = Options  # type: ignore[attr-defined]
    module.prepare = prepare  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "adding_family", module)
    monkeypatch.setitem(families.FAMILIES, "adding", "adding_family")
    path = tiny_models.tflite_add(tmp_path / "add.tflite")
    data = path.read_bytes()
    variant = Variant(
        name="fp32", file=path.name, runtime="tflite", sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data)
    )
    made = Manifest(
        name="add",
        task="classification",
        labels=("bright",),
        input=InputSpec(name="in", layout="NHWC", dtype="float32", width=4, height=4),
        output=OutputSpec(family="adding", tensors={}),
        variants=(variant,),
    )
    return write_bundle(made, path, tmp_path / "bundle")


class Board:
    """The line of one camera over a fake accelerator that `control` breaks and mends."""

    def __init__(self, bundle: Bundle, backend: str, control: Path) -> None:
        self.clock = ManualClock()
        self.control = control
        detector, variant = loading.open_detector(bundle, runtime=backend, threads=1, clock=self.clock)
        assert isinstance(detector.backend, Ladder)
        self.ladder = detector.backend
        self.line = CameraLine(
            "door",
            LoadedModel(detector, ModelRef("add", "0", "sha256:00", variant.name)),
            [],
            identity=Identity("pi", "boot", "run"),
            score=0.0,
            clock=self.clock,
            counters=Counters(),
        )

    def frame(self) -> str:
        """One frame through the line: its numbers must be right. Returns the backend of its message."""
        frame = Frame(lambda: PICTURE, width=8, height=8, mono_ns=0, time_ns=0, arrived_ns=0)
        message = self.line.process(frame)
        assert isinstance(message, ClassificationMessage)
        assert message.classes[0].score == pytest.approx(100 / 255, abs=1e-3)
        assert (message.degraded is None) == (message.backend == "litert/fakenpu")
        assert message.degraded is None or message.degraded.endswith(self.reason)
        return message.backend

    @property
    def reason(self) -> str:
        return self.ladder.degraded.reason if self.ladder.degraded else ""

    def recovers(self, pause_s: float | None = None) -> None:
        """Works again after the next pause, and says so on the frames."""
        self.clock.advance(pause_s or 30.0)
        give_up = time.monotonic() + PATIENCE_S
        while self.frame() != "litert/fakenpu":
            assert time.monotonic() < give_up, f"it was not taken back: {self.reason}"
            time.sleep(0.01)
        assert self.ladder.degraded is None


@pytest.fixture
def open_board(
    bundle: Bundle, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Board]]:
    made: list[Board] = []

    def make(fault: str = "none", *, path: Path = library, more: str = "") -> Board:
        if fault == "hang-create":
            monkeypatch.setattr(loading, "LOAD_S", TRIAL_S)
        control = tmp_path / "control"
        control.write_text(fault)
        made.append(Board(bundle, f"tflite:{path}?control={control}{more}", control))
        return made[-1]

    yield make
    for board in made:
        board.control.write_text("none")
        board.ladder.close()


def test_what_works_runs_every_frame_and_says_so(open_board: Callable[..., Board]) -> None:
    board = open_board()
    assert {board.frame() for _ in range(5)} == {"litert/fakenpu"}
    assert board.ladder.degraded is None


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("create", "fake: no device found"),
        ("prepare", "fake: the graph cannot be compiled"),
        ("idle", "litert/fakenpu was asked for, the session runs on litert/xnnpack"),
        ("run", "fake: the device is gone"),
        ("wrong", "litert/fakenpu gives wrong numbers: output out differs"),
        ("crash-create", "litert/fakenpu crashed in a trial run (SIGSEGV)"),
        ("crash-run", "litert/fakenpu crashed in a trial run (SIGSEGV)"),
        ("hang-create", "litert/fakenpu hangs: no end of a trial run within 6 s"),
    ],
)
def test_a_failure_at_the_start_ends_on_the_cpu_with_its_reason_and_is_taken_back_when_it_works(
    open_board: Callable[..., Board], fault: str, reason: str
) -> None:
    board = open_board(fault)
    assert board.frame() == "litert/xnnpack"
    assert reason in board.reason
    board.control.write_text("none")
    board.recovers()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "cannot be loaded"), (b"no library at all", "cannot be loaded"), ("int x;", "is no TFLite delegate")],
)
def test_a_library_that_is_missing_or_another_one_is_told_and_taken_once_it_is_there(
    open_board: Callable[..., Board], library: Path, tmp_path: Path, content: bytes | str | None, reason: str
) -> None:
    path = tmp_path / "libfakenpu.so"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        (tmp_path / "other.c").write_text(content)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", path, tmp_path / "other.c"], check=True)
    board = open_board(path=path)
    assert board.frame() == "litert/xnnpack"
    assert reason in board.reason
    assert str(path) in board.reason
    path.unlink(missing_ok=True)
    path.write_bytes(library.read_bytes())
    board.recovers()


def test_a_failure_in_a_run_costs_no_frame_and_no_message_claims_the_accelerator(
    open_board: Callable[..., Board],
) -> None:
    board = open_board()
    told = [board.frame()]
    board.control.write_text("run")
    told += [board.frame(), board.frame()]
    assert told == ["litert/fakenpu", "litert/xnnpack", "litert/xnnpack"]
    assert "fake: the device is gone" in board.reason
    board.control.write_text("none")
    board.recovers()


def test_a_hang_in_a_run_costs_one_deadline(open_board: Callable[..., Board]) -> None:
    board = open_board()
    assert board.frame() == "litert/fakenpu"
    board.control.write_text("hang")
    told: list[str] = []
    loop = threading.Thread(target=lambda: told.append(board.frame()))
    loop.start()
    board.clock.pass_wait(loading.RUN_S)
    loop.join(PATIENCE_S)
    assert told == ["litert/xnnpack"]
    assert board.reason == "litert/fakenpu hangs: no answer to run within 3 s"
    board.control.write_text("none")
    board.recovers()


def test_an_accelerator_that_was_measured_best_runs_without_being_asked_for(
    bundle: Bundle, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_chosen", [tmp_path / "cache"])
    pick = picks.Pick(
        digest=bundle.digest,
        variant="fp32",
        backend=f"tflite:{library}",
        threads=1,
        p95_ms=1.0,
        reference_p95_ms=2.0,
        f1=1.0,
        compared=9,
        reason="it agrees",
        measured="2026-11-22T10:15:02.118Z",
    )
    picks.keep(bundle, pick)
    names = []
    for asked in ({}, {"threads": 1}):
        detector, _ = loading.open_detector(bundle, **asked)  # type: ignore[arg-type]
        names.append(detector.backend.name)
        detector.backend.close()
    assert names == ["litert/fakenpu", "litert/xnnpack"]


def test_a_trial_run_ends_when_nobody_waits_for_it_any_more(library: Path, tmp_path: Path) -> None:
    model = tiny_models.tflite_add(tmp_path / "add.tflite")
    options = Options(provider=str(library), provider_options={"fault": "hang-create"})
    cancelled = threading.Event()
    threading.Timer(0.5, cancelled.set).start()
    feed = {"in": np.zeros((1, 4, 4, 3), np.float32)}
    with pytest.raises(BackendError, match="litert/fakenpu hangs: the trial was cancelled"):
        trial.try_out("litert/fakenpu", model, "tflite", options, feed, deadline_s=90, cancelled=cancelled)


def run_agent(bundle: Bundle, tmp_path: Path, backend: str, *, strict: bool) -> tuple[int, list[str]]:
    """Exit code, and the backend of every message."""
    messages = tmp_path / "messages.jsonl"
    config = Config(
        cameras={"cam0": CameraConfig(source="synthetic:")},
        model=str(bundle.folder),
        device="pi",
        sinks=(f"jsonl:{messages}",),
        backend=(backend,),
        strict=strict,
        frames=4,
    )
    code = Agent(config).run(threading.Event())
    lines = messages.read_text().splitlines() if messages.exists() else []
    return code, [json.loads(line)["backend"] for line in lines]


def test_strict_ends_the_run_with_1_when_the_accelerator_fails_later(
    bundle: Bundle, library: Path, tmp_path: Path
) -> None:
    backend = f"tflite:{library}?fault=run&after=3"
    assert run_agent(bundle, tmp_path, backend, strict=True) == (1, ["litert/fakenpu"] * 2)


def test_without_strict_the_run_goes_on_and_each_message_names_what_ran(
    bundle: Bundle, library: Path, tmp_path: Path
) -> None:
    backend = f"tflite:{library}?fault=run&after=3"
    told = ["litert/fakenpu"] * 2 + ["litert/xnnpack"] * 2
    assert run_agent(bundle, tmp_path, backend, strict=False) == (0, told)


def test_strict_refuses_to_start_on_something_else(bundle: Bundle, library: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"fake: no device found; leave out --strict"):
        run_agent(bundle, tmp_path, f"tflite:{library}?fault=create", strict=True)


def test_a_variant_with_an_input_of_its_own_serves_an_accelerator_where_no_other_does(library: Path) -> None:
    """The person detector that comes along has a TFLite variant of this kind beside its ONNX one."""
    bundle = resolve("edgemass-person")
    detector, variant = loading.open_detector(bundle, runtime=f"tflite:{library}?fault=create")
    found = detector.stream().detect(np.zeros((90, 160, 3), np.uint8), Thresholds(0.4)).found
    backend = detector.backend.name
    detector.backend.close()
    assert (variant.name, backend, len(found.score)) == ("int8-tflite", "litert/xnnpack", 0)


def test_onnx_runtime_may_not_answer_a_failing_provider_with_the_cpu(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

    from edgemass import backends

    model = tiny_models.onnx_add(tmp_path / "model")
    backend: Any = backends.load("onnx").open(model, backends.Options(threads=1, plain=True))

    class Gone:
        def __init__(self, session: Any) -> None:
            self._session = session

        def __getattr__(self, name: str) -> Any:
            return getattr(self._session, name)

        def run(self, *_: object) -> None:
            raise ort_state.EPFail("the GPU fell off the bus")

    backend._session._sess = Gone(backend._session._sess)
    with pytest.raises(BackendError, match="the GPU fell off the bus"):
        backend.run({"in": np.zeros((1, 3, 4, 4), np.float32)})
    assert capfd.readouterr().out == ""


def test_what_openvino_says_is_cut_down_to_what_tells() -> None:
    from edgemass.backends import onnxruntime

    told = (
        "[ONNXRuntimeError] : 1 : FAIL : Exception during initialization: /onnxruntime/core/basic_backend.cc:136 "
        "ov::BasicBackend(ov::Context&) /onnxruntime/core/ov_interface.cc:28 auto Boundary(Func&&, Args&& ...) [with "
        "bool typed = false; Args = {const std::basic_string<char>&}; std::basic_format_string<char, int>] "
        "[OpenVINO-EP] Exception while Loading Network for graph subgraph_3: Exception from src/core.cpp:114:\n"
        "CPU plug-in doesn't support Parameter operation with dynamic rank.\n\n"
    )
    assert onnxruntime.reason(RuntimeError(told)) == (
        "[OpenVINO-EP] Exception while Loading Network for graph subgraph_3: CPU plug-in doesn't support Parameter "
        "operation with dynamic rank."
    )
