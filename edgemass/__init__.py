"""Turns a board with a camera into a managed object detector."""

import os

__version__ = "0.1.0"

# Wheels of ONNX Runtime (seen in 1.31) write a device id below ~/.cache and report to their maker as soon as a session
# is made. A device calls nobody that its owner did not name; child processes inherit this.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
RELEASED = "2026-11-26"
"""The day of this version: a time that has passed for sure wherever it runs."""
