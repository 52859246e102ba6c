"""Where TensorRT keeps the engines that it builds: minutes of work, good for one model on one GPU with one driver.

TensorRT refuses an engine of another version or GPU, or worse, loads it; so each combination has a folder of its own.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgemass import cache
from edgemass.errors import BackendError

UNKNOWN = "unknown"
_SMI_S = 10.0
_DRIVER = re.compile(r"Kernel Module.*?\s(?P<version>\d+\.\d[\d.]*)\s")
_MODEL = re.compile(r"^Model:\s*(?P<name>.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class EngineKey:
    """All that an engine depends on. options: of the provider, such as trt_fp16_enable."""

    model_sha256: str
    onnxruntime: str
    tensorrt: str
    gpu: str
    driver: str
    options: tuple[tuple[str, str], ...] = ()


def folder_name(key: EngineKey) -> str:
    """A folder name that differs where the key does: the model, the GPU for people, and a hash of everything."""
    parts = [key.model_sha256, key.onnxruntime, key.tensorrt, key.gpu, key.driver]
    parts += [part for option in sorted(key.options) for part in option]
    every = hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()
    gpu = re.sub(r"[^A-Za-z0-9]+", "-", key.gpu).strip("-").lower()[:40] or UNKNOWN
    return f"{key.model_sha256[:12]}-{gpu}-{every[:16]}"


def engine_cache(model: Path, onnxruntime: str, options: Mapping[str, str]) -> dict[str, str]:
    """Options of ONNX Runtime's TensorRT provider that keep engines and timings for the next start.

    Raises:
        BackendError: the model cannot be read, or there is no place for engines.
    """
    if "trt_engine_cache_path" in options or options.get("trt_engine_cache_enable") in ("0", "False", "false"):
        return {}
    try:
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
        gpu, driver = gpu_and_driver()
        key = EngineKey(digest, onnxruntime, tensorrt_version(), gpu, driver, tuple(options.items()))
        folder = cache.folder("engines") / folder_name(key)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BackendError(
            f"{model.name}: no place for TensorRT's engines ({error}); give one with "
            "onnx:tensorrt?trt_engine_cache_enable=1&trt_engine_cache_path=FOLDER"
        ) from error
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": os.fspath(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": os.fspath(folder),
    }


def tensorrt_version() -> str:
    """As the library says it: 10.9.0 is 100900, since 10.0; "unknown" where it cannot be loaded."""
    for name in ("libnvinfer.so", "libnvinfer.so.10", "libnvinfer.so.8"):
        try:
            library = ctypes.CDLL(name)
            return str(int(library.getInferLibVersion()))
        except (OSError, AttributeError):
            continue
    return UNKNOWN


def gpu_and_driver(root: Path = Path("/")) -> tuple[str, str]:
    """Name of the first GPU and version of its driver, from /proc, else from nvidia-smi; "unknown" where neither knows.

    A Jetson's GPU is its board (/proc/device-tree/model), its driver the L4T release (/etc/nv_tegra_release).
    """
    driver = _first(_DRIVER.search(_text(root / "proc/driver/nvidia/version")), "version")
    cards = sorted(root.glob("proc/driver/nvidia/gpus/*/information"))
    gpu = _first(_MODEL.search(_text(cards[0])) if cards else None, "name")
    release = _text(root / "etc/nv_tegra_release").partition("\n")[0].strip()
    if release:
        board = _text(root / "proc/device-tree/model").strip("\0\n ")
        return board or gpu or UNKNOWN, release
    if not (gpu and driver) and root == Path("/"):
        told = _ask_nvidia_smi()
        gpu, driver = gpu or told[0], driver or told[1]
    return gpu or UNKNOWN, driver or UNKNOWN


def _ask_nvidia_smi() -> tuple[str, str]:
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SMI_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return "", ""
    name, _, driver = done.stdout.partition("\n")[0].rpartition(",")
    return name.strip(), driver.strip()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _first(match: re.Match[str] | None, group: str) -> str:
    return match[group] if match else ""
