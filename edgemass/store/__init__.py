"""The models that a device holds, and which of them runs: content-addressed, and whole after any power cut."""

from edgemass.store.content import StoredBundle
from edgemass.store.state import Happened, Kept, SlotState, Start, Trial
from edgemass.store.store import ModelStore

__all__ = ["Happened", "Kept", "ModelStore", "SlotState", "Start", "StoredBundle", "Trial"]
