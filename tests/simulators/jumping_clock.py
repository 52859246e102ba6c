"""`edgemass` on a board whose clock is set while it runs: SIGUSR1 is 50 years ahead, SIGUSR2 50 years back.

Run as `python -m tests.simulators.jumping_clock run ...`. The wall clock of the whole process jumps, and the monotonic
one does not, as with `date --set`.
"""

from __future__ import annotations

import signal
import sys
import time

YEARS_NS = 50 * 365 * 86_400 * 1_000_000_000


def main() -> int:
    true_ns = time.time_ns
    ahead_ns = 0

    def jump(number: int, _: object) -> None:
        nonlocal ahead_ns
        ahead_ns += YEARS_NS if number == signal.SIGUSR1 else -YEARS_NS

    signal.signal(signal.SIGUSR1, jump)
    signal.signal(signal.SIGUSR2, jump)
    time.time_ns = lambda: true_ns() + ahead_ns
    time.time = lambda: time.time_ns() / 1e9
    from edgemass import cli

    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
