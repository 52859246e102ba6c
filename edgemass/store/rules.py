"""What becomes of a slot: pure functions from one state to the next. `ModelStore` writes what they give."""

from __future__ import annotations

import msgspec

from edgemass.store.state import MOST_HISTORY, MOST_REFUSED, Happened, Kept, Origin, SlotState, Start, Trial, What

MOST_TRIES = 3
"""Starts of a trial whose boots ended in between: a power cut says little against a model, three say enough."""
MOST_CONFIRMED = 20


def start(state: SlotState, boot_id: str, now: str) -> tuple[SlotState, Start]:
    """A process begins: which model it is to load, with the try counted.

    A trial whose last process did not end well, in this same boot, took it down: it is not tried again. What nobody saw
    confirmed (see `rebuilt`) is on trial as any new one.
    """
    trial, reason = state.trial, ""
    if trial is not None:
        reason = _failed(trial, boot_id)
        if not reason:
            trial = msgspec.structs.replace(trial, tries=trial.tries + bool(trial.boot_id), boot_id=boot_id)
            return msgspec.structs.replace(state, trial=trial), Start(trial.digest, trial=True)
        state = roll_back(state, reason, now)
        reason = f"going back from {trial.digest}: {reason}"
    if state.confirmed and not state.confirmed[0].since:
        first, *others = state.confirmed
        trial = Trial(first.digest, 1, boot_id, now)
        state = msgspec.structs.replace(state, trial=trial, confirmed=tuple(others))
        return _told(state, "trial", now, first.digest), Start(first.digest, trial=True, reason=reason)
    return state, Start(state.running, reason=reason)


def _failed(trial: Trial, boot_id: str) -> str:
    """Why it must not be started again, "" where it may."""
    if trial.boot_id and trial.boot_id == boot_id:
        return "it took the process down while it was on trial"
    if trial.boot_id and trial.tries >= MOST_TRIES:
        return f"it was on trial in {trial.tries} starts, and none of them lasted"
    return ""


def untried(state: SlotState) -> str | None:
    """What runs where nothing may be tried: the newest that was seen confirmed and is not on trial now."""
    on_trial = state.trial.digest if state.trial is not None else ""
    return next((kept.digest for kept in state.confirmed if kept.since and kept.digest != on_trial), None)


def before(state: SlotState) -> str | None:
    """What a person who wants to go back goes back to; None where there is nothing.

    From a trial to what is confirmed; else to what was confirmed before that. To go back is no step forward: the next
    time it goes further back, as a browser does, and what was left is not come back to.
    """
    there = {kept.digest for kept in state.confirmed}
    path: list[str] = []
    for line in state.history:
        if line.what != "confirmed" or line.digest not in there or path[-1:] == [line.digest]:
            continue
        if path[-2:-1] == [line.digest]:
            path.pop()
        else:
            path.append(line.digest)
    if not path or path[-1] != state.confirmed[0].digest:  # the beginning of the history is lost
        path = [kept.digest for kept in reversed(state.confirmed)]
    if state.trial is not None:
        return next((digest for digest in reversed(path) if digest != state.trial.digest), None)
    return path[-2] if len(path) > 1 else None


def begin_trial(state: SlotState, digest: str, *, sequence: int, origin: Origin, boot_id: str, now: str) -> SlotState:
    """It is about to be loaded; counts as the first try. Whoever tries what was refused has decided to."""
    trial = Trial(digest, 1, boot_id, now, sequence, origin)
    refused = {other: reason for other, reason in state.refused.items() if other != digest}
    state = msgspec.structs.replace(note_sequence(state, origin, sequence), trial=trial, refused=refused)
    return _told(state, "trial", now, digest)


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


def roll_back(state: SlotState, reason: str, now: str, *, blame: bool = True) -> SlotState:
    """The trial failed: it is not tried again, and what was confirmed last runs.

    blame: False = the model is not the cause, and may be tried again.

    One that had been confirmed before stays, as the last to go back to.
    """
    if state.trial is None:
        return state
    digest = state.trial.digest
    confirmed = tuple(sorted(state.confirmed, key=lambda kept: kept.digest == digest))
    state = msgspec.structs.replace(state, trial=None, confirmed=confirmed)
    state = _refused(state, digest, reason) if blame else state
    return _told(state, "rolled_back", now, digest, reason)


def refuse(state: SlotState, digest: str, reason: str, *, sequence: int, origin: Origin, now: str) -> SlotState:
    """It failed before it was tried; where it is on trial already, the trial has failed."""
    state = note_sequence(state, origin, sequence)
    if state.trial is not None and state.trial.digest == digest:
        return roll_back(state, reason, now)
    return _told(_refused(state, digest, reason), "refused", now, digest, reason)


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


def ordered_again(state: SlotState, digest: str, origin: Origin, sequence: int) -> SlotState:
    """An order for what runs already was followed; while that is on trial, what comes of it answers this order."""
    state = note_sequence(state, origin, sequence)
    if state.trial is None or state.trial.digest != digest:
        return state
    return msgspec.structs.replace(state, trial=msgspec.structs.replace(state.trial, sequence=sequence, origin=origin))


def rebuilt(digests: tuple[str, ...], reason: str, now: str) -> SlotState:
    """A state from nothing but the models that are there, the newest first; nobody knows which of them do any good."""
    state = SlotState(confirmed=tuple(Kept(digest) for digest in digests[:MOST_CONFIRMED]))
    return _told(state, "rebuilt", now, digests[0] if digests else "", reason)


def needed(states: dict[str, SlotState], keep: int) -> set[str]:
    """Digests of what must stay: on trial, and the newest confirmed of every slot."""
    found = {state.trial.digest for state in states.values() if state.trial is not None}
    for state in states.values():
        found.update(kept.digest for kept in state.confirmed[: max(2, keep)])
    return found


def pruned(state: SlotState, lost: set[str]) -> SlotState:
    """Without the confirmed ones that are no longer there."""
    left = tuple(kept for kept in state.confirmed if kept.digest not in lost)
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
