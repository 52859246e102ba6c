from __future__ import annotations

import resource
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from edgemass.errors import UsageError
from edgemass.frame import Image
from edgemass.pipeline.film import Film, available_encoder, fitted

NS = 1_000_000_000
STEPS_MS = [0, 40, 80, 1280, 1281, 1300, 5000]


def grey(width: int, height: int, value: int) -> Image:
    return np.full((height, width, 3), value, np.uint8)


def add_all(film: Film, pictures: Sequence[Image]) -> None:
    for number, picture in enumerate(pictures):
        film.add(picture, number * NS)


def decoded(path: Path) -> list[tuple[float, Image]]:
    with av.open(str(path)) as container:
        return [
            (picture.time or 0.0, np.asarray(picture.to_ndarray(format="bgr24"), np.uint8))
            for picture in container.decode(video=0)
        ]


@pytest.mark.parametrize("encoder", [available_encoder(), "mpeg4"])
@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv", "OUT.MP4"])
def test_every_frame_keeps_its_own_time(tmp_path: Path, encoder: str, name: str) -> None:
    film = Film(tmp_path / name, width=64, height=48, encoder=encoder)
    for number, at_ms in enumerate(STEPS_MS):
        film.add(grey(64, 48, 30 * number), 77 * NS + at_ms * 1_000_000)
    assert film.close() == (tmp_path / name).stat().st_size
    found = decoded(tmp_path / name)
    assert [at_s for at_s, _ in found] == pytest.approx([at_ms / 1000 for at_ms in STEPS_MS], abs=0.0011)
    for number, (_, picture) in enumerate(found):
        assert abs(float(picture.mean()) - 30 * number) < 12
    assert film.duration_s == pytest.approx(5.0)


def test_odd_sizes_are_rounded_up_and_other_sizes_fit_into_the_first(tmp_path: Path) -> None:
    film = Film(tmp_path / "out.mp4", width=63, height=47)
    for number, (width, height) in enumerate([(63, 47), (64, 48), (200, 20), (5, 90)]):
        film.add(grey(width, height, 200), number * NS)
    film.close()
    pictures = [picture for _, picture in decoded(tmp_path / "out.mp4")]
    assert {picture.shape for picture in pictures} == {(48, 64, 3)}
    assert pictures[0][47, 63].mean() > 180
    assert pictures[2][24, 32].mean() > 180
    assert pictures[2][5, 32].mean() < 40
    assert pictures[3][24, 5].mean() < 40


def test_a_picture_that_fits_is_not_copied() -> None:
    image = grey(64, 48, 9)
    assert fitted(image, 64, 48) is image


def test_times_that_stand_still_or_go_back_still_make_a_video(tmp_path: Path) -> None:
    film = Film(tmp_path / "out.mp4", width=64, height=48)
    for at_ns in (NS, NS, NS, 0, 3 * NS):
        film.add(grey(64, 48, 100), at_ns)
    film.close()
    times = [at_s for at_s, _ in decoded(tmp_path / "out.mp4")]
    assert times == sorted(set(times))
    assert len(times) == 5


def test_nothing_is_there_under_its_name_before_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    film = Film(target, width=64, height=48)
    film.add(grey(64, 48, 1), 0)
    assert not target.exists()
    film.close()
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    film = Film(target, width=64, height=48)
    film.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    film = Film(tmp_path / "out.mp4", width=640, height=480)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    random = np.random.default_rng(0)
    try:
        pictures = [np.asarray(random.integers(0, 256, (480, 640, 3)), np.uint8) for _ in range(60)]
        with pytest.raises(OSError, match="too large"):
            add_all(film, pictures)
        film.discard()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_tells_no_format_says_which_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.mp4, \.mov, \.mkv"):
        Film(tmp_path / "out.gif", width=64, height=48)


def test_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Film(tmp_path / "nowhere" / "out.mp4", width=64, height=48)
