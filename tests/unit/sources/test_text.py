from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemass import sources
from edgemass.errors import SourceError, SourceNotFoundError, UsageError
from edgemass.frame import Frame
from edgemass.sources import CaptureOptions
from edgemass.sources.text import Lines
from edgemass.texts import MAX_TEXT_BYTES
from tests.simulators.manual_clock import ManualClock


def opened(address: str) -> Lines:
    found = sources.open(address, CaptureOptions(), ManualClock(jump=True))
    assert isinstance(found, Lines)
    return found


def texts(frames: Iterator[Frame]) -> list[bytes]:
    return [bytes(frame.image[0, :, 0]) for frame in frames]


def test_each_line_is_a_frame_and_blank_ones_are_none(tmp_path: Path) -> None:
    path = tmp_path / "messages.txt"
    path.write_bytes("erste Zeile \r\n\n   \n二\nlast, without an end".encode())
    assert texts(opened(f"text:{path}").frames()) == [b"erste Zeile", "二".encode(), b"last, without an end"]


def test_bad_lines_are_left_out_counted_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "messages.txt"
    path.write_bytes(
        b"good\n\xff\xfe\n\xff\n" + b"a" * (3 * MAX_TEXT_BYTES) + b"\n" + b"b" * MAX_TEXT_BYTES + b"\nend\n"
    )
    source = opened(f"text:{path}")
    with caplog.at_level(logging.WARNING):
        found = texts(source.frames())
    assert found == [b"good", b"b" * MAX_TEXT_BYTES, b"end"]
    assert source.skipped == {"not UTF-8": 2, f"longer than {MAX_TEXT_BYTES} bytes": 1}
    assert len(caplog.records) == 2


def test_lines_of_a_pipe_come_as_they_are_written_and_wait_for_no_more() -> None:
    reading, writing = os.pipe()
    source = opened(f"text:/dev/fd/{reading}")
    frames = source.frames()
    os.write(writing, b"first\nsec")
    assert bytes(next(frames).image[0, :, 0]) == b"first"
    os.write(writing, b"ond\n")
    assert bytes(next(frames).image[0, :, 0]) == b"second"
    os.close(writing)
    assert list(frames) == []
    os.close(reading)


def test_close_ends_the_wait_for_a_line() -> None:
    reading, writing = os.pipe()
    source = opened(f"text:/dev/fd/{reading}")
    found: list[Frame] = []
    reader = threading.Thread(target=lambda: found.extend(source.frames()), daemon=True)
    reader.start()
    source.close()
    reader.join(10)
    assert not reader.is_alive()
    assert found == []
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\n"])
def test_a_file_without_a_text_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "empty.txt"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="no line of text"):
        list(opened(f"text:{path}").frames())


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a file"):
        opened("text:")
    with pytest.raises(SourceNotFoundError, match="is a folder"):
        opened(f"text:{tmp_path}")
