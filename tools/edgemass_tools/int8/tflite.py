"""Full-integer TFLite: activations and weights in 8 bits, the input too, by Google's own quantizer."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import util
from pathlib import Path

import msgspec
import numpy as np

from edgemass import backends
from edgemass.bundles.fingerprint import fingerprint
from edgemass.errors import BundleError, ConfigError
from edgemass.manifest import InputSpec, Manifest, Variant
from edgemass_tools.exporting.tflite import run_child
from edgemass_tools.int8 import recipe

NAME = "int8-tflite"


def make(source: Path, manifest: Manifest, pictures: Sequence[Path], made_from: Variant, target: Path) -> Variant:
    """Write the 8-bit file of a float TFLite file, and say how it is fed and read.

    manifest: with the input and output of the float file. pictures: what it is calibrated on, fed as on the device.

    Raises:
        ConfigError: the quantizer is not installed.
        BundleError: it cannot quantize this file.
    """
    if util.find_spec("ai_edge_quantizer") is None:
        raise ConfigError("TFLite in 8 bits needs Google's quantizer: pip install 'edgemass-tools[train]'")
    spec = manifest.input
    if manifest.state or manifest.auxiliary_inputs or spec.dtype != "float32":
        raise BundleError(f"{manifest.name}: only TFLite files with one float picture as input can be quantized here")
    inputs = np.concatenate([item[spec.name] for item in recipe.feeds(manifest, pictures)])
    stored = target.with_suffix(".npz")
    np.savez(stored, inputs=inputs)
    low, high = _limits(spec)
    run_child(
        "edgemass_tools.int8._tflite", [str(source), str(stored), str(low), str(high), str(target)], "the quantizer"
    )
    stored.unlink()
    return _variant(target, manifest, made_from)


def _limits(spec: InputSpec) -> tuple[float, float]:
    """Least and largest value that a pixel can become."""
    ends = [(pixel - mean) / std for pixel in (0.0, 255.0) for mean in spec.mean for std in spec.std]
    return min(ends), max(ends)


def _variant(path: Path, manifest: Manifest, made_from: Variant) -> Variant:
    backend = backends.load("tflite").open(path, backends.Options(threads=1))
    try:
        picture = backend.inputs[0]
        named = {info.name for info in backend.outputs}
    finally:
        backend.close()
    wanted = {name for names in manifest.output.tensors.values() for name in names}
    if not wanted <= named:
        raise BundleError(f"{manifest.name}: the quantizer renamed {', '.join(sorted(wanted - named))}")
    if picture.dtype not in ("int8", "uint8") or picture.quantization is None:
        raise BundleError(f"{manifest.name}: the quantizer left the input as {picture.dtype}")
    sha256, size = fingerprint(path)
    spec = msgspec.structs.replace(
        manifest.input,
        name=picture.name,
        dtype="int8" if picture.dtype == "int8" else "uint8",
        scale=picture.quantization.scale,
        zero_point=picture.quantization.zero_point,
    )
    return Variant(
        name=NAME,
        file=path.name,
        runtime="tflite",
        sha256=sha256,
        size_bytes=size,
        precision="int8",
        made_from=made_from.name,
        input=spec,
        output=manifest.output,
    )
