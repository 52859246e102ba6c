"""The child process that converts a checkpoint to TFLite: the converter prints, and keeps a gigabyte of memory.

python -m edgemass_tools.exporting._tflite CHECKPOINT OUT.tflite
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    import litert_torch  # noqa: PLC0415 (seconds)

    from edgemass_tools import checkpoint, exporting  # noqa: PLC0415

    body = checkpoint.load(Path(arguments[0]))
    exporter = exporting.load_tflite(body.net)
    assert exporter is not None
    made = exporting.load(body.net).manifest(body, "child")
    net, example = exporter.for_tflite(checkpoint.module(body), made)
    litert_torch.convert(net, example).export(arguments[1])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
