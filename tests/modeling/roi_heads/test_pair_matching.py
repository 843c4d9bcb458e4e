import pytest
import torch
from detectron2.structures import Boxes, Instances

from hoi_d2.modeling.roi_heads.pair_generator import PairGenerator
from hoi_d2.modeling.roi_heads.pair_matching import match_pairs, person_verb_targets
from hoi_d2.structures import make_hoi_targets


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
def test_verbs_of_candidates(boxes, classes, gt_pairs):
    found = detections(boxes, classes)
    generator = PairGenerator(score_threshold=0.0, nms_threshold=1.0)
    pairs = generator([found, detections([], [])])
    entities = Instances(
        (100, 100),
        gt_boxes=Boxes(torch.tensor([H1, H2, O1]).float()),
        gt_classes=torch.tensor([0, 0, 33]),
    )
    verbs = (torch.arange(len(gt_pairs) * 4).reshape(-1, 4) % 3 == 0).float()
    gt_pairs = torch.tensor(gt_pairs, dtype=torch.int64).reshape(-1, 2)
    targets = make_hoi_targets(
        image_size=(100, 100), gt_pairs=gt_pairs, gt_verbs=verbs, num_entities=3
    )
    expected = literal_match(pairs.instances[0], pairs.pair_indices[0], entities, targets, 0.5)
    matches = match_pairs(pairs, [entities] * 2, [targets] * 2, iou_threshold=0.5)
    torch.testing.assert_close(matches.candidate_verbs(), expected)
    visible = [[h, o] for h, o in gt_pairs.tolist() if o >= 0]
    classes = [[0, 0, 33][o] for _, o in visible]
    assert matches.gt_object_classes.tolist() == 2 * classes  # the second image has no candidates


def test_matches_where_the_detector_resized_its_input():
    """Boxes of a network of 50 x 200 find the annotations of an image of 100 x 100."""
    targets = make_hoi_targets(
        image_size=(100, 100),
        gt_pairs=torch.tensor([[0, 1]]),
        gt_verbs=torch.tensor([[0.0, 1.0]]),
        num_entities=2,
    )
    entities = Instances(
        (100, 100),
        gt_boxes=Boxes(torch.tensor([H1, O1]).float()),
        gt_classes=torch.tensor([0, 33]),
    )
    found = detections([[2 * x0, y0 / 2, 2 * x1, y1 / 2] for x0, y0, x1, y1 in (H1, O1)], [0, 33])
    found._image_size = (50, 200)
    pairs = PairGenerator(score_threshold=0.0)([found])
    matches = match_pairs(pairs, [entities], [targets], iou_threshold=0.99)
    assert matches.candidate_verbs().tolist() == [[0, 1]]


def two_images(gt_pairs, gt_verbs, boxes=(H1, O1)):
    """The same detections in two images, with annotations of their own."""
    found = detections(list(boxes), [0] + [33] * (len(boxes) - 1))
    pairs = PairGenerator(score_threshold=0.0, nms_threshold=1.0)([found, found])
    entities = Instances(
        (100, 100),
        gt_boxes=Boxes(torch.tensor([H1, O1, O1]).float()),
        gt_classes=torch.tensor([0, 33, 33]),
    )
    targets = [
        make_hoi_targets(
            image_size=(100, 100),
            gt_pairs=torch.tensor(p, dtype=torch.int64).reshape(-1, 2),
            gt_verbs=torch.tensor(v).reshape(-1, 2),
            num_entities=3,
        )
        for p, v in zip(gt_pairs, gt_verbs)
    ]
    return match_pairs(pairs, [entities] * 2, targets, iou_threshold=0.5)


def test_each_image_takes_its_own_annotations():
    matches = two_images([[[0, 1]], [[0, 1]]], [[[1.0, 0.0]], [[0.0, 1.0]]])
    assert matches.candidate_verbs().tolist() == [[1, 0], [0, 1]]
    assert matches.annotations.tolist() == [0, 1]


def test_a_verb_that_two_annotations_share_counts_once():
    matches = two_images([[[0, 1], [0, 2]], []], [[[1.0, 0.0], [1.0, 1.0]], []])
    assert matches.candidate_verbs().tolist() == [[1, 1], [0, 0]]


def test_an_overlap_of_exactly_the_threshold_matches():
    half = [30, 40, 60, 50]  # the upper half of O1
    matches = two_images([[[0, 1]], []], [[[1.0, 0.0]], []], boxes=(H1, half))
    assert matches.candidate_verbs().tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize(
    ("alone", "expected"),
    [
        ([], [[0, 0], [0, 0], [0, 0], [0, 0]]),
        ([0], [[1, 0], [1, 0], [0, 0], [0, 0]]),  # the first person stands, with every object
        ([1], [[0, 0], [0, 0], [1, 0], [1, 0]]),
        ([0, 1], [[1, 0], [1, 0], [1, 0], [1, 0]]),
    ],
)
def test_what_a_person_does_alone_is_true_of_all_their_pairs(alone, expected):
    """V-COCO's "stands and holds a bicycle": the pair holds, the person stands."""
    found = detections([H1, H2, O1], [0, 0, 33])
    pairs = PairGenerator(score_threshold=0.0, nms_threshold=1.0)([found])
    assert pairs.pair_indices[0].tolist() == [[0, 1], [0, 2], [1, 0], [1, 2]]
    entities = Instances((100, 100), gt_boxes=Boxes(torch.tensor([H1, H2, O1]).float()))
    entities.gt_classes = torch.tensor([0, 0, 33])
    verbs = torch.tensor([[1.0, 1.0]] * len(alone)).reshape(-1, 2)  # the second has an object
    targets = make_hoi_targets(
        image_size=(100, 100),
        gt_pairs=torch.tensor([[h, -1] for h in alone], dtype=torch.int64).reshape(-1, 2),
        gt_verbs=verbs,
        num_entities=3,
    )
    person_verbs = torch.tensor([True, False])
    result = person_verb_targets(
        pairs, [entities], [targets], person_verbs=person_verbs, iou_threshold=0.5
    )
    assert result.tolist() == expected
