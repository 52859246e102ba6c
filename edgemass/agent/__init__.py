"""The daemon: wires one board from its configuration and keeps it running.

at work      agent (wires all, and its loop), cameras, scenes, slot (its model), starting (which), fitting, ending, heap
updates      managed wires them: orders -> updating -> fetching -> changeover -> reports;
             proving (judging: its rules) before the exchange, observing (probation: its rules) after it
speed, heat  tuner (tuning_frames); governor (its rules: governing, pacing, lighter)
telling      health (camera_health, status_file), home_assistant (discovery), page (recent), leftovers
obeying      controls, commands, adjustments (what commands changed), actions (what rules ask for)
staying up   heartbeat, crash_loop
"""

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
