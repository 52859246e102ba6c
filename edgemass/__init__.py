"""Turns a board with a camera into a managed object detector."""

__version__ = "0.1.0"
