"""No picture and no place of anything leaves a camera of counts only, and nothing of what a mask hides leaves any."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from edgemass.frame import Image
from tests.simulators import traced
from tests.simulators.broker import Broker, Heard, Listener, wait_until
from tests.simulators.clips import write_clip
from tests.simulators.daemon import edgemass
from tests.simulators.rtsp_server import RtspServer
from tests.simulators.traced import Left

pytestmark = [pytest.mark.assets, pytest.mark.runtime]

FRAMES = 30
MOST_BYTES = 300_000
"""Of all that a run of counts only may write and send: log lines, counts and MQTT. A raw picture has 1.3 MB."""
PICTURES = (b"JFIF", b"\x89PNG\r\n", b"matroska", b"ftypisom", b"RIFF", b"WEBP")
PLACES = (b'"box":', b'"path"', b'"detections"', b'"track_id"', b'"xyxy"', b'"snapshot"', b'"dwell_s"', b"/events")

CONFIG = """
device = "pi"
model = "edgemass-person"
state = "{folder}/state"
sinks = ["{broker}", "jsonl:{folder}/all.jsonl", "snapshots:{folder}/shots?every_s=0", "console:"]
tune = false
frames = {frames}
[cameras.yard]
source = "{source}"
privacy = "{privacy}"
motion = true
events = {{ update_s = 0.5 }}
[cameras.yard.zones.lawn]
points = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
[cameras.yard.lines.middle]
points = [[0.5, 0.0], [0.5, 1.0]]
[cameras.yard.rules.here]
zone = "lawn"
mqtt = {{ topic = "home/here", payload = "{{label}} {{zone}} {{score}} {{duration_s}} {{event}}" }}
command = ["sh", "-c", "env | grep EDGEMASS > {folder}/of-the-rule"]
"""


@pytest.fixture
def stream(assets: Path) -> Iterator[RtspServer]:
    with RtspServer(file=assets / "videos" / "vtest.avi", size=(768, 576), fps=10) as started:
        yield started


def watch(folder: Path, broker: Broker, stream: RtspServer, privacy: str) -> tuple[Left, list[Heard]]:
    """Run with every way out, and collect all that came out of any."""
    folder.mkdir()
    config = folder / "board.toml"
    text = CONFIG.format(folder=folder, broker=broker.url, source=stream.address, privacy=privacy, frames=FRAMES)
    config.write_text(text, encoding="utf-8")
    edgemass("run", "--camera", "synthetic:?frames=1", "--model", "edgemass-person")  # its graph goes to the cache
    with Listener(broker) as listener:
        left = traced.run(folder, "--config", str(config))
        assert left.code == 0, left.err.decode()
        wait_until(lambda: b"offline" in listener.payloads("edgemass/v1/pi/availability"), "all is said")
        heard = listener.heard()
    config.unlink()
    left.files.pop(config)
    return left, heard


def findings(left: Left, heard: list[Heard], folder: Path) -> list[str]:
    """What a run of counts only must not have done."""
    everything = {str(path): content for path, content in left.files.items()}
    everything |= {f"message {index} {said.topic}": said.payload for index, said in enumerate(heard)}
    everything |= {"topics": "\n".join(said.topic for said in heard).encode()}
    everything |= {"standard output": left.out, "standard error": left.err, "all that was sent": left.sent}
    found = [
        f"{name} holds {mark!r}" for name, data in everything.items() for mark in PICTURES + PLACES if mark in data
    ]
    found += [
        f"{name} is no text" for name, data in everything.items() if name != "all that was sent" and not _text(data)
    ]
    if len(left.sent) > MOST_BYTES:
        found.append(f"{len(left.sent)} bytes were sent")
    found += [f"{path} was opened" for path in left.opened if not _harmless(path, folder)]
    return found


def _text(data: bytes) -> bool:
    try:
        return data.decode().replace("\n", "").replace("\t", "").isprintable()
    except UnicodeDecodeError:
        return False


def _harmless(path: Path, folder: Path) -> bool:
    known = ("/dev/null", "/dev/tty", "/proc/self", "/sys/kernel")
    return not path.is_absolute() or path.is_relative_to(folder) or str(path).startswith(known)


@pytest.mark.rtsp
@pytest.mark.broker
@pytest.mark.strace
def test_counts_only_lets_no_picture_and_no_place_out_by_any_way(
    tmp_path: Path, broker: Broker, stream: RtspServer
) -> None:
    private, heard = watch(tmp_path / "private", broker, stream, "counts-only")
    assert findings(private, heard, tmp_path / "private") == []
    by_topic = {said.topic: said.payload for said in heard if said.payload.isdigit()}
    assert by_topic["edgemass/v1/pi/camera/yard/count/person"], "it counts all the same"
    assert by_topic["edgemass/v1/pi/camera/yard/zone/lawn/count/person"]
    assert any(said.topic == "home/here" for said in heard)
    assert b"EDGEMASS_RULE_LABEL=person" in private.files[tmp_path / "private" / "of-the-rule"]
    kinds = {json.loads(line)["schema"] for line in private.files[tmp_path / "private" / "all.jsonl"].splitlines()}
    assert kinds == {"edgemass.counts/1"}
    assert (tmp_path / "private" / "state" / "scene").is_dir()


@pytest.mark.rtsp
@pytest.mark.broker
@pytest.mark.strace
def test_the_same_look_finds_pictures_and_places_where_nothing_is_private(
    tmp_path: Path, broker: Broker, stream: RtspServer
) -> None:
    left, heard = watch(tmp_path / "open", broker, stream, "none")
    found = "\n".join(findings(left, heard, tmp_path / "open"))
    for where in ("all.jsonl", "shots/", "message", "all that was sent"):
        assert re.search(f"{re.escape(where)}.* holds", found), where
    assert "bytes were sent" in found
    for mark in (b"JFIF", b'"box":', b'"path"', b'"detections"', b'"track_id"', b'"snapshot"'):
        assert repr(mark) in found


@pytest.mark.parametrize("option", ["--record", "snapshot"])
def test_what_would_let_pictures_or_places_out_is_refused_beside_counts_only(tmp_path: Path, option: str) -> None:
    rule = '[cameras.yard.rules.here]\nsnapshot = "shots"\n' if option == "snapshot" else ""
    config = tmp_path / "board.toml"
    config.write_text(
        f'[cameras.yard]\nsource = "synthetic:?frames=5"\nprivacy = "counts-only"\n{rule}', encoding="utf-8"
    )
    record = ["--record", str(tmp_path / "record")] if option == "--record" else []
    done = edgemass("run", "--config", str(config), *record, cwd=tmp_path)
    assert done.returncode == 78
    assert "counts-only" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "record").exists()


# Masks

PATTERN = (255, 0, 255)  # BGR; in no picture of a street, and in no colour that is drawn
CORNER = (0.25, 0.3)
MASK = "masks = [[[0.0, 0.0], [0.32, 0.0], [0.32, 0.38], [0.0, 0.38]]]"  # the codec smears the patch a little


@pytest.fixture(scope="module")
def street(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """People in the street, with a patch in a corner that must be hidden; and lying on its side."""
    with av.open(str(assets / "videos" / "vtest.avi")) as container:
        pictures = [
            np.asarray(picture.to_ndarray(format="bgr24"), np.uint8)
            for picture in islice(container.decode(video=0), 30)
        ]
    for picture in pictures:
        height, width = picture.shape[:2]
        picture[: round(CORNER[1] * height), : round(CORNER[0] * width)] = PATTERN
    lying = [np.asarray(cv2.rotate(picture, cv2.ROTATE_90_COUNTERCLOCKWISE), np.uint8) for picture in pictures]
    folder = tmp_path_factory.mktemp("street")
    return {
        "upright": write_clip(folder / "upright.mp4", pictures, fps=10),
        "lying": write_clip(folder / "lying.mp4", lying, fps=10),
    }


def shown(folder: Path, clip: Path, keys: str) -> list[Image]:
    """Every picture that a run wrote or sent, the recording's own too."""
    folder.mkdir()
    config = folder / "board.toml"
    config.write_text(
        f'device = "pi"\nmodel = "edgemass-person"\nsinks = ["snapshots:{folder}/events", "jsonl:{folder}/all.jsonl"]\n'
        f'tune = false\n[cameras.yard]\nsource = "{clip}"\nevents = true\n{keys}\n'
        f'[cameras.yard.rules.here]\nsnapshot = "{folder}/rule"\n'
        f'[cameras.still]\nsource = "{clip}"\nevents = false\n{keys}\n',
        encoding="utf-8",
    )
    arguments = (
        "--record",
        str(folder / "record"),
        "--record-frames",
        "--sink",
        f"snapshots:{folder}/frames?every_s=0",
    )
    done = edgemass("run", "--config", str(config), *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    pictures = [cv2.imread(str(path)) for path in sorted(folder.rglob("*.jpg"))]
    assert {path.parent.name for path in folder.rglob("*.jpg")} == {"events", "rule", "frames"}
    for video in (folder / "record").glob("*.mkv"):
        with av.open(str(video)) as container:
            pictures += [picture.to_ndarray(format="bgr24") for picture in container.decode(video=0)]
    return [np.asarray(picture, np.uint8) for picture in pictures]


def patch(picture: Image) -> int:
    """Pixels that look like the patch."""
    blue, green, red = (picture[..., channel].astype(int) for channel in range(3))
    return int(np.count_nonzero(np.minimum(blue, red) - green > 60))


@pytest.mark.parametrize(
    ("clip", "keys"),
    [
        ("upright", ""),
        ("upright", "motion = true\n"),
        ("lying", "rotate = 90\n"),
        ("lying", "rotate = 90\nmotion = true\ncrop = [0.0, 0.1, 1.0, 1.0]\n"),
    ],
)
def test_nothing_of_what_a_mask_hides_is_in_any_picture(
    street: dict[str, Path], tmp_path: Path, clip: str, keys: str
) -> None:
    masked = shown(tmp_path / "masked", street[clip], f"{keys}{_scaled(keys)}")
    assert len(masked) > 30
    assert max(map(patch, masked)) == 0


@pytest.mark.slow
def test_without_the_mask_the_same_look_finds_it(street: dict[str, Path], tmp_path: Path) -> None:
    assert min(map(patch, shown(tmp_path / "open", street["upright"], ""))) > 1000


def _scaled(keys: str) -> str:
    """The mask over the patch, whatever part of the picture is left."""
    if "crop = [0.0, 0.0, 0.9, 0.9]" in keys:
        return MASK.replace("0.32", "0.36").replace("0.38", "0.43")
    return MASK
