"""Tells a file that is quantized in the way that ONNX Runtime does not run fast."""

from __future__ import annotations

import logging

from edgemass.bundles import Bundle, observe
from edgemass.errors import BundleError

logger = logging.getLogger(__name__)

_DYNAMIC = frozenset({"ConvInteger", "DynamicQuantizeLinear"})


def dynamic(bundle: Bundle) -> list[str]:
    """A sentence where the only file is quantized dynamically; none where its graph cannot be read here."""
    stock = bundle.manifest.reference
    if stock.runtime != "onnx" or len(bundle.manifest.variants) > 1:
        return []
    try:
        file = observe.read(bundle.path(stock), "onnx").onnx
    except BundleError as error:
        logger.debug("whether the file is quantized dynamically is not known: %s", error)
        return []
    if file is None or not _DYNAMIC & {node.kind for node in file.nodes}:
        return []
    told = (
        f"{stock.file} is quantized dynamically ({', '.join(sorted(_DYNAMIC))}): ONNX Runtime runs that as slowly as "
        "float or slower; take the float file it was made from, and `edgemass-tools quantize` for one that is faster"
    )
    return [told]
