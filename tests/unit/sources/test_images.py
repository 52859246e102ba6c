from __future__ import annotations

import logging
import struct
import tracemalloc
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgemass.errors import SourceError, SourceNotFoundError
from edgemass.sources import CaptureOptions, images
from edgemass.sources.images import Pictures
from tests.simulators.manual_clock import NS, START_MONO_NS, ManualClock


def opened(address: Path | str, *, fps: float | None = None, realtime: bool = False) -> Pictures:
    return images.open(str(address), CaptureOptions(fps=fps, realtime=realtime), ManualClock(jump=True))


def write(path: Path, value: int = 0, *, width: int = 8, height: int = 6) -> Path:
    assert cv2.imwrite(str(path), np.full((height, width, 3), value, np.uint8))
    return path


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def huge_png(path: Path, width: int, height: int) -> Path:
    """A sound PNG of a few kilobytes that stands for gigabytes of pixels."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    row = b"\0" * (width // 8 + 1)
    compress = zlib.compressobj(9)
    rows = b"".join(compress.compress(row) for _ in range(height)) + compress.flush()
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


def test_a_folder_is_shown_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 9, 1, 100):
        write(tmp_path / f"shot{number}.png", number)
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8")
    (tmp_path / ".hidden.png").write_bytes(b"")
    assert [int(frame.image[0, 0, 0]) for frame in opened(tmp_path).frames()] == [1, 9, 10, 100]


def test_globs_single_files_and_schemes_are_addresses(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    write(tmp_path / "a.jpg")
    write(tmp_path / "deep" / "b.jpg")
    write(tmp_path / "deep" / "er" / "c.PNG")
    counts = {
        f"{tmp_path}/*.jpg": 1,
        f"{tmp_path}/**/*": 3,
        f"{tmp_path}/deep": 1,
        f"images:{tmp_path}/deep/er/c.PNG": 1,
        f"images://{tmp_path}": 1,
    }
    assert {address: len(list(opened(address).frames())) for address in counts} == counts


def test_pictures_come_one_second_apart_unless_a_rate_is_asked_for(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.png")
    assert [frame.mono_ns - START_MONO_NS for frame in opened(tmp_path).frames()] == [0, NS, 2 * NS]
    assert [frame.mono_ns - START_MONO_NS for frame in opened(tmp_path, fps=4).frames()] == [0, NS // 4, NS // 2]
    played = list(opened(tmp_path, fps=4, realtime=True).frames())
    assert [frame.arrived_ns for frame in played] == [frame.mono_ns for frame in played]


def test_gray_alpha_and_deep_pictures_become_bgr(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1gray.png"), np.full((4, 5), 77, np.uint8))
    cv2.imwrite(str(tmp_path / "2alpha.png"), np.full((4, 5, 4), (10, 20, 30, 128), np.uint8))
    cv2.imwrite(str(tmp_path / "3deep.png"), np.full((4, 5), 256 * 99, np.uint16))
    pixels = [frame.image[0, 0].tolist() for frame in opened(tmp_path).frames()]
    assert pixels == [[77, 77, 77], [10, 20, 30], [99, 99, 99]]


def test_exif_orientation_is_respected(tmp_path: Path) -> None:
    image = np.zeros((32, 64, 3), np.uint8)
    image[:, :32] = 255  # the left half is white
    done, data = cv2.imencode(".jpg", image)
    assert done
    turn_clockwise = struct.pack(">HHII", 0x0112, 3, 1, 6 << 16)  # tag Orientation, SHORT, one of them, 6
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + turn_clockwise + bytes(4)
    jpeg = bytes(data)
    (tmp_path / "a.jpg").write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    frame = next(opened(tmp_path / "a.jpg").frames())
    assert (frame.width, frame.height) == (32, 64)
    assert frame.image[:28].mean() > 200
    assert frame.image[36:].mean() < 50


def test_broken_pictures_are_left_out_with_one_warning_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = write(tmp_path / "1.jpg", 50, width=80, height=60).read_bytes()
    (tmp_path / "2cut.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    (tmp_path / "3empty.jpg").touch()
    (tmp_path / "4text.png").write_text("no picture", encoding="utf-8")
    (tmp_path / "5broken.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)) + chunk(b"IEND", b"")
    )
    write(tmp_path / "6.png", 60)
    source = opened(tmp_path)
    with caplog.at_level(logging.WARNING):
        frames = list(source.frames())
    assert [round(float(frame.image.mean())) for frame in frames] == [50, 60]
    assert source.skipped == 4
    for name in ("2cut.jpg", "3empty.jpg", "4text.png", "5broken.png"):
        assert sum(name in record.getMessage() for record in caplog.records) == 1


def test_a_folder_of_broken_pictures_only_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(SourceError, match="none of 1 pictures"):
        list(opened(tmp_path).frames())


def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = huge_png(tmp_path / "wall.png", 40_000, 40_000)
    tracemalloc.start()
    with pytest.raises(SourceError, match=r"40000 x 40000 pixels, at most 100 megapixels"):
        images.read(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 10e6


def test_the_limit_itself_is_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 8 * 6)
    assert images.read(write(tmp_path / "a.png")).shape == (6, 8, 3)
    with pytest.raises(SourceError, match="9 x 6 pixels"):
        images.read(write(tmp_path / "b.png", width=9))


def test_a_folder_without_pictures_is_told_with_the_suffixes(tmp_path: Path) -> None:
    for address in (tmp_path, f"{tmp_path}/*.png"):
        with pytest.raises(SourceNotFoundError, match=r"looked for \.bmp, \.jpeg, \.jpg") as told:
            opened(address)
        assert str(tmp_path) in str(told.value)
    with pytest.raises(SourceNotFoundError, match="is not there"):
        opened(tmp_path / "nope.png")
