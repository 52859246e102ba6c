"""The child process of `trial`: loads a model on an accelerator and runs it once, so that a crash or a hang of the
vendor's library ends here.

Standard input: one line of JSON (Order), then the inputs in its order, as `np.save` writes them.
Standard output: one line of JSON (Verdict); what the vendor prints goes to standard error.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path

import msgspec
import numpy as np

from edgemass import backends
from edgemass.errors import BackendError


class Order(msgspec.Struct):
    model: str
    runtime: str
    options: backends.Options
    inputs: list[str]
    deadline_s: int


class Verdict(msgspec.Struct):
    error: str = ""


def main() -> None:
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    signal.alarm(order.deadline_s)  # ends this process even when nobody is left to do it
    arrays = io.BytesIO(sys.stdin.buffer.read())
    feed = {name: np.load(arrays, allow_pickle=False) for name in order.inputs}
    verdict = Verdict()
    try:
        backend = backends.load(order.runtime).open(Path(order.model), order.options)
        backends.check_runs(backend)
        backend.run(feed)
    except BackendError as error:
        verdict.error = str(error)
    answer.write(msgspec.json.encode(verdict))
    answer.flush()
    os._exit(0)  # the vendor's destructors are the parent's business, not this verdict's
