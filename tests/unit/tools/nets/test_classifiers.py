from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the extra train of edgemass-tools")

from torch import nn  # noqa: E402

from edgemass.errors import UsageError  # noqa: E402
from edgemass_tools import nets  # noqa: E402


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def test_squeezenet_has_the_parameters_of_the_papers_repository() -> None:
    # 1,235,496: as torchvision counts its squeezenet1_1, which was converted from there.
    assert parameters(nets.build("squeezenet", {"norm": False}, 1000)) == 1_235_496


def test_the_small_cnn_stays_below_300_thousand_parameters() -> None:
    assert parameters(nets.build("cnn", {}, 100)) < 300_000


@pytest.mark.parametrize(
    ("kind", "options", "shape"),
    [
        ("squeezenet", {}, (2, 3, 64, 96)),
        ("squeezenet", {"norm": False}, (1, 3, 224, 224)),
        ("cnn", {}, (2, 3, 48, 80)),
        ("cnn", {"color": "GRAY"}, (2, 1, 28, 28)),
        ("cnn", {"widths": [8, 16]}, (2, 3, 17, 31)),
    ],
)
def test_any_size_gives_a_logit_for_each_class(kind: str, options: dict[str, object], shape: tuple[int, ...]) -> None:
    assert nets.build(kind, options, 7)(torch.zeros(shape)).shape == (shape[0], 7)


def test_a_color_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="options of cnn: Invalid enum value 'RGB'"):
        nets.build("cnn", {"color": "RGB"}, 2)
