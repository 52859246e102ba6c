"""The child process that converts a sequence net to TFLite, see _tflite.

python -m edgemass_tools.exporting._sequence_tflite CHECKPOINT OUT.tflite PER_RUN
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    from edgemass_tools import checkpoint  # noqa: PLC0415
    from edgemass_tools.exporting import sequence_graphs, sequences  # noqa: PLC0415

    per_run = int(arguments[2]) or None
    _, graph = sequences.reading(checkpoint.module(checkpoint.load(Path(arguments[0]))), per_run)
    sequence_graphs.to_tflite(graph, Path(arguments[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
