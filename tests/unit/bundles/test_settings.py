"""--set key=value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from edgemass.bundles import settings
from edgemass.errors import UsageError
from edgemass.families import Recognition
from edgemass.manifest import InputSpec, Nms, Resize
from edgemass.redact import redact


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    anchors: str | tuple[float, ...]
    strides: tuple[int, ...] = (8, 16)
    normalized: bool = False
    axes: Literal["CN", "NC"] = "CN"


RECOGNITION = Recognition(
    task="detection",
    input=InputSpec(name="in", layout="NCHW", dtype="float32", width=320, height=320, resize=Resize(pad_value=3)),
    tensors={"output": ("out",)},
    class_count=2,
    options={"strides": (8, 16, 32)},
    nms=Nms(iou=0.6),
    assumed=("RGB",),
    questions={"anchors": ("yolov3", "yolov4")},
)


def applied(*given: str) -> settings.Settled:
    return settings.apply(settings.parse(given), RECOGNITION, Options)


def test_nothing_set_changes_nothing() -> None:
    assert applied().recognition == RECOGNITION


def test_the_input_is_overridden_and_says_so() -> None:
    changed = applied("color=BGR", "mean=103.53,116.28,123.675", "std=58", "resize=letterbox").recognition
    assert changed.input.color == "BGR"
    assert changed.input.mean == (103.53, 116.28, 123.675)
    assert changed.input.std == (58.0,)
    assert changed.input.resize == Resize(rule="letterbox", pad_value=3)
    assert changed.assumed == (
        "RGB",
        "overridden by --set: color=BGR",
        "overridden by --set: mean=103.53,116.28,123.675",
        "overridden by --set: std=58",
        "overridden by --set: resize=letterbox",
    )


def test_options_of_the_family_take_their_own_types() -> None:
    changed = applied("strides=8,16", "normalized=true", "axes=NC").recognition
    assert changed.options == {"strides": (8, 16), "normalized": True, "axes": "NC"}


def test_an_answer_removes_its_question() -> None:
    changed = applied("anchors=yolov3").recognition
    assert changed.questions == {}
    assert changed.options["anchors"] == "yolov3"


@pytest.mark.parametrize("text", ["[10, 13, 16.5]", "@FILE"])
def test_a_list_may_be_json_or_lie_in_a_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "anchors.json"
    path.write_text("[10, 13, 16.5]")
    changed = applied("anchors=" + text.replace("FILE", str(path))).recognition
    assert changed.options["anchors"] == (10, 13, 16.5)


def test_an_option_that_takes_a_name_or_numbers_takes_both() -> None:
    assert applied("anchors=10,13,16.5").recognition.options["anchors"] == (10, 13, 16.5)
    assert applied("anchors=yolov4").recognition.options["anchors"] == "yolov4"


def test_nms_score_and_the_words_for_people_are_set() -> None:
    settled = applied("nms.iou=0.5", "nms.class_agnostic=true", "score=0.3", "name=door", "version=2", "release=7")
    assert settled.recognition.nms == Nms(iou=0.5, class_agnostic=True)
    assert settled.manifest == {"score": 0.3, "name": "door", "version": "2", "release": 7}


def test_the_last_setting_of_a_key_counts() -> None:
    assert applied("color=BGR", "color=GRAY").recognition.input.color == "GRAY"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("color", "wanted NAME=VALUE, for"),
        ("=BGR", "wanted NAME=VALUE, for"),
        ("colour=BGR", "unknown key, did you mean color"),
        ("stride=8", "did you mean strides"),
        ("iou=0.5", r"known for this model are anchors, strides, .*nms\.iou"),
        ("color=BLUE", "BLUE"),
        ("mean=dark", "Expected `float`"),
        ("strides=8,big", "strides"),
        ("normalized=perhaps", "normalized"),
        ("axes=XY", "axes=XY"),
        ("score=high", "score"),
        ("strides=[1,2", "no JSON"),
        ("strides=@/does/not/exist", "cannot read"),
        ("nms.iou=half", "Expected `float`"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(given: str, found: str) -> None:
    with pytest.raises(UsageError, match=found) as caught:
        applied(given)
    assert redact(str(caught.value)) == str(caught.value)  # nothing in it looks like a secret
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("--set")


@pytest.mark.parametrize(
    ("setting", "gone"),
    [
        ("resize=stretch", "frames are resized by the rule letterbox (Ultralytics)"),
        ("anchors=yolov4", "anchors are those of yolov3: the graph's operators fit"),
        ("normalized=true", "boxes are pixels, as this format's exporters do"),
    ],
)
def test_a_setting_takes_back_what_was_assumed_of_it(setting: str, gone: str) -> None:
    sentences = (
        "input in: RGB, mean 0, std 255 (Ultralytics)",
        "frames are resized by the rule letterbox (Ultralytics)",
        "anchors are those of yolov3: the graph's operators fit",
        "boxes are pixels, as this format's exporters do",
    )
    recognition = replace(RECOGNITION, assumed=sentences)
    changed = settings.apply(settings.parse([setting]), recognition, Options).recognition
    kept = tuple(sentence for sentence in sentences if sentence != gone)
    assert changed.assumed[: len(kept)] == kept
    assert gone not in changed.assumed


def test_what_the_input_takes_is_told_anew() -> None:
    recognition = replace(RECOGNITION, assumed=("input in: RGB, mean 0, std 1 (YOLOX)", "frames are resized"))
    changed = settings.apply(settings.parse(["color=BGR", "std=255"]), recognition, Options).recognition
    assert changed.assumed[:2] == ("input in: BGR, mean 0, std 255, with what was set", "frames are resized")
