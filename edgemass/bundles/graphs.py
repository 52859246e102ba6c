"""From a model file to the graph that families recognise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgemass.bundles import labels, observe
from edgemass.bundles._probe import Report
from edgemass.bundles.model_file import format_of
from edgemass.bundles.observe import Observer, outputs
from edgemass.bundles.onnx_graph import OnnxFile
from edgemass.bundles.tflite_graph import Appendix
from edgemass.errors import BackendUnavailableError, BundleError
from edgemass.graph import Graph
from edgemass.manifest import RuntimeName
from edgemass.tensors import Outputs

_FREE_SIZES = ((320, 320), (640, 640))
_MAX_SIDE = 2048


@dataclass(frozen=True)
class ModelFile:
    """precision: of most weights: fp32, fp16 or int8. external: files beside it that hold weights."""

    graph: Graph
    runtime: RuntimeName
    precision: str
    external: tuple[str, ...] = ()


def read_graph(path: Path) -> Graph:
    """The graph of an ONNX or TFLite file, told apart by content.

    Raises:
        BundleError: no model file, a damaged one, or one that wants to read files outside its folder.
        BackendUnavailableError: a TFLite file, and no runtime that could read it.
    """
    return read(path).graph


def read(path: Path) -> ModelFile:
    """The graph and what a manifest says of the file besides.

    Raises:
        BundleError, BackendUnavailableError: as `read_graph`.
    """
    runtime = format_of(path)
    with Observer(path, runtime) as observer:
        said = observe.read(path, runtime)
        if said.onnx is not None:
            file = _onnx(said.onnx, observer)
        else:
            file = _tflite(said.tflite or Appendix({}, ()), observer)
    if not file.graph.inputs or not file.graph.outputs:
        raise BundleError(f"{path}: the model has no inputs or no outputs; wanted one that takes a picture")
    return file


def _onnx(file: OnnxFile, observer: Observer) -> ModelFile:
    report = observer.report(_sizes(file.metadata))
    graph = Graph(
        "onnx",
        inputs=report.inputs or file.inputs,  # without a runtime the file's own word must do
        outputs=report.outputs or file.outputs,
        nodes=file.nodes,
        metadata=file.metadata,
        labels=file.labels,
        runs=_runs(report),
        run_shapes=report.run_shapes,
    )
    return ModelFile(graph, "onnx", file.precision, file.external)


def _tflite(appendix: Appendix, observer: Observer) -> ModelFile:
    report = observer.report(_sizes(appendix.metadata))
    if report.unavailable:
        raise BackendUnavailableError(report.unavailable)
    graph = Graph(
        "tflite",
        inputs=report.inputs,
        outputs=report.outputs,
        nodes=report.nodes,
        metadata=appendix.metadata,
        labels=appendix.labels,
        runs=_runs(report),
        run_shapes=report.run_shapes,
    )
    return ModelFile(graph, "tflite", _precision(report.dtypes))


def _runs(report: Report) -> tuple[Outputs, ...]:
    return tuple(outputs(run) for run in report.runs)


def _sizes(metadata: Mapping[str, str]) -> tuple[tuple[int, int], ...]:
    """(height, width) to try where the graph leaves the picture's size free; Ultralytics writes it as `imgsz`."""
    size = labels.literal(metadata.get("imgsz", ""))
    sides = [size, size] if isinstance(size, int) else size
    if not isinstance(sides, (list, tuple)) or len(sides) != 2:
        return _FREE_SIZES
    if not all(isinstance(side, int) and 0 < side <= _MAX_SIDE for side in sides):
        return _FREE_SIZES
    return ((sides[0], sides[1]), *_FREE_SIZES)


def _precision(dtypes: Mapping[str, int]) -> str:
    """TFLite stores the weights of a quantized file as int8 or uint8, whatever its inputs and outputs are."""
    if dtypes.get("int8", 0) + dtypes.get("uint8", 0):
        return "int8"
    return "fp16" if dtypes.get("float16", 0) else "fp32"
