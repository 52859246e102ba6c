"""From a bare model file to a manifest: recognise the family, take its published recipe, ask what nothing decides."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from edgemass import families, manifest
from edgemass.bundles import graphs
from edgemass.bundles import labels as label_lists
from edgemass.bundles import settings as overrides
from edgemass.bundles.fingerprint import fingerprint
from edgemass.bundles.graphs import ModelFile
from edgemass.errors import BundleError, FamilyUnknownError, UsageError
from edgemass.families import FAMILIES, Family, Recognition
from edgemass.graph import Graph, Hints
from edgemass.manifest import Manifest, OutputSpec, Variant
from edgemass.tensors import TensorInfo

_IMAGENET_CLASSES = 1000


def import_model(
    path: Path,
    *,
    labels: Path | None = None,
    family: str | None = None,
    settings: Sequence[str] = (),
) -> Manifest:
    """Make the manifest of a bare model file, with the file itself as the only variant.

    labels: a file with one label a line. family: asks only this family. settings: "key=value" texts, see `settings`.

    Raises:
        BundleError: no model, a damaged one, a model for something else, or labels that do not fit.
        FamilyUnknownError: no family or several claim it, or it needs an answer that neither graph nor family gives.
        UsageError: an unknown family or setting, or a value of the wrong type.
    """
    wanted = overrides.parse(settings)
    if family is not None and family not in FAMILIES:
        raise UsageError(f"unknown family {family!r}; known are {', '.join(FAMILIES)}")
    file = graphs.read(path)
    if file.external:
        raise BundleError(
            f"{path.name}: its weights lie in another file ({file.external[0]}); save it as one file first: "
            "onnx.save_model(onnx.load(FILE), NEW)"
        )
    given = label_lists.read_file(labels) if labels is not None else ()
    graph = replace(file.graph, hints=Hints(family or "", len(given)))
    name, module, recognition = recognise(graph, family, where=path.name)
    settled = overrides.apply(wanted, recognition, module.Options)
    recognition = settled.recognition
    _check_questions(path, name, recognition)
    names, assumed = _labels(labels, given, graph, recognition, path.name)
    result = _manifest(path, file, name, recognition, {"labels": names, **settled.manifest}, assumed)
    _check_size(result, file.graph)
    families.prepare(result, {info.name: info for info in file.graph.outputs})
    return result


def recognise(graph: Graph, only: str | None = None, *, where: str = "this model") -> tuple[str, Family, Recognition]:
    """The one family that claims the graph: its name, its module, its claim.

    only: ask no other family.

    Raises:
        BundleError: nobody claims it, and a family knows why it must be refused.
        FamilyUnknownError: nobody claims it, or several do.
    """
    claims: list[tuple[str, Family, Recognition]] = []
    refusals: list[str] = []
    for name in (only,) if only else FAMILIES:
        module = families.load(name)
        try:
            recognition = module.recognise(graph)
        except BundleError as error:
            refusals.append(str(error))
            continue
        if recognition is not None:
            claims.append((name, module, recognition))
    if len(claims) == 1:
        return claims[0]
    if claims:
        names = [name for name, _, _ in claims]
        raise FamilyUnknownError(
            f"{where}: the graph fits several families: {', '.join(names)}; choose one with --family",
            tuple(f"--family {name}" for name in names),
        )
    if refusals:
        raise BundleError(f"{where}: {'; '.join(dict.fromkeys(refusals))}")
    if only:
        raise FamilyUnknownError(f"{where} is not of the family {only}: it has {_tensors(graph)}")
    raise FamilyUnknownError(
        f"{where}: no family knows this graph, it has {_tensors(graph)}; wanted one of {', '.join(FAMILIES)}",
        tuple(f"--family {name}" for name in FAMILIES),
    )


def _tensors(graph: Graph) -> str:
    inputs = ", ".join(describe_tensor(info) for info in graph.inputs)
    outputs = ", ".join(describe_tensor(info) for info in graph.outputs)
    return f"inputs {inputs} and outputs {outputs}"


def describe_tensor(info: TensorInfo) -> str:
    """As in `images float32 [1, 3, ?, ?]`."""
    sides = ", ".join("?" if side is None else str(side) for side in info.shape)
    return f"{info.name} {info.dtype} [{sides}]"


def _check_questions(path: Path, family: str, recognition: Recognition) -> None:
    for key, choices in recognition.questions.items():
        raise FamilyUnknownError(
            f"{path.name} is of the family {family}, but nothing in it tells {key}; add one of: "
            + ", ".join(f"--set {key}={choice}" for choice in choices),
            tuple(f"--set {key}={choice}" for choice in choices),
        )


def _labels(
    path: Path | None, given: tuple[str, ...], graph: Graph, recognition: Recognition, where: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the classes, and what was assumed of them: the user's, the file's own, the family's, made-up ones.

    given: what the user's file at `path` holds.

    Raises:
        BundleError: the user's labels are another number than the classes, or nobody knows how many classes there are.
    """
    count = recognition.class_count
    if path is not None:
        if count is not None and len(given) not in (count, count + 1):
            raise BundleError(
                f"{where}: {path} has {len(given)} labels, the graph has {count} classes; give {count} labels"
            )
        return given, ()
    if graph.labels:
        return graph.labels, ()
    default = recognition.default_labels
    if default in label_lists.NAMED:
        return label_lists.NAMED[default], (f"labels are those of {default}",)
    if default.startswith("imagenet"):
        count = _IMAGENET_CLASSES
    if count is None:
        raise BundleError(
            f"{where}: nothing in the file tells its classes; give their names with --labels FILE, one a line"
        )
    lack = f"the {count} classes have no names"
    if any(graph.metadata.get(key) for key in label_lists.KEYS):
        lack = "the file's own names are not one text for each class"
    return label_lists.generic(count), (f"{lack}: class_0 to class_{count - 1}; give --labels",)


def _manifest(
    path: Path,
    file: ModelFile,
    family: str,
    recognition: Recognition,
    fields: Mapping[str, object],
    assumed: tuple[str, ...],
) -> Manifest:
    """Everything put together; what a later reader makes of the written file is the same, to the last digit."""
    sha256, size = fingerprint(path)
    metadata = file.graph.metadata
    defaults: dict[str, object] = {
        "name": re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-.") or "model",
        "score": recognition.score,
        "source": path.name,
        "licence": metadata.get("license", "unknown"),
    }
    try:
        made = Manifest(
            task=recognition.task,
            input=recognition.input,
            output=OutputSpec(
                family=family, tensors=recognition.tensors, options=recognition.options, nms=recognition.nms
            ),
            auxiliary_inputs=recognition.auxiliary_inputs,
            state=recognition.state,
            variants=(
                Variant(
                    name=f"{file.runtime}-{file.precision}",
                    file=path.name,
                    runtime=file.runtime,
                    sha256=sha256,
                    size_bytes=size,
                    precision=file.precision,
                ),
            ),
            assumed=(*recognition.assumed, *assumed),
            **{**defaults, **fields},  # type: ignore[arg-type]
        )
        return manifest.from_toml(manifest.to_toml(made), where=path.name)
    except (ValueError, msgspec.ValidationError) as error:
        raise BundleError(f"{path.name}: {error}") from error


def _check_size(made: Manifest, graph: Graph) -> None:
    """Raises UsageError where --set wants another picture than the graph takes."""
    shape = graph.input(made.input.name).shape
    for axis, wanted in (("H", made.input.height), ("W", made.input.width)):
        fixed = shape[made.input.layout.index(axis)] if len(shape) == len(made.input.layout) else None
        if wanted is not None and fixed is not None and wanted != fixed:
            side = {"H": "height", "W": "width"}[axis]
            raise UsageError(
                f"--set {side}={wanted}: the graph's input {made.input.name} has a fixed {side} of {fixed}"
            )
