"""The small values and helpers at the bottom of the house."""

from __future__ import annotations

import inspect
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from edgemass import durable, errors
from edgemass.clock import boot_id, rfc3339
from edgemass.counters import Counters
from edgemass.detections import Classification, Detections
from edgemass.frame import Frame, Image
from edgemass.redact import redact
from edgemass.tensors import Quantization, Tensor


def test_every_error_derives_from_the_one_root() -> None:
    classes = [value for _, value in inspect.getmembers(errors, inspect.isclass)]
    assert len(classes) > 5
    assert all(issubclass(kind, errors.EdgemassError) for kind in classes)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("rtsp://admin:hunter2@cam/1", "rtsp://admin:***@cam/1"),
        ("cannot open rtsp://u:p%40ss@10.0.0.1:554/a?x=1", "cannot open rtsp://u:***@10.0.0.1:554/a?x=1"),
        ("mqtts://u:a:b@host", "mqtts://u:***@host"),
        ("rtsp://u:p@ss@host/1", "rtsp://u:***@host/1"),
        ("http://cam/mjpeg?token=abc&size=1", "http://cam/mjpeg?token=***&size=1"),
        ("two: rtsp://a:b@c and mqtt://d:e@f", "two: rtsp://a:***@c and mqtt://d:***@f"),
        ("rtsp://admin@cam/1", "rtsp://admin@cam/1"),
        ("rtsp://u:p@ss/w:x@host/1", "rtsp://u:***@host/1"),
        ("rtsp://host:554/stream1", "rtsp://host:554/stream1"),
        (
            "gst:rtspsrc location=rtsp://c user-pw=hunter2 ! decodebin",
            "gst:rtspsrc location=rtsp://c user-pw=*** ! decodebin",
        ),
        ("token=hunter2", "token=***"),
        ("rtsp://admin%3Ahunter2@cam/1", "rtsp://admin:***@cam/1"),
        ("://hunter2@cam", ":***@cam"),
        ("0://hunter2@cam", "0:***@cam"),
        ("http://cam/?next=%2F&password%3Dhunter2", "http://cam/?next=%2F&password%3D***"),
        ("monkey=5, the keyboard=7", "monkey=5, the keyboard=7"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_passwords_do_not_leave(text: str, clean: str) -> None:
    assert redact(text) == clean


def test_times_are_rfc3339_in_utc_with_milliseconds() -> None:
    assert rfc3339(1_795_342_502_118_999_999) == "2026-11-22T10:15:02.118Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"


def test_the_boot_id_has_a_stand_in_where_the_kernel_has_none(tmp_path: Path) -> None:
    assert len(boot_id(tmp_path / "none")) == 36


def test_counts_from_many_threads_are_all_there() -> None:
    counters = Counters()

    def count() -> None:
        for _ in range(1000):
            counters.add("n")

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.snapshot() == {"n": 8000}


def test_a_frame_is_converted_once_and_only_when_looked_at() -> None:
    loads = []

    def load() -> Image:
        loads.append(1)
        return np.zeros((2, 3, 3), np.uint8)

    frame = Frame(load, width=3, height=2, mono_ns=0, time_ns=0, arrived_ns=0)
    assert not loads
    assert frame.image is frame.image
    assert len(loads) == 1


def test_brightness_is_looked_at_without_a_conversion_and_let_go_of_with_the_decoder() -> None:
    luma = np.arange(6, dtype=np.uint8).reshape(2, 3)
    load = pytest.fail  # nobody may call it
    frame = Frame(load, width=3, height=2, mono_ns=0, time_ns=0, arrived_ns=0, look=lambda: luma)
    turned = frame.transformed(lambda image: image.transpose(1, 0, 2), width=2, height=3, view=np.transpose)
    hidden = frame.transformed(lambda image: image, width=3, height=2)
    assert frame.luma is luma
    assert turned.luma is not None
    assert np.shares_memory(turned.luma, luma)
    assert turned.luma.shape == (3, 2)
    assert hidden.luma is None


def test_a_frame_that_was_converted_has_no_brightness_of_its_own_any_more() -> None:
    luma = np.zeros((2, 3), np.uint8)
    image = np.zeros((2, 3, 3), np.uint8)
    frame = Frame(lambda: image, width=3, height=2, mono_ns=0, time_ns=0, arrived_ns=0, look=lambda: luma)
    turned = frame.transformed(lambda image: image, width=3, height=2, view=np.asarray)
    turned.convert()
    assert frame.luma is None
    assert turned.luma is None


def test_a_frame_of_another_size_than_it_says_is_refused() -> None:
    frame = Frame(lambda: np.zeros((2, 3, 3), np.uint8), width=4, height=2, mono_ns=0, time_ns=0, arrived_ns=0)
    with pytest.raises(ValueError, match=r"\(2, 4, 3\), got \(2, 3, 3\)"):
        _ = frame.image


def test_columns_of_another_length_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="xyxy must have shape"):
        Detections(np.zeros((1, 4), np.float32), np.zeros(2, np.float32), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="one length"):
        Classification(np.zeros(2, np.float32), np.zeros(3, np.int64))


def test_comparing_stored_integers_equals_comparing_real_numbers() -> None:
    tensor = Tensor(np.arange(256, dtype=np.uint8), Quantization(0.0045, 3))
    for threshold in (0.01, 0.25, 0.5, 0.77):
        assert ((tensor.data > tensor.stored(threshold)) == (tensor.real() > np.float32(threshold))).all()


def test_a_file_is_old_or_new_but_never_half(tmp_path: Path) -> None:
    path = tmp_path / "state"
    durable.write_bytes(path, b"one")
    durable.write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state"]


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "state"
    durable.write_bytes(path, b"one")
    blocker = tmp_path / f".state.{os.getpid()}.part"
    blocker.mkdir()
    with pytest.raises(OSError, match="directory"):
        durable.write_bytes(path, b"two")
    assert path.read_bytes() == b"one"
