"""What is read of a model file before a runtime sees it: graph, metadata, the archive behind a TFLite file."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import strategies as st

from edgemass.bundles import graphs, labels, model_file, onnx_graph, tflite_graph
from edgemass.errors import BundleError
from tests.fuzz.campaign import counts, hold, may_refuse
from tests.fuzz.mutations import mutated_bytes
from tests.simulators.tiny_models import onnx_add, save_onnx

MIB = 1024 * 1024

LITERALS = st.one_of(
    st.text("0123456789[](){}:,'\" abcxe.-+*TrueNoneé\\", max_size=60),
    st.sampled_from(
        [
            "{[]: 1}",
            "{{}: 'a'}",
            "{1e999: 'a'}",
            "{float('nan'): 'a'}",
            "{None: 'a', 1j: 'b'}",
            "{0: 'a', -1: 'b'}",
            "{0: 'a', 10000000000000000000000: 'b'}",
            "{'0': 'a', 0: 'b'}",
            "{b'0': 'a'}",
            "{'1_0': 'a'}",
            "{0: '\\ud800'}",
            '{"0": "\\ud800"}',
            "'''",
            "\0",
            "9" * 5000,
            "-" * 20_000 + "1",
            "(" * 20_000,
            "[" * 20_000 + "]" * 20_000,
            '{"a":' * 20_000,
            "1" + "+1" * 20_000,
            "[640, 1e999]",
            "[True, False]",
            "[640, '640']",
        ]
    ),
)


@counts(300, 100_000)
def test_metadata_of_any_text_gives_labels_and_sizes_or_none(examples: int) -> None:
    def promise(text: str) -> None:
        found = labels.from_literal(text)
        assert all(found)
        sizes = graphs._sizes({"imgsz": text})
        assert all(0 < side <= graphs._MAX_SIDE for size in sizes for side in size)
        for one_name in found:
            one_name.encode()

    hold(promise, examples, text=LITERALS)


@counts(200, 50_000)
def test_any_label_file_is_read_or_refused(tmp_path: Path, examples: int) -> None:
    path = tmp_path / "labels.txt"
    texts = st.one_of(LITERALS, st.text("0123456789 :,ab\n\r\t[]{}\"'\0\ufeff\u2028", max_size=60))

    def promise(text: str) -> None:
        path.write_bytes(text.encode(errors="surrogatepass"))
        with may_refuse(BundleError, naming="labels"):
            assert all(labels.read_file(path))

    hold(promise, examples, text=texts)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/tty", "/proc/self/mem"])
def test_what_is_no_file_is_refused_unread(path: str) -> None:
    for read in (labels.read_file, graphs.read_graph):
        with pytest.raises(BundleError):
            read(Path(path))


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    pipe = tmp_path / "model.onnx"
    os.mkfifo(pipe)
    for read in (labels.read_file, graphs.read_graph):
        with pytest.raises(BundleError):
            read(pipe)


def rich_onnx(path: Path) -> bytes:
    """An ONNX file with what files have: metadata, attributes of every kind, a nested graph, labels."""
    import onnx
    from onnx import helper

    kind = onnx.TensorProto.FLOAT
    inner = helper.make_graph(
        [helper.make_node("Identity", ["in"], ["inner"])],
        "inner",
        [],
        [helper.make_tensor_value_info("inner", kind, [1])],
    )
    node = helper.make_node("Custom", ["in", "one"], ["out"], ints=[1, 2], floats=[1.0], text="a", graph=inner, f=0.5)
    node.attribute.append(helper.make_attribute("tensor", onnx.helper.make_tensor("t", kind, [1], [1.0])))
    node.attribute.append(helper.make_attribute("texts", ["a", "b"]))
    graph = helper.make_graph(
        [node],
        "rich",
        [helper.make_tensor_value_info("in", kind, [1, 3, "height", 4])],
        [helper.make_tensor_value_info("out", kind, [1, 3, 4, 4])],
        [helper.make_tensor("one", kind, [1], [1.0])],
    )
    return save_onnx(graph, path, {"names": "{0: 'a', 1: 'b'}", "imgsz": "[640, 640]"}).read_bytes()


@counts(250, 200_000)
def test_a_damaged_onnx_file_is_read_or_refused(tmp_path: Path, examples: int) -> None:
    path = tmp_path / "model.onnx"
    good = st.sampled_from([rich_onnx(path), onnx_add(path).read_bytes()])

    def promise(content: bytes) -> None:
        path.write_bytes(content)
        with may_refuse(BundleError):
            model_file.format_of(path)
            read = onnx_graph.read(path)
            for info in (*read.inputs, *read.outputs):
                assert isinstance(info.name, str)
                assert all(side is None or side >= 0 for side in info.shape)
            texts = [*read.metadata, *read.metadata.values(), *read.labels]
            assert all(isinstance(text, str) for text in texts)
            for node in read.nodes:
                assert all(isinstance(name, str) for name in (node.kind, *node.inputs, *node.outputs, *node.attributes))

    hold(promise, examples, content=good.flatmap(mutated_bytes))


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return held.getvalue()


@counts(250, 200_000)
def test_a_damaged_archive_behind_a_tflite_file_never_stops_the_import(tmp_path: Path, examples: int) -> None:
    path = tmp_path / "model.tflite"
    methods = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    good = [archive({"temp_meta.txt": b"{'names': {0: 'a'}}", "labels.txt": b"a\nb\n"}, method) for method in methods]

    def promise(content: bytes) -> None:
        path.write_bytes(b"\x20\0\0\0TFL3" + b"\0" * 64 + content)
        read = tflite_graph.read(path)
        assert all(isinstance(text, str) for text in (*read.metadata, *read.metadata.values(), *read.labels))

    hold(promise, examples, content=st.sampled_from(good).flatmap(mutated_bytes))


def _crowded_archive() -> bytes:
    """A directory of half a million entries that all are the same bytes."""
    name = b"a"
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0, 0, 0, 0, 0, 0) + name
    count = 500_000
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(entry) * count, 0, 0)
    return entry * count + end


def _repeated(field: int, count: int) -> bytes:
    """A protobuf message whose field holds `count` empty messages: two bytes in the file, dozens in memory."""
    return bytes([field << 3 | 2, 0]) * count


def _onnx_with_graph(graph: bytes) -> bytes:
    def varint(number: int) -> bytes:
        out = bytearray()
        while number > 127:
            out.append(number & 127 | 128)
            number >>= 7
        return bytes([*out, number])

    return b"\x08\x08" + b"\x3a" + varint(len(graph)) + graph + b"\x42\x02\x10\x0d"


OUTPUT = b"\x62\x03\x0a\x01o"
BOMBS = {
    "a name of 60 MB": lambda: _onnx_with_graph(OUTPUT) + b"\x72\x80\x80\x80\x1e" + b"\0" * (60 * MIB),
    "nodes": lambda: _onnx_with_graph(OUTPUT + _repeated(1, 2_000_000)),
    "inputs": lambda: _onnx_with_graph(OUTPUT + _repeated(11, 2_000_000)),
    "constants": lambda: _onnx_with_graph(OUTPUT + _repeated(5, 2_000_000)),
    "metadata": lambda: _onnx_with_graph(OUTPUT) + _repeated(14, 2_000_000),
    "attributes": lambda: _onnx_with_graph(OUTPUT + b"\x0a\x80\x92\xf4\x01" + _repeated(5, 2_000_000)),
    "dimensions of a constant": lambda: _onnx_with_graph(
        OUTPUT + b"\x2a\x82\x92\xf4\x01\x10\x01" + b"\x08\x7f" * 2_000_000
    ),
    "members of an archive": lambda: b"\x20\0\0\0TFL3" + _crowded_archive(),
    "an archive that unpacks to gigabytes": lambda: (
        b"\x20\0\0\0TFL3" + archive({f"labels{i}.txt": b"a\n" * (4 * MIB) for i in range(8)})
    ),
    "a text of millions of numbers": lambda: (
        b"\x20\0\0\0TFL3" + archive({"temp_meta.txt": b"{'names': [" + b"1," * (2 * MIB - 100) + b"]}"})
    ),
}


_READ = """
import re, sys
from pathlib import Path
from edgemass.bundles import observe
from edgemass.errors import BundleError
try:
    observe.read(Path(sys.argv[1]), sys.argv[2])
except BundleError as error:
    print(error, file=sys.stderr)
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_does_not_become_gigabytes(name: str, tmp_path: Path) -> None:
    """In a process of its own, whose largest size nobody else has set; it ends within the test's time."""
    content = BOMBS[name]()
    path = tmp_path / "model"
    path.write_bytes(content)
    runtime = "tflite" if content[4:8] == b"TFL3" else "onnx"
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(path), runtime], capture_output=True, text=True, timeout=100, check=True
    )
    assert int(done.stdout) < 300
    assert "Traceback" not in done.stderr
