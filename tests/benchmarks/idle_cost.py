"""What a daemon costs that only looks: one camera at 5 fps, an int8 model, a broker, nothing that happens.

    python tests/benchmarks/idle_cost.py [MODEL ...] [--seconds S] [--settle S] [--json FILE]

Each row is a daemon of its own, started from a configuration file as the service starts it, with its state in a folder
on a real disk; a real mosquitto takes what it publishes. After --settle seconds it is measured for --seconds: cpu_pct
is user and system time of the process as percent of one core (/proc/PID/stat), rss_mb and pss_mb medians of what
/proc/PID/smaps_rollup says, written_mb_day what /proc/PID/io says went to block devices (write_bytes), a day. calls_day
are the write() calls of it all (syscw), sockets and pipes included. bytes_day is what they were given to write (wchar),
which counts what goes to the broker too.

small, 720p: the camera's pictures. quiet: no page, and health told every hour instead of every 30 s. page: as a user
has it, with the device page that nobody looks at. events: tracks and events on top.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks._harness import BUILD, Row, arguments, finish, skip
from tests.simulators import broker as brokers
from tests.simulators.broker import Broker, wait_until
from tests.simulators.daemon import Daemon

SECONDS, SETTLE = 120.0, 45.0
DAY_S = 86_400.0
MODELS = ("edgemass-person",)
LOOK_S = 5.0
START_S = 120.0
SMALL, LARGE = "synthetic:?width=320&height=240&fps=5", "synthetic:?width=1280&height=720&fps=5"
QUIET, USUAL = "[health]\nevery_s = 3600\n", ""
PAGE = '[http]\nlisten = "127.0.0.1:{port}"\n'
CASES = {
    "small, quiet": (SMALL, "", QUIET),
    "small": (SMALL, "", USUAL),
    "720p, quiet": (LARGE, "", QUIET),
    "720p": (LARGE, "", USUAL),
    "720p, page": (LARGE, "", USUAL + PAGE),
    "720p, page, events": (LARGE, "events = true\n", USUAL + PAGE),
}


@dataclass(frozen=True)
class Reading:
    """Of one process, since it began. cpu_s: user and system time. written: bytes that went to block devices."""

    at_s: float
    cpu_s: float
    written: int
    given: int
    calls: int

    @classmethod
    def of(cls, pid: int) -> Reading:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        lines = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
        counted = {key: int(value) for key, _, value in (line.partition(": ") for line in lines)}
        ticks = int(stat[11]) + int(stat[12])
        return cls(
            time.monotonic(),
            ticks / os.sysconf("SC_CLK_TCK"),
            counted["write_bytes"] - counted["cancelled_write_bytes"],
            counted["wchar"],
            counted["syscw"],
        )


def memory_mb(pid: int) -> tuple[float, float]:
    """RSS and PSS."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    kilobytes = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
    return kilobytes["Rss"] * 1024 / 1e6, kilobytes["Pss"] * 1024 / 1e6


def configuration(folder: Path, model: str, case: str, broker: Broker) -> Path:
    source, camera, tables = CASES[case]
    text = (
        f'device = "idle"\nmodel = "{model}"\nstate = "{folder / "state"}"\nsinks = ["{broker.url}"]\ntune = false\n'
        f'[cameras.yard]\nsource = "{source}"\n{camera}{tables.format(port=brokers.free_port())}'
    )
    file = folder / "edgemass.toml"
    file.write_text(text, encoding="utf-8")
    return file


def measure(folder: Path, model: str, case: str, *, settle_s: float, seconds: float) -> Row:
    """One daemon, from its start to its end."""
    with Broker(folder / "broker") as broker:
        file = configuration(folder, model, case, broker)
        with Daemon(folder, "--config", str(file)) as daemon:
            wait_until(lambda: "camera online" in daemon.err or not daemon.running, "frames", START_S)
            time.sleep(settle_s)
            if not daemon.running:
                raise SystemExit(f"{case}: the daemon has ended:\n{daemon.err}")
            before, memory = Reading.of(daemon.pid), []
            while time.monotonic() < before.at_s + seconds:
                time.sleep(LOOK_S)
                memory.append(memory_mb(daemon.pid))
            after = Reading.of(daemon.pid)
            code = daemon.end()
        if code:
            raise SystemExit(f"{case}: the daemon ended with {code}:\n{daemon.err}")
    passed_s = after.at_s - before.at_s
    a_day = DAY_S / passed_s
    return {
        "model": Path(model).stem,
        "case": case,
        "cpu_pct": round(100 * (after.cpu_s - before.cpu_s) / passed_s, 2),
        "rss_mb": round(statistics.median(rss for rss, _ in memory), 1),
        "pss_mb": round(statistics.median(pss for _, pss in memory), 1),
        "written_mb_day": round((after.written - before.written) * a_day / 1e6, 2),
        "calls_day": round((after.calls - before.calls) * a_day),
        "bytes_day_mb": round((after.given - before.given) * a_day / 1e6, 1),
    }


def main() -> int:
    parser = arguments(__doc__, "idle_cost")
    parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL", help=f"(default: {', '.join(MODELS)})")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"measured (default: {SECONDS:g})")
    parser.add_argument("--settle", type=float, default=SETTLE, help=f"before that (default: {SETTLE:g})")
    parser.add_argument("--case", action="append", choices=CASES, help="only this one; may be given again")
    options = parser.parse_args()
    if reason := brokers.missing():
        skip(reason)
    rows: list[Row] = []
    BUILD.mkdir(parents=True, exist_ok=True)
    for model in options.models:
        for case in options.case or CASES:
            with tempfile.TemporaryDirectory(dir=BUILD) as folder:  # not in /tmp, which may be memory
                rows.append(measure(Path(folder), model, case, settle_s=options.settle, seconds=options.seconds))
            print(rows[-1], flush=True)
    finish("idle_cost", options.json, rows=rows, figures={"seconds": options.seconds})
    return 0


if __name__ == "__main__":
    sys.exit(main())
