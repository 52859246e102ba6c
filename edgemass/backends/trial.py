"""Try an accelerator out in a child process first: a library that crashes or hangs on load costs a child, no camera."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgemass.backends import Options, own_process
from edgemass.backends._trial_child import Order, Verdict
from edgemass.errors import BackendError
from edgemass.tensors import AnyArray

_PROGRAM = "from edgemass.backends._trial_child import main; main()"
_MISSING_LIBRARY = re.compile(r"with error: (?P<why>[^\n:]+: cannot open shared object file)")  # ONNX Runtime's words


def try_out(
    name: str,
    model: Path,
    runtime: str,
    options: Options,
    feed: Mapping[str, AnyArray],
    *,
    deadline_s: float,
    cancelled: threading.Event,
) -> None:
    """Load and run once in a child.

    name: of what is tried, for errors. feed: every input of a run. cancelled: ends the wait, and the child, early.

    Raises:
        BackendError: it failed, runs on something else, crashed, or did not end in time.
    """
    order = Order(str(model.resolve()), runtime, options, list(feed), int(deadline_s) + 1)
    ended = own_process.run(_PROGRAM, order, feed.values(), deadline_s=deadline_s, cancelled=cancelled)
    if ended.code is None:
        why = "the trial was cancelled" if cancelled.is_set() else f"no end of a trial run within {deadline_s:g} s"
        raise BackendError(f"{name} hangs: {why}")
    if ended.code < 0:
        raise BackendError(f"{name} crashed in a trial run ({ended.signal})")
    if ended.code or not ended.answer:
        raise BackendError(f"{name} failed in a trial run ({ended.last_words})")
    error = msgspec.json.decode(ended.answer, type=Verdict).error
    if error:
        missing = _MISSING_LIBRARY.search(ended.noise)
        raise BackendError(f"{error} ({missing['why']})" if missing and missing["why"] not in error else error)
