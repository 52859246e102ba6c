"""The whole road of a model on a drawn data set: teacher, distilled student, pruned, quantized, measured, run.

Each step is a command as anybody would type it; it is printed before it is run, so that it can be taken up with data of
one's own. What is already there is not done again: every step resumes.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edgemass.errors import EdgemassError
from edgemass_tools.data import drawn

ROAD = """
train a teacher
    edgemass-tools train --option widths=[16,32,48,64,96] --option depths=[1,1,1] --option neck=32
    --annotations {at}/labelled/instances.json --images {at}/labelled/images {schedule}
    --size {width}x{height} --lr 5e-3 --epochs {teacher} -o {at}/teacher

export the teacher
    edgemass-tools export {at}/teacher/model.pt -o {at}/teacher-bundle

distill a small student from it, on pictures without truth
    edgemass-tools distill --teacher {at}/teacher-bundle --net edge-detector --labels person
    --option widths=[8,16,32,48,64] --option depths=[1,1,1] --option neck=24 --option head_depth=1
    --images {at}/pool/images {schedule} --size {width}x{height} --lr 5e-3 --epochs {student} -o {at}/student

prune it
    edgemass-tools prune {at}/student/model.pt --operations 0.6
    --annotations {at}/labelled/instances.json --images {at}/labelled/images {schedule}
    --epochs {pruned} -o {at}/pruned

make a bundle of it
    edgemass-tools export {at}/pruned/model.pt -o {at}/bundle --tflite

quantize it for ONNX Runtime
    edgemass-tools quantize {at}/bundle -o {at}/bundle --images {at}/pool/images --samples 32
    --annotations {at}/held/instances.json --eval-images {at}/held/images --max-loss 0.05

quantize it for LiteRT
    edgemass-tools quantize {at}/bundle -o {at}/bundle --images {at}/pool/images --samples 32 --runtime tflite
    --annotations {at}/held/instances.json --eval-images {at}/held/images --max-loss 0.05

evaluate every variant, as a gate
    edgemass-tools evaluate {at}/bundle --images {at}/held/images --annotations {at}/held/instances.json
    --report {at}/report.html --min-map50 {least} --max-loss 0.05

run it as a device does
    edgemass run --model {at}/bundle --camera {at}/held/images --sink jsonl:{at}/found.jsonl
"""
SCHEDULE = (
    "--val-annotations {at}/held/instances.json --val-images {at}/held/images --batch 16 --workers 0 --measure-every 8"
)

Run = Callable[[Sequence[str]], int]
"""Runs a command of `edgemass` or `edgemass-tools` (the first word); returns its exit code."""


ONCE = ("train", "distill", "prune", "export")
"""Verbs that are not run again once they have written their result; of an unfinished training there is none yet."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """labelled, pool, held: pictures with truth, without it, and to measure with. teacher, student, pruned: epochs.

    width, height: of the pictures. least: mAP 50 that the last step asks for.
    """

    width: int
    height: int
    labelled: int
    pool: int
    held: int
    teacher: int
    student: int
    pruned: int
    least: float


WHOLE = Budget(width=256, height=192, labelled=600, pool=900, held=120, teacher=12, student=14, pruned=6, least=0.7)
SHORT = Budget(width=128, height=96, labelled=160, pool=128, held=32, teacher=40, student=40, pruned=10, least=0.05)


@dataclass(frozen=True)
class Step:
    """One command. made: what is there when it was done before; None where the command itself goes on."""

    name: str
    command: tuple[str, ...]
    made: Path | None


class RoadError(EdgemassError):
    """A step failed; it has said why."""


def walk(folder: Path, budget: Budget, run: Run, tell: Callable[[str], None]) -> list[tuple[str, float]]:
    """Walk it; returns the name and the seconds of each step.

    tell: is given each step before it begins.

    Raises:
        RoadError: a step failed.
    """
    taken = []
    for step in steps(folder, budget):
        if step.made is not None and step.made.exists():
            continue
        tell(f"\n--- {step.name}\n$ {shlex.join(step.command)}")
        began = time.monotonic()
        if code := run(step.command):
            raise RoadError(f"{step.name} ended with exit code {code}; the same command goes on from here")
        taken.append((step.name, time.monotonic() - began))
    return taken


def draw(folder: Path, budget: Budget) -> None:
    """The data sets: `labelled`, `pool` (whose truth nobody looks at), `held`."""
    for seed, (name, count) in enumerate(
        (("labelled", budget.labelled), ("pool", budget.pool), ("held", budget.held)), start=1
    ):
        if not (folder / name / "instances.json").is_file():
            drawn.write(folder / name, count, seed, (budget.width, budget.height))


def steps(folder: Path, budget: Budget) -> list[Step]:
    """All of them in order."""
    at = shlex.quote(str(folder))
    found = []
    for paragraph in ROAD.format(at=at, schedule=SCHEDULE.format(at=at), **asdict(budget)).strip().split("\n\n"):
        name, _, line = paragraph.partition("\n")
        command = tuple(shlex.split(line))
        made = Path(command[command.index("-o") + 1]) if command[1] in ONCE else None
        if made is not None and command[1] != "export":
            made /= "model.pt"
        found.append(Step(name, command, made))
    return found
