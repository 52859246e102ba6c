"""The store on disk.

    blobs/sha256/<hex>    files of bundles, each named by its content
    bundles/<hex>         the OCI manifest of a bundle; written last, so that a bundle that is named is whole
    slots/<slot>.json     what runs in a slot, what is on trial, what was confirmed and refused; .before: the last one
    incoming/             what is being fetched
    lock                  held by the daemon, which alone changes slots
    content.lock          held for as long as a bundle is put in or removed

Everything is written by `durable`: after a power cut at any byte the old or the new is there.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edgemass import durable
from edgemass.clock import rfc3339
from edgemass.config import is_name
from edgemass.errors import StoreBusyError, StoreError
from edgemass.store import files, rules
from edgemass.store.content import FILE_MODE, FRESH_S, Content
from edgemass.store.state import Origin, SlotState, Start, decode, encode

logger = logging.getLogger(__name__)

_MAX_STATE_BYTES = 4 * 1024 * 1024
_TRIES_TO_HOLD, _LOOK_S = 10, 0.05
"""Whoever asks whether it is in use holds the lock for a moment."""
_PATIENCE_S = 1.0


class ModelStore(Content):
    """See the module. Many may read and add at a time; `hold` it before a slot is changed."""

    def __init__(self, root: Path, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        """Open or make it.

        Raises:
            StoreError: the folder cannot be made or read.
        """
        super().__init__(root, now_ns=now_ns)
        self._slots = root / "slots"
        self._lock: int | None = None
        with files.told(root):
            self._make(self._slots)

    def hold(self) -> None:
        """Be the one process that changes slots, until `close`; what others left half done is cleared away.

        Raises:
            StoreBusyError: another process is.
            StoreError: the store cannot be written.
        """
        with files.told(self.root):
            for _ in range(_TRIES_TO_HOLD):
                self._lock = self._locked()
                if self._lock is not None:
                    break
                threading.Event().wait(_LOOK_S)
            else:
                raise StoreBusyError(
                    f"the store {self.root} is in use by another edgemass; stop it, or give --state another folder"
                )
        try:
            self._clear_away()
        except (OSError, StoreError) as error:  # who is adding now leaves no rubbish; and a full disk stops no start
            logger.debug("the store is not cleared up: %s", error)

    def _clear_away(self) -> None:
        durable.sync_folder(self.root.parent)  # folders that a killed process made, and did not come to sync
        durable.sync_folder(self.root)
        for path in self._slots.iterdir():
            if path.name.startswith("."):
                files.remove_old(path, self._now_ns() / 1e9, 0.0)
        with self._alone(0.0):
            self._sweep()

    def _locked(self) -> int | None:
        """The lock's descriptor; None where another process has it."""
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def in_use(self) -> bool:
        """Whether a process holds it: a daemon."""
        if self._lock is not None:
            return True
        with files.told(self.root):
            descriptor = self._locked()
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def slot(self, name: str) -> SlotState:
        """Where a slot stands. A file that is damaged is made from the one before, or from the models that are here."""
        path = self._slot_path(name)
        states = (files.read(path, _MAX_STATE_BYTES), files.read(_before(path), _MAX_STATE_BYTES))
        for data in states:
            state = decode(data) if data is not None else None
            if state is not None:
                return state
        if states == (None, None) and not os.path.lexists(path):
            return SlotState()
        whole = [item.digest for item in self.bundles() if not self.damaged(item.digest)]
        logger.error("what was known of slot %s is lost; it is made anew from the models in the store", name)
        return rules.rebuilt(tuple(whole), "the file of the slot was damaged", self._now())

    def start(self, slot: str, boot_id: str) -> Start:
        """What this process is to load, with the try counted; once, before anything is loaded, and again after
        `unusable`.

        On a disk that takes no count, a trial is left out: nothing is tried that could be tried for ever.
        """
        old = self.slot(slot)
        state, answer = rules.start(old, boot_id, self._now())
        try:
            self._write(slot, state)
        except StoreError as error:
            if self._lock is None:
                raise
            logger.error("the start of slot %s cannot be counted: %s", slot, error)  # noqa: TRY400
            if answer.trial:
                return Start(rules.untried(old), reason=f"what is on trial is not started: {error}")
        return answer

    def begin_trial(self, slot: str, digest: str, *, sequence: int, origin: Origin, boot_id: str) -> None:
        """Before it is loaded."""
        state = self.slot(slot)
        self._write(
            slot,
            rules.begin_trial(state, digest, sequence=sequence, origin=origin, boot_id=boot_id, now=self._now()),
        )

    def end_cleanly(self, slot: str) -> None:
        self._change(slot, rules.end_cleanly)

    def confirm(self, slot: str) -> None:
        self._change(slot, lambda state: rules.confirm(state, self._now()))

    def roll_back(self, slot: str, reason: str, *, blame: bool = True) -> None:
        """Before the model before is loaded. blame: False = not the model's fault; it may be tried again."""
        self._change(slot, lambda state: rules.roll_back(state, reason, self._now(), blame=blame))

    def refuse(self, slot: str, digest: str, reason: str, sequence: int, origin: Origin) -> None:
        """Put into quarantine."""
        self._change(
            slot,
            lambda state: rules.refuse(state, digest, reason, sequence=sequence, origin=origin, now=self._now()),
        )

    def unusable(self, slot: str, digest: str, reason: str) -> None:
        """It does not load; `start` tells what is to be loaded instead."""
        self._change(slot, lambda state: rules.unusable(state, digest, reason, self._now()))

    def ordered_again(self, slot: str, digest: str, origin: Origin, sequence: int) -> None:
        """What runs already; whether that is confirmed or on trial, what is said of it answers this order."""
        self._change(slot, lambda state: rules.ordered_again(state, digest, origin, sequence))

    def slots(self) -> dict[str, SlotState]:
        """All slots that anything is known of."""
        names = {path.name.removesuffix(".before").removesuffix(".json") for path in self._slots.iterdir()}
        return {name: self.slot(name) for name in sorted(names) if is_name(name)}

    def _slot_path(self, name: str) -> Path:
        if not is_name(name):
            raise StoreError(f"{name!r} is no name of a slot")
        return self._slots / f"{name}.json"

    def _change(self, slot: str, rule: Callable[[SlotState], SlotState]) -> None:
        old = self.slot(slot)
        new = rule(old)
        if new != old:
            self._write(slot, new)

    def _write(self, slot: str, state: SlotState) -> None:
        path = self._slot_path(slot)
        self._check_held()
        with files.told(self.root):
            data = encode(state)
            old = files.read(path, _MAX_STATE_BYTES)
            if old == data:
                return
            if old is None and state == SlotState():
                return
            if old is not None and decode(old) is not None:
                durable.keep_before(path, _before(path))
            durable.write_bytes(path, data, mode=FILE_MODE)

    def prune(self, keep: int = 2, *, free_bytes: int = 0) -> tuple[str, ...]:
        """Remove bundles that nothing needs; returns their digests.

        keep: confirmed ones that stay for each slot. What was never taken into use goes only where `free_bytes` are
        wanted on the disk and not there, the oldest first; not what was added within the hour.

        Raises:
            StoreBusyError: another process is adding to the store, for longer than a second.
            StoreError: this process does not hold it, or it cannot be written.
        """
        self._check_held()
        with files.told(self.root), self._alone(_PATIENCE_S):
            states = self.slots()
            gone = self._needless(states, keep, free_bytes)
            here = {*self.digests()}
            lost = {kept.digest for state in states.values() for kept in state.confirmed} - here
            for name in states:
                self._change(name, lambda state: rules.pruned(state, lost))
            self._sweep()
        return gone

    def _needless(self, states: dict[str, SlotState], keep: int, free_bytes: int) -> tuple[str, ...]:
        stays = rules.needed(states, keep)
        used = {kept.digest for state in states.values() for kept in state.confirmed}
        used.update(digest for state in states.values() for digest in state.refused)
        others = [bundle for bundle in reversed(self.bundles()) if bundle.digest not in stays]
        gone = [bundle.digest for bundle in others if bundle.digest in used]
        self._remove(gone)
        fresh_s = self._now_ns() / 1e9 - FRESH_S
        for bundle in others:
            if self._free_bytes() >= free_bytes:
                break
            if bundle.digest not in used and bundle.added_s < fresh_s:
                self._remove([bundle.digest])
                gone.append(bundle.digest)
        return tuple(gone)

    def _check_held(self) -> None:
        if self._lock is None:
            raise StoreError(f"the store {self.root} is not held by this process")

    def _now(self) -> str:
        return rfc3339(self._now_ns())


def _before(path: Path) -> Path:
    return path.with_name(f"{path.name}.before")
