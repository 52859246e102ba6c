from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from edgemass.config.tracking import TrackConfig
from edgemass.detections import Detections
from edgemass.scene.tracker import MAX_TRACKS, Tracker, Tracks
from edgemass.tensors import IntArray

NS = 1_000_000_000
Box = tuple[float, float, float, float]
Path = Callable[[float], Box | None]  # where something is at a time in seconds; None = nowhere


def detections(
    boxes: Sequence[Box], score: float | Sequence[float] = 0.8, class_id: int | Sequence[int] = 0
) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(count, 4),
        np.broadcast_to(np.asarray(score, np.float32), (count,)).copy(),
        np.broadcast_to(np.asarray(class_id, np.int64), (count,)).copy(),
    )


def walker(x: float, speed: float, y: float = 0.4, *, height: float = 0.3) -> Path:
    """Someone who walks: a third as wide as tall."""

    def at(time_s: float) -> Box:
        left = x + speed * time_s
        return (left, y, left + height / 3, y + height)

    return at


def stander(x: float, y: float = 0.4, *, size: float = 0.15) -> Path:
    return lambda _: (x, y, x + size, y + size)


class Watched:
    """A tracker before a scene of known things, with a detector that trembles and misses."""

    def __init__(self, options: TrackConfig | None = None, *, seed: int = 0, tremble: float = 0.03) -> None:
        self.tracker = Tracker(options or TrackConfig())
        self.random = np.random.default_rng(seed)
        self.tremble = tremble
        self.ids: dict[int, list[int]] = {}  # of each thing, one for each frame in which it was found and believed
        self.told = self.tracker.update(Detections.empty(), 0)

    def watch(self, things: Iterable[Path], times_s: Iterable[float], *, misses: float = 0.0) -> Tracks:
        things = list(things)
        for time_s in times_s:
            there = [n for n, thing in enumerate(things) if thing(time_s) is not None]
            there = [n for n in self.random.permutation(there).tolist() if self.random.random() >= misses]
            boxes = [self._found(things[n](time_s)) for n in there]
            self.told = self.tracker.update(detections(boxes), round(time_s * NS))
            for row, track_id, confirmed in zip(self.told.row, self.told.track_id, self.told.confirmed, strict=True):
                if row >= 0 and confirmed:
                    self.ids.setdefault(there[row], []).append(int(track_id))
        return self.told

    def _found(self, box: Box | None) -> Box:
        assert box is not None
        width, height = box[2] - box[0], box[3] - box[1]
        x1, y1, x2, y2 = np.array(box) + self.random.normal(0, self.tremble, 4) * (width, height, width, height)
        return (float(x1), float(y1), float(x2), float(y2))

    def numbers(self) -> list[list[int]]:
        """The different numbers of each thing."""
        return [sorted(set(self.ids[thing])) for thing in sorted(self.ids)]


def seconds(start: float, end: float, fps: float = 25.0) -> NDArray[np.float64]:
    return np.arange(start, end, 1 / fps)


def each_has_one_number_of_its_own(watched: Watched, things: int) -> bool:
    numbers = watched.numbers()
    return len(numbers) == things and all(len(of) == 1 for of in numbers) and len({of[0] for of in numbers}) == things


@pytest.mark.parametrize("fps", [2, 5, 10, 30])
def test_who_walks_keeps_the_number_at_any_rate(fps: float) -> None:
    watched = Watched()
    watched.watch([walker(0.05, 0.08), walker(0.9, -0.08, 0.1), stander(0.5, 0.75)], seconds(0, 9, fps))
    assert each_has_one_number_of_its_own(watched, 3)


@pytest.mark.parametrize("seed", range(10))
def test_a_detector_that_misses_three_in_ten_doubles_nobody(seed: int) -> None:
    watched = Watched(seed=seed)
    things = [walker(0.05, 0.08), walker(0.9, -0.08, 0.1), stander(0.5, 0.75), stander(0.1, 0.75)]
    watched.watch(things, seconds(0, 9, 10), misses=0.3)
    assert each_has_one_number_of_its_own(watched, 4)


@pytest.mark.parametrize("seed", range(10))
def test_two_who_cross_keep_their_numbers(seed: int) -> None:
    """Side by side they cover each other; here one is somewhat nearer, and both are found all the time."""
    watched = Watched(seed=seed)
    watched.watch([walker(0.1, 0.1), walker(0.8, -0.1, 0.36, height=0.36)], seconds(0, 7))
    assert each_has_one_number_of_its_own(watched, 2)


@pytest.mark.parametrize("seed", range(10))
def test_one_who_is_hidden_while_crossing_keeps_the_number(seed: int) -> None:
    watched = Watched(seed=seed)
    hidden = walker(0.1, 0.1)
    watched.watch([lambda t: None if 3.2 < t < 3.9 else hidden(t), walker(0.8, -0.1, 0.36, height=0.36)], seconds(0, 7))
    assert each_has_one_number_of_its_own(watched, 2)


@pytest.mark.parametrize("seed", range(10))
def test_dropped_frames_and_a_rate_that_changes_lose_nobody(seed: int) -> None:
    random = np.random.default_rng(seed)
    times = seconds(0, 9, 30)
    kept = np.where((times > 3) & (times < 6), random.random(len(times)) < 0.2, random.random(len(times)) < 0.8)
    watched = Watched(seed=seed)
    watched.watch([walker(0.05, 0.08), walker(0.9, -0.08, 0.1), stander(0.5, 0.75)], times[kept])
    assert each_has_one_number_of_its_own(watched, 3)


@pytest.mark.parametrize("away_s", [60, 600])
def test_what_stayed_while_the_camera_was_away_keeps_its_number_and_what_left_ends(away_s: float) -> None:
    watched = Watched()
    stays, leaves = stander(0.5, 0.7), stander(0.1, 0.1)
    told = watched.watch([stays, leaves], seconds(0, 5, 10))
    stayed, left = (int(told.track_id[told.row >= 0][n]) for n in np.argsort(-told.xyxy[:, 0]))
    watched.tracker.suspend()
    watched.tracker.suspend()
    back = 5 + away_s
    told = watched.watch([stays], [back])
    assert told.track_id[told.row >= 0].tolist() == [stayed]
    assert left in told.track_id.tolist()
    told = watched.watch([stays], seconds(back, back + TrackConfig().return_s + 1, 10))
    assert told.track_id.tolist() == [stayed]


def test_who_walked_when_the_camera_went_is_looked_for_where_he_was() -> None:
    watched = Watched()
    watched.watch([walker(0.1, 0.1)], seconds(0, 2))
    before = watched.told.xyxy
    watched.tracker.suspend()
    told = watched.watch([], [62.0])
    assert told.xyxy == pytest.approx(before, abs=1e-9)


def test_a_number_is_never_used_twice() -> None:
    watched = Watched(TrackConfig(doubt_s=0.1, lost_s=0.2))
    given = []
    for turn in range(20):
        told = watched.watch([stander(0.1), stander(0.5)], seconds(10 * turn, 10 * turn + 1))
        given += told.track_id.tolist()
        watched.watch([], seconds(10 * turn + 1, 10 * turn + 2))
        watched.tracker.forget()
        assert len(watched.watch([], [10 * turn + 3])) == 0
    assert len(given) == len(set(given)) == 40


def test_the_same_frames_give_the_same_tracks_bit_for_bit() -> None:
    def run() -> list[bytes]:
        watched = Watched(seed=3, tremble=0.1)
        things = [walker(0.02 * n, 0.05, 0.03 * (n % 9)) for n in range(40)]
        told = []
        for time_s in seconds(0, 4, 10):
            tracks = watched.watch(things, [time_s], misses=0.2)
            told.append(b"".join(getattr(tracks, field).tobytes() for field in Tracks.__slots__))
        return told

    assert run() == run()


def test_time_that_stands_still_or_goes_back_changes_nothing_but_the_boxes() -> None:
    tracker = Tracker(TrackConfig())
    for number, at_ns in enumerate([5 * NS, 5 * NS, 5 * NS, 4 * NS, 0, 5 * NS + 1]):
        told = tracker.update(detections([(0.1, 0.1, 0.3, 0.4)]), at_ns)
        assert told.track_id.tolist() == [1]
        assert told.hits.tolist() == [number + 1]
        assert np.isfinite(told.xyxy).all()


@pytest.mark.parametrize("jump_s", [30.0, 3600.0, 1e8])
def test_time_that_jumps_ahead_takes_nobody_away_who_is_still_there(jump_s: float) -> None:
    watched = Watched()
    watched.watch([stander(0.2), stander(0.6)], [*seconds(0, 3, 10), *seconds(3 + jump_s, 6 + jump_s, 10)])
    assert each_has_one_number_of_its_own(watched, 2)
    assert np.isfinite(watched.told.xyxy).all()


def test_boxes_that_are_none_are_passed_over() -> None:
    nan, inf = float("nan"), float("inf")
    bad: list[Box] = [
        (nan, 0.1, 0.2, 0.2),
        (0.1, 0.1, inf, 0.2),
        (0.5, 0.5, 0.5, 0.5),
        (0.6, 0.6, 0.5, 0.7),
        (0.1, 0.4, 0.2, 0.3),
    ]
    tracker = Tracker(TrackConfig())
    for number in range(3):
        told = tracker.update(detections([*bad, (0.7, 0.1, 0.9, 0.4)]), number * NS // 10)
        assert told.row.tolist() == [5]
    assert tracker.update(detections([(0.7, 0.1, 0.9, 0.4)], nan), NS).row.tolist() == [-1]


def test_no_detections_and_very_many_are_both_survived() -> None:
    random = np.random.default_rng(0)
    tracker = Tracker(TrackConfig())
    assert len(tracker.update(Detections.empty(), 0)) == 0
    corners = random.random((500, 2)) * 0.9
    boxes = [(float(x), float(y), float(x) + 0.05, float(y) + 0.05) for x, y in corners]
    for number in range(1, 4):
        told = tracker.update(detections(boxes), number * NS // 10)
    assert (told.row >= 0).sum() > 300
    heap = detections([(0.1, 0.1, 0.5, 0.5)] * 500)
    told = tracker.update(heap, NS)
    assert len(set(told.track_id.tolist())) == len(told)


def test_memory_is_bounded_however_much_is_found() -> None:
    random = np.random.default_rng(0)
    tracker = Tracker(TrackConfig())
    for _ in range(40):  # time stands still, so that nothing ends
        corners = random.random((300, 2)) * 0.99
        told = tracker.update(
            detections([(float(x), float(y), float(x) + 0.01, float(y) + 0.01) for x, y in corners]), 0
        )
    assert len(told) == MAX_TRACKS


def test_a_low_score_goes_on_with_a_track_and_begins_none() -> None:
    tracker = Tracker(TrackConfig(high_score=0.5, low_score=0.1))
    weak, strong = detections([(0.1, 0.1, 0.3, 0.4)], 0.2), detections([(0.1, 0.1, 0.3, 0.4)], 0.9)
    assert len(tracker.update(weak, 0)) == 0
    for number in range(1, 10):
        tracker.update(strong, number * NS // 10)
    told = tracker.update(weak, NS)
    assert (told.row.tolist(), told.track_id.tolist(), told.confirmed.tolist()) == ([0], [1], [True])
    assert told.score[0] == pytest.approx(0.2)
    assert tracker.update(detections([(0.1, 0.1, 0.3, 0.4)], 0.05), NS + 1).row.tolist() == [-1]


@pytest.mark.parametrize("fps", [2, 10, 30])
@pytest.mark.parametrize(("score", "least", "most"), [(0.95, 0.0, 0.0), (0.6, 0.2, 0.5), (0.45, 0.4, 1.0)])
def test_a_track_is_believed_after_time_and_score_not_after_frames(
    fps: float, score: float, least: float, most: float
) -> None:
    tracker = Tracker(TrackConfig())
    for time_s in seconds(0, 5, fps):
        told = tracker.update(detections([(0.1, 0.1, 0.3, 0.4)], score), round(time_s * NS))
        if told.confirmed[0]:
            break
    assert least <= time_s <= most


def test_a_box_around_two_people_is_not_believed_at_once() -> None:
    tracker = Tracker(TrackConfig())
    people: list[Box] = [(0.1, 0.1, 0.2, 0.4), (0.2, 0.1, 0.3, 0.4)]
    told = tracker.update(detections([*people, (0.1, 0.1, 0.3, 0.4)], [0.99, 0.98, 0.97]), 0)
    assert told.confirmed.tolist() == [True, True, False]


def test_one_flash_of_a_detector_is_never_believed_and_ends_soon() -> None:
    watched = Watched()
    watched.watch([stander(0.5)], [0.1])
    assert len(watched.watch([], seconds(0.2, 1.2, 10))) == 0
    assert watched.ids == {}


def test_labels_are_kept_apart_or_voted_over_as_asked() -> None:
    labels = [2, 2, 7, 2, 7, 2, 2, 7, 2, 2]
    for across, tracks in ((True, 1), (False, 2)):
        tracker = Tracker(TrackConfig(across_classes=across))
        for number, label in enumerate(labels):
            told = tracker.update(detections([(0.1, 0.1, 0.3, 0.4)], 0.9, label), number * NS // 10)
        assert len(told) == tracks
        assert told.class_id[0] == 2


def test_one_thing_under_two_labels_at_once_is_one_track_across_classes() -> None:
    tracker = Tracker(TrackConfig(across_classes=True))
    both = detections([(0.1, 0.1, 0.3, 0.4), (0.105, 0.1, 0.3, 0.41)], [0.9, 0.6], [2, 7])
    for number in range(20):
        told = tracker.update(both, number * NS // 10)
    assert told.track_id.tolist() == [1]
    assert told.class_id.tolist() == [2]


def test_a_parked_car_stands_still_since_it_came_and_moves_when_it_leaves() -> None:
    watched = Watched(tremble=0.04)

    def car(time_s: float) -> Box:
        x = 0.1 + 0.1 * min(time_s, 3) + 0.1 * max(time_s - 63, 0)
        return (x, 0.5, x + 0.2, 0.65)

    assert watched.watch([car], seconds(0, 4, 10)).still_ns.tolist() == [-1]
    for time_s in seconds(8, 63, 10):
        told = watched.watch([car], [time_s])
        assert 2 <= told.still_ns[0] / NS <= 4
    assert watched.watch([car], seconds(63, 67, 10)).still_ns.tolist() == [-1]
    assert each_has_one_number_of_its_own(watched, 1)


def test_what_passes_before_a_parked_car_does_not_make_it_new() -> None:
    watched = Watched()
    car = stander(0.4)
    watched.watch([car], seconds(0, 10, 10))

    def truck(time_s: float) -> Box:
        x = -0.4 + 0.15 * (time_s - 10)
        return (x, 0.2, x + 0.5, 0.7)

    watched.watch([lambda t: None if 12 < t < 17 else car(t), truck], seconds(10, 20, 10))
    assert each_has_one_number_of_its_own(watched, 2)
    assert watched.told.still_ns[0] == 0


def test_a_car_that_is_parked_for_an_hour_is_one_car() -> None:
    watched = Watched(seed=1, tremble=0.04)
    told = watched.watch([stander(0.4)], seconds(0, 3600, 2), misses=0.3)
    assert each_has_one_number_of_its_own(watched, 1)
    assert told.still_ns[0] < 60 * NS


def test_columns_are_those_promised() -> None:
    told = Watched().watch([stander(0.2), walker(0.5, 0.1)], seconds(0, 1, 10))
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        field: (str(getattr(told, field).dtype), getattr(told, field).shape) for field in Tracks.__slots__
    }
    whole: tuple[str, tuple[int, ...]] = ("int64", (2,))
    assert shapes == {
        "track_id": whole, "class_id": whole, "row": whole, "hits": whole,
        "first_ns": whole, "seen_ns": whole, "still_ns": whole,
        "xyxy": ("float64", (2, 4)), "score": ("float64", (2,)), "confirmed": ("bool", (2,)),
    }  # fmt: skip
    oldest: IntArray = told.track_id
    assert oldest.tolist() == sorted(oldest.tolist())
