"""UPT's head: equal to a slow loop and to the published code's arrays, alone and in a batch."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import Tensor

from hoi_d2.checkpoint.upt_conversion import upt_head
from hoi_d2.checkpoint.weight_files import WeightFile
from hoi_d2.data.vocabulary import hico_det_vocabulary, hico_object_order
from hoi_d2.modeling.roi_heads.box_pair_encoding import NUMBERS, MultiBranchFusion
from hoi_d2.modeling.roi_heads.cooperative_layer import EntityGrid, softmax_in_groups
from hoi_d2.modeling.roi_heads.pair_generator import CandidatePairs, PairGenerator
from hoi_d2.modeling.roi_heads.upt_heads import UPTHeads
from tests.checkpoint.published_upt import PublishedUPTHead, upt_reference_weights, upt_shapes

VERBS = hico_det_vocabulary().verbs
SMALL = {"token_dim": 12, "channels": 20, "dim": 16, "heads": 2, "branches": 4, "ffn_dim": 24}
PERSON = 0


def small_heads(dropout: float = 0.0) -> tuple[UPTHeads, PublishedUPTHead]:
    """The head, and the slow one with the same weights."""
    weights = upt_reference_weights(upt_shapes(**SMALL))
    heads = UPTHeads(
        in_channels=20,
        token_dim=12,
        num_verbs=117,
        feature_dim=16,
        num_branches=4,
        num_heads=2,
        ffn_dim=24,
        dropout=dropout,
    )
    converted = upt_head(WeightFile("upt.pt", weights), verbs=VERBS, box_numbers=NUMBERS)
    heads.load_state_dict(converted)
    return heads.eval(), PublishedUPTHead(weights)


def entities(humans: int, objects: int, seed: int = 0, dim: int = 12) -> Instances:
    """Humans first, by score; boxes also reach out of the image, as a detector's do."""
    generator = torch.Generator().manual_seed(seed)
    number = humans + objects
    centre = torch.rand(number, 2, generator=generator) * 60 + 1
    half = torch.rand(number, 2, generator=generator) * 30 + 2
    return Instances(
        (90 + seed, 70),
        pred_boxes=Boxes(torch.cat([centre - half, centre + half], dim=1)),
        scores=torch.linspace(0.9, 0.3, number),
        pred_classes=torch.tensor([PERSON] * humans + [7] * objects, dtype=torch.int64),
        tokens=torch.randn(number, dim, generator=generator),
    )


def all_pairs(images: list[Instances], **settings: object) -> CandidatePairs:
    """Every entity is kept."""
    generator = PairGenerator(nms_threshold=1.0, score_threshold=0.0, clip_boxes=False, **settings)
    return generator(images)


def by_loop(slow: PublishedUPTHead, image: Instances, pooled: Tensor) -> Tensor:
    humans = int((image.pred_classes == PERSON).sum())
    size = image.image_size
    return slow(image.pred_boxes.tensor, image.tokens, humans, size, pooled)[1]


BATCHES = [
    [(0, 0)],
    [(1, 0)],  # alone
    [(0, 3)],  # nobody
    [(2, 0)],  # a person is an object too
    [(1, 1)],
    [(2, 3)],
    [(2, 3), (0, 2), (1, 1), (1, 0), (0, 0), (3, 1)],  # images without a pair in between
]


@pytest.mark.parametrize("batch", BATCHES)
@torch.no_grad()
def test_equal_to_a_slow_loop(batch: list[tuple[int, int]]) -> None:
    heads, slow = small_heads()
    images = [entities(*numbers, seed=i) for i, numbers in enumerate(batch)]
    pooled = torch.randn(len(images), 20, generator=torch.Generator().manual_seed(1))
    found = heads.verb_logits(pooled, all_pairs(images))
    expected = torch.cat([by_loop(slow, i, p) for i, p in zip(images, pooled)])
    assert found.shape == (sum(h * (h + o - 1) for h, o in batch if h), 117)
    assert not len(expected) or expected.std() > 0.3  # worth comparing
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_batch_is_its_images_one_by_one() -> None:
    heads, _ = small_heads()
    images = [entities(*n, seed=i) for i, n in enumerate(BATCHES[-1])]
    pooled = torch.randn(len(images), 20)
    singles = [heads.verb_logits(p[None], all_pairs([i])) for i, p in zip(images, pooled)]
    batch = heads.verb_logits(pooled, all_pairs(images))
    torch.testing.assert_close(batch, torch.cat(singles), rtol=0, atol=1e-5)


@torch.no_grad()
def test_an_image_without_a_pair_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    heads, _ = small_heads()
    sizes: list[int] = []
    heads.box_pair_encoder.register_forward_hook(lambda m, x, y: sizes.append(len(y)))
    heads.competitive_layer.register_forward_hook(lambda m, x, y: sizes.append(len(y)))
    images = [entities(0, 9), entities(1, 1), entities(1, 0), entities(0, 5)]
    heads.verb_logits(torch.randn(4, 20), all_pairs(images))
    assert sizes == [4, 1]  # ordered pairs of two entities; sets of pairs


@torch.no_grad()
def test_a_box_beside_the_image_is_finite() -> None:
    heads, _ = small_heads()
    image = entities(1, 1)
    image.pred_boxes.tensor[1] = torch.tensor([-30.0, -30, -5, -9])
    assert heads.verb_logits(torch.randn(1, 20), all_pairs([image])).isfinite().all()


@torch.no_grad()
def test_the_best_pairs_alone() -> None:
    """PAIRS.MAX_PAIRS leaves pairs out of the competition, but no entity out of the cooperation."""
    heads, _ = small_heads()
    image, pooled = entities(2, 2), torch.randn(1, 20)
    with EventStorage():
        capped = all_pairs([image], max_pairs=1)
    assert capped.counts == [1]
    found = heads.verb_logits(pooled, capped)
    assert found.shape == (1, 117)
    whole = heads.verb_logits(pooled, all_pairs([image]))
    assert not torch.allclose(found[0], whole[0], atol=1e-3)  # without others to compete with


def test_every_weight_is_trained() -> None:
    heads, _ = small_heads(dropout=0.1)
    logits = heads.train().verb_logits(torch.randn(2, 20), all_pairs([entities(2, 2)] * 2))
    logits.square().sum().backward()
    lacking = [
        n for n, p in heads.named_parameters() if p.grad is None or not p.grad.isfinite().all()
    ]
    assert not lacking
    zero = {n for n, p in heads.named_parameters() if not p.grad.any()}
    # a softmax does not see what it gets from the receiver and the bias alone
    assert zero <= {n for n, _ in heads.named_parameters() if n.endswith("attention.bias")}


@pytest.mark.parametrize("counts", [[], [0], [1], [2, 0, 3]])
def test_the_grid(counts: list[int]) -> None:
    grid = EntityGrid.of(counts, torch.device("cpu"))
    expected, first = [], 0
    for image, count in enumerate(counts):
        grid_of_image = [(first + i, first + j, image) for i in range(count) for j in range(count)]
        expected += grid_of_image
        first += count
    rows = zip(grid.sender.tolist(), grid.receiver.tolist(), grid.images.tolist())
    assert list(rows) == expected
    if counts == [2, 0, 3]:
        row = grid.rows(torch.tensor([[1, 0], [2, 1]]), torch.tensor([0, 2])).tolist()
        assert [expected[r] for r in row] == [(1, 0, 0), (4, 3, 2)]


def test_softmax_in_groups() -> None:
    scores = torch.randn(6, 2) * 50
    group = torch.tensor([2, 0, 0, 2, 2, 0])
    found = softmax_in_groups(scores, group, 4)
    for index in range(4):
        mine = group == index
        torch.testing.assert_close(found[mine], scores[mine].softmax(dim=0))


def test_branches_start_with_the_width_of_a_branch() -> None:
    torch.manual_seed(0)
    one, many = (
        MultiBranchFusion(in_dim=8, box_dim=8, dim=64, branches=n).fused.weight.detach()
        for n in (1, 16)
    )
    assert many.abs().max().item() == pytest.approx(0.5, rel=0.02)  # 1 / sqrt(64 / 16)
    assert one.abs().max().item() == pytest.approx(0.125, rel=0.02)


@pytest.fixture(scope="module")
def reference() -> Path:
    folder = os.environ.get("HOI_D2_TEST_DATA")
    if not folder or not (Path(folder) / "reference/upt_head_shapes.json").is_file():
        pytest.skip("HOI_D2_TEST_DATA has no reference/upt_head_shapes.json")
    return Path(folder) / "reference"


def test_names_and_shapes_are_the_published_ones(reference: Path) -> None:
    shapes = json.loads((reference / "upt_head_shapes.json").read_text())
    assert {n: list(s) for n, s in upt_shapes().items()} == shapes


@torch.no_grad()
def test_equal_to_the_published_code(reference: Path) -> None:
    """Both images in one batch, with one in between that has no pair."""
    weights = upt_reference_weights(upt_shapes())
    heads = UPTHeads(in_channels=2048, token_dim=256, num_verbs=117).eval()
    converted = upt_head(WeightFile("upt.pt", weights), verbs=VERBS, box_numbers=NUMBERS)
    heads.load_state_dict(converted)
    with np.load(reference / "upt_head_expected.npz") as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file}
    images = [published_entities(arrays, i) for i in (0, 1)]
    pairs = all_pairs([images[0], images[0][:1], images[1]])
    pooled = arrays["pooled"][[0, 0, 1]]
    logits = heads.verb_logits(pooled, pairs).split(pairs.counts)
    for i, place in ((0, 0), (1, 2)):
        found = pairs.instances[place].pred_boxes.tensor  # in the order of their scores
        same = (found[:, None] == arrays[f"boxes_{i}"][None]).all(dim=2)
        indices = same.int().argmax(dim=1)[pairs.pair_indices[place]].tolist()
        rows = [arrays[f"pairs_{i}"].tolist().index(pair) for pair in indices]
        assert sorted(rows) == list(range(len(arrays[f"pairs_{i}"])))
        expected = arrays[f"verb_logits_{i}"][rows]
        torch.testing.assert_close(logits[place], expected, rtol=0, atol=1e-4)


def published_entities(arrays: dict[str, Tensor], i: int) -> Instances:
    order = torch.from_numpy(hico_object_order())  # their objects are alphabetical
    height, width = arrays["image_sizes"][i].tolist()
    return Instances(
        (height, width),
        pred_boxes=Boxes(arrays[f"boxes_{i}"]),
        scores=arrays[f"scores_{i}"],
        pred_classes=order[arrays[f"labels_{i}"]],
        tokens=arrays[f"hidden_states_{i}"],
    )
