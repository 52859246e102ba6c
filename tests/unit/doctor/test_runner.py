from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgemass.doctor import CHECKS, Check, Finding, Machine, Status, examine, report
from edgemass.doctor.finding import split_advice, worst

DOCS = Path(__file__).resolve().parents[3] / "docs" / "doctor.md"
HERE = "doctor_checks_of_this_test"


@pytest.fixture(autouse=True)
def _checks_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    module = types.ModuleType(HERE)
    vars(module).update(good=good, fails=fails, hangs=hangs, leaks=leaks, silent=silent)
    monkeypatch.setitem(sys.modules, HERE, module)


def good(_: Machine) -> Sequence[Finding]:
    return [Finding(Status.OK, "fine")]


def fails(_: Machine) -> Sequence[Finding]:
    raise RuntimeError("no sensor\nat rtsp://u:secret@h/")


def hangs(_: Machine) -> Sequence[Finding]:
    threading.Event().wait(60)
    return []


def leaks(_: Machine) -> Sequence[Finding]:
    return [Finding(Status.FAIL, "mqtt://u:secret@h \x1b[31m\nred", "try mqtt://u:secret@h")]


def silent(_: Machine) -> Sequence[Finding]:
    return []


def test_a_check_that_fails_or_hangs_or_cannot_be_imported_is_a_finding_and_the_others_go_on(tmp_path: Path) -> None:
    names = {"EM1": "fails", "EM2": "hangs", "EM3": "absent", "EM4": "silent", "EM5": "good"}
    checks = {code: Check(name, f"{HERE}:{name}") for code, name in names.items()}
    checks["EM6"] = Check("module", "no.such.module:check")
    verdicts = list(examine(Machine(root=tmp_path), checks, deadline_s=0.2))
    assert [(verdict.code, verdict.status.value) for verdict in verdicts] == [
        ("EM1", "WARN"),
        ("EM2", "WARN"),
        ("EM3", "WARN"),
        ("EM5", "OK"),
        ("EM6", "WARN"),
    ]
    assert "RuntimeError: no sensor at rtsp://u:***@h/" in verdicts[0].found
    assert "no answer within" in verdicts[1].found
    assert all(verdict.fix for verdict in verdicts if verdict.status is not Status.OK)


def test_no_password_and_no_escape_sequence_leaves_doctor(tmp_path: Path) -> None:
    (verdict,) = examine(Machine(root=tmp_path), {"EM1": Check("leaks", f"{HERE}:leaks")})
    assert verdict.found == "mqtt://u:***@h [31m red"
    assert verdict.fix == "try mqtt://u:***@h"


@pytest.mark.parametrize("code", CHECKS)
def test_every_row_names_a_function_and_is_explained_in_the_documentation(code: str) -> None:
    module, _, function = CHECKS[code].where.partition(":")
    assert callable(getattr(importlib.import_module(module), function))
    assert re.fullmatch(r"EM[1-8]\d\d", code)
    assert f"### {code}: {CHECKS[code].title}\n" in DOCS.read_text(encoding="utf-8")


def test_the_documentation_explains_no_code_that_is_not_there() -> None:
    assert re.findall(r"^### (EM\d+)", DOCS.read_text(encoding="utf-8"), re.MULTILINE) == list(CHECKS)


def test_the_worst_status_is_found_whatever_the_order() -> None:
    assert worst([Status.OK, Status.FAIL, Status.NOTE]) is Status.FAIL
    assert worst([Status.NOTE, Status.WARN]) is Status.WARN
    assert worst([]) is Status.OK


@pytest.mark.parametrize(
    ("message", "found", "fix"),
    [
        ("nothing listens at h:1; is it on?", "nothing listens at h:1", "is it on?"),
        ("cannot read 'x'; wanted a number", "cannot read 'x'", "give a number"),
        ("it broke", "it broke", ""),
        (
            "f: Permission denied; wanted a video",
            "f: Permission denied",
            "let this user read it, or run as one who may",
        ),
    ],
)
def test_an_error_of_ours_is_split_into_what_was_found_and_what_to_do(message: str, found: str, fix: str) -> None:
    assert split_advice(message) == (found, fix)


def test_a_report_comes_in_time_and_names_what_it_left_out(tmp_path: Path) -> None:
    checks = {code: Check(code, f"{HERE}:hangs") for code in ("EM1", "EM2", "EM3")}
    made = report(Machine(root=tmp_path), checks, total_s=0.2)
    assert [verdict.code for verdict in made.checks] == ["EM1", "EM2", "EM3"]
    assert "left out" in made.checks[0].found or "no answer" in made.checks[0].found
    assert all("the time for the report was over" in verdict.found for verdict in made.checks[1:])
    assert made.worst is Status.WARN
