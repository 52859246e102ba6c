"""Where a frame's time goes on one core: the steps of the line around the run, and the operators within it.

    python tests/benchmarks/frame_profile.py MODEL [--variant NAME] [--frames N] [--json FILE]

One process on core 0 with one thread, 720p pictures from memory, the made-up load of `line_vs_bare.py`, a real
mosquitto on the cores that are left. `publish` holds what the MQTT thread takes of the core meanwhile. `bare` is the
stock file on the plain runtime. Then the same variant once more under ONNX Runtime's own profiler.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgemass import bundles
from edgemass.bench import Bare
from edgemass.bundles.derived import with_derived
from edgemass.detector import Feed, made_up_picture
from edgemass.imaging import leave_cores_to_the_runtime
from tests.benchmarks._harness import Row, arguments, finish, pin
from tests.benchmarks._line import SCORE, camera_line, frames_from_memory, load, mqtt_sink
from tests.simulators.broker import Broker, wait_until

TURN = 15
WARM_UP = 20


def main() -> int:
    parser = arguments(__doc__, "frame_profile", rounds=1)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--variant", metavar="NAME", help="default: what edgemass chooses")
    parser.add_argument("--frames", type=int, default=180, metavar="N")
    options = parser.parse_args()
    leave_cores_to_the_runtime()
    bundle = with_derived(bundles.resolve(options.model))
    with tempfile.TemporaryDirectory() as folder, Broker(Path(folder)) as broker:
        pin("0")
        variant, found = _steps(bundle, options.variant, options.frames, broker.url)
    rows: list[Row] = [
        {"step": step, "median_ms": round(statistics.median(times), 3), "min_ms": round(min(times), 3)}
        for step, times in found.items()
    ]
    shares = _operators(bundle, variant)
    more: list[Row] = [{"operator": name, "share": round(share, 3)} for name, share in shares.most_common(8)]
    finish("frame_profile", options.json, rows=rows, figures={}, more_rows=more)
    return 0


def _steps(bundle: bundles.Bundle, wanted: str | None, frames: int, url: str) -> tuple[str, dict[str, list[float]]]:
    """The variant that ran, and milliseconds of every call of each step."""
    found: dict[str, list[float]] = {}
    detector, variant = load(bundle, 1, synthetic=True, variant=wanted)
    sink, counters = mqtt_sink(url)
    line = camera_line(bundle, detector, variant, [sink], SCORE)
    pictures = frames_from_memory()
    bare = Bare(bundle, next(pictures), 1)
    stream: Any = line._stream
    for owner, name, step in (
        (stream, "prepare", "resize and conversion"),
        (detector.backend._backend, "run", "run"),  # type: ignore[attr-defined]
        (detector, "_decode", "decoding"),
        (stream, "_finish", "NMS and back to the frame"),
        (line, "_message", "document"),
        (sink, "publish", "publish"),
        (bare._backend, "run", "bare"),
    ):
        _time(owner, name, found.setdefault(step, []))
    for _ in range(WARM_UP):
        line.process(next(pictures))
        bare.run(1)
    wait_until(lambda: counters["published"] > 0, "the broker to take a document")
    for times in found.values():
        times.clear()
    for _ in range(-(-frames // TURN)):
        for _ in range(TURN):
            line.process(next(pictures))
        bare.run(TURN)
    sink.close(5.0)
    detector.backend.close()
    return variant, found


def _time(owner: Any, name: str, times: list[float]) -> None:
    """Note the milliseconds of every call of a method."""
    plain: Callable[..., Any] = getattr(owner, name)

    def timed(*values: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return plain(*values, **named)
        finally:
            times.append((time.perf_counter() - started) * 1e3)

    setattr(owner, name, timed)


def _operators(bundle: bundles.Bundle, name: str) -> Counter[str]:
    """Share of the kernels' time of each kind of operator; of each node its fastest run. Nothing but for ONNX."""
    variant = bundle.variant(name)
    if variant.runtime != "onnx":
        return Counter()
    import onnxruntime as ort

    inputs, _ = Feed(bundle.manifest.of(variant)).prepare(made_up_picture())
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(str(bundle.path(variant)), options, providers=["CPUExecutionProvider"])
        for _ in range(WARM_UP):
            session.run(None, dict(inputs))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    best: dict[tuple[str, str], float] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            node = (event["name"], event["args"]["op_name"])
            best[node] = min(event["dur"], best.get(node, event["dur"]))
    total = sum(best.values())
    shares: Counter[str] = Counter()
    for (_, kind), duration in best.items():
        shares[kind] += duration / total  # type: ignore[assignment]
    return shares


if __name__ == "__main__":
    sys.exit(main())
