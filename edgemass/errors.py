"""Every error edgemass raises on purpose.

    EdgemassError
      UsageError                  wrong command line: exit 2
      ConfigError                 a file or an option to fix before starting again: exit 78
      BundleError                 refuse this model or bundle; nothing was loaded
        FamilyUnknownError        the graph does not tell its family, or something neither graph nor family decides
        DigestMismatchError       a file is not the one that was named: fetch it again
      BackendError                the runtime cannot load or run this model
        BackendUnavailableError   the runtime is not installed or the accelerator is not there
      SourceError                 the camera or file broke: reopen it
        SourceNotFoundError       a file or folder that is not there or cannot be read: opening again will not help
      StaleFrameError             the frame waited too long for its run: drop it and take a newer one
      SinkError                   a document could not be handed over
        SinkClosedError           nobody takes documents there any more: end the run
      RegistryUnavailableError    try again later
      RegistryError               the registry refuses, or does not answer as one: trying again will not help
      TrustError                  nobody who may has vouched for it, or no longer: do not use it
      StoreError                  the store of models cannot be used
        NoRoomError               make room first
        StoreBusyError            another process has it

A class exists because a caller acts differently. Messages say what was found, what was wanted, and what to do.
"""

from __future__ import annotations


class EdgemassError(Exception):
    """Base of all errors raised on purpose; `str()` of it is one line fit for a user."""


class UsageError(EdgemassError):
    """The command line asks for something impossible."""


class ConfigError(EdgemassError):
    """Configuration that has to be fixed by a person before the program can start."""


class BundleError(EdgemassError):
    """A model file or bundle that must not be used."""


class FamilyUnknownError(BundleError):
    """The importer needs an answer that neither the graph nor the family gives.

    choices: the answers that would do, as they are typed on the command line (`--family yolo_v8`, `--set anchors=...`).
    """

    def __init__(self, message: str, choices: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.choices = choices


class DigestMismatchError(BundleError):
    """Content that is not what its digest says. blob: which; wanted, found: digests."""

    def __init__(self, blob: str, wanted: str, found: str) -> None:
        super().__init__(f"{blob} is damaged: wanted {wanted}, found {found}; fetch it again")
        self.blob, self.wanted, self.found = blob, wanted, found


class BackendError(EdgemassError):
    """A runtime failed to load or to run a model."""


class BackendUnavailableError(BackendError):
    """A runtime is not installed, or its accelerator is absent."""


class SourceError(EdgemassError):
    """A source of frames broke; a live one is worth opening again."""


class SourceNotFoundError(SourceError):
    """A file source that does not exist or cannot be read."""


class StaleFrameError(EdgemassError):
    """A frame was older than its camera's budget when its run would have begun."""


class SinkError(EdgemassError):
    """A sink could not take a document."""


class SinkClosedError(SinkError):
    """Whoever read the output has gone for good, as `head` does."""


class RegistryUnavailableError(EdgemassError):
    """The model registry cannot be reached now."""


class RegistryError(EdgemassError):
    """The registry refuses what was asked, or what answers is none."""


class TrustError(EdgemassError):
    """Metadata or an order that must not be followed."""


class StoreError(EdgemassError):
    """The store of models is held by another process, or cannot be read or written."""


class StoreBusyError(StoreError):
    """Another process changes the store."""


class NoRoomError(StoreError):
    """The disk has less room than is needed."""
