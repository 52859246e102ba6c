"""What a user sees of the command line itself; what it calls is tested where it lives."""

from __future__ import annotations

import argparse
import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemass import __main__ as command
from edgemass import cache, cli
from edgemass.cli import run
from edgemass.cli import status as status_verb
from edgemass.errors import UsageError


def leaves(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every verb with its help text."""
    nested = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in nested:
        for name, child in action.choices.items():
            yield from leaves(child, (*words, name))
    if not nested:
        yield words, parser.format_help()


@pytest.mark.parametrize(("words", "text"), list(leaves(cli.parser())))
def test_the_help_of_every_verb_ends_with_an_example_that_parses(words: tuple[str, ...], text: str) -> None:
    last = text.strip().splitlines()[-1]
    match = re.fullmatch(r"example: edgemass (.+)", last)
    assert match, f"help of {' '.join(words)} ends with {last!r}"
    arguments = match[1].split()
    assert tuple(arguments[: len(words)]) == words
    assert cli.parser().parse_args(arguments).call


def test_help_fits_the_terminal_and_examples_stay_as_they_are_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prose is written in lines of 120; a terminal of 80 would break them amid a word."""
    monkeypatch.setenv("COLUMNS", "80")
    for words, text in leaves(cli.parser()):
        wide = [line for line in text.splitlines() if len(line) > 80 and not line.startswith("example: ")]
        assert not wide, " ".join(words)


def test_help_breaks_prose_and_neither_columns_nor_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "42")
    as_written = "OK    a\n  b  c\n\nexample: a \\\n    b\n"
    epilog = f"One sentence that is wider than the\nterminal in its second line, and --not-wide.\n\n{as_written}"
    told = cli.Parser(prog="x", add_help=False, epilog=epilog).format_help()
    prose = "One sentence that is wider than the\nterminal in its second line, and\n--not-wide."
    assert told == f"usage: x\n\n{prose}\n\n{as_written}"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["run", "--wrong"], 2, "--wrong"),
        (["run"], 2, "no camera"),
        (["run", "--camera", "0", "--frames", "0"], 2, "--frames must be above 0"),
        (["run", "--camera", "0", "--score", "7"], 2, "between 0 and 1"),
        (
            ["run", "--camera", "0", "--mqtt", "10.0.0.7"],
            2,
            "--mqtt must be mqtt://HOST or mqtts://HOST, found '10.0.0.7'",
        ),
        (["run", "--camera", "a=0", "--camera", "a=1"], 2, "two cameras"),
        (["run", "--camera", "a" * 64 + "=0"], 2, "at most 63"),
        (["run", "--camera", ""], 2, "without an address"),
        (["model", "inspect", "a" * 300], 1, ": File name too long"),
        (["run", "--camera", "ftp://u:secret@h/x"], 2, "unknown camera scheme"),
        (["run", "--config", "nowhere.toml"], 78, "cannot read nowhere.toml"),
        (["eval", "m.onnx", "--images", "d"], 2, "--annotations"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_a_mistake_is_one_line_with_its_exit_code(
    arguments: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        found = cli.main(arguments)
    except SystemExit as ended:
        found = int(str(ended.code))
    captured = capsys.readouterr()
    assert found == code
    assert captured.out == ""
    assert captured.err.startswith("edgemass: error: ")
    assert len(captured.err.splitlines()) == 1
    assert told in captured.err
    assert "secret" not in captured.err


def test_a_pick_that_could_not_be_kept_is_told_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(cache, "_chosen", [])
    monkeypatch.setenv("EDGEMASS_CACHE", str(tmp_path / "file"))
    assert cli.main(["bench", "edgemass-person", "--pick"]) == 2
    told = capsys.readouterr().err
    assert "a pick cannot be kept: " in told
    assert "EDGEMASS_CACHE" in told


def test_cameras_without_a_name_are_counted_and_files_with_an_equal_sign_are_files(tmp_path: Path) -> None:
    odd = tmp_path / "a=b.mp4"
    odd.touch()
    cameras = run._cameras(["0", "door=rtsp://x/1?a=b", str(odd), "synthetic:?width=4"], taken=())
    assert cameras == {"cam0": "0", "door": "rtsp://x/1?a=b", "cam2": str(odd), "cam3": "synthetic:?width=4"}


def test_an_address_longer_than_a_file_name_is_no_file() -> None:
    address = "rtsp://host/" + "a" * 300
    assert run._cameras([address], taken=()) == {"cam0": address}


def test_a_camera_without_a_name_leaves_those_of_the_configuration_alone() -> None:
    assert run._cameras(["0", "1"], taken=["cam1"]) == {"cam2": "0", "cam3": "1"}


def test_the_command_line_lies_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('model = "a"\nsinks = ["console:"]\n[cameras.door]\nsource = "0"\nmax_fps = 5\nscore = 0.2\n')
    arguments = ["run", "--config", str(path), "--model", "b", "--score", "0.7", "--mqtt", "mqtt://h", "--camera", "1"]
    wanted = run._config(cli.parser().parse_args(arguments))
    assert wanted.model == "b"
    assert wanted.sinks == ("console:", "mqtt://h")
    assert list(wanted.cameras) == ["door", "cam1"]
    assert wanted.cameras["door"].max_fps == 5
    assert wanted.cameras["door"].score == 0.7


def test_events_on_the_command_line_take_nothing_from_a_table_of_events(tmp_path: Path) -> None:
    path = tmp_path / "edgemass.toml"
    path.write_text('[cameras.gate]\nsource = "0"\nevents = { update_s = 30 }\n[cameras.yard]\nsource = "1"\n')
    wanted = run._config(cli.parser().parse_args(["run", "--config", str(path), "--events"]))
    assert wanted.cameras["gate"].events_config.update_s == 30
    assert wanted.cameras["yard"].events is True
    wanted = run._config(cli.parser().parse_args(["run", "--config", str(path), "--no-events"]))
    assert wanted.cameras["gate"].events is False


def test_credentials_of_the_service_manager_are_put_into_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "door").write_text("pass:word\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    sink = "mqtt://me@broker?password_file=credential:door"
    wanted = run._config(
        cli.parser().parse_args(["run", "--camera", "rtsp://me:{credential:door}@cam", "--sink", sink])
    )
    assert wanted.cameras["cam0"].source == "rtsp://me:pass%3Aword@cam"
    assert wanted.sinks == (f"mqtt://me@broker?password_file={tmp_path}/door",)


def test_an_impossible_range_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--max-fps"):
        run._config(cli.parser().parse_args(["run", "--camera", "0", "--max-fps", "-1"]))


def test_help_is_quick_because_no_runtime_and_no_opencv_is_loaded() -> None:
    script = (
        "import sys; from edgemass import cli; cli.parser();"
        "print([m for m in ('cv2', 'av', 'onnxruntime', 'ai_edge_litert', 'paho') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_status_is_quick_because_it_needs_neither_opencv_nor_the_agent(tmp_path: Path) -> None:
    script = (
        f"import sys; from edgemass import cli; cli.main(['status', '--state', {str(tmp_path)!r}]);"
        "print([m for m in ('cv2', 'av', 'numpy', 'paho', 'edgemass.agent.agent') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert "no daemon runs" in done.stderr


def test_a_terminal_that_cannot_write_a_character_is_told_in_others() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    call = [sys.executable, "-m", "edgemass"]
    shown = subprocess.run(
        [*call, "profile", "show", "raspberry-pi-4"], check=False, env=environment, capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    assert "held back from 78 ?C on" in shown.stdout


def test_ctrl_c_while_the_program_is_still_being_loaded_leaves_no_trace() -> None:
    script = """
import sys
class Interrupted:
    def find_spec(self, name, *_):
        if name == "edgemass.cli":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from edgemass.__main__ import main
sys.exit(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_while_the_command_line_is_read_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> argparse.ArgumentParser:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "parser", interrupted)
    assert command.main() == 0


def test_a_file_that_this_user_may_not_touch_is_told_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: argparse.Namespace) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/srv/x")

    monkeypatch.setattr(status_verb, "call", refuse)
    assert cli.main(["status"]) == 1
    assert capsys.readouterr().err == "edgemass: error: /srv/x: Permission denied; ask as a user who may\n"
