"""EM302 to EM304: ONNX Runtime. Sessions decide what it can use: its list of providers is only what was built in."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from edgemass.doctor import packages
from edgemass.doctor.finding import MEND_FIRST, Finding, Status
from edgemass.doctor.machine import Machine, answered

# As 1.31 writes it: "Failed to load library /path/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: ..."
_MISSING = re.compile(
    r"libonnxruntime_providers_(?P<provider>\w+)\.so with error: (?P<library>[^\s:]+): cannot open shared object file"
)
_BOUND_TO_GPU = frozenset({"tensorrt", "nvtensorrtrtx", "cuda"})


class Provider(msgspec.Struct, frozen=True):
    """trouble: why it does not run a model; "" where it does."""

    name: str
    trouble: str

    @property
    def short(self) -> str:
        return self.name.removesuffix("ExecutionProvider")


class Runtime(msgspec.Struct, frozen=True):
    version: str
    providers: tuple[Provider, ...]


def runtime(machine: Machine) -> Runtime | None:
    return answered(machine.probe("onnxruntime"), Runtime)


def installed(machine: Machine) -> Sequence[Finding]:
    answer = machine.probe("onnxruntime")
    owners = packages.owners("onnxruntime", machine.packages, prefix=("onnxruntime", "ort-"))
    found = answered(answer, Runtime)
    named = ", ".join(map(str, owners))
    if found is not None:
        return [Finding(Status.OK, named or found.version)]
    if answer.missing == "onnxruntime" and not owners:
        return [Finding(Status.NOTE, "not installed: no ONNX models", install(machine))]
    if answer.missing not in ("", "onnxruntime"):
        return [Finding(Status.FAIL, f"{named or 'it'} cannot be used: {answer.failure}", MEND_FIRST)]
    return [
        Finding(
            Status.FAIL,
            f"{named or 'it'} cannot be used: {answer.failure}",
            f"pip uninstall -y {' '.join(owner.name for owner in owners) or 'onnxruntime'}; {install(machine)}",
        )
    ]


def install(machine: Machine) -> str:
    """How to get the build that fits the board."""
    if machine.is_jetson:
        return "install NVIDIA's own build of onnxruntime-gpu for this JetPack"
    if machine.architecture == "armv7l":
        return "use TFLite models: there is no ONNX Runtime for 32-bit ARM"
    return "pip install 'edgemass[onnx]'"


def one_package(machine: Machine) -> Sequence[Finding]:
    """Several builds install the same module; pip knows nothing of it, and the last one wins file by file."""
    owners = packages.owners("onnxruntime", machine.packages, prefix=("onnxruntime", "ort-"))
    if len(owners) < 2:
        return []
    names = " ".join(owner.name for owner in owners)
    wanted = next((owner.name for owner in owners if _fits(owner.name, machine)), "onnxruntime")
    return [
        Finding(
            Status.FAIL,
            f"{', '.join(map(str, owners))} install the same module onnxruntime over each other",
            f"pip uninstall -y {names}; pip install {wanted}",
        )
    ]


def _fits(package: str, machine: Machine) -> bool:
    """Whether a special build has the hardware it is for; OpenVINO also runs on any x86-64 CPU."""
    return ("gpu" in package and gpu(machine) != "") or ("openvino" in package and machine.architecture == "x86_64")


def providers(machine: Machine) -> Sequence[Finding]:
    found = runtime(machine)
    if found is None:
        return []
    works = [provider.short for provider in found.providers if not provider.trouble]
    broken = [provider for provider in found.providers if provider.trouble]
    if not works:
        text = "; ".join(f"{provider.short}: {provider.trouble}" for provider in broken) or "it lists no provider"
        return [Finding(Status.FAIL, f"nothing runs a model: {text}", f"reinstall it: {install(machine)}")]
    findings = [Finding(Status.OK, f"{', '.join(works)} run a model" if len(works) > 1 else f"{works[0]} runs a model")]
    missing = {match["provider"]: match["library"] for match in _MISSING.finditer(machine.probe("onnxruntime").said)}
    if broken:
        findings.append(_broken(machine, broken, missing))
    return findings


def _broken(machine: Machine, broken: Sequence[Provider], missing: dict[str, str]) -> Finding:
    """Providers that are built in and cannot be used: models that ask for them run on the CPU."""
    listed = ", ".join(f"{provider.short} ({_trouble(provider, missing)})" for provider in broken)
    bound = all(provider.short.lower() in _BOUND_TO_GPU for provider in broken)
    if bound and not gpu(machine):
        return Finding(
            Status.WARN,
            f"a GPU build on a machine without an NVIDIA GPU: {listed} cannot be used, models run on the CPU",
            "pip uninstall -y onnxruntime-gpu; pip install onnxruntime",
        )
    fix = "install what it needs, or take another build of onnxruntime"
    if bound:
        wanted = "NVIDIA's JetPack" if machine.is_jetson else "pip install 'onnxruntime-gpu[cuda,cudnn]'"
        fix = f"install the CUDA and cuDNN (and TensorRT) that this version was built for: {wanted}"
    return Finding(Status.WARN, f"{listed}: listed, but cannot be used; models run on the CPU instead", fix)


def _trouble(provider: Provider, missing: dict[str, str]) -> str:
    library = missing.get(provider.short.lower())
    return f"{library} is missing" if library else provider.trouble


def gpu(machine: Machine) -> str:
    """NVIDIA's GPU and driver; "" where there is none."""
    for line in (machine.text("proc/driver/nvidia/version") or "").splitlines():
        return line.removeprefix("NVRM version:").strip()
    nodes = ("dev/nvidia0", "dev/nvhost-gpu", "dev/nvgpu")  # a PC or server, Jetsons before and since Orin
    return next((f"/{node}" for node in nodes if machine.exists(node)), "")
