"""The connection against brokers that misbehave, each over a real socket."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from edgemass.mqtt import MqttConnection, parse, session
from tests.simulators import fake_broker
from tests.simulators.broker import free_port, wait_until
from tests.simulators.fake_broker import FakeBroker
from tests.simulators.manual_clock import ManualClock


@contextmanager
def connection(url: str, clock: ManualClock | None = None) -> Iterator[MqttConnection]:
    made = MqttConnection(parse(url).with_client_id("edgemass-test"), clock=clock, draw=lambda: 1.0)
    made.start()
    try:
        yield made
    finally:
        made.close(0)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize(
    "on_five",
    [
        pytest.param(fake_broker.refuses(0x84), id="0x84"),
        pytest.param(fake_broker.old_refusal, id="0x01"),
        pytest.param(fake_broker.hangs_up, id="hang-up"),
    ],
)
def test_a_broker_without_mqtt_5_is_spoken_to_in_311_at_once_and_from_then_on(
    on_five: fake_broker.Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    with FakeBroker(fake_broker.knows_only_311(on_five)) as broker, connection(broker.url, clock) as mqtt:
        wait_until(lambda: mqtt.connected, "connected")
        assert broker.levels == [5, 4]
        assert clock.waits == [0.0]
        assert mqtt.version == "3.1.1"
        broker.drop_all()
        clock.pass_wait(1)
        wait_until(lambda: len(broker.levels) == 3 and mqtt.connected, "connected again")
        assert broker.levels == [5, 4, 4]
    assert len(warnings(caplog)) == 1  # of the connection that the test dropped


def test_a_proxy_that_hangs_up_on_everything_is_no_proof_against_mqtt_5() -> None:
    clock = ManualClock()
    with FakeBroker(fake_broker.hangs_up) as broker, connection(broker.url, clock) as mqtt:
        wait_until(lambda: len(broker.levels) == 2, "both versions tried")
        broker.behaviour = fake_broker.accepts
        clock.pass_wait(1)
        wait_until(lambda: mqtt.connected, "connected")
        assert broker.levels == [5, 4, 5]
        assert mqtt.version == "5"


def test_a_wanted_version_is_kept_and_its_refusal_explained(caplog: pytest.LogCaptureFixture) -> None:
    with FakeBroker(fake_broker.old_refusal) as broker, connection(f"{broker.url}?version=5") as mqtt:
        wait_until(lambda: mqtt.trouble, "trouble")
        assert mqtt.trouble is not None
        assert "does not speak MQTT 5; leave out version=" in mqtt.trouble
        assert set(broker.levels) == {5}
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize(
    ("behaviour", "version", "says"),
    [
        (fake_broker.refuses(0x86), "5", "refuses a client without user name (Bad user name or password, 0x86)"),
        (fake_broker.refuses(0x87), "5", "Not authorized, 0x87"),
        (fake_broker.refuses(4), "3.1.1", "0x86"),
        (fake_broker.refuses(5), "3.1.1", "0x87"),
        (fake_broker.refuses(0x85), "5", "client_id="),
        (fake_broker.hangs_up, "5", "without an answer to CONNECT"),
        (fake_broker.speaks_tls, "5", "write mqtts://"),
        (fake_broker.hangs_up_after_connack, "5", "lost the connection"),
        (fake_broker.dismisses(0x8B), "5", "Server shutting down, 0x8B"),
        (fake_broker.dismisses(0x95), "5", "too large"),
    ],
)
def test_trouble_is_logged_once_with_its_cause_however_often_it_repeats(
    behaviour: fake_broker.Behaviour, version: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    with FakeBroker(behaviour) as broker, connection(f"{broker.url}?version={version}", clock):
        clock.pass_wait(1)
        clock.pass_wait(2)
        wait_until(lambda: len(broker.levels) >= 3, "third attempt")
    [text, *others] = warnings(caplog)
    assert says in text
    assert len(others) <= ("lost the connection" in text)  # then: "drops every connection soon after"


def test_connections_that_are_lost_at_once_again_and_again_are_explained(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    with FakeBroker(fake_broker.hangs_up_after_connack) as broker, connection(broker.url, clock) as mqtt:
        for pause_s in (1, 2, 60, 60):  # half of a minute is not left to chance: two of one id must not fight for ever
            clock.pass_wait(pause_s)
        wait_until(lambda: len(broker.levels) == 5, "fifth attempt")
        assert "perhaps another client uses the same client id 'edgemass-test'" in warnings(caplog)[-1]
        assert len(warnings(caplog)) == 2
        assert clock.waits[:4] == [1, 2, 60, 60]
        assert not mqtt.counters["dropped"]


def test_a_taken_over_session_waits_half_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    with FakeBroker(fake_broker.dismisses(0x8E)) as broker, connection(broker.url, clock):
        clock.pass_wait(60)  # half of it is not left to chance: see trouble.pause_s
        clock.pass_wait(60)
        wait_until(lambda: len(broker.levels) == 3, "third attempt")
    assert len(warnings(caplog)) == 1
    assert "another client uses the same client id 'edgemass-test'" in warnings(caplog)[0]


def test_silence_after_connect_ends_the_attempt(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    with FakeBroker(fake_broker.silent) as broker, connection(broker.url, clock):
        wait_until(lambda: broker.levels, "CONNECT")
        clock.advance(11)
        clock.pass_wait(1)
        wait_until(lambda: len(broker.levels) == 2, "second attempt")
    assert "no answer to CONNECT for 10 s" in warnings(caplog)[0]


def test_a_broker_that_falls_silent_is_noticed_by_its_missing_pings(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "KEEPALIVE_S", 1)
    with FakeBroker(fake_broker.accepts) as broker, connection(broker.url) as mqtt:  # it answers to no PINGREQ
        wait_until(lambda: mqtt.connected, "connected")
        wait_until(lambda: warnings(caplog), "noticed")
    assert "no answer to pings" in warnings(caplog)[0]


def test_a_forbidden_subscription_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with FakeBroker(fake_broker.forbids_subscribing) as broker, connection(broker.url) as mqtt:
        mqtt.subscribe("secret/#", lambda _: None)
        wait_until(lambda: warnings(caplog), "refused")
        assert mqtt.connected
    assert "does not let us subscribe secret/#: Not authorized, 0x87" in warnings(caplog)[0]


def test_what_is_published_before_the_first_answer_arrives_after_it() -> None:
    with FakeBroker(fake_broker.accepts) as broker:
        mqtt = MqttConnection(parse(broker.url).with_client_id("edgemass-test"))
        assert mqtt.publish("a", b"early")
        mqtt.start()
        mqtt.close(20)  # waits for it
        wait_until(lambda: len(broker.packets) == 2, "PUBLISH and DISCONNECT")
        assert [first & 0xF0 for first, _ in broker.packets] == [fake_broker.PUBLISH, fake_broker.DISCONNECT]
        assert mqtt.counters.snapshot() == {"published": 1}


def test_on_a_new_connection_come_subscriptions_then_what_waited_then_what_hooks_say() -> None:
    def hook() -> None:
        mqtt.subscribe("hook/#", print)
        mqtt.publish("state", b"new", qos=1)

    clock = ManualClock()
    with FakeBroker(fake_broker.hangs_up) as broker:
        mqtt = MqttConnection(parse(broker.url).with_client_id("edgemass-test"), clock=clock, draw=lambda: 1.0)
        mqtt.on_connected(hook)
        mqtt.start()
        wait_until(lambda: mqtt.trouble, "no connection")
        mqtt.publish("state", b"old", qos=1)
        mqtt.subscribe("late/#", print)
        broker.behaviour = fake_broker.accepts
        clock.pass_wait(1)
        wait_until(lambda: mqtt.counters["published"] == 2, "both states")
        mqtt.close(20)
        said = [body for first, body in broker.packets if first in (fake_broker.SUBSCRIBE, fake_broker.PUBLISH | 2)]
    wanted = [b"late/#", b"hook/#", b"old", b"new"]
    assert [word for body in said for word in wanted if word in body] == wanted


def test_without_a_broker_qos_0_is_lost_and_counted_and_closing_waits_for_nothing() -> None:
    clock = ManualClock()
    with connection(f"mqtt://127.0.0.1:{free_port()}", clock) as mqtt:
        wait_until(lambda: mqtt.trouble, "trouble")
        assert not mqtt.publish("a", b"x")
        assert mqtt.publish("a", b"x", qos=1)
        mqtt.close(3600)
        assert mqtt.counters.snapshot() == {"dropped": 2, "dropped.offline": 1, "dropped.closed": 1}


def test_a_message_above_the_brokers_limit_is_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    limit = b"\x27" + (200).to_bytes(4, "big")  # Maximum Packet Size, 3.2.2.3.6
    settled: list[str] = []
    with FakeBroker(fake_broker.accepts_with(limit)) as broker, connection(broker.url) as mqtt:
        wait_until(lambda: mqtt.connected, "connected")
        assert not mqtt.publish("a", bytes(300), qos=1, settled=settled.append)
        assert mqtt.publish("a", bytes(100))
        wait_until(lambda: mqtt.counters["published"], "the small one sent")
        assert len(broker.packets) == 1
    assert mqtt.counters["dropped.too_large"] == 1
    assert settled == ["too_large"]
    assert "above the broker's limit of 200" in warnings(caplog)[0]


def test_a_message_that_got_us_thrown_out_for_its_size_is_not_sent_again() -> None:
    clock = ManualClock()
    with FakeBroker(fake_broker.throws_out_above(200)) as broker, connection(broker.url, clock) as mqtt:
        wait_until(lambda: mqtt.connected, "connected")
        assert mqtt.publish("a", bytes(300), qos=1)
        wait_until(lambda: mqtt.counters["dropped.too_large"] == 1, "given up")
        broker.packets.clear()
        clock.pass_wait(1)
        wait_until(lambda: mqtt.connected, "connected again")
        assert not mqtt.publish("a", bytes(301), qos=1)
        assert mqtt.publish("a", b"small", qos=1)
        wait_until(lambda: mqtt.counters["published"] == 1, "a small one goes")
        assert len(broker.packets) == 1


def test_one_that_breaks_connections_costs_none_of_those_before_it() -> None:
    """Though this broker has acknowledged none of them by then."""
    given = [b"%02d" % number for number in range(10)]
    settled: list[tuple[bytes, str]] = []

    def note(payload: bytes, why: str) -> None:
        settled.append((payload, why))

    with FakeBroker(fake_broker.hangs_up_on(b"poison")) as broker:
        options = parse(broker.url).with_client_id("edgemass-test")
        mqtt = MqttConnection(options, clock=ManualClock(jump=True))
        for payload in [*given[:8], b"poison", *given[8:]]:
            mqtt.publish("a", payload, qos=1, settled=partial(note, payload))
        mqtt.start()
        wait_until(lambda: len(settled) == 11, lambda: f"all settled, found {settled}")
        mqtt.close(20)
    assert settled == [*((one, "") for one in given[:8]), (b"poison", "undeliverable"), *((o, "") for o in given[8:])]


def test_what_breaks_connections_and_is_never_acknowledged_costs_nothing_else() -> None:
    def say() -> None:
        mqtt.publish("b", b"poison")

    with FakeBroker(fake_broker.hangs_up_on(b"poison")) as broker:
        options = parse(broker.url).with_client_id("edgemass-test")
        mqtt = MqttConnection(options, clock=ManualClock(jump=True))
        for number in range(10):
            mqtt.publish("a", b"%02d" % number, qos=1)
        mqtt.on_connected(say)
        mqtt.start()
        wait_until(lambda: not mqtt.held_bytes and broker.levels[20:], "many connections")
        mqtt.close(0)
    assert not [name for name in mqtt.counters.snapshot() if "undeliverable" in name]
    assert sorted({body[-2:] for first, body in broker.packets if first & 0xF6 == fake_broker.PUBLISH | 2}) == [
        b"%02d" % number for number in range(10)
    ]


def test_a_hook_or_callback_that_fails_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: str = "") -> None:
        raise RuntimeError("broken hook")

    with FakeBroker(fake_broker.accepts) as broker:
        mqtt = MqttConnection(parse(broker.url).with_client_id("edgemass-test"))
        reached = threading.Event()
        mqtt.on_connected(fail)
        mqtt.on_connected(reached.set)
        mqtt.start()
        assert reached.wait(20)
        assert mqtt.publish("a", b"x", settled=fail)
        wait_until(lambda: mqtt.counters["published"], "sent")
        assert mqtt.publish("a", b"y")
        wait_until(lambda: mqtt.counters["published"] == 2, "sent")
        assert mqtt.connected
        mqtt.close(20)
    assert caplog.text.count("RuntimeError: broken hook") == 2


def test_hooks_run_on_every_connect() -> None:
    clock = ManualClock()
    calls: list[None] = []
    with FakeBroker(fake_broker.accepts) as broker:
        mqtt = MqttConnection(parse(broker.url).with_client_id("edgemass-test"), clock=clock, draw=lambda: 1.0)
        mqtt.on_connected(lambda: calls.append(None))
        mqtt.start()
        wait_until(lambda: len(calls) == 1, "first connect")
        broker.drop_all()
        clock.pass_wait(1)
        wait_until(lambda: len(calls) == 2, "second connect")
        mqtt.close(0)
