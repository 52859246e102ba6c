from __future__ import annotations

import re

import pytest

from edgemass_tools import cli


@pytest.mark.parametrize("verb", ["evaluate", "quantize"])
def test_the_help_ends_with_an_example_that_parses(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([verb, "--help"])
    last = capsys.readouterr().out.strip().splitlines()[-1]
    match = re.fullmatch(r"example: edgemass-tools (.+)", last)
    assert match
    assert cli.parser().parse_args(match[1].split()).call


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["quantize", "a.onnx", "-o", "b"], "one of the arguments --images --clip is required"),
        (["quantize", "a.onnx", "--images", "i", "--clip", "c", "-o", "b"], "not allowed with"),
        (["quantize", "a.onnx", "--images", "i", "-o", "b", "--samples", "0"], "--samples must be at least 1, found 0"),
        (["quantize", "a.onnx", "--images", "i", "-o", "b", "--budget", "nan"], "--budget must be a share"),
        (["quantize", "a.onnx", "--images", "i", "-o", "b"], "no model 'a.onnx'"),
        (["evaluate", "a.onnx", "--images", "i"], "one of the arguments --annotations --labels --folders is required"),
        (
            ["evaluate", "a.onnx", "--images", "i", "--annotations", "none.json"],
            "--annotations: none.json is not a file",
        ),
        (["evaluate", "a.onnx", "--images", "i", "--folders", "--report", "r.pdf"], "--report writes .html or .png"),
        (["evaluate", "a.onnx", "--images", "i", "--folders"], "no model 'a.onnx'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: object = cli.main(arguments)
    except SystemExit as error:
        code = error.code
    said = capsys.readouterr().err
    assert code == 2
    assert said.startswith("edgemass-tools: error: ")
    assert told in said
    assert len(said.splitlines()) == 1
