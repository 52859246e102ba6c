"""What is asked in a child process: each imports one runtime or library, and says in JSON what it really does.

The runtimes are used directly and not through their backends: the question is what they offer, not what we make of it.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
CONVOLUTION = _HERE / "convolution.onnx"  # ones (1, 3, 8, 8) -> 27s (1, 4, 6, 6): every provider takes a convolution
ADDITION = _HERE / "addition.tflite"  # float32 (1, 8): out = in + 1; both files are made in tests/unit/doctor

_CPU = "CPUExecutionProvider"
_REMOTE = "AzureExecutionProvider"  # part of every build, and not of this machine


def library(module: str) -> dict[str, str]:
    imported = importlib.import_module(module)
    lacks = ""
    if module == "cv2":
        backends = imported.videoio_registry.getCameraBackends()
        lacks = "" if imported.CAP_V4L2 in backends else "V4L2: no local cameras"
    return {"version": str(imported.__version__), "lacks": lacks}


def onnxruntime() -> dict[str, Any]:
    """Version, and what became of every provider that the build lists."""
    import onnxruntime as ort  # noqa: PLC0415 (the question itself)

    listed = [name for name in ort.get_available_providers() if name != _REMOTE]
    return {
        "version": str(ort.__version__),
        "providers": [{"name": name, "trouble": _provider_trouble(ort, name)} for name in listed],
    }


def _provider_trouble(ort: Any, name: str) -> str:
    """Why a provider does not run the convolution; "" where it does.

    A provider that cannot be loaded is replaced by the CPU without an error: only the session tells. One that is loaded
    may still leave all work to the CPU, which `disable_cpu_ep_fallback` makes an error.
    """
    import numpy as np  # noqa: PLC0415 (ONNX Runtime needs it too)

    try:
        session = ort.InferenceSession(str(CONVOLUTION), providers=[name])
        used = session.get_providers()[0]
        if used != name:
            return "it cannot be loaded"
        if name != _CPU:
            strict = ort.SessionOptions()
            strict.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
            session = ort.InferenceSession(str(CONVOLUTION), strict, providers=[name])
        result = session.run(None, {"in": np.ones((1, 3, 8, 8), np.float32)})[0]
    except Exception as error:  # noqa: BLE001 (its exceptions derive from Exception directly)
        return " ".join(str(error).split()) or type(error).__name__
    # Accelerators compute in half precision and less.
    return "" if np.allclose(result, 27, rtol=0.02) else f"it computes {float(np.ravel(result)[0]):g} instead of 27"


def litert(package: str) -> dict[str, Any]:
    """package: `ai_edge_litert` or `tflite_runtime`. delegated: an operator was taken over, by default by XNNPACK."""
    runtime = importlib.import_module(package)
    import numpy as np  # noqa: PLC0415 (after the runtime: what is missing first is what is told)

    interpreter = importlib.import_module(f"{package}.interpreter").Interpreter(model_content=ADDITION.read_bytes())
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.ones((1, 8), np.float32))
    interpreter.invoke()
    result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return {
        "version": str(runtime.__version__),
        "delegated": any(item["op_name"] == "DELEGATE" for item in interpreter._get_ops_details()),  # noqa: SLF001
        "right": bool(np.allclose(result, 2)),
    }


def shared_library(name: str) -> bool:
    """Load a shared library.

    Raises:
        OSError: it is not there, or one that it needs is not.
    """
    ctypes.CDLL(name)
    return True


def gstreamer(elements: Sequence[str]) -> dict[str, Any]:
    """Version, and which of these elements are there."""
    import gi  # noqa: PLC0415 (the question itself)

    gi.require_version("Gst", "1.0")
    from gi.repository import Gst  # noqa: PLC0415

    Gst.init(None)
    return {
        "version": ".".join(map(str, Gst.version()[:3])),
        "elements": [name for name in elements if Gst.ElementFactory.find(name) is not None],
    }
