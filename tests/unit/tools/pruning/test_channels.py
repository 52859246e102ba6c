"""Promises of the cut: the share is reached, widths suit integer kernels, and the net stays one of its kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train of edgemass-tools")
pytest.importorskip("torch_pruning", reason="needs the extra train of edgemass-tools")

from torch import Tensor, nn  # noqa: E402

from edgemass.errors import UsageError  # noqa: E402
from edgemass_tools import checkpoint, nets  # noqa: E402
from edgemass_tools.checkpoint import Checkpoint  # noqa: E402
from edgemass_tools.pruning import channels, operations  # noqa: E402
from edgemass_tools.pruning.channels import BLOCK, Coupled  # noqa: E402
from edgemass_tools.pruning.operations import Layer  # noqa: E402

SIZE = (96, 64)
OPTIONS = {"widths": [16, 24, 32, 32, 48], "depths": [1, 2, 1], "neck": 24, "head_depth": 1}


def net_of() -> nn.Module:
    torch.manual_seed(0)
    return nets.build("edge-detector", OPTIONS, 2)


def loss(net: nn.Module, batch: Any) -> Mapping[str, Tensor]:
    return {"answers": sum((item.square().mean() for level in net(batch) for item in level), torch.zeros(()))}


def batches() -> list[Tensor]:
    drawn = torch.Generator().manual_seed(1)
    return [torch.rand(2, 3, SIZE[1], SIZE[0], generator=drawn) for _ in range(2)]


def cut(net: nn.Module, share: float) -> None:
    channels.cut(net, SIZE, share, loss, batches(), lambda _done, _total: None)


def widths(net: nn.Module) -> dict[str, int]:
    return {name: layer.out_channels for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d)}


def test_the_share_of_operations_is_reached_and_parameters_go_too() -> None:
    net = net_of()
    before = operations.count(net, SIZE), operations.parameters(net)
    cut(net, 0.6)
    assert operations.count(net, SIZE) <= 0.6 * before[0]
    assert operations.parameters(net) < 0.9 * before[1]


def test_widths_are_blocks_of_eight_and_heads_keep_their_outputs() -> None:
    net = net_of()
    whole = widths(net)
    cut(net, 0.5)
    for name, width in widths(net).items():
        if name.endswith((".classes", ".distances")):
            assert width == whole[name]
        elif width != whole[name]:
            assert width >= BLOCK
            assert width % BLOCK == 0


def test_a_pruned_net_answers_bit_for_bit_the_same_from_its_checkpoint(tmp_path: Path) -> None:
    net = net_of()
    cut(net, 0.6)
    body = Checkpoint(
        net="edge-detector",
        options=OPTIONS,
        labels=("a", "b"),
        width=SIZE[0],
        height=SIZE[1],
        weights=net.state_dict(),
    )
    checkpoint.save(body, tmp_path / "model.pt")
    again = checkpoint.module(checkpoint.load(tmp_path / "model.pt"))
    picture = batches()[0]
    with torch.inference_mode():
        for one, other in zip(net.eval()(picture), again(picture), strict=True):
            assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def test_the_same_cut_comes_out_twice() -> None:
    one, other = net_of(), net_of()
    cut(one, 0.7)
    cut(other, 0.7)
    assert all(torch.equal(*pair) for pair in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_share_that_eight_channels_exceed_is_refused() -> None:
    with pytest.raises(UsageError, match="larger share"):
        cut(net_of(), 0.01)


def test_channels_that_are_worth_least_for_what_they_cost_go_first() -> None:
    cheap, costly = nn.Conv2d(3, 16, 1), nn.Conv2d(3, 16, 1)
    layers: dict[nn.Module, Layer] = {cheap: Layer(10, 16, 3, 1), costly: Layer(1000, 16, 3, 1)}
    worth = np.arange(16, dtype=np.float64)[::-1] + 1
    groups = [Coupled(cheap, worth, ((cheap, True, 1),)), Coupled(costly, worth, ((costly, True, 1),))]
    assert channels.choose(groups, layers, wanted=30_000) == {costly: list(range(8, 16))}


def test_an_odd_width_becomes_a_multiple_of_eight() -> None:
    layer = nn.Conv2d(3, 28, 1)
    layers: dict[nn.Module, Layer] = {layer: Layer(100, 28, 3, 1)}
    groups = [Coupled(layer, np.arange(28.0), ((layer, True, 1),))]
    assert channels.choose(groups, layers, wanted=8300) == {layer: [0, 1, 2, 3]}


def test_operations_are_those_of_convolutions_and_linear_layers() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4 * 2, 5))
    assert operations.count(net, (8, 4)) == 8 * 3 * 9 * (4 * 2) + 8 * 4 * 2 * 5
