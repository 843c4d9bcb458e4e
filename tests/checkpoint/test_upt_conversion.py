"""A whole UPT in its authors' layout: detector and head, strictly, classes and verbs by name."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Instances
from torch import Tensor, nn

from hoi_d2.checkpoint import HOICheckpointer, WeightsError
from hoi_d2.checkpoint.upt_conversion import upt_head
from hoi_d2.checkpoint.weight_files import WeightFile
from hoi_d2.data.vocabulary import (
    hico_det_vocabulary,
    hico_object_order,
    upt_vcoco_verbs,
    vcoco_vocabulary,
)
from hoi_d2.modeling.roi_heads.box_pair_encoding import NUMBERS
from tests.checkpoint.published_detr import DIM, published_detr
from tests.checkpoint.published_upt import PublishedUPTHead, upt_reference_weights, upt_shapes
from tests.checkpoint.small_models import small_model
from tests.small_configs import configs_root, read_config

HEAD = {"token_dim": DIM, "channels": 512, "dim": 16, "heads": 2, "branches": 4, "ffn_dim": 24}
KEYS = {"FEATURE_DIM": 16, "NUM_HEADS": 2, "NUM_BRANCHES": 4, "FFN_DIM": 24}
PAIRS = {"SCORE_THRESHOLD": 0.0, "NMS_THRESHOLD": 1.0, "CLIP_BOXES": False}


def small_upt(*options: object, vocabulary: str = "hico_det") -> nn.Module:
    own = [x for key, value in KEYS.items() for x in (f"MODEL.UPT.{key}", value)]
    own += [x for key, value in PAIRS.items() for x in (f"MODEL.RMLR.PAIRS.{key}", value)]
    own += ["MODEL.RMLR.HEADS", "UPTHeads", "MODEL.HOI.VOCABULARY", vocabulary]
    return small_model(*own, *options, architecture="UPT")


def small_rmlr() -> nn.Module:
    return small_model("MODEL.HOI.VOCABULARY", "hico_det", architecture="RmLR")


def whole_upt(*, verbs: int = 117, prefix: str = "") -> dict[str, Tensor]:
    """The weights of a small UPT under their published names."""
    detector = published_detr(80).state_dict()
    weights = {f"detector.{name}": tensor for name, tensor in detector.items()}
    weights |= upt_reference_weights(upt_shapes(**HEAD, verbs=verbs))
    return {f"{prefix}{name}": tensor for name, tensor in weights.items()}


def saved(folder: Path, weights: dict[str, Tensor]) -> Path:
    """A file as UPT's trainer writes it."""
    path = folder / "upt-r50-hicodet.pt"
    torch.save({"iteration": 9, "epoch": 20, "model_state_dict": weights}, path)
    return path


def finds_persons_and_bicycles(
    weights: dict[str, Tensor], tokens: Tensor, person: int, bicycle: int
) -> None:
    """Changes the classifier so that the tokens (7, d) are either, about half of them each."""
    weight, bias = (weights[f"detector.class_embed.{part}"] for part in ("weight", "bias"))
    direction = torch.linalg.svd(tokens - tokens.mean(dim=0)).Vh[0] * 20
    weight.zero_()
    bias.fill_(-5.0)
    for row, sign in ((person, 1), (bicycle, -1)):
        weight[row] = sign * direction
        bias[row] = -sign * direction @ tokens.mean(dim=0)


def expected_scores(
    weights: dict[str, Tensor], found: Instances, pooled: Tensor, verbs: Sequence[int]
) -> dict[tuple[int, int, int], float]:
    """(human, object, verb) -> sigmoid(logit) * (s_h s_o)^2.8 by the slow head."""
    slow = PublishedUPTHead({n: t for n, t in weights.items() if n.startswith("interaction_head")})
    humans = int((found.pred_classes == 0).sum())
    boxes, tokens = found.pred_boxes.tensor, found.tokens
    pairs, logits = slow(boxes, tokens, humans, found.image_size, pooled)
    return {
        (h, o, verbs[v]): chance * float(found.scores[h] * found.scores[o]) ** 2.8
        for (h, o), row in zip(pairs, logits.sigmoid().tolist())
        for v, chance in enumerate(row)
    }


@pytest.mark.parametrize(
    ("vocabulary", "number", "prefix"),
    [("hico_det", 117, ""), ("vcoco_upt", 24, ""), ("hico_det", 117, "module.")],
)
@torch.no_grad()
def test_a_whole_upt_gives_the_published_scores(
    tmp_path: Path, vocabulary: str, number: int, prefix: str
) -> None:
    weights, model = whole_upt(verbs=number), small_upt(vocabulary=vocabulary)
    inputs = [{"image": torch.randint(0, 255, (3, 70, 101)).to(torch.uint8)} for _ in range(2)]
    image = model.entity_detector.preprocess(inputs)[0].tensor[0]
    rows = hico_object_order().tolist() if number == 117 else list(range(80))
    finds_persons_and_bicycles(weights, published_detr(80)(image)[0], rows.index(0), rows.index(1))
    report = HOICheckpointer(model).load(
        saved(tmp_path, {f"{prefix}{n}": t for n, t in weights.items()})
    )
    assert report["layout"] == "upt" and report["epoch"] == 20
    entities = model.entity_detector(inputs[:1])
    found = model.pair_generator(entities.instances).instances[0]
    assert {0, 1} <= set(found.pred_classes.tolist())
    pooled = entities.map_and_mask()[0][0].mean(dim=(1, 2))
    names = model.vocabulary.verbs
    verbs = [names.index(v) for v in upt_vcoco_verbs()] if number == 24 else range(117)
    expected = expected_scores(weights, found, pooled, verbs)
    output = model(inputs)[0]["hoi_instances"]  # the second image changes nothing
    keys = zip(*output.pair_indices.T.tolist(), output.verb_classes.tolist())
    scores = dict(zip(keys, output.scores.tolist()))
    possible = {k for k in expected if model.valid_verbs[found.pred_classes[k[1]], k[2]]}
    assert scores.keys() == possible and len(possible) > 50
    assert max(abs(expected[k] - s) for k, s in scores.items()) < 3e-5
    assert max(scores.values()) > 1e-3  # worth comparing


@pytest.mark.parametrize(
    ("number", "classes", "order"),
    [
        (117, "", hico_object_order().tolist()),  # random rows tell nothing: HICO's order
        (117, "coco_80", list(range(80))),  # told: not guessed
        (24, "", list(range(80))),  # V-COCO's objects are in COCO's order
    ],
)
def test_objects_by_name(tmp_path: Path, number: int, classes: str, order: list[int]) -> None:
    weights = whole_upt(verbs=number)
    model = small_upt(vocabulary="vcoco_upt" if number == 24 else "hico_det")
    HOICheckpointer(model).load(saved(tmp_path, weights), classes=classes)
    own = model.state_dict()["entity_detector.network.detr.class_labels_classifier.bias"]
    theirs = weights["detector.class_embed.bias"]
    assert [own[i].item() for i in order] == theirs[:80].tolist()
    assert own[80] == theirs[80]


def test_verbs_by_name() -> None:
    weights = whole_upt(verbs=24)
    names = vcoco_vocabulary().verbs
    head = upt_head(WeightFile("upt.pt", weights), verbs=names, box_numbers=NUMBERS)
    bias = dict(zip(names, head["predictor.bias"].tolist()))
    theirs = weights["interaction_head.box_pair_predictor.bias"].tolist()
    assert [bias[name] for name in upt_vcoco_verbs()] == theirs
    assert {n for n, b in bias.items() if b == -20} == set(names) - set(upt_vcoco_verbs())


def test_box_numbers_by_name() -> None:
    """UPT has the centres of both boxes first; ours has one box after the other."""
    weights = whole_upt()
    first = weights["interaction_head.spatial_head.0.weight"]
    verbs = hico_det_vocabulary().verbs
    head = upt_head(WeightFile("upt.pt", weights), verbs=verbs, box_numbers=NUMBERS)
    own = head["box_pair_encoder.0.weight"]
    for name, column in (("human_x", 0), ("object_x", 2), ("human_area", 8), ("above", 17)):
        assert torch.equal(own[:, NUMBERS.index(name)], first[:, column])
        assert torch.equal(own[:, 18 + NUMBERS.index(name)], first[:, 18 + column])


def without(name: str) -> dict[str, Tensor]:
    return {n: t for n, t in whole_upt().items() if n != name}


@pytest.mark.parametrize(
    ("weights", "vocabulary", "message"),
    [
        (
            without("interaction_head.comp_layer.ffn.norm.bias"),
            "hico_det",
            r"1 missing: interaction_heads\.competitive_layer\.norm2\.bias",
        ),
        (
            without("interaction_head.mbf.fc_2.1.weight"),
            "hico_det",
            r"part 1 of fusion\.from_boxes\.weight is missing",
        ),
        (without("interaction_head.mbf.fc_2.3.weight"), "hico_det", "of another shape: inter"),
        (
            without("detector.query_embed.weight"),
            "hico_det",
            "1 missing: entity_detector.*query_position_embeddings",
        ),
        (
            {**whole_upt(), "interaction_head.other.weight": torch.zeros(2)},
            "hico_det",
            "1 unexpected: interaction_heads.other.weight",
        ),
        (whole_upt(), "vcoco_upt", "has 117 verbs .*MODEL.HOI.VOCABULARY to hico_det"),
        (whole_upt(verbs=24), "hico_det", "has 24 verbs .*MODEL.HOI.VOCABULARY to vcoco_upt"),
        (whole_upt(verbs=5), "hico_det", "of another shape: interaction_heads.predictor"),
    ],
)
def test_nothing_is_loaded_of_what_does_not_fit(
    tmp_path: Path, weights: dict[str, Tensor], vocabulary: str, message: str
) -> None:
    model = small_upt(vocabulary=vocabulary)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    with pytest.raises(WeightsError, match=message):
        HOICheckpointer(model).load(saved(tmp_path, weights))
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


@pytest.mark.parametrize(
    ("architecture", "message"),
    [("RmLR", r"a whole UPT, detector and head.*\(RmLR\).*configs/UPT"), ("UPT", "detector alone")],
)
def test_other_files_and_other_models_are_named(
    tmp_path: Path, architecture: str, message: str
) -> None:
    weights = whole_upt()
    if architecture == "UPT":  # a detector of UPT's authors
        weights = {n.removeprefix("detector."): t for n, t in weights.items() if "detector" in n}
    model = small_upt() if architecture == "UPT" else small_rmlr()
    with pytest.raises(WeightsError, match=message):
        HOICheckpointer(model).load(saved(tmp_path, weights))


def test_the_detector_of_a_whole_upt(tmp_path: Path) -> None:
    """MODEL.ENTITY_DETECTOR.WEIGHTS takes it, for RmLR and for a UPT that is to be trained."""
    path = saved(tmp_path, whole_upt())
    model = small_upt("MODEL.ENTITY_DETECTOR.WEIGHTS", str(path))
    whole = small_upt()
    HOICheckpointer(whole).load(path)
    for name, tensor in whole.entity_detector.state_dict().items():
        assert torch.equal(model.entity_detector.state_dict()[name], tensor)
    assert model.random_weights() == ["interaction_heads"]


@pytest.mark.parametrize("strict", [True, False])
def test_own_checkpoints_and_nothing_is_random(tmp_path: Path, strict: bool) -> None:
    first = small_upt()
    checkpointer = HOICheckpointer(first, str(tmp_path))
    checkpointer.load(saved(tmp_path, whole_upt()), strict=strict)
    assert checkpointer.random_parts == []
    checkpointer.copy_frozen = True
    checkpointer.save("model_final")
    second = small_upt()
    HOICheckpointer(second).load(tmp_path / "model_final.pth", strict=strict)
    for name, tensor in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], tensor)


def test_the_published_sizes() -> None:
    """configs/UPT takes a file with the shapes of the release: R-101, HICO-DET."""
    folder = os.environ.get("HOI_D2_TEST_DATA")
    if not folder or not (Path(folder) / "reference/detr_r101_shapes.json").is_file():
        pytest.skip("HOI_D2_TEST_DATA has no reference/detr_r101_shapes.json")
    shapes = json.loads((Path(folder) / "reference/detr_r101_shapes.json").read_text())
    shapes |= {"class_embed.weight": [81, 256], "class_embed.bias": [81]}
    weights = {f"detector.{n}": torch.zeros(s) for n, s in shapes.items()}
    weights |= {n: torch.zeros(s) for n, s in upt_shapes().items()}
    cfg = read_config(configs_root() / "UPT" / "upt_R101_hico_det.yaml")
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        model = build_model(cfg)
    file = WeightFile("upt-r101-hicodet.pt", weights, "model_state_dict")
    converted = model.convert_weights(file)
    own = {n: t.shape for n, t in model.state_dict().items() if "num_batches_tracked" not in n}
    assert {n: t.shape for n, t in converted.items() if "num_batches_tracked" not in n} == own


def test_a_model_that_converts_other_files_is_no_upt(tmp_path: Path) -> None:
    """DEFR-Det also has a detector in it, and takes DEFR's published files."""

    class OfOthers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.entity_detector = nn.Linear(1, 1)

        def convert_weights(self, file: WeightFile, *, classes: str = "") -> dict[str, Tensor]:
            raise AssertionError("not asked")

    with pytest.raises(WeightsError, match=r"a whole UPT.*\(OfOthers\)"):
        HOICheckpointer(OfOthers()).load(saved(tmp_path, whole_upt()))
