"""Whether a long run grows: 100,000 frames through the whole line of one camera, with a camera's reader beside it.

    python tests/benchmarks/soak.py [MODEL] [--frames N] [--settle N]

Synthetic frames -> capture thread -> a small model -> document -> JSON. The resident set after the first --settle
frames is held against the greatest and the last one afterwards.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path

from edgemass import bundles
from edgemass.bench import endless
from edgemass.imaging import leave_cores_to_the_runtime
from tests.benchmarks._harness import Row, arguments, finish
from tests.benchmarks._line import counting_line, load

FRAMES, SETTLE, LOOKS = 100_000, 2_000, 50
SOURCE = "synthetic:?width=320&height=240&frames=1000000000"


def rss_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    parser = arguments(__doc__, "soak")
    parser.add_argument("model", nargs="?", default="demo:", help="(default: demo:, a small face detector)")
    parser.add_argument("--frames", type=int, default=FRAMES, metavar="N", help=f"(default: {FRAMES})")
    parser.add_argument("--settle", type=int, default=SETTLE, metavar="N", help=f"before counting (default: {SETTLE})")
    parser.add_argument("--source", default=SOURCE, help="camera to run on (default: made-up 320x240)")
    options = parser.parse_args()
    if options.frames <= options.settle:
        parser.error(f"--frames must be above --settle ({options.settle}), found {options.frames}")
    leave_cores_to_the_runtime()
    bundle = bundles.resolve(options.model)
    detector, variant = load(bundle, 1, synthetic=False)
    line = counting_line(bundle, detector, variant)
    frames = endless(options.source)
    rows: list[Row] = []
    settled = greatest = 0
    started = time.perf_counter()
    step = max(1, (options.frames - options.settle) // LOOKS)
    for number in range(1, options.frames + 1):
        line.process(next(frames))
        if number == options.settle:
            gc.collect()
            settled = rss_bytes()
        if number >= options.settle and (number - options.settle) % step == 0:
            now = rss_bytes()
            greatest = max(greatest, now)
            rows.append({"frames": number, "rss_mb": round(now / 1e6, 2), "growth": round(now / settled - 1, 5)})
            rate = number / (time.perf_counter() - started)
            print(
                f"{number} frames, {rate:.0f} a second, {now / 1e6:.1f} MB, growth {now / settled - 1:+.3%}", flush=True
            )
    frames.close()
    last = rss_bytes()
    figures = {"growth_last": last / settled - 1, "growth_greatest": greatest / settled - 1, "frames": options.frames}
    finish("soak", options.json, rows=rows, figures=figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
