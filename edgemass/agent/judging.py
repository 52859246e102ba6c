"""Whether a new model may take the place of the one that runs: rules on what was measured, apart from measuring it."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import msgspec
import numpy as np

from edgemass.health.memory import Room
from edgemass.manifest import Manifest
from edgemass.tensors import AnyArray

MIB = 1024 * 1024
WINDOWS = 4
"""Memory has to grow in each of so many equal parts of the runs: what allocates once more, late, does not leak."""

MOSTLY = 0.8
"""Share of the things that both models find of which another name says that labels are wrong."""


class ProvingLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a new model is held to. The numbers are justified in docs/proving.md.

    latency_ratio: its p95 over that of the running model. fast_enough_ms: whatever is quicker than this is never too
        slow: 1000 / frames a second wanted; None = unknown.
    noise_ms: a difference below it is the machine's. It is below what one run of any detector takes on a small board.
    reserve_bytes: of memory that has to stay free beside both models.
    leak_bytes: growth of memory for each run, after the warm-up. ONNX Runtime and LiteRT: 0 to 120 bytes (x86-64, the
        models of this repository and of the zoo); 2 KiB a run are 2.6 GB a day at 15 frames a second.
    leak_least_bytes: growth over all runs below it says nothing: allocators take whole blocks.
    evidence: detections of the running model, or matched boxes, below which silence or another name says nothing.
    evidence_frames: frames that they have to come from.
    """

    latency_ratio: float = 2.0
    fast_enough_ms: float | None = None
    noise_ms: float = 2.0
    reserve_bytes: int = 64 * MIB
    leak_bytes: float = 2048.0
    leak_least_bytes: int = 256 * 1024
    evidence: int = 5
    evidence_frames: int = 3


class Thing(msgspec.Struct, frozen=True, array_like=True):
    """Something found in a frame. box: x1, y1, x2, y2 in pixels; of a class of the whole picture all zero."""

    label: str
    score: float
    box: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


class Evidence(msgspec.Struct):
    """What one child process has seen so far; the last that it said is all there is when it crashes.

    doing: what it is at, in words that end "it crashed while ...".
    error: why it went no further, "" where it did; blameless: because the runtime is not there, or the configuration
        asks for what the bundle does not have.
    backend, requested, variant: what runs it, what was asked for, and the file.
    memory_bytes: by which the process grew by the model. load_s: opening it and its first run.
    strange: outputs that are not finite, and on what. golden: what golden samples missed, golden_samples: how many.
    seen: for each frame of the cameras what was found.
    growth: (run, bytes of the process's own memory) after the warm-up.
    times_ms, running_times_ms: rounds, each of so many frames; the running model's in turns with the new one's, or
        empty. done: everything that was ordered.
    """

    doing: str = "starting"
    error: str = ""
    blameless: bool = False
    backend: str = ""
    requested: str = ""
    variant: str = ""
    memory_bytes: int = 0
    load_s: float = 0.0
    strange: list[str] = msgspec.field(default_factory=list)
    golden: list[str] = msgspec.field(default_factory=list)
    golden_samples: int = 0
    seen: list[list[Thing]] = msgspec.field(default_factory=list)
    growth: list[tuple[int, int]] = msgspec.field(default_factory=list)
    times_ms: list[list[float]] = msgspec.field(default_factory=list)
    running_times_ms: list[list[float]] = msgspec.field(default_factory=list)
    done: bool = False


class Ending(msgspec.Struct, frozen=True):
    """How a child process ended.

    signal: that ended it, "" where none did. hung_s: it was killed after so long; 0 where it was not.
    words: the last it said, where it failed. out_of_memory: the kernel killed something for want of memory meanwhile.
    cancelled: nobody wants to know any more.
    """

    signal: str = ""
    hung_s: float = 0.0
    words: str = ""
    out_of_memory: bool = False
    cancelled: bool = False


class Measurements(msgspec.Struct, frozen=True, kw_only=True):
    """new: evidence of its child; ending: of that. running: evidence of the running model's own child, None where
    nothing runs. memory: before them. beside: whether the running model takes some of it.
    """

    new: Evidence
    ending: Ending
    running: Evidence | None
    memory: Room
    beside: bool = True


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a model may run here.

    reason: why not, "" where it may. quarantine: the model itself is to blame: proving it again would end alike. Where
        a refused one is not to blame, the board was: no memory, no accelerator, no time.
    fits_beside: there is memory for it beside the running model; else stop that one first. A model that was refused for
        want of memory beside it (not ok, not fits_beside, no quarantine) may be proven again when that one has stopped.
    p95_ms: of a frame: preparation, run, decoding, NMS; ratio: over the running model's, median of several rounds.
    growth_bytes: of memory for each run. golden: shares of golden samples that it meets, None where it has none.
    """

    ok: bool
    reason: str = ""
    quarantine: bool = False
    fits_beside: bool = True
    p95_ms: float | None = None
    running_p95_ms: float | None = None
    ratio: float | None = None
    memory_bytes: int = 0
    running_memory_bytes: int | None = None
    growth_bytes: float | None = None
    golden: float | None = None
    variant: str = ""
    backend: str = ""


def needs_met(manifest: Manifest, wanted_labels: Collection[str], memory: Room, limits: ProvingLimits) -> Verdict:
    """What the manifest alone tells, before anything is loaded; `ok` where nothing speaks against it."""
    missing = [label for label in wanted_labels if label != "*" and label not in manifest.labels]
    if missing:
        known = ", ".join(manifest.labels[:8]) + (", ..." if len(manifest.labels) > 8 else "")
        return Verdict(ok=False, reason=f"the configuration names {missing[0]!r}, it knows {known}; change either")
    needed = manifest.needs.ram_bytes or 0
    if needed > memory.total > 0:
        return Verdict(
            ok=False,
            quarantine=True,
            fits_beside=False,
            reason=f"it needs {_mib(needed)} of memory, this board has {_mib(memory.total)}",
        )
    if memory.total and needed + limits.reserve_bytes > memory.available:
        return Verdict(
            ok=False,
            fits_beside=False,
            reason=f"it needs {_mib(needed)} of memory beside the running model, {_mib(memory.available)} are free and "
            f"{_mib(limits.reserve_bytes)} have to stay so",
        )
    return Verdict(ok=True)


def judge(measured: Measurements, manifest: Manifest, limits: ProvingLimits) -> Verdict:
    """The first of these that speaks against the new model: how it ended, its answers, its memory, its speed.

    manifest: of the new model.
    """
    new = measured.new
    old = measured.running if measured.running is not None and measured.running.done else None
    ratio, p95, running_p95 = speeds(new, old)
    growth = leak(new.growth)
    fits = not measured.memory.total or new.memory_bytes + limits.reserve_bytes <= measured.memory.available
    verdict = Verdict(
        ok=True,
        fits_beside=fits,
        p95_ms=p95,
        running_p95_ms=running_p95,
        ratio=ratio,
        memory_bytes=new.memory_bytes,
        running_memory_bytes=old.memory_bytes if old else None,
        growth_bytes=growth,
        golden=1 - len(new.golden) / new.golden_samples if new.golden_samples else None,
        variant=new.variant,
        backend=new.backend,
    )
    if (refused := _ended(measured, verdict, limits)) is not None:
        return refused
    reason = (
        _answers(new, old, manifest, limits)
        or _accelerator(new, manifest)
        or _memory(new, old if measured.beside else None, measured.memory, limits)
        or _leak(new.growth, limits)
        or _slow(verdict, limits)
    )
    return msgspec.structs.replace(verdict, ok=not reason, reason=reason, quarantine=bool(reason))


def _ended(measured: Measurements, verdict: Verdict, limits: ProvingLimits) -> Verdict | None:
    """The refusal of a model whose child did not come to its end by itself; None where it did.

    A model that cannot be run is not to blame where the running one could not be run again either.
    """
    new, ending = measured.new, measured.ending
    if new.done:
        return None
    blame = measured.running is None or measured.running.done
    fits = verdict.fits_beside
    if ending.cancelled:
        reason, blame = "proving it was cancelled", False
    elif new.error:
        reason, blame = new.error, blame and not new.blameless
    elif ending.out_of_memory and ending.signal == "SIGKILL":
        free = _mib(measured.memory.available)
        grew = _leak(new.growth, limits)
        reason, blame, fits = grew or f"memory ran out while {new.doing}; {free} were free", bool(grew), bool(grew)
    elif ending.signal:
        reason = f"it crashed while {new.doing} ({ending.signal})"
    elif ending.hung_s:
        reason = f"it hangs: no end within {ending.hung_s:.0f} s while {new.doing}"
    else:
        reason = f"it failed while {new.doing}: {ending.words}"
    return msgspec.structs.replace(verdict, ok=False, reason=reason, quarantine=blame, fits_beside=fits)


def _answers(new: Evidence, old: Evidence | None, manifest: Manifest, limits: ProvingLimits) -> str:
    if new.strange:
        return f"its numbers are not finite: {new.strange[0]}"
    if new.golden:
        return f"golden sample {new.golden[0]}"
    if old is None or not old.seen:
        return ""
    return blind(new.seen, old.seen, manifest.labels, limits) or confused(new.seen, old.seen, manifest.labels, limits)


def blind(
    new: Sequence[Sequence[Thing]], old: Sequence[Sequence[Thing]], labels: Collection[str], limits: ProvingLimits
) -> str:
    """Why a model that finds nothing in the cameras' frames is refused; "" where it finds something or none could.

    labels: that the new model knows; it need not find what it has no name for.
    """
    if any(new):
        return ""
    found = [sum(thing.label in labels for thing in frame) for frame in old]
    frames = sum(count > 0 for count in found)
    if sum(found) < limits.evidence or frames < limits.evidence_frames:
        return ""
    return (
        f"it finds nothing in {len(old)} frames of the cameras, where the running model finds {sum(found)} things in "
        f"{frames} of them"
    )


def confused(
    new: Sequence[Sequence[Thing]], old: Sequence[Sequence[Thing]], labels: Collection[str], limits: ProvingLimits
) -> str:
    """Why a model is refused that calls things otherwise than the running one; "" where most have the same name.

    Only things in the same place count, whose name before the new model knows too. One thing that is always in view
    may have been called wrongly until now; so two names at least have to be others.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    for ours, theirs in zip(new, old, strict=False):
        for thing in theirs:
            best = max(ours, key=lambda other: _overlap(thing.box, other.box), default=None)
            if best is not None and thing.label in labels and _overlap(thing.box, best.box) >= 0.5:
                pairs[thing.label, best.label] += 1
    other = Counter({pair: count for pair, count in pairs.items() if pair[0] != pair[1]})
    enough = sum(pairs.values()) >= limits.evidence and len({was for was, _ in other}) > 1
    if not enough or sum(other.values()) <= MOSTLY * sum(pairs.values()):
        return ""
    (was, called), count = other.most_common(1)[0]
    return (
        f"its labels are wrong: of {sum(pairs.values())} things that both models find in frames of the cameras it "
        f"calls {sum(other.values())} otherwise, {count} times {called!r} for {was!r}"
    )


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """IoU of two boxes; classes of a whole picture, which have none, lie in the same place."""
    if not any(one) and not any(other):
        return 1.0
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


def _accelerator(new: Evidence, manifest: Manifest) -> str:
    wanted = manifest.needs.accelerator
    if wanted and wanted not in new.backend:
        return f"it needs the accelerator {wanted}, here it runs on {new.backend}"
    return ""


def _memory(new: Evidence, old: Evidence | None, memory: Room, limits: ProvingLimits) -> str:
    """Why it does not fit the board even when the running model has made room; "" where it does."""
    freed = old.memory_bytes if old else 0
    if not memory.total or new.memory_bytes + limits.reserve_bytes <= memory.available + freed:
        return ""
    return (
        f"it takes {_mib(new.memory_bytes)} of memory; {_mib(memory.available)} are free, the running model would free "
        f"{_mib(freed)}, and {_mib(limits.reserve_bytes)} have to stay free"
    )


def leak(growth: Sequence[tuple[int, int]]) -> float | None:
    """Bytes for each run by which memory grows all the time; None where there are too few samples.

    growth: (run, bytes), in order. It is cut into WINDOWS + 1 equal parts, and the least of each is compared with that
    of the next, where it grows least: what goes up and down with the size of an answer, or up once, does not leak.
    """
    if len(growth) <= WINDOWS:
        return None
    parts = [part.tolist() for part in np.array_split(np.asarray(growth, np.float64), WINDOWS + 1)]
    floors: list[float] = [min(size for _, size in part) for part in parts]
    runs: list[float] = [statistics.mean(run for run, _ in part) for part in parts]
    return min(
        (floor - before) / (run - earlier)
        for before, floor, earlier, run in zip(floors, floors[1:], runs, runs[1:], strict=False)
    )


def _leak(growth: Sequence[tuple[int, int]], limits: ProvingLimits) -> str:
    slope = leak(growth)
    if slope is None or slope <= limits.leak_bytes or growth[-1][1] - growth[0][1] < limits.leak_least_bytes:
        return ""
    grown, runs = growth[-1][1] - growth[0][1], growth[-1][0] - growth[0][0]
    return (
        f"its memory grows with every run: {_mib(grown)} in {runs} runs, at least {slope / 1024:.0f} KiB each; "
        f"wanted at most {limits.leak_bytes / 1024:.0f} KiB"
    )


def speeds(new: Evidence, old: Evidence | None) -> tuple[float | None, float | None, float | None]:
    """(ratio, p95 of the new model, p95 of the running one), in milliseconds; None where it was not measured.

    The ratio is the median of the rounds': a burst of other work on the board spoils one of them and no more. Where the
    running model was not measured in turns with the new one, its own child's times stand in.
    """
    running = new.running_times_ms or (old.times_ms if old else [])
    p95, running_p95 = (_p95(_flat(rounds)) for rounds in (new.times_ms, running))
    if p95 is None or running_p95 is None:
        return None, p95, running_p95
    pairs = [(_p95(ours), _p95(theirs)) for ours, theirs in zip(new.times_ms, running, strict=False)]
    ratios = [ours / theirs for ours, theirs in pairs if ours is not None and theirs]
    return statistics.median(ratios) if ratios else None, p95, running_p95


def _slow(verdict: Verdict, limits: ProvingLimits) -> str:
    ratio, p95, running = verdict.ratio, verdict.p95_ms, verdict.running_p95_ms
    if ratio is None or p95 is None or running is None or ratio <= limits.latency_ratio:
        return ""
    if p95 - running < limits.noise_ms or (limits.fast_enough_ms is not None and p95 <= limits.fast_enough_ms):
        return ""
    return (
        f"it is too slow: p95 {p95:.1f} ms for a frame, {ratio:.1f} times the running model's {running:.1f} ms; "
        f"wanted at most {limits.latency_ratio:g} times"
    )


def _flat(rounds: Iterable[Sequence[float]]) -> list[float]:
    return [value for one in rounds for value in one]


def _p95(values: Sequence[float]) -> float | None:
    array: AnyArray = np.asarray(values)
    return round(float(np.percentile(array, 95)), 3) if array.size else None


def _mib(size_bytes: float) -> str:
    return f"{size_bytes / MIB:.1f} MiB" if size_bytes < 10 * MIB else f"{size_bytes / MIB:.0f} MiB"
