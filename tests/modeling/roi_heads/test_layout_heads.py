import pytest
import torch
from detectron2.structures import Boxes, Instances

from hoi_d2.data.vocabulary import hico_det_vocabulary
from hoi_d2.modeling.roi_heads.layout_features import (
    NUM_ENTITY,
    NUM_GEOMETRY,
    NUM_RIVALRY,
    entity_surroundings,
    pair_geometry,
    pair_rivalry,
)
from hoi_d2.modeling.roi_heads.layout_heads import CombinationRows, LayoutHeads
from hoi_d2.modeling.roi_heads.pair_generator import PairGenerator

VALID = torch.from_numpy(hico_det_vocabulary().valid_verbs)
PERSON, BICYCLE = 0, 1


def random_boxes(number, generator):
    corner = torch.rand(number, 2, generator=generator) * 300
    return torch.cat([corner, corner + 5 + torch.rand(number, 2, generator=generator) * 200], 1)


def image(number, seed, size=(600, 600)):
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(0, 4, (number,), generator=generator)
    return Instances(
        size,
        pred_boxes=Boxes(random_boxes(number, generator)),
        scores=torch.linspace(1, 0.5, number),
        pred_classes=classes,
    )


def heads(**options):
    torch.manual_seed(0)
    head = LayoutHeads(valid_verbs=VALID, token_dim=16, hidden_dim=32, **options).eval()
    torch.nn.init.normal_(head.combinations.rows.weight)
    return head


def pairs_of(images):
    return PairGenerator(nms_threshold=1.0, score_threshold=0.0, max_instances=50)(images)


def logits_by_boxes(head, images):
    pairs = pairs_of(images)
    logits = head(None, pairs).verb_logits
    keys = torch.cat([pairs.human_boxes, pairs.object_boxes], 1).tolist()
    return {tuple(round(v, 2) for v in k): row for k, row in zip(keys, logits)}


@pytest.mark.parametrize("numbers", [[], [0], [1], [0, 0], [0, 5, 1]])
def test_images_without_pairs(numbers):
    if not numbers:
        geometry = pair_geometry(torch.zeros(0, 4), torch.zeros(0, 4))
        assert geometry.shape == (0, NUM_GEOMETRY)
        return
    pairs = pairs_of([image(n, seed=n) for n in numbers])
    head = heads().train()
    logits = head(None, pairs).verb_logits
    assert logits.shape == (len(pairs), 117)
    logits.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)


def test_shapes_and_range():
    generator = torch.Generator().manual_seed(0)
    human, object_ = random_boxes(50, generator), random_boxes(50, generator)
    rows = torch.randint(0, 9, (50, 2), generator=generator)
    geometry = pair_geometry(human, object_)
    assert geometry.shape == (50, NUM_GEOMETRY)
    assert geometry.abs().max() <= 6
    rivalry = pair_rivalry(human, object_, rows, torch.zeros(50, dtype=torch.int64))
    assert rivalry.shape == (50, NUM_RIVALRY)
    numbers, bags = entity_surroundings(human, rows[:, 0], [0, 20, 30], num_classes=80)
    assert numbers.shape == (50, NUM_ENTITY)
    assert bags.shape == (50, 240)


@pytest.mark.parametrize("box", [[10, 10, 10, 40], [10, 10, 10, 10], [-5, -5, 700, 9000]])
def test_a_box_without_area_gives_finite_numbers(box):
    boxes = torch.tensor([box, [20.0, 20, 60, 90]])
    assert torch.isfinite(pair_geometry(boxes, boxes.flip(0))).all()


def test_batched_is_one_by_one():
    images, head = [image(5, 1), image(1, 2), image(9, 3)], heads()
    together = head(None, pairs_of(images)).verb_logits
    alone = torch.cat([head(None, pairs_of([i])).verb_logits for i in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("change", ["order", "mirror", "size"])
def test_what_changes_nothing(change):
    found, head = image(8, 5), heads()
    pairs = pairs_of([found])
    expected = head(None, pairs).verb_logits
    other = Instances(found.image_size, **found.get_fields())
    if change == "order":
        other = found[torch.randperm(8, generator=torch.Generator().manual_seed(1))]
    boxes = other.pred_boxes.tensor
    if change == "mirror":
        width = found.image_size[1]
        mirrored = boxes[:, [2, 1, 0, 3]] * torch.tensor([-1, 1, -1, 1]) + torch.tensor(
            [width, 0, width, 0]
        )
        other.pred_boxes = Boxes(mirrored)
    if change == "size":
        other = Instances((1800, 1800), **other.get_fields())
        other.pred_boxes = Boxes(boxes * 3)
    actual = head(None, pairs_of([other])).verb_logits  # pairs come by falling score: the same
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-3)


def test_pairs_see_the_other_pairs_of_their_image():
    head, found = heads(), image(8, 5)
    found.pred_classes[:] = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3])
    fewer = found[torch.arange(7)]
    all_logits, without = logits_by_boxes(head, [found]), logits_by_boxes(head, [fewer])
    changed = [(all_logits[k] - row).abs().max() for k, row in without.items()]
    assert len(changed) == 18
    assert min(changed) > 1e-4


def test_whether_an_entity_is_annotated_is_seen_and_its_score_is_not():
    head = heads()
    logits = []
    for score in (1.0, 0.9, 0.4):
        found = image(6, 7)
        found.scores[:] = score
        logits.append(head(None, pairs_of([found])).verb_logits)
    assert (logits[0] - logits[1]).abs().max() > 1e-4
    torch.testing.assert_close(logits[1], logits[2])


def test_every_parameter_gets_a_gradient():
    head = heads(num_layers=2).train()
    found = image(20, 11)
    found.pred_classes = torch.arange(20) % 3
    head(None, pairs_of([found])).verb_logits.square().sum().backward()
    missing = [n for n, p in head.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not missing


def test_each_combination_has_a_row_of_its_own():
    rows = CombinationRows(VALID, dim=8)
    torch.nn.init.normal_(rows.rows.bias)
    classes = torch.arange(80)
    values = rows(torch.zeros(80, 8), classes)
    assert values[~VALID].abs().sum() == 0
    assert len(values[VALID].unique()) == 600
    assert not CombinationRows(VALID, dim=8)(torch.randn(80, 8), classes).any()
