"""The daemon: wires one board from its configuration and keeps it running."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgemass.agent.agent import Agent

__all__ = ["Agent"]


def __getattr__(name: str) -> object:
    """The agent when it is first asked for: `edgemass status` reads one small file of this package, without OpenCV."""
    if name == "Agent":
        from edgemass.agent.agent import Agent  # noqa: PLC0415 (that is the point)

        return Agent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
