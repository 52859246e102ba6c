"""EM311 to EM313: LiteRT, or tflite-runtime where there is no LiteRT wheel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from edgemass.doctor import packages
from edgemass.doctor.child import Answer
from edgemass.doctor.finding import MEND_FIRST, Finding, Status
from edgemass.doctor.machine import Machine, answered

PACKAGES = {
    "ai_edge_litert": "ai-edge-litert",
    "tflite_runtime": "tflite-runtime",
}  # module -> package, as edgemass looks
LAST_FOR_NUMPY_1 = (2, 14)


class Runtime(msgspec.Struct, frozen=True):
    """delegated: a delegate took the test model over. right: it computed what it should."""

    version: str
    delegated: bool
    right: bool


@dataclass(frozen=True)
class Used:
    """The first of the two packages that is there, and what it says."""

    package: str
    answer: Answer

    @property
    def runtime(self) -> Runtime | None:
        return answered(self.answer, Runtime)

    def clash(self, machine: Machine) -> str:
        """The versions, where tflite-runtime stands on a NumPy that it was not built for; else "".

        Up to 2.14, its last release, it was built against NumPy 1: under NumPy 2 it imports, and then every set_tensor
        ends in a SystemError (https://github.com/google-coral/pycoral/issues/58).
        """
        numpy = packages.version("numpy", machine.packages) or ""
        own = packages.version(self.package, machine.packages) or (self.runtime.version if self.runtime else "")
        if self.package != "tflite-runtime" or packages.release(own)[:2] > LAST_FOR_NUMPY_1:
            return ""
        return f"tflite-runtime {own} with NumPy {numpy}" if packages.release(numpy) >= (2,) else ""


def used(machine: Machine) -> Used | None:
    """What edgemass would use: LiteRT before tflite-runtime; None where neither is installed."""
    for module, package in PACKAGES.items():
        answer = machine.probe("litert", package=module)
        if answer.missing != module or packages.version(package, machine.packages):
            return Used(package, answer)
    return None


def installed(machine: Machine) -> Sequence[Finding]:
    found = used(machine)
    if found is None:
        return [Finding(Status.NOTE, "not installed: no TFLite models", "pip install 'edgemass[tflite]'")]
    if found.clash(machine):
        return []  # EM312 says it
    runtime = found.runtime
    repair = f"pip install --force-reinstall {found.package}"
    if runtime is None:
        fix = MEND_FIRST if found.answer.missing == "numpy" else repair
        return [Finding(Status.FAIL, f"{found.package} cannot be used: {found.answer.failure}", fix)]
    if not runtime.right:
        return [Finding(Status.FAIL, f"{found.package} {runtime.version} computes wrongly", repair)]
    return [Finding(Status.OK, f"{found.package} {runtime.version} runs a model")]


def numpy_fits(machine: Machine) -> Sequence[Finding]:
    found = used(machine)
    if found is None or found.package != "tflite-runtime":
        return []
    if found.answer.missing:
        return []
    if clash := found.clash(machine):
        return [Finding(Status.FAIL, f"{clash}: it was built against NumPy 1", "pip install 'numpy<2'")]
    return [Finding(Status.OK, "NumPy and tflite-runtime go together")]


def xnnpack(machine: Machine) -> Sequence[Finding]:
    found = used(machine)
    runtime = found.runtime if found else None
    if found is None or runtime is None:
        return []
    if runtime.delegated:
        return [Finding(Status.OK, "applied")]
    return [
        Finding(
            Status.WARN,
            f"{found.package} {runtime.version} does not apply it: float models run slower than they could",
            f"take a build with XNNPACK: pip install --force-reinstall {found.package}",
        )
    ]
