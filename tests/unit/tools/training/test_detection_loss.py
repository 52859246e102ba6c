"""Promises of the detector's loss: the right cells answer, ignored places do not count, and it can be made small."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the extra train of edgemass-tools")

from torch import Tensor  # noqa: E402

from edgemass_tools.data.loading import Batch  # noqa: E402
from edgemass_tools.training.detection_loss import (  # noqa: E402
    Answer,
    LossOptions,
    assign,
    flatten,
    giou,
    iou,
    loss,
)

STRIDES = (8, 16, 32)


def answer(width: int = 96, height: int = 64) -> Answer:
    levels = [
        (torch.full((1, 1, height // s, width // s), -4.0), torch.full((1, 4, height // s, width // s), 2.0))
        for s in STRIDES
    ]
    return flatten(levels, STRIDES)


def batch(boxes: list[list[float]], score: list[float] | None = None, ignore: list[bool] | None = None) -> Batch:
    count = len(boxes)
    return Batch(
        images=torch.zeros(1, 64, 96, 3, dtype=torch.uint8),
        boxes=torch.tensor([boxes]).float().reshape(1, count, 4),
        class_id=torch.zeros(1, count, dtype=torch.long),
        score=torch.tensor([score or [1.0] * count]),
        ignore=torch.tensor([ignore or [False] * count]),
    )


def test_cells_lie_level_after_level_with_their_centres() -> None:
    flat = answer()
    assert flat.logits.shape == (1, 96 + 24 + 6, 1)
    assert flat.centre[0].tolist() == [4, 4]
    assert flat.centre[96].tolist() == [8, 8]
    assert flat.centre[-1].tolist() == [80, 48]
    assert flat.boxes()[0, 0].tolist() == [-12, -12, 20, 20]


def test_overlaps_are_those_worked_by_hand() -> None:
    one = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 1, 1]])
    other = torch.tensor([[1.0, 1, 3, 3], [0, 0, 2, 2], [2, 0, 3, 1]])
    assert iou(one, other).tolist() == pytest.approx([1 / 7, 1, 0])
    assert giou(one, other).tolist() == pytest.approx([1 / 7 - 2 / 9, 1, -1 / 3])


def test_small_objects_are_answered_by_fine_cells_and_large_ones_by_coarse_ones() -> None:
    flat = answer(256, 192)
    for box, stride in (([40.0, 24, 72, 56], 8), ([60.0, 40, 190, 170], 32)):
        targets = assign(flat, flat.boxes(), batch([box]), LossOptions(top=3))
        assert set(flat.stride[targets.cell].tolist()) == {float(stride)}


def test_an_object_between_the_centres_of_cells_is_not_lost() -> None:
    flat = answer()
    targets = assign(flat, flat.boxes(), batch([[6.5, 6.5, 9.5, 9.5]]), LossOptions())
    assert len(targets.cell) > 0


def test_no_cell_answers_for_two_objects() -> None:
    flat = answer()
    targets = assign(flat, flat.boxes(), batch([[8.0, 8, 60, 56], [12.0, 8, 64, 56]]), LossOptions())
    pairs = list(zip(targets.picture.tolist(), targets.cell.tolist(), strict=True))
    assert len(pairs) == len(set(pairs))


def test_ignored_places_count_neither_as_right_nor_as_wrong() -> None:
    flat = answer()
    targets = assign(flat, flat.boxes(), batch([[0.0, 0, 40, 40]], score=[1.0], ignore=[True]), LossOptions())
    inside = (flat.centre <= 40).all(1)
    assert len(targets.cell) == 0
    assert targets.counted[0, inside].max() == 0
    assert targets.counted[0, ~inside].min() == 1


def test_a_doubtful_box_is_ignored_hard_and_half_wanted_soft() -> None:
    flat, doubtful = answer(), batch([[16.0, 8, 56, 56]], score=[0.3], ignore=[True])
    hard = assign(flat, flat.boxes(), doubtful, LossOptions())
    soft = assign(flat, flat.boxes(), doubtful, LossOptions(soft=True))
    assert hard.quality.max() == 0
    assert 0 < soft.quality.max() <= 0.3


def test_a_picture_without_objects_teaches_that_there_are_none() -> None:
    levels = [
        (torch.zeros(1, 1, 64 // s, 96 // s, requires_grad=True), torch.ones(1, 4, 64 // s, 96 // s)) for s in STRIDES
    ]
    parts = loss(flatten(levels, STRIDES), batch([[0.0, 0, 0, 0]], ignore=[True]), LossOptions())
    total = sum(parts.values(), torch.zeros(()))
    total.backward()
    gradient = levels[0][0].grad
    assert gradient is not None
    assert bool((gradient[..., 1:, 1:] > 0).all())


def test_gradient_descent_on_the_heads_finds_the_boxes() -> None:
    truth = batch([[16.0, 8, 40, 56], [60.0, 30, 76, 44]])
    maps = [(torch.full((1, 1, 64 // s, 96 // s), -4.0), torch.full((1, 4, 64 // s, 96 // s), 2.0)) for s in STRIDES]
    heads: list[Tensor] = [item.requires_grad_() for pair in maps for item in pair]
    optimizer = torch.optim.Adam(heads, 0.1)
    for _ in range(150):
        optimizer.zero_grad()
        sum(loss(flatten(maps, STRIDES), truth, LossOptions()).values(), torch.zeros(())).backward()
        optimizer.step()
    flat = flatten(maps, STRIDES)
    best = flat.logits[0, :, 0].topk(2).indices
    found = flat.boxes()[0, best]
    overlaps = torch.stack([iou(found, truth.boxes[0, i].expand(2, 4)) for i in range(2)])
    assert bool((overlaps.amax(0) > 0.9).all())
