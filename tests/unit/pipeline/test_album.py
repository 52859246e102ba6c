from __future__ import annotations

from collections import deque

import cv2
import numpy as np
import pytest

from edgemass.config.scene import EventsConfig
from edgemass.frame import Frame, Image
from edgemass.messages import Detection
from edgemass.pipeline import album
from edgemass.pipeline.album import Album, Picture, Shown, encode
from edgemass.scene.happening import Box, Happening, Type
from edgemass.scene.objects import SceneObject
from tests.simulators.manual_clock import START_MONO_NS, START_UNIX_NS

WIDTH, HEIGHT = 320, 240
CENTRE: Box = (0.4, 0.4, 0.6, 0.8)


def noise(width: int, height: int, seed: int = 0) -> Image:
    return np.asarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3)), np.uint8)


class Camera:
    """Frames with things in them, each frame of one shade of grey, and an album of them."""

    def __init__(self, form: str = "frame", *, size: tuple[int, int] = (WIDTH, HEIGHT), kb: int = 64) -> None:
        self.album = Album(EventsConfig(snapshots=form, snapshot_kb=kb))  # type: ignore[arg-type]
        self.size = size
        self.converted = 0

    def show(self, grey: int, things: dict[int, tuple[float, Box]], *, number: int | None = None) -> None:
        """things: by track, score and box."""
        objects = [self._object(track, *thing, number) for track, thing in things.items()]
        found = [Detection("person", 0, score, box, track) for track, (score, box) in things.items()]
        width, height = self.size

        def load() -> Image:
            self.converted += 1
            return np.full((height, width, 3), grey, np.uint8)

        frame = Frame(
            load,
            width=width,
            height=height,
            mono_ns=START_MONO_NS,
            time_ns=START_UNIX_NS,
            arrived_ns=START_MONO_NS,
        )
        self.album.look(objects, Shown(frame, found))

    def _object(self, track: int, score: float, box: Box, number: int | None) -> SceneObject:
        thing = SceneObject(track, 0, "person", 0, box, deque(maxlen=1), row=0, score=score, top_score=score)
        thing.number = track if number is None else number
        return thing

    def told(self, type_: Type, track: int = 1) -> Picture | None:
        said = Happening(
            type=type_,
            kind="object",
            number=track,
            mono_ns=0,
            started_ns=0,
            until_ns=0,
            track_id=track,
            label="person",
            class_id=0,
            score=None,
            top_score=0.9,
            box=CENTRE,
        )
        return self.album.picture(said)


def decoded(picture: Picture | None) -> Image:
    assert picture is not None
    image = np.asarray(cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)
    assert image.shape == (picture.ref.height, picture.ref.width, 3)
    assert picture.ref.size_bytes == len(picture.jpeg)
    return image


def test_the_picture_of_an_object_is_the_best_so_far_with_its_box_drawn() -> None:
    camera = Camera()
    camera.show(40, {1: (0.5, CENTRE)})
    camera.show(120, {1: (0.9, CENTRE)})
    camera.show(200, {1: (0.6, CENTRE)})
    image = decoded(camera.told("new"))
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert abs(int(image[5, 300].mean()) - 120) < 4
    assert np.ptp(image[90:200, 120:200].astype(int), axis=2).max() > 60  # its box is in colour


def test_a_crop_holds_the_box_with_a_margin_and_nothing_is_drawn_on_it() -> None:
    camera = Camera("crop")
    camera.show(77, {1: (0.9, CENTRE)})
    image = decoded(camera.told("new"))
    assert image.shape[1] == pytest.approx(0.2 * WIDTH * 1.3, abs=2)
    assert image.shape[0] == pytest.approx(0.4 * HEIGHT * 1.3, abs=2)
    assert (np.abs(image.astype(int) - 77) < 4).all()


def test_a_little_better_is_not_worth_a_copy() -> None:
    camera = Camera()
    camera.show(40, {1: (0.80, CENTRE)})
    for _ in range(20):
        camera.show(200, {1: (0.88, CENTRE)})
    assert camera.converted == 1


def test_a_picture_is_sent_once_and_anew_only_when_it_is_much_better_or_the_last() -> None:
    camera = Camera()
    camera.show(40, {1: (0.5, CENTRE)})
    assert camera.told("new") is not None
    assert camera.told("update") is None
    camera.show(80, {1: (0.6, CENTRE)})
    assert camera.told("update") is None
    camera.show(120, {1: (0.9, CENTRE)})
    assert abs(int(decoded(camera.told("update"))[5, 300].mean()) - 120) < 4
    camera.show(160, {1: (0.9, (0.38, 0.3, 0.62, 0.85))})
    camera.show(0, {})
    assert abs(int(decoded(camera.told("end"))[5, 300].mean()) - 160) < 4
    assert camera.told("end") is None
    assert camera.album.size_bytes == 0


def test_objects_without_an_event_cost_nothing() -> None:
    camera = Camera()
    camera.show(40, {1: (0.9, CENTRE)}, number=0)
    assert camera.converted == 0
    assert camera.told("new") is None


def test_what_ended_without_a_word_is_forgotten() -> None:
    camera = Camera()
    camera.show(40, dict.fromkeys(range(1, 6), (0.9, CENTRE)))
    assert camera.album.size_bytes > 0
    for _ in range(2):
        camera.show(40, {})
    assert camera.album.size_bytes == 0


def test_objects_that_look_best_in_one_frame_share_its_picture() -> None:
    camera = Camera()
    camera.show(40, dict.fromkeys(range(1, 200), (0.9, CENTRE)))
    assert camera.converted == 1
    assert camera.album.size_bytes == WIDTH * HEIGHT * 3
    assert camera.told("new", 199) is not None


def test_memory_is_bounded_whatever_comes_and_there_is_room_again_when_pictures_are_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(album, "MAX_BYTES", 3_000_000)
    camera = Camera()
    for track in range(1, 300):
        camera.show(track % 256, dict.fromkeys(range(1, track + 1), (0.9, CENTRE)))
        assert camera.album.size_bytes <= 3_000_000 + WIDTH * HEIGHT * 3
    assert camera.album.left_out > 0
    for track in range(1, 300):
        camera.told("new", track)
    assert camera.album.size_bytes == 0
    camera.show(9, dict.fromkeys(range(1, 300), (0.9, CENTRE)))
    assert camera.told("new", 299) is not None


@pytest.mark.parametrize("size", [(1920, 1080), (640, 480), (33, 700), (5, 5)])
@pytest.mark.parametrize("limit", [4096, 65_536])
def test_a_jpeg_is_never_larger_than_brokers_take(size: tuple[int, int], limit: int) -> None:
    picture = encode(noise(*size), START_UNIX_NS, limit)
    assert picture is not None
    assert len(picture.jpeg) <= limit
    assert decoded(picture).size > 0


def test_as_much_of_the_size_is_used_as_can_be() -> None:
    picture = encode(noise(1280, 720), START_UNIX_NS, 65_536)
    assert picture is not None
    assert len(picture.jpeg) > 65_536 // 2


def test_what_cannot_be_small_enough_is_no_picture() -> None:
    assert encode(noise(640, 480), START_UNIX_NS, 200) is None


def test_large_frames_are_kept_small() -> None:
    camera = Camera(size=(3840, 2160), kb=1000)
    camera.show(100, {1: (0.9, CENTRE)})
    assert camera.album.size_bytes == 1280 * 720 * 3
    assert decoded(camera.told("new")).shape == (720, 1280, 3)


def test_snapshots_that_nobody_wants_cost_nothing() -> None:
    camera = Camera("none")
    camera.show(40, {1: (0.9, CENTRE)})
    assert camera.converted == 0
    assert camera.told("new") is None
