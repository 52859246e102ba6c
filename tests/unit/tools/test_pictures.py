from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from edgemass.errors import UsageError
from edgemass.sources import images
from edgemass_tools import pictures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures, and three files that only look like some."""
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((4, 4, 3), number * 40, np.uint8))
    for number in range(3):
        (tmp_path / f"broken{number}.jpg").write_bytes(b"\xff\xd8\xff no picture")
    return tmp_path


def clip(path: Path, frames: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 10, np.uint8), "bgr24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def test_unreadable_pictures_are_counted_and_replaced_by_others(folder: Path) -> None:
    chosen = pictures.from_folder(folder, 9, seed=0)
    assert len(chosen.paths) == 6
    assert chosen.unreadable == 3


def test_the_same_seed_draws_the_same_pictures_and_another_one_does_not(folder: Path) -> None:
    assert pictures.from_folder(folder, 3, seed=1) == pictures.from_folder(folder, 3, seed=1)
    assert len({pictures.from_folder(folder, 3, seed=seed).paths for seed in range(5)}) > 1


def test_a_folder_in_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff no picture")
    with pytest.raises(UsageError, match="none of its 1 pictures can be read"):
        pictures.from_folder(tmp_path, 4, seed=0)


@pytest.mark.parametrize("name", ["there", "nowhere"])
def test_a_folder_without_pictures_or_none_at_all_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="--images"):
        pictures.from_folder(tmp_path / name, 4, seed=0)


def test_frames_of_a_clip_are_drawn_the_same_way_each_time(tmp_path: Path) -> None:
    video = clip(tmp_path / "clip.mp4", 20)
    drawn = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        chosen = pictures.from_clip(video, 5, 3, tmp_path / name)
        drawn.append([images.read(path).mean() for path in chosen.paths])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 5


def test_an_empty_clip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(UsageError, match=r"--clip: .* is empty"):
        pictures.from_clip(tmp_path / "clip.mp4", 5, 0, tmp_path)
