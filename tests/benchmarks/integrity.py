"""How soon a camera that does not see is noticed, how often one that sees is called blind, and what that costs.

    python tests/benchmarks/integrity.py [--assets FOLDER] [--hours H] [--json FILE]

The fixed cameras of the test clips, two pictures a second with noise: each mishap after 40 s of normal pictures, and
the clips looped with noise and a light that drifts. carnd_test_video.mp4 is filmed from a moving car and is left out.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import numpy as np

from edgemass.config.integrity import IntegrityConfig
from edgemass.imaging import leave_cores_to_the_runtime
from edgemass.scene.integrity import Integrity
from tests.benchmarks._harness import Row, arguments, finish, skip
from tests.simulators.mishaps import HARMLESS, MISHAPS, NS, Grey, Mishap, loop, noisy, thinned

CLIPS = ("vtest.avi", "highway_video2.avi", "one-by-one-person-detection.mp4")
LEARN_S, WAIT_S = 40.0, 10.0
DUSK_S = 240.0
NOISE = 2.0


def found_after(pictures: list[Grey], mishap: Mishap, seconds: float) -> tuple[float | None, str]:
    """Seconds until it is told, and the cause; None where it is not within `seconds`."""
    integrity, rng = Integrity(IntegrityConfig()), np.random.default_rng(1)
    for mono_ns, picture in loop(pictures, LEARN_S + seconds):
        at_s = mono_ns / NS - LEARN_S
        given = mishap(picture, at_s) if at_s >= 0 else picture
        verdict = integrity.look(noisy(given, NOISE, rng), mono_ns)
        if at_s >= 0 and verdict.cause:
            return at_s, verdict.cause
    return None, ""


def frozen_after(pictures: list[Grey]) -> tuple[float | None, str]:
    """The same for a picture that stays, bit for bit."""
    rng = np.random.default_rng(2)
    integrity = Integrity(IntegrityConfig())
    last: Grey | None = None
    for mono_ns, picture in loop(pictures, LEARN_S + WAIT_S):
        at_s = mono_ns / NS - LEARN_S
        if at_s < 0 or last is None:
            last = noisy(picture, NOISE, rng)
        verdict = integrity.look(last, mono_ns)
        if at_s >= 0 and verdict.cause:
            return at_s, verdict.cause
    return None, ""


def false_alarms(pictures: list[Grey], hours: float) -> int:
    """How often a camera that sees is called blind: noise, and a light that drifts by a fifth in seven minutes."""
    integrity, rng = Integrity(IntegrityConfig()), np.random.default_rng(3)
    grains = [rng.normal(0.0, NOISE, pictures[0].shape).astype(np.float32) for _ in range(31)]
    alarms, before = 0, ""
    for index, (mono_ns, picture) in enumerate(loop(pictures, hours * 3600)):
        light = np.float32(1 + 0.2 * np.sin(mono_ns / NS / 70))
        given = np.clip(picture * light + grains[index % len(grains)], 0, 255).astype(np.uint8)
        cause = integrity.look(given, mono_ns).cause
        alarms += bool(cause) and not before
        before = cause
    return alarms


def cost_us(picture: Grey) -> float:
    """Of one look, at the median of 400."""
    integrity = Integrity(IntegrityConfig())
    took_s = []
    for index in range(460):
        started = time.perf_counter()
        integrity.look(picture, index * NS)
        took_s.append(time.perf_counter() - started)
    return statistics.median(took_s[60:]) * 1e6


def _row(
    clip: str,
    what: str,
    *,
    found_s: float | None = None,
    cause: str = "",
    fits: bool | None = None,
    alarms: int | None = None,
) -> Row:
    return {"clip": clip, "what": what, "found_s": found_s, "cause": cause, "fits": fits, "alarms": alarms}


def main() -> None:
    parser = arguments(__doc__, "integrity")
    parser.add_argument("--assets", type=Path, default=os.environ.get("EDGEMASS_ASSETS"), metavar="FOLDER")
    parser.add_argument("--hours", type=float, default=24.0, metavar="H", help="of normal pictures, for each clip")
    options = parser.parse_args()
    if options.assets is None or not Path(options.assets).is_dir():
        skip("no videos; set EDGEMASS_ASSETS to their folder")
    leave_cores_to_the_runtime()  # as `edgemass run` does
    rows: list[Row] = []
    for name in CLIPS:
        pictures = thinned(Path(options.assets) / "videos" / name)
        results = {kind: (cause, *found_after(pictures, mishap, WAIT_S)) for kind, (cause, mishap) in MISHAPS.items()}
        results["frozen"] = ("frozen", *frozen_after(pictures))
        for kind, (fits, after_s, cause) in results.items():
            rows.append(_row(name, kind, found_s=after_s, cause=cause, fits=cause == fits))
        for kind, harmless in HARMLESS.items():
            _, cause = found_after(pictures, harmless, DUSK_S if kind == "dusk" else 30.0)
            rows.append(_row(name, f"harmless: {kind}", cause=cause, alarms=int(bool(cause))))
        alarms = false_alarms(pictures, options.hours)
        rows.append(_row(name, f"{options.hours:g} h as usual", alarms=alarms))
    grey = noisy(np.full((720, 1280), 90, np.float32), 20, np.random.default_rng(4))
    told = [row for row in rows if row["fits"] is not None]
    figures = {
        "found_within_10_s": sum(row["found_s"] is not None for row in told) / len(told),
        "fitting_cause": sum(bool(row["fits"]) for row in told) / len(told),
        "false_alarms": float(sum(int(row["alarms"] or 0) for row in rows)),
        "look_at_720p_us": cost_us(grey),
    }
    finish("integrity", options.json, rows=rows, figures=figures)


if __name__ == "__main__":
    main()
