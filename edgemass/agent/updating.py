"""Makes what runs in a slot equal to what was ordered, one order at a time.

Every step that a power cut or a crash may follow is written to the store before it is taken. Whatever fails, the model
that ran goes on, or comes back.
"""

from __future__ import annotations

import logging
import random
import threading
from dataclasses import dataclass
from pathlib import Path

from edgemass.agent import orders
from edgemass.agent.changeover import Changeover, Refused
from edgemass.agent.fetching import Fetcher
from edgemass.agent.orders import Inbox, LocalFile, Order
from edgemass.agent.reports import Reports
from edgemass.agent.slot import ModelSlot
from edgemass.bundles import Bundle
from edgemass.bundles.stored import load_stored
from edgemass.clock import Clock
from edgemass.errors import EdgemassError, RegistryUnavailableError, StoreError, TrustError, UsageError
from edgemass.messages import Desired, Phase
from edgemass.store import ModelStore
from edgemass.store.state import Origin

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""Between two looks at the local file."""
RETRY_S, LONGEST_RETRY_S = 5.0, 1800.0
"""Pauses before a registry that cannot be reached is asked again: the first, and the longest."""
MOST_FAILURES = 100
"""Attempts at an order that something here speaks against: two days."""
STOP_S = 5.0


@dataclass(frozen=True)
class _Retry:
    order: Order
    at_ns: int
    failures: int


class Updater:
    """Follows the orders for one slot, in a thread of its own.

    failure: why the process has to start anew, "" while it need not.
    """

    def __init__(
        self,
        slot: ModelSlot,
        store: ModelStore,
        reports: Reports,
        changeover: Changeover,
        fetcher: Fetcher,
        *,
        device: str,
        state: Path,
        clock: Clock,
    ) -> None:
        self.failure = ""
        self._device = device
        self._slot = slot
        self._store = store
        self._reports = reports
        self._changeover = changeover
        self._fetcher = fetcher
        changeover.superseded = self.superseded
        self._clock = clock
        self._file = LocalFile(state / orders.FOLDER / f"{slot.name}.json")
        self._inbox = Inbox(clock)
        self._retry: _Retry | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"updater-{slot.name}", daemon=True)

    def start(self) -> None:
        """Begin to follow orders; a trial that the process started with is watched to its end first."""
        self._thread.start()

    def close(self) -> None:
        """End; what was on its way goes on at the next start."""
        self._stop.set()
        self._changeover.stop.set()
        self._inbox.filled.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)

    def superseded(self, sequence: int, origin: Origin) -> bool:
        """Whether a newer order waits, as far as can be told before it is verified."""
        self._look_at_file()
        followed = self._store.slot(self._slot.name).sequences
        return any(
            order.claimed.sequence > (sequence if order.origin == origin else followed.get(order.origin, 0))
            and order.claimed.device in ("", self._device)
            and order.claimed.slot == self._slot.name
            for order in self._inbox.waiting()
        )

    def receive(self, document: bytes) -> None:
        """An order of the fleet; for any thread."""
        self._read(document, local=False)

    def _read(self, document: bytes, *, local: bool) -> None:
        if not document:
            return  # a retained order was cleared
        try:
            self._inbox.put(orders.read(document, local=local))
        except (ValueError, RecursionError) as error:
            logger.warning("an order cannot be read and is ignored: %s", error)

    def _run(self) -> None:
        """Whatever goes wrong here, the model that runs goes on. A trial that a newer order interrupted is taken up
        again where that order came to nothing.
        """
        while not self._stop.is_set() and not self._changeover.failure:
            try:
                self._changeover.settle()
                order = self._next()
                if order is not None:
                    self._follow(order)
            except Exception:  # the thread's outermost line; it lives on for the next order
                logger.exception("an order could not be followed")
        self.failure = self._changeover.failure

    def _next(self) -> Order | None:
        """The next order, where there is one within LOOK_S."""
        self._clock.wait(self._inbox.filled, LOOK_S)
        self._look_at_file()
        order = self._inbox.take()
        if order is None and self._retry is not None and self._clock.monotonic_ns() >= self._retry.at_ns:
            return self._retry.order
        return order

    def _look_at_file(self) -> None:
        try:
            document = self._file.changed()
        except OSError as error:
            logger.warning("cannot read %s: %s", self._file.path, error.strerror)
            return
        if document is not None:
            self._read(document, local=True)

    def _follow(self, order: Order) -> None:
        claimed = order.claimed
        try:
            if not self._is_new(order):
                return
            if self._retry is not None and self._retry.order is not order and self._retry.order.origin == order.origin:
                self._retry = None
            bundle = self._obtain(order)
            self._changeover.run(bundle, claimed, order.origin)
            self._retry = None
        except Refused as refused:
            self._refuse(order, refused.reason, quarantine=refused.quarantine)
        except RegistryUnavailableError as error:
            self._try_again(order, "fetching", str(error))
        except (TrustError, StoreError, UsageError) as error:
            # Metadata that nobody has signed anew may be signed tomorrow, a full disk have room, another process end.
            self._try_again(order, "failed", str(error))
        except OSError as error:
            self._try_again(order, "failed", f"{error.filename or 'the system'}: {error.strerror}")
        except EdgemassError as error:
            self._refuse(order, str(error), quarantine=False)

    def _is_new(self, order: Order) -> bool:
        """Whether there is something to do; what can be told before anything is fetched.

        Raises:
            Refused: it is for something else, older than what was followed, or for a model that failed here.
        """
        claimed = order.claimed
        for what, found, wanted in (
            ("device", claimed.device or (order.origin == "local" and self._device), self._device),
            ("slot", claimed.slot, self._slot.name),
        ):
            if found != wanted:
                raise Refused(f"the order is for {what} {found}, this is {wanted}")
        state = self._store.slot(self._slot.name)
        followed = state.sequences.get(order.origin, 0)
        if claimed.sequence < followed:
            raise Refused(f"the order has sequence {claimed.sequence}, one with {followed} was followed already")
        if claimed.sequence == followed:
            logger.debug("this order was followed already", extra={"sequence": followed})
            return False
        return True

    def _obtain(self, order: Order) -> Bundle:
        """The ordered model from the store, fetched and verified where it is not there or the fleet orders it.

        Raises:
            RegistryUnavailableError: later, perhaps.
            EdgemassError: it cannot be had, or must not be used.
        """
        claimed = order.claimed

        def progress(phase: Phase, done: int, total: int) -> None:
            self._say(phase, order, progress=done / total if total else None)

        if order.origin == "local":
            return load_stored(self._store, claimed.digest)
        reason = self._store.slot(self._slot.name).refused.get(claimed.digest)
        if reason:  # a person who orders it by a file was asked, and wants it all the same
            raise Refused(f"it failed here before: {reason}")
        digest = self._fetcher.follow(order.document, self._slot.name, progress, self._stop)
        if digest != claimed.digest:
            raise Refused(f"the order was read as one for {claimed.digest}, and is one for {digest}")
        return load_stored(self._store, digest)

    def _refuse(self, order: Order, reason: str, *, quarantine: bool) -> None:
        if self._stop.is_set():
            return  # the next start tries again
        claimed = order.claimed
        logger.warning("the order is not followed: %s", reason, extra=_told(claimed, order))
        if quarantine:
            try:
                self._store.refuse(self._slot.name, claimed.digest, reason, claimed.sequence, order.origin)
            except StoreError as error:
                logger.warning("it is not remembered that the model failed: %s", error)
        if self._retry is not None and self._retry.order is order:
            self._retry = None
        self._say("failed", order, reason=reason)

    def _try_again(self, order: Order, phase: Phase, reason: str) -> None:
        if self._stop.is_set():
            return  # the next start tries again
        same = self._retry is not None and self._retry.order is order
        failures = self._retry.failures + 1 if self._retry is not None and same else 1
        doubled = RETRY_S * 2 ** min(failures - 1, 16)
        pause_s = min(doubled, LONGEST_RETRY_S) * (0.5 + random.random())  # noqa: S311 (spreads retries)
        if failures == 1:
            logger.warning("trying again later: %s", reason, extra=_told(order.claimed, order))
        if phase == "failed" and failures >= MOST_FAILURES:
            self._retry = None
        else:
            self._retry = _Retry(order, self._clock.monotonic_ns() + round(pause_s * 1e9), failures)
        self._say(phase, order, reason=reason)

    def _say(self, phase: Phase, order: Order, *, progress: float | None = None, reason: str = "") -> None:
        claimed = order.claimed
        self._reports.say(
            phase,
            sequence=claimed.sequence,
            origin=order.origin,
            progress=progress,
            wanted=claimed.digest,
            reason=reason,
        )


def _told(claimed: Desired, order: Order) -> dict[str, object]:
    return {"model": claimed.name, "digest": claimed.digest, "sequence": claimed.sequence, "origin": order.origin}
