"""Environments of their own for the peers that `peers.py` compares with, under build/peers/ (git ignores it).

    python tests/benchmarks/peers_env.py [PEER ...] [--minutes M]

ultralytics      what `pip install ultralytics` gives: on Linux with the CUDA build of PyTorch, gigabytes of it
ultralytics-cpu  the same on a CPU build of PyTorch, for memory and start-up; only where pip's own configuration
                 knows one. Its torchvision is there to be looked up, but cannot be imported: no videos
inference        Roboflow's `inference`; 7 GB
tracking         supervision (a release that has ByteTrack) and motmetrics; what edgemass's tracker imports

pip's own configuration says where packages come from. What is complete is left alone; what failed is tried again.
Ends with 0: a peer that cannot be had is told with the reason, and the comparison leaves it out.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks._harness import MODELS, PEERS

CPU_TORCH = (("torch==2.14.1+cpu", "torchvision==0.29.1"), ("torch==2.13.0+cpu", "torchvision==0.28.0"))
EXPORTER = Path(__file__).with_name("export_yolo.py")
_STAMP = "complete.json"
_VERSIONS = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
_REQUIRES = "import importlib.metadata as m, json; print(json.dumps(m.requires('ultralytics')))"
_SHOWN = (
    *("ultralytics", "torch", "torchvision", "onnxruntime", "onnx", "opencv-python", "numpy", "inference"),
    *("supervision", "motmetrics", "scipy"),
)


class Unavailable(Exception):  # noqa: N818 (a reason, told and lived with)
    """Why a peer cannot be had here."""


@dataclass(frozen=True)
class Peer:
    """One environment."""

    name: str

    @property
    def folder(self) -> Path:
        return PEERS / self.name

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def versions(self) -> dict[str, str]:
        """Of what matters in it, by package; empty where it is not complete."""
        stamp = self.folder / _STAMP
        if not stamp.is_file():
            return {}
        installed = json.loads(stamp.read_text(encoding="utf-8"))
        return {f"{self.name}: {package}": installed[package] for package in _SHOWN if package in installed}

    def complete(self) -> bool:
        return (self.folder / _STAMP).is_file()


ULTRALYTICS, ULTRALYTICS_CPU, INFERENCE = Peer("ultralytics"), Peer("ultralytics-cpu"), Peer("inference")
TRACKING = Peer("tracking")


def install(peer: Peer, seconds: float) -> None:
    """Make the environment, unless it is complete.

    Raises:
        Unavailable: pip could not, or not in time.
    """
    if peer.complete():
        return
    if not peer.python.is_file():
        shutil.rmtree(peer.folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(peer.folder)], check=True)
    runtime = f"onnxruntime=={importlib.metadata.version('onnxruntime')}"  # the same one on both sides
    if peer == ULTRALYTICS:
        _pip(peer, seconds, "ultralytics", "onnx", "onnxslim", runtime)
    elif peer == ULTRALYTICS_CPU:
        _ultralytics_on_the_cpu(peer, seconds, runtime)
    elif peer == TRACKING:
        _pip(peer, seconds, "supervision==0.26.1", "motmetrics==1.4.0", "msgspec", "tomli; python_version < '3.11'")
    else:
        _pip(peer, seconds, "inference")
    (peer.folder / _STAMP).write_text(_ask(peer, _VERSIONS), encoding="utf-8")


def _ultralytics_on_the_cpu(peer: Peer, seconds: float, runtime: str) -> None:
    for torch, torchvision in CPU_TORCH:
        try:
            _pip(peer, seconds, torch)
        except Unavailable:
            continue
        _pip(peer, seconds, "--no-deps", "ultralytics", torchvision)
        break
    else:
        raise Unavailable(f"pip's configuration knows no CPU build of PyTorch ({', '.join(t for t, _ in CPU_TORCH)})")
    needed = [requirement for requirement in json.loads(_ask(peer, _REQUIRES)) if ";" not in requirement]
    others = [requirement for requirement in needed if not re.match(r"torch|ultralytics-thop", requirement)]
    _pip(peer, seconds, *others, "onnx", runtime)


def _pip(peer: Peer, seconds: float, *arguments: str) -> None:
    command = [str(peer.python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"pip install {' '.join(arguments)} took more than {seconds:.0f} s") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["it said nothing"]
        raise Unavailable(f"pip install {' '.join(arguments)} failed: {errors[-1]}")


def _ask(peer: Peer, program: str) -> str:
    return subprocess.run([str(peer.python), "-c", program], capture_output=True, text=True, check=True).stdout


def export_models(folder: Path = MODELS) -> None:
    """The stock files, made in Ultralytics' environment unless they are there.

    Raises:
        Unavailable: the exporter failed.
    """
    command = [str(ULTRALYTICS.python), str(EXPORTER), "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"the export failed: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = {peer.name: peer for peer in (ULTRALYTICS, ULTRALYTICS_CPU, INFERENCE, TRACKING)}
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"{', '.join(known)} (default: all)")
    parser.add_argument("--minutes", type=float, default=15, metavar="M", help="of each call of pip (default: 15)")
    options = parser.parse_args()
    for name in options.peers or known:
        if name not in known:
            parser.error(f"unknown peer {name!r}; known are {', '.join(known)}")
        try:
            install(known[name], options.minutes * 60)
            if known[name] == ULTRALYTICS:
                export_models()
            print(f"{name}: complete; {', '.join(f'{package} {v}' for package, v in known[name].versions.items())}")
        except Unavailable as reason:
            print(f"{name}: skipped: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
