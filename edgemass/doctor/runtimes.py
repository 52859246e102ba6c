"""EM301: whether there is a runtime at all."""

from __future__ import annotations

from collections.abc import Sequence

from edgemass.doctor import litert, onnxruntime
from edgemass.doctor.finding import Finding, Status
from edgemass.doctor.machine import Machine


def any_runtime(machine: Machine) -> Sequence[Finding]:
    kinds = []
    ort = onnxruntime.runtime(machine)
    if ort is not None and any(not provider.trouble for provider in ort.providers):
        kinds.append("ONNX")
    tflite = litert.used(machine)
    if tflite is not None and tflite.runtime is not None and tflite.runtime.right:
        kinds.append("TFLite")
    if kinds:
        return [Finding(Status.OK, f"{' and '.join(kinds)} models can be run")]
    both = "" if machine.architecture == "armv7l" or machine.is_jetson else "pip install 'edgemass[onnx]' or "
    return [
        Finding(
            Status.FAIL,
            "none works: no model can be run",
            f"mend what EM302 to EM313 tell, or install one: {both}pip install 'edgemass[tflite]'",
        )
    ]
