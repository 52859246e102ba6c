from __future__ import annotations

import cv2
import numpy as np

from edgemass.config import camera_config
from edgemass.frame import Frame, Image
from edgemass.messages import CameraState, CountsMessage, FrameMessage, InOut
from edgemass.web.artist import Artist
from tests.documents import classification, detections

ZONED = {
    "source": "0",
    "zones": {"path": {"points": [[0, 0], [0.2, 0], [0.2, 0.2], [0, 0.2]]}},
    "lines": {"gate": {"points": [[0.1, 0.9], [0.9, 0.9]]}},
}


def frame(width: int, height: int) -> Frame:
    return Frame(
        lambda: np.full((height, width, 3), 128, np.uint8),
        width=width,
        height=height,
        mono_ns=0,
        time_ns=0,
        arrived_ns=0,
    )


def drawn(message: FrameMessage, *, width: int = 640, state: str = "online", at_most: int = 960) -> Image:
    counts = CountsMessage(
        device="pi",
        camera="door",
        mono_ns=0,
        time="2026-11-22T10:15:02.118Z",
        clock_synced=True,
        available=True,
        labels={"person": 1},
        zones={"path": {"person": 1}},
        lines={"gate": InOut({"person": 2}, {})},
    )
    artist = Artist(
        camera_config(ZONED, "camera door"),
        counts=lambda: counts,
        state=lambda: CameraState(state, "covered: light 0", ""),
        width=at_most,
        quality=90,
    )
    jpeg = artist.draw(message, frame(width, width * 9 // 16))
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def test_a_wide_frame_is_scaled_down_and_a_small_one_stays() -> None:
    assert drawn(detections("person"), width=1920).shape == (540, 960, 3)
    assert drawn(detections("person"), width=320).shape == (180, 320, 3)


def test_boxes_zones_lines_and_counts_are_drawn() -> None:
    picture = drawn(detections("person"))
    height, width = picture.shape[:2]
    grey = np.abs(picture.astype(int) - 128).max(axis=2) < 12
    assert not grey[round(0.4 * (height - 1)), round(0.5 * width)], "the box's upper edge"
    assert not grey[round(0.9 * (height - 1)), round(0.5 * width)], "the line"
    assert not grey[round(0.2 * (height - 1)), round(0.1 * width)], "the zone's rim"
    assert grey[round(0.7 * height), round(0.9 * width)], "nothing else"


def test_a_blind_camera_says_so_in_the_picture() -> None:
    assert not np.array_equal(drawn(detections()), drawn(detections(), state="blind"))


def test_classes_are_a_caption() -> None:
    picture = drawn(classification("cat", "dog"))
    assert np.abs(picture[:40, :80].astype(int) - 128).max() > 50


def test_the_frame_itself_stays_as_it_is() -> None:
    shared = frame(320, 180)
    before = shared.image.copy()
    artist = Artist(camera_config(ZONED, ""), counts=lambda: None, state=lambda: None, width=960, quality=75)
    artist.draw(detections("person"), shared)
    assert np.array_equal(shared.image, before)
