"""Board -> profile, with the reasons. `choose` is pure; `recognise` reads the board that it is asked about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from edgemass.device_profile.board import Board
from edgemass.device_profile.profile import AUTO, Defaults, DeviceProfile, named, profiles

LAST_RESORT = "generic"


@dataclass(frozen=True)
class Recognition:
    """reasons: a sentence each; the last one decided."""

    profile: DeviceProfile
    board: Board
    reasons: tuple[str, ...]

    @property
    def defaults(self) -> Defaults:
        """What to run on there."""
        return self.profile.defaults(self.board.bits)

    @property
    def model_bytes(self) -> int:
        """The largest model file to plan with: the profile's, or less where this very board has less memory."""
        memory = self.board.memory_bytes
        return self.profile.model_bytes if memory is None else min(self.profile.model_bytes, memory // 16)


@lru_cache(maxsize=16)
def recognise(root: Path = Path("/"), name: str = AUTO) -> Recognition:
    """Which board this is. The answer for one root is kept: no board becomes another while a process runs.

    root: that /proc and /sys are read under. name: of the profile to take all the same.

    Raises:
        ConfigError: there is no profile of that name, or the profiles are damaged.
    """
    board = Board.read(root)
    if name != AUTO:
        return Recognition(named(name), board, (f"profile {name} was asked for",))
    return choose(board, profiles())


def choose(board: Board, known: Mapping[str, DeviceProfile]) -> Recognition:
    """The profile that claims the most special thing that the board says of itself.

    known: by name; one of them is LAST_RESORT.
    """
    reasons: list[str] = []
    for name, told in _claims(board, known.values()):
        reasons.append(told)
        if name is not None:
            return Recognition(known[name], board, tuple(reasons))
    reasons.append(f"{board.sources.get('machine', 'the machine')} says {board.machine}, which no profile knows")
    return Recognition(known[LAST_RESORT], board, tuple(reasons))


def _claims(board: Board, known: Iterable[DeviceProfile]) -> Iterator[tuple[str | None, str]]:
    """(profile or None, what was looked at), in order: what comes first with a profile is it."""
    known = list(known)
    yield from _by_device_tree(board, known)
    for what, text in (("model", board.model), ("dmi", board.dmi)):
        where = board.sources.get(what, what)
        if text and (what != "model" or text != board.dmi):
            found = _by_pattern(text, what, known)
            yield found, f"{where} says {text}" if found else f"{where} says {text}, which no profile knows"
    where = board.sources.get("machine", "the machine")
    narrow = board.userland != board.machine
    bits = f", and {board.sources.get('bits', 'the system')} that programs have {board.bits} bits" if narrow else ""
    for profile in known:
        if board.userland in profile.match.machine:
            yield profile.name, f"{where} says {board.machine}{bits}"


def _by_device_tree(board: Board, known: list[DeviceProfile]) -> Iterator[tuple[str | None, str]]:
    boards = {word: profile.name for profile in known for word in profile.match.compatible}
    chips = {word: profile.name for profile in known for word in profile.match.soc}
    where = board.sources.get("compatible", "compatible")
    for word in board.compatible:
        if word in boards:
            yield boards[word], f"{where} says {word}"
    for word in board.compatible:
        if word in chips:
            yield chips[word], f"{where} says {word}: another board with the same chip"
    if board.compatible:
        yield None, f"{where} says {', '.join(board.compatible)}, which no profile knows"


def _by_pattern(text: str, what: str, known: list[DeviceProfile]) -> str | None:
    for profile in known:
        if any(fnmatchcase(text, pattern) for pattern in getattr(profile.match, what)):
            return profile.name
    return None
