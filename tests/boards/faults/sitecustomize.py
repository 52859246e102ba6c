"""On a board's PYTHONPATH: runtimes that hang or crash as a vendor's driver does, once the file CONTROL says so.

    hang            every run hangs
    crash           a run crashes the process, whatever it runs on
    crash-fast      a run crashes the process where an accelerator was asked for. Any provider seems to be there: it is
                    the CPU under another name. Trial runs in a child process go well, as they do with such drivers

A second word limits it to models whose path holds it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONTROL = Path("/run/fault")
QUIET_RUNS = 5


class Faulty:
    """A backend of the real runtime, and what goes wrong with it."""

    def __init__(self, backend: Any, model: Path, provider: str | None) -> None:
        self._backend = backend
        self._model = model
        self._provider = provider
        self._runs = 0
        if provider is not None:
            self.name = self.requested = f"{backend.name.partition('/')[0]}/{provider}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def run(self, inputs: Mapping[str, Any]) -> Any:
        self._runs += 1
        while self._told("hang"):
            time.sleep(0.05)
        crashes = self._told("crash") or (self._told("crash-fast") and self._provider is not None)
        if crashes and self._runs > QUIET_RUNS:
            os.kill(os.getpid(), signal.SIGSEGV)
        return self._backend.run(inputs)

    def _told(self, fault: str) -> bool:
        try:
            words = CONTROL.read_text(encoding="ascii").split()
        except OSError:
            return False
        return words[:1] == [fault] and all(word in str(self._model) for word in words[1:])


def install() -> None:
    import msgspec

    from edgemass import backends
    from edgemass.backends import trial

    load = backends.load

    class Module:
        """Stands for the module of a runtime."""

        def __init__(self, module: Any) -> None:
            self._module = module

        def offers(self, provider: str) -> bool:
            return bool(provider)

        def open(self, model: Path, options: Any) -> Faulty:
            plain = msgspec.structs.replace(options, provider=None, provider_options={})
            return Faulty(self._module.open(model, plain), model, options.provider)

    backends.load = lambda runtime: Module(load(runtime))
    trial.try_out = lambda *_, **__: None


if any("edgemass" in word or "_child" in word for word in sys.orig_argv):
    install()
