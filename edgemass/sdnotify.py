"""Tell the service manager how this process is, by the datagrams of sd_notify(3).

Nothing here raises: where nobody listens, nothing is said.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

SEND_S = 1.0
"""The service manager's queue is full for so long at most."""
NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"


class Notifier:
    """The service manager of this process, where there is one.

    address: as NOTIFY_SOCKET gives it, a path or `@name` of an abstract socket; "" = nobody listens.
    watchdog_s: within so long of the last `alive` comes the next, or the process is killed; None = it is not watched.
    """

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        self.address = address
        self.watchdog_s = watchdog_s if address else None

    def ready(self) -> bool:
        """Started, or a reload is over."""
        return self._send("READY=1")

    def alive(self) -> bool:
        """The watchdog's time begins anew."""
        return self._send("WATCHDOG=1")

    def status(self, line: str) -> bool:
        """What `systemctl status` shows."""
        return self._send(f"STATUS={' '.join(line.split())}")

    def reloading(self, monotonic_ns: int) -> bool:
        """A reload begins; `ready` ends it."""
        return self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_ns // 1000}")

    def stopping(self) -> bool:
        return self._send("STOPPING=1")

    def extend(self, seconds: float) -> bool:
        """The start, or the end, may take so much longer from now."""
        return self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def _send(self, text: str) -> bool:
        """Whether it was handed over."""
        if not self.address:
            return False
        abstract = self.address.startswith("@")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
                sending.settimeout(SEND_S)
                sending.sendto(text.encode(), b"\0" + self.address[1:].encode() if abstract else self.address)
        except (OSError, ValueError):
            return False
        return True


def from_environment(environment: Mapping[str, str], process_id: int) -> Notifier:
    """What the service manager gave this process with its environment. A value that makes no sense is none."""
    watched = environment.get(WATCHDOG_PID, str(process_id)) == str(process_id)
    microseconds = environment.get(WATCHDOG_USEC, "")
    period_s = int(microseconds) / 1e6 if watched and microseconds.isdecimal() else 0.0
    return Notifier(environment.get(NOTIFY_SOCKET, ""), period_s or None)
