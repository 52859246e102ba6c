"""The child process that loads a model as the daemon would and looks at all that can be seen before it may run.

Standard input: one line of JSON (Order), then the cameras' frames, as `np.save` writes them. Standard output: a line
of JSON (Evidence) whenever there is more to tell, so that the last whole one tells what was known, and what was being
done, when the process ended. What runtimes print goes to standard error.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec
import numpy as np

from edgemass import backends, cache
from edgemass import manifest as manifests
from edgemass.agent.judging import Evidence, Thing
from edgemass.backends import Backend, own_process
from edgemass.bundles import golden
from edgemass.bundles.folder import Bundle
from edgemass.bundles.loading import open_detector
from edgemass.detections import Detections
from edgemass.detector import Detector, Stream, Thresholds, made_up_picture
from edgemass.device_profile import Defaults
from edgemass.errors import BackendUnavailableError, EdgemassError, UsageError
from edgemass.frame import Image
from edgemass.health import memory
from edgemass.imaging import leave_cores_to_the_runtime
from edgemass.manifest import Golden, Manifest, Variant
from edgemass.tensors import AnyArray, Outputs, TensorInfo
from edgemass.texts import as_image
from edgemass.tuning.agreement import LOWEST
from edgemass.tuning.turns import in_turns

WARM_UP_RUNS = 20  # ONNX Runtime's arena and LiteRT's caches have their size after 3 to 10
GROWTH_EVERY, GROWTH_LEAST_RUNS, GROWTH_S = 10, 40, 10.0  # a slow model is stopped after the first 40 runs
ROUND_MOST_RUNS = 60
MOST_THINGS = 50  # of one frame that are told
MOST_GOLDEN = 32
_TEXT = as_image(b"192.0.2.1 - - [26/Nov/2026:01:02:03 +0000] GET /index.html 200 512")


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """How the daemon would open a bundle. manifest: its JSON. folder, blobs: as in Bundle; blobs "" where it has none.

    runtime, threads, strict, variant, defaults, picked: as `open_detector` takes them.
    """

    manifest: str
    folder: str
    blobs: str
    runtime: str | tuple[str, ...] | None
    threads: int | None
    strict: bool
    variant: str | None
    defaults: Defaults
    picked: bool


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """growth_runs: in which its memory is watched; 2 s of a model of 10 ms.

    rounds, round_s: of the comparison of speed. All runs of one stream together stay below 400: what breaks later is
    probation's.
    """

    growth_runs: int = 200
    rounds: int = 3
    round_s: float = 1.2


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """model: to look at. beside: the running model, to compare speeds with; None = time the model alone.

    checks: whether it is the new model, whose answers and growth are looked at, or the running one, of which memory,
    frames and speed are wanted. beside_bytes: what `beside` takes, as measured. reserve_bytes: of memory that has to
    stay free. effort: spent on a model that is checked. frames: how many follow. cache: the parent's place for what is
    kept, "" where it has none. nice: added to the process's own. deadline_s: after which it ends itself.
    """

    model: Load
    beside: Load | None
    checks: bool
    beside_bytes: int
    reserve_bytes: int
    effort: Effort
    frames: int
    cache: str
    nice: int
    deadline_s: int


def main() -> None:
    answer = own_process.open_answer()
    order = own_process.take_order(Order)
    own_process.step_back(order.nice, order.deadline_s)
    if order.cache:
        cache.use(Path(order.cache))
    witness = Witness(answer)
    try:
        look(order, witness, lambda: own_process.take_arrays(order.frames))
    except EdgemassError as error:
        witness.say(error=str(error), blameless=isinstance(error, (BackendUnavailableError, UsageError)))
    os._exit(0)  # the vendor's destructors are nobody's business here


class Witness:
    """Tells the parent what is known so far, at once."""

    def __init__(self, answer: IO[bytes]) -> None:
        self.evidence = Evidence()
        self._answer = answer

    def say(self, doing: str | None = None, **facts: object) -> None:
        """doing: what is begun now; see Evidence."""
        if doing is not None:
            self.evidence.doing = doing
        for name, value in facts.items():
            setattr(self.evidence, name, value)
        self._answer.write(msgspec.json.encode(self.evidence) + b"\n")
        self._answer.flush()


def look(order: Order, witness: Witness, read_frames: Callable[[], list[Image]]) -> None:
    """Load the model, look at its answers, its memory and its speed.

    read_frames: called when the model's memory is known, which frames would add to.

    Raises:
        EdgemassError: it cannot be loaded or run.
    """
    leave_cores_to_the_runtime()
    witness.say("loading it")
    bundle = _bundle(order.model)
    _import_runtimes(bundle.manifest)
    before = memory.resident_bytes()
    started = time.perf_counter()
    detector, variant = _open(order.model, bundle)
    backend = detector.backend
    witness.say("running it for the first time", requested=backend.requested, variant=variant.name)
    thresholds = Thresholds(bundle.manifest.score)
    detector.stream().detect(_made_up(bundle.manifest), thresholds)
    witness.say(
        "reading frames",
        backend=backend.name,
        load_s=round(time.perf_counter() - started, 3),
        memory_bytes=max(0, memory.resident_bytes() - before),
    )
    frames = read_frames()
    pictures = frames or [_made_up(bundle.manifest)]
    right = True
    if order.checks:
        watched = Watched(backend, bundle.manifest.of(variant))
        detector.backend = watched
        right = _check_answers(bundle, variant, detector, frames, witness) and _grow(
            order.effort.growth_runs, detector.stream(), pictures, thresholds, watched, witness
        )
        detector.backend = backend
    if right:
        _see(detector.stream(), bundle.manifest, frames, witness)
        _time(order, detector.stream(), thresholds, pictures, witness)
    witness.say("ending", done=True)


def _bundle(load: Load) -> Bundle:
    made = manifests.from_json(load.manifest.encode(), where="the order")
    return Bundle(made, Path(load.folder), blobs=Path(load.blobs) if load.blobs else None)


def _open(load: Load, bundle: Bundle) -> tuple[Detector, Variant]:
    return open_detector(
        bundle,
        runtime=load.runtime,
        threads=load.threads,
        strict=load.strict,
        variant=load.variant,
        defaults=load.defaults,
        picked=load.picked,
    )


def _import_runtimes(manifest: Manifest) -> None:
    """The memory of a runtime's library is not the model's: the daemon has it loaded already."""
    for runtime in {variant.runtime for variant in manifest.variants}:
        with contextlib.suppress(BackendUnavailableError):
            backends.load(runtime)


def _made_up(manifest: Manifest) -> Image:
    return made_up_picture() if manifest.input.text is None else _TEXT


class Watched:
    """A backend whose outputs are looked at: whatever is decoded or remembered has to be finite.

    strange: of each output that was not, and on what; `what` is set by the user.
    """

    def __init__(self, backend: Backend, manifest: Manifest) -> None:
        self._backend = backend
        read = {name for names in manifest.output.tensors.values() for name in names}
        self._read = read | {pair.output for pair in manifest.state}
        self.what = ""
        self.strange: list[str] = []
        self.requested, self.version = backend.requested, backend.version
        self.inputs: tuple[TensorInfo, ...] = backend.inputs
        self.outputs: tuple[TensorInfo, ...] = backend.outputs

    @property
    def name(self) -> str:
        """See Backend."""
        return self._backend.name

    def run(self, inputs: Mapping[str, AnyArray]) -> Outputs:
        """See Backend."""
        found = self._backend.run(inputs)
        for name, tensor in found.items():
            if name in self._read and tensor.data.dtype.kind == "f" and not np.isfinite(tensor.data).all():
                bad = int(np.count_nonzero(~np.isfinite(tensor.data)))
                self.strange.append(f"{bad} of {tensor.data.size} values of {name} on {self.what} are NaN or infinite")
        return found

    def close(self) -> None:
        """See Backend."""
        self._backend.close()


def _check_answers(
    bundle: Bundle, variant: Variant, detector: Detector, frames: Sequence[Image], witness: Witness
) -> bool:
    """Made-up pictures, golden samples and frames; the first output that is not finite ends it.

    detector: with a Watched backend. Returns whether nothing is wrong.
    """
    watched = detector.backend
    assert isinstance(watched, Watched)
    stream = detector.stream()
    everything = Thresholds(LOWEST, max_detections=300 if bundle.manifest.task == "detection" else None)
    accelerated = watched.name.partition("/")[2] not in ("cpu", "xnnpack")
    missed: list[str] = []
    samples = [sample for sample in bundle.manifest.golden if sample.text or golden.picture(bundle, sample) is not None]
    samples = samples[:MOST_GOLDEN]
    asked: list[tuple[str, Golden | None, Callable[[], Image]]] = [
        *(_blank(bundle.manifest)),
        *((sample.image or "a text", sample, lambda sample=sample: golden.read(bundle, sample)) for sample in samples),
        *((f"frame {index + 1} of the cameras", None, lambda frame=frame: frame) for index, frame in enumerate(frames)),
    ]
    for what, sample, picture in asked:
        watched.what = what
        witness.say(f"running it on {what}")
        stream.forget()
        image = picture()
        found = stream.detect(image, everything).found
        if watched.strange:
            break
        if sample is not None:
            tolerance = golden.tolerances(sample, bundle.manifest, variant, accelerated=accelerated)
            size = (image.shape[1], image.shape[0])
            missed += filter(None, [golden.compare(sample, found, bundle.manifest, size=size, tolerance=tolerance)])
    witness.say("its answers are known", strange=watched.strange, golden=missed, golden_samples=len(samples))
    return not watched.strange and not missed


def _blank(manifest: Manifest) -> list[tuple[str, Golden | None, Callable[[], Image]]]:
    """Pictures that every model meets: something, night, and glare."""
    if manifest.input.text is not None:
        return [("a line of a log", None, lambda: _TEXT)]
    return [
        ("a made-up picture", None, made_up_picture),
        ("a black picture", None, lambda: np.zeros((480, 640, 3), np.uint8)),
        ("a white picture", None, lambda: np.full((480, 640, 3), 255, np.uint8)),
    ]


def _see(stream: Stream, manifest: Manifest, frames: Sequence[Image], witness: Witness) -> None:
    """What it finds in the frames with the manifest's own threshold."""
    seen: list[list[Thing]] = []
    for index, frame in enumerate(frames):
        witness.say(f"running it on frame {index + 1} of the cameras")
        stream.forget()
        found = stream.detect(frame, Thresholds(manifest.score)).found
        count = min(len(found), MOST_THINGS if isinstance(found, Detections) else 1)
        boxes = found.xyxy[:count].tolist() if isinstance(found, Detections) else [[0.0] * 4] * count
        labels = [manifest.labels[int(class_id)] for class_id in found.class_id[:count]]
        scores = [round(float(score), 3) for score in found.score[:count]]
        seen.append([Thing(*thing) for thing in zip(labels, scores, map(tuple, boxes), strict=True)])
    witness.say("its finds are known", seen=seen)


def _grow(
    runs: int, stream: Stream, pictures: Sequence[Image], thresholds: Thresholds, watched: Watched, witness: Witness
) -> bool:
    """Run it again and again, look at the process's memory, and return whether all its numbers stay finite."""
    growth: list[tuple[int, int]] = []
    started = time.perf_counter()
    for run in range(1 - WARM_UP_RUNS, runs + 1):
        if run == 1:
            growth.append((0, memory.own_bytes()))
            started = time.perf_counter()
        if run > GROWTH_LEAST_RUNS and time.perf_counter() - started > GROWTH_S:
            break
        if run % GROWTH_EVERY == 1:
            first = run + WARM_UP_RUNS
            witness.say(f"running it, runs {first} to {first + GROWTH_EVERY - 1}", growth=growth)
        watched.what = f"run {run + WARM_UP_RUNS}"
        stream.detect(pictures[run % len(pictures)], thresholds)
        if watched.strange:
            break
        if run > 0 and run % GROWTH_EVERY == 0:
            growth.append((run, memory.own_bytes()))
    witness.say("its growth is known", growth=growth, strange=watched.strange)
    return not watched.strange


def _time(order: Order, stream: Stream, thresholds: Thresholds, pictures: Sequence[Image], witness: Witness) -> None:
    """Rounds of frames, in turns with the running model where that is wanted and there is memory for both."""
    sides = [(stream, thresholds), *_beside(order, witness)]
    rounds: list[list[list[float]]] = []
    for number in range(1, order.effort.rounds + 1 if order.checks else 2):

        def before_turn(side: int, number: int = number) -> None:
            witness.say(f"timing {'the running model beside it' if side else 'it'}, round {number}")

        rounds.append(
            in_turns(
                [side[0] for side in sides],
                pictures,
                [side[1] for side in sides],
                order.effort.round_s if order.checks else 0,
                most_runs=ROUND_MOST_RUNS,
                before_turn=before_turn,
            )
        )
    times, *other = ([[round(value, 3) for value in one] for one in side] for side in zip(*rounds, strict=True))
    witness.say("its speed is known", times_ms=times, running_times_ms=other[0] if other else [])


def _beside(order: Order, witness: Witness) -> list[tuple[Stream, Thresholds]]:
    """The running model; nothing where it is not wanted, has no room beside the new one, or cannot be opened."""
    if order.beside is None:
        return []
    board = memory.of_board()
    if board.total and board.available < order.beside_bytes + order.reserve_bytes:
        return []
    witness.say("loading the running model beside it")
    try:
        bundle = _bundle(order.beside)
        detector, _ = _open(order.beside, bundle)
    except EdgemassError:
        return []
    return [(detector.stream(), Thresholds(bundle.manifest.score))]
