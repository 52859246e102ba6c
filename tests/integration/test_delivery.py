"""Accountable delivery: a real broker that goes away, and a process with events that is killed with -9."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from edgemass import sinks
from edgemass.clock import SystemClock
from edgemass.config.delivery import DeliveryConfig
from edgemass.counters import Counters
from edgemass.sinks import Sink, SinkContext
from edgemass.spool.stream import RunVerdict, Stream, Verdict
from tests.documents import event
from tests.simulators.broker import Broker, Heard, Listener, wait_until
from tests.simulators.daemon import Daemon, edgemass
from tests.simulators.event_source import EventSource

pytestmark = pytest.mark.broker

SEED = "EDGEMASS_DELIVERY_SEED"
"""Environment variable with the seed of a campaign that is to be repeated."""
PATIENCE_S = 60.0
AT_A_KILL_S = 0.1
"""What came so shortly before a kill may not be written yet: the thread that writes syncs too."""


def verdict(heard: list[Heard]) -> Verdict:
    stream = Stream()
    for message in heard:
        if message.topic.endswith("/events") or "/account/" in message.topic:
            stream.take(message.payload, retained=message.retain)
    return stream.verdict()


def closed(listener: Listener, *sources: EventSource) -> dict[str, RunVerdict]:
    """Wait until every run of these sources has a final account, then the verdict on each."""
    wanted = {run_id for source in sources for run_id, _, _ in source.told[:1]}

    def runs() -> dict[str, RunVerdict]:
        return {run.run_id: run for run in verdict(listener.heard()).runs if run.state == "final"}

    wait_until(lambda: wanted <= runs().keys(), f"final accounts of {wanted}", PATIENCE_S)
    return {run_id: run for run_id, run in runs().items() if run_id in wanted}


def check_killed(source: EventSource, run: RunVerdict, rate: float) -> None:
    """Everything that a process had was sent or counted, but for what came in the instant of the kill."""
    told = len(source.told)
    assert told - 5 - rate * AT_A_KILL_S <= run.produced <= told + 1
    assert run.received + sum(run.dropped.values()) == run.produced
    assert (run.problems, run.above_account) == ([], 0)


def test_a_broker_that_is_gone_and_two_kills_cost_nothing_that_is_not_counted(broker: Broker, tmp_path: Path) -> None:
    seed = int(os.environ.get(SEED, "8"))
    outage(broker, tmp_path, random.Random(seed), kills=2, outage_s=0.0, rate=200.0)


@pytest.mark.slow
def test_a_broker_that_is_gone_for_ten_minutes_and_two_kills(broker: Broker, tmp_path: Path) -> None:
    outage(broker, tmp_path, random.Random(int(os.environ.get(SEED, "8"))), kills=2, outage_s=600.0, rate=20.0)


@pytest.mark.slow
def test_many_outages_with_kills_at_any_instant(tmp_path: Path) -> None:
    seed = int(os.environ.get(SEED, "8"))
    for number in range(50):
        draw = random.Random(seed * 1000 + number)
        folder = tmp_path / str(number)
        folder.mkdir()
        with Broker(folder / "broker") as broker:
            outage(broker, folder, draw, kills=draw.randrange(1, 5), outage_s=0.0, rate=draw.choice([50.0, 1000.0]))


def outage(broker: Broker, folder: Path, draw: random.Random, *, kills: int, outage_s: float, rate: float) -> None:
    """Events flow; the broker goes; the process is killed so often meanwhile; all comes back, and accounts close."""
    sources: list[EventSource] = []

    def begin() -> EventSource:
        sources.append(EventSource(broker.url, folder / "state", folder / f"out{len(sources)}", rate=rate))
        return sources[-1].__enter__()

    def has(source: EventSource, count: int) -> None:
        wait_until(lambda: len(source.told) >= count, lambda: f"{count} events: {source.err}", PATIENCE_S)

    try:
        with Listener(broker, "edgemass/v1/#") as listener:
            source = begin()
            has(source, draw.randrange(50, 150))
            broker.kill()
            has(source, len(source.told) + draw.randrange(50, 150))
            for _ in range(kills):
                time.sleep(outage_s / kills)
                source.kill()
                source = begin()
                has(source, draw.randrange(50, 150))
            broker.start()
            wait_until(lambda: verdict(listener.heard()).runs[-1].run_id == source.told[0][0], "all of it", PATIENCE_S)
            source.kill()  # once more, while events leave
            source = begin()
            has(source, 50)
            assert source.end() == 0, source.err
            runs = closed(listener, *sources)
            for each in sources:
                check_killed(each, runs[each.told[0][0]], rate)
            assert verdict(listener.heard()).ok
            assert [runs[each.told[0][0]].duplicates for each in sources] == [0] * len(sources)
            replayed = [runs[each.told[0][0]].replayed for each in sources[:-2]]
            assert all(replayed), "what waited is flagged"
    finally:
        for each in sources:
            each.kill()


def test_what_never_met_a_broker_is_not_called_a_duplicate(broker: Broker, tmp_path: Path) -> None:
    broker.kill()
    with EventSource(broker.url, tmp_path / "state", tmp_path / "out0") as first:
        wait_until(lambda: len(first.told) >= 50, first.err)
        first.kill()
    broker.start()
    with Listener(broker, "edgemass/v1/#") as listener:
        with EventSource(broker.url, tmp_path / "state", tmp_path / "out1", settle_s=0.0) as second:
            runs = closed_run(listener, first)
            assert second.end() == 0
        documents = [json.loads(heard.payload) for heard in listener.heard() if heard.topic.endswith("/events")]
    inherited = [document for document in documents if document["run_id"] == first.told[0][0]]
    assert len(inherited) == runs.received
    assert all(document["replayed"] for document in inherited)
    assert not any("duplicate_possible" in document for document in inherited)


@pytest.mark.assets
@pytest.mark.runtime
def test_a_daemon_without_a_broker_that_is_killed_tells_all_later(assets: Path, broker: Broker, tmp_path: Path) -> None:
    broker.kill()
    arguments = ["--camera", f"yard={assets / 'videos' / 'vtest.avi'}", "--no-tune"]
    arguments += ["--events", "--mqtt", broker.url, "--state", str(tmp_path / "state")]

    def sink(number: int) -> list[str]:
        return ["--sink", f"jsonl:{tmp_path / f'told{number}.jsonl'}?only=events"]

    def lines() -> list[bytes]:
        whole = b"".join(path.read_bytes().rpartition(b"\n")[0] + b"\n" for path in sorted(tmp_path.glob("told*")))
        return [line for line in whole.splitlines() if b"edgemass.event/1" in line]

    def told(lines: list[bytes]) -> list[tuple[str, int]]:
        return [(each["run_id"], each["seq"]) for each in map(json.loads, lines)]

    def kept(line: bytes) -> bool:
        """Whether it is in the queue on the disk."""
        return any(line in path.read_bytes() for path in (tmp_path / "state" / "spool").rglob("*.seg"))

    sure: set[tuple[str, int]] = set()
    for number in range(2):
        before = len(lines())
        with Daemon(tmp_path, *arguments, *sink(number)) as daemon:
            wait_until(lambda: len(lines()) >= before + 5, lambda: f"events: {daemon.err}", PATIENCE_S)  # noqa: B023
            known = lines()[before:]
            wait_until(lambda: all(map(kept, known)), "they are kept", PATIENCE_S)  # noqa: B023
            sure.update(told(known))
            os.kill(daemon.pid, signal.SIGKILL)
    broker.start()
    with (
        Listener(broker, "edgemass/v1/#") as listener,
        Daemon(tmp_path, *arguments, *sink(2), "--frames", "30") as daemon,
    ):
        assert daemon.wait(PATIENCE_S) == 0, daemon.err
        runs = {run_id for run_id, _ in told(lines())}
        wait_until(lambda: sum(run.state == "final" for run in verdict(listener.heard()).runs) == len(runs), "accounts")
        result = verdict(listener.heard())
        heard = [json.loads(message.payload) for message in listener.heard() if message.topic.endswith("/events")]
    assert result.ok, result
    came = {(document["run_id"], document["seq"]) for document in heard}
    assert came >= sure
    assert came >= {(run_id, seq) for run_id, last in came for seq in range(1, last)}, "no gap"
    assert len(runs) == 3
    assert not any(run.dropped for run in result.runs)


def test_what_was_in_flight_when_the_broker_died_comes_again_flagged(broker: Broker, tmp_path: Path) -> None:
    with EventSource(broker.url, tmp_path / "state", tmp_path / "out") as source:
        with Listener(broker, "edgemass/v1/#") as before:
            wait_until(lambda: len(verdict(before.heard()).runs) == 1, "events")
        broker.freeze()
        count = len(source.told) + 100
        wait_until(lambda: len(source.told) >= count, source.err)
        source.freeze()
        broker.kill()
        broker.start()
        with Listener(broker, "edgemass/v1/#") as after:
            source.thaw()  # what was in flight is sent at once, and waits for no subscriber
            wait_until(lambda: verdict(after.heard()).runs, "events again")
            assert source.end() == 0
            closed(after, source)
            documents = [json.loads(heard.payload) for heard in after.heard() if heard.topic.endswith("/events")]
    flagged = [document for document in documents if "duplicate_possible" in document]
    assert 1 <= len(flagged) <= 64
    assert documents.index(flagged[-1]) < len(documents) - 1, "what had not left is not flagged"


def closed_run(listener: Listener, source: EventSource) -> RunVerdict:
    return closed(listener, source)[source.told[0][0]]


def test_what_waited_while_a_device_was_renamed_is_checked_under_its_new_name(broker: Broker, tmp_path: Path) -> None:
    def opened(device: str) -> Sink:
        config = DeliveryConfig(settle_s=0.0)
        return sinks.open(broker.url, SinkContext(device, SystemClock(), Counters(), tmp_path / "state", config))

    broker.kill()
    before = opened("pi-7f3a")
    for seq in range(1, 4):
        before.event(event(seq, run_id="before"), None)
    before.close(0)
    broker.start()
    with Listener(broker, "edgemass/v1/attic/#") as listener:
        renamed = opened("attic")
        wait_until(lambda: any(run.state == "final" for run in verdict(listener.heard()).runs), "its account")
        renamed.close(20)
        heard = listener.heard()
    [run] = verdict(heard).runs
    assert (run.problems, run.received, run.device) == ([], 3, "attic")
    file = tmp_path / "stream.jsonl"
    file.write_bytes(b"\n".join(each.payload for each in heard if each.payload.startswith(b"{")))
    for name in ("attic", "pi-7f3a"):
        checked = edgemass("verify-stream", str(file), "--device", name, "--json")
        assert (checked.returncode, len(json.loads(checked.stdout)["runs"])) == (0, 1), checked.stdout


def test_verify_stream_says_whether_all_came(broker: Broker, tmp_path: Path) -> None:
    with Listener(broker, "edgemass/v1/#") as listener:
        with EventSource(broker.url, tmp_path / "state", tmp_path / "out0") as source:
            wait_until(lambda: len(source.told) >= 50, source.err)
            assert source.end() == 0
        closed(listener, source)
        lines = [heard.payload for heard in listener.heard() if b"edgemass.event/1" in heard.payload]
        lines += [heard.payload for heard in listener.heard() if b"edgemass.account/1" in heard.payload]
    file = tmp_path / "stream.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")
    fine = edgemass("verify-stream", str(file))
    assert (fine.returncode, "ok" in fine.stdout) == (0, True), fine.stdout
    file.write_bytes(b"\n".join([*lines[:10], *lines[11:]]) + b"\n")
    lost = edgemass("verify-stream", str(file), "--json")
    assert lost.returncode == 1
    [run] = json.loads(lost.stdout)["runs"]
    assert "1 are missing" in run["problems"][0]
    later = edgemass("verify-stream", broker.url, "--device", "pi-7f3a", "--for", "1", "--json")
    assert (later.returncode, json.loads(later.stdout)["runs"]) == (0, [])
