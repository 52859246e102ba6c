"""Model files and bundles: import, check, describe, resolve what `--model` names, load.

What this package offers is imported when first asked for: the child process that tries out unknown files starts from
here too, and needs neither decoders nor OpenCV.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgemass.bundles.describing import describe, describe_json
    from edgemass.bundles.folder import (
        Bundle,
        add_variant,
        check_target,
        extend_bundle,
        load_bundle,
        write_bundle,
        write_new,
    )
    from edgemass.bundles.graphs import read_graph
    from edgemass.bundles.importer import import_model
    from edgemass.bundles.loading import open_detector
    from edgemass.bundles.resolving import resolve
    from edgemass.bundles.zoo import Entry, entries, pull

__all__ = [
    "Bundle",
    "Entry",
    "add_variant",
    "check_target",
    "describe",
    "describe_json",
    "entries",
    "extend_bundle",
    "import_model",
    "load_bundle",
    "open_detector",
    "pull",
    "read_graph",
    "resolve",
    "write_bundle",
    "write_new",
]

_HOMES = {  # name -> the module that holds it
    "Bundle": "folder",
    "Entry": "zoo",
    "add_variant": "folder",
    "check_target": "folder",
    "extend_bundle": "folder",
    "describe": "describing",
    "describe_json": "describing",
    "entries": "zoo",
    "import_model": "importer",
    "load_bundle": "folder",
    "open_detector": "loading",
    "pull": "zoo",
    "read_graph": "graphs",
    "resolve": "resolving",
    "write_bundle": "folder",
    "write_new": "folder",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
