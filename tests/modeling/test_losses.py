import pytest
import torch
from detectron2.structures import Boxes, Instances

from hoi_d2.modeling.losses import match_verbs, verb_focal_loss, verb_loss
from hoi_d2.modeling.roi_heads.pair_generator import PairGenerator
from hoi_d2.structures import make_hoi_targets

ALPHA, GAMMA = 0.5, 0.2


def published_form(logits, prior, y):
    """UPT's expression in float64; not finite where it overflows."""
    logits, prior, y = (t.double() for t in (logits, prior, y))
    possible = prior > 0
    logits, prior, y = logits[possible], prior[possible], y[possible]
    x = torch.log(prior / (1 + torch.exp(-logits) - prior) + 1e-8)
    ce = torch.nn.functional.binary_cross_entropy_with_logits(x, y, reduction="none")
    return ((1 - y - ALPHA).abs() * ((y - x.sigmoid()).abs() + 1e-6) ** GAMMA * ce).sum()


def loss_of(logits, prior, y):
    return verb_focal_loss(logits, prior, y, alpha=ALPHA, gamma=GAMMA)


def test_equals_the_published_form_where_that_is_finite():
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(1000, 7, generator=generator)
    prior = torch.rand(1000, 7, generator=generator) * (torch.rand(1000, 7) > 0.3)
    y = (torch.rand(1000, 7, generator=generator) > 0.9).float()
    torch.testing.assert_close(
        loss_of(logits, prior, y).double(), published_form(logits, prior, y), rtol=2e-5, atol=1e-4
    )


@pytest.mark.parametrize("y", [0.0, 1.0])
@pytest.mark.parametrize("prior", [0.0, 1e-30, 1e-6, 0.5, 1 - 1e-7, 1.0])
@pytest.mark.parametrize("logit", [-1e4, -100.0, -89.0, -17.0, 0.0, 17.0, 89.0, 100.0, 1e4])
def test_value_and_gradient_are_finite(logit, prior, y):
    logits = torch.full((1, 1), logit, requires_grad=True)
    loss = loss_of(logits, torch.full((1, 1), prior), torch.full((1, 1), y))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_a_confident_mistake_at_prior_one_still_has_a_gradient():
    logits = torch.full((1, 1), 5.0, requires_grad=True)
    loss_of(logits, torch.ones(1, 1), torch.zeros(1, 1)).backward()
    assert logits.grad.item() > 0.3


@pytest.mark.parametrize("rows", [0, 3])
def test_no_positives_divide_by_one(rows):
    logits = torch.zeros(rows, 4, requires_grad=True)
    prior, y = torch.full((rows, 4), 0.5), torch.zeros(rows, 4)
    loss = verb_loss(logits, prior, y, alpha=ALPHA, gamma=GAMMA)
    loss.backward()
    torch.testing.assert_close(loss, loss_of(logits, prior, y))


def test_impossible_verbs_take_no_part():
    logits = torch.zeros(1, 2, requires_grad=True)
    loss_of(logits, torch.tensor([[0.5, 0.0]]), torch.tensor([[0.0, 1.0]])).backward()
    assert logits.grad[0, 1] == 0


def test_half_precision_logits_are_computed_in_fp32():
    logits = torch.randn(5, 3)
    prior, y = torch.rand(5, 3), (torch.rand(5, 3) > 0.5).float()
    loss = loss_of(logits.bfloat16(), prior, y)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, loss_of(logits.bfloat16().float(), prior, y))


def detections(boxes, classes):
    n = len(boxes)
    return Instances(
        (100, 100),
        pred_boxes=Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)),
        scores=torch.linspace(0.9, 0.8, n) if n else torch.zeros(0),
        pred_classes=torch.tensor(classes, dtype=torch.int64),
        tokens=torch.zeros(n, 2),
    )


H1, H2, O1, O2 = [0, 0, 40, 90], [50, 0, 90, 90], [30, 40, 60, 60], [0, 80, 30, 100]


def literal_match(found, pairs, entities, targets, threshold):
    """One pair after the other, one annotation after the other."""

    def iou(a, b):
        w = min(a[2], b[2]) - max(a[0], b[0])
        h = min(a[3], b[3]) - max(a[1], b[1])
        inner = max(w, 0) * max(h, 0)
        area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
        return inner / (area - inner)

    boxes, gt = found.pred_boxes.tensor.tolist(), entities.gt_boxes.tensor.tolist()
    rows = []
    for human, obj in pairs.tolist():
        verbs = torch.zeros(targets.gt_verbs.shape[1])
        for (gh, go), gv in zip(targets.gt_pairs.tolist(), targets.gt_verbs):
            if go >= 0 and min(iou(boxes[human], gt[gh]), iou(boxes[obj], gt[go])) >= threshold:
                verbs = torch.maximum(verbs, gv)
        rows.append(verbs)
    return torch.stack(rows) if rows else torch.zeros(0, targets.gt_verbs.shape[1])


@pytest.mark.parametrize(
    "boxes, classes, gt_pairs",
    [
        ([], [], []),
        ([H1], [0], [[0, 2]]),
        ([H1, O1], [0, 33], []),
        ([H1, O1], [0, 33], [[0, 2]]),
        ([H1, H2, O1, O2], [0, 0, 33, 33], [[0, 2], [1, 2], [0, 1], [1, -1]]),
        ([H1, [2, 1, 41, 88], H2, O1], [0, 0, 0, 33], [[0, 2], [1, 2]]),
    ],
)
def test_match_verbs(boxes, classes, gt_pairs):
    found = detections(boxes, classes)
    generator = PairGenerator(score_threshold=0.0, nms_threshold=1.0)
    pairs = generator([found, detections([], [])])
    entities = Instances((100, 100), gt_boxes=Boxes(torch.tensor([H1, H2, O1]).float()))
    verbs = (torch.arange(len(gt_pairs) * 4).reshape(-1, 4) % 3 == 0).float()
    gt_pairs = torch.tensor(gt_pairs, dtype=torch.int64).reshape(-1, 2)
    targets = make_hoi_targets(
        image_size=(100, 100), gt_pairs=gt_pairs, gt_verbs=verbs, num_entities=3
    )
    expected = literal_match(pairs.instances[0], pairs.pair_indices[0], entities, targets, 0.5)
    matched = match_verbs(
        pairs, [entities, entities], [targets, targets], iou_threshold=0.5, num_verbs=4
    )
    torch.testing.assert_close(matched, expected)


def test_match_verbs_where_the_detector_resized_its_input():
    """Boxes of a network of 50 x 200 find the annotations of a picture of 100 x 100."""
    targets = make_hoi_targets(
        image_size=(100, 100),
        gt_pairs=torch.tensor([[0, 1]]),
        gt_verbs=torch.tensor([[0.0, 1.0]]),
        num_entities=2,
    )
    entities = Instances((100, 100), gt_boxes=Boxes(torch.tensor([H1, O1]).float()))
    found = detections([[2 * x0, y0 / 2, 2 * x1, y1 / 2] for x0, y0, x1, y1 in (H1, O1)], [0, 33])
    found._image_size = (50, 200)
    pairs = PairGenerator(score_threshold=0.0)([found])
    matched = match_verbs(pairs, [entities], [targets], iou_threshold=0.99, num_verbs=2)
    assert matched.tolist() == [[0, 1]]
