from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch: pip install 'edgemass-tools[train]'")

import torch

from edgemass.detections import Detections
from edgemass.imaging.nms import suppress
from edgemass_tools.nets import boxes


def some_boxes(count: int, seed: int, side: float = 200.0) -> torch.Tensor:
    """Corners (count, 4) within a picture of 256 pixels."""
    rng = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=rng) * (256 - side)
    return torch.cat([low, low + 4 + torch.rand(count, 2, generator=rng) * (side - 4)], 1)


def test_deltas_lead_back_to_the_box() -> None:
    truth, anchors = some_boxes(50, 1), some_boxes(50, 2)
    torch.testing.assert_close(boxes.decode(boxes.encode(truth, anchors), anchors), truth, rtol=1e-4, atol=1e-3)


def test_no_delta_moves_nothing() -> None:
    anchors = some_boxes(5, 3)
    torch.testing.assert_close(boxes.decode(torch.zeros(5, 4), anchors), anchors)


def test_deltas_are_shifts_in_sides_and_logarithms_of_growth() -> None:
    found = boxes.encode(torch.tensor([[20.0, 10.0, 60.0, 30.0]]), torch.tensor([[0.0, 0.0, 20.0, 40.0]]))
    torch.testing.assert_close(found, torch.tensor([[1.5, 0.0, np.log(2.0), np.log(0.5)]], dtype=torch.float32))


def test_a_wild_delta_stays_a_number() -> None:
    found = boxes.decode(torch.full((1, 4), 1e4), torch.tensor([[0.0, 0.0, 8.0, 8.0]]))
    assert torch.isfinite(found).all()


def test_a_cell_is_the_mean_of_four_points_between_four_of_the_map() -> None:
    features = torch.arange(16.0).reshape(1, 1, 4, 4)  # 4 y + x
    # 8 pixels a cell: the box is the whole map, a cell covers 2x2 of it, its points lie on them.
    whole = boxes.pool(features, torch.tensor([[[0.0, 0.0, 32.0, 32.0]]]), 2, 1 / 8)
    assert whole.shape == (1, 1, 1, 2, 2)
    assert whole.flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    # A box of one cell of the map around (1.5, 2) in its cells, less half a cell: x 1, y 1.5 on a plane 4 y + x.
    one = boxes.pool(features, torch.tensor([[[8.0, 12.0, 16.0, 20.0]]]), 1, 1 / 8)
    assert one.item() == pytest.approx(4 * 1.5 + 1)


def test_every_picture_is_pooled_from_its_own_map() -> None:
    features = torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)])
    found = boxes.pool(features, some_boxes(5, 4, 64.0)[None].expand(2, -1, -1), 3, 1 / 32)
    assert found[0].abs().max() == 0
    assert found[1].min() == 1


def test_the_map_learns_through_its_cells() -> None:
    features = torch.rand(1, 2, 8, 8, requires_grad=True)
    boxes.pool(features, torch.tensor([[[0.0, 0.0, 64.0, 64.0]]]), 4, 1 / 8).sum().backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    torch.testing.assert_close(features.grad.sum(), torch.tensor(32.0))  # each of 2x16 cells is a mean


def test_overlaps_are_those_of_hand() -> None:
    iou, share = boxes.overlaps(
        torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([[5.0, 0.0, 15.0, 20.0], [0.0] * 4])
    )
    torch.testing.assert_close(iou, torch.tensor([[50 / 250, 0.0]]))
    torch.testing.assert_close(share, torch.tensor([[0.5, 0.0]]))


@pytest.mark.parametrize("seed", range(5))
def test_what_is_suppressed_is_what_the_device_suppresses(seed: int) -> None:
    found, scores = some_boxes(120, seed), torch.rand(2, 120, generator=torch.Generator().manual_seed(seed))
    rows = boxes.suppress(found, scores, 0.5, 20, 0.3)
    for class_id in range(2):
        places = rows[rows[:, 0] == class_id][:, 1].numpy()
        own = scores[class_id].numpy()
        above = own > 0.3
        wanted = suppress(
            Detections(found.numpy()[above], own[above], np.zeros(above.sum(), np.int64)),
            iou=0.5,
            class_agnostic=True,
            max_detections=20,
        )
        np.testing.assert_array_equal(own[places], wanted.score)


def test_the_best_are_all_where_there_are_few() -> None:
    assert boxes.best(torch.tensor([0.1, 0.3, 0.2]), 2).tolist() == [1, 2]
    assert boxes.best(torch.tensor([0.1, 0.3, 0.2]), 9).tolist() == [1, 2, 0]
