from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator

import pytest

from edgemass import sinks
from edgemass.errors import UsageError
from edgemass.messages import CountsMessage, FrameMessage, InOut
from tests.documents import (
    BOTTOM_RIGHT,
    CENTRE,
    LEFT,
    OFFLINE,
    ONLINE,
    RIGHT,
    classification,
    context,
    detections,
    frame,
)

FPS = 10


@pytest.fixture(autouse=True)
def _clock_of_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_times_are_those_of_the_place_as_in_the_log(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TZ", "XYZ-5:30")  # east of Greenwich
    time.tzset()
    assert lines([detections("dog")], capfd)[0].startswith("07:30:00.000  door  dog")


def lines(messages: Iterable[FrameMessage], capfd: pytest.CaptureFixture[str]) -> list[str]:
    """What a person has read after these documents, before the end."""
    sink = sinks.open("console:", context())
    for message in messages:
        sink.publish(message, frame())
    told = capfd.readouterr().out.splitlines()
    sink.close(0)
    return told


def test_the_end_tells_for_each_camera_in_how_many_frames_a_label_was(capfd: pytest.CaptureFixture[str]) -> None:
    sink = sinks.open("console:", context())
    for message in (*stay(2, "person", "person"), *stay(1, "dog", since_s=2), detections(camera="yard", at_s=3)):
        sink.publish(message, frame())
    capfd.readouterr()
    sink.close(0)
    sink.close(0)
    assert capfd.readouterr().out.splitlines() == [
        "02:00:02.900  door  30 frames in all: person in 20, dog in 10",
        "02:00:03.000  yard  1 frame in all: nothing found",
    ]


def stay(seconds: float, *found: str, since_s: float = 0.0) -> list[FrameMessage]:
    return [detections(*found, at_s=since_s + index / FPS) for index in range(round(seconds * FPS))]


def test_a_line_tells_time_camera_and_what_is_where_surest_first(capfd: pytest.CaptureFixture[str]) -> None:
    message = detections(("person", LEFT), ("dog", BOTTOM_RIGHT), ("cat", CENTRE))
    assert lines([message], capfd) == ["02:00:00.000  door  person 0.50 left, dog 0.50 bottom right, cat 0.50 centre"]


def test_columns_stay_aligned(capfd: pytest.CaptureFixture[str]) -> None:
    told = lines([detections("a", camera="backyard"), detections("b", camera="door")], capfd)
    assert [line.index(label) for line, label in zip(told, ["a 0.50", "b 0.50"], strict=True)] == [24, 24]


def test_what_stays_is_told_once_and_summed_up_ever_more_rarely(capfd: pytest.CaptureFixture[str]) -> None:
    told = lines(stay(100, "person", "person", "dog"), capfd)
    assert [line.split("  ", 2)[2] for line in told[1:]] == [
        "still dog, 2 person (100 frames, 10.0 fps)",
        "still dog, 2 person (200 frames, 10.0 fps)",
        "still dog, 2 person (400 frames, 10.0 fps)",
    ]


def test_what_flickers_is_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    blinking = [detections(*(["person"] * (index % 3)), at_s=index / FPS) for index in range(5 * FPS)]
    told = lines(blinking, capfd)
    assert len(told) == 2
    assert told[0].endswith("person 0.50 centre")
    assert told[1].count("person") == 2


def test_a_label_that_changes_with_every_frame_does_not_fill_the_screen(capfd: pytest.CaptureFixture[str]) -> None:
    torn = [detections("cat" if index % 2 else "dog", at_s=index / FPS) for index in range(10 * FPS)]
    assert 2 <= len(lines(torn, capfd)) <= 2 * 10 / 2


def test_what_went_is_told_when_it_has_been_gone_for_a_second(capfd: pytest.CaptureFixture[str]) -> None:
    told = lines([*stay(2, "person"), *stay(3, since_s=2)], capfd)
    assert told[1:] == ["02:00:03.000  door  nothing"]


def test_an_empty_picture_from_the_start_is_told_too(capfd: pytest.CaptureFixture[str]) -> None:
    told = lines(stay(12), capfd)
    assert told[0].endswith("door  nothing")
    assert told[1].endswith("still nothing (100 frames, 10.0 fps)")


def test_what_moves_is_told_every_few_seconds(capfd: pytest.CaptureFixture[str]) -> None:
    there_and_back = [
        detections(("person", LEFT if index % 2 else RIGHT), at_s=index / FPS) for index in range(7 * FPS)
    ]
    assert len(lines(there_and_back, capfd)) == 3


def test_many_detections_make_one_readable_line(capfd: pytest.CaptureFixture[str]) -> None:
    [line] = lines([detections(*["person"] * 30)], capfd)
    assert line.endswith("and 22 more")


def test_every_picture_of_a_folder_gets_its_line(capfd: pytest.CaptureFixture[str]) -> None:
    told = lines([detections(label, at_s=index) for index, label in enumerate(["cat", "dog", "horse"])], capfd)
    assert [re.split(" +", line)[2] for line in told] == ["cat", "dog", "horse"]


def test_classes_are_told_best_first(capfd: pytest.CaptureFixture[str]) -> None:
    told = lines([classification("tabby", "tiger", "lynx", "fox"), classification("tabby", "fox", at_s=1)], capfd)
    assert told == ["02:00:00.000  door  tabby 0.80, tiger 0.40, lynx 0.27"]


def test_states_of_cameras_are_told_with_their_reason(capfd: pytest.CaptureFixture[str]) -> None:
    sink = sinks.open("console:", context())
    sink.camera_state("yard", OFFLINE)
    sink.camera_state("yard", ONLINE)
    assert capfd.readouterr().out.splitlines() == [
        "02:00:00.000  yard  offline: no frame for 10 s",
        "02:00:00.000  yard  online",
    ]


def test_takes_nothing_behind_the_colon() -> None:
    with pytest.raises(UsageError, match="takes nothing"):
        sinks.open("console:stdout", context())


def test_a_camera_that_tells_counts_alone_ends_with_its_lines_and_claims_no_frames(
    capfd: pytest.CaptureFixture[str],
) -> None:
    sink = sinks.open("console:", context())
    crossed = {"gate": InOut({"person": 2}, {})}
    for camera, lines in (("door", crossed), ("yard", {})):
        sink.counts(
            CountsMessage(
                device="pi",
                camera=camera,
                mono_ns=0,
                time=ONLINE.since,
                clock_synced=True,
                available=True,
                labels={"person": 1},
                zones={},
                lines=lines,
            )
        )
    sink.close(0)
    said = [line.split("  ", 1)[1] for line in capfd.readouterr().out.splitlines()]
    assert said[2:] == ["door  in all; gate: 2 person in"]
