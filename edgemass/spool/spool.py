"""The thread that takes events from the cameras, keeps them, and hands them to the broker."""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from edgemass.clock import Clock, boot_id, clock_synced
from edgemass.config.delivery import DeliveryConfig
from edgemass.errors import EdgemassError
from edgemass.messages import EventMessage, to_json
from edgemass.messages.health import QueueHealth
from edgemass.spool.leaving import REPLAY_NS, Now, stamped
from edgemass.spool.log import Log
from edgemass.spool.pacing import NS, Bucket, Wear
from edgemass.spool.queue import SEGMENTS, Queue
from edgemass.spool.records import Document
from edgemass.spool.telling import Telling
from edgemass.spool.topics import Topics

logger = logging.getLogger(__name__)

JSON = "application/json"
WINDOW = 64
"""Documents handed over and not yet acknowledged."""
SEGMENT_BYTES = 1 << 20
IDLE_S = 30.0
LOOK_S = 0.5
"""While something waits for the broker: it does not say when it goes."""
_JOIN_S = 5.0


class Broker(Protocol):
    """What there must be of a connection."""

    @property
    def connected(self) -> bool: ...

    @property
    def hopeful(self) -> bool:
        """Connected, or the first attempt has not failed yet."""

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        content_type: str,
        settled: Callable[[str], None],
        again: Callable[[], bytes] | None,
    ) -> bool:
        """Never waits. settled: called once, from any thread, with "" or the reason why it is lost."""


class Spool:
    """Events on their way to one broker.

    folder: of this queue alone; None = in memory only. device: as accounts have it.
    synced, boot: whether Unix time can be believed, and the id of this boot.
    """

    def __init__(
        self,
        folder: Path | None,
        broker: Broker,
        *,
        device: str,
        topics: Topics,
        config: DeliveryConfig,
        clock: Clock,
        synced: Callable[[], bool] = clock_synced,
        boot: str = "",
    ) -> None:
        self._broker = broker
        self._config = config
        self._topics = topics
        self._clock = clock
        self._synced = synced
        self._boot = boot or boot_id()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._incoming: deque[tuple[EventMessage, bytes]] = deque()
        self._incoming_bytes = 0
        self._refused: dict[tuple[str, str], EventMessage] = {}
        """Run and camera -> the last event for which there was no room to come in."""
        self._settled: deque[tuple[int, str]] = deque()
        self._queue: Queue | None = None
        self._folder = folder
        self._telling = Telling(topics, device, partial(self._publish_account))
        self._pace = Bucket(max(1.0, config.rate * 0.1), config.rate, clock.monotonic_ns())
        self._connected_ns: int | None = None
        self._forgotten = False
        self._outage = False
        """Events have waited for a connection that was lost, or could not be made."""
        self._send_ns = 0.0
        self._room_ns = 0.0
        """Until then the connection's memory is taken to be full."""
        self._health: tuple[QueueHealth, Document | None] | None = None
        self._closing = False
        self._deadline_ns = 0
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self.lost = 0
        """After `close`: events that were only in memory."""

    def start(self) -> None:
        self._thread.start()

    def put(self, event: EventMessage) -> None:
        """Take one event; never waits. What there is no room for is dropped and counted."""
        payload = to_json(event)
        with self._lock:
            if self._closing:
                return
            if self._refused or self._incoming_bytes + len(payload) > self._config.memory_bytes:
                self._refused[event.run_id, event.camera] = event
            else:
                self._incoming.append((event, payload))
                self._incoming_bytes += len(payload)
        self._wake.set()

    def wake(self) -> None:
        """Look at the connection anew."""
        self._wake.set()

    def tell_anew(self) -> None:
        """Somebody has emptied what the broker kept: the accounts too."""
        self._forgotten = True
        self._wake.set()

    def queue(self) -> QueueHealth | None:
        """How full it is; None before it was opened."""
        if self._health is None:
            return None
        health, first = self._health
        age_ns = self._now().age_ns(first) if first is not None else None
        return msgspec.structs.replace(health, oldest_s=None if age_ns is None else round(age_ns / NS, 1))

    def close(self, timeout_s: float) -> None:
        """Send what waits, at most for `timeout_s`; the rest stays on the disk for the next process."""
        with self._lock:
            self._deadline_ns = self._clock.monotonic_ns() + int(timeout_s * NS)
            self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s + _JOIN_S)

    # In the spool's thread.

    def _run(self) -> None:
        queue = self._queue = self._open()
        wait_s = 0.0
        while True:
            try:
                self._wake.clear()
                closing = self._closing  # read before: what was closed since is not over before its runs are
                wait_s = self._step(queue)
                if closing and self._is_over(queue):
                    break
            except Exception:  # the thread's outermost line; what comes next may well be kept and sent
                logger.exception("the queue of events failed unexpectedly; going on")
                wait_s = 1.0
            self._clock.wait(self._wake, wait_s)
        queue.keep(self._now(), force=True)
        self.lost = queue.close()
        if self.lost:
            logger.warning("%d events that waited in memory are lost", self.lost)

    def _open(self) -> Queue:
        """The queue on disk; in memory where there can be none."""
        now = self._now()
        wear = Wear(self._config.daily_bytes, now.mono_ns)
        if self._folder is not None:
            size = max(1 << 16, min(SEGMENT_BYTES, self._config.max_bytes // SEGMENTS))
            log = Log(self._folder, segment_bytes=size, wear=wear, boot_id=self._boot)
            try:
                queue = Queue(log, wear, self._config, now)
                self._outage = not queue.empty
                return queue
            except (OSError, EdgemassError) as error:
                log.close()
                logger.warning(
                    "events that wait for the broker wait in memory only, and not over a restart: %s", _words(error)
                )
            except Exception:  # a folder that nobody foresaw must not keep events from being sent
                log.close()
                logger.exception("events that wait for the broker wait in memory only, and not over a restart")
        return Queue(None, wear, self._config, now)

    def _step(self, queue: Queue) -> float:
        """Do all that is due; returns for how many seconds there will be nothing to do."""
        now = self._now()
        connected = self._broker.connected
        self._outage = self._outage or not self._broker.hopeful
        if connected and (self._connected_ns is None or self._forgotten):
            self._forgotten = False
            self._telling.anew()
        self._connected_ns = (self._connected_ns or now.mono_ns) if connected else None
        self._take_in(queue, now, connected=connected)
        self._send_ns = math.inf
        if connected:
            self._send(queue)
        queue.keep(now)
        if self._closing:
            queue.close_runs(queue.own)
        told_ns = self._telling.tell(queue, now, self._config.account_s) if connected else math.inf
        self._health = queue.health()
        due_ns = min(queue.due_ns(), self._send_ns, told_ns)
        longest_s = LOOK_S if self._closing or (self._health[0].messages and connected) else IDLE_S
        return min(longest_s, max(0.0, (due_ns - self._clock.monotonic_ns()) / NS))

    def _take_in(self, queue: Queue, now: Now, *, connected: bool) -> None:
        with self._lock:
            incoming, self._incoming = self._incoming, deque()
            self._incoming_bytes = 0
            refused, self._refused = self._refused, {}
            settled, self._settled = self._settled, deque()
        for index, reason in settled:
            if reason in ("full", "closed"):  # of the connection's memory: it has not left
                queue.put_back(index)
            else:
                queue.settle(index, reason)
        for event, payload in incoming:
            queue.put(event, payload, now, away=not connected)
        for event in refused.values():
            queue.miss(event, "full")

    def _send(self, queue: Queue) -> None:
        """Hand over what may leave now; `_send_ns` says when there may be more."""
        while queue.in_flight < WINDOW:
            now = self._now()
            if now.mono_ns < self._room_ns:
                self._send_ns = self._room_ns
                return
            document = queue.peek()
            if document is None:
                return
            replayed = queue.is_inherited(document) or now.mono_ns - document.mono_ns > REPLAY_NS
            if replayed and not self._may_replay(queue, now):
                return
            document = queue.take(now)
            if document is None:
                return
            if not self._hand_over(queue, document, now):
                self._room_ns = now.mono_ns + LOOK_S * NS

    def _may_replay(self, queue: Queue, now: Now) -> bool:
        if self._closing and queue.in_memory:  # now or never
            return True
        assert self._connected_ns is not None
        settled_ns = self._connected_ns + self._config.settle_s * NS if self._outage else 0
        if now.mono_ns < settled_ns:
            self._send_ns = settled_ns
            return False
        if self._pace.refill(now.mono_ns) < 1:
            self._send_ns = self._pace.ready_ns()
            return False
        self._pace.take()
        return True

    def _hand_over(self, queue: Queue, document: Document, now: Now) -> bool:
        replayed = queue.is_inherited(document) or now.mono_ns - document.mono_ns > REPLAY_NS
        return self._broker.publish(
            self._topics.events(document.camera),
            stamped(document, now, replayed=replayed, duplicate=queue.is_doubtful(document)),
            qos=1,
            retain=False,
            content_type=JSON,
            settled=partial(self._on_settled, document.index),
            again=lambda: stamped(document, self._now(), replayed=True, duplicate=True),
        )

    def _on_settled(self, index: int, reason: str) -> None:
        with self._lock:
            self._settled.append((index, reason))
        self._wake.set()

    def _publish_account(self, topic: str, payload: bytes, settled: Callable[[str], None]) -> None:
        def done(reason: str) -> None:
            settled(reason)
            self._wake.set()

        self._broker.publish(topic, payload, qos=1, retain=True, content_type=JSON, settled=done, again=None)

    def _is_over(self, queue: Queue) -> bool:
        if self._clock.monotonic_ns() >= self._deadline_ns or not self._broker.hopeful:
            return True
        with self._lock:
            waiting = bool(self._incoming or self._settled)
        return not waiting and queue.empty and not (self._broker.connected and self._telling.owes(queue))

    def _now(self) -> Now:
        return Now(self._clock.monotonic_ns(), self._clock.time_ns(), self._synced(), self._boot)


def _words(error: OSError | EdgemassError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
