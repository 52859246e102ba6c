"""A broker that sends anything: the connection lives on, comes back, and keeps its memory."""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import strategies as st

from edgemass.errors import ConfigError, UsageError
from edgemass.mqtt import Message, MqttConnection, parse
from edgemass.mqtt.client import INCOMING_MAX_BYTES
from tests.fuzz.campaign import counts, hold, may_refuse
from tests.fuzz.mutations import mutated_bytes
from tests.simulators.broker import wait_until
from tests.simulators.fake_broker import FakeBroker, Peer

CONNACK = b"\x20\x03\x00\x00\x00"
PUBLISH = b"\x30\x0b\x00\x05topic\x00abc"
PACKETS = (
    CONNACK,
    PUBLISH,
    b"\x32\x0d\x00\x05topic\x00\x01\x00abc",  # QoS 1
    b"\x34\x0d\x00\x05topic\x00\x01\x00abc",  # QoS 2
    b"\x40\x04\x00\x01\x00\x00",  # PUBACK
    b"\x50\x02\x00\x01",  # PUBREC
    b"\x62\x02\x00\x01",  # PUBREL
    b"\x90\x04\x00\x01\x00\x01",  # SUBACK
    b"\xb0\x04\x00\x01\x00\x00",  # UNSUBACK
    b"\xd0\x00",  # PINGRESP
    b"\xe0\x02\x8b\x00",  # DISCONNECT
    b"\xf0\x02\x18\x00",  # AUTH
    b"\x30\xff\xff\xff\x7f\x00\x05topic\x00",  # 256 MB announced
    b"\x30\xff\xff\xff\xff\xff",  # a length of more than four bytes
    b"\x20\x08\x00\x00\x05\x21\x00\x00\x27\x00",  # CONNACK: receive maximum 0
    b"\x20\x09\x00\x00\x06\x27\x00\x00\x00\x01\x24\x00",  # CONNACK: packets of one byte
    b"\x30\x05\x00\x03\xff\xfe\xfd",  # a topic that is no UTF-8
)
HURRY_S = 0.002


@contextmanager
def quick_connection(broker: FakeBroker) -> Iterator[MqttConnection]:
    """Its pauses are drawn as nothing, so that it comes back at once."""
    made = MqttConnection(parse(broker.url).with_client_id("edgemass-fuzz"), draw=lambda: HURRY_S)
    made.start()
    try:
        yield made
    finally:
        made.close(0)


def held_bytes() -> int:
    """Memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Says:
    """Says its piece to the client that comes, then hangs up; to everyone once it has nothing more to say: welcome."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.heard = 0
        self._lock = threading.Lock()

    def __call__(self, peer: Peer) -> None:
        with self._lock:
            piece = self.pieces.pop() if self.pieces else None
        if piece is None:
            peer.accept()
            peer.read_until_gone()
            return
        self.heard += 1
        if len(piece) % 2:
            peer.accept()
        peer.send(piece)


@counts(80, 20_000)
def test_after_anything_that_a_broker_says_the_connection_comes_back(
    examples: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgemass.mqtt.trouble.pause_s", lambda *_, **__: 0.0)
    caplog.set_level(logging.ERROR)
    says = Says()
    arrived: list[Message] = []
    said: list[int] = []
    with FakeBroker(says) as broker, quick_connection(broker) as mqtt:
        mqtt.subscribe("#", arrived.append)

        def promise(piece: bytes) -> None:
            mqtt.publish("edgemass/v1/pi/health", b"{}", qos=1)
            says.pieces.append(piece)
            said.append(len(piece))
            broker.drop_all()
            wait_until(lambda: not says.pieces and mqtt.connected, "connected again")
            assert all(isinstance(message.topic, str) for message in arrived)

        packets = st.lists(st.sampled_from(PACKETS), min_size=1, max_size=4).map(b"".join)
        hold(promise, examples, piece=st.one_of(packets.flatmap(mutated_bytes), packets, st.binary(max_size=200)))
        assert says.heard == len(said) > 0
        assert mqtt.held_bytes < 64 * 1024 * 1024
    assert [record for record in caplog.records if record.exc_info] == []


def test_a_message_of_256_mb_is_not_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client has told the broker its limit; one that does not keep to it is left."""
    monkeypatch.setattr("edgemass.mqtt.trouble.pause_s", lambda *_, **__: 0.0)
    sent = 0

    def floods(peer: Peer) -> None:
        nonlocal sent
        peer.accept()
        if sent:
            peer.read_until_gone()
            return
        peer.send(b"\x30\xff\xff\xff\x7f\x00\x05topic\x00")
        for _ in range(256):
            peer.send(b"x" * 1024 * 1024)
            sent += 1

    with FakeBroker(floods) as broker, quick_connection(broker) as mqtt:
        mqtt.subscribe("#", lambda _: None)
        wait_until(lambda: len(broker.levels) >= 2 and mqtt.connected, "connected again")
    assert sent * 1024 * 1024 < 64 * INCOMING_MAX_BYTES  # the rest is what the network holds


def test_thousands_of_unasked_messages_do_not_pile_up() -> None:
    """QoS 2 that is never released: a client would keep every one of them for ever."""

    def floods(peer: Peer) -> None:
        peer.accept()
        payload = random.Random(0).randbytes(16_000)
        for mid in range(1, 20_001):
            body = b"\x00\x05topic" + mid.to_bytes(2, "big") + (b"\x00" if peer.level == 5 else b"") + payload
            peer.send(b"\x34" + bytes([len(body) & 127 | 128, len(body) >> 7 & 127 | 128, len(body) >> 14]) + body)
        done.set()
        peer.read_until_gone()

    done = threading.Event()
    with FakeBroker(floods) as broker, quick_connection(broker) as mqtt:
        mqtt.subscribe("#", lambda _: None)
        before = held_bytes()
        wait_until(lambda: done.is_set() or len(broker.levels) > 1, "flooded")
        assert held_bytes() - before < 128 * 1024 * 1024


@counts(300, 50_000)
def test_any_address_of_a_broker_is_read_or_refused_without_its_password(
    examples: int, caplog: pytest.LogCaptureFixture
) -> None:
    odd = st.text("abc@:/?#[]%&=.\\0é 09-", max_size=15)

    def promise(user: str, password: str, host: str, query: str) -> None:
        caplog.clear()
        with may_refuse(UsageError, ConfigError):
            options = parse(f"mqtt://{user}:{password}hunter2@{host}?{query}")
            assert "hunter2" not in repr(options)
            assert options.host
            assert 0 < options.port < 65536
        assert "hunter2" not in caplog.text

    hosts = st.one_of(odd, st.sampled_from(["broker", "10.0.0.1:1883", "[::1]:1883", "h:0", "h:65536", "h:-1", "h:²"]))
    queries = st.one_of(odd, st.sampled_from(["", "version=5", "ca=/dev/zero", "password_file=/", "key=a&cert=b"]))
    hold(promise, examples, user=odd, password=odd, host=hosts, query=queries)
