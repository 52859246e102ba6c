"""A serial port that comes back by itself: one thread that opens it, writes what waits and reads what comes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import select
import socket
import struct
import termios
import threading
from collections.abc import Callable

import serial

from edgemass.clock import Clock
from edgemass.counters import Counters
from edgemass.sinks._serial_framing import LAST_NUMBER, Damage, Request, Splitter, seal, unseal
from edgemass.sinks._serial_options import SerialOptions
from edgemass.sinks._serial_outbox import Line, Outbox
from edgemass.sinks._serial_port import PortError, Trouble, open_port, stable_name

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
"""Between attempts to open. A port is asked at no cost to anybody, so it need not be asked rarely."""
STABLE_S = 10.0
"""A port that stayed open so long ends an episode of trouble; a shorter time only interrupts it."""
STALL_S = 2.0
"""Without a byte being taken."""
AHEAD_S = 0.1
"""How far the kernel's own queue may run ahead, in time on the wire: what is taken later is newer."""
LEAST_AHEAD_BYTES = 256
READ_BYTES_PER_S = 16_384
"""What is read at most, where the baud rate does not carry more: no sender can keep us from our work."""
_READ_BYTES = 4096
_POLL_S = 0.5
_JOIN_S = 2.0
_SECOND_NS = 1_000_000_000


class SerialLink:
    """Sends what `outbox` gives, hands lines to `arrived`, and calls `opened` after every opening; for ever.

    connected: the port is open. trouble: what keeps it from working, None when nothing does.
    """

    def __init__(
        self,
        options: SerialOptions,
        outbox: Outbox,
        *,
        opened: Callable[[], None],
        arrived: Callable[[Request | Damage], None],
        counters: Counters,
        clock: Clock,
    ) -> None:
        self.connected = False
        self.trouble: str | None = None
        self._options = options
        self._outbox = outbox
        self._opened = opened
        self._arrived = arrived
        self._counters = counters
        self._clock = clock
        self._number = 0
        self._failures = 0
        self._said: set[str] = set()
        self._advised = False
        self._stop = threading.Event()
        self._deadline_ns: int | None = None  # of what is still owed, once `close` was called
        self._wakeup, self._alarm = socket.socketpair()
        self._wakeup.setblocking(False)  # noqa: FBT003 (the library's own)
        self._alarm.setblocking(False)  # noqa: FBT003
        self._thread = threading.Thread(target=self._run, name=f"serial-{options.path.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Something waits."""
        with contextlib.suppress(OSError):  # full: it will wake; closed: there is nobody to wake
            self._alarm.send(b"!")

    def close(self, timeout_s: float) -> None:
        """Send what is owed, at most for `timeout_s`, and let go of the port."""
        if self._deadline_ns is None:
            self._deadline_ns = self._clock.monotonic_ns() + int(timeout_s * 1e9)
            self._stop.set()
            self.wake()
            self._thread.join(timeout_s + _JOIN_S)  # a driver may hang; the thread is left behind then
            self._outbox.drop_all("closed")
            self._alarm.close()

    # In the port's thread.

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._visit()
            except Exception:  # the thread's outermost line; it lives on, for the port may come back
                logger.exception("the serial port failed unexpectedly; trying again")
            self._failures += 1
            self._clock.wait(self._stop, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._failures - 1, 8)))
        self._wakeup.close()

    def _visit(self) -> None:
        """From the opening of the port to its end."""
        try:
            port = open_port(self._options)
        except PortError as error:
            self._tell(error.trouble)
            return
        opened_ns = self._clock.monotonic_ns()
        try:
            self._advise()
            logger.info("%s is open", self._options.path, extra={"baud": self._options.baud})
            self._opened()
            self.connected, self.trouble = True, None
            self._stay(port)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            self._tell(Trouble("lost", f"lost {self._options.path} ({why}); is it plugged in?"))
        finally:
            self.connected = False
            self._outbox.closed()
            with contextlib.suppress(OSError, termios.error):
                if _ahead(port.fileno()):  # else closing waits for a reader that stopped
                    termios.tcflush(port.fileno(), termios.TCOFLUSH)
            with contextlib.suppress(OSError):
                port.close()
            if self._clock.monotonic_ns() - opened_ns >= STABLE_S * 1e9:
                self._failures = 0
                self._said.clear()

    def _stay(self, port: serial.Serial) -> None:
        """Raises OSError when the port goes away."""
        writer = _Writer(port.fileno(), self._options, self._clock)
        reader = _Reader(port.fileno(), self._options, self._clock)
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        try:
            while not self._over(writer):
                wait_s = self._write(writer)
                events = (select.POLLIN if reader.may else 0) | (select.POLLOUT if writer.stuck else 0)
                poll.register(port.fileno(), events)
                for descriptor, event in poll.poll(1000 * wait_s):
                    if descriptor == self._wakeup.fileno():
                        self._wakeup.recv(4096)
                    elif event & ~(select.POLLIN | select.POLLOUT):
                        raise OSError(errno.EIO, "it hung up")
                    elif event & select.POLLIN:
                        self._read(reader)
        finally:
            if writer.line is not None:
                self._outbox.lost(writer.line, "closed" if self._stop.is_set() else "lost")

    def _over(self, writer: _Writer) -> bool:
        """Whether to let go of the port: told to, and nothing is owed, or its time is over."""
        if not self._stop.is_set():
            return False
        assert self._deadline_ns is not None
        owed = writer.line is not None or self._outbox.owes or writer.ahead() > 0
        return not owed or self._clock.monotonic_ns() >= self._deadline_ns

    def _write(self, writer: _Writer) -> float:
        """Write what waits; returns for how many seconds there is nothing to do."""
        while True:
            if writer.line is None:
                if writer.ahead() >= writer.most_ahead:
                    self._stalled(writer)
                    return AHEAD_S / 2
                line = self._outbox.take()
                if line is None:
                    due_s = self._outbox.due_in_s()
                    return _POLL_S if due_s is None else min(_POLL_S, due_s)
                self._number = self._number % LAST_NUMBER + 1
                writer.begin(line, seal(self._number, line.body))
            if not writer.go_on():
                self._stalled(writer)
                return _POLL_S
            assert writer.line is not None
            self._outbox.sent(writer.line)
            writer.line = None
            if self.trouble is not None:
                self.trouble = None
                logger.info("%s takes lines again", self._options.path)

    def _stalled(self, writer: _Writer) -> None:
        if writer.still_s() >= STALL_S and self.trouble is None:
            hint = "; see the wires RTS and CTS" if self._options.rtscts else ""
            self.trouble = f"nobody reads what we send to {self._options.path}; is the other end running{hint}?"
            logger.warning("%s", self.trouble)
            self._counters.add("stalls")

    def _read(self, reader: _Reader) -> None:
        for line in reader.read():
            self._arrived(line if isinstance(line, Damage) else unseal(line))
        if reader.flooded:
            self._counters.add("flooded")
            if "flood" not in self._said:
                self._said.add("flood")
                logger.warning("more comes from %s than we read; its sender must pause", self._options.path)

    def _tell(self, trouble: Trouble) -> None:
        """Each kind once in an episode."""
        self.trouble = trouble.text
        if trouble.kind not in self._said:
            self._said.add(trouble.kind)
            logger.warning("%s; trying again", trouble.text)

    def _advise(self) -> None:
        stable = None if self._advised else stable_name(self._options.path)
        self._advised = True
        if stable is not None:
            logger.warning("%s may have another number after a restart; use serial://%s", self._options.path, stable)


class _Writer:
    """One line at a time into a descriptor that does not block. line: the one under way; stuck: it waits for room."""

    def __init__(self, descriptor: int, options: SerialOptions, clock: Clock) -> None:
        self.line: Line | None = None
        self.stuck = False
        self.most_ahead = max(LEAST_AHEAD_BYTES, int(options.bytes_per_s * AHEAD_S))
        self._descriptor = descriptor
        self._clock = clock
        self._rest = memoryview(b"")
        self._ahead = 0
        self._moved_ns = clock.monotonic_ns()

    def begin(self, line: Line, text: bytes) -> None:
        self.line = line
        self._rest = memoryview(text)
        if not self._ahead:
            self._moved_ns = self._clock.monotonic_ns()

    def go_on(self) -> bool:
        """Write; True when the line is out.

        Raises:
            OSError: the port is gone.
        """
        self.stuck = False
        while self._rest:
            try:
                count = os.write(self._descriptor, self._rest)
            except BlockingIOError:
                count = 0
            if count == 0:
                self.stuck = True
                return False
            self._rest = self._rest[count:]
            self._moved_ns = self._clock.monotonic_ns()
        return True

    def ahead(self) -> int:
        """Bytes in the kernel's queue; 0 where the driver does not tell."""
        ahead = _ahead(self._descriptor)
        if ahead < self._ahead:
            self._moved_ns = self._clock.monotonic_ns()
        self._ahead = ahead
        return ahead

    def still_s(self) -> float:
        """Seconds since a byte was taken."""
        return (self._clock.monotonic_ns() - self._moved_ns) / 1e9


class _Reader:
    """Lines from a descriptor, so many bytes a second. flooded: more came in this second, and the rest must wait."""

    def __init__(self, descriptor: int, options: SerialOptions, clock: Clock) -> None:
        self.flooded = False
        self._descriptor = descriptor
        self._clock = clock
        self._splitter = Splitter(options.max_line)
        self._limit = max(READ_BYTES_PER_S, int(2 * options.bytes_per_s))
        self._second_ns = clock.monotonic_ns()
        self._in_second = 0

    @property
    def may(self) -> bool:
        """Whether anything may be read now."""
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._second_ns >= _SECOND_NS:
            self._second_ns, self._in_second = now_ns, 0
        return self._in_second < self._limit

    def read(self) -> list[bytes | Damage]:
        """Raises OSError when the port is gone."""
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return []
        if not data:
            raise OSError(errno.EIO, "it hung up")
        self._in_second += len(data)
        self.flooded = self._in_second >= self._limit
        return list(self._splitter.feed(data))


def _ahead(descriptor: int) -> int:
    """Bytes that the kernel has not sent yet."""
    try:
        raw = fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0" * 4)
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.EINVAL):
            return 0
        raise
    return int(struct.unpack("i", raw)[0])
