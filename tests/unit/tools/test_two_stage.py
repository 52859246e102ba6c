from __future__ import annotations

import msgspec
import pytest

pytest.importorskip("torch", reason="needs PyTorch: pip install 'edgemass-tools[train]'")

import torch

from edgemass_tools.data.loading import Batch
from edgemass_tools.nets import faster_rcnn
from edgemass_tools.nets.faster_rcnn import FasterRcnn, Options
from edgemass_tools.training import two_stage_loss
from edgemass_tools.training.two_stage import as_input, torch_manifest
from edgemass_tools.training.two_stage_loss import NOTHING, OBJECT, UNCOUNTED, LossOptions

SMALL = Options(widths=(4, 4, 8, 8, 8), neck=8, hidden=8, anchors=(16.0, 48.0))


def small(class_count: int = 1, **options: float) -> FasterRcnn:
    return faster_rcnn.build(msgspec.structs.replace(SMALL, **options), class_count)


def batch(*rows: tuple[float, float, float, float], ignored: int = 0) -> Batch:
    """One picture of 64x96 pixels with these boxes, the last `ignored` of them not to be judged, and one of padding."""
    count = len(rows) + 1
    ignore = torch.zeros(1, count, dtype=torch.bool)
    ignore[0, len(rows) - ignored : len(rows)] = True
    class_id = torch.zeros(1, count, dtype=torch.int64)
    class_id[0, -1] = -1
    return Batch(
        images=torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)),
        boxes=torch.tensor([[*rows, (0.0, 0.0, 0.0, 0.0)]]),
        class_id=class_id,
        score=torch.ones(1, count),
        ignore=ignore,
    )


def test_anchors_lie_on_the_middles_of_cells_and_have_their_areas() -> None:
    net = small(aspect=4.0)
    anchors = net.anchors(torch.zeros(1, 8, 2, 3))
    assert anchors.shape == (2 * 3 * 2, 4)
    assert anchors[0].tolist() == [4 - 4, 4 - 16, 4 + 4, 4 + 16]  # 16 = sqrt(8 x 32), four times as high as wide
    middles = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert middles[::2].tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]]
    assert (anchors[:, 2:] - anchors[:, :2]).prod(1).tolist() == pytest.approx([256, 2304] * 6)


def test_logits_belong_to_the_anchors_in_order() -> None:
    net = small().eval()
    net.objectness.weight.data.zero_()
    assert net.objectness.bias is not None
    net.objectness.bias.data = torch.tensor([1.0, 2.0])
    logits, deltas = net.first(net.map(torch.zeros(1, 3, 64, 96)))
    assert logits[0, :4].tolist() == [1, 2, 1, 2]
    assert logits.shape == (1, 8 * 12 * 2)
    assert deltas.shape == (1, 8 * 12 * 2, 4)


def test_candidates_are_objects_nothing_or_not_counted() -> None:
    candidates = torch.tensor(
        [
            [
                [0.0, 0.0, 10.0, 10.0],  # the object
                [0.0, 0.0, 10.0, 25.0],  # 0.4 of it
                [50.0, 50.0, 60.0, 60.0],  # far from all
                [32.0, 32.0, 38.0, 38.0],  # in what is not judged
                [0.0, 0.0, 0.0, 0.0],  # padding
            ]
        ]
    )
    truth = batch((0, 0, 10, 10), (30, 30, 40, 40), ignored=1)
    found = two_stage_loss.match(candidates, truth, 0.5, 0.3)
    assert found.kind.tolist() == [[OBJECT, UNCOUNTED, NOTHING, UNCOUNTED, UNCOUNTED]]
    assert found.item[0, 0] == 0


def test_an_object_that_no_anchor_fits_has_its_best_one() -> None:
    candidates = torch.tensor([[[0.0, 0.0, 10.0, 25.0], [0.0, 0.0, 10.0, 40.0]]])
    found = two_stage_loss.match(candidates, batch((0, 0, 10, 10)), 0.5, 0.3, own=True)
    assert found.kind.tolist() == [[OBJECT, NOTHING]]


@pytest.mark.parametrize(("objects", "nothing", "counted"), [(30, 200, (8, 24)), (3, 200, (3, 29)), (30, 5, (8, 5))])
def test_a_quarter_of_what_is_drawn_are_objects_at_most(objects: int, nothing: int, counted: tuple[int, int]) -> None:
    kind = torch.full((2, 300), UNCOUNTED)
    kind[:, :objects] = OBJECT
    kind[:, 50 : 50 + nothing] = NOTHING
    drawn = two_stage_loss.draw(kind, 32, 0.25, torch.Generator().manual_seed(0))
    assert drawn.place.shape == (2, 32)
    for row in range(2):
        chosen = kind[row, drawn.place[row]][drawn.counts[row]]
        assert (int((chosen == OBJECT).sum()), int((chosen == NOTHING).sum())) == counted
        places = drawn.place[row][drawn.counts[row]].tolist()
        assert len(set(places)) == len(places)


def test_a_picture_without_objects_still_teaches_what_nothing_is() -> None:
    net = small()
    given = batch()
    parts = two_stage_loss.loss(net, as_input(given.images), given, LossOptions(), torch.Generator().manual_seed(0))
    assert parts["shifts"] == 0
    assert parts["mends"] == 0
    assert parts["objectness"] > 0
    assert parts["classes"] > 0


def test_the_loss_falls_on_one_picture() -> None:
    torch.manual_seed(0)
    net = small()
    given = batch((8, 8, 40, 56))
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    chance = torch.Generator().manual_seed(0)
    totals = []
    for _ in range(40):
        parts = two_stage_loss.loss(net, as_input(given.images), given, LossOptions(), chance)
        total = torch.stack(list(parts.values())).sum()
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.5 * totals[0]


def test_boxes_stay_in_the_picture_and_labels_begin_at_one() -> None:
    net = small(2, least_score=0.0).eval()
    found = net(torch.rand(3, 64, 96) * 255)
    assert len(found["boxes"]) == len(found["labels"]) == len(found["scores"]) > 0
    assert set(found["labels"].tolist()) == {1, 2}
    assert (found["boxes"] >= 0).all()
    assert (found["boxes"] <= torch.tensor([96.0, 64.0, 96.0, 64.0])).all()


def test_the_device_scales_to_the_short_side_that_was_learnt() -> None:
    resize = torch_manifest(("person",), (288, 224)).input.resize
    assert (resize.rule, resize.short_side, resize.long_side, resize.multiple) == ("shortest-edge", 224, 448, 32)
