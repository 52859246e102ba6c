"""What an update costs on the wire, and what it takes to unpack it.

    python tests/benchmarks/update_bytes.py [MODEL.onnx ...]

Each model is released, changed as training would change it, and released again with a delta; a device that has the old
release fetches the new one from `edgemass registry serve` over HTTP.

last      the convolutions behind which there is no other one: new weights for the same features
quarter   the last layers, with a quarter of all weights
all       every weight

Changed weights get noise of a hundredth of their spread; those of an int8 file move by a step or two.
zstd_mb: the file compressed. wire_kb: all bytes that the device received, headers, manifests and referrers too.
apply_ms, apply_rss_mb: a process of its own that applies the delta; how long, and its peak beyond its imports.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from edgemass import oci
from edgemass.registry import deltas
from edgemass.registry.client import RegistryClient
from edgemass.registry.fetching import fetch
from edgemass.registry.layout import Layout
from edgemass.registry.reference import Reference
from edgemass.registry.transport import Transport
from tests.benchmarks._harness import MODELS, REPOSITORY, Row, arguments, finish, need_models
from tests.simulators.layouts import LayoutServer, publish

DEFAULT = (MODELS / "yolov8n_320.onnx", REPOSITORY / "models" / "edgemass-person" / "edgemass-person.int8.onnx")
KINDS = ("Conv", "ConvInteger", "QLinearConv")
ROUNDS = 5
_APPLY = """
import json, sys, time
from pathlib import Path
from edgemass.registry import deltas
patch, base, target, size, digest = sys.argv[1:]
def peak():  # ru_maxrss would begin with that of the parent
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
before = peak()
started = time.perf_counter()
deltas.apply(Path(patch), Path(base) if base else None, Path(target), size=int(size), digest=digest)
took = time.perf_counter() - started
print(json.dumps([took * 1e3, peak() - before]))
"""


def main() -> int:
    parser = arguments(__doc__, "update_bytes")
    parser.add_argument("models", nargs="*", type=Path, default=DEFAULT, metavar="MODEL.onnx")
    options = parser.parse_args()
    need_models(options.models)
    rows: list[Row] = []
    for path in options.models:
        for change in ("last", "quarter", "all"):
            rows.append(row(path, change))
            print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    figures = {"last_wire_percent": float(rows[0]["wire_percent"] or 0)}
    finish("update_bytes", options.json, rows=rows, figures=figures)
    return 0


def row(path: Path, change: str) -> Row:
    old = path.read_bytes()
    new, share = changed(old, change)
    started = time.perf_counter()
    patch = deltas.make(old, new)
    make_s = time.perf_counter() - started
    packed = deltas.make(None, new)
    apply_ms, rss = applied(patch, old, new)
    wire = fetched_bytes(old, new)
    return {
        "model": path.stem,
        "change": change,
        "changed_percent": round(100 * share, 2),
        "file_mb": round(len(new) / 1e6, 2),
        "zstd_mb": round(len(packed) / 1e6, 2),
        "delta_mb": round(len(patch) / 1e6, 3),
        "wire_kb": round(wire / 1e3, 1),
        "wire_percent": round(100 * wire / len(new), 2),
        "make_s": round(make_s, 2),
        "apply_ms": round(apply_ms, 1),
        "apply_rss_mb": round(rss / 1e6, 1),
    }


def changed(data: bytes, change: str) -> tuple[bytes, float]:
    """The model with other weights, and the share of its bytes that may differ."""
    import onnx

    model = onnx.ModelProto.FromString(data)
    weights = {item.name: item for item in model.graph.initializer}
    chance = np.random.default_rng(1)
    touched = 0
    for name in _chosen(model.graph, weights, change):
        values = onnx.numpy_helper.to_array(weights[name])
        weights[name].CopyFrom(onnx.numpy_helper.from_array(_trained(values, chance), name))
        touched += values.nbytes
    return model.SerializeToString(), touched / len(data)


def _chosen(graph: Any, weights: dict[str, Any], change: str) -> list[str]:
    """Names of the weights that change, those of the last layers first."""
    producers = {output: node for node in graph.node for output in node.output}
    lead_on = _lead_on(graph)
    names: list[str] = []
    for node in reversed(graph.node):
        if node.op_type in KINDS and not (change == "last" and node.output[0] in lead_on):
            place = node.input[3 if node.op_type == "QLinearConv" else 1]
            name = place if place in weights else producers[place].input[0]  # behind a DequantizeLinear
            if name in weights and name not in names:
                names.append(name)
    if change != "quarter":
        return names
    sizes = [len(weights[name].raw_data) for name in names]
    enough = next(count for count in range(len(names) + 1) if sum(sizes[:count]) >= sum(sizes) / 4)
    return names[:enough]


def _lead_on(graph: Any) -> set[str]:
    """Tensors from which a later convolution is made."""
    found: set[str] = set()
    before = -1
    while len(found) > before:  # not every file has its operators in order
        before = len(found)
        for node in reversed(graph.node):
            if node.op_type in KINDS or not found.isdisjoint(node.output):
                found.update(node.input)
    return found


def _trained(values: Any, chance: np.random.Generator) -> Any:
    if values.dtype.kind == "f":
        noise = chance.normal(scale=0.01 * max(float(values.std()), 1e-6), size=values.shape)
        return (values + noise).astype(values.dtype)
    limits = np.iinfo(values.dtype)
    moved = np.rint(values + chance.normal(scale=1.0, size=values.shape))
    return np.clip(moved, limits.min, limits.max).astype(values.dtype)


def applied(patch: bytes, old: bytes, new: bytes) -> tuple[float, float]:
    """Milliseconds and bytes, the medians of some processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "patch").write_bytes(patch)
        (folder / "base").write_bytes(old)
        command = [sys.executable, "-c", _APPLY, *(str(folder / part) for part in ("patch", "base", "target"))]
        command += [str(len(new)), oci.sha256(new)]
        found = [
            json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for _ in range(ROUNDS)
        ]
    return statistics.median(item[0] for item in found), statistics.median(item[1] for item in found)


def fetched_bytes(old: bytes, new: bytes) -> int:
    """What a device with the old release receives for the new one; checks what it gets."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        layout = Layout(folder / "models", "toy")
        base = publish(layout, {"model.onnx": old}, "1")
        made = publish(layout, {"model.onnx": new}, "2", [base])
        (folder / "old").write_bytes(old)
        (folder / "incoming").mkdir()
        with LayoutServer(layout.folder) as server, closing(_client(server)) as registry:
            fetched = fetch(
                registry,
                made.digest,
                choose=lambda _: ["model.onnx"],
                have=lambda digest: folder / "old" if digest == oci.sha256(old) else None,
                incoming=folder / "incoming",
            )
            assert fetched.files[oci.sha256(new)].read_bytes() == new
            return registry.received


def _client(server: LayoutServer) -> RegistryClient:
    return RegistryClient(Reference.parse(server.address()), Transport())


if __name__ == "__main__":
    sys.exit(main())
