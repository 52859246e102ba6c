"""Asking every family whether a graph is one of its own."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from edgemass import families
from edgemass.bundles import importer
from edgemass.errors import BundleError, FamilyUnknownError
from edgemass.families import Recognition
from edgemass.graph import Graph
from edgemass.manifest import InputSpec
from edgemass.tensors import TensorInfo

GRAPH = Graph(
    "onnx",
    (TensorInfo("images", (1, 3, None, None), "float32"),),
    (TensorInfo("out", (1, 84, 8400), "float32"),),
)
CLAIM = Recognition(
    task="detection",
    input=InputSpec(name="images", layout="NCHW", dtype="float32", width=8, height=8),
    tensors={},
    class_count=None,
)


@pytest.fixture(autouse=True)
def only_our_families(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(families.FAMILIES):
        monkeypatch.delitem(families.FAMILIES, name)


def family(monkeypatch: pytest.MonkeyPatch, name: str, answer: Recognition | BundleError | None) -> None:
    def recognise(graph: Graph) -> Recognition | None:
        assert graph is GRAPH
        if isinstance(answer, BundleError):
            raise answer
        return answer

    module = ModuleType(name)
    module.__dict__.update(Options=msgspec.Struct, recognise=recognise)
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(families.FAMILIES, name, name)


def test_the_only_claim_counts_whatever_others_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    family(monkeypatch, "refuses", BundleError("this model segments"))
    family(monkeypatch, "claims", CLAIM)
    family(monkeypatch, "passes", None)
    name, _, claim = importer.recognise(GRAPH)
    assert (name, claim) == ("claims", CLAIM)


def test_a_refusal_is_the_answer_when_nobody_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    family(monkeypatch, "refuses", BundleError("this model segments"))
    family(monkeypatch, "passes", None)
    with pytest.raises(BundleError, match=r"m\.onnx: this model segments") as caught:
        importer.recognise(GRAPH, where="m.onnx")
    assert not isinstance(caught.value, FamilyUnknownError)


def test_several_claims_ask_the_user_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    family(monkeypatch, "one", CLAIM)
    family(monkeypatch, "other", CLAIM)
    with pytest.raises(FamilyUnknownError, match="fits several families: one, other") as caught:
        importer.recognise(GRAPH)
    assert caught.value.choices == ("--family one", "--family other")
    assert importer.recognise(GRAPH, "other")[0] == "other"


def test_no_claim_shows_the_tensors_and_the_families(monkeypatch: pytest.MonkeyPatch) -> None:
    family(monkeypatch, "passes", None)
    with pytest.raises(FamilyUnknownError, match=r"out float32 \[1, 84, 8400\]; wanted one of passes") as caught:
        importer.recognise(GRAPH)
    assert "images float32 [1, 3, ?, ?]" in str(caught.value)
    assert caught.value.choices == ("--family passes",)


def test_a_family_that_was_asked_for_and_does_not_fit_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    family(monkeypatch, "passes", None)
    family(monkeypatch, "claims", CLAIM)
    with pytest.raises(FamilyUnknownError, match="is not of the family passes"):
        importer.recognise(GRAPH, "passes")


def test_an_open_question_lists_the_answers_as_they_are_typed() -> None:
    claim = replace(CLAIM, questions={"anchors": ("yolov3-tiny", "yolov4-tiny")})
    with pytest.raises(FamilyUnknownError, match=r"add one of: --set anchors=yolov3-tiny, --set anchors=y") as caught:
        importer._check_questions(Path("m.onnx"), "yolo_grid", claim)
    assert caught.value.choices == ("--set anchors=yolov3-tiny", "--set anchors=yolov4-tiny")
