"""What is measured side by side: the variants of one bundle or several, loaded as a device loads them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from edgemass import families
from edgemass.bundles import Bundle, open_detector
from edgemass.bundles.derived import with_derived
from edgemass.bundles.loading import preferred
from edgemass.detector import Detector, Stream
from edgemass.errors import BackendError, BundleError, UsageError
from edgemass.manifest import Manifest, Variant

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entrant:
    """One variant of one model, loaded.

    model: its name; as it was given, where two models have one name. held: a gate's bounds apply to it.
    backend: what runs it, in the words of the runtime.
    """

    model: str
    bundle: Bundle
    variant: Variant
    detector: Detector
    stream: Stream
    held: bool

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    @property
    def labels(self) -> tuple[str, ...]:
        return self.bundle.manifest.labels

    @property
    def backend(self) -> str:
        return self.detector.backend.name


@dataclass(frozen=True)
class Field:
    """Everybody who runs, the reference first. left_out: a sentence for each variant that does not run here."""

    entrants: tuple[Entrant, ...]
    left_out: tuple[str, ...]

    def close(self) -> None:
        for entrant in self.entrants:
            entrant.detector.backend.close()


def assemble(models: Sequence[tuple[str, Bundle]], names: Sequence[str], threads: int) -> Field:
    """Load the variants of each model that can run here, also those that a device derives.

    models: each with the text that named it. names: of the variants wanted; the first model's reference variant is
        always there too, to compare with. Empty = all.

    Raises:
        UsageError: a name is no variant of any model, or a model has none of them.
        BackendError, BundleError: a variant that was named, or all of a model's, cannot be loaded.
    """
    _check_tasks(models)
    with_own = [(given, with_derived(bundle)) for given, bundle in models]
    _check_names(with_own, names)
    entrants: list[Entrant] = []
    left_out: list[str] = []
    try:
        for place, (given, bundle) in enumerate(with_own):
            model = _name(models, given, bundle)
            chosen = _chosen(bundle, names, first=place == 0)
            loaded = _load(model, bundle, chosen, threads, left_out, named=bool(names))
            variants = [item.variant for item in loaded]
            held = held_names(bundle, variants, names, compared=len(models) > 1 and place == 0)
            entrants += [replace(item, held=item.variant.name in held) for item in loaded]
    except BaseException:
        Field(tuple(entrants), ()).close()
        raise
    return Field(tuple(entrants), tuple(left_out))


def _check_tasks(models: Sequence[tuple[str, Bundle]]) -> None:
    first = models[0][1].manifest
    for given, bundle in models[1:]:
        if bundle.manifest.task != first.task:
            raise UsageError(
                f"{given} is a {bundle.manifest.task} model and {models[0][0]} a {first.task} model; give models "
                "of one task"
            )
    texts = [given for given, _ in models]
    twice = next((given for given in texts if texts.count(given) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice} is given twice; name each model once")


def _check_names(models: Sequence[tuple[str, Bundle]], names: Sequence[str]) -> None:
    if len(models) == 1:
        for name in names:
            models[0][1].variant(name)  # refuses one that is not there
        return
    for given, bundle in models:
        if names and not {variant.name for variant in bundle.variants} & set(names):
            there = ", ".join(variant.name for variant in bundle.variants)
            raise UsageError(f"{given} has none of the variants {', '.join(names)}; it has {there}")
    known = {variant.name for _, bundle in models for variant in bundle.variants}
    for name in names:
        if name not in known:
            raise UsageError(f"no model has a variant {name!r}; they have {', '.join(sorted(known))}")


def _name(models: Sequence[tuple[str, Bundle]], given: str, bundle: Bundle) -> str:
    same = [other for _, other in models if other.manifest.name == bundle.manifest.name]
    return bundle.manifest.name if len(same) == 1 else given


def _chosen(bundle: Bundle, names: Sequence[str], *, first: bool) -> list[Variant]:
    reference = bundle.manifest.reference
    return [item for item in bundle.variants if not names or item.name in names or (first and item is reference)]


def _load(
    model: str, bundle: Bundle, chosen: Sequence[Variant], threads: int, left_out: list[str], *, named: bool
) -> list[Entrant]:
    """Those that load; of the others a sentence goes to `left_out`."""
    loaded: list[Entrant] = []
    failure: BackendError | BundleError | None = None
    answering = _answering_in_full(bundle)
    for variant in chosen:
        try:
            detector, running = open_detector(answering, threads=threads, variant=variant.name)
        except (BackendError, BundleError) as error:
            if named:
                raise
            failure = failure or error
            left_out.append(f"{model} {variant.name} does not run here: {error}")
            logger.warning("%s", left_out[-1])
            continue
        loaded.append(Entrant(model, bundle, running, detector, detector.stream(), held=False))
    if not loaded and failure is not None:
        raise failure
    return loaded


def _answering_in_full(bundle: Bundle) -> Bundle:
    """A classifier that gives the score of every class and not only its best ones, which areas under curves need."""
    manifest = bundle.manifest
    options = getattr(families.load(manifest.output.family), "Options", None)
    if manifest.task != "classification" or options is None or "top" not in options.__struct_fields__:
        return bundle
    output = msgspec.structs.replace(manifest.output, options={**manifest.output.options, "top": len(manifest.labels)})
    return replace(bundle, manifest=msgspec.structs.replace(manifest, output=output))


def held_names(bundle: Bundle, running: Sequence[Variant], names: Sequence[str], *, compared: bool) -> list[str]:
    """Of the variants that bounds hold for: the named ones, else the compressed ones, else the one that a device takes.

    compared: the first model of several, which the others are compared with: not held unless it is compressed itself.
    """
    if names:
        return [variant.name for variant in running if variant.name in names]
    compressed = [item.name for item in running if item.precision != bundle.manifest.reference.precision]
    if compressed or compared:
        return compressed
    return [next(variant.name for variant in preferred(bundle) if variant in running)]
