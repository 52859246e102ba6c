"""Promises of nets: weights go back into the shapes that they have, and to other classes."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the extra train of edgemass-tools")

from torch import nn  # noqa: E402

from edgemass.errors import UsageError  # noqa: E402
from edgemass_tools import nets  # noqa: E402

SMALL = {"widths": [8, 8, 16, 16, 24], "depths": [1, 1, 1], "neck": 16, "head_depth": 1}
PICTURE = torch.rand(1, 3, 64, 96)


def trained(classes: int) -> nn.Module:
    torch.manual_seed(classes)
    return nets.build("edge-detector", SMALL, classes).eval()


def test_an_unknown_net_or_option_names_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="unknown net 'vgg'; known are edge-detector"):
        nets.build("vgg", {}, 1)
    with pytest.raises(UsageError, match=r"options of edge-detector: .*nick"):
        nets.build("edge-detector", {"nick": 3}, 1)


def test_weights_of_another_net_are_refused() -> None:
    with pytest.raises(UsageError, match="do not belong to this net"):
        nets.fit(nets.build("edge-detector", SMALL, 1), {"stem.0.weight": torch.zeros(8, 3, 3, 3)})


def test_weights_kept_channels_last_come_back_in_plain_order() -> None:
    net = trained(1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    other = nets.build("edge-detector", SMALL, 1)
    nets.fit(other, net.state_dict())
    assert all(value.is_contiguous() for value in other.state_dict().values())


def test_other_classes_keep_all_that_does_not_depend_on_them_and_the_rows_of_those_that_stay() -> None:
    net = trained(3)
    made, new = nets.migrate("edge-detector", SMALL, (("a", "b", "c"), ("c", "d")), net.state_dict())
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in new} == {"classes"}
    with torch.no_grad():
        before, after = net(PICTURE), made.eval()(PICTURE)
    for (old_classes, old_distances), (classes, distances) in zip(before, after, strict=True):
        assert torch.equal(distances, old_distances)
        assert torch.allclose(classes[:, 0], old_classes[:, 2], atol=1e-6)
        assert classes.shape[1] == 2


def test_a_pruned_net_learns_other_classes_in_its_narrow_shapes() -> None:
    weights = dict(trained(1).state_dict())
    for index in range(3):  # half of the last tower's channels are gone
        for name in ("0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var"):
            key = f"heads.{index}.tower.0.{name}"
            weights[key] = weights[key][:8]
        for part in ("classes", "distances"):
            weights[f"heads.{index}.{part}.weight"] = weights[f"heads.{index}.{part}.weight"][:, :8]
    made, _ = nets.migrate("edge-detector", SMALL, (("a",), ("a", "b")), weights)
    with torch.no_grad():
        assert made.eval()(PICTURE)[0][0].shape[1] == 2
    assert made.state_dict()["heads.0.tower.0.0.weight"].shape[0] == 8


def test_as_many_other_classes_do_not_take_over_the_rows_of_the_old_ones() -> None:
    weights = trained(2).state_dict()
    made, new = nets.migrate("edge-detector", SMALL, (("a", "b"), ("b", "c")), weights)
    found, old = made.state_dict()["heads.0.classes.weight"], weights["heads.0.classes.weight"]
    assert "heads.0.classes.weight" in new
    assert torch.equal(found[0], old[1])
    assert not torch.equal(found[1], old[0])
    assert not torch.equal(found[1], old[1])
