"""Many cameras, one model: whether each gets its share, and how old its frames are when they are run.

    python tests/benchmarks/many_cameras.py MODEL [--cameras 8] [--fps 5] [--seconds 20] [--clip VIDEO] [--json FILE]

H.264 files of 1280x720, played at their own speed as cameras would be, begun together: their frames come in bursts,
which is the worst case. With `--fps 15` two cores are asked for more than they can do. The clip is drawn (discs that go
round over grain), or scaled from the video given; all cameras play the same one, each with a decoder of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from edgemass import bundles, sources
from edgemass.clock import SystemClock, boot_id
from edgemass.config import CameraConfig
from edgemass.counters import Counters
from edgemass.frame import Frame, Image
from edgemass.imaging import leave_cores_to_the_runtime
from edgemass.messages import CameraState, CountsMessage, EventMessage, FrameMessage, ModelRef, to_json
from edgemass.pipeline.camera import Camera
from edgemass.pipeline.capture import Capture
from edgemass.pipeline.line import CameraLine, LoadedModel
from edgemass.pipeline.moment import Identity
from edgemass.pipeline.selection import Selection
from edgemass.pipeline.turns import Turns, default_at_once
from edgemass.sources import CaptureOptions
from edgemass.sources.synthetic import draw
from tests.simulators.clips import write_clip

WIDTH, HEIGHT = 1280, 720
PHASES = 40
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Row:
    """One camera. Ages in milliseconds, from arrival to the start of the run."""

    camera: str
    captured: int
    processed: int
    dropped: int
    stale: int
    broken: int
    age_p50: float
    age_p95: float
    age_max: float


class Counting:
    """A sink that makes every document and throws it away."""

    name = "count"

    def publish(self, message: FrameMessage, frame: Frame) -> None:  # noqa: ARG002
        to_json(message)

    def event(self, event: EventMessage, picture: bytes | None) -> None:
        pass

    def counts(self, counts: CountsMessage) -> None:
        pass

    def camera_state(self, camera: str, state: CameraState) -> None:
        pass

    def close(self, timeout_s: float) -> None:
        pass


def drawn(count: int) -> Iterator[Image]:
    grain = np.random.default_rng(0).integers(0, 8, (HEIGHT, WIDTH, 1), np.uint8)
    for number in range(count):
        yield draw(WIDTH, HEIGHT, number / PHASES) + grain


def scaled(video: Path, count: int) -> Iterator[Image]:
    """Pictures of a video, from its beginning again where it is too short."""
    while count > 0:
        with av.open(str(video)) as container:
            for picture in container.decode(video=0):
                yield np.asarray(cv2.resize(picture.to_ndarray(format="bgr24"), (WIDTH, HEIGHT)), np.uint8)
                count -= 1
                if count == 0:
                    return


def camera_of(name: str, clip: Path, model: LoadedModel, turns: Turns) -> Camera:
    """As the agent wires it."""
    clock, counters, config = SystemClock(), Counters(), CameraConfig(source=str(clip), realtime=True)
    source = sources.open(config.source, CaptureOptions(realtime=True), clock)
    line = CameraLine(
        name,
        model,
        [Counting()],
        identity=Identity("bench", boot_id(), "bench"),
        score=model.detector.manifest.score,
        max_age_ms=config.max_age_ms,
        clock=clock,
        counters=counters,
    )
    return Camera(
        Capture(name, source, clock=clock, counters=counters),
        line,
        selection=Selection(),
        place=turns.place(),
        frames=None,
        clock=clock,
        counters=counters,
    )


def measure(model: str, clip: Path, *, cameras: int, seconds: float, threads: int) -> list[Row]:
    bundle = bundles.resolve(model)
    detector, variant = bundles.open_detector(bundle, threads=threads)
    manifest = bundle.manifest
    loaded = LoadedModel(detector, ModelRef(manifest.name, manifest.version, bundle.digest, variant.name))
    turns = Turns(default_at_once(), SystemClock())
    running = [camera_of(f"cam{number}", clip, loaded, turns) for number in range(cameras)]
    for camera in running:
        camera.start()
    for camera in running:
        if not camera.join(seconds + PATIENCE_S) or camera.failure is not None:
            raise SystemExit(f"{camera.line.camera} did not end well: {camera.failure}")
    detector.backend.close()
    return [row(camera) for camera in running]


def row(camera: Camera) -> Row:
    counts = camera.counters
    ages = sorted(camera.line.age_ms) or [0.0]
    return Row(
        camera.line.camera,
        counts["frames_captured"],
        counts["frames_processed"],
        counts["frames_dropped"],
        counts["frames_stale"],
        counts["frames_broken"],
        ages[len(ages) // 2],
        ages[int(len(ages) * 0.95)],
        ages[-1],
    )


def show(rows: list[Row], seconds: float) -> float:
    """Print the table; least over most frames served."""
    print(f"{'':8} captured processed  dropped   stale  broken   age p50     p95     max ms")
    for found in rows:
        counts = f"{found.captured:8} {found.processed:9} {found.dropped:8} {found.stale:7} {found.broken:7}"
        print(f"{found.camera:8} {counts} {found.age_p50:9.1f} {found.age_p95:7.1f} {found.age_max:7.1f}")
    served = [found.processed for found in rows]
    ratio = min(served) / max(*served, 1)
    print(
        f"least / most served {min(served)} / {max(served)} = {ratio:.3f}; {sum(served) / seconds:.1f} frames a second"
    )
    oldest, budget = max(found.age_max for found in rows), CameraConfig(source="").max_age_ms
    print(f"oldest when run {oldest:.0f} ms, budget {budget:.0f} ms")
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--fps", type=float, default=5)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clip", type=Path, metavar="VIDEO")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    leave_cores_to_the_runtime()
    count = round(options.seconds * options.fps)
    with tempfile.TemporaryDirectory() as folder:
        pictures = drawn(count) if options.clip is None else scaled(options.clip, count)
        clip = write_clip(Path(folder) / "clip.mp4", pictures, fps=options.fps)
        rows = measure(options.model, clip, cameras=options.cameras, seconds=options.seconds, threads=options.threads)
    print(
        f"{Path(options.model).name}, {options.cameras} cameras of {options.fps:g} fps, {options.seconds:g} s,", end=" "
    )
    print(f"{options.threads} thread, {os.cpu_count()} cores, {platform.machine()}")
    ratio = show(rows, options.seconds)
    if options.json is not None:
        asked = {"cameras": options.cameras, "fps": options.fps, "seconds": options.seconds, "threads": options.threads}
        told = {"model": Path(options.model).name, **asked, "machine": platform.machine(), "cores": os.cpu_count()}
        result = {**told, "least_over_most": ratio, "rows": [asdict(found) for found in rows]}
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
