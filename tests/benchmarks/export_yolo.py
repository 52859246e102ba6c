"""YOLOv8n and YOLO11n as ONNX files with seeded random weights, for everything here that measures time.

    build/peers/ultralytics/bin/python tests/benchmarks/export_yolo.py [--folder build/bench/models]

Runs in Ultralytics' own environment (`python tests/benchmarks/peers_env.py` makes it and then calls this). The nets are
built from Ultralytics' own descriptions, so that the work is that of the trained models and nothing is downloaded. What
random weights find is noise: `synthetic_load.py` makes the detections.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "build" / "bench" / "models"
NETS = ("yolov8n", "yolo11n")
SIZES = (320, 640)
SEED = 0


def wanted(folder: Path) -> dict[Path, tuple[str, int, bool]]:
    """File -> net, picture size, whether the picture's size is left free."""
    files = {folder / f"{net}_{size}.onnx": (net, size, False) for net in NETS for size in SIZES}
    return files | {folder / f"{net}_dynamic.onnx": (net, SIZES[-1], True) for net in NETS}


def export(target: Path, net: str, size: int, *, dynamic: bool) -> None:
    """Write one file: whole or not at all."""
    import torch
    from ultralytics import YOLO

    torch.manual_seed(SEED)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        os.chdir(folder)  # where the exporter puts its file
        model = YOLO(f"{net}.yaml")
        made = Path(model.export(format="onnx", imgsz=size, dynamic=dynamic, simplify=True, device="cpu"))
        os.chdir(target.parent)
        shutil.move(Path(folder) / made.name, target)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for target, (net, size, dynamic) in wanted(folder).items():
        if target.is_file():
            print(f"{target.name}: is there already")
            continue
        export(target, net, size, dynamic=dynamic)
        print(f"{target.name}: {target.stat().st_size / 1e6:.1f} MB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
