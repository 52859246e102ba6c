"""An install without extras is a whole agent; runtimes and importers cost nothing until they are asked for."""

from __future__ import annotations

import subprocess
import sys

EXTRAS = (
    "ai_edge_litert",
    "fastapi",
    "httpx",
    "nicegui",
    "onnx",
    "onnxruntime",
    "pycocotools",
    "sqlalchemy",
    "starlette",
    "tflite_runtime",
    "tuf",
    "uvicorn",
    "zstandard",
)

SCRIPT = f"""
import sys

EXTRAS = {EXTRAS!r}


class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Missing())
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT + code], capture_output=True, text=True, check=False, timeout=60
    )


def test_the_agent_and_every_row_that_needs_no_extra_import_without_any() -> None:
    done = python(
        "import importlib, edgemass.agent, edgemass.cli\n"
        "from edgemass.families import FAMILIES\n"
        "from edgemass.sinks import SINKS\n"
        "from edgemass.sources import SOURCES\n"
        "for table in (FAMILIES, SINKS, SOURCES):\n"
        "    for module in table.values(): importlib.import_module(module)\n"
        "print('whole')\n"
    )
    assert done.stdout == "whole\n", done.stderr


def test_the_agent_loads_no_runtime_although_one_is_installed() -> None:
    code = "import sys, edgemass.agent.agent; print(sorted(set(sys.modules) & set(" + repr(EXTRAS) + ")))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def test_a_missing_runtime_is_named_with_the_extra_that_brings_it() -> None:
    for runtime, extra in (("onnx", "edgemass[onnx]"), ("tflite", "edgemass[tflite]")):
        done = python(
            "from pathlib import Path\n"
            "from edgemass import backends\n"
            "from edgemass.errors import BackendUnavailableError\n"
            f"try: backends.load({runtime!r}).open(Path('x'), backends.Options())\n"
            "except BackendUnavailableError as error: print(error)\n"
        )
        assert extra in done.stdout, done.stderr
