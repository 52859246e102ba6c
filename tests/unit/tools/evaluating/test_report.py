from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from edgemass.errors import UsageError
from edgemass_tools.evaluating import report
from edgemass_tools.evaluating.class_scores import summarize
from edgemass_tools.evaluating.report.html import page
from edgemass_tools.evaluating.result import Result, Row, as_json, as_text
from tests.simulators.results import classified, detected, result


@pytest.fixture
def detection() -> Result:
    rows = detected("fp32", 0.456, loss=None, held=False), detected("int8", 0.423, loss=0.033, held=True)
    return result(*rows, bounds=("loss at most 0.01",), misses=("int8: loses 0.0330 <over>",))


def texts(markup: str) -> str:
    return " ".join(ET.fromstring(markup).itertext())  # noqa: S314 (our own page)


def test_the_page_is_well_formed_and_holds_the_figures(detection: Result) -> None:
    shown = texts(page(detection))
    for text in (
        "0.456",
        "0.423",
        "0.033",
        "0.777",
        "0.345",
        "1.23",
        "bee <&>",
        "loses 0.0330 <over>",
        "a note & more",
    ):
        assert text in shown
    assert "Gate missed" in shown


def test_the_page_loads_nothing(detection: Result) -> None:
    root = ET.fromstring(page(detection))  # noqa: S314 (as above)
    links = [value for node in root.iter() for name, value in node.attrib.items() if name in ("src", "href")]
    assert links
    assert all(link.startswith("data:image/jpeg;base64,") for link in links)
    assert not any(node.tag in ("script", "link", "img") for node in root.iter())
    assert "url(" not in page(detection)


def test_the_page_of_a_classifier_has_its_matrix() -> None:
    found = result(classified("fp32", held=False), classified("int8", held=True))
    root = ET.fromstring(page(found))  # noqa: S314 (as above)
    matrix = next(node for node in root.iter("table") if node.get("class") == "matrix")
    lines = [[cell.text or "" for cell in line.iter("td")] for line in matrix.iter("tr")][1:]
    assert lines == [["1", "", ""], ["", "1", ""], ["1", "", ""]]


def test_of_many_classes_the_page_has_the_pairs_that_are_confused() -> None:
    markup = page(result(_many()))
    assert 'class="matrix"' not in markup
    assert "class <2>" in texts(markup)


def _many() -> Row:
    """More classes than a matrix is drawn for."""
    true = np.arange(40)
    summary = summarize(true, np.where(true == 2, 0, true), np.zeros((40, 40), np.float32))
    return replace(classified("int8", held=True, classes=40), summary=summary)


def test_a_page_without_a_gate_speaks_of_none() -> None:
    assert "Gate" not in texts(page(result(detected("fp32", 0.456, loss=None, held=True))))


def test_the_text_has_one_line_for_each_variant(detection: Result) -> None:
    lines = as_text(detection).splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["variant", "fp32", "int8"]
    figures = ["0.456", "0.600", "0.400", "0.111", "-", "0.777", "reference", "5.00", "2.50", "1.23"]
    assert lines[3].split() == ["fp32", *figures, "onnxruntime/cpu"]
    assert "note: a note & more" in lines


def test_the_json_has_the_keys_of_eval_and_the_gate(detection: Result) -> None:
    found = json.loads(as_json(detection))
    first = found["variants"][0]
    assert (first["variant"], first["map_50_95"], first["map_50"], first["images"]) == ("fp32", 0.456, 0.6, 10)
    assert set(first["per_class"]["ant"]) >= {"map_50_95", "map_50"}
    assert found["gate"] == {
        "bounds": ["loss at most 0.01"],
        "passed": False,
        "misses": ["int8: loses 0.0330 <over>"],
    }
    of_classifier = json.loads(as_json(result(classified("fp32", held=True))))["variants"][0]
    assert {"top1", "top5", "images", "auc", "macro"} <= set(of_classifier)


@pytest.mark.parametrize("task", ["detection", "classification"])
def test_a_png_is_drawn(task: str, detection: Result, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="a PNG report needs matplotlib: pip install 'edgemass-tools[report]'")
    found = detection if task == "detection" else result(classified("fp32", held=True))
    path = tmp_path / "report.png"
    report.check(path)
    report.write(found, path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_report_that_cannot_be_written_is_refused_before(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"writes \.html or \.png, found 'report\.pdf'"):
        report.check(tmp_path / "report.pdf")
    with pytest.raises(UsageError, match="there is no folder"):
        report.check(tmp_path / "none" / "report.html")
