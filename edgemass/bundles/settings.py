"""`--set key=value`: answers and overrides of what a family recognised."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from edgemass.errors import UsageError
from edgemass.families import Recognition
from edgemass.manifest import InputSpec, Nms

_RESIZE_KEYS = ("pad_value", "short_side", "long_side", "multiple", "interpolation")
_INPUT_KEYS = ("color", "mean", "std", "scale", "zero_point", "width", "height")
_NMS_KEYS = ("iou", "class_agnostic", "max_detections")
_MANIFEST_KEYS = {"score": float, "name": str, "version": str, "release": int, "licence": str, "source": str}


@dataclass(frozen=True)
class Settled:
    """recognition: with every override in it; manifest: fields that the manifest has beside it."""

    recognition: Recognition
    manifest: Mapping[str, Any]


def parse(settings: Sequence[str]) -> dict[str, str]:
    """Key and text of each setting; the last one of a key counts.

    Raises:
        UsageError: no `=` in it.
    """
    pairs = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {setting}: wanted NAME=VALUE, for example --set color=BGR")
        pairs[key.strip()] = value.strip()
    return pairs


def apply(settings: Mapping[str, str], recognition: Recognition, options_type: type[msgspec.Struct]) -> Settled:
    """Put settings where they belong: the family's own options first, then the input, NMS and the manifest.

    Raises:
        UsageError: an unknown key, or a value of the wrong type.
    """
    option_types = {field.name: field.type for field in msgspec.structs.fields(options_type)}
    known = _known_keys(option_types)
    options = dict(recognition.options)
    fields: dict[str, Any] = {}
    picture = msgspec.to_builtins(recognition.input)
    nms = msgspec.to_builtins(recognition.nms) if recognition.nms else {}
    for key, text in settings.items():
        if key not in known:
            raise _unknown(key, known)
        if key in option_types:
            options[key] = _convert(key, text, option_types[key])
        elif key == "resize":
            picture["resize"] = {**picture.get("resize", {}), "rule": text}
        elif key in _RESIZE_KEYS:
            picture["resize"] = {**picture.get("resize", {}), key: text}
        elif key in _INPUT_KEYS:
            picture[key] = text.split(",") if key in ("mean", "std") else text
        elif key in _MANIFEST_KEYS:
            fields[key] = _convert(key, text, _MANIFEST_KEYS[key])
        else:
            nms[key.removeprefix("nms.")] = text
    input_spec = _struct(picture, InputSpec)
    changed = replace(
        recognition,
        options={key: value for key, value in options.items() if value is not None},
        input=input_spec,
        nms=_struct(nms, Nms) if nms or recognition.nms else None,
        questions={key: choices for key, choices in recognition.questions.items() if key not in settings},
        assumed=(
            *_still_true(recognition.assumed, settings, input_spec),
            *(f"overridden by --set: {key}={text}" for key, text in settings.items() if key in _INPUT),
        ),
    )
    return Settled(changed, fields)


_INPUT = {"resize", *_RESIZE_KEYS, *_INPUT_KEYS}

_PIXELS = ("color", "mean", "std", "scale", "zero_point")

_ABOUT = (  # keys -> how the families' sentences begin that speak of the values before these were set
    (("resize", *_RESIZE_KEYS), ("frames are resized", "frames keep their shape", "short side ")),
    (("width", "height"), ("the graph takes pictures of any size", "the picture's free size")),
    (("anchors",), ("anchors are", "the anchors are")),
    (("centre",), ("distances count from",)),
    (("class_offset", "activation"), ("class ",)),
    (("normalized",), ("boxes are",)),
)


def _still_true(assumed: Sequence[str], settings: Mapping[str, str], spec: InputSpec) -> tuple[str, ...]:
    """The sentences that no setting contradicts, and what the picture's input takes now."""
    stale = tuple(start for keys, starts in _ABOUT if any(key in settings for key in keys) for start in starts)
    kept = [sentence for sentence in assumed if not stale or not sentence.startswith(stale)]
    if any(key in settings for key in _PIXELS):
        mean, std = (",".join(f"{value:g}" for value in values) for values in (spec.mean, spec.std))
        now = f"input {spec.name}: {spec.color}, mean {mean}, std {std}, with what was set"
        kept = [now if sentence.startswith(f"input {spec.name}") else sentence for sentence in kept]
    return tuple(kept)


def _known_keys(option_types: Mapping[str, Any]) -> list[str]:
    return [*option_types, *sorted(_INPUT), *(f"nms.{key}" for key in _NMS_KEYS), *_MANIFEST_KEYS]


def _unknown(key: str, known: Sequence[str]) -> UsageError:
    nearest = difflib.get_close_matches(key, known, 1)
    hint = f", did you mean {nearest[0]}?" if nearest else ""
    return UsageError(f"--set {key}: unknown key{hint}; known for this model are {', '.join(known)}")


def _convert(key: str, text: str, wanted: Any) -> Any:
    """The text as a value of the wanted type, in plain builtins; a list is 1,2,3 or JSON or @FILE with JSON.

    Raises:
        UsageError: it is none.
    """
    # A list first where there is a comma: some options take a preset's name or numbers.
    candidates: list[Any] = [text.split(","), text] if "," in text else [text, [text]]
    if text.startswith("@"):
        text = _file(key, Path(text[1:]))
    if text.startswith(("[", "@")):
        try:
            candidates = [json.loads(text)]
        except (ValueError, RecursionError) as error:
            raise UsageError(f"--set {key}: the list is no JSON: {error}") from error
    failure: Exception | None = None
    for candidate in candidates:
        try:
            return msgspec.to_builtins(msgspec.convert(candidate, wanted, strict=False))
        except msgspec.ValidationError as error:
            failure = failure or error
    raise UsageError(f"--set {key}={text}: {failure}")


def _file(key: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--set {key}: cannot read {path}: {error}") from error


def _struct(values: Mapping[str, Any], kind: type[Any]) -> Any:
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"--set: {error}") from error
