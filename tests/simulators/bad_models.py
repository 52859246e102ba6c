"""Models that look right and are not: real bundles of the person detector and of a small one, each broken in one way.

`person` breaks this repository's own person detector (ONNX, int8, a few milliseconds a frame, with its golden samples),
at once or only after so many runs of one camera's stream: then the graph counts its runs in a state tensor, as
recurrent models keep their memory, and goes wrong when the count is reached. So a model can be fine while it is proven
(which runs a stream less than 400 times) and bad on probation. `person_tflite` breaks the TFLite file of the same model
so that LiteRT dies of it. `animals` is a detector of three classes for what is wrong with labels.

    person(folder)                              fine, and another digest than the model it is made of
    person(folder, "nan")                       its scores are NaN
    person(folder, "blind")                     it finds nothing
    person(folder, "slow")                      it takes three times as long or more, with the same answers
    person(folder, "hanging")                   a run has no end
    person(folder, "leaking")                   every run takes 64 KiB more than the one before, and keeps them
                                                (and 0.01 ms longer, for filling them)
    person(folder, "crashing")                  takes the process down when it is loaded (SIGFPE, on x86-64)
    person(folder, "crashing", after=400)       takes the process down in its 401st run; the same with all others
    person(folder, "truncated")                 the file ends early; the manifest has the digest of what is left
    person_tflite(folder, "load"|"run")         takes the process down when it is loaded, or run (SIGSEGV)
    animals(folder, "swapped"|"too many")       two labels are swapped; there is one too many
    adder(folder)                               a TFLite classifier that the fake accelerator of accelerators.py takes,
                                                which leaks or crashes as its options say

Every function writes a bundle into `folder`, which must not be there, and returns it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import cv2
import msgspec
import numpy as np

from edgemass.bundles import Bundle, load_bundle, open_detector, write_new
from edgemass.bundles.folder import seal
from edgemass.detections import Detections
from edgemass.detector import Thresholds
from edgemass.frame import Image
from edgemass.manifest import Golden, InputSpec, Manifest, OutputSpec, StateTensor, Variant
from edgemass.sources.images import read
from tests.simulators import timed_detectors, tiny_models

PERSON = Path(__file__).resolve().parents[2] / "models" / "edgemass-person"
LEAK_BYTES = 65536
"""By which the memory of a run of a leaking model is larger than that of the one before."""
_WIDE, _TURNS = 192, 150  # of a matrix that is multiplied so often: 10 ms in all, where the whole detector takes 4
_ENDLESS = 1e12

Fault = Literal["none", "nan", "blind", "slow", "hanging", "leaking", "crashing", "truncated"]


def person(
    folder: Path, fault: Fault = "none", *, after: int | None = None, golden: bool = True, release: int = 2
) -> Bundle:
    """The person detector with a fault.

    after: runs of one stream that still go well; None = not one. golden: with the samples that tell a bad answer.
    """
    base = load_bundle(PERSON)
    stock = base.manifest.reference
    data = _broken(base.path(stock).read_bytes(), fault, after)
    if fault == "truncated":
        data = data[: len(data) * 6 // 10]
    counts = after is not None or fault == "leaking"
    state = (StateTensor(input="runs", output="runs_after", shape=(1,), dtype="int64"),) if counts else ()
    if not golden:
        base = Bundle(msgspec.structs.replace(base.manifest, golden=()), base.folder)
    return _write(folder, base, stock, data, release=release, state=state)


def person_tflite(folder: Path, crash: Literal["load", "run"], *, release: int = 2) -> Bundle:
    """The person detector for LiteRT alone, which ends the process by SIGSEGV. For `--backend tflite` or none.

    load: the file has no graph. run: its input is a constant, and feeding it writes to memory that is only for reading.
    """
    base = load_bundle(PERSON)
    stock = base.variant("int8-tflite")
    data = base.path(stock).read_bytes()
    plain = msgspec.structs.replace(stock, input=None, output=None, made_from="")  # as a stock file has it
    alone = Bundle(msgspec.structs.replace(base.manifest.of(stock), variants=(plain,)), base.folder)
    return _write(folder, alone, plain, _crashing_tflite(data, crash), release=release)


def animals(
    folder: Path, fault: Literal["none", "swapped", "too many"] = "none", *, golden: bool = True, release: int = 2
) -> Bundle:
    """Finds six cats, dogs and birds in every bright picture. golden: with a sample, which tells their right names."""
    made = timed_detectors.write(folder, {"stock": {"work": 2}})
    if golden:
        picture = bright()
        cv2.imwrite(str(folder / "golden-1.png"), picture)
        detector, _ = open_detector(made, threads=1)
        found = detector.stream().detect(picture, Thresholds(0.4)).found
        assert isinstance(found, Detections)
        detector.backend.close()
        sample = _sample(made.manifest, found, picture)
        made = Bundle(msgspec.structs.replace(made.manifest, golden=(sample,)), folder)
    labels = {
        "none": ("cat", "dog", "bird"),
        "swapped": ("bird", "dog", "cat"),
        "too many": ("cat", "dog", "bird", "ox"),
    }
    wrong = msgspec.structs.replace(made.manifest, labels=labels[fault], release=release)
    return seal(Bundle(wrong, folder))


def adder(folder: Path, *, release: int = 2) -> Bundle:
    """The class of a picture is its strongest colour; the graph adds one, as the fake accelerator does."""
    path = tiny_models.tflite_add(folder.parent / f"{folder.name}.tflite", (1, 1, 1, 3))
    data = path.read_bytes()
    variant = Variant(
        name="fp32",
        file="adder.tflite",
        runtime="tflite",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
    )
    made = Manifest(
        name="adder",
        task="classification",
        labels=("blue", "green", "red"),
        release=release,
        input=InputSpec(name="in", layout="NHWC", dtype="float32", width=1, height=1, color="BGR"),
        output=OutputSpec(family="classifier", tensors={"scores": ("out",)}, options={"activation": "none"}),
        variants=(variant,),
    )
    return write_new(made, {variant.file: path}, folder)


def bright() -> Image:
    """A picture in which `animals` finds something."""
    return np.full((64, 64, 3), 255, np.uint8)


def people() -> list[Image]:
    """Pictures in which the person detector sees one each, as a camera would show them."""
    pictures = [read(PERSON / f"golden-{number}.png") for number in (1, 2)]
    return [np.roll(picture, 8 * step, axis=1) for step in range(3) for picture in pictures]


def _sample(manifest: Manifest, found: Detections, picture: Image) -> Golden:
    size = np.array([picture.shape[1], picture.shape[0]] * 2, np.float32)
    return Golden(
        image="golden-1.png",
        labels=tuple(manifest.labels[int(class_id)] for class_id in found.class_id),
        scores=tuple(round(float(score), 3) for score in found.score),
        boxes=tuple(tuple(round(float(side), 4) for side in box / size) for box in found.xyxy),  # type: ignore[misc]
    )


def _write(
    folder: Path, base: Bundle, stock: Variant, data: bytes, *, release: int, state: tuple[StateTensor, ...] = ()
) -> Bundle:
    """A bundle of this one file, with the golden samples of `base`."""
    file = folder.parent / f"{folder.name}.model"
    file.write_bytes(data)
    variant = msgspec.structs.replace(
        stock, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data), measured_ms={}, accuracy=()
    )
    made = msgspec.structs.replace(
        base.manifest, variants=(variant,), release=release, version=str(release), state=state, documents=()
    )
    pictures = {sample.image: base.file(sample.image, sample.sha256) for sample in made.golden}
    written = write_new(made, {variant.file: file, **pictures}, folder)
    file.unlink()
    return written


def _broken(data: bytes, fault: Fault, after: int | None) -> bytes:
    """The ONNX file with a part that makes trouble, whose results are added to every output."""
    import onnx

    model = onnx.load_model_from_string(data)
    part = _Part(model.graph)
    late = part.late(after, counts=fault == "leaking")
    troubles: dict[str, Callable[[], str]] = {
        "nan": lambda: part.add("Sqrt", [part.add("Neg", [late])]),
        "blind": lambda: part.add("Mul", [late, part.constant(np.array([-1000.0], np.float32))]),
        "slow": lambda: part.nothing(part.work(late, _TURNS)),
        "hanging": lambda: part.nothing(part.work(late, _ENDLESS)),
        "leaking": lambda: part.nothing(part.more_every_run(after or 0)),
        "crashing": lambda: part.nothing(part.overflow(late)),
    }
    trouble = troubles[fault]() if fault in troubles else part.nothing(late)
    for output in [output.name for output in model.graph.output if output.name != "runs_after"]:
        hurts = fault != "blind" or output.startswith("classes")
        part.add("Add", [part.take_over(output), trouble if hurts else part.nothing(late)], output)
    return bytes(model.SerializeToString())


class _Part:
    """What is added to a graph."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._count = 0

    def constant(self, value: Any) -> str:
        import onnx

        self._count += 1
        name = f"trouble{self._count}"
        self._graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        import onnx

        self._count += 1
        output = output or f"trouble{self._count}"
        self._graph.node.append(onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def take_over(self, output: str) -> str:
        """Rename what gives an output; the old name is free again."""
        raw = f"{output}_right"
        for node in self._graph.node:
            node.output[:] = [raw if name == output else name for name in node.output]
            node.input[:] = [raw if name == output else name for name in node.input]
        return raw

    def late(self, after: int | None, *, counts: bool) -> str:
        """1.0 where the fault is to show, else 0.0; float32 [1]. Of a fault that shows at once it is a constant, which
        the runtime folds into what depends on it when the file is loaded.
        """
        import onnx

        if after is None and not counts:
            return self.constant(np.array([1.0], np.float32))
        kind = onnx.TensorProto.INT64
        self._graph.input.append(onnx.helper.make_tensor_value_info("runs", kind, [1]))
        self._graph.output.append(onnx.helper.make_tensor_value_info("runs_after", kind, [1]))
        self.add("Add", ["runs", self.constant(np.array([1], np.int64))], "runs_after")
        soon = self.add("Less", ["runs", self.constant(np.array([after or 0], np.int64))])
        return self.add("Cast", [self.add("Not", [soon])], to=onnx.TensorProto.FLOAT)

    def nothing(self, value: str) -> str:
        """0.0 times a float32."""
        return self.add("Mul", [value, self.constant(np.array([0.0], np.float32))])

    def work(self, late: str, count: float) -> str:
        """Products of matrices, none where it is not late."""
        import onnx

        helper, kind = onnx.helper, onnx.TensorProto.FLOAT
        body = helper.make_graph(
            [
                helper.make_node("MatMul", ["matrix", "same"], ["matrix_after"]),
                helper.make_node("Identity", ["go"], ["go_after"]),
            ],
            "turn",
            [
                helper.make_tensor_value_info("turn", onnx.TensorProto.INT64, []),
                helper.make_tensor_value_info("go", onnx.TensorProto.BOOL, []),
                helper.make_tensor_value_info("matrix", kind, [_WIDE, _WIDE]),
            ],
            [
                helper.make_tensor_value_info("go_after", onnx.TensorProto.BOOL, []),
                helper.make_tensor_value_info("matrix_after", kind, [_WIDE, _WIDE]),
            ],
            [onnx.numpy_helper.from_array(np.eye(_WIDE, dtype=np.float32), "same")],
        )
        turns = self.add("Mul", [late, self.constant(np.array([count], np.float32))])
        trips = self.add("Cast", [self.add("Squeeze", [turns])], to=onnx.TensorProto.INT64)
        start = self.constant(np.ones((_WIDE, _WIDE), np.float32))
        last = self.add("Loop", [trips, self.constant(np.array(True)), start], body=body)
        return self.add("ReduceMax", [last], axes=[0, 1], keepdims=0)

    def more_every_run(self, after: int) -> str:
        """The greatest of so many equal numbers, LEAK_BYTES more every run."""
        import onnx

        late = self.add("Sub", ["runs", self.constant(np.array([after], np.int64))])
        late = self.add("Max", [late, self.constant(np.array([0], np.int64))])
        length = self.add(
            "Mul",
            [
                self.add("Add", [late, self.constant(np.array([1], np.int64))]),
                self.constant(np.array([LEAK_BYTES // 4], np.int64)),
            ],
        )
        ones = self.add("Expand", [self.add("Cast", ["runs"], to=onnx.TensorProto.FLOAT), length])
        return self.add("ReduceMax", [ones], axes=[0], keepdims=1)

    def overflow(self, late: str) -> str:
        """-2^31 / (1 - 2 late): divided by -1 it has no result in 32 bits, which x86-64 answers with a trap. ONNX
        Runtime (1.31) looks for a division by 0 only.
        """
        import onnx

        number = self.add("Cast", [late], to=onnx.TensorProto.INT32)
        divisor = self.add(
            "Sub",
            [self.constant(np.array([1], np.int32)), self.add("Mul", [number, self.constant(np.array([2], np.int32))])],
        )
        quotient = self.add("Div", [self.constant(np.array([-(2**31)], np.int32)), divisor])
        return self.add("Cast", [quotient], to=onnx.TensorProto.FLOAT)


def _crashing_tflite(data: bytes, crash: Literal["load", "run"]) -> bytes:
    import flatbuffers  # type: ignore[import-untyped]
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    for buffer in model.buffers:  # the converter has put them behind the graph
        if buffer.offset and buffer.offset > 1:
            buffer.data = np.frombuffer(data[buffer.offset : buffer.offset + buffer.size], np.uint8)
            buffer.offset = buffer.size = 0
    if crash == "load":
        model.subgraphs = None  # LiteRT (2.x) takes it that there is one
    else:
        graph = model.subgraphs[0]
        tensor = graph.tensors[graph.inputs[0]]
        tensor.buffer = len(model.buffers)
        model.buffers.append(schema.BufferT())
        model.buffers[-1].data = np.zeros(int(np.prod(tensor.shape)), np.uint8)
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
