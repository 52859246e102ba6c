"""What the device page's live views cost a camera: nothing while nobody looks, and how much while somebody does.

A real detector on a street in 720p, in turns: without a view, with one that nobody looks at, and with 4 viewers at 5
pictures a second. CPU seconds of the whole process, drawing included: on a shared machine time on the wall says little.

    python tests/benchmarks/page_views.py --rounds 5
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

from edgemass.bundles import resolve
from edgemass.clock import SystemClock
from edgemass.config import camera_config
from edgemass.pipeline.line import CameraLine
from edgemass.web.artist import Artist
from edgemass.web.gallery import Gallery, View
from tests.benchmarks import _harness
from tests.benchmarks._line import counting_line, frames_from_memory, load

FRAMES = 100
PAUSE_S = 0.03  # about 25 frames a second, as a camera has them
FPS, WIDTH, QUALITY = 5.0, 960, 75
VIEWERS = {"without": None, "nobody looks": 0, "4 viewers": 4}
CAMERA = camera_config(
    {
        "source": "0",
        "zones": {"road": {"points": [[0, 0.7], [1, 0.7], [1, 1], [0, 1]]}},
        "lines": {"path": {"points": [[0.5, 0.3], [0.5, 0.98]]}},
    },
    "camera bench",
)


def artist() -> Artist:
    return Artist(CAMERA, counts=lambda: None, state=lambda: None, width=WIDTH, quality=QUALITY)


def cpu_ms_a_frame(line: CameraLine, viewers: int | None) -> float:
    gallery = Gallery(viewers=10)
    if viewers is not None:
        gallery.show(["bench"], {"bench": View(line, artist().draw, fps=FPS, clock=SystemClock())}, {})
    seats = [gallery.seat("bench", lambda: None) for _ in range(viewers or 0)]
    frames = frames_from_memory()
    before = time.process_time()
    for _ in range(FRAMES):
        line.process(next(frames))
        time.sleep(PAUSE_S)
    took_s = time.process_time() - before
    for seat in seats:
        assert seat is not None
        seat.leave()
    return took_s * 1000 / FRAMES


def _cpu_ms(work: Callable[[], object], runs: int = 50) -> float:
    before = time.thread_time()
    for _ in range(runs):
        work()
    return (time.thread_time() - before) * 1000 / runs


def main() -> None:
    parser = _harness.arguments(__doc__, "page_views", rounds=5)
    options = parser.parse_args()
    bundle = resolve("edgemass-person")
    detector, variant = load(bundle, threads=1, synthetic=False)
    line = counting_line(bundle, detector, variant)
    cpu_ms_a_frame(line, None)  # warm
    contenders = {name: partial(cpu_ms_a_frame, line, viewers) for name, viewers in VIEWERS.items()}
    found = _harness.take_turns(contenders, options.rounds)
    rows: list[_harness.Row] = [
        {
            "views": name,
            "CPU ms a frame": round(statistics.median(values), 2),
            **{
                f"ratio {key}": value
                for key, value in _harness.spread(_harness.ratios(values, found["without"])).items()
            },
        }
        for name, values in found.items()
    ]
    frame = next(frames_from_memory())
    message = line.process(frame)
    drawing = artist()
    figures = {
        "draw_cpu_ms": _cpu_ms(lambda: drawing.draw(message, frame)),
        "nobody_ratio": statistics.median(_harness.ratios(found["nobody looks"], found["without"])),
        "viewed_ratio": statistics.median(_harness.ratios(found["4 viewers"], found["without"])),
    }
    _harness.finish("page_views", options.json, rows=rows, figures=figures)


if __name__ == "__main__":
    main()
