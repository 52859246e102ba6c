"""A machine that says what a test tells it to; nothing of the real one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from edgemass.doctor import Machine
from edgemass.doctor.child import Answer

BOARDS = Path(__file__).resolve().parents[2] / "data" / "doctor"
MakeMachine = Callable[..., Machine]


@pytest.fixture
def machine(tmp_path: Path) -> MakeMachine:
    """Make one: `board` names a folder of tests/data/doctor, `answers` says what a child process answers.

    A key of `answers` is the function, with its first argument where that decides: `litert:tflite_runtime`.
    What is not among them is a module that is not installed.
    """

    def make(board: str = "", answers: Mapping[str, Answer] | None = None, **facts: Any) -> Machine:
        def ask(target: str, argument: Mapping[str, object], _: float) -> Answer:
            name = target.partition(":")[2]
            first = next(iter(argument.values()), "")
            absent = Answer(failure=f"No module named '{first or name}'", missing=str(first or name))
            return (answers or {}).get(f"{name}:{first}", (answers or {}).get(name, absent))

        facts = {"architecture": "aarch64", "pointer_bits": 64, "packages": [str(tmp_path / "packages")], **facts}
        return Machine(root=BOARDS / board if board else tmp_path, ask=ask, **facts)

    return make


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., None]:
    """Put a package's metadata where `machine` looks for it."""

    def put(name: str, version: str, *, module: str = "", requires: tuple[str, ...] = ()) -> None:
        folder = tmp_path / "packages" / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(parents=True)
        lines = [
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}",
            *(f"Requires-Dist: {one}" for one in requires),
        ]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")
        (folder / "top_level.txt").write_text(f"{module}\n")

    return put
