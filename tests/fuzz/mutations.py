"""Damage of every kind, as hypothesis strategies: bytes, texts, and values of the wrong type."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

HUGE = (0, 1, -1, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 10**30, -(2**63), -(10**30))

toml_values = st.sampled_from(
    [
        *map(str, HUGE),
        *("nan", "inf", "-inf", "1e308", "1e-320", "-0.0", "0.5", "true", '""', '"\\u0000"', '"."', '"a"', '"nan"'),
        *("[]", "{}", "[[]]", '[""]', '{"" = 1}', '{"*" = nan}', "[nan, nan, nan, nan]", "[0, 0, 1, 1]", "[1e400]"),
        *("1979-05-27T07:32:00Z", "1979-05-27", "07:32:00", '"' + "x" * 5000 + '"', '"\U0001f600"', "'\\'", "0x7f"),
    ]
)

json_values: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(HUGE),
    st.floats(),
    st.sampled_from(["", "a", "..", "/etc/passwd", "a/b", "nan", "\0", "x" * 5000, "RGB", "yolo_v8"]),
    st.sampled_from([[], {}, [[]], [1], ["a"], [None], {"a": 1}, {"": {}}, [1e308] * 3, [0, 0, 0], [-1] * 4]),
).map(copy.deepcopy)


@st.composite
def mutated_bytes(draw: st.DrawFn, good: bytes, *, most: int = 6) -> bytes:
    """Bits flipped, pieces cut out, repeated, exchanged, overwritten with extremes; the end cut off."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, most))):
        if not data:
            break
        at = draw(st.integers(0, len(data) - 1))
        length = draw(st.sampled_from([1, 2, 4, 8, 16, 64, 256]))
        change = draw(st.sampled_from(["flip", "extreme", "cut", "repeat", "splice", "insert", "end"]))
        if change == "flip":
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif change == "extreme":
            extreme = draw(st.sampled_from([b"\xff", b"\0", b"\x7f", b"\x80", b"\xff\xff\xff\x7f", b"\0\0\0\x80"]))
            data[at : at + len(extreme)] = extreme
        elif change == "cut":
            del data[at : at + length]
        elif change == "repeat":
            data[at:at] = data[at : at + length] * draw(st.integers(1, 8))
        elif change == "splice":
            other = draw(st.integers(0, len(data) - 1))
            data[at : at + length] = data[other : other + length]
        elif change == "insert":
            data[at:at] = draw(st.binary(max_size=16))
        else:
            del data[at:]
    return bytes(data)


@st.composite
def mutated_texts(draw: st.DrawFn, good: bytes) -> bytes:
    """`mutated_bytes`, and lines left out, doubled, exchanged, or with another value."""
    if draw(st.booleans()):
        return draw(mutated_bytes(good))
    lines = good.splitlines()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        change = draw(st.sampled_from(["leave", "double", "exchange", "value"]))
        if change == "leave" and len(lines) > 1:
            del lines[at]
        elif change == "double":
            lines.insert(at, lines[at])
        elif change == "exchange":
            other = draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
        elif b" = " in lines[at]:
            lines[at] = lines[at].partition(b" = ")[0] + b" = " + draw(toml_values).encode()
    return b"\n".join(lines)


@st.composite
def mutated_document(draw: st.DrawFn, good: bytes) -> Any:
    """A JSON document with some of its values, at any depth, exchanged, left out, or added."""
    document = json.loads(good)
    for _ in range(draw(st.integers(1, 3))):
        holder = draw(st.sampled_from(list(_holders(document))))
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        change = draw(st.sampled_from(["change", "change", "change", "leave", "add"]))
        if change == "add" or not keys:
            if isinstance(holder, dict):
                holder[draw(st.sampled_from(["x", "", "name", "strides", "anchors"]))] = draw(json_values)
            else:
                holder.append(draw(json_values))
        elif change == "leave":
            del holder[draw(st.sampled_from(keys))]
        else:
            holder[draw(st.sampled_from(keys))] = draw(json_values)
    return document


def _holders(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from _holders(item)
