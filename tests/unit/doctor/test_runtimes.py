from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from edgemass.doctor import Finding, litert, onnxruntime
from edgemass.doctor.child import Answer
from edgemass.doctor.libraries import numpy, one_opencv, opencv
from edgemass.doctor.runtimes import any_runtime
from tests.unit.doctor.conftest import MakeMachine

Install = Callable[..., None]
TFLITE = Answer({"version": "2.14.0", "delegated": True, "right": True})
CRASHED = Answer(failure="it crashed (SIGILL)")
# Standard error of onnxruntime-gpu 1.31 on a machine without CUDA.
NO_CUDA = (
    "[E:onnxruntime:Default, provider_bridge_ort.cc:2458 operator()] ... Failed to load library /x/onnxruntime/capi/"
    "libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file: No such file"
)


def ort(said: str = "", **troubles: str) -> Answer:
    providers = [{"name": f"{name}ExecutionProvider", "trouble": trouble} for name, trouble in troubles.items()]
    return Answer({"version": "1.31.1", "providers": providers}, said=said)


def short(findings: Sequence[Finding]) -> list[str]:
    return [finding.status.value for finding in findings]


def test_one_runtime_is_enough_and_none_is_a_failure(machine: MakeMachine) -> None:
    assert short(any_runtime(machine(answers={"onnxruntime": ort(CPU="")}))) == ["OK"]
    assert short(any_runtime(machine(answers={"litert:tflite_runtime": TFLITE}))) == ["OK"]
    for broken in ({}, {"onnxruntime": CRASHED, "litert": CRASHED}, {"onnxruntime": ort(CPU="it computes 0")}):
        assert short(any_runtime(machine(answers=broken))) == ["FAIL"]


def test_a_runtime_that_is_not_installed_is_a_note_and_one_that_crashes_a_failure(machine: MakeMachine) -> None:
    (absent,) = onnxruntime.installed(machine())
    assert (absent.status.value, absent.fix) == ("NOTE", "pip install 'edgemass[onnx]'")
    (crashed,) = onnxruntime.installed(machine(answers={"onnxruntime": CRASHED}))
    assert crashed.status.value == "FAIL"
    assert "SIGILL" in crashed.found


def test_a_board_gets_the_onnx_runtime_that_there_is_for_it(machine: MakeMachine) -> None:
    assert "NVIDIA's own build" in onnxruntime.install(machine("jetson-orin-nano"))
    assert "TFLite" in onnxruntime.install(machine(architecture="armv7l"))


def test_two_packages_of_one_module_are_a_failure_that_names_both(machine: MakeMachine, install: Install) -> None:
    install("onnxruntime", "1.31.1", module="onnxruntime")
    install("onnxruntime-extensions", "0.14", module="onnxruntime_extensions")
    assert onnxruntime.one_package(machine()) == []
    install("onnxruntime-gpu", "1.31.1", module="onnxruntime")
    (finding,) = onnxruntime.one_package(machine())
    assert finding.status.value == "FAIL"
    assert finding.fix == "pip uninstall -y onnxruntime onnxruntime-gpu; pip install onnxruntime"


def test_a_gpu_build_without_a_gpu_is_named_as_such(machine: MakeMachine) -> None:
    answers = {"onnxruntime": ort(NO_CUDA, CUDA="it cannot be loaded", CPU="")}
    works, broken = onnxruntime.providers(machine(answers=answers))
    assert (works.status.value, works.found) == ("OK", "CPU runs a model")
    assert broken.status.value == "WARN"
    assert "a GPU build on a machine without an NVIDIA GPU" in broken.found
    assert "libcublasLt.so.13 is missing" in broken.found
    assert "pip uninstall -y onnxruntime-gpu" in broken.fix


def test_a_gpu_whose_libraries_are_missing_is_not_called_absent(machine: MakeMachine) -> None:
    answers = {"onnxruntime": ort(NO_CUDA, CUDA="it cannot be loaded", CPU="")}
    _, broken = onnxruntime.providers(machine("jetson-orin-nano", answers=answers))
    assert "without an NVIDIA GPU" not in broken.found
    assert "JetPack" in broken.fix


def test_a_runtime_of_which_no_provider_works_is_a_failure(machine: MakeMachine) -> None:
    assert short(onnxruntime.providers(machine(answers={"onnxruntime": ort(CPU="it computes 0")}))) == ["FAIL"]


@pytest.mark.parametrize(
    ("runtime", "numpy_version", "status"),
    [("2.14.0", "2.1.0", "FAIL"), ("2.14.0", "1.26.4", "OK"), ("2.17.0", "2.1.0", "OK")],
)
def test_tflite_runtime_is_held_against_the_numpy_that_it_was_built_for(
    machine: MakeMachine, install: Install, runtime: str, numpy_version: str, status: str
) -> None:
    install("tflite-runtime", runtime)
    install("numpy", numpy_version)
    made = machine(answers={"litert:tflite_runtime": TFLITE})
    (finding,) = litert.numpy_fits(made)
    assert finding.status.value == status
    if status == "FAIL":
        assert finding.fix == "pip install 'numpy<2'"
        assert litert.installed(made) == []  # one trouble is told once


def test_litert_is_looked_at_before_tflite_runtime_and_needs_no_old_numpy(
    machine: MakeMachine, install: Install
) -> None:
    install("tflite-runtime", "2.14.0")
    install("numpy", "2.1.0")
    made = machine(answers={"litert:ai_edge_litert": TFLITE, "litert:tflite_runtime": CRASHED})
    assert litert.numpy_fits(made) == []
    assert litert.installed(made)[0].found == "ai-edge-litert 2.14.0 runs a model"


@pytest.mark.parametrize(
    ("change", "installed", "xnnpack"),
    [({}, "OK", "OK"), ({"delegated": False}, "OK", "WARN"), ({"right": False}, "FAIL", "OK")],
)
def test_what_the_interpreter_really_did_decides(
    machine: MakeMachine, change: dict[str, Any], installed: str, xnnpack: str
) -> None:
    made = machine(answers={"litert": Answer({**TFLITE.value, **change})})
    assert short(litert.installed(made)) == [installed]
    assert short(litert.xnnpack(made)) == [xnnpack]


def test_a_library_is_held_against_what_edgemass_asks_for(machine: MakeMachine, install: Install) -> None:
    install(
        "edgemass",
        "1",
        requires=("numpy>=1.26", "numpy<2; platform_machine == 'armv7l'", "opencv-python-headless>=4.8"),
    )
    for version, status in (("1.24.2", "WARN"), ("1.26.0", "OK"), ("2.4", "OK")):
        made = machine(answers={"library:numpy": Answer({"version": version, "lacks": ""})})
        assert short(numpy(made)) == [status]
    old = {"library:numpy": Answer({"version": "1.24.2", "lacks": ""})}
    assert short(numpy(machine(answers=old, architecture="armv7l"))) == ["NOTE"]
    (absent,) = numpy(machine())
    assert (absent.status.value, absent.fix) == ("FAIL", "pip install 'numpy>=1.26'")
    (broken,) = opencv(machine(answers={"library:cv2": Answer(failure="ImportError: libGL.so.1: no such file")}))
    assert broken.status.value == "FAIL"
    assert "libGL.so.1" in broken.found
    assert "pip install --force-reinstall" in broken.fix


def test_an_opencv_without_v4l2_and_two_opencvs_are_warned_of(machine: MakeMachine, install: Install) -> None:
    made = machine(answers={"library:cv2": Answer({"version": "4.6.0", "lacks": "V4L2: no local cameras"})})
    assert short(opencv(made)) == ["WARN"]
    install("opencv-python", "4.10", module="cv2")
    assert one_opencv(made) == []
    install("opencv-python-headless", "5.0", module="cv2")
    (finding,) = one_opencv(made)
    assert finding.fix == "pip uninstall -y opencv-python opencv-python-headless; pip install opencv-python-headless"
