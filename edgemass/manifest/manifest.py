"""The manifest as a whole, and what its parts must be to each other."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from edgemass.manifest.files import Accuracy, Document, Golden, Variant, check_files, check_variants
from edgemass.manifest.input import InputSpec, check_input
from edgemass.manifest.output import OutputSpec, check_nms
from edgemass.manifest.tensors import AuxiliaryInput, StateTensor, check_auxiliary, check_tensor

SCHEMA = "edgemass.manifest/1"

Task = Literal["detection", "classification"]


class Needs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    ram_bytes: int | None = None
    accelerator: str | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """All that one must know to feed a model and read its answer.

    release: integer that "older" compares; version is for people.
    score: default score threshold of `run`.
    assumed: what the importer took from the family's published recipe instead of the graph, one sentence each.
    """

    name: str
    task: Task
    labels: tuple[str, ...]
    input: InputSpec
    output: OutputSpec
    variants: tuple[Variant, ...]
    schema: str = SCHEMA
    version: str = "0"
    release: int = 0
    score: float = 0.4
    auxiliary_inputs: tuple[AuxiliaryInput, ...] = ()
    state: tuple[StateTensor, ...] = ()
    golden: tuple[Golden, ...] = ()
    documents: tuple[Document, ...] = ()
    needs: Needs = Needs()
    licence: str = "unknown"
    source: str = ""
    accuracy: tuple[Accuracy, ...] = ()
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check(self)

    @property
    def reference(self) -> Variant:
        """The stock file; it comes first."""
        return self.variants[0]

    @property
    def size_bytes(self) -> int:
        """Of the files of all variants."""
        return sum(variant.size_bytes for variant in self.variants)

    def of(self, variant: Variant) -> Manifest:
        """This manifest as one of its variants answers: its own input and output where it has them."""
        if variant.input is None and variant.output is None:
            return self
        return msgspec.structs.replace(self, input=variant.input or self.input, output=variant.output or self.output)


def _check(manifest: Manifest) -> None:
    """Refuse what msgspec's types cannot: relations between fields.

    Raises:
        ValueError: msgspec turns it into a ValidationError that names the place.
    """
    for spec in (manifest.input, *(variant.input for variant in manifest.variants if variant.input)):
        check_input(spec)
        if spec.in_parts:
            _check_parts(manifest, spec)
    for item in manifest.auxiliary_inputs:
        check_auxiliary(item)
    for pair in manifest.state:
        check_tensor(f"state {pair.input}", pair.dtype, pair.shape, pair.initial)
    check_variants(manifest.variants)
    check_files(manifest.variants, manifest.golden, manifest.documents)
    if not manifest.labels:
        raise ValueError("labels is empty")
    if not 0 <= manifest.score <= 1:
        raise ValueError(f"score must lie between 0 and 1, found {manifest.score}")
    for output in (manifest.output, *(variant.output for variant in manifest.variants if variant.output)):
        check_nms(output.nms)
    for field, value in msgspec.structs.asdict(manifest).items():
        _check_plain(field, value)


def _check_parts(manifest: Manifest, spec: InputSpec) -> None:
    """A frame that takes several runs: only a state can tell a run of those before it."""
    key = "text" if spec.text is not None else "rows_per_run"
    if manifest.task != "classification" or manifest.auxiliary_inputs:
        raise ValueError(f"input.{key} is for classification without auxiliary inputs")
    if not manifest.state:
        raise ValueError(f"state is empty, but with input.{key} a run has to know of those before; name its tensors")


def _check_plain(where: str, value: object) -> None:
    """Refuse what canonical JSON cannot hold: NaN, infinities, integers beyond 64 bits, dates."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, dict):
        for key, item in value.items():
            _check_plain(f"{where}.{key}", item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_plain(where, item)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} must be finite, found {value}")
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"{where} must fit into 64 bits")
    elif not (value is None or isinstance(value, str)):
        raise ValueError(f"{where} must be a number, a text or a list of them, found {type(value).__name__}")
