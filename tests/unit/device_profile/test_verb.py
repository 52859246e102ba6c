"""`edgemass profile`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgemass.cli import main
from edgemass.device_profile import profiles

BOARDS = Path(__file__).resolve().parents[2] / "data" / "boards"


def test_show_says_what_was_recognised_why_and_what_follows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "show", "--root", str(BOARDS / "raspberry-pi-cm4")]) == 0
    told = capsys.readouterr().out
    for part in (
        "raspberry-pi-4: Raspberry Pi 4",
        "Raspberry Pi Compute Module 4 Rev 1.1",
        "proc/device-tree/compatible says raspberrypi,4-compute-module",
        "tflite or else onnx",
        "edgemass[pi]",
        "from 78 °C on",
        "1.5 frames a second of a medium model: half of the 3.1",
    ):
        assert part in told


def test_show_as_json_has_it_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "show", "--json", "--root", str(BOARDS / "rock-5")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["profile"], told["threads"], told["backends"]) == ("rock-5", 4, ["tflite", "onnx"])
    assert told["board"]["memory_bytes"] == 7928132 * 1024
    assert told["thermal"]["soft_c"] == 80


def test_list_names_every_profile(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "list"]) == 0
    told = capsys.readouterr().out
    assert [line.split()[0] for line in told.splitlines()] == list(profiles())
    assert told.count("which this is") == 1
    assert main(["profile", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["profiles"].keys() == profiles().keys()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["show", "raspberry-pi-6"], 78, "did you mean raspberry-pi-5?"),
        (["show", "--root", "/nowhere"], 2, "is no folder"),
    ],
)
def test_what_is_not_there_is_named(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, told: str
) -> None:
    assert main(["profile", *arguments]) == code
    assert told in capsys.readouterr().err
