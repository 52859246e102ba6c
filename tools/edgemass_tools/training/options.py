"""Options of augmentation and loss, as `--augment scale=[0.5,1.5]` and `--loss top=13` give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from edgemass.errors import UsageError

Options = TypeVar("Options", bound=msgspec.Struct)


def chosen(defaults: Options, given: Mapping[str, Any], what: str) -> Options:
    """The defaults with what was given.

    Raises:
        UsageError: an option that there is not, or of another type.
    """
    try:
        return msgspec.convert({**msgspec.to_builtins(defaults), **given}, type(defaults))
    except msgspec.ValidationError as error:
        known = ", ".join(type(defaults).__struct_fields__)
        raise UsageError(f"{what}: {error}; known are {known}") from error
