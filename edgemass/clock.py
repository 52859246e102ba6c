"""Time and sleep as something that can be handed in, so that tests need not wait."""

from __future__ import annotations

import ctypes
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TIMESYNC_MARK = Path("/run/systemd/timesync/synchronized")


class Clock(Protocol):
    def monotonic_ns(self) -> int:
        """Never jumps; the only clock that deadlines and durations may use."""

    def time_ns(self) -> int:
        """Unix time; may jump, and may be wrong by decades on a board without a clock battery."""

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait until `event` is set or the time is over; True when it was set."""


class SystemClock:
    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def time_ns(self) -> int:
        return time.time_ns()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        return event.wait(timeout_s)


def left_s(clock: Clock, ends_ns: int) -> float:
    """Seconds until a moment of the monotonic clock; 0 once it is over."""
    return max(0.0, (ends_ns - clock.monotonic_ns()) / 1e9)


def rfc3339(time_ns: int) -> str:
    """Unix nanoseconds as RFC 3339 in UTC with milliseconds: 2026-11-22T10:15:02.118Z."""
    milliseconds = time_ns // 1_000_000
    whole = datetime.fromtimestamp(milliseconds // 1000, timezone.utc)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def boot_id(path: Path = BOOT_ID) -> str:
    """The kernel's id of this boot; a constant where there is none (not Linux)."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return "00000000-0000-0000-0000-000000000000"


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2); only `modes` and `status` are used, the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("room", ctypes.c_long * 4),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


_STA_UNSYNC = 0x0040  # linux/timex.h
_CHECK_EVERY_NS = 10_000_000_000


class _SyncState:
    """Whether the kernel's clock is disciplined, asked at most every 10 s."""

    def __init__(self) -> None:
        self._checked_ns = -_CHECK_EVERY_NS
        self._synced = False

    def __call__(self) -> bool:
        now = time.monotonic_ns()
        if now - self._checked_ns >= _CHECK_EVERY_NS:
            self._checked_ns = now
            self._synced = TIMESYNC_MARK.exists() or _kernel_says_synced()
        return self._synced


def _kernel_says_synced() -> bool:
    """NTP daemons (chrony, ntpd, timesyncd) clear STA_UNSYNC; reading the state needs no privilege."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        timex = _Timex()
        return libc.adjtimex(ctypes.byref(timex)) >= 0 and not timex.status & _STA_UNSYNC
    except (OSError, AttributeError):
        return False


clock_synced = _SyncState()
"""Whether time_ns can be believed."""
