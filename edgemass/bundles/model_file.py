"""What kind of file is this: told by its content, never by its name."""

from __future__ import annotations

import stat
from pathlib import Path

from edgemass.errors import BundleError
from edgemass.manifest import RuntimeName

MAX_MODEL_BYTES = 2 * 1024**3
"""Protobuf, and so an ONNX file without external data, ends at 2 GiB."""

_WANTED = "wanted an .onnx or .tflite model"
_KNOWN_STARTS = (  # what people hand over instead; the first bytes, what it is, what to do
    (b"version https://git-lfs", "a Git LFS pointer instead of the file", "fetch the file itself with `git lfs pull`"),
    (b"PK\x03\x04", "a zip archive (PyTorch, Keras or a packed model)", "export it to ONNX or TFLite, or unpack it"),
    (b"\x89HDF", "an HDF5 file (Keras weights)", "export the model to ONNX or TFLite"),
    (b"\x80", "a Python pickle (PyTorch weights?)", "export the model to ONNX or TFLite"),
    (b"GGUF", "a GGUF language model", _WANTED),
    (b"\x1f\x8b", "a gzip archive", "unpack it"),
    (b"7z\xbc\xaf", "a 7-Zip archive", "unpack it"),
    (b"\xff\xd8\xff", "a JPEG picture", _WANTED),
    (b"\x89PNG", "a PNG picture", _WANTED),
    (b"%PDF", "a PDF document", _WANTED),
    (b"\x7fELF", "a program", _WANTED),
)


def format_of(path: Path) -> RuntimeName:
    """The format of a model file.

    "onnx" is what remains when nothing else is recognised and the bytes are no text: the parser tells.

    Raises:
        BundleError: no file, an empty one, one that is too large, or plainly something else.
    """
    start = _first_bytes(path)
    if start[4:8] == b"TFL3":
        return "tflite"
    if start[4:8] == b"ORTM":
        raise BundleError(
            f"{path} is in ONNX Runtime's own .ort format; {_WANTED}: take the file that it was made from"
        )
    for magic, found, advice in _KNOWN_STARTS:
        if start.startswith(magic):
            raise BundleError(f"{path} is {found}; {advice}")
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<"):
        kind = "XML" if text.startswith(b"<?xml") else "a web page (an error page that was saved as a file?)"
        raise BundleError(f"{path} is {kind}; {_WANTED}, download it again")
    if not start.strip(b"\0"):
        raise BundleError(f"{path} begins with zeros only (a broken download?); {_WANTED}, download it again")
    if _is_text(start):
        raise BundleError(f"{path} is text ({_excerpt(start)}); {_WANTED}")
    return "onnx"


def _first_bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise BundleError(f"{path} is a folder without manifest.toml; {_WANTED} or a bundle folder")
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BundleError(f"{path} is a device or a pipe; {_WANTED}")
        size = status.st_size
        if size > MAX_MODEL_BYTES:
            raise BundleError(f"{path} has {size} bytes, wanted at most {MAX_MODEL_BYTES} (2 GiB)")
        with path.open("rb") as file:
            start = file.read(4096)
    except FileNotFoundError as error:
        raise BundleError(f"{path} does not exist; {_WANTED}") from error
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}; {_WANTED}") from error
    if not start:
        raise BundleError(f"{path} is empty; {_WANTED}, download it again")
    return start


def _is_text(start: bytes) -> bool:
    """Whether it is printable throughout; a model begins with numbers below 32."""
    return not any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in start)


def _excerpt(start: bytes) -> str:
    text = " ".join(start[:200].decode("utf-8", errors="replace").split())
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
