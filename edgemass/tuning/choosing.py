"""Rows -> the best of them, with the reason. Values in, values out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgemass.bundles import Bundle
from edgemass.bundles.picks import Pick, lossless
from edgemass.manifest import Accuracy, Variant
from edgemass.tuning.row import Agreement, Candidate, Row

TIE = 1.03  # 3 % are noise even on an idle machine
_STEADY = 0.05
WORTH = 0.05  # of a frame's time; less is not worth an exchange
_NO_FASTER = 0.97  # of the best float variant
_SANE_F1 = 0.5  # a stated accuracy was measured elsewhere: kernels of this board may still compute something else


@dataclass(frozen=True)
class Limits:
    """What a faster variant may lose.

    max_loss: in mAP 50-95 or top-1, where the manifest states both variants' on the same data. min_agreement: F1 with
    the reference variant where it does not.
    """

    max_loss: float = 0.010
    min_agreement: float = 0.9


@dataclass(frozen=True)
class Verdict:
    """usable: whether the row may be picked. reason: why or why not, in words."""

    usable: bool
    reason: str


@dataclass(frozen=True)
class Choice:
    """best: None where nothing may be picked. verdicts: one for each row.

    noise: by how much the p95 of the reference differed from itself, as a share: what smaller differences are worth.
    """

    best: Row | None
    reason: str
    verdicts: tuple[Verdict, ...]
    noise: float = 0.0


def choose(bundle: Bundle, rows: Sequence[Row], limits: Limits, reference: Candidate) -> Choice:
    """The row with the best p95 over that of the reference, among those that lose no more than they may.

    Where the noise of the p95 leaves several, the median decides; where that is the same too, what loses nothing comes
    first, and fewer threads, which leave cores to others.
    """
    verdicts = tuple(verdict(bundle, row, limits) for row in rows)
    noise = next((abs(row.ratio - 1) for row in rows if row.candidate == reference and not row.failure), 0.0)
    usable = [(row, said.reason) for row, said in zip(rows, verdicts, strict=True) if said.usable]
    if not usable:
        return Choice(None, "nothing that ran may be picked", verdicts, noise)

    def order(item: tuple[Row, str]) -> tuple[bool, int, float]:
        row = item[0]
        return not lossless(bundle, bundle.variant(row.candidate.variant)), row.candidate.threads, row.ratio

    fastest = min(row.ratio for row, _ in usable)
    close = [item for item in usable if item[0].ratio <= fastest * max(TIE, 1 + noise)]
    median = min(row.ratio_p50 for row, _ in close)
    best, reason = min((item for item in close if item[0].ratio_p50 <= median * TIE), key=order)
    return Choice(best, reason, verdicts, noise)


def unsteady(choice: Choice) -> list[str]:
    """A sentence where the machine was too busy for its figures to say much."""
    if choice.noise <= _STEADY:
        return []
    told = (
        f"the machine was busy: the p95 of the reference differed from itself by {choice.noise:.0%}, and smaller "
        "differences say nothing; measure again when it is idle, or for longer with --seconds"
    )
    return [told]


def verdict(bundle: Bundle, row: Row, limits: Limits) -> Verdict:
    """Whether one row may be picked."""
    if row.failure:
        return Verdict(usable=False, reason=row.failure)
    variant = bundle.variant(row.candidate.variant)
    reference = bundle.manifest.reference
    if variant.name == reference.name and row.candidate.backend == reference.runtime:
        return Verdict(usable=True, reason="the reference variant")
    stated = _loss(bundle, variant)
    if stated is not None:
        return _as_stated(*stated, row.agreement, limits)
    return _as_seen(row.agreement, limits, lossless=lossless(bundle, variant))


def _as_stated(loss: float, data: str, agreement: Agreement, limits: Limits) -> Verdict:
    """By the accuracy that the manifest states; what is seen here has only to be sane."""
    if loss > limits.max_loss:
        return Verdict(usable=False, reason=f"it loses {loss:.3f} on {data}, allowed are {limits.max_loss:.3f}")
    if agreement.f1 is not None and agreement.f1 < _SANE_F1:
        return Verdict(usable=False, reason=f"its stated accuracy does not hold on this board: {_found(agreement)}")
    return Verdict(usable=True, reason=f"it loses {max(loss, 0.0):.3f} on {data}")


def _as_seen(agreement: Agreement, limits: Limits, *, lossless: bool) -> Verdict:
    """By what it found in the frames beside the reference; what may be lossy has to have found something."""
    if agreement.f1 is None:
        return (
            Verdict(usable=True, reason="the precision of the reference; too little was found to compare")
            if lossless
            else Verdict(usable=False, reason="too little was found to compare; give --camera with things to detect")
        )
    if agreement.f1 < limits.min_agreement:
        return Verdict(
            usable=False, reason=f"it answers differently: {_found(agreement)}, wanted {limits.min_agreement:g}"
        )
    return Verdict(usable=True, reason=f"it agrees with the reference: {_found(agreement)}")


def _found(agreement: Agreement) -> str:
    return f"F1 {agreement.f1:.3f} over {agreement.compared} above {agreement.score:.3g}"


def pick(bundle: Bundle, choice: Choice, measured: str) -> Pick | None:
    """What is kept of a choice; measured: RFC 3339."""
    best = choice.best
    if best is None:
        return None
    return Pick(
        digest=bundle.digest,
        variant=best.candidate.variant,
        backend=best.candidate.backend,
        threads=best.candidate.threads,
        p95_ms=best.p95_ms,
        reference_p95_ms=best.reference_p95_ms,
        f1=best.agreement.f1,
        compared=best.agreement.compared,
        reason=choice.reason,
        measured=measured,
    )


def gain(rows: Sequence[Row], best: Row, running: Candidate) -> float:
    """Share of a frame's time that the best takes less than what runs now: what p95 and median both show, since a tail
    of a few runs is easily noise; 0 where what runs was not measured.
    """
    now = next((row for row in rows if row.candidate == running and not row.failure), None)
    return 0.0 if now is None else 1 - max(best.ratio / now.ratio, best.ratio_p50 / now.ratio_p50)


def quantized_for_nothing(bundle: Bundle, rows: Sequence[Row]) -> list[str]:
    """A sentence for every quantized variant that is no faster than float on the CPU of this board."""
    best: dict[str, float] = {}  # variant -> its least share of the reference's p95
    for row in rows:
        if not row.failure and ":" not in row.candidate.backend:
            best[row.candidate.variant] = min(row.ratio, best.get(row.candidate.variant, row.ratio))
    quantized = [name for name in best if _quantized(bundle.variant(name))]
    floats = [ratio for name, ratio in best.items() if name not in quantized]
    return [
        f"{name} is quantized and no faster than float here: its p95 is {best[name] / min(floats):.2f} times that of "
        "the best float variant; `edgemass-tools quantize` makes one that is faster"
        for name in quantized
        if floats and best[name] > _NO_FASTER * min(floats)
    ]


def _quantized(variant: Variant) -> bool:
    return variant.precision.startswith(("int", "uint"))


def _loss(bundle: Bundle, variant: Variant) -> tuple[float, str] | None:
    """(accuracy lost, data) against the reference or the float variant that it was made from, which answers as the
    reference does, where both were measured on the same pictures.
    """
    reference = bundle.manifest.reference
    source = next((item for item in bundle.variants if item.name == variant.made_from), reference)
    as_good = (*bundle.manifest.accuracy, *reference.accuracy)
    if source.precision == reference.precision:
        as_good += source.accuracy
    for theirs in as_good:
        for ours in variant.accuracy:
            values = _value(theirs), _value(ours)
            if (ours.data, ours.images) == (theirs.data, theirs.images) and None not in values:
                return float(values[0] or 0.0) - float(values[1] or 0.0), ours.data
    return None


def _value(accuracy: Accuracy) -> float | None:
    return accuracy.map_50_95 if accuracy.map_50_95 is not None else accuracy.top1
