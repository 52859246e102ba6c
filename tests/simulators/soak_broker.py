"""The broker's side of a soak: a mosquitto that goes and comes, a gate before it, and a subscriber who misses nothing.

A subscriber can only check an account if it is there whenever the device is. So the device connects through a gate,
which opens when the subscriber has subscribed.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, final

import msgspec
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgemass.messages.health import Account, AccountMessage
from edgemass.spool.stream import Stream, Verdict
from tests.simulators.broker import PATIENCE_S, Broker
from tests.simulators.soak_board import DEVICE

BASE = f"edgemass/v1/{DEVICE}"
TOPICS = (f"{BASE}/camera/+/events", f"{BASE}/account/+")
KEEPALIVE_S = 3600  # a broker that is frozen is not away
_CHUNK_BYTES = 1 << 16


@final
class Gate:
    """Passes connections on to `target` while it is open; `cut` ends all there are."""

    def __init__(self, target: int) -> None:
        self.open = False
        self._target = target
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, name="gate", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def cut(self) -> None:
        with self._lock:
            pairs = tuple(self._pairs)
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.open = False
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE_S)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(client,), name="gate", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if not self.open:
                return
            with socket.create_connection(("127.0.0.1", self._target), PATIENCE_S) as server:
                server.settimeout(None)
                pair = (client, server)
                with self._lock:
                    self._pairs.add(pair)
                try:
                    _pump(*pair)
                finally:
                    with self._lock:
                        self._pairs.discard(pair)


def _pump(client: socket.socket, server: socket.socket) -> None:
    """Until one side ends."""
    others = {client: server, server: client}
    with selectors.DefaultSelector() as selector:
        for end, other in others.items():
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(end, selectors.EVENT_READ, other)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(_CHUNK_BYTES)  # type: ignore[union-attr]
                if not data:
                    return
                key.data.sendall(data)


@final
class SoakBroker:
    """A broker that loses nothing which it has acknowledged while its subscriber is there, and that subscriber."""

    def __init__(self, folder: Path) -> None:
        options = ("max_inflight_messages 0", "max_queued_messages 0", "log_type error")
        self._broker = Broker(folder, options=options, verbose=False)
        self._gate = Gate(self._broker.port)
        self._subscriber: Client | None = None
        self._gone = threading.Event()
        self._stream = Stream()
        self._lock = threading.Lock()
        self._account = Account()

    def __enter__(self) -> SoakBroker:
        self.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._gate.close()
        self.kill()

    @property
    def url(self) -> str:
        """For the device."""
        return f"mqtt://127.0.0.1:{self._gate.port}"

    @property
    def account(self) -> Account:
        """Of the events, as it was told last."""
        return self._account

    def verdict(self) -> Verdict:
        with self._lock:
            return self._stream.verdict()

    def start(self) -> None:
        self._broker.start()
        self._gone.clear()
        self._subscriber = self._subscribed()
        self._gate.open = True

    def kill(self) -> None:
        """As a crash; what had been sent to the subscriber is still read."""
        self._gate.open = False
        self._broker.kill()
        if self._subscriber is not None:
            assert self._gone.wait(PATIENCE_S), "the subscriber did not learn that the broker is gone"
            self._subscriber.loop_stop()
            self._subscriber = None

    def freeze(self) -> None:
        self._broker.freeze()

    def thaw(self) -> None:
        self._broker.thaw()

    def cut(self) -> None:
        """End every connection but the subscriber's."""
        self._gate.cut()

    def _subscribed(self) -> Client:
        ready = threading.Event()
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.on_subscribe = _setting(ready)
        client.on_disconnect = _setting(self._gone)
        client.on_message = self._on_message
        client.reconnect_delay_set(3600, 3600)
        client.connect("127.0.0.1", self._broker.port, KEEPALIVE_S)
        client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in TOPICS])
        client.loop_start()
        assert ready.wait(PATIENCE_S), "the subscriber could not subscribe"
        return client

    def _on_message(self, _: Client, __: Any, message: MQTTMessage) -> None:
        with self._lock:
            self._stream.take(bytes(message.payload), retained=message.retain)
        if "/account/" in message.topic and message.payload:
            self._account = msgspec.json.decode(message.payload, type=AccountMessage).classes.get("events", Account())


def _setting(event: threading.Event) -> Callable[..., None]:
    return lambda *_: event.set()
