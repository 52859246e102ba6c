"""The main job as a user runs it: real models, real streams, a real broker, a process of its own."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.simulators import broker as brokers
from tests.simulators.broker import Broker, Listener, wait_until
from tests.simulators.daemon import Daemon, edgemass
from tests.simulators.rtsp_server import RtspServer

REPOSITORY = Path(__file__).resolve().parents[2]
SCHEMAS = REPOSITORY / "edgemass" / "schemas"
RETURN_S = 10.0
VIDEOS = {  # clip -> what is in it, and after how many frames at the latest
    "vtest.avi": ("person", 30),
    "highway_video2.avi": ("car", 30),
    "carnd_test_video.mp4": ("car", 30),
    "one-by-one-person-detection.mp4": ("person", 150),
}

pytestmark = [pytest.mark.assets, pytest.mark.runtime]


@pytest.fixture(scope="module")
def valid() -> Callable[[bytes], dict[str, Any]]:
    """Parse a document and hold it against its published schema."""
    schema = json.loads((SCHEMAS / "edgemass.detection.1.json").read_text())

    def check(payload: bytes) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(payload)
        jsonschema.validate(document, schema)
        return document

    return check


def ssd(assets: Path) -> str:
    return str(assets / "detectors" / "ssd_mobilenet_v1_coco_quant_postprocess.tflite")


def detections(listener: Listener) -> list[bytes]:
    return [heard.payload for heard in listener.heard() if heard.topic.endswith("/detections")]


def availability(listener: Listener) -> list[bytes]:
    return [heard.payload for heard in listener.heard() if heard.topic.endswith("/availability")]


@pytest.mark.broker
@pytest.mark.parametrize("video", VIDEOS)
def test_a_subscriber_gets_valid_documents_of_every_video(
    video: str, assets: Path, broker: Broker, tmp_path: Path, valid: Callable[[bytes], dict[str, Any]]
) -> None:
    label, frames = VIDEOS[video]
    arguments = ("--camera", f"door={assets / 'videos' / video}", "--model", ssd(assets), "--frames", str(frames))
    with Listener(broker) as listener, Daemon(tmp_path, *arguments, "--mqtt", broker.url) as daemon:
        assert daemon.wait(60) == 0, daemon.err
        wait_until(lambda: b"offline" in availability(listener), "the farewell, which comes last")
        documents = [valid(payload) for payload in detections(listener)]
    assert all(document["camera"] == "door" for document in documents)
    sequence = [document["seq"] for document in documents]
    assert sequence == sorted(set(sequence))
    times = [document["mono_ns"] for document in documents]
    assert times == sorted(set(times))
    with_label = [d for d in documents if any(found["label"] == label for found in d["detections"])]
    assert len(with_label) >= 10


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def test_published_boxes_lie_on_the_objects(assets: Path, tmp_path: Path) -> None:
    """Fractions of the frame, held against people's own boxes of the same pictures."""
    truth = json.loads((assets / "coco-val" / "instances.json").read_text())
    names = {category["id"]: category["name"] for category in truth["categories"]}
    order = sorted(image["file_name"] for image in truth["images"])
    images = {image["id"]: image for image in truth["images"]}
    boxes: dict[str, list[tuple[str, list[float]]]] = {name: [] for name in order}
    for row in truth["annotations"]:
        image = images[row["image_id"]]
        x, y, width, height = row["bbox"]
        corners = [
            x / image["width"],
            y / image["height"],
            (x + width) / image["width"],
            (y + height) / image["height"],
        ]
        boxes[image["file_name"]].append((names[row["category_id"]], corners))
    model = str(assets / "detectors" / "yolov8n_full_integer_quant_416.tflite")
    arguments = ("--camera", str(assets / "coco-val" / "images"), "--model", model, "--score", "0.6")
    with Daemon(tmp_path, *arguments, "--sink", "jsonl:-") as daemon:
        assert daemon.wait(100) == 0, daemon.err
        documents = [json.loads(line) for line in daemon.out.splitlines()]
    assert len(documents) == len(order)
    hits = [
        any(found["label"] == label and overlap(found["box"], corners) > 0.5 for label, corners in boxes[name])
        for name, document in zip(order, documents, strict=True)
        for found in document["detections"]
    ]
    assert len(hits) > 100
    assert sum(hits) / len(hits) > 0.8


@pytest.mark.broker
@pytest.mark.rtsp
@pytest.mark.timeout(200)
def test_stream_and_broker_come_and_go_and_detections_resume(
    assets: Path, broker: Broker, tmp_path: Path, valid: Callable[[bytes], dict[str, Any]]
) -> None:
    with RtspServer(file=assets / "videos" / "vtest.avi", size=(640, 480), fps=10) as server:
        arguments = ("--camera", f"yard={server.address}", "--model", ssd(assets), "--mqtt", broker.url)
        with Listener(broker) as listener, Daemon(tmp_path, *arguments) as daemon:
            device = device_of(listener)
            state = f"edgemass/v1/{device}/camera/yard/state"
            wait_until(lambda: len(detections(listener)) > 10, "the first documents", 30)
            valid(detections(listener)[0])
            before = daemon.rss_bytes()

            for stop, back in ((server.kill, server.start), (server.silence, server.resume)):
                stop()
                wait_until(lambda: states(listener, state)[-1] == "offline", "the camera's outage is told", 15)
                listener.forget()
                back()
                wait_until(lambda: len(detections(listener)) > 3, "detections after the camera's return", RETURN_S)
                assert states(listener, state)[-1] == "online"

            broker.kill()
            broker.start()
            listener.forget()
            wait_until(lambda: len(detections(listener)) > 3, "detections after the broker's return", 2 * RETURN_S)
            assert daemon.rss_bytes() < before + 40e6
            assert daemon.end() == 0
            wait_until(
                lambda: listener.payloads(f"edgemass/v1/{device}/availability")[-1:] == [b"offline"], "the farewell"
            )
        assert "Traceback" not in daemon.err


def device_of(listener: Listener) -> str:
    wait_until(lambda: any(heard.topic.endswith("/availability") for heard in listener.heard()), "the device", 30)
    return next(heard.topic.split("/")[2] for heard in listener.heard() if heard.topic.endswith("/availability"))


def states(listener: Listener, topic: str) -> list[str]:
    return [json.loads(payload)["state"] for payload in listener.payloads(topic)] or ["unknown"]


def test_an_absent_camera_does_not_stop_another_and_sigterm_ends_well(assets: Path, tmp_path: Path) -> None:
    port = brokers.free_port()
    arguments = ("--camera", f"gone=rtsp://127.0.0.1:{port}/cam", "--camera", "here=synthetic:", "--model", ssd(assets))
    with Daemon(tmp_path, *arguments, "--sink", "jsonl:-") as daemon:
        wait_until(lambda: daemon.out.count("\n") > 5, "documents of the camera that is there", 30)
        assert all(json.loads(line)["camera"] == "here" for line in daemon.out.splitlines()[:5])
        assert daemon.end(signal.SIGTERM) == 0
    assert daemon.err.count("camera offline, trying again") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_good_end_even_without_any_broker(number: int, assets: Path, tmp_path: Path) -> None:
    mqtt = f"mqtt://127.0.0.1:{brokers.free_port()}"
    arguments = ("--camera", "synthetic:", "--model", ssd(assets), "--mqtt", mqtt, "--sink", "jsonl:-")
    with Daemon(tmp_path, *arguments) as daemon:
        wait_until(lambda: daemon.out.count("\n") > 5, "documents although there is no broker", 30)
        assert daemon.end(number) == 0


def test_jsonl_has_one_document_a_line_and_nothing_else(assets: Path) -> None:
    done = edgemass("run", "--camera", "demo:face", "--model", ssd(assets), "--sink", "jsonl:-", "--frames", "4")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == [1, 2, 3, 4]


def test_files_give_every_frame(assets: Path, tmp_path: Path) -> None:
    model = str(assets / "detectors" / "face_detection_short_range.tflite")
    video = str(assets / "videos" / "carnd_test_video.mp4")
    path = tmp_path / "out.jsonl"
    done = edgemass("run", "--camera", video, "--model", model, "--sink", f"jsonl:{path}")
    assert done.returncode == 0, done.stderr
    assert len(path.read_text().splitlines()) == 38
