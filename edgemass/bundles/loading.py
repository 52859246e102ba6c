"""From a bundle to a detector that runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import takewhile

from edgemass import backends
from edgemass.backends import Options, trial
from edgemass.backends.choice import Choice, parse
from edgemass.backends.ladder import Candidate, Floor, Ladder, Sample
from edgemass.bundles import derived, picks
from edgemass.bundles.derived import with_derived
from edgemass.bundles.folder import Bundle
from edgemass.clock import Clock, SystemClock
from edgemass.detector import Detector, made_up_inputs
from edgemass.device_profile import Defaults
from edgemass.errors import BackendError, BundleError, EdgemassError, UsageError
from edgemass.manifest import Manifest, Variant
from edgemass.tensors import AnyArray

logger = logging.getLogger(__name__)

RUN_S = 3.0
LOAD_S = 120.0
LOAD_SLOWLY_S = {"tensorrt": 1800.0}  # builds its engines at the first load: minutes on a Jetson


def open_detector(
    bundle: Bundle,
    *,
    runtime: str | Sequence[str] | None = None,
    threads: int | None = None,
    strict: bool = False,
    clock: Clock | None = None,
    variant: str | None = None,
    defaults: Defaults = Defaults(),  # noqa: B008 (frozen)
    picked: bool = True,
) -> tuple[Detector, Variant]:
    """Load on the first wanted accelerator that works, or on the CPU.

    runtime: as `--backend` takes it (see backends.choice), one or several; None runs the first variant that any
        installed runtime can run on the CPU. There an ONNX detector runs rewritten, where that gains (see derived).
    variant: run this one and no other.
    strict: refuse when something else runs than what was asked for first, now or later.
    clock: of the pauses before an accelerator is tried again.
    defaults: of the board, where neither runtime nor threads nor variant is asked for: an accelerator of theirs that
        can be there runs, else what was measured best on this board (see picks), else the first of theirs.
    picked: whether what was measured counts.

    Returns the detector and the variant that runs first.

    Raises:
        UsageError: no such backend, or no variant for it.
        BackendError: no variant could be loaded.
        BundleError: the file does not fit its manifest, or is missing.
    """
    choices = _choices(bundle.manifest, runtime)
    if runtime is None and threads is None and variant is None:
        choices, threads = default_choices(bundle, defaults, strict=strict), defaults.threads
        opened = _open_pick(bundle, strict=strict, clock=clock) if picked and not choices[0].accelerated else None
        if opened is not None:
            return opened
    return _load(bundle, choices, threads=threads, strict=strict, clock=clock, variant=variant)


def default_choices(bundle: Bundle, defaults: Defaults, *, strict: bool = False) -> tuple[Choice, ...]:
    """What a bundle runs on where nobody asks, in order: the board's, then whatever else the bundle is for.

    strict: accelerators are for who asks for them then: one that is not there would be an error.
    """
    everything = _choices(bundle.manifest, None)
    runtimes = {choice.runtime for choice in everything}
    board = [choice for choice in (parse(defaults.backends) if defaults.backends else ()) if choice.runtime in runtimes]
    offered = [choice for choice in board if not choice.accelerated or (not strict and _may_run(bundle, choice))]
    named = {choice.runtime for choice in offered if not choice.accelerated}
    return (*offered, *(choice for choice in everything if choice.runtime not in named))


def _may_run(bundle: Bundle, choice: Choice) -> bool:
    """Whether an accelerator that nobody asked for is worth a try: its runtime has it, and for a delegate of LiteRT the
    bundle has a file that was made for it.
    """
    try:
        offered = backends.load(choice.runtime).offers(choice.provider or "")
    except BackendError:
        return False
    made_for_it = any(
        choice.provider in variant.targets for variant in bundle.variants if variant.runtime == choice.runtime
    )
    return offered and (made_for_it or choice.runtime == "onnx")


def _open_pick(bundle: Bundle, *, strict: bool, clock: Clock | None) -> tuple[Detector, Variant] | None:
    """What was picked for this board; None where nothing was, or it no longer loads, which the log tells."""
    pick = picks.load(bundle)
    if pick is None:
        return None
    try:
        choices = _choices(bundle.manifest, pick.backend)
        opened = _load(bundle, choices, threads=pick.threads, strict=strict, clock=clock, variant=pick.variant)
    except (UsageError, BackendError, BundleError) as error:
        logger.warning("what was measured best no longer loads, going on without it: %s", error)
        return None
    logger.debug("running what was measured best: %s", pick)
    return opened


def _load(
    bundle: Bundle,
    choices: Sequence[Choice],
    *,
    threads: int | None,
    strict: bool,
    clock: Clock | None,
    variant: str | None,
) -> tuple[Detector, Variant]:
    accelerated = list(takewhile(lambda choice: choice.accelerated, choices))
    rewritten = variant is not None or (not accelerated and any(choice.runtime == "onnx" for choice in choices))
    if rewritten and variant != bundle.manifest.reference.name:
        bundle = with_derived(bundle)
    wanted = [_named(bundle, variant, choices)] if variant is not None else _offered(bundle, accelerated)
    inputs = made_up_inputs(bundle.manifest.of(wanted[0])) if accelerated else {}
    floor, failure = _floor(bundle, choices, threads, wanted)
    if not accelerated and floor is None:
        raise failure or BundleError(f"{bundle.manifest.name} has no variants")
    if strict and not accelerated and floor is not None:
        _check_floor(floor)
    ladder = Ladder(
        [_candidate(bundle, choice, threads, inputs, wanted) for choice in accelerated],
        floor,
        sample=Sample(inputs, unordered=bundle.manifest.output.nms is None and bundle.manifest.task == "detection"),
        strict=strict,
        clock=clock or SystemClock(),
    )
    running = bundle.variant(ladder.variant)
    try:
        detector = Detector(bundle.manifest.of(running), ladder, lambda: ladder.variant, lambda: _reason(ladder))
    except BundleError:
        ladder.close()
        raise
    return detector, running


def _named(bundle: Bundle, name: str, choices: Sequence[Choice]) -> Variant:
    """The variant that was asked for.

    Raises:
        UsageError: there is none of that name, or it is for another runtime.
    """
    variant = bundle.variant(name)
    runtimes = dict.fromkeys(choice.runtime for choice in choices)
    if variant.runtime not in runtimes:
        raise UsageError(f"variant {name} is for backend {variant.runtime}, asked for was {', '.join(runtimes)}")
    return variant


def _offered(bundle: Bundle, accelerated: Sequence[Choice]) -> list[Variant]:
    """The variants that may run, best first; beside an accelerator only those with one input and output, since one
    decoder reads the answers of all: the manifest's own, or those of the first variant for the accelerator's runtime.

    Raises:
        BundleError: all their files are missing.
    """
    offered = preferred(bundle)
    if accelerated:
        shapes = [(item.input, item.output) for item in offered if item.runtime == accelerated[0].runtime]
        shape = (None, None) if not shapes or (None, None) in shapes else shapes[0]
        offered = [item for item in offered if (item.input, item.output) == shape]
    present = [item for item in offered if bundle.has(item)]
    for item in offered:
        if item not in present:
            logger.warning("the file of a variant is missing, it is left out", extra={"variant": item.name})
    if not present:
        bundle.path(offered[0])  # tells which file, and what to do
    return present


def _reason(ladder: Ladder) -> str:
    return "" if ladder.degraded is None else f"no {ladder.degraded.requested}: {ladder.degraded.reason}"


def _choices(manifest: Manifest, wanted: str | Sequence[str] | None) -> tuple[Choice, ...]:
    """Those for which the bundle has a variant, in order.

    Raises:
        UsageError: there is none.
    """
    runtimes = tuple(dict.fromkeys(variant.runtime for variant in manifest.variants))
    if wanted is None:
        return tuple(Choice(runtime) for runtime in runtimes)
    asked = parse(wanted)
    choices = tuple(choice for choice in asked if choice.runtime in runtimes)
    if not choices:
        names = ", ".join(dict.fromkeys(choice.runtime for choice in asked))
        raise UsageError(f"{manifest.name} has no variant for backend {names}, it has {', '.join(sorted(runtimes))}")
    return choices


def _floor(
    bundle: Bundle, choices: Sequence[Choice], threads: int | None, wanted: Sequence[Variant]
) -> tuple[Floor | None, EdgemassError | None]:
    """What runs on the CPU: a choice that says so, else any of the wanted variants, in their order.

    Returns it, or the first reason why there is none.
    """
    named = [choice for choice in choices if not choice.accelerated]
    implied = dict.fromkeys([choice.runtime for choice in choices] + [variant.runtime for variant in wanted])
    failure: EdgemassError | None = None
    for choice in named or [Choice(runtime) for runtime in implied]:
        for variant in [variant for variant in wanted if variant.runtime == choice.runtime]:
            options = Options(
                threads=threads, provider=choice.provider, provider_options=choice.options, keep_graph=True
            )
            try:
                backend = backends.load(variant.runtime).open(bundle.path(variant), options)
            except (BackendError, BundleError) as error:
                failure = failure or error
                if variant in bundle.derived:
                    derived.forget(bundle)
                logger.log(
                    logging.WARNING if len(wanted) > 1 else logging.DEBUG,
                    "cannot load a variant: %s",
                    error,
                    extra={"variant": variant.name},
                )
                continue
            return Floor(backend, variant.name), None
    return None, failure


def preferred(bundle: Bundle) -> list[Variant]:
    """Variants in the order in which they are tried where nothing was measured: what was rewritten without loss before
    its source, what another precision may have made worse last.
    """
    precision = bundle.manifest.reference.precision
    lossless = [variant for variant in bundle.variants if variant.precision == precision]
    rewritten = [variant for variant in lossless if variant.made_from]
    rest = [variant for variant in bundle.variants if variant not in rewritten]
    return [*rewritten, *sorted(rest, key=lambda variant: variant not in lossless)]


def _check_floor(floor: Floor) -> None:
    try:
        backends.check_runs(floor.backend)
    except BackendError as error:
        floor.backend.close()
        raise BackendError(f"{error}; leave out --strict to accept it") from error


def _candidate(
    bundle: Bundle,
    choice: Choice,
    threads: int | None,
    inputs: Mapping[str, AnyArray],
    wanted: Sequence[Variant],
) -> Candidate:
    """The file for an accelerator is the variant that names it as target, else the first one of its runtime."""
    variants = [variant for variant in wanted if variant.runtime == choice.runtime]
    if not variants:
        raise UsageError(f"{bundle.manifest.name} has no variant for {choice.name}")
    variant = next((variant for variant in variants if choice.provider in variant.targets), variants[0])
    path = bundle.path(variant)
    options = Options(threads=threads, provider=choice.provider, provider_options=choice.options)
    load_s = LOAD_SLOWLY_S.get(choice.provider or "", LOAD_S)

    def try_out(cancelled: threading.Event) -> None:
        trial.try_out(choice.name, path, choice.runtime, options, inputs, deadline_s=load_s, cancelled=cancelled)

    return Candidate(
        choice.name,
        variant.name,
        partial(_open, choice.runtime, bundle, variant, options),
        try_out,
        load_s,
        RUN_S,
    )


def _open(runtime: str, bundle: Bundle, variant: Variant, options: Options) -> backends.Backend:
    """The file is checked again each time: it may be long since the start."""
    return backends.load(runtime).open(bundle.path(variant), options)
