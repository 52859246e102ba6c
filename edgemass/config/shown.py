"""A configuration as it is shown: what was asked for and what stands for the rest, without passwords. Its schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from edgemass.config import NO_KEYS, Config
from edgemass.redact import redact_address, redact_log

SCHEMA = "edgemass.config/1"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def table(config: Config, *, defaults: bool = False) -> dict[str, Any]:
    """As tables of TOML, which has no word for nothing: a key whose value is None is left out.

    defaults: keys that nobody gave too.
    """
    whole = msgspec.to_builtins(config)
    asked = {key: value for key, value in whole.items() if key not in NO_KEYS}
    if not defaults:
        asked = _without_defaults(asked, config)
    return {key: _clean(value) for key, value in asked.items() if value is not None}


def schema() -> dict[str, Any]:
    """JSON Schema of edgemass.toml, for editors that check while one types (taplo: `#:schema FILE`)."""
    (_,), components = msgspec.json.schema_components(
        [Config], schema_hook=lambda _: {"type": "string"}, ref_template="#/$defs/{name}"
    )
    for component in components.values():  # Python 3.13 cuts indentation off, others do not
        component["description"] = " ".join(component["description"].split())
    components["CameraConfig"]["required"] = []  # another file of conf.d may say it
    document = components.pop(Config.__name__)
    for key in NO_KEYS:
        document["properties"].pop(key, None)
    return {
        "$schema": DIALECT,
        "$id": "urn:" + SCHEMA.replace(".", ":", 1).replace("/", ":"),
        **document,
        "required": [],
        "$defs": {name: inner for name, inner in components.items() if name != "Record"},
    }


def _without_defaults(values: Mapping[str, Any], struct: msgspec.Struct) -> dict[str, Any]:
    """Keys that say something else than their defaults. values: of `struct`, as plain tables."""
    kept = {}
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        plain: Any = values.get(field.encode_name)
        if field.encode_name not in values or (field.default is not msgspec.NODEFAULT and value == field.default):
            continue
        if field.default_factory is not msgspec.NODEFAULT and value == field.default_factory():
            continue
        if isinstance(value, msgspec.Struct):
            plain = _without_defaults(plain, value)
        elif isinstance(value, dict):
            plain = {
                key: _without_defaults(plain[key], inner) if isinstance(inner, msgspec.Struct) else inner
                for key, inner in value.items()
            }
        kept[field.encode_name] = plain
    return kept


def _clean(value: Any, key: str = "") -> Any:
    """Without None and without passwords."""
    if isinstance(value, Mapping):
        return {name: _clean(inner, name) for name, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [_clean(inner, key) for inner in value if inner is not None]
    if isinstance(value, str):
        return redact_address(value) if key in ("source", "sinks", "registry", "metadata") else redact_log(value)
    return value
