"""What becomes of a slot: pure functions from one state to the next. `ModelStore` writes what they give."""

from __future__ import annotations

import msgspec

from edgemass.store.state import MOST_HISTORY, MOST_REFUSED, Happened, Kept, Origin, SlotState, Start, Trial, What

MOST_TRIES = 3
"""Starts of a trial whose boots ended in between: a power cut says little against a model, three say enough."""
MOST_CONFIRMED = 20


def start(state: SlotState, boot_id: str, now: str) -> tuple[SlotState, Start]:
    """A process begins: which model it is to load, with the try counted.

    A trial whose last process did not end well, in this same boot, took it down: it is not tried again.
    """
    trial = state.trial
    if trial is None:
        return state, Start(state.running)
    if trial.boot_id == boot_id:
        reason = "it took the process down while it was on trial"
    elif trial.tries >= MOST_TRIES:
        reason = f"it was on trial in {trial.tries} starts, and none of them lasted"
    else:
        trial = msgspec.structs.replace(trial, tries=trial.tries + bool(trial.boot_id), boot_id=boot_id)
        return msgspec.structs.replace(state, trial=trial), Start(trial.digest, trial=True)
    state = roll_back(state, reason, now)
    return state, Start(state.running, reason=f"going back from {trial.digest}: {reason}")


def begin_trial(state: SlotState, digest: str, *, sequence: int, origin: Origin, boot_id: str, now: str) -> SlotState:
    """It is about to be loaded; counts as the first try."""
    trial = Trial(digest, 1, boot_id, now, sequence, origin)
    state = note_sequence(state, origin, sequence)
    return _told(msgspec.structs.replace(state, trial=trial), "trial", now, digest)


def end_cleanly(state: SlotState) -> SlotState:
    """The process ended as it should: the next start is no sign against the trial."""
    if state.trial is None or not state.trial.boot_id:
        return state
    return msgspec.structs.replace(state, trial=msgspec.structs.replace(state.trial, boot_id=""))


def confirm(state: SlotState, now: str) -> SlotState:
    """The trial has shown itself, and stays."""
    if state.trial is None:
        return state
    digest = state.trial.digest
    others = tuple(kept for kept in state.confirmed if kept.digest != digest)
    confirmed = (Kept(digest, now), *others)[:MOST_CONFIRMED]
    refused = {other: reason for other, reason in state.refused.items() if other != digest}
    state = msgspec.structs.replace(state, confirmed=confirmed, trial=None, refused=refused)
    return _told(state, "confirmed", now, digest)


def roll_back(state: SlotState, reason: str, now: str) -> SlotState:
    """The trial failed: it is not tried again, and what was confirmed last runs."""
    if state.trial is None:
        return state
    digest = state.trial.digest
    state = _refused(msgspec.structs.replace(state, trial=None), digest, reason)
    return _told(state, "rolled_back", now, digest, reason)


def refuse(state: SlotState, digest: str, reason: str, *, sequence: int, origin: Origin, now: str) -> SlotState:
    """It failed before it was tried."""
    state = _refused(note_sequence(state, origin, sequence), digest, reason)
    return _told(state, "refused", now, digest, reason)


def forgive(state: SlotState, digest: str) -> SlotState:
    """A person wants it tried again."""
    left = {other: reason for other, reason in state.refused.items() if other != digest}
    return msgspec.structs.replace(state, refused=left)


def unusable(state: SlotState, digest: str, reason: str, now: str) -> SlotState:
    """Its files are damaged, or it no longer loads here: what was confirmed before it runs.

    A confirmed one is only forgotten, since fetched again it may be whole; a trial has failed.
    """
    if state.trial is not None and state.trial.digest == digest:
        return roll_back(state, reason, now)
    left = tuple(kept for kept in state.confirmed if kept.digest != digest)
    return _told(msgspec.structs.replace(state, confirmed=left), "unusable", now, digest, reason)


def note_sequence(state: SlotState, origin: Origin, sequence: int) -> SlotState:
    """An order was followed; older ones are not any more."""
    newest = max(sequence, state.sequences.get(origin, 0))
    return msgspec.structs.replace(state, sequences={**state.sequences, origin: newest})


def rebuilt(digests: tuple[str, ...], reason: str, now: str) -> SlotState:
    """A state from nothing but the models that are there, the newest first."""
    state = SlotState(confirmed=tuple(Kept(digest, now) for digest in digests))
    return _told(state, "rebuilt", now, digests[0] if digests else "", reason)


def needed(states: dict[str, SlotState], keep: int) -> set[str]:
    """Digests of what must stay: on trial, and the newest confirmed of every slot."""
    found = {state.trial.digest for state in states.values() if state.trial is not None}
    for state in states.values():
        found.update(kept.digest for kept in state.confirmed[: max(2, keep)])
    return found


def pruned(state: SlotState, gone: set[str]) -> SlotState:
    """Without the confirmed ones that are no longer there."""
    left = tuple(kept for kept in state.confirmed if kept.digest not in gone)
    return msgspec.structs.replace(state, confirmed=left) if left != state.confirmed else state


def _refused(state: SlotState, digest: str, reason: str) -> SlotState:
    """Never what is confirmed: it has shown itself."""
    if any(kept.digest == digest for kept in state.confirmed):
        return state
    refused = {**{other: why for other, why in state.refused.items() if other != digest}, digest: reason}
    return msgspec.structs.replace(state, refused=dict(list(refused.items())[-MOST_REFUSED:]))


def _told(state: SlotState, what: What, now: str, digest: str, reason: str = "") -> SlotState:
    history = (*state.history, Happened(now, what, digest, reason))[-MOST_HISTORY:]
    return msgspec.structs.replace(state, history=history)
