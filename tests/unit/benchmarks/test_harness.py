"""How the benchmarks take turns and tell what they found."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.benchmarks import _harness, plot, run


def test_contenders_take_turns_in_an_order_that_is_reversed_every_other_round() -> None:
    called: list[str] = []

    def contender(name: str) -> float:
        called.append(name)
        return float(len(called))

    found = _harness.take_turns({name: (lambda name=name: contender(name)) for name in "abc"}, 2)  # type: ignore[misc]
    assert "".join(called) == "abccba"
    assert found == {"a": [1.0, 6.0], "b": [2.0, 5.0], "c": [3.0, 4.0]}


def test_ratios_are_made_round_by_round() -> None:
    assert _harness.ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


def test_a_result_says_what_it_was_measured_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _harness.finish("demo", tmp_path / "demo.json", rows=[{"case": "a", "ms": 1.23456}], figures={"ratio": 0.5})
    result = json.loads((tmp_path / "demo.json").read_text(encoding="utf-8"))
    assert result["rows"] == [{"case": "a", "ms": 1.23456}]
    assert {"cpu", "cores", "memory_gb"} <= result["machine"].keys()
    assert {"python", "numpy", "edgemass"} <= result["versions"].keys()
    printed = capsys.readouterr().out
    assert "| case | ms    |" in printed
    assert "ratio: 0.5" in printed


def test_a_file_that_was_not_exported_yet_is_a_reason_to_skip(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        _harness.need_models([_harness.MODELS / "nowhere_320.onnx"])
    assert ended.value.code == _harness.SKIPPED
    assert "peers_env.py" in capsys.readouterr().out


def test_every_benchmark_of_the_folder_is_run() -> None:
    scripts = {command[0] for command in run.steps().values()}
    here = {
        path.name
        for path in Path(run.__file__).parent.glob("[!_]*.py")
        if path.stem not in run.NO_BENCHMARKS + run.TRAIN_FIRST
    }
    assert scripts == here


def test_a_chart_is_well_formed_and_holds_every_bar() -> None:
    bars = [plot.Bar("ours & co", 2.0, True, 1.5, 2.5), plot.Bar("theirs", 1.0)]
    drawn = plot.draw(plot.Chart("Speed <fps>", "fps", [("group", bars)], reference=1.0), "a machine")
    texts = [element.text for element in ET.fromstring(drawn).iter() if element.text]  # noqa: S314 (drawn above)
    assert {"Speed <fps>", "ours & co", "theirs", "2 fps", "a machine"} <= set(texts)
