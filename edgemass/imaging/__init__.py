"""Pictures into tensors and boxes back into pictures: values in, values out, no runtime and no disk."""

from __future__ import annotations


def leave_cores_to_the_runtime() -> None:
    """Keep OpenCV to the calling thread, for the whole process.

    A resize that waits for a helper thread on a busy core costs more than it gains: with the other core busy, the whole
    line of an int8 YOLOv8n at 416 got 2 to 8 % faster (`edgemass bench`, docs/benchmarks.md).
    """
    import cv2  # noqa: PLC0415 (only who runs frames needs it)

    cv2.setNumThreads(1)
