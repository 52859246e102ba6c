"""From a reference to the registry that it speaks of."""

from __future__ import annotations

from edgemass.registry.protocol import Registry
from edgemass.registry.reference import Reference
from edgemass.registry.transport import Transport


def open_registry(reference: Reference, transport: Transport) -> Registry:
    """The registry or the layout folder that it speaks of.

    Raises:
        ConfigError: a library is missing, or a file that `transport` names cannot be read.
    """
    if reference.folder is not None:
        from edgemass.registry.layout import Layout  # noqa: PLC0415 (of the two only one is needed)

        return Layout(reference.folder, reference.repository)
    from edgemass.registry.client import RegistryClient  # noqa: PLC0415 (needs the extra `update`)

    return RegistryClient(reference, transport)
