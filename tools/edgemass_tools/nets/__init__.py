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
    import torch  # noqa: PLC0415
    from torch import nn  # noqa: PLC0415

    # In plain memory order: LiteRT's converter reads the weights of a net that was trained channels-last wrongly.
    plain = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in weights.items()}
    for name, layer in net.named_modules():
        weight, bias = plain.get(f"{name}.weight"), plain.get(f"{name}.bias")
        if weight is None or weight.shape == layer.weight.shape:
            continue
        if isinstance(layer, nn.Conv2d):
            layer.out_channels, layer.in_channels = weight.shape[0], weight.shape[1] * layer.groups
        elif isinstance(layer, nn.BatchNorm2d):
            layer.num_features = weight.shape[0]
            layer.running_mean, layer.running_var = plain[f"{name}.running_mean"], plain[f"{name}.running_var"]
        elif isinstance(layer, nn.Linear):
            layer.out_features, layer.in_features = weight.shape
        else:
            continue
        layer.weight = nn.Parameter(weight)
        if bias is not None:
            layer.bias = nn.Parameter(bias)
    try:
        net.load_state_dict(plain)
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
