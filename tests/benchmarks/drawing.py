"""What it costs to draw a whole scene on a frame: zones, a line, tails, boxes, tags, counts.

    python tests/benchmarks/drawing.py [--rounds N] [--json FILE]

Milliseconds of `draw_scene`, the copy of the frame included, on one thread; captions change from frame to frame as
scores do. All sizes take turns. plain: boxes and tags alone (`draw_detections`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from edgemass.frame import Image
from edgemass.imaging.draw import draw_detections
from edgemass.imaging.overlay import Area, Crossing, Overlay, Point, draw_scene
from edgemass.messages import Detection
from edgemass.sources.synthetic import draw
from tests.benchmarks import _harness

SIZES = {"640x480": (640, 480), "1080p": (1920, 1080), "4K": (3840, 2160)}
TRACKS = (5, 30, 100)
TAIL = 24
FRAMES = 20  # that a scene moves through before it begins anew
WARM_UP = 5


def scenes(tracks: int, seed: int = 0) -> list[tuple[list[Detection], Overlay]]:
    """Frames of things that walk, each with a tail, in two zones and over a line."""
    random = np.random.default_rng(seed)
    starts, steps = random.uniform(0.1, 0.8, (tracks, 2)), random.uniform(-0.004, 0.004, (tracks, 2))
    sizes, labels = random.uniform(0.03, 0.12, (tracks, 2)), random.integers(0, 3, tracks)
    made = []
    for frame in range(FRAMES):
        found, tails = [], {}
        for track in range(tracks):
            places = np.clip(starts[track] + steps[track] * np.arange(frame, frame + TAIL)[:, None], 0.0, 0.88)
            x, y = places[-1].tolist()
            width, height = sizes[track].tolist()
            score = round(float(random.uniform(0.5, 0.99)), 2)
            label = int(labels[track])
            found.append(Detection(("person", "car", "dog")[label], label, score, (x, y, x + width, y + height), track))
            tails[track] = tuple((float(px), float(py)) for px, py in places.tolist())
        made.append((found, overlay(tails)))
    return made


def overlay(tails: dict[int, tuple[Point, ...]]) -> Overlay:
    return Overlay(
        zones=(
            Area(name="door", points=((0.6, 0.4), (0.95, 0.35), (0.98, 0.8), (0.65, 0.9)), count=2, active=True),
            Area(name="lawn", points=((0.05, 0.55), (0.35, 0.5), (0.4, 0.95), (0.03, 0.97)), count=0),
        ),
        lines=(Crossing(name="gate", points=((0.5, 0.0), (0.5, 1.0)), in_=12, out=4),),
        tails=tails,
        counts={"person": 3, "car": 1, "dog": 1},
    )


def main() -> None:
    options = _harness.arguments(__doc__, "drawing", rounds=60).parse_args()
    cv2.setNumThreads(1)
    pictures = {name: draw(*size, 0.3) for name, size in SIZES.items()}
    frames = {tracks: scenes(tracks) for tracks in TRACKS}
    calls = dict.fromkeys(SIZES, 0)

    def timed(size: str, tracks: int, *, plain: bool) -> float:
        calls[size] += 1
        found, shown = frames[tracks][calls[size] % FRAMES]
        work: Callable[[], Image] = partial(draw_scene, pictures[size], found, shown)
        if plain:
            work = partial(draw_detections, pictures[size], found)
        return _harness.times_ms(work, 1)[0]

    contenders = {
        (size, tracks, plain): partial(timed, size, tracks, plain=plain)
        for size in SIZES
        for tracks in TRACKS
        for plain in (False, True)
    }
    names = {f"{size} {tracks} {plain}": key for key in contenders for size, tracks, plain in [key]}
    times = _harness.take_turns({name: contenders[key] for name, key in names.items()}, options.rounds + WARM_UP)
    rows: list[_harness.Row] = []
    figures = {}
    for name, (size, tracks, plain) in names.items():
        found = times[name][WARM_UP:]
        rows.append({"frame": size, "tracks": tracks, "drawn": "boxes" if plain else "scene", **_harness.spread(found)})
        figures[f"{size}_{tracks}_{'boxes' if plain else 'scene'}_ms"] = float(np.median(found))
    _harness.finish("drawing", options.json, rows=rows, figures=figures)


if __name__ == "__main__":
    main()
