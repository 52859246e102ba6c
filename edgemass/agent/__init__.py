"""The daemon: wires one board from its configuration and keeps it running."""

from edgemass.agent.agent import Agent

__all__ = ["Agent"]
