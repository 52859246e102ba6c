"""A recording, replayed: the same documents byte for byte, on every Python and NumPy that runs this."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgemass import replay, sources
from edgemass.agent.scenes import Scenes
from edgemass.cli import main
from edgemass.config import Config, Record, camera_config
from edgemass.counters import Counters
from edgemass.detections import Detections
from edgemass.pipeline.moment import Identity
from edgemass.pipeline.recording import GivenFrame
from tests.data.make_recording import CAMERA, FOLDER, make, moment
from tests.simulators.manual_clock import ManualClock
from tests.simulators.walkers import START_NS


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """One that may be damaged."""
    return Path(shutil.copytree(FOLDER, tmp_path / "recording"))


def told(folder: Path) -> list[bytes]:
    sink = replay.Told()
    replay.replay(folder, CAMERA, [sink])
    return sink.lines


def test_what_is_no_box_is_not_recorded_and_costs_the_recording_nothing() -> None:
    xyxy = np.array([[0.1, 0.1, 0.2, 0.2], [np.nan, 0, 1, 1], [0, 0, np.inf, 1], [0.3, 0.3, 0.4, 0.4]], np.float32)
    found = Detections(xyxy, np.array([0.5, 0.5, 0.5, np.nan], np.float32), np.zeros(4, np.int64))
    taken = GivenFrame.of(found, moment(START_NS), (64, 36))
    again = msgspec.json.decode(msgspec.json.encode(taken), type=GivenFrame)
    assert again.detections().xyxy.tolist() == xyxy[:1].tolist()


def documents(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_what_is_told_today_is_what_was_recorded_byte_for_byte() -> None:
    assert told(FOLDER) == (FOLDER / f"{CAMERA}.events.jsonl").read_bytes().splitlines()


def test_recording_and_replay_tell_the_same_whenever_they_are_made(tmp_path: Path) -> None:
    make(tmp_path / "anew")
    for name in (f"{CAMERA}.jsonl", f"{CAMERA}.events.jsonl"):
        assert (tmp_path / "anew" / name).read_bytes() == (FOLDER / name).read_bytes()
    assert told(tmp_path / "anew") == told(FOLDER)


def test_the_recorded_yard_has_one_event_for_each_thing_and_counts_both_ways() -> None:
    events = documents(b"\n".join(told(FOLDER)).decode())
    new = [event for event in events if event["schema"] == "edgemass.event/1" and event["type"] == "new"]
    assert [event["label"] for event in new if event["kind"] == "object"].count("car") == 1
    lines = [event for event in events if event.get("kind") == "line"]
    assert {event["direction"] for event in lines} == {"in", "out"}
    unknown = [event for event in events if event["schema"] == "edgemass.counts/1" and not event["available"]]
    assert unknown
    assert all(number is None for event in unknown for number in event["labels"].values())


def test_the_verb_checks_and_says_what_differs(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(recording), "--check"]) == 0
    assert "all as they were told" in capsys.readouterr().err
    path = recording / f"{CAMERA}.events.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:9], lines[9].replace("person", "parson"), *lines[10:]]))
    assert main(["replay", str(recording), "--check"]) == 1
    said = capsys.readouterr().err
    assert "document 10 differs" in said
    assert "parson" in said
    path.write_text("\n".join(lines[:-1]))
    assert main(["replay", str(recording), "--check"]) == 1
    assert "then: no more" in capsys.readouterr().err


def test_another_configuration_tells_other_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trial = tmp_path / "trial.toml"
    trial.write_text('[cameras.yard]\nsource = "0"\nevents = { labels = ["car"] }\n')
    assert main(["replay", str(FOLDER), "--config", str(trial)]) == 0
    objects = [event for event in documents(capsys.readouterr().out) if event.get("kind") == "object"]
    assert {event["label"] for event in objects} == {"car"}
    trial.write_text('[cameras.yard]\nsource = "0"\nevents = { labels = ["cat"] }\n')
    assert main(["replay", str(FOLDER), "--config", str(trial)]) == 78
    assert "events names 'cat', which walkers does not know" in capsys.readouterr().err
    trial.write_text('[cameras.gate]\nsource = "0"\n')
    assert main(["replay", str(FOLDER), "--config", str(trial)]) == 2
    assert "it has gate" in capsys.readouterr().err


def test_a_replay_does_not_go_to_a_broker(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(FOLDER), "--sink", "mqtt://127.0.0.1"]) == 2
    assert "does not go to a broker" in capsys.readouterr().err


def test_a_recording_holds_no_password_and_no_rule(tmp_path: Path) -> None:
    camera = camera_config(
        {"source": "rtsp://admin:hunter2@127.0.0.1/a", "rules": {"ring": {"command": ["ring", "hunter2"]}}}, "it"
    )
    config = Config(cameras={"gate": camera}, record=Record(tmp_path / "rec"), state=str(tmp_path))
    scenes = Scenes(config, [], identity=Identity("pi", "boot", "run"), clock=ManualClock())
    source = sources.open("synthetic:", sources.CaptureOptions(), ManualClock())
    scenes.open({"gate": source}, {"gate": Counters()}, "detection")
    scenes.close()
    assert "hunter2" not in (tmp_path / "rec" / "recording.json").read_text()


def test_a_recording_that_a_crash_cut_off_is_replayed_up_to_there(recording: Path) -> None:
    path = recording / f"{CAMERA}.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    cut = told(recording)
    assert 0 < len(cut) < len(told(FOLDER))
    assert json.loads(cut[-1])["schema"] == "edgemass.counts/1"  # everything was ended


def cut(recording: Path, given: int, told: int, *, within: bool = False) -> None:
    """Leave so many lines of what was given and of what was told. within: and half of the next ones."""
    for name, lines in ((f"{CAMERA}.jsonl", given), (f"{CAMERA}.events.jsonl", told)):
        whole = (FOLDER / name).read_bytes().splitlines(keepends=True)
        rest = whole[lines][: len(whole[lines]) // 2] if within and lines < len(whole) else b""
        (recording / name).write_bytes(b"".join(whole[:lines]) + rest)


@pytest.mark.parametrize("within", [False, True])
def test_a_recording_that_was_cut_off_at_any_line_checks_equal_up_to_there(
    recording: Path, capsys: pytest.CaptureFixture[str], within: bool
) -> None:
    lines = len((FOLDER / f"{CAMERA}.jsonl").read_bytes().splitlines())
    documents = len((FOLDER / f"{CAMERA}.events.jsonl").read_bytes().splitlines())
    random = np.random.default_rng(8)
    for given in (0, 1, lines - 1, *random.integers(2, lines - 1, 12).tolist()):
        cut(recording, given, int(random.integers(0, documents + 1)), within=within)
        assert main(["replay", str(recording), "--check"]) == 0
        assert "all as they were told; the recording is cut off there" in capsys.readouterr().err


def test_what_differs_in_a_recording_that_was_cut_off_is_said(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut(recording, 120, 12)
    path = recording / f"{CAMERA}.events.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"kind":"object"', b'"kind":"zone"', 1))
    assert main(["replay", str(recording), "--check"]) == 1
    assert "differs" in capsys.readouterr().err


def test_the_end_of_what_was_cut_off_is_said(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut(recording, 120, 12)
    assert main(["replay", str(recording)]) == 0
    assert "the recording is cut off after" in capsys.readouterr().err


DAMAGES: list[tuple[str, str, str]] = [  # kind of the line, what stands there, what stands there then
    ("frame", r'"size":\[\d+,', '"size":[0,'),
    ("frame", r'"size":\[\d+,', '"size":[-3,'),
    ("frame", r'"size":\[\d+,', '"size":[99999999,'),
    ("frame", r",\d+\]\]", ",99]]"),
    ("frame", r",\d+\]\]", ",-1]]"),
    ("frame", r",\d+\]\]", ",99999999999999999999]]"),
    ("frame", r'"mono_ns":\d+', '"mono_ns":-5'),
    ("frame", r'"mono_ns":\d+', '"mono_ns":9999999999999999999'),
    ("frame", r'"time_ns":\d+', '"time_ns":99999999999999999999'),
    ("frame", r'"weekday":\d+', '"weekday":7'),
    ("frame", r'"minute":\d+', '"minute":-1'),
    ("frame", r'"minute"', '"mi\udcffnute"'),
    ("frame", r'"found":\[\[[\d.]+', '"found":[[1e308'),
    ("model", r'"labels":\[.*?\]', '"labels":["person"]'),
]


@pytest.mark.parametrize(("kind", "what", "instead"), DAMAGES)
def test_a_value_that_cannot_be_is_one_line_that_names_file_and_line(
    recording: Path, capsys: pytest.CaptureFixture[str], kind: str, what: str, instead: str
) -> None:
    path = recording / f"{CAMERA}.jsonl"
    lines = path.read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if f'"type":"{kind}"' in line and re.search(what, line))
    lines[number] = re.sub(what, lambda _: instead, lines[number], count=1)
    path.write_text("\n".join(lines) + "\n", errors="surrogateescape")
    assert main(["replay", str(recording), "--check"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert f"{path} is damaged in line " in said
    found = int(said.split("in line ")[1].split(":")[0])
    assert found == number + 1 or (kind == "model" and found > number), "found where it is used"


def test_damaged_documents_are_one_line_that_names_file_and_line(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recording / f"{CAMERA}.events.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], "[1]", *lines[4:]]) + "\n")
    assert main(["replay", str(recording), "--check"]) == 2
    assert f"{path} is damaged in line 4" in capsys.readouterr().err


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_of_a_number_ends_in_a_traceback(recording: Path, seed: int) -> None:
    damaged_and_replayed(recording, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40, 2000))
def test_no_damage_of_a_number_ends_in_a_traceback_in_full(recording: Path, seed: int) -> None:
    damaged_and_replayed(recording, seed)


def damaged_and_replayed(recording: Path, seed: int) -> None:
    """Any number of any line becomes another: it is refused in one line, or replayed."""
    random = np.random.default_rng(seed)
    path = recording / f"{CAMERA}.jsonl"
    lines = path.read_text().splitlines()[:150]
    number = int(random.integers(0, len(lines)))
    numbers = list(re.finditer(r"(?<![\w.\"-])-?\d+(\.\d+)?", lines[number]))
    spot = numbers[int(random.integers(0, len(numbers)))]
    others = ("0", "-1", "1e308", "-1e30", "2", "9223372036854775807", "9223372036854775808", "null", "0.5", '"a"')
    instead = others[int(random.integers(0, len(others)))]
    lines[number] = lines[number][: spot.start()] + instead + lines[number][spot.end() :]
    path.write_text("\n".join(lines) + "\n")
    assert main(["replay", str(recording), "--sink", "jsonl:/dev/null"]) in (0, 2)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "recording.json").unlink(), "give the folder of `edgemass run --record`"),
        (lambda folder: (folder / "recording.json").write_text("{}"), "no recording that this edgemass can read"),
        (lambda folder: (folder / f"{CAMERA}.jsonl").write_text('{"type":"frame"}\n'), "is damaged in line 1"),
        (lambda folder: (folder / f"{CAMERA}.jsonl").unlink(), "cannot read"),
    ],
)
def test_a_damaged_recording_is_refused_in_one_line(
    recording: Path, capsys: pytest.CaptureFixture[str], damage: Any, said: str
) -> None:
    damage(recording)
    assert main(["replay", str(recording)]) in (1, 2)
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_recorded_frames_can_be_detected_in_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    run = ["run", "--camera", "demo:street", "--events", "--no-tune", "--frames", "30", "--sink", "jsonl:/dev/null"]
    assert main([*run, "--record", str(folder), "--record-frames"]) == 0
    assert main([*run, "--record", str(folder)]) == 2
    assert "holds a recording already" in capsys.readouterr().err
    assert main(["replay", str(folder)]) == 0
    then = capsys.readouterr().out
    assert then
    assert main(["replay", str(folder), "--model", "edgemass-person"]) == 0
    assert capsys.readouterr().out == then  # the pictures are there without loss
    trial = tmp_path / "trial.toml"
    trial.write_text('[cameras.cam0]\nsource = "0"\nevents = true\nmasks = [[[0, 0], [1, 0], [1, 1], [0, 1]]]\n')
    assert main(["replay", str(folder), "--model", "edgemass-person", "--config", str(trial)]) == 0
    assert not [said for said in documents(capsys.readouterr().out) if said.get("kind") == "object"], "all is masked"
    (folder / "cam0.mkv").unlink()
    assert main(["replay", str(folder), "--model", "edgemass-person"]) == 2
    assert "cannot read" in capsys.readouterr().err
