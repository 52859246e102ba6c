from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import pytest

from edgemass import sinks
from edgemass.errors import SinkError, UsageError
from tests.documents import ONLINE, context, detections, frame


def sequence(path: Path) -> list[int]:
    return [json.loads(line)["seq"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_file_gets_one_document_a_line_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = sinks.open(f"jsonl:{path}", context())
    sink.camera_state("door", ONLINE)
    for seq in (1, 2, 3):
        sink.publish(detections("person", seq=seq), frame())
        assert sequence(path)[-1] == seq  # at once, not when it is closed
    sink.close(0)
    assert sequence(path) == [1, 2, 3]


def test_a_file_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    for seq in (1, 2):
        sink = sinks.open(f"jsonl:{path}", context())
        sink.publish(detections(seq=seq), frame())
        sink.close(0)
    assert sequence(path) == [1, 2]


def test_a_line_that_a_crash_cut_short_does_not_spoil_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"seq":1}\n{"seq', encoding="utf-8")
    sink = sinks.open(f"jsonl:{path}", context())
    sink.publish(detections(seq=2), frame())
    sink.close(0)
    assert json.loads(path.read_text(encoding="utf-8").splitlines()[-1])["seq"] == 2


def test_standard_output_gets_one_document_a_line_and_nothing_else(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    sink = sinks.open("jsonl:-", context())
    sink.camera_state("door", ONLINE)
    sink.publish(detections("person", seq=1), frame())
    out = capfdbinary.readouterr().out  # flushed already
    sink.close(0)
    assert out.count(b"\n") == 1
    assert json.loads(out)["seq"] == 1


@pytest.mark.parametrize(("path", "why"), [("", "Is a directory"), ("absent/out.jsonl", "No such file")])
def test_a_path_that_cannot_be_written_says_why_at_once(tmp_path: Path, path: str, why: str) -> None:
    with pytest.raises(SinkError, match=why):
        sinks.open(f"jsonl:{tmp_path / path}", context())


def test_needs_a_path() -> None:
    with pytest.raises(UsageError, match="needs a path"):
        sinks.open("jsonl:", context())


def test_a_disk_that_fills_up_costs_whole_documents_and_never_half_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.jsonl"
    surroundings = context()
    sink = sinks.open(f"jsonl:{path}", surroundings)
    real, room = os.write, [100]

    def write(descriptor: int, data: bytes | memoryview) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(descriptor, data[: room[0]])
        room[0] -= written
        return written

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(SinkError, match="No space left"):
            sink.publish(detections(seq=1), frame())
    sink.publish(detections(seq=2), frame())
    sink.close(0)
    assert sequence(path) == [2]
    assert surroundings.counters.snapshot() == {"dropped": 1, "published": 1}


def test_a_full_device_is_an_error_of_that_document_only() -> None:
    sink = sinks.open("jsonl:/dev/full", context())
    for _ in range(2):
        with pytest.raises(SinkError, match="No space left"):
            sink.publish(detections(), frame())
    sink.close(0)


def test_lines_of_several_cameras_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = sinks.open(f"jsonl:{path}", context())

    def publish(camera: str) -> None:
        for seq in range(1, 101):
            sink.publish(detections("person", camera=camera, seq=seq), frame())

    threads = [threading.Thread(target=publish, args=(name,)) for name in ("door", "yard")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sink.close(0)
    assert sorted(sequence(path)) == sorted([*range(1, 101)] * 2)
