"""A connection to an MQTT broker that comes back by itself, whatever happens to the broker."""

from __future__ import annotations

import contextlib
import logging
import random
import socket
import threading
from collections.abc import Callable

from edgemass.clock import Clock, SystemClock, left_s
from edgemass.counters import Counters
from edgemass.mqtt import trouble
from edgemass.mqtt.options import MqttOptions, Version
from edgemass.mqtt.outbox import Outbox, Outgoing
from edgemass.mqtt.rivalry import Rivalry
from edgemass.mqtt.session import Session, Will
from edgemass.mqtt.subscriptions import Message, Subscriptions
from edgemass.mqtt.trouble import Trouble

logger = logging.getLogger(__name__)

STABLE_S = 30.0
"""A connection that lasted so long ends an episode of trouble; a shorter one only interrupts it."""
_POLL_S = 1.0
_JOIN_S = 2.0
_TOPICS_NAMED = 100


class MqttConnection:
    """Publishes and subscribes; connects in its own thread, for ever, and delays nobody.

    What one thread gives goes out in this order: a subscription before every message that is given after it. A message
    may be overtaken by a subscription, and one of QoS 0 by others: it waits for room. On a new connection come the
    subscriptions, then what waited, then what the hooks publish, so that the newest of a state is the last.
    options.client_id must be set and belong to this connection alone: a broker throws out the older of two clients.
    MQTT 5 first; 3.1.1 when the broker refuses 5, or hangs up on it and at once accepts 3.1.1; that is remembered.
    Pauses between attempts: see `trouble.pause_s`. Trouble is logged once when it starts and once when it ends.
    """

    def __init__(
        self,
        options: MqttOptions,
        *,
        will: Will | None = None,
        counters: Counters | None = None,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        if not options.client_id:
            raise ValueError("options.client_id must be set")
        self.options = options
        self.counters = counters or Counters()
        self._will = will
        self._clock = clock or SystemClock()
        self._draw = draw
        self._outbox = Outbox(self.counters, self._clock)
        self._hooks: list[Callable[[], None]] = []
        self._subscriptions = Subscriptions()
        self._connected = False
        self._greeted = False  # connected, and the hooks have run
        self._hopeful = True  # the first attempt has not failed yet: hold QoS 0 back instead of losing it
        self._packet_limit: int | None = None
        self._learned_limit: int | None = None
        self._dialect = Dialect(options.version)
        self._log = _TroubleLog(options)
        self._failures = 0
        self._rivalry = Rivalry()
        self._closing = False
        self._goodbye = False
        self._stop = threading.Event()
        self._wakeup, self._alarm = socket.socketpair()
        self._wakeup.settimeout(0)
        self._alarm.settimeout(0)
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{options.host}", daemon=True)

    def start(self) -> None:
        """Begin to connect. Hooks and subscriptions may be given before or after."""
        self._thread.start()

    @property
    def connected(self) -> bool:
        return self._connected

    @property
    def hopeful(self) -> bool:
        """Connected, or the first attempt has not failed yet."""
        return self._connected or self._hopeful

    @property
    def version(self) -> Version:
        """Of MQTT, as spoken now or tried next."""
        return self._dialect.version

    @property
    def trouble(self) -> str | None:
        """What keeps it from being connected, or throws it out again and again; None when nothing does."""
        return self._log.now if not self._connected or self._rivalry.suspected else None

    @property
    def held_bytes(self) -> int:
        """Memory that unsent messages take."""
        return self._outbox.held_bytes

    def on_connected(self, hook: Callable[[], None]) -> None:
        """Call `hook` in the connection's thread after every connect: publish every retained state anew there.

        The broker is a cache that may have lost everything. A hook given while connected waits for the next connect.
        """
        self._hooks.append(hook)

    def on_settled(self, hook: Callable[[], None]) -> None:
        """Call `hook` in the connection's thread when a message of QoS 1 or 2 was sent or lost: there may be room."""
        self._outbox.on_settled(hook)

    def has_room(self, topic: str, payload: bytes) -> bool:
        """Whether a message of QoS 1 or 2 that its caller keeps should be given now; see `Outbox.has_room`."""
        return self._outbox.has_room(Outgoing(topic, payload, 1, retain=True).size)

    def publish(  # noqa: PLR0913 (a PUBLISH has so many properties)
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        expiry_s: float | None = None,
        content_type: str | None = None,
        settled: Callable[[str], None] | None = None,
        again: Callable[[], bytes] | None = None,
        correlation: bytes | None = None,
    ) -> bool:
        """Queue a message; never waits. True when it was taken, False when it is lost at once (and counted).

        QoS 0 is taken while connected, and before the first attempt to connect has failed; when the queue is full (the
        broker stalls) its oldest are lost. QoS 1 and 2 are kept while the broker is away, as long as there is room.
        expiry_s: not sent, and by MQTT 5 brokers not kept, for longer. settled: called once, with "" when a broker has
        acknowledged (QoS 0: the network has taken) the message, with the reason when it is lost. again: makes the
        payload when it has to be sent once more, since the connection broke before an acknowledgement.
        correlation: which request of MQTT 5 this answers.
        A topic that the broker's ACL forbids is reported for QoS 1 and 2 over MQTT 5 only: no broker answers to QoS 0.

        Raises:
            ValueError: no valid topic or QoS.
        """
        _check_topic(topic)
        if qos not in (0, 1, 2):
            raise ValueError(f"qos must be 0, 1 or 2, got {qos}")
        deadline_ns = None if expiry_s is None else self._clock.monotonic_ns() + int(expiry_s * 1e9)
        message = Outgoing(topic, payload, qos, retain, content_type, deadline_ns, settled, again)
        message.correlation = correlation
        limit = self._packet_limit
        if self._closing:
            self._outbox.drop(message, "closed")
        elif qos == 0 and not (self._connected or self._hopeful):
            self._outbox.drop(message, "offline")
        elif limit is not None and message.size > limit:
            self._outbox.drop(message, "too_large")
            self._log.refused("publish", topic, f"its {message.size} bytes are above the broker's limit of {limit}")
        elif self._outbox.put(message):
            self._wake()
            return True
        return False

    def subscribe(self, topic_filter: str, callback: Callable[[Message], None], *, qos: int = 1) -> None:
        """Call `callback` in the connection's thread for what arrives; subscribed anew on every connect.

        topic_filter: `+` and `#` as usual; `$share/GROUP/FILTER` over MQTT 5. Given again, the other callback replaces
        the first, and the broker is asked again for what it retains.
        A broker may grant a filter that its ACL forbids, and then nothing arrives (mosquitto does).
        """
        self._subscriptions.add(topic_filter, callback, qos)
        self._wake()

    def unsubscribe(self, topic_filter: str) -> None:
        self._subscriptions.remove(topic_filter)
        self._wake()

    def close(self, timeout_s: float, last_words: Callable[[], None] | None = None) -> None:
        """Send what is queued and wait for acknowledgements, at most for `timeout_s`, then disconnect for good.

        Without a connection nothing is waited for, but the first attempt to connect. What could not be sent is counted
        as dropped. last_words: called if connected, after the hooks of that connect, to publish what is due at the end.
        Unless they arrive, the broker publishes the will.
        """
        spoken = False
        deadline_ns = self._clock.monotonic_ns() + int(timeout_s * 1e9)
        if self._thread.is_alive():
            self._outbox.wait(lambda: self._greeted or not (self._connected or self._hopeful), timeout_s)
            if self._greeted and last_words is not None:
                last_words()
                spoken = True
        self._closing = True
        if self._thread.is_alive():
            left = left_s(self._clock, deadline_ns)
            self._outbox.wait(lambda: self._outbox.empty or not (self._connected or self._hopeful), left)
        self._goodbye = self._will is None or (spoken and self._outbox.empty)
        self._stop.set()
        self._wake()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(_JOIN_S)  # looking up a host can last longer; the thread then ends by itself
        self._outbox.drop_all("closed")
        self._alarm.close()
        self._wakeup.close()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it will wake; closed: there is nobody to wake
            self._alarm.send(b"!")

    # In the connection's thread.

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                pause_s = self._connect_and_stay()
            except Exception:  # the thread's outermost line; it lives on, for the broker may come back
                logger.exception("the MQTT connection failed unexpectedly; trying again")
                pause_s = trouble.FAR_CAP_S
            self._clock.wait(self._stop, pause_s)
        self._hopeful = False
        self._outbox.stir()

    def _connect_and_stay(self) -> float:
        """One connection from opening to its end; returns how long to wait before the next one."""
        session, lasted_s = self._attempt()
        if self._stop.is_set() or self._dialect.try_other(session):
            return 0.0
        why = session.trouble or trouble.lost("", self.options, answered=session.accepted)
        said = why.kind == trouble.TAKEN_OVER_KIND
        self._rivalry.ended(closed=session.accepted and session.hung_up, said=said, lasted_s=lasted_s)
        if self._rivalry.suspected and not said:
            why = trouble.short_lived(self.options)
        stable = lasted_s >= STABLE_S and not self._rivalry.suspected
        self._failures = 1 if stable else self._failures + 1
        self._hopeful = False
        self._outbox.drop_fleeting("offline")
        lasting_s = self._log.trouble(why, self._clock.monotonic_ns() / 1e9, episode_over=stable)
        return trouble.pause_s(self._failures, lasting_s, slow=why.slow, draw=self._draw)

    def _attempt(self) -> tuple[Session, float]:
        """One connection from opening to its end, and how many seconds it had been accepted for."""
        session = Session(
            self.options,
            self._dialect.version,
            self._outbox,
            self._subscriptions,
            clock=self._clock,
            learned_limit=self._learned_limit,
            will=self._will,
            on_refused=self._log.refused,
        )
        accepted_ns = 0
        session.connect()
        try:
            while session.alive and not self._stop.is_set():
                if session.accepted and not accepted_ns:
                    accepted_ns = self._clock.monotonic_ns()
                    self._greet(session)
                if accepted_ns:
                    self._rivalry.lasts((self._clock.monotonic_ns() - accepted_ns) / 1e9)
                more = False
                if session.accepted:
                    session.subscribe()
                    more = session.send()
                session.run_once(self._wakeup, 0 if more else _POLL_S)
        finally:
            self._connected = self._greeted = False
            self._learned_limit = session.learned_limit
            session.close(goodbye=self._goodbye)
        return session, (self._clock.monotonic_ns() - accepted_ns) / 1e9 if accepted_ns else 0.0

    def _greet(self, session: Session) -> None:
        self._packet_limit = session.packet_limit
        self._connected = True
        self._dialect.accepted()
        self._log.connected(session.version)
        for hook in self._hooks:
            try:
                hook()
            except Exception:  # foreign code in this thread, which must live
                logger.exception("a hook for a new MQTT connection failed")
        self._greeted = True
        self._hopeful = False
        self._outbox.stir()


class Dialect:
    """Which version of MQTT to speak. Rules only.

    Some old brokers hang up on MQTT 5 instead of refusing it. So does a proxy before a broker that restarts: hence
    3.1.1 is kept only when it is accepted right after 5 was hung up on, and never once 5 has been accepted.
    """

    def __init__(self, wanted: Version | None) -> None:
        self.version: Version = wanted or "5"
        self._settled = wanted is not None

    def accepted(self) -> None:
        self._settled = True

    def try_other(self, session: Session) -> bool:
        """After a session ended: whether to try the other version at once."""
        if self._settled or session.accepted:
            return False
        if self.version == "5" and (session.version_refused or session.hung_up):
            self.version = "3.1.1"
            return True
        self.version = "5"
        return False


class _TroubleLog:
    """Says once that trouble starts, with cause and remedy, and once that it ends.

    Several causes in one episode are each said once. An episode is over when a connection lasted for STABLE_S.
    """

    def __init__(self, options: MqttOptions) -> None:
        self.now: str | None = None
        self._where = options.where
        self._said: set[str] = set()
        self._open = False
        self._first = True
        self._began_s: float | None = None
        self._refused: set[tuple[str, str]] = set()

    def trouble(self, why: Trouble, now_s: float, *, episode_over: bool) -> float:
        """Log it if it is news; returns for how many seconds there has been trouble."""
        if episode_over:
            self._said.clear()
            self._began_s = None
        if self._began_s is None:
            self._began_s = now_s
        self.now = why.text
        if why.kind not in self._said:
            self._said.add(why.kind)
            self._open = True
            logger.warning("%s; trying again", why.text)
        return now_s - self._began_s

    def connected(self, version: Version) -> None:
        if self._open or self._first:
            again = " again" if self._open else ""
            logger.info("connected%s to the MQTT broker at %s", again, self._where, extra={"mqtt": version})
        self._open = self._first = False

    def refused(self, what: str, topic: str, reason: str) -> None:
        """One topic that the broker does not take; said once for each."""
        if (what, topic) in self._refused or len(self._refused) >= _TOPICS_NAMED:
            return
        self._refused.add((what, topic))
        hint = "allow it in the broker's ACL" if "authorized" in reason else "see the broker's limits and its log"
        logger.warning("the MQTT broker at %s does not let us %s %s: %s; %s", self._where, what, topic, reason, hint)


def _check_topic(topic: str) -> None:
    if not topic or len(topic.encode()) > 65535 or any(mark in topic for mark in "+#\0"):
        raise ValueError(f"topic must be 1 to 65535 bytes without +, # and NUL, got {topic[:80]!r}")
