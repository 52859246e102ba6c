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

Labels = tuple[str, ...]

NETS = {  # kind -> the module that builds it, imported when first asked for
    "edge-detector": "edgemass_tools.nets.edge_detector",
    "faster-rcnn": "edgemass_tools.nets.faster_rcnn",
    "squeezenet": "edgemass_tools.nets.squeezenet",
    "cnn": "edgemass_tools.nets.cnn",
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


def migrate(
    kind: str, options: Mapping[str, Any], labels: tuple[Labels, Labels], weights: Mapping[str, torch.Tensor]
) -> tuple[nn.Module, tuple[str, ...]]:
    """A net for other classes with the weights of one that was trained, pruned or not.

    labels: that it was trained on, and wanted. Layers that do not depend on the classes are taken over; of those that
        do, the rows of classes that both have.
    Returns the net, and the names of the tensors that are new, at least in part.
    """
    import torch  # noqa: PLC0415

    old, new = labels
    before, more, after = (build(kind, options, count).state_dict() for count in (len(old), len(old) + 1, len(new)))
    made = {name: value.detach().clone() for name, value in weights.items()}
    changed = tuple(name for name, value in before.items() if value.shape != more[name].shape)
    rows = [(old.index(label), place) for place, label in enumerate(new) if label in old]
    for name in changed:
        kept, fresh = weights[name], after[name]
        if kept.shape[1:] != fresh.shape[1:]:  # pruning took inputs away
            fresh = torch.randn(fresh.shape[0], *kept.shape[1:]) * float(fresh.std())
        if kept.shape[0] == len(old) and fresh.shape[0] == len(new):
            for source, target in rows:
                fresh[target] = kept[source]
        made[name] = fresh
    net = build(kind, options, len(new))
    fit(net, made)
    return net, changed


def share(net: nn.Module, weights: Mapping[str, torch.Tensor]) -> int:
    """Take over from another kind of net the tensors of the same name and shape; returns how many."""
    own = net.state_dict()
    same = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    net.load_state_dict(own | same)
    return len(same)
