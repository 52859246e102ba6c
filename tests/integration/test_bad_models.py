"""Bad models do not survive: each is refused where it is proven, or fails its probation, and the reason is right.

Models, runtimes and child processes are real; the time of a probation is counted in frames.
"""

from __future__ import annotations

import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgemass.agent import probation
from edgemass.agent.probation import Baseline, Failed, Passed, ProbationLimits, Sample, Standing
from edgemass.agent.proving import How, ProvingLimits, Verdict, prove
from edgemass.bundles import Bundle, load_bundle, open_detector
from edgemass.detector import Thresholds
from edgemass.health import memory
from tests.simulators import bad_models
from tests.simulators.accelerators import build_fake_delegate

pytestmark = pytest.mark.runtime

ONE = How(threads=1)
STOCK = How(threads=1, variant="int8")  # nothing is rewritten for this board before it is loaded
FRAMES = bad_models.people()
LATE = 400
FPS = 5.0
ON_X86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "i686"), reason="x86 alone traps this division")


@pytest.fixture(scope="module")
def running() -> Bundle:
    return load_bundle(bad_models.PERSON)


def test_a_good_model_is_proven_and_measured_like_the_running_one(tmp_path: Path, running: Bundle) -> None:
    verdict = prove(bad_models.person(tmp_path / "new"), running, how=ONE, frames=FRAMES)
    assert verdict == verdict_of(verdict, ok=True, golden=1.0, variant="int8", backend="onnxruntime/cpu")
    assert verdict.p95_ms
    assert verdict.running_p95_ms
    assert verdict.running_memory_bytes == pytest.approx(verdict.memory_bytes, rel=0.5)


def verdict_of(verdict: Verdict, *, ok: bool, golden: float, variant: str, backend: str) -> Verdict:
    """This verdict with what is said of it here."""
    return msgspec.structs.replace(
        verdict, ok=ok, reason="", quarantine=False, fits_beside=True, golden=golden, variant=variant, backend=backend
    )


def test_a_model_is_proven_where_it_lies_in_the_store(tmp_path: Path, running: Bundle) -> None:
    """Its files have no names there, and a golden picture that the manifest promises has to be there."""
    new = bad_models.person(tmp_path / "new")
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    for name, sha256 in [
        *((variant.file, variant.sha256) for variant in new.variants),
        *((sample.image, sample.sha256) for sample in new.manifest.golden),
    ]:
        new.file(name, sha256).rename(blobs / sha256)
    stored = Bundle(new.manifest, blobs, blobs=blobs)
    assert prove(stored, running, how=ONE, frames=FRAMES).golden == 1.0
    (blobs / new.manifest.golden[1].sha256).unlink()
    assert "the golden sample golden-2.png is missing" in prove(stored, running, how=STOCK).reason


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda place: bad_models.person(place, "truncated"), "cannot load it: Protobuf parsing failed"),
        (lambda place: bad_models.person(place, "nan"), "its numbers are not finite: 2464 of 2464 values of classes8"),
        (lambda place: bad_models.person(place, "nan", after=30), "values of classes8 on run 31 are NaN or infinite"),
        (lambda place: bad_models.person(place, "blind"), "golden-1.png: no 'person' is found where one is"),
        (lambda place: bad_models.person(place, "blind", golden=False), "it finds nothing in 6 frames of the cameras"),
        (lambda place: bad_models.person(place, "slow"), "it is too slow: p95"),
        (lambda place: bad_models.person(place, "leaking"), "its memory grows with every run: "),
        pytest.param(
            lambda place: bad_models.person(place, "crashing"), "it crashed while loading it (SIGFPE)", marks=ON_X86
        ),
        pytest.param(
            lambda place: bad_models.person(place, "crashing", after=45),
            "it crashed while running it, runs 41 to 50 (SIGFPE)",
            marks=ON_X86,
        ),
        (lambda place: bad_models.person_tflite(place, "load"), "it crashed while loading it (SIGSEGV)"),
        (
            lambda place: bad_models.person_tflite(place, "run"),
            "it crashed while running it for the first time (SIGSEGV)",
        ),
    ],
    ids=lambda value: value.split(":")[0][:30] if isinstance(value, str) else "",
)
def test_a_bad_model_is_refused_for_good_with_the_right_reason(
    make: Callable[[Path], Bundle], reason: str, tmp_path: Path, running: Bundle
) -> None:
    new = make(tmp_path / "new")
    how = STOCK if new.manifest.reference.runtime == "onnx" else ONE
    verdict = prove(new, running, how=how, frames=FRAMES)
    assert reason in verdict.reason
    assert (verdict.ok, verdict.quarantine) == (False, True)


@pytest.mark.parametrize(
    ("fault", "golden", "reason"),
    [
        ("swapped", True, "golden sample golden-1.png: it says 'bird' of what is 'cat'"),
        ("swapped", False, "its labels are wrong: of 24 things that both models find in frames of the cameras"),
        ("too many", True, "4 labels, but the output has room for 3 classes"),
    ],
)
def test_wrong_labels_are_refused_with_the_right_reason(fault: str, golden: bool, reason: str, tmp_path: Path) -> None:
    old = bad_models.animals(tmp_path / "old", release=1)
    new = bad_models.animals(tmp_path / "new", fault, golden=golden)  # type: ignore[arg-type]
    frames = [bad_models.bright()] * 4
    verdict = prove(new, old, how=ONE, frames=frames)
    assert reason in verdict.reason
    assert verdict.quarantine
    good = bad_models.animals(tmp_path / "good", golden=golden)
    assert prove(good, old, how=ONE, frames=frames).ok


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("fault=none", ""),
        ("fault=leak", "its memory grows with every run: 3."),
        ("fault=crash-run&after=61", "it crashed while running it, runs 51 to 60 (SIGSEGV)"),
    ],
)
def test_an_accelerator_that_leaks_or_crashes_with_the_model_is_told_in_time(
    options: str, reason: str, tmp_path: Path
) -> None:
    """Its library is loaded into the process, as a vendor's is; in the one run of its trial it did well."""
    library = build_fake_delegate(tmp_path)
    how = How(threads=1, backend=f"tflite:{library}?{options}")
    verdict = prove(bad_models.adder(tmp_path / "new"), None, how=how)
    assert verdict.reason.startswith(reason)
    assert verdict.ok == (not reason)
    assert verdict.backend == "litert/fakenpu"


def test_a_model_that_hangs_is_refused_when_its_time_is_over(tmp_path: Path) -> None:
    hangs = bad_models.person(tmp_path / "new", "hanging", after=5)
    for deadline_s in (6.0, 12.0, 24.0, 48.0):
        verdict = prove(hangs, None, how=STOCK, frames=FRAMES, deadline_s=deadline_s)
        if "while running it" in verdict.reason:
            break  # else this machine was so busy that the time was over before the model was loaded
    assert verdict.reason.startswith("it hangs: no end within ")
    assert verdict.reason.endswith(" s while running it, runs 1 to 10")
    assert verdict.quarantine


def test_proving_that_is_cancelled_ends_and_blames_nobody(tmp_path: Path, running: Bundle) -> None:
    cancelled = threading.Event()
    cancelled.set()
    verdict = prove(bad_models.person(tmp_path / "new"), running, how=ONE, cancelled=cancelled)
    assert (verdict.ok, verdict.quarantine, verdict.reason) == (False, False, "proving it was cancelled")


def test_a_file_that_changed_after_it_was_fetched_is_refused(tmp_path: Path, running: Bundle) -> None:
    new = bad_models.person(tmp_path / "new")
    path = new.path(new.manifest.reference)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    verdict = prove(new, running, how=ONE)
    assert "is not the file of the manifest" in verdict.reason


def test_what_the_configuration_asks_for_is_looked_at_first(tmp_path: Path, running: Bundle) -> None:
    new = bad_models.person(tmp_path / "new")
    verdict = prove(new, running, how=ONE, wanted_labels=("*", "dog"))
    assert verdict.reason == "the configuration names 'dog', it knows person; change either"
    verdict = prove(new, running, how=How(threads=1, variant="fp16"))
    assert "has no variant 'fp16'" in verdict.reason
    assert not verdict.quarantine


def test_a_model_with_no_room_beside_the_running_one_is_not_blamed_until_it_has_all_the_board(
    tmp_path: Path, running: Bundle
) -> None:
    new = bad_models.person(tmp_path / "new")
    limits = ProvingLimits(reserve_bytes=1 << 60)
    verdict = prove(new, running, how=ONE, limits=limits)
    assert (verdict.ok, verdict.fits_beside, verdict.quarantine) == (False, False, False)
    verdict = prove(new, running, how=ONE, limits=limits, beside=False)
    assert (verdict.ok, verdict.fits_beside, verdict.quarantine) == (False, False, True)


class Board:
    """A model at work on one camera: real frames, five of them to a second of the samples.

    Their times are the processor's, of this thread, in which the runtime runs: a busy machine fails no test.
    """

    def __init__(self, bundle: Bundle, *, from_s: float) -> None:
        detector, _ = open_detector(bundle, threads=1, variant="int8")
        self._backend = detector.backend
        self._stream = detector.stream()
        self._thresholds = Thresholds(bundle.manifest.score)
        self._from_s = from_s
        self._frames = self._found = 0
        self._times_ms: list[float] = []

    def close(self) -> None:
        self._backend.close()

    def sample(self) -> Sample:
        return Sample(
            at_s=self._from_s + self._frames / FPS,
            captured=self._frames,
            served=self._frames,
            processed=self._frames,
            failures=0,
            detections=self._found,
            cpu_s=time.process_time(),
            p95_ms=float(np.percentile(self._times_ms, 95)) if self._times_ms else None,
            rss_bytes=memory.resident_bytes(),
        )

    def second(self) -> Sample:
        self._times_ms = []
        for _ in range(int(FPS)):
            begun = time.thread_time()
            self._found += len(self._stream.detect(FRAMES[self._frames % len(FRAMES)], self._thresholds).found)
            self._times_ms.append((time.thread_time() - begun) * 1e3)
            self._frames += 1
        return self.sample()


LIMITS = ProbationLimits(duration_s=190.0, window_s=20.0)


@pytest.fixture(scope="module")
def before(running: Bundle) -> Baseline:
    board = Board(running, from_s=0.0)
    found = probation.baseline([board.sample(), *(board.second() for _ in range(20))], LIMITS)
    board.close()
    assert found is not None
    return found


def on_probation(bundle: Bundle, before: Baseline, limits: ProbationLimits = LIMITS) -> Standing:
    board = Board(bundle, from_s=100.0)
    samples = [board.sample()]
    standing: Standing = probation.Going(0.0)
    while isinstance(standing, probation.Going):
        samples.append(board.second())
        standing = probation.judge(before, samples, limits)
    board.close()
    return standing


def test_a_good_model_passes_its_probation(tmp_path: Path, before: Baseline) -> None:
    assert on_probation(bad_models.person(tmp_path / "new"), before) == Passed()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("blind", "it finds 0."),  # over the last 40 s, at the end of which it finds nothing
        ("slow", "it is too slow: p95"),
        ("leaking", "the memory of the process grows all the time"),
    ],
)
def test_a_model_that_goes_bad_later_is_proven_and_fails_its_probation(
    fault: bad_models.Fault, reason: str, tmp_path: Path, running: Bundle, before: Baseline
) -> None:
    late = bad_models.person(tmp_path / "new", fault, after=LATE)
    assert prove(late, running, how=STOCK, frames=FRAMES).ok
    # What leaks grows slower, too: here the cameras want no more than a frame a second.
    limits = msgspec.structs.replace(LIMITS, fast_enough_ms=1000.0) if fault == "leaking" else LIMITS
    standing = on_probation(late, before, limits)
    assert isinstance(standing, Failed)
    assert standing.reason.startswith(reason)


@ON_X86
def test_a_model_that_crashes_later_is_proven_and_takes_a_process_down_in_that_very_run(
    tmp_path: Path, running: Bundle
) -> None:
    """What the store's counted trial is for."""
    late = bad_models.person(tmp_path / "new", "crashing", after=LATE)
    assert prove(late, running, how=STOCK, frames=FRAMES).ok
    program = (
        "import sys; from pathlib import Path; from edgemass.bundles import load_bundle, open_detector\n"
        "from edgemass.detector import Thresholds, made_up_picture\n"
        "stream = open_detector(load_bundle(Path(sys.argv[1])), threads=1, variant='int8')[0].stream()\n"
        "picture = made_up_picture()\n"
        "for run in range(1000): print(run, flush=True); stream.detect(picture, Thresholds(0.4))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, late.folder], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == -signal.SIGFPE
    assert ended.stdout.split()[-1] == str(LATE)
