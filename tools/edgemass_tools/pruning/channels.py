"""Which channels go, and the cut.

A channel's worth is what the loss would change if its output were nothing, as the slope tells: (gamma x dL/dgamma +
beta x dL/dbeta)^2 of its normalisation, over batches (Molchanov et al., CVPR 2019). Channels that a sum or a
concatenation couples go together and their worths add up. Blocks of eight go first that are worth least for the
multiply-accumulates that they free, in the whole net; eight, because integer kernels fill their registers so.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch_pruning
from torch import Tensor, nn

from edgemass.errors import UsageError
from edgemass.progress import Progress
from edgemass_tools.pruning import operations
from edgemass_tools.pruning.operations import Layer

BLOCK = 8
"""Channels; widths are multiples of it after the cut, and none is narrower."""
ROUNDS = 5
"""Looks at the worth of channels: what is worth little may be worth more when its neighbours are gone."""

Loss = Callable[[nn.Module, Any], Mapping[str, Tensor]]


@dataclass
class Coupled:
    """Channels of several layers that go together.

    root: the layer whose outputs they are. worth: of each of its channels. members: layer, whether its outputs (else
    its inputs) go, and how many of them for each channel.
    """

    root: nn.Module
    worth: np.ndarray[Any, np.dtype[np.float64]]
    members: tuple[tuple[nn.Module, bool, int], ...]


def cut(
    net: nn.Module, size: tuple[int, int], share: float, loss: Loss, batches: Sequence[Any], progress: Progress
) -> None:
    """Take channels out of `net`, in place, until at most `share` of its multiply-accumulates are left.

    size: (width, height) of pictures. loss, batches: of the net's training; normalisation is measured anew on them.

    Raises:
        UsageError: the share cannot be reached with eight channels left in each layer.
    """
    outputs = _outputs(net, size)
    whole = operations.count(net, size)
    for number in range(ROUNDS):
        progress(number, ROUNDS)
        wanted = whole * (1 - (1 - share) * (number + 1) / ROUNDS)
        worth = _worth(net, loss, batches)
        graph = _graph(net, size)
        found = _coupled(graph, outputs, worth)
        for root, channels in choose(found, operations.layers(net, size), wanted).items():
            graph.get_pruning_group(root, torch_pruning.prune_conv_out_channels, channels).prune()
        settle(net, loss, batches)
    net.zero_grad(set_to_none=True)


def choose(groups: Sequence[Coupled], layers: Mapping[nn.Module, Layer], wanted: float) -> dict[nn.Module, list[int]]:
    """Root -> channels that go, so that at most `wanted` multiply-accumulates are left.

    Raises:
        UsageError: it cannot be reached.
    """
    widths = {layer: [cost.outputs, cost.inputs] for layer, cost in layers.items()}
    orders = [np.argsort(group.worth, kind="stable") for group in groups]
    gone = [0] * len(groups)

    def cost(layer: nn.Module) -> float:
        return float(layers[layer].places * layers[layer].kernel * widths[layer][0] * widths[layer][1])

    def freed(group: Coupled, count: int) -> float:
        """Of taking `count` channels more; layers whose inputs and outputs both go are counted once for each."""
        return sum(cost(layer) * count * times / widths[layer][0 if out else 1] for layer, out, times in group.members)

    left = sum(cost(layer) for layer in layers)
    while left > wanted:
        offers = []
        for index, group in enumerate(groups):
            now = len(group.worth) - gone[index]
            count = now % BLOCK or BLOCK
            if now - count >= BLOCK:
                going = orders[index][gone[index] : gone[index] + count]
                offers.append((float(group.worth[going].sum()) / freed(group, count), index, count))
        if not offers:
            raise UsageError(
                f"with {BLOCK} channels left in each layer {left / 1e6:.1f} M operations stay, wanted at most "
                f"{wanted / 1e6:.1f} M; give --operations a larger share"
            )
        _, index, count = min(offers)
        gone[index] += count
        for layer, out, times in groups[index].members:
            widths[layer][0 if out else 1] -= count * times
        left = sum(cost(layer) for layer in layers)
    return {
        group.root: sorted(int(channel) for channel in order[:count])
        for group, order, count in zip(groups, orders, gone, strict=True)
        if count
    }


def settle(net: nn.Module, loss: Loss, batches: Sequence[Any]) -> None:
    """Measure the mean and variance of every normalisation anew: those of the uncut net are wrong now."""
    normalisations = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in normalisations]
    for layer in normalisations:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean of all batches
    trained = net.training
    net.train()
    with torch.no_grad():
        for batch in batches:
            loss(net, batch)  # a run is what counts
    net.train(trained)
    for layer, momentum in zip(normalisations, momenta, strict=True):
        layer.momentum = momentum


def _worth(net: nn.Module, loss: Loss, batches: Sequence[Any]) -> dict[nn.Module, Tensor]:
    """Of every channel, by its normalisation."""
    net.eval()
    layers = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    found: dict[nn.Module, Tensor] = {layer: torch.zeros(layer.num_features) for layer in layers}
    for batch in batches:
        net.zero_grad(set_to_none=True)
        torch.stack(list(loss(net, batch).values())).sum().backward()  # type: ignore[no-untyped-call]
        for layer in layers:
            assert layer.weight.grad is not None
            assert layer.bias.grad is not None
            slope = layer.weight * layer.weight.grad + layer.bias * layer.bias.grad
            found[layer] += slope.detach().square().cpu()
    return found


def _graph(net: nn.Module, size: tuple[int, int]) -> Any:
    device = next(net.parameters()).device
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it wraps itself
        picture = torch.zeros(1, 3, size[1], size[0], device=device)
        return torch_pruning.DependencyGraph().build_dependency(net, example_inputs=picture)


def _outputs(net: nn.Module, size: tuple[int, int]) -> list[nn.Module]:
    """The convolutions whose results leave the net: their channels mean something."""
    producers: dict[int, nn.Module] = {}
    hooks = [
        layer.register_forward_hook(lambda layer, _inputs, output: producers.update({id(output): layer}))
        for layer in net.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    with torch.inference_mode():
        answer = net(torch.zeros(1, 3, size[1], size[0], device=next(net.parameters()).device))
    for hook in hooks:
        hook.remove()
    return [producers[id(tensor)] for tensor in _tensors(answer) if id(tensor) in producers]


def _tensors(answer: Any) -> list[Tensor]:
    if isinstance(answer, Tensor):
        return [answer]
    return [tensor for item in answer for tensor in _tensors(item)]


def _coupled(graph: Any, outputs: list[nn.Module], worth: Mapping[nn.Module, Tensor]) -> list[Coupled]:
    groups = []
    for group in graph.get_all_groups(ignored_layers=outputs, root_module_types=[nn.Conv2d]):
        root = group[0].dep.target.module
        total = np.zeros(root.out_channels)
        members = []
        for item in group:
            layer = item.dep.target.module
            out = graph.is_out_channel_pruning_fn(item.dep.handler)
            if isinstance(layer, nn.Conv2d):
                members.append((layer, out, len(item.idxs) // root.out_channels))
            elif layer in worth:
                np.add.at(total, item.root_idxs, worth[layer][item.idxs].double().numpy())
        groups.append(Coupled(root, total, tuple(members)))
    return groups
