from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("torch", reason="needs the extra train of edgemass-tools")
pytest.importorskip("optuna", reason="needs the extra train of edgemass-tools")

from edgemass.errors import UsageError
from edgemass_tools.data import augment, whole
from edgemass_tools.training import runs
from edgemass_tools.training.detection_loss import LossOptions
from edgemass_tools.training.options import chosen
from edgemass_tools.tuning import training
from edgemass_tools.tuning.space import defaults


def order(net: str, **changes: Any) -> runs.Order:
    return runs.Order(
        verb="train",
        net=net,
        net_options={},
        start=None,
        pairs=(),
        labels=(),
        held=None,
        weights={},
        size=(64, 64),
        first_size=None,
        first_epochs=0,
        plain_epochs=0,
        batch=8,
        per_epoch=0,
        workers=0,
        soft=False,
        settings=runs.Settings(epochs=2, lr=0.003, decay=0.07),
        output=Path("run"),
        **changes,
    )


@pytest.mark.parametrize(("net", "own"), [("edge-detector", augment.Augment()), ("cnn", whole.Augment())])
def test_the_default_of_a_search_is_the_command_as_it_was_given(net: str, own: msgspec.Struct) -> None:
    given = order(net, augment={"recolor": 0.25})
    made = training.applied(given, defaults(training.space(given)))
    assert made.settings == given.settings
    wanted = msgspec.structs.replace(own, recolor=0.25)
    assert msgspec.to_builtins(chosen(own, made.augment, "--augment")) == msgspec.to_builtins(wanted)


def test_what_is_searched_reaches_loop_augmentation_and_loss() -> None:
    made = training.applied(order("edge-detector"), {"lr": 0.01, "mosaic": 0.9, "scale_low": 0.4, "top": 5})
    assert (made.settings.lr, made.settings.decay) == (0.01, 0.07)
    assert made.augment == {"mosaic": 0.9, "scale": [0.4, 1.4]}
    assert chosen(LossOptions(), made.loss, "--loss").top == 5


def test_nets_without_a_figure_to_make_large_are_refused() -> None:
    with pytest.raises(UsageError, match="trainings of faster-rcnn cannot be searched"):
        training.space(order("faster-rcnn"))
