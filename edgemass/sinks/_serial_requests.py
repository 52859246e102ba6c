"""What the other end of a serial port asks for: each request is done once, however often its line comes."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from edgemass.clock import Clock
from edgemass.counters import Counters
from edgemass.sinks import Answer, Command, Commanded
from edgemass.sinks._serial_documents import OURS, Body
from edgemass.sinks._serial_framing import Damage, Request

logger = logging.getLogger(__name__)

REMEMBERED = 16
REMEMBER_NS = 30_000_000_000
"""A number that comes again later is a new request: a microcontroller may have begun anew without a word."""
MAX_PER_S = 20
"""Requests in a second; the next BUSY_PER_S are answered with "busy", and what comes beyond with nothing."""
BUSY_PER_S = 5
DAMAGED_IN_A_ROW = 5
"""So many lines that cannot be read, and none that can, have a cause of their own."""
HELLO = "hello"
_SECOND_NS = 1_000_000_000


@dataclass
class _Done:
    """answer: None while it is being done."""

    request: Request
    came_ns: int
    answer: Body | None = None


class Requests:
    """Takes lines in the port's thread; answers may come from any.

    answer: sends a body. greet: sends the greeting, and all states anew.
    """

    def __init__(
        self,
        name: str,
        *,
        baud: int,
        answer: Callable[[Body], None],
        greet: Callable[[], None],
        counters: Counters,
        clock: Clock,
    ) -> None:
        self._handle: Commanded | None = None
        self._name = name
        self._baud = baud
        self._answer = answer
        self._greet = greet
        self._counters = counters
        self._clock = clock
        self._lock = threading.Lock()
        self._done: OrderedDict[int, _Done] = OrderedDict()
        self._held: deque[_Done] = deque(maxlen=REMEMBERED)  # came before anybody obeys
        self._second_ns = 0
        self._in_second = 0
        self._nak_ns: int | None = None
        self._hello_ns: int | None = None
        self._damaged = 0
        self._garbage = 0
        self._said: set[str] = set()

    def obey(self, handle: Commanded) -> None:
        """Hand over requests from now on; those that came before, first. A board that starts takes its time."""
        while held := self._unless_none(handle):
            for done in held:
                self._do(handle, done)

    def _unless_none(self, handle: Commanded) -> list[_Done]:
        """What is held; nothing is held any more once there is none, so that no request overtakes another."""
        oldest_ns = self._clock.monotonic_ns() - REMEMBER_NS
        with self._lock:
            held = [done for done in self._held if done.came_ns > oldest_ns]
            self._held.clear()
            if not held:
                self._handle = handle
            return held

    def opened(self) -> None:
        """Another end may be there: what was said of the one before does not hold."""
        self._damaged = self._garbage = 0
        self._said.clear()

    def take(self, line: Request | Damage) -> None:
        """Do what a line asks for, or say that it came damaged."""
        if isinstance(line, Damage):
            self._damage(line)
            return
        self._damaged = self._garbage = 0
        if line.k == HELLO:
            self._hello()
        elif line.k == "nak":
            self._counters.add("naks")
        elif line.k in OURS:
            self._counters.add("echoed")
            self._say("echo", f"the other end of {self._name} sends back what we send; switch its echo off")
        else:
            self._ask(line)

    def _hello(self) -> None:
        """The other end has begun anew: its numbers do too."""
        now_ns = self._clock.monotonic_ns()
        if self._hello_ns is not None and now_ns - self._hello_ns < _SECOND_NS:
            self._counters.add("refused")
            return
        self._hello_ns = now_ns
        with self._lock:
            self._done.clear()
            self._held.clear()
        self._greet()

    def _ask(self, request: Request) -> None:
        now_ns = self._clock.monotonic_ns()
        with self._lock:
            known = self._done.get(request.n)
            if known is not None and known.request == request and now_ns - known.came_ns < REMEMBER_NS:
                self._counters.add("repeated")
                if known.answer is not None:  # else it is under way
                    self._answer(known.answer)
                return
        if (number := self._count(now_ns)) > MAX_PER_S:
            self._counters.add("refused")
            if number <= MAX_PER_S + BUSY_PER_S:
                self._answer(_body(request, Answer(ok=False, error="busy")))
            return
        self._counters.add("requests")
        done, handle = self._remember(request, now_ns)
        if handle is not None:
            self._do(handle, done)

    def _do(self, handle: Commanded, done: _Done) -> None:
        request = done.request
        try:
            handle(Command(request.k, request.c, _text(request.v)), lambda answer: self._end(done, answer))
        except Exception:  # foreign code in the port's thread, which must live
            logger.exception("a command from %s failed", self._name, extra={"command": request.k})
            self._end(done, Answer(ok=False, error="failed"))

    def _remember(self, request: Request, now_ns: int) -> tuple[_Done, Commanded | None]:
        """It, and who does it; None: it is held until somebody does."""
        done = _Done(request, now_ns)
        with self._lock:
            if self._handle is None:
                self._held.append(done)
            self._done[request.n] = done
            self._done.move_to_end(request.n)
            while len(self._done) > REMEMBERED:
                self._done.popitem(last=False)
            return done, self._handle

    def _end(self, done: _Done, answer: Answer) -> None:
        body = _body(done.request, answer)
        with self._lock:
            if done.answer is not None:
                return
            done.answer = body
        self._answer(body)

    def _count(self, now_ns: int) -> int:
        """Of requests in this second, this one too."""
        if now_ns - self._second_ns >= _SECOND_NS:
            self._second_ns, self._in_second = now_ns, 0
        self._in_second += 1
        return self._in_second

    def _damage(self, damage: Damage) -> None:
        """Count it, say so to the other end at most once a second, and to a person when there is nothing else."""
        self._counters.add("damaged")
        self._counters.add(f"damaged.{damage.value}")
        self._damaged += 1
        self._garbage += damage in (Damage.GARBAGE, Damage.LONG)
        now_ns = self._clock.monotonic_ns()
        if self._nak_ns is None or now_ns - self._nak_ns >= _SECOND_NS:
            self._nak_ns = now_ns
            self._answer({"k": "nak", "e": damage.value})
        if self._damaged < DAMAGED_IN_A_ROW:
            return
        if 2 * self._garbage >= self._damaged:
            self._say("garbage", f"what comes from {self._name} is garbage; is its other end set to {self._baud} baud?")
        else:
            self._say("no CRC", f"lines come from {self._name} without a right CRC; see docs/serial.md for their form")

    def _say(self, what: str, text: str) -> None:
        """Once for each opening."""
        if what not in self._said:
            self._said.add(what)
            logger.warning("%s", text)


def _text(value: str | float | bool | None) -> str:  # noqa: FBT001 (JSON has them)
    """As it would be written over MQTT."""
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    return "" if value is None else str(value)


def _body(request: Request, answer: Answer) -> Body:
    body: Body = {"k": "ans", "r": request.n, "ok": int(answer.ok)}
    if answer.error:
        body["e"] = answer.error
    if answer.result is not None:
        body["v"] = msgspec.json.decode(msgspec.json.encode(answer.result))  # as JSON has it
    return body
