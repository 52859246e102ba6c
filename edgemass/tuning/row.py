"""One way to run a bundle, and what was measured of it."""

from __future__ import annotations

import msgspec


class Candidate(msgspec.Struct, frozen=True):
    """backend: as `--backend` takes it: "onnx", "onnx:cuda", "tflite". threads: of the runtime."""

    variant: str
    backend: str
    threads: int

    def __str__(self) -> str:
        return f"{self.variant} on {self.backend} with {self.threads} thread{'s' * (self.threads != 1)}"


class Agreement(msgspec.Struct, frozen=True):
    """How far a candidate finds what the reference variant finds, over all frames.

    f1: 0 to 1; None where too little was found to say anything. compared: detections (of a classifier: frames) on the
    side that has more. score: above which they were compared.
    """

    f1: float | None
    compared: int
    score: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate with its figures, or why there are none.

    runs_on: what the session says: "onnxruntime/cpu". p50_ms, p95_ms: of a frame: preparation, run, decoding, NMS.
    reference_p50_ms, reference_p95_ms: of the reference variant on the CPU, in turn with it in the same process.
    load_s: open and first run. rss_bytes: resident set of a process with only this one loaded.
    failure: "" where it ran.
    """

    candidate: Candidate
    runs_on: str = ""
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    reference_p50_ms: float = 0.0
    reference_p95_ms: float = 0.0
    load_s: float = 0.0
    rss_bytes: int = 0
    runs: int = 0
    agreement: Agreement = Agreement(None, 0, 0.0)
    failure: str = ""

    @property
    def ratio(self) -> float:
        """p95 over that of the reference: what survives drift of the machine from one row to the next."""
        return self.p95_ms / self.reference_p95_ms

    @property
    def ratio_p50(self) -> float:
        return self.p50_ms / self.reference_p50_ms
