"""What this board can run of a bundle: variants x backends x thread counts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from edgemass.backends.choice import PROVIDERS
from edgemass.bundles import Bundle
from edgemass.errors import BackendUnavailableError
from edgemass.tuning.row import Candidate

_NO_ACCELERATORS = ("cpu", "azure")  # Azure's provider sends pictures to a service


def cores() -> int:
    return os.cpu_count() or 1


def default_threads() -> int:
    """What the backends take where nobody asks: a core is left to decoding."""
    return max(1, cores() - 1)


def thread_counts(board: int | None = None) -> tuple[int, ...]:
    """One, all but one, all; and what the board's profile says."""
    return tuple(sorted({1, default_threads(), cores(), board or 1}))


def candidates(
    bundle: Bundle, *, variant: str | None = None, accelerators: Sequence[str] = (), threads: int | None = None
) -> list[Candidate]:
    """All there is to measure, the reference variant first.

    variant: this one only. accelerators: as `accelerators` says; their thread count is the default. threads: a count
    that the board's profile says, None = none.
    """
    return [item for item in _all(bundle, accelerators, thread_counts(threads)) if variant in (None, item.variant)]


def _all(bundle: Bundle, accelerators: Sequence[str], counts: Sequence[int]) -> Iterator[Candidate]:
    for variant in bundle.variants:
        for threads in counts:
            yield Candidate(variant.name, variant.runtime, threads)
        if variant.runtime == "onnx":
            for provider in accelerators:
                yield Candidate(variant.name, f"onnx:{provider}", default_threads())


def reference(bundle: Bundle) -> Candidate:
    """What everything is compared with: the stock file on the CPU as it runs where nothing was measured."""
    stock = bundle.manifest.reference
    return Candidate(stock.name, stock.runtime, default_threads())


def accelerators() -> tuple[str, ...]:
    """Execution providers of this ONNX Runtime besides the CPU, as `--backend onnx:NAME` takes them."""
    try:
        from edgemass.backends import onnxruntime  # noqa: PLC0415 (an optional runtime)
    except BackendUnavailableError:
        return ()
    known = [name for name in PROVIDERS["onnx"] if name not in _NO_ACCELERATORS]
    return tuple(name for name in onnxruntime.providers() if name in known)
