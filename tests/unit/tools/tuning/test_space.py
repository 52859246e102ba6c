from __future__ import annotations

import pytest

from edgemass.errors import UsageError
from edgemass_tools.tuning.space import Parameter, holding_defaults, only

SPACE = {"lr": Parameter(0.5, 0.001, 0.1), "size": Parameter("96x96", choices=("64x64",))}


def test_bounds_and_choices_are_widened_to_hold_the_default() -> None:
    held = holding_defaults(SPACE)
    assert (held["lr"].low, held["lr"].high) == (0.001, 0.5)
    assert held["size"].choices == ("96x96", "64x64")


def test_only_what_was_asked_for_is_searched() -> None:
    assert list(only(SPACE, ["lr"])) == ["lr"]
    assert list(only(SPACE, [])) == ["lr", "size"]
    with pytest.raises(UsageError, match="colour cannot be searched; what can is lr, size"):
        only(SPACE, ["colour"])
