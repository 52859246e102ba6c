"""The child that tries out unknown files: whatever becomes of it, the parent gets one line."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from edgemass.bundles import observe
from edgemass.bundles.observe import Observer
from edgemass.errors import BundleError


def child(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(observe, "_PROGRAM", program)


@pytest.mark.parametrize("moment", ["at once", "after the order"])
def test_a_crash_of_the_runtime_is_reported_as_such(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, moment: str
) -> None:
    wait = "sys.stdin.readline()" if moment == "after the order" else "pass"
    child(monkeypatch, f"import os, signal, sys; {wait}; os.kill(os.getpid(), signal.SIGSEGV)")
    with (
        Observer(tmp_path / "model.tflite", "tflite") as observer,
        pytest.raises(BundleError, match=r"model\.tflite: the runtime crashed while loading this file \(SIGSEGV\)"),
    ):
        observer.report([(320, 320)])


def test_a_failing_child_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child(monkeypatch, "raise MemoryError('no room')")
    with (
        Observer(tmp_path / "model.onnx", "onnx") as observer,
        pytest.raises(BundleError, match="MemoryError: no room") as caught,
    ):
        observer.report([(320, 320)])
    assert "\n" not in str(caught.value)


def test_a_child_past_its_deadline_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child(monkeypatch, "import time; time.sleep(60)")
    started = time.monotonic()
    with (
        Observer(tmp_path / "model.onnx", "onnx", deadline_s=0.2) as observer,
        pytest.raises(BundleError, match="more than 0 s"),
    ):
        observer.report([(320, 320)])
    assert time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        os.kill(observer._process.pid, 0)


def test_leaving_without_an_order_ends_the_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child(monkeypatch, "import time; time.sleep(60)")
    with Observer(tmp_path / "model.onnx", "onnx") as observer:
        pass
    with pytest.raises(ProcessLookupError):
        os.kill(observer._process.pid, 0)


def test_the_child_does_not_take_modules_from_the_working_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit('taken from the working folder')")
    monkeypatch.chdir(tmp_path)
    child(
        monkeypatch,
        observe._PROGRAM.replace(
            "from edgemass", "import msgspec; raise RuntimeError(msgspec.__file__); from edgemass"
        ),
    )
    with Observer(tmp_path / "model.onnx", "onnx") as observer, pytest.raises(BundleError, match="site-packages"):
        observer.report([(320, 320)])
