from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgemass.frame import Image
from edgemass.imaging.draw import draw_detections
from edgemass.imaging.layout import Layout, beside
from edgemass.imaging.lettering import lettering, printable, tag
from edgemass.imaging.overlay import Area, Crossing, Overlay, Point, _counted, draw_scene
from edgemass.messages import Detection

SIZES = [(16, 8), (160, 120), (640, 480), (480, 640), (1920, 1080)]
LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
UPRIGHT = ((0.5, 0.0), (0.5, 1.0))


def plain(width: int, height: int, grey: int = 128) -> Image:
    return np.full((height, width, 3), grey, np.uint8)


def people(*boxes: tuple[float, float, float, float]) -> list[Detection]:
    return [Detection("person", 0, 0.9 - index / 100, box, index + 1) for index, box in enumerate(boxes)]


def difference(before: Image, after: Image) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return np.asarray(np.abs(after.astype(np.int64) - before).max(axis=2))


def everything() -> tuple[list[Detection], Overlay]:
    seen = people((0.1, 0.1, 0.3, 0.6), (0.98, 0.98, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0))
    tails: dict[int, tuple[Point, ...]] = {
        1: ((0.0, 0.0), (0.1, 0.2), (1.0, 1.0)),
        2: ((0.5, 0.5),),
        3: (),
        9: ((0, 0), (1, 1)),
    }
    return seen, Overlay(
        zones=(
            Area(name="Tür", points=LEFT_HALF, count=2, active=True),
            Area(name="yard", points=((0, 0), (1, 0), (1, 1))),
        ),
        lines=(Crossing(name="gate", points=((0.0, 0.5), (0.5, 0.4), (1.0, 0.5)), in_=3, out=12, flip=True),),
        tails=tails,
        banner="blind: covered",
        counts={"person": 3, "car": None},
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_whole_scene_can_be_drawn_on_any_picture_and_leaves_it_as_it_was(size: tuple[int, int], grey: int) -> None:
    image = plain(*size, grey)
    drawn = draw_scene(image, *everything())
    assert drawn.shape == image.shape
    assert (image == grey).all()
    assert difference(image, drawn).max() > 60


def test_without_an_overlay_a_scene_is_its_boxes() -> None:
    image, seen = plain(640, 480), people((0.2, 0.2, 0.4, 0.8))
    assert np.array_equal(draw_scene(image, seen, Overlay()), draw_detections(image, seen))


def test_a_zone_is_translucent_and_stronger_while_somebody_is_in_it() -> None:
    image = plain(640, 480)
    image[::2] = 60  # what is seen through it
    inside = (slice(200, 300), slice(50, 250))
    changes = []
    for active in (False, True):
        zone = Area(name="door", points=LEFT_HALF, active=active)
        drawn = draw_scene(image, people(), Overlay(zones=(zone,)))
        changes.append(difference(image, drawn)[inside].mean())
        rows = drawn[inside].mean(axis=(1, 2))
        assert abs(rows[0] - rows[1]) > 40  # the picture below is still there
    assert 0 < changes[0] < changes[1]
    assert not difference(image, drawn)[:, 340:].any()


def test_the_arrow_of_a_line_points_where_in_is() -> None:
    """Who walks down the picture has its left-hand side, seen from above, to the right."""
    image = plain(640, 480)
    for flip, side in ((False, slice(285, 312)), (True, slice(328, 355))):
        drawn = draw_scene(image, people(), Overlay(lines=(Crossing(name="gate", points=UPRIGHT, flip=flip),)))
        around = difference(image, drawn)[215:265]
        assert around[:, side].any()
        other = slice(328, 355) if not flip else slice(285, 312)
        assert not around[:, other].any()


def test_tails_fade_and_thin_out_towards_their_beginning() -> None:
    image = plain(640, 480, 0)
    tail = tuple((0.1 + 0.03 * step, 0.5) for step in range(25))
    seen = people((0.8, 0.3, 0.9, 0.5))
    drawn = draw_scene(image, seen, Overlay(tails={1: tail}))
    strengths = [int(difference(image, drawn)[:, round(639 * (0.13 + 0.03 * step))].sum()) for step in (0, 8, 16, 20)]
    assert strengths[0] > 0
    assert all(later > earlier for earlier, later in itertools.pairwise(strengths))


def test_what_is_not_seen_any_more_has_no_tail() -> None:
    image = plain(640, 480)
    drawn = draw_scene(image, people(), Overlay(tails={7: ((0.1, 0.1), (0.9, 0.9))}))
    assert np.array_equal(drawn, image)


def test_counts_and_banner_are_drawn_where_they_belong() -> None:
    image = plain(640, 480)
    counted = difference(image, draw_scene(image, people(), Overlay(counts={"person": 3})))
    assert counted[:60, :200].any()
    assert not counted[100:].any()
    warned = difference(image, draw_scene(image, people(), Overlay(banner="blind: covered")))
    assert warned[400:].any()
    assert not warned[:380].any()


def test_who_is_counted_without_a_box_is_told_as_out_of_sight() -> None:
    seen = Overlay(counts={"person": 3, "dog": None}, unseen={"person": 0, "dog": 0})
    assert _counted(seen) == {"person": "3 person", "dog": "? dog"}
    assert _counted(Overlay(counts={"person": 3}, unseen={"person": 1})) == {"person": "3 person, 1 out of sight"}


def test_more_labels_than_there_is_room_for_do_not_cover_the_picture() -> None:
    image = plain(640, 480)
    drawn = draw_scene(image, people(), Overlay(counts={f"label {number}": number for number in range(80)}))
    assert not difference(image, drawn)[330:].any()


def test_tags_avoid_each_other_while_there_is_room() -> None:
    layout = Layout(640, 480)
    placed = []
    for _ in range(4):  # four boxes in one place
        left, top = layout.place(80, 16, beside((200, 200, 300, 300), 80, 16))
        placed.append((left, top, left + 80, top + 16))
    for one, other in itertools.combinations(placed, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


@pytest.mark.parametrize("box", [(0, 0, 3, 3), (630, 470, 639, 479), (-50, -50, 700, 600)])
def test_tags_stay_in_the_picture(box: tuple[int, int, int, int]) -> None:
    layout = Layout(640, 480)
    for _ in range(40):
        left, top = layout.place(80, 16, beside(box, 80, 16))
        assert 0 <= left <= 640 - 80
        assert 0 <= top <= 480 - 16


def test_letters_without_their_accents_are_still_letters() -> None:
    assert printable("Tür café 门") == "Tur cafe ?"
    assert len(printable("x" * 500)) <= 60
    assert lettering("", 12).shape == (12, 1)
    assert tag("person", 12, (255, 0, 0)).width > tag("cat", 12, (255, 0, 0)).width
