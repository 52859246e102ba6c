"""What a daemon costs that only looks: one camera at 5 fps, an int8 model, a broker, nothing that happens.

    python tests/benchmarks/idle_cost.py [MODEL ...] [--case CASE]... [--seconds S] [--settle S] [--json FILE]

Each row is a daemon of its own, started from a configuration file, with its state on a disk; as of the service, what it
keeps in RUNTIME_DIRECTORY lies in memory. A real mosquitto takes what it publishes. After --settle seconds it is
measured for --seconds: cpu_pct is user and system time of the process as percent of one core (/proc/PID/stat), rss_mb
and pss_mb medians of /proc/PID/smaps_rollup. Both of a day, from /proc/PID/io: written_mb_day is what went to block
devices (write_bytes less cancelled_write_bytes), given_mb_day what files and pipes were given (wchar, without sockets).

small, 720p: the camera's pictures. quiet: health told every hour instead of every 30 s. page: with the device page, at
which nobody looks. by hand: as `run --state DIR`, which keeps status.json beside the state. Events are on, as where
there is a broker; a model that takes the drawn discs for things tells of them, and is not idle.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks._harness import BUILD, Row, arguments, finish, skip
from tests.simulators import broker as brokers
from tests.simulators.broker import Broker, wait_until
from tests.simulators.daemon import Daemon

SECONDS, SETTLE = 120.0, 30.0
DAY_S = 86_400.0
MODELS = ("edgemass-person",)
LOOK_S = 5.0
START_S = 120.0
MEMORY = Path("/dev/shm")
SMALL, LARGE = "synthetic:?width=320&height=240&fps=5", "synthetic:?width=1280&height=720&fps=5"
QUIET, USUAL = "[health]\nevery_s = 3600\n", ""
PAGE = '[http]\nlisten = "127.0.0.1:{port}"\n'
BY_HAND = "720p, by hand"
CASES = {  # name -> camera, further tables
    "small": (SMALL, USUAL),
    "720p, quiet": (LARGE, QUIET),
    "720p": (LARGE, USUAL),
    "720p, page": (LARGE, PAGE),
    BY_HAND: (LARGE, USUAL),
}


@dataclass(frozen=True)
class Reading:
    """Of one process, since it began. cpu_s: user and system time. written: bytes that went to block devices."""

    at_s: float
    cpu_s: float
    written: int
    given: int

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
        )


def memory_mb(pid: int) -> tuple[float, float]:
    """RSS and PSS."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    kilobytes = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
    return kilobytes["Rss"] * 1024 / 1e6, kilobytes["Pss"] * 1024 / 1e6


def configuration(folder: Path, model: str, case: str, broker: Broker) -> Path:
    source, tables = CASES[case]
    text = (
        f'device = "idle"\nmodel = "{model}"\nstate = "{folder / "state"}"\nsinks = ["{broker.url}"]\ntune = false\n'
        f'[cameras.yard]\nsource = "{source}"\n{tables.format(port=brokers.free_port())}'
    )
    file = folder / "edgemass.toml"
    file.write_text(text, encoding="utf-8")
    return file


@contextlib.contextmanager
def runtime_directory(*, by_hand: bool) -> Iterator[None]:
    """As systemd gives one to the service: in memory."""
    os.environ.pop("RUNTIME_DIRECTORY", None)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        if not by_hand:
            os.environ["RUNTIME_DIRECTORY"] = folder
        yield


def measure(folder: Path, model: str, case: str, *, settle_s: float, seconds: float) -> Row:
    """One daemon, from its start to its end."""
    with Broker(folder / "broker") as broker, runtime_directory(by_hand=case == BY_HAND):
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
        "given_mb_day": round((after.given - before.given) * a_day / 1e6, 1),
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
    if not MEMORY.is_dir():
        skip(f"no {MEMORY}, where memory can be written as files")
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
