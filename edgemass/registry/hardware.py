"""The words that a board answers to: what a release may be signed for."""

from __future__ import annotations

from edgemass.device_profile import Board


def words_of_board() -> tuple[str, ...]:
    """Machine type, and what the device tree calls the board, such as ("aarch64", "raspberrypi,5-model-b", ...)."""
    board = Board.read()
    model = board.model if board.sources.get("model") else ""
    return tuple(dict.fromkeys(filter(None, (board.machine, *board.compatible, model))))
