"""`bench --all`, picks and the background measurement with real ONNX Runtime and small detectors."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgemass import bundles, cache
from edgemass.agent import Agent, tuner
from edgemass.bundles import Bundle, picks
from edgemass.config import CameraConfig, Config
from edgemass.detector import Thresholds, made_up_picture
from edgemass.errors import BundleError, UsageError
from edgemass.manifest import Accuracy
from edgemass.tuning import frames, measuring
from edgemass.tuning.candidates import default_threads, reference
from edgemass.tuning.quantization import dynamic
from edgemass.tuning.row import Candidate
from tests.simulators import timed_detectors
from tests.simulators.accelerators import build_fake_delegate
from tests.simulators.daemon import edgemass

pytestmark = pytest.mark.runtime

PATIENCE_S = 60.0
SLOW, FAST = {"work": 100}, {"work": 2}  # 8 and 0.4 ms a frame: a busy machine does not hide the difference


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pick of one test is found by another one, nor by processes that it starts."""
    monkeypatch.setattr(cache, "_chosen", [tmp_path / "cache"])
    monkeypatch.setenv("EDGEMASS_CACHE", str(tmp_path / "cache"))


def measured(bundle: Bundle, *candidates: Candidate, **more: Any) -> list[str]:
    """Failures, or "" for what ran."""
    rows = measuring.measure(bundle, candidates, frames.made_up()[:2], seconds=0.1, **more)
    assert [row.candidate for row in rows] == list(candidates)
    return [row.failure for row in rows]


def test_a_row_has_its_figures_and_the_reference_beside_it(tmp_path: Path) -> None:
    bundle = timed_detectors.write(tmp_path / "bundle", {"slow": SLOW, "fast": FAST})
    (row,) = measuring.measure(bundle, [Candidate("fast", "onnx", 1)], frames.made_up(), seconds=0.3)
    assert row.failure == ""
    assert row.runs_on == "onnxruntime/cpu"
    assert 0 < row.p50_ms <= row.p95_ms
    assert row.ratio < 1
    assert row.load_s > 0
    assert 10e6 < row.rss_bytes < 1e9
    assert (row.agreement.f1, row.agreement.compared) == (1.0, 6 * frames.MOST)


def test_a_crash_costs_only_its_row_and_a_hang_only_its_deadline(tmp_path: Path) -> None:
    library = build_fake_delegate(tmp_path)
    bundle = timed_detectors.write(tmp_path / "bundle", {"fp32": FAST})
    crash, hang = (Candidate("fp32", f"tflite:{library}?fault={fault}-create", 1) for fault in ("crash", "hang"))
    assert measured(bundle, crash, reference(bundle)) == ["it crashed (SIGSEGV)", ""]
    started = time.monotonic()
    (failure,) = measured(bundle, hang, longest_s=3.0)
    assert failure.startswith("no answer within ")
    assert time.monotonic() - started < PATIENCE_S


def test_a_variant_whose_file_is_missing_or_another_one_is_a_row_that_says_so(tmp_path: Path) -> None:
    bundle = timed_detectors.write(tmp_path / "bundle", {"fp32": FAST, "gone": FAST, "other": FAST})
    (bundle.folder / "gone.onnx").unlink()
    (bundle.folder / "other.onnx").write_bytes(b"something else")
    failures = measured(bundle, *(Candidate(name, "onnx", 1) for name in ("gone", "other", "fp32")))
    assert "gone.onnx is missing" in failures[0]
    assert "other.onnx is not the file of the manifest" in failures[1]
    assert failures[2] == ""


def test_a_provider_that_is_not_here_is_a_row_that_says_so(tmp_path: Path) -> None:
    bundle = timed_detectors.write(tmp_path / "bundle", {"fp32": FAST})
    (failure,) = measured(bundle, Candidate("fp32", "onnx:qnn", 1))
    assert failure.startswith("this ONNX Runtime has no execution provider 'qnn'")


def test_a_measurement_ends_when_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    bundle = timed_detectors.write(tmp_path / "bundle", {"fp32": FAST})
    cancelled = threading.Event()
    threading.Timer(0.5, cancelled.set).start()
    rows = measuring.measure(
        bundle, [reference(bundle)] * 2, frames.made_up()[:1], seconds=PATIENCE_S, cancelled=cancelled
    )
    assert {row.failure for row in rows} == {"not measured: the time was over"}


# The command line


def test_all_prints_a_table_keeps_the_best_draws_it_and_forgets_it(tmp_path: Path) -> None:
    folder = timed_detectors.write(tmp_path / "bundle", {"slow": SLOW, "fast": FAST, "wrong": {"seed": 5}}).folder
    plot = tmp_path / "speed.png"
    done = edgemass("bench", str(folder), "--pick", "--seconds", "0.5", "--plot", str(plot))
    assert done.returncode == 0, done.stderr
    assert "tiny on 8 made-up pictures of 640x480, 0.5 s a row" in done.stdout
    assert "best: fast on onnx with " in done.stdout
    assert "takes it from now on" in done.stdout
    rows = [line for line in done.stdout.splitlines() if " wrong " in line]
    assert rows
    assert all("not to be picked: it answers differently: F1 0.000 over 48" in line for line in rows)
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "  pick      fast on onnx with " in edgemass("model", "inspect", str(folder)).stdout
    assert edgemass("bench", str(folder), "--forget").stdout == "tiny: the pick is forgotten\n"
    assert "  pick " not in edgemass("model", "inspect", str(folder)).stdout


def test_json_has_every_row_with_its_reason(tmp_path: Path) -> None:
    lossy = {**FAST, "precision": "int8", "accuracy": (Accuracy(data="x", images=9, map_50_95=0.1),)}
    folder = timed_detectors.write(tmp_path / "bundle", {"fp32": SLOW, "int8": lossy}).folder
    done = edgemass("bench", str(folder), "--all", "--json", "--seconds", "0.3")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["picked"] is False
    assert found["best"]["variant"] == "int8"
    assert {"variant", "backend", "threads", "p50_ms", "p95_ms", "ratio", "rss_bytes", "usable", "reason"} <= set(
        found["rows"][0]
    )
    assert sum(row["best"] for row in found["rows"]) == 1
    assert bundles.picks.load(bundles.load_bundle(folder)) is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--variant", "nonsense"], "tiny has no variant 'nonsense', it has fp32, int8"),
        (["--plot", "a.svg"], "--plot writes a .png picture"),
        (["--threads", "2"], "--threads does not go with --all"),
        (["--max-loss", "-1"], "--max-loss must lie between 0 and 1"),
        (["--min-agreement", "nan"], "--min-agreement must lie above 0"),
        (["--seconds", "0"], "--seconds must be above 0"),
    ],
)
def test_a_mistake_is_told_in_one_line_before_anything_is_measured(
    two: Bundle, arguments: list[str], told: str
) -> None:
    done = edgemass("bench", str(two.folder), "--all", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"edgemass: error: {told}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.assets
def test_a_file_that_is_quantized_dynamically_is_told(assets: Path) -> None:
    (told,) = dynamic(bundles.resolve(str(assets / "detectors" / "yolov8n_640_int8dyn.onnx")))
    assert told.startswith("yolov8n_640_int8dyn.onnx is quantized dynamically (ConvInteger, DynamicQuantizeLinear)")
    assert "edgemass-tools quantize" in told
    assert dynamic(bundles.resolve(str(assets / "detectors" / "yolo-fastest-1.1.onnx"))) == []


@pytest.mark.assets
def test_the_rewritten_variant_of_a_real_model_takes_part(assets: Path) -> None:
    done = edgemass(
        *("bench", str(assets / "detectors" / "picodet_s_320_coco.onnx"), "--all", "--seconds", "0.5", "--json"),
        *("--camera", str(assets / "pictures")),
        timeout_s=110,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert {row["variant"] for row in rows} == {"onnx-fp32", "onnx-fp32-optimized"}
    assert all(row["usable"] and row["agreement"]["f1"] > 0.99 for row in rows)


# What the pick is used for


def keep(bundle: Bundle, variant: str, backend: str = "onnx", threads: int = 2) -> None:
    picks.keep(
        bundle,
        picks.Pick(
            digest=bundle.digest,
            variant=variant,
            backend=backend,
            threads=threads,
            p95_ms=1.0,
            reference_p95_ms=2.0,
            f1=1.0,
            compared=9,
            reason="it agrees",
            measured="2026-11-22T10:15:02.118Z",
        ),
    )


def opened(bundle: Bundle, **asked: Any) -> str:
    """The variant that runs, after it did."""
    detector, variant = bundles.open_detector(bundle, **asked)
    ran = detector.stream().detect(made_up_picture(), Thresholds(0.4)).ran
    detector.backend.close()
    assert ran.variant == variant.name
    return variant.name


@pytest.fixture
def two(tmp_path: Path) -> Bundle:
    return timed_detectors.write(tmp_path / "two", {"fp32": SLOW, "int8": {**FAST, "precision": "int8"}})


def test_a_pick_runs_where_nothing_else_is_asked_for(two: Bundle) -> None:
    assert opened(two) == "fp32"
    keep(two, "int8")
    assert opened(two) == "int8"
    assert opened(two, threads=1) == "fp32"
    assert opened(two, runtime="onnx") == "fp32"
    assert opened(two, variant="fp32") == "fp32"


@pytest.mark.parametrize(
    ("variant", "backend", "told"),
    [("int8", "onnx", "is missing"), ("nonsense", "onnx", "no variant 'nonsense'"), ("int8", "tflite", "no variant")],
)
def test_a_pick_that_no_longer_loads_is_told_and_what_ran_before_runs(
    two: Bundle, variant: str, backend: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    (two.folder / "int8.onnx").unlink()
    keep(two, variant, backend)
    with caplog.at_level(logging.WARNING):
        assert opened(two) == "fp32"
    warnings = [record.getMessage() for record in caplog.records]
    assert any("no longer loads" in text and told in text for text in warnings)


def test_a_variant_that_is_asked_for_by_name_runs_or_nothing_does(two: Bundle) -> None:
    assert opened(two, variant="int8") == "int8"
    with pytest.raises(UsageError, match="tiny has no variant 'x', it has fp32, int8"):
        bundles.open_detector(two, variant="x")
    (two.folder / "int8.onnx").unlink()
    with pytest.raises(BundleError, match=r"int8\.onnx is missing"):
        bundles.open_detector(bundles.load_bundle(two.folder), variant="int8")


def test_a_preferred_variant_whose_file_is_missing_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = timed_detectors.write(tmp_path / "bundle", {"stock": SLOW, "rewritten": FAST}).folder
    assert opened(bundles.load_bundle(folder)) == "rewritten"
    (folder / "rewritten.onnx").unlink()
    with caplog.at_level(logging.WARNING):
        assert opened(bundles.load_bundle(folder)) == "stock"
    assert [(record.getMessage(), getattr(record, "variant", "")) for record in caplog.records] == [
        ("the file of a variant is missing, it is left out", "rewritten")
    ]


def test_run_and_eval_take_a_variant_by_name(two: Bundle, tmp_path: Path) -> None:
    camera = "synthetic:?width=64&height=64&frames=2"
    done = edgemass(*("run", "--camera", camera, "--model", str(two.folder), "--variant", "int8", "--sink", "jsonl:-"))
    assert [json.loads(line)["model"]["variant"] for line in done.stdout.splitlines()] == ["int8", "int8"]
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    import cv2

    cv2.imwrite(str(pictures / "1.png"), made_up_picture())
    truth = {
        "images": [{"id": 1, "file_name": "1.png", "width": 640, "height": 480}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 50, 50]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "truth.json").write_bytes(msgspec.json.encode(truth))
    for more, variant in ((("--variant", "int8"), "int8"), ((), "fp32")):
        done = edgemass(
            *("eval", str(two.folder), "--images", str(pictures), "--json", *more),
            *("--annotations", str(tmp_path / "truth.json")),
        )
        assert json.loads(done.stdout)["variant"] == variant, done.stderr


# The daemon


class Run:
    """An agent in a thread over one camera at its own speed; its documents go to a file."""

    def __init__(self, bundle: Bundle, folder: Path, **asked: Any) -> None:
        self.messages = folder / "messages.jsonl"
        self.stop = threading.Event()
        self.code: int | None = None
        config = Config(
            cameras={"cam0": CameraConfig(source="synthetic:?width=64&height=64&frames=100000&fps=50", realtime=True)},
            model=str(bundle.folder),
            device="pi",
            sinks=(f"jsonl:{self.messages}",),
            **asked,
        )
        self._agent = Agent(config, tune_after_s=0.5)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.code = self._agent.run(self.stop)

    def documents(self) -> list[dict[str, Any]]:
        whole, _, _ = self.messages.read_text().rpartition("\n") if self.messages.exists() else ("", "", "")
        return [json.loads(line) for line in whole.splitlines()]

    def until(self, done: Callable[[], bool]) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < give_up
            assert self._thread.is_alive()
            time.sleep(0.05)

    def end(self) -> list[dict[str, Any]]:
        self.stop.set()
        self._thread.join(PATIENCE_S)
        assert self.code == 0
        return self.documents()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    monkeypatch.setattr(tuner, "SECONDS", 0.5)
    return lambda bundle, **asked: Run(bundle, tmp_path, **asked)


def test_the_better_variant_takes_over_between_two_frames(two: Bundle, run: Callable[..., Run]) -> None:
    running = run(two)
    running.until(lambda: running.documents()[-1:] != [] and running.documents()[-1]["model"]["variant"] == "int8")
    documents = running.end()
    assert [item["seq"] for item in documents] == list(range(1, len(documents) + 1))
    variants = [item["model"]["variant"] for item in documents]
    assert variants == sorted(variants)  # fp32 once, then int8
    assert all(len(item["detections"]) == 6 for item in documents)
    pick = picks.load(two)
    assert pick is not None
    assert (pick.variant, pick.backend) == ("int8", "onnx")


def test_what_answers_differently_or_gains_nothing_is_not_taken(
    tmp_path: Path, run: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    bundle = timed_detectors.write(
        tmp_path / "bundle",
        {"fp32": FAST, "int8": {**SLOW, "precision": "int8"}, "int4": {"seed": 5, "precision": "int4"}},
    )
    with caplog.at_level(logging.INFO):
        running = run(bundle)
        running.until(lambda: any("going on as before" in record.getMessage() for record in caplog.records))
        documents = running.end()
    assert {item["model"]["variant"] for item in documents} == {"fp32"}
    pick = picks.load(bundle)
    assert pick is not None
    assert pick.variant == "fp32"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"tune": False}, "the configuration forbids it"),
        ({"threads": default_threads()}, "what is to run was asked for"),
        ({"backend": "onnx"}, "what is to run was asked for"),
        ({"variant": "fp32"}, "what is to run was asked for"),
    ],
)
def test_nothing_is_measured_where_that_is_forbidden_or_something_was_asked_for(
    two: Bundle, run: Callable[..., Run], asked: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="edgemass.agent"):
        running = run(two, frames=3, **asked)
        running.until(lambda: len(running.documents()) == 3)
        running.end()
    assert f"what runs best is not measured: {reason}" in caplog.text


def test_the_end_of_the_run_ends_the_measurement(
    two: Bundle, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tuner, "SECONDS", 10 * PATIENCE_S)
    with caplog.at_level(logging.INFO):
        running = run(two)
        running.until(lambda: "measuring in the background" in caplog.text)
        running.end()
    assert not any(thread.name == "tuner" for thread in threading.enumerate())
    assert picks.load(two) is None
