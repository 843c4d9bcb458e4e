import pytest
import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from hoi_d2.modeling.roi_heads.pair_generator import PairGenerator


def detections(classes, scores, *, spread=True):
    n = len(classes)
    start = 10.0 * torch.arange(n)[:, None] if spread else torch.zeros(n, 1)
    boxes = start + torch.tensor([0.0, 0.0, 8.0, 8.0])
    return Instances(
        (100, 200),
        pred_boxes=Boxes(boxes),
        scores=torch.tensor(scores, dtype=torch.float32),
        pred_classes=torch.tensor(classes, dtype=torch.int64),
        tokens=torch.arange(n)[:, None].float(),
    )


@pytest.mark.parametrize(
    "classes, scores, expected_classes, num_pairs",
    [
        ([], [], [], 0),
        ([5, 6], [0.9, 0.8], [5, 6], 0),  # nobody there
        ([0], [0.9], [0], 0),  # nothing there
        ([0, 0], [0.9, 0.8], [0, 0], 2),  # a person is an object too
        ([5, 0, 6], [0.9, 0.5, 0.7], [0, 5, 6], 2),  # humans first
        ([0, 5, 5, 5, 5], [0.01] * 5, [0, 5, 5, 5], 3),  # the best 3 of each, whatever their score
    ],
)
def test_which_entities_and_pairs(classes, scores, expected_classes, num_pairs):
    pairs = PairGenerator()([detections(classes, scores)])
    assert pairs.instances[0].pred_classes.tolist() == expected_classes
    assert len(pairs) == num_pairs == pairs.counts[0]


def test_at_most_so_many():
    found = detections([0] * 20 + [7] * 20, [0.9] * 40)
    pairs = PairGenerator(max_instances=4)([found])
    assert len(pairs.instances[0]) == 8
    assert len(pairs) == 4 * 7


def test_duplicates_of_a_class_are_suppressed():
    pairs = PairGenerator()([detections([0, 0, 5], [0.9, 0.8, 0.7], spread=False)])
    assert pairs.instances[0].pred_classes.tolist() == [0, 5]


def test_a_batch_is_its_images_one_after_the_other():
    images = [
        detections([0, 5, 0], [0.9, 0.8, 0.7]),
        detections([], []),
        detections([5], [0.9]),
        detections([0, 5], [0.5, 0.4]),
    ]
    generator = PairGenerator()
    batch, singles = generator(images), [generator([i]) for i in images]
    assert batch.counts == [4, 0, 0, 1]
    assert batch.image_index.tolist() == [0, 0, 0, 0, 3]
    for name in ("human_boxes", "object_boxes", "human_tokens", "object_classes", "pair_scores"):
        expected = torch.cat([getattr(s, name) for s in singles])
        torch.testing.assert_close(getattr(batch, name), expected)


def test_pairs_are_human_and_anything_else_but_itself():
    found = PairGenerator()([detections([0, 5, 0], [0.9, 0.8, 0.7])])
    assert found.pair_indices[0].tolist() == [[0, 1], [0, 2], [1, 0], [1, 2]]


@pytest.mark.parametrize("field", ["box", "score"])
def test_broken_detections_are_refused(field):
    found = detections([0, 5], [0.9, float("nan") if field == "score" else 0.8])
    if field == "box":
        found.pred_boxes.tensor[1, 2] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        PairGenerator()([found])


def test_a_detector_may_have_no_tokens():
    found = detections([0, 5, 0], [0.9, 0.8, 0.7])
    found.remove("tokens")
    pairs = PairGenerator()([found])
    assert pairs.human_tokens is None and pairs.object_tokens is None
    torch.testing.assert_close(pairs.human_scores, torch.tensor([0.9, 0.9, 0.7, 0.7]))
    torch.testing.assert_close(pairs.object_scores, torch.tensor([0.7, 0.8, 0.9, 0.8]))
    torch.testing.assert_close(pairs.pair_scores, pairs.human_scores * pairs.object_scores)


@pytest.mark.parametrize("max_pairs, kept", [(0, 4), (9, 4), (4, 4), (3, 3), (1, 1)])
def test_the_cap_keeps_the_best_pairs_in_order_and_is_logged(caplog, max_pairs, kept):
    images = [detections([0, 5, 0], [0.9, 0.8, 0.7]), detections([], [])]
    generator, everything = PairGenerator(max_pairs=max_pairs), PairGenerator()(images)
    with EventStorage() as storage:
        found = [generator(images) for _ in range(2)][1]
    assert found.counts == [kept, 0] and len(found) == kept
    best = sorted(everything.pair_scores.tolist(), reverse=True)[:kept]
    assert sorted(found.pair_scores.tolist(), reverse=True) == pytest.approx(best)
    rows = everything.pair_indices[0].tolist()
    assert [rows.index(row) for row in found.pair_indices[0].tolist()] == sorted(
        rows.index(row) for row in found.pair_indices[0].tolist()
    )
    assert caplog.text.count("MAX_PAIRS") == (1 if kept < 4 else 0)
    if max_pairs:
        assert storage.history("capped_images").latest() == (0.5 if kept < 4 else 0)


def test_boxes_end_at_the_image_and_the_detections_stay_as_they_were():
    """What lies beyond it is another image's padding."""
    found = detections([0, 5], [0.9, 0.8])
    found.pred_boxes = Boxes(torch.tensor([[-5.0, -5, 50, 120], [150, 10, 250, 90]]))
    before = found.pred_boxes.tensor.clone()
    pairs = PairGenerator(score_threshold=0.0)([found])
    assert pairs.human_boxes.tolist() == [[0, 0, 50, 100]]
    assert pairs.object_boxes.tolist() == [[150, 10, 200, 90]]
    assert torch.equal(found.pred_boxes.tensor, before)


def test_clipping_reaches_no_tensor_of_the_detector():
    """Where all detections are kept in their order, indexing may give the detector's own."""
    found = detections([0, 5], [0.9, 0.8])
    kept = PairGenerator(score_threshold=0.0).select(found)
    storages = [x.pred_boxes.tensor.untyped_storage().data_ptr() for x in (found, kept)]
    assert storages[0] != storages[1]


@pytest.mark.parametrize("clip, expected", [(True, [0, 0, 8, 8]), (False, [-3, -2, 8, 8])])
def test_boxes_that_reach_out_of_the_image(clip, expected):
    found = detections([0, 5], [0.9, 0.8])
    found.pred_boxes.tensor[0, :2] = torch.tensor([-3.0, -2.0])
    pairs = PairGenerator(clip_boxes=clip)([found])
    assert pairs.human_boxes[0].tolist() == expected
    assert found.pred_boxes.tensor[0].tolist() == [-3, -2, 8, 8]  # the detector's own stay
