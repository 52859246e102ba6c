"""Which engines of TensorRT may be used again."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgemass import cache
from edgemass.backends import _tensorrt
from edgemass.backends._tensorrt import EngineKey, folder_name, gpu_and_driver
from edgemass.errors import BackendError

KEY = EngineKey("ab" * 32, "1.23.0", "100900", "NVIDIA RTX A2000", "560.35.03", (("trt_fp16_enable", "1"),))


def test_an_engine_is_found_again_for_the_same_key() -> None:
    again = dataclasses.replace(KEY)
    assert folder_name(again) == folder_name(KEY)
    assert folder_name(KEY).startswith("abababababab-nvidia-rtx-a2000-")


@pytest.mark.parametrize(
    "change",
    [
        {"model_sha256": "ab" * 31 + "ac"},
        {"onnxruntime": "1.23.1"},
        {"tensorrt": "101000"},
        {"gpu": "NVIDIA RTX A2000 12GB"},
        {"driver": "560.35.04"},
        {"options": ()},
        {"onnxruntime": "1.23.01", "tensorrt": "00900"},
    ],
)
def test_a_change_of_anything_an_engine_depends_on_is_another_folder(change: dict[str, Any]) -> None:
    assert folder_name(dataclasses.replace(KEY, **change)) != folder_name(KEY)


def test_the_gpu_and_its_driver_are_read_from_proc(tmp_path: Path) -> None:
    nvidia = tmp_path / "proc/driver/nvidia"
    (nvidia / "gpus/0000:01:00.0").mkdir(parents=True)
    (nvidia / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03  Fri Aug 16 2024\nGCC\n")
    (nvidia / "gpus/0000:01:00.0/information").write_text("Model: \t\t NVIDIA RTX A2000\nIRQ:   \t\t 129\n")
    assert gpu_and_driver(tmp_path) == ("NVIDIA RTX A2000", "560.35.03")


def test_an_open_kernel_module_tells_its_version_too(tmp_path: Path) -> None:
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    told = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  575.57.08  Release Build\n"
    (tmp_path / "proc/driver/nvidia/version").write_text(told)
    assert gpu_and_driver(tmp_path) == ("unknown", "575.57.08")


def test_a_jetson_is_its_board_and_its_release(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.0, GCID: 1\nmore\n")
    (tmp_path / "proc/device-tree/model").write_bytes(b"NVIDIA Jetson Orin Nano Developer Kit\0")
    expected = ("NVIDIA Jetson Orin Nano Developer Kit", "# R36 (release), REVISION: 4.0, GCID: 1")
    assert gpu_and_driver(tmp_path) == expected


def test_what_cannot_be_known_is_unknown(tmp_path: Path) -> None:
    assert gpu_and_driver(tmp_path) == ("unknown", "unknown")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cache, "_chosen", [tmp_path / "cache"])
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights")
    return path


def test_engines_are_kept_in_a_folder_of_their_own_that_exists(model: Path) -> None:
    options = _tensorrt.engine_cache(model, "1.23.0", {})
    folder = Path(options["trt_engine_cache_path"])
    assert (options["trt_engine_cache_enable"], folder.is_dir()) == ("1", True)
    assert folder.parent == model.parent / "cache/engines"
    assert _tensorrt.engine_cache(model, "1.23.0", {})["trt_engine_cache_path"] == str(folder)
    model.write_bytes(b"other weights")
    assert _tensorrt.engine_cache(model, "1.23.0", {})["trt_engine_cache_path"] != str(folder)


@pytest.mark.parametrize("given", [{"trt_engine_cache_path": "/srv"}, {"trt_engine_cache_enable": "0"}])
def test_a_cache_that_the_user_arranged_is_left_alone(model: Path, given: dict[str, str]) -> None:
    assert _tensorrt.engine_cache(model, "1.23.0", given) == {}


def test_no_place_for_engines_is_an_error_that_names_the_option(model: Path) -> None:
    shutil.rmtree(model.parent / "cache", ignore_errors=True)
    (model.parent / "cache").write_text("a file where a folder should be")
    with pytest.raises(BackendError, match="trt_engine_cache_path=FOLDER"):
        _tensorrt.engine_cache(model, "1.23.0", {})
