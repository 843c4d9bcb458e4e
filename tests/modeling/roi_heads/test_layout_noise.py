import pytest
import torch
from torchvision.ops import box_iou

from hoi_d2.modeling.roi_heads.layout_noise import LayoutNoise, PackedEntities, without_crowds

QUIET = {"share": 1.0, "jitter": 0.0, "drop": 0.0, "repeat": 0.0, "bystanders": (0.0, 0.0)}


def entities(classes_of_images):
    generator = torch.Generator().manual_seed(0)
    images = torch.tensor([i for i, c in enumerate(classes_of_images) for _ in c])
    classes = torch.tensor([c for image in classes_of_images for c in image])
    corner = torch.rand(len(classes), 2, generator=generator) * 400
    boxes = torch.cat([corner, corner + 40], dim=1)
    return PackedEntities(boxes, classes.long(), torch.ones(len(classes)), images.long())


BATCH = [[0, 1], [], [0, 0, 17], [1], [0]]


@pytest.mark.parametrize("batch", [[], [[]], [[], []], BATCH])
def test_any_batch_is_legal_and_comes_back_sorted(batch):
    torch.manual_seed(0)
    found = LayoutNoise(share=1.0, bystanders=(2.0, 2.0))(entities(batch), len(batch))
    assert (found.images.diff() >= 0).all()
    assert found.boxes.shape == (len(found), 4)
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    assert (found.scores < 1).all()
    assert len(found) or not any(batch)


def test_without_a_share_nothing_changes():
    given = entities(BATCH)
    found = LayoutNoise(share=0.0)(given, len(BATCH))
    assert torch.equal(found.boxes, given.boxes)
    assert torch.equal(found.scores, given.scores)


def test_images_are_exact_or_noisy_as_a_whole():
    torch.manual_seed(0)
    given = entities([[0, 1, 2]] * 200)
    found = LayoutNoise(share=0.3)(given, 200)
    exact = {int(i) for i in found.images[found.scores == 1]}
    noisy = {int(i) for i in found.images[found.scores < 1]}
    assert not exact & noisy
    assert 40 < len(noisy) < 80


def test_quiet_noise_changes_scores_only():
    given = entities(BATCH)
    found = LayoutNoise(**QUIET)(given, len(BATCH))
    torch.testing.assert_close(found.boxes, given.boxes)
    assert torch.equal(found.classes, given.classes)
    assert found.scores.min() >= 0.2
    assert found.scores.max() < 1


@pytest.mark.parametrize(
    "option, low, high",
    [
        ({"drop": 0.5}, 400, 600),
        ({"repeat": 0.5}, 1400, 1600),
        ({"bystanders": (1.0, 0.0)}, 1750, 1920),  # one in each image, two false for three real
    ],
)
def test_how_much_comes_and_goes(option, low, high):
    torch.manual_seed(0)
    given = entities([[0, 1]] * 500)
    assert low < len(LayoutNoise(**QUIET | option)(given, 500)) < high


@pytest.mark.parametrize("batch", [[], [[0, 1]] * 300, [[0, 0, 17], [0]] * 200])
def test_what_is_not_missed_still_matches_its_annotation(batch):
    torch.manual_seed(0)
    given = entities(batch)
    options = {"share": 1.0, "drop": 0.0, "repeat": 0.3, "bystanders": (0.5, 0.5)}
    found = LayoutNoise(**options)(given, len(batch)).merged(0.5, num_classes=80)
    same = given.images[:, None] == found.images[None]
    same &= given.classes[:, None] == found.classes[None]
    matched = (same & (box_iou(given.boxes, found.boxes) >= 0.5)).any(dim=1)
    assert matched.sum() >= 0.97 * len(given)


@pytest.mark.parametrize("score", [0.3, 0.5, 0.7, 0.9])
def test_scores_are_calibrated(score):
    torch.manual_seed(0)
    given = entities([[0, 1]] * 50000)
    counts = []
    for is_real in (True, False):
        scores = LayoutNoise()._scored(given, given.boxes, is_real=is_real).scores
        counts.append(float(((scores - score).abs() < 0.03).sum()))
    counts[1] *= 0.8 / 1.2  # so many false ones are drawn for each real one
    assert counts[0] / sum(counts) == pytest.approx(score, abs=0.03)


@pytest.mark.parametrize("limit", [1, 6, 20, 1000])
def test_crowds_are_thinned(limit):
    torch.manual_seed(0)
    given = entities([[0] * 30 + [1] * 3, [0, 1], [], [0] * 2])
    kept = without_crowds(given, 4, limit)
    humans = torch.bincount(kept.images[kept.classes == 0], minlength=4)
    assert torch.bincount(kept.images[kept.classes != 0], minlength=4).tolist() == [3, 1, 0, 0]
    assert humans[1] == 1
    assert humans[0] >= 1
    first = int(humans[0])
    assert first * (first + 2) <= max(limit, 3)
    assert first == 30 or (first + 1) * (first + 3) > limit


def test_merging_is_by_class_and_image():
    boxes = torch.tensor([[0.0, 0, 10, 10]] * 4)
    found = PackedEntities(
        boxes,
        torch.tensor([0, 0, 1, 0]),
        torch.tensor([0.5, 0.9, 0.4, 0.1]),
        torch.tensor([0, 0, 0, 1]),
    )
    assert found.merged(0.5, num_classes=80).scores.tolist() == pytest.approx([0.9, 0.4, 0.1])
