"""Whatever is typed: an exit code of ours and one line, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import strategies as st

from edgemass.bundles import settings as overrides
from edgemass.cli import EXIT_CONFIG, EXIT_FAILURE, EXIT_USAGE, main
from edgemass.errors import EdgemassError, UsageError
from edgemass.families import FAMILIES, Recognition
from edgemass.families import load as load_family
from tests.fuzz.campaign import counts, hold, may_refuse
from tests.fuzz.models import MODELS

PASSWORD = "hunter2"
COMMANDS = ("run", "model", "import", "inspect", "eval", "bench", "doctor", "list", "--camera", "--model", "--mqtt")
OPTIONS = ("--sink", "--config", "--score", "--max-fps", "--frames", "--threads", "--json", "--strict", "--set", "-o")
VALUES = ("nan", "inf", "-1", "0", "1e400", "9" * 30, "a=b", "=", "door=", "oci://h/r:t", "http://[", "none.onnx", "")
ADDRESSES = (
    f"rtsp://u:{PASSWORD}@h",
    f"mqtt://u:{PASSWORD}@h:x",
    f"u:{PASSWORD}@h",
    f"x=rtsp://u:{PASSWORD}@",
)
ODD = ("\n", "é", "--", "-", "x" * 300, "/dev/null", "/dev/null/x", "*", "~")
WORDS = st.one_of(
    st.sampled_from((*COMMANDS, *OPTIONS, *VALUES, *ADDRESSES, *ODD)),
    st.text(max_size=8).filter(lambda text: "\0" not in text and text.isprintable()),
)
HARMLESS = ("--model", "none.onnx")
"""At the end of each command line: no such model, so that nothing begins to run."""


@counts(150, 20_000)
def test_any_command_line_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], examples: int
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("edgemass.cli.set_up_logging", lambda **_: None)

    def promise(verb: list[str], words: list[str]) -> None:
        monkeypatch.setattr("edgemass.agent.Agent", lambda _: pytest.fail("nothing should begin to run"))
        code = outcome([*verb, *words, *HARMLESS])
        shown = capsys.readouterr()
        assert code in (0, EXIT_FAILURE, EXIT_USAGE, EXIT_CONFIG)
        assert PASSWORD not in shown.err + shown.out
        assert "Traceback" not in shown.err
        assert code == 0 or shown.err.count("\n") == 1

    verbs = st.sampled_from([["model", "import"], ["model", "inspect"], ["eval"], ["bench"], ["nonsense"], []])
    hold(promise, examples, verb=verbs, words=st.lists(WORDS, max_size=6))


def outcome(words: list[str]) -> int:
    try:
        return main(words)
    except SystemExit as ended:
        return int(ended.code or 0)


@counts(300, 50_000)
def test_any_setting_is_taken_or_refused(examples: int) -> None:
    keys = [
        "color",
        "mean",
        "std",
        "resize",
        "pad_value",
        "width",
        "nms.iou",
        "score",
        "anchors",
        "strides",
        "release",
        "x",
    ]
    values = [
        "",
        ",",
        "nan",
        "inf",
        "-1",
        "1e400",
        "9" * 5000,
        "[",
        "[" * 5000,
        "@",
        "@/dev/null",
        "@.",
        "RGB",
        "1,2,3",
    ]

    def promise(family: str, given: list[tuple[str, str]]) -> None:
        model = MODELS[family]
        recognition = Recognition(
            task=model.manifest.task,
            input=model.manifest.input,
            tensors={},
            class_count=3,
            questions={"anchors": ("a",)},
        )
        with may_refuse(UsageError):
            wanted = overrides.parse([f"{key}={value}" for key, value in given])
            overrides.apply(wanted, recognition, load_family(family).Options)

    pairs = st.tuples(st.sampled_from(keys), st.one_of(st.sampled_from(values), st.text(max_size=10)))
    hold(promise, examples, family=st.sampled_from(list(FAMILIES)), given=st.lists(pairs, max_size=3))


def test_a_message_of_a_hostile_file_is_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "manifest.toml").write_text(f'task = "{"x" * 1_000_000}"')
    assert outcome(["model", "inspect", str(folder)]) == EXIT_FAILURE
    assert len(capsys.readouterr().err) < 5000


def test_every_error_of_ours_has_an_exit_code() -> None:
    from edgemass.cli import _exit_code

    assert {_exit_code(kind("x")) for kind in EdgemassError.__subclasses__()} == {EXIT_FAILURE, EXIT_USAGE, EXIT_CONFIG}
