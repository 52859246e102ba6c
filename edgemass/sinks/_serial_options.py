"""What the address of a serial port says: `serial:///dev/ttyUSB0?baud=115200&max_per_s=5`."""

from __future__ import annotations

import difflib
import stat
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from edgemass.errors import UsageError
from edgemass.sinks._serial_documents import KINDS

EXAMPLE = "serial:///dev/ttyUSB0?baud=115200"


class SerialOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """path: of the port. baud: bits a second, ten or eleven to a byte. rtscts: the wires RTS and CTS say when to wait.

    detections: frames with something new in them (changes), or all, as far as the line carries them.
    max_per_s: frames of a camera a second, the newest; 0 = as many as the line carries.
    only: which documents are sent; "" = all. max_line: bytes of a line, both ways, its end included.
    """

    path: Path
    baud: Annotated[int, msgspec.Meta(ge=300, le=12_000_000)] = 115_200
    parity: Literal["none", "even", "odd"] = "none"
    rtscts: bool = False
    detections: Literal["changes", "all"] = "changes"
    max_per_s: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 5.0
    only: tuple[str, ...] = KINDS
    max_line: Annotated[int, msgspec.Meta(ge=96, le=8192)] = 512

    @property
    def bytes_per_s(self) -> float:
        """What the line carries: a start and a stop bit to each byte, and one of parity."""
        return self.baud / (10 if self.parity == "none" else 11)


def parse(uri: str) -> SerialOptions:
    """Read an address.

    Raises:
        UsageError: no path, one that is no port, or an option that does not exist or does not fit.
    """
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if parts.netloc or not path.startswith("/"):
        raise UsageError(f"cannot read the port of {uri!r}; write three slashes, as in {EXAMPLE}")
    if parts.fragment:
        raise UsageError(f"{uri!r} has a # in it; write %23 where the name of the port has one, as in {EXAMPLE}")
    try:
        if not stat.S_ISCHR(Path(path).stat().st_mode):
            raise UsageError(f"{path} is no serial port; give one as in {EXAMPLE}")
    except OSError:
        pass  # it may be plugged in later
    return _options(Path(path), parts.query)


def _options(path: Path, query: str) -> SerialOptions:
    known = [name for name in SerialOptions.__struct_fields__ if name != "path"]
    table: dict[str, object] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise UsageError(f"serial: has no option {name!r}; {hint}")
        if name in table:
            raise UsageError(f"serial: option {name} is given twice")
        table[name] = _kinds(value) if name == "only" else value
    try:
        return msgspec.convert({"path": path, **table}, SerialOptions, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"serial: {str(error).replace('`$.', '`')}, found {query!r}") from error


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(dict.fromkeys(text.split(",")))
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"serial: only= takes some of {','.join(KINDS)}, found {kind!r}")
    return kinds
