from __future__ import annotations

from edgemass.agent.recent import MAX_EVENTS, MAX_PICTURE_BYTES, RecentSink
from edgemass.messages import EventMessage
from tests import documents
from tests.simulators.device_page import RUN
from tests.simulators.events import event

LARGE = b"x" * (MAX_PICTURE_BYTES // 8)


def told(sink: RecentSink, since: int = 0) -> list[EventMessage]:
    return [row.event for row in sink.events_since(since).events]


def test_an_event_is_one_row_as_it_stands_now() -> None:
    sink = RecentSink(RUN)
    sink.event(event(1, type="new"), b"first")
    sink.event(event(2, type="new"), None)
    sink.event(event(1, type="end"), None)
    assert [(each.id, each.type) for each in told(sink)] == [("door-1", "end"), ("door-2", "new")]
    assert sink.picture_of("door-1") == b"first", "the picture that was sent before stays"
    assert sink.picture_of("door-2") is None


def test_only_what_has_changed_is_told_again() -> None:
    sink = RecentSink(RUN)
    for number in range(3):
        sink.event(event(number), None)
    revision = sink.events_since(0).revision
    assert told(sink, revision) == []
    sink.event(event(1, type="end"), b"better")
    assert [each.id for each in told(sink, revision)] == ["door-1"]


def test_the_oldest_go_first_and_memory_is_bounded() -> None:
    sink = RecentSink(RUN)
    for number in range(3 * MAX_EVENTS):
        sink.event(event(number), LARGE)
    kept = told(sink)
    assert [each.id for each in kept] == [f"door-{n}" for n in range(3 * MAX_EVENTS - 1, 2 * MAX_EVENTS - 1, -1)]
    pictures = [sink.picture_of(each.id) for each in kept]
    assert [picture is not None for picture in pictures] == [True] * 8 + [False] * (MAX_EVENTS - 8)
    assert sink._picture_bytes == sum(len(picture or b"") for picture in pictures)


def test_what_a_camera_showed_is_forgotten_when_it_may_not_be_shown_any_more() -> None:
    sink = RecentSink(RUN)
    sink.event(event(1, camera="door"), b"door")
    sink.event(event(2, camera="hall"), b"hall")
    sink.publish(documents.detections("person", camera="door"), documents.frame())
    sink.forget("door")
    assert [each.camera for each in told(sink)] == ["hall"]
    assert sink.picture_of("door-1") is None
    assert sink.latest_of("door") is None
    assert sink._picture_bytes == 4


def test_the_newest_document_is_told_in_short() -> None:
    sink = RecentSink(RUN)
    sink.publish(documents.detections("person", "dog", seq=9), documents.frame())
    latest = sink.latest_of("door")
    assert latest is not None
    assert (latest.seq, latest.found, latest.labels) == (9, 2, {"person": 1, "dog": 1})
    sink.publish(documents.classification("cat", seq=10), documents.frame())
    latest = sink.latest_of("door")
    assert latest is not None
    assert (latest.seq, latest.found, latest.labels) == (10, 1, None)
