"""The nets that the workshop trains: one file and one row each.

A net's file declares `Options` (a msgspec Struct), `TASK`, and `build(options, class_count) -> nn.Module`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from edgemass.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn

NETS = {  # kind -> the module that builds it, imported when first asked for
    "edge-detector": "edgemass_tools.nets.edge_detector",
    "lstm-digits": "edgemass_tools.nets.lstm_digits",
    "lstm-text": "edgemass_tools.nets.lstm_text",
}


class NetModule(Protocol):
    """What a module of NETS offers.

    TASK: "detection", "two-stage detection", "classification" or "sequence": which Job trains it.
    """

    Options: type[msgspec.Struct]
    TASK: str

    def build(self, options: Any, class_count: int) -> nn.Module: ...


def load(kind: str) -> NetModule:
    """The module of a kind of net.

    Raises:
        UsageError: no such kind.
    """
    if kind not in NETS:
        raise UsageError(f"unknown net {kind!r}; known are {', '.join(NETS)}")
    return cast("NetModule", importlib.import_module(NETS[kind]))


def build(kind: str, options: Mapping[str, Any], class_count: int) -> nn.Module:
    """A net with fresh weights.

    Raises:
        UsageError: no such kind, or an option that it does not have.
    """
    return load(kind).build(chosen(kind, options), class_count)


def chosen(kind: str, options: Mapping[str, Any]) -> msgspec.Struct:
    """A net's options, checked.

    Raises:
        UsageError: as `build`.
    """
    try:
        return msgspec.convert(dict(options), load(kind).Options)
    except msgspec.ValidationError as error:
        raise UsageError(f"options of {kind}: {error}") from error


def fit(net: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Load weights into a net, narrowing its layers where pruning has taken channels away.

    Raises:
        UsageError: a layer is missing or of another kind.
    """
    from torch import nn  # noqa: PLC0415

    for name, layer in net.named_modules():
        weight = weights.get(f"{name}.weight")
        if weight is None:
            continue
        if isinstance(layer, nn.Conv2d) and weight.dim() == layer.weight.dim():
            layer.out_channels, layer.in_channels = weight.shape[0], weight.shape[1] * layer.groups
            layer.weight = nn.Parameter(weight.clone())
            if layer.bias is not None:
                layer.bias = nn.Parameter(weights[f"{name}.bias"].clone())
        elif isinstance(layer, nn.BatchNorm2d):
            layer.num_features = weight.shape[0]
            layer.weight, layer.bias = nn.Parameter(weight.clone()), nn.Parameter(weights[f"{name}.bias"].clone())
            layer.running_mean = weights[f"{name}.running_mean"].clone()
            layer.running_var = weights[f"{name}.running_var"].clone()
        elif isinstance(layer, nn.Linear):
            layer.out_features, layer.in_features = weight.shape
            layer.weight, layer.bias = nn.Parameter(weight.clone()), nn.Parameter(weights[f"{name}.bias"].clone())
    try:
        net.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise UsageError(
            f"the weights do not belong to this net: {str(error).splitlines()[1].strip()[:200]}"
        ) from error


def transfer(net: nn.Module, weights: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """Take over the weights whose layers have the same shape, for new classes; returns the names of what did not fit.

    Channels that pruning took away are taken from the layers here too.
    """
    own = net.state_dict()
    left = tuple(name for name in own if name not in weights or weights[name].shape != own[name].shape)
    net.load_state_dict({name: weights.get(name, value) if name not in left else value for name, value in own.items()})
    return left
