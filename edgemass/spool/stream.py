"""Whether what a subscriber got of a device is all that the device accounts for. Rules only.

A subscriber that was there from the start of a run can check it exactly: every seq of every camera has come once, or is
one of those that the account calls dropped. One that came later (it finds an account of the run retained) can check all
from the first seq on that it saw.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

import msgspec

from edgemass.messages.health import ACCOUNT, Account, AccountMessage

EVENT = "edgemass.event/1"
_NAMED = 5
"""So many gaps are named of a camera."""


class Event(msgspec.Struct, tag_field="schema", tag=EVENT):
    """What is looked at of edgemass.event/1."""

    device: str
    camera: str
    seq: Annotated[int, msgspec.Meta(ge=1)]
    run_id: str
    replayed: bool = False
    duplicate_possible: bool = False


class RunVerdict(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Of one run. received: documents, each counted once. state: of its account."""

    device: str
    run_id: str
    state: Literal["final", "open", "none"]
    received: int
    missing: int
    produced: int = 0
    delivered: int = 0
    queued: int = 0
    dropped: dict[str, int] = {}
    replayed: int = 0
    duplicates_flagged: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    above_account: int = 0
    problems: list[str] = []


class Verdict(msgspec.Struct):
    """ok: no run has a problem."""

    ok: bool
    runs: list[RunVerdict]
    unreadable: int = 0


class _Camera:
    """seq numbers of one camera and run: those that have come are the first to the last without the gaps."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.last = first
        self.gaps: list[tuple[int, int]] = []
        """From and to, both missing."""

    def take(self, seq: int) -> Literal["new", "late", "again"]:
        if seq > self.last:
            if seq > self.last + 1:
                self.gaps.append((self.last + 1, seq - 1))
            self.last = seq
            return "new"
        if seq < self.first:
            if seq < self.first - 1:
                self.gaps.insert(0, (seq + 1, self.first - 1))
            self.first = seq
            return "late"
        for place, (start, end) in enumerate(self.gaps):
            if start <= seq <= end:
                self.gaps[place : place + 1] = [gap for gap in ((start, seq - 1), (seq + 1, end)) if gap[0] <= gap[1]]
                return "late"
        return "again"

    def received(self, until: int | None = None) -> int:
        """How many have come, up to this seq."""
        last = self.last if until is None else min(self.last, until)
        return max(0, last - self.first + 1) - sum(max(0, min(end, last) - start + 1) for start, end in self.gaps)

    def missing(self, until: int, *, from_start: bool) -> list[tuple[int, int]]:
        """What has not come up to this seq, from the first on that did, or from 1."""
        gaps = [(start, min(end, until)) for start, end in self.gaps if start <= until]
        if from_start and self.first > 1:
            gaps.insert(0, (1, min(self.first - 1, until)))
        if until > self.last:
            gaps.append((self.last + 1, until))
        return gaps


class _Run:
    def __init__(self, run_id: str) -> None:
        self.devices: list[str] = []
        """Names of the device, the newest last."""
        self.run_id = run_id
        self.cameras: dict[str, _Camera] = {}
        self.before: AccountMessage | None = None
        """What the account was when the subscriber came; None = it was there from the start."""
        self.account: AccountMessage | None = None
        self.replayed = self.flagged = self.unflagged = self.disordered = 0
        self.faults: list[str] = []

    def take(self, event: Event) -> None:
        self.replayed += event.replayed
        known = self.cameras.get(event.camera)
        if known is None:
            self.cameras[event.camera] = _Camera(event.seq)
            return
        came = known.take(event.seq)
        if came == "late":
            self.disordered += 1
        elif came == "again" and event.duplicate_possible:
            self.flagged += 1
        elif came == "again":
            self.unflagged += 1

    def take_account(self, message: AccountMessage, *, retained: bool) -> None:
        account = message.classes.get("events", Account())
        if account.produced != account.delivered + account.queued + sum(account.dropped.values()):
            self.faults.append(f"an account does not close: {msgspec.json.encode(account).decode()}")
        if retained and self.account is None and not self.cameras:
            self.before = message
        last = self.account.classes.get("events", Account()) if self.account is not None else Account()
        if account.produced < last.produced:
            self.faults.append(f"an account went back from {last.produced} produced to {account.produced}")
        self.account = message


class Stream:
    """Documents in the order in which they came. unreadable: lines or payloads that are none.

    devices: names of those that are asked about, empty = all. A run is theirs if anything of it bears such a name: what
    waited while a device was renamed bears its earlier one, and its account the new one.
    """

    def __init__(self, devices: Collection[str] = ()) -> None:
        self.unreadable = 0
        self._devices = devices
        self._runs: dict[str, _Run] = {}
        self._decoder = msgspec.json.Decoder(Event | AccountMessage)
        self._schema = msgspec.json.Decoder(_Schema)

    def take(self, payload: bytes, *, retained: bool = False) -> None:
        """One document; of other kinds than events and accounts nothing is asked.

        retained: it was there before.
        """
        if not payload:  # an account that was taken back
            return
        try:
            if self._schema.decode(payload).schema not in (EVENT, ACCOUNT):
                return
            document = self._decoder.decode(payload)
        except (ValueError, RecursionError):  # whatever somebody sends to the topics
            self.unreadable += 1
            return
        run = self._runs.setdefault(document.run_id, _Run(document.run_id))
        if document.device not in run.devices:
            run.devices.append(document.device)
        if isinstance(document, AccountMessage):
            run.take_account(document, retained=retained)
        else:
            run.take(document)

    def verdict(self) -> Verdict:
        """What is to be said by now."""
        runs = [
            _judge(run) for run in self._runs.values() if self._is_asked(run) and (run.cameras or not _is_past(run))
        ]
        return Verdict(not self.unreadable and not any(run.problems for run in runs), runs, self.unreadable)

    def _is_asked(self, run: _Run) -> bool:
        return not self._devices or any(name in self._devices for name in run.devices)


class _Schema(msgspec.Struct):
    schema: str = ""


def _is_past(run: _Run) -> bool:
    """A run that was over before the subscriber came."""
    return run.before is not None and run.before.final


def _judge(run: _Run) -> RunVerdict:
    account = run.account.classes.get("events", Account()) if run.account is not None else Account()
    final = run.account is not None and run.account.final
    lasts = dict(run.account.cameras) if run.account is not None else {}
    gaps: dict[str, list[tuple[int, int]]] = {}
    for camera in lasts.keys() | run.cameras.keys():
        seen = run.cameras.get(camera)
        until = max(lasts.get(camera, 0), seen.last if seen is not None else 0)
        if seen is not None:
            gaps[camera] = seen.missing(until, from_start=run.before is None)
        elif until > (run.before.cameras.get(camera, 0) if run.before is not None else 0):
            gaps[camera] = [((run.before.cameras.get(camera, 0) if run.before is not None else 0) + 1, until)]
    verdict = RunVerdict(
        device=run.devices[-1],
        run_id=run.run_id,
        state="none" if run.account is None else "final" if final else "open",
        received=sum(camera.received() for camera in run.cameras.values()),
        missing=sum(end - start + 1 for found in gaps.values() for start, end in found),
        produced=account.produced,
        delivered=account.delivered,
        queued=account.queued,
        dropped=account.dropped,
        replayed=run.replayed,
        duplicates_flagged=run.flagged,
        duplicates=run.unflagged,
        out_of_order=run.disordered,
        above_account=sum(
            camera.received() - camera.received(lasts.get(name, 0)) for name, camera in run.cameras.items()
        ),
    )
    verdict.problems = [*run.faults, *_problems(run, verdict, gaps)]
    return verdict


def _problems(run: _Run, verdict: RunVerdict, gaps: dict[str, list[tuple[int, int]]]) -> list[str]:
    found: list[str] = []
    dropped = sum(verdict.dropped.values())
    if verdict.state == "none":
        found.append("no account of it came")
    if verdict.duplicates:
        found.append(f"{verdict.duplicates} came twice and are not flagged")
    if verdict.out_of_order:
        found.append(f"{verdict.out_of_order} came out of order")
    excused = dropped + verdict.queued
    if verdict.missing > excused:
        found.append(
            f"{verdict.missing} are missing, {excused} of them dropped or queued by the account: {_named(gaps)}"
        )
    if verdict.queued and verdict.missing > dropped:
        found.append(f"{verdict.queued} are still queued")
    if verdict.state == "final" and run.before is None:
        assert run.account is not None
        counted = verdict.received - verdict.above_account
        if counted != verdict.delivered and verdict.missing <= excused:
            found.append(f"{counted} came and {verdict.delivered} were delivered by the account")
        if verdict.above_account and not run.account.interrupted:
            found.append(f"{verdict.above_account} came that are in no account")
    return found


def _named(gaps: dict[str, list[tuple[int, int]]]) -> str:
    """Cameras with their missing seq, the first few."""
    parts = []
    for camera, found in sorted(gaps.items()):
        named = ", ".join(f"{start}" if start == end else f"{start}-{end}" for start, end in found[:_NAMED])
        if found:
            parts.append(f"{camera} {named}{', ...' if len(found) > _NAMED else ''}")
    return "; ".join(parts)
