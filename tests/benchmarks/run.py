"""Every benchmark of this folder, one after the other: what `make bench` does.

    python tests/benchmarks/run.py [--quick] [--without-peers] [NAME ...]

Makes the peers' environments first (gigabytes, once; --without-peers leaves out what is not there yet). A script that
cannot run here is skipped with its reason, one that fails does not keep the others from running. Results go to
build/bench/NAME.json. --quick: short turns, to see whether everything runs. Ends with 1 when a script failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks._harness import MODELS, REPOSITORY, RESULTS, SKIPPED, machine

HERE = Path(__file__).parent
NO_BENCHMARKS = ("run", "plot", "peers_env", "export_yolo", "synthetic_load")
TRAIN_FIRST = ("workshop_prune", "workshop_distill", "workshop_tune", "sequences")  # minutes, and inputs of their own
ASSETS = Path(os.environ.get("EDGEMASS_ASSETS", REPOSITORY.parent / "shared" / "assets"))
LAG_MODEL = ASSETS / "detectors" / "ssd_mobilenet_v1_coco_quant_postprocess.tflite"
INT8_MODEL = ASSETS / "detectors" / "yolov8n_full_integer_quant_416.tflite"
SMALL_MODEL = MODELS / "yolov8n_320.onnx"

STEPS: dict[str, tuple[str, ...]] = {  # name of a step -> script and arguments, where a script alone is not all
    "line_vs_bare": ("line_vs_bare.py",),
    "line_vs_bare_video": ("line_vs_bare.py", "--video", "--cores", "0,1"),
    "rtsp_lag": ("rtsp_lag.py", str(LAG_MODEL)),
    "many_cameras": ("many_cameras.py", str(INT8_MODEL)),
    "motion_gate": ("motion_gate.py", str(SMALL_MODEL)),
    "frame_profile": ("frame_profile.py", str(SMALL_MODEL)),
    "accuracy": ("accuracy.py",),
    "lossless": ("lossless.py",),
    "agreement": ("agreement.py",),
}
WRITERS = ("line_vs_bare", "line_vs_bare_video", "many_cameras", "motion_gate")  # have to be told where to
WANT_ASSETS = ("rtsp_lag", "many_cameras", "accuracy", "lossless", "person_detector")
TAKE_MINUTES = ("accuracy", "lossless", "person_detector")
QUICK: dict[str, tuple[str, ...]] = {
    "line_vs_bare": ("--rounds", "3", "--seconds", "0.2"),
    "line_vs_bare_video": ("--rounds", "3", "--seconds", "0.2"),
    "peers": ("--rounds", "2", "--seconds", "0.5", "--video-seconds", "0.5", "--cold-rounds", "1"),
    "decode_nms": ("--rounds", "3", "--runs", "10"),
    "preprocess": ("--rounds", "3", "--runs", "5"),
    "startup_memory": ("--rounds", "2"),
    "contention": ("--rounds", "3", "--seconds", "0.3"),
    "soak": ("--frames", "3000", "--settle", "1000"),
    "rtsp_lag": ("--frames", "30"),
    "many_cameras": ("--seconds", "4"),
    "motion_gate": ("--rounds", "30"),
    "drawing": ("--rounds", "3"),
    "health_cost": ("--rounds", "3"),
    "idle_cost": ("--case", "720p", "--settle", "5", "--seconds", "10"),
    "frame_profile": ("--frames", "30"),
}


def steps() -> dict[str, tuple[str, ...]]:
    """Those with arguments of their own, and every other script as it is."""
    listed = {command[0] for command in STEPS.values()}
    others = sorted(path for path in HERE.glob("[!_]*.py") if path.stem not in NO_BENCHMARKS + TRAIN_FIRST)
    return STEPS | {path.stem: (path.name,) for path in others if path.name not in listed}


def cannot_run(name: str, *, quick: bool) -> str:
    """Why a step makes no sense here; "" where it does."""
    if name == "agreement":
        return "it compares an accelerator that has to be named; see its first lines"
    if name in WANT_ASSETS and not LAG_MODEL.is_file():
        return "no model files; set EDGEMASS_ASSETS"
    if name in ("motion_gate", "frame_profile") and not SMALL_MODEL.is_file():
        return "no exported model; `python tests/benchmarks/peers_env.py ultralytics` makes it"
    if quick and name in TAKE_MINUTES:
        return "it takes minutes"
    return ""


def run(name: str, command: tuple[str, ...], *, quick: bool) -> str:
    """What came of it, in a word or a sentence."""
    if reason := cannot_run(name, quick=quick):
        return f"skipped: {reason}"
    arguments = list(command[1:])
    arguments += QUICK.get(name, ()) if quick else ()
    if name in WRITERS:
        arguments += ["--json", str(RESULTS / f"{name}.json")]
    print(f"\n=== {name}: {command[0]} {' '.join(Path(part).name for part in command[1:])}", flush=True)
    started = time.monotonic()
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"}
    done = subprocess.run([sys.executable, str(HERE / command[0]), *arguments], check=False, env=environment)
    took = f"{time.monotonic() - started:.0f} s"
    if done.returncode == SKIPPED:
        return "skipped: see above"
    return f"done in {took}" if done.returncode == 0 else f"FAILED with {done.returncode} after {took}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = steps()
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--quick", action="store_true", help="short turns: does everything run?")
    parser.add_argument("--without-peers", action="store_true", help="install nothing")
    options = parser.parse_args()
    for name in options.names:
        if name not in known:
            parser.error(f"unknown benchmark {name!r}; known are {', '.join(known)}")
    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    if not options.without_peers:
        subprocess.run([sys.executable, str(HERE / "peers_env.py")], check=False)
    outcomes = {name: run(name, known[name], quick=options.quick) for name in options.names or known}
    print("\n=== all benchmarks")
    for name, outcome in outcomes.items():
        print(f"{name:20} {outcome}")
    return int(any(outcome.startswith("FAILED") for outcome in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
