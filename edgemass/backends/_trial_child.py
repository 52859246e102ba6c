"""The child process of `trial`: loads a model on an accelerator and runs it once, so that a crash or a hang of the
vendor's library ends here.

Standard input: one line of JSON (Order), then the inputs in its order, as `np.save` writes them.
Standard output: one line of JSON (Verdict); what the vendor prints goes to standard error.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import msgspec

from edgemass import backends
from edgemass.backends import own_process
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
    answer = own_process.open_answer()
    order = own_process.take_order(Order)
    signal.alarm(order.deadline_s)  # ends this process even when nobody is left to do it
    feed = dict(zip(order.inputs, own_process.take_arrays(len(order.inputs)), strict=True))
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
