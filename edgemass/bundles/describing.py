"""A bundle in words, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from edgemass.bundles import labels, picks
from edgemass.bundles.folder import Bundle
from edgemass.manifest import InputSpec, Manifest

_FEW_LABELS = 8


def describe(bundle: Bundle) -> str:
    """Several lines: what goes in, what comes out, what was assumed."""
    return "\n".join(_lines(bundle))


def describe_json(bundle: Bundle) -> str:
    """One JSON object on one line: the manifest's fields, its digest, its folder and what was picked on this board."""
    fields: dict[str, Any] = msgspec.to_builtins(bundle.manifest)
    own = {"digest": bundle.digest, "folder": str(bundle.folder), "pick": picks.load(bundle)}
    return msgspec.json.encode({**own, **fields}).decode()


def _lines(bundle: Bundle) -> Iterator[str]:
    manifest = bundle.manifest
    yield f"{manifest.name}  version {manifest.version}, {manifest.task}, licence {manifest.licence}"
    yield f"  digest    {bundle.digest}"
    yield f"  input     {_input(manifest.input)}"
    yield f"            {_preprocessing(manifest.input)}"
    for extra in manifest.auxiliary_inputs:
        yield f"            {extra.name}: {extra.role}"
    for pair in manifest.state:
        yield f"            {pair.input} <- {pair.output}: state {list(pair.shape)} {pair.dtype}"
    yield from _output(manifest)
    yield f"  labels    {_labels(manifest)}"
    for variant in manifest.variants:
        yield (
            f"  variant   {variant.name}: {variant.file}, {variant.runtime}, {variant.precision}, "
            f"{variant.size_bytes / 1e6:.1f} MB, sha256 {variant.sha256[:12]}..."
        )
    pick = picks.load(bundle)
    if pick is not None:
        yield f"  pick      {pick}; measured {pick.measured}"
    for position, sentence in enumerate(manifest.assumed):
        yield f"  {'' if position else 'assumed':<10}{sentence}"


def _input(spec: InputSpec) -> str:
    if spec.text is not None:
        return f"{spec.name}: text, {spec.dtype} {spec.layout}"
    size = f"{spec.width}x{spec.height}" if spec.width and spec.height else "any size"
    return f"{spec.name}: {size} {spec.color}, {spec.dtype} {spec.layout}"


def _preprocessing(spec: InputSpec) -> str:
    if spec.text is not None:
        return f"its {spec.text.encoding} bytes, {spec.text.bytes_per_run} a run, padded with {spec.text.padding}"
    resize = spec.resize
    parts: list[str] = [resize.rule]
    if resize.rule.startswith("letterbox"):
        parts.append(f"padded with {resize.pad_value}")
    if resize.short_side:
        parts.append(f"short side {resize.short_side}")
    if resize.long_side:
        parts.append(f"long side at most {resize.long_side}")
    parts.append(f"(pixel - {_numbers(spec.mean)}) / {_numbers(spec.std)}")
    if spec.scale is not None:
        parts.append(f"stored with scale {spec.scale:g}, zero point {spec.zero_point}")
    if spec.rows_per_run is not None:
        parts.append(f"{spec.rows_per_run} rows a run")
    return ", ".join(parts)


def _numbers(values: tuple[float, ...]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else f"[{', '.join(f'{value:g}' for value in values)}]"


def _output(manifest: Manifest) -> Iterator[str]:
    spec = manifest.output
    yield f"  family    {spec.family}"
    for role, names in spec.tensors.items():
        yield f"            {role}: {', '.join(names)}"
    for key, value in spec.options.items():
        yield f"            {key} = {_short(value)}"
    if spec.nms is not None:
        over = "all classes" if spec.nms.class_agnostic else "each class"
        yield f"            NMS over {over} at IoU {spec.nms.iou:g}, at most {spec.nms.max_detections} boxes"
    yield f"            score above {manifest.score:g} by default"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _labels(manifest: Manifest) -> str:
    few = ", ".join(manifest.labels[:_FEW_LABELS])
    more = ", ..." if len(manifest.labels) > _FEW_LABELS else ""
    unused = len(manifest.labels) - labels.counted(manifest.labels)
    return f"{len(manifest.labels)}: {few}{more}" + (f" ({unused} unused)" if unused else "")
