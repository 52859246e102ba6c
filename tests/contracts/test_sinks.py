"""The promises that every row of SINKS holds."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgemass import sinks
from edgemass.errors import ConfigError, UsageError
from edgemass.sinks import SINKS, Sink, SinkContext
from tests.documents import OFFLINE, ONLINE, classification, context, detections, frame
from tests.simulators.broker import free_port

ADDRESSES: dict[str, Callable[[Path], str]] = {
    "console": lambda _: "console:",
    "jsonl": lambda folder: f"jsonl:{folder / 'out.jsonl'}",
    "mqtt": lambda _: f"mqtt://127.0.0.1:{free_port()}",  # nobody listens
    "mqtts": lambda _: f"mqtts://127.0.0.1:{free_port()}",
    "serial": lambda folder: f"serial://{folder / 'absent'}",
    "snapshots": lambda folder: f"snapshots:{folder}?every_s=0",
}
ROWS = pytest.mark.parametrize("scheme", SINKS)


def open_row(scheme: str, folder: Path, surroundings: SinkContext | None = None) -> Sink:
    return sinks.open(ADDRESSES[scheme](folder), surroundings or context())


def test_every_row_has_an_address_here() -> None:
    assert ADDRESSES.keys() == SINKS.keys()


@ROWS
def test_takes_documents_of_both_tasks_and_states_and_closes_twice(scheme: str, tmp_path: Path) -> None:
    sink = open_row(scheme, tmp_path)
    sink.camera_state("door", ONLINE)
    sink.publish(detections("person"), frame())
    sink.publish(detections(), frame())
    sink.publish(classification("tabby"), frame())
    sink.camera_state("door", OFFLINE)
    sink.close(0)
    sink.close(0)


@ROWS
def test_has_a_name_without_password(scheme: str, tmp_path: Path) -> None:
    sink = open_row(scheme, tmp_path)
    assert sink.name
    sink.close(0)
    if scheme.startswith("mqtt"):
        secret = sinks.open(f"{scheme}://me:hunter2@127.0.0.1:{free_port()}", context())
        secret.close(0)
        assert "hunter2" not in secret.name


@ROWS
def test_takes_documents_of_several_cameras_at_once_and_accounts_for_each(scheme: str, tmp_path: Path) -> None:
    surroundings = context()
    sink = open_row(scheme, tmp_path, surroundings)
    failures: list[BaseException] = []

    def publish(camera: str) -> None:
        try:
            for seq in range(1, 51):
                sink.publish(detections(f"label{seq}", camera=camera, seq=seq, at_s=3 * seq), frame())
        except BaseException as error:  # noqa: BLE001 (a thread's failure is the test's)
            failures.append(error)

    threads = [threading.Thread(target=publish, args=(f"cam{index}",)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sink.close(0)
    assert not failures
    assert surroundings.counters["published"] + surroundings.counters["dropped"] == 150


@ROWS
def test_leaves_the_frame_as_it_was(scheme: str, tmp_path: Path) -> None:
    sink = open_row(scheme, tmp_path)
    shared = frame()
    before = shared.image.copy()
    sink.publish(detections("person"), shared)
    sink.close(0)
    assert (shared.image == before).all()


READER_GONE = """
import sys
from edgemass import sinks
from edgemass.errors import SinkClosedError
from tests.documents import context, detections, frame
sink = sinks.open(sys.argv[1], context())
try:
    for seq in range(1, 100_000):
        sink.publish(detections(f"label{seq}", at_s=3 * seq), frame())
except SinkClosedError as error:
    print(error, file=sys.stderr)
    sys.exit(7)
"""


@pytest.mark.parametrize("address", ["console:", "jsonl:-"])
def test_a_reader_of_standard_output_that_leaves_ends_the_sink_quietly(address: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", READER_GONE, address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 7
    assert said.splitlines() == ["nobody reads standard output any more"]


def test_an_unknown_sink_is_answered_with_the_known_ones_and_without_its_password() -> None:
    with pytest.raises(UsageError, match="console:, jsonl:") as caught:
        sinks.open("kafka://me:hunter2@host", context())
    assert "hunter2" not in str(caught.value)


@ROWS
def test_an_address_is_checked_without_opening_anything(scheme: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    sinks.check(ADDRESSES[scheme](tmp_path))
    assert sorted(tmp_path.iterdir()) == before
    with pytest.raises(UsageError):
        sinks.check(f"{scheme}:x?only=nonsense")


def test_two_ways_to_one_broker_are_refused() -> None:
    sinks.check_apart(["mqtt://one", "mqtt://two", "mqtts://one", "console:", "mqtt://one?client_id=other"])
    for other in ("mqtt://me:hunter2@127.0.0.1", "mqtt://localhost:1883", "mqtt://[::1]"):
        with pytest.raises(ConfigError, match="are one broker") as caught:
            sinks.check_apart(["mqtt://localhost", other])
        assert "hunter2" not in str(caught.value)
