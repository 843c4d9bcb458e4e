"""Every entity detector in RmLR, from config alone: it runs, trains the head, minds no padding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from hoi_d2.checkpoint import WeightsError
from hoi_d2.checkpoint.checkpointer import weights_hash
from hoi_d2.modeling.entity_detector.build import build_entity_detector
from hoi_d2.modeling.roi_heads.pair_generator import CandidatePairs
from hoi_d2.modeling.roi_heads.pair_matching import match_pairs
from hoi_d2.structures import make_hoi_targets
from tests.checkpoint.small_models import small_config, small_model
from tests.small_configs import SMALL_DEFORMABLE

CONFIGS = Path(__file__).parents[3] / "configs"
DETECTOR = "MODEL.ENTITY_DETECTOR"
NANODET = "hoi_d2://photo/nanodet_g.safetensors"
HICO = ("MODEL.HOI.VOCABULARY", "hico_det")
ONE_STAGE = {"two_stage": False, "with_box_refine": False, "num_queries": 20}
TRANSFORMERS: dict[str, dict] = {
    "deformable": SMALL_DEFORMABLE | ONE_STAGE,
    "two_stage": SMALL_DEFORMABLE,
    "h_detr": SMALL_DEFORMABLE | {"mixed_selection": True},
}
"""Configurations of transformers."""


def options(kind: str, folder: Path) -> tuple[object, ...]:
    """Config keys of a small detector of each kind."""
    name = f"{DETECTOR}.NAME"
    if kind == "detr":
        return (name, "DetrEntityDetector")
    if kind == "faster_rcnn":
        file = str(CONFIGS / "toy/faster_rcnn.yaml")
        few = ["MODEL.FPN.OUT_CHANNELS", 16, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0]
        few += ["MODEL.ROI_BOX_HEAD.FC_DIM", 16, "TEST.DETECTIONS_PER_IMAGE", 20]
        return (
            *(name, "DetectronEntityDetector", f"{DETECTOR}.DETECTRON.CONFIG_FILE", file),
            *(f"{DETECTOR}.DETECTRON.OPTS", few),
        )
    if kind == "nanodet":
        node = f"{DETECTOR}.NANODET"
        return (
            *(name, "NanoDetEntityDetector", f"{DETECTOR}.WEIGHTS", NANODET),
            *(f"{node}.SIZE", 96, f"{node}.SCORE_THRESHOLD", 0.0, f"{node}.MAX_DETECTIONS", 20),
        )
    if kind == "rt_detr":
        file, size = str(CONFIGS / "toy/rt_detr_v2.json"), [96, 128]
    else:
        file, size = str(folder / "network.json"), []
        Path(file).write_text(json.dumps(TRANSFORMERS[kind]))
    node = f"{DETECTOR}.TRANSFORMERS"
    return (
        *(name, "TransformersEntityDetector", f"{node}.CONFIG", file, f"{node}.SIZE", size),
        *(f"{node}.FEATURE_MAP", "backbone" if kind == "deformable" else "encoder"),
    )


def images() -> list[dict]:
    generator = torch.Generator().manual_seed(0)
    sizes = [(96, 130), (70, 64)]
    images = [torch.randint(0, 256, (3, *s), generator=generator).byte() for s in sizes]
    return [
        {"image": x, "height": 2 * x.shape[1], "width": 3 * x.shape[2], "image_id": i}
        for i, x in enumerate(images)
    ]


def test_channels_are_in_the_order_that_the_detector_wants(tmp_path: Path) -> None:
    """A detector of blue first gives for an image what one of red first gives for its mirror."""
    keys = (*HICO, *options("faster_rcnn", tmp_path))
    few, mean = keys[-1], [1.0, 2.0, 3.0]
    found = []
    for order in ("RGB", "BGR"):
        torch.manual_seed(1)
        turned = mean if order == "RGB" else mean[::-1]
        opts = [*few, "INPUT.FORMAT", order, "MODEL.PIXEL_MEAN", turned]
        opts += ["MODEL.PIXEL_STD", [50.0, 50.0, 50.0]]
        model = small_model(*keys[:-1], opts, architecture="RmLR")
        stem = model.entity_detector.detector.backbone.bottom_up.stem.conv1.weight
        if order == "BGR":
            with torch.no_grad():
                stem.copy_(stem.flip(1))
        found.append(detect(model, images()))
    for a, b in zip(*(x.instances for x in found)):
        assert_same(a, b)


KINDS = ["detr", "faster_rcnn", "rt_detr", *TRANSFORMERS, "nanodet"]


@pytest.fixture(params=KINDS)
def model(request, tmp_path: Path) -> nn.Module:
    torch.manual_seed(1)
    return small_model(*HICO, *options(request.param, tmp_path), architecture="RmLR")


@torch.no_grad()
def detect(model: nn.Module, inputs: list[dict]):
    return model.entity_detector(inputs)


def test_the_interface(model: nn.Module) -> None:
    detector, inputs = model.entity_detector, images()
    entities, shape = detect(model, inputs), detector.output_shape()
    assert entities.feature_map.shape[:2] == (2, shape.channels)
    assert entities.feature_mask.shape == (2, *entities.feature_map.shape[2:])
    assert entities.feature_map.dtype == torch.float32
    for found in entities.instances:
        assert len(found) > 0
        assert found.tokens.shape == (len(found), detector.token_dim)
        assert 0 <= int(found.pred_classes.min()) and int(found.pred_classes.max()) < 80
        assert 0 <= float(found.scores.min()) and float(found.scores.max()) <= 1
        assert torch.isfinite(found.pred_boxes.tensor).all()
    assert not any(p.requires_grad for p in detector.parameters())


def test_a_batch_gives_what_each_image_gives_alone(model: nn.Module) -> None:
    inputs = images()
    together = detect(model, inputs)
    for i, alone in enumerate([detect(model, [x]) for x in inputs]):
        assert_same(together.instances[i], alone.instances[0])
        rows, columns = alone.feature_map.shape[2:]
        assert int(together.feature_mask[i].sum()) == rows * columns
        cells = together.feature_map[i, :, :rows, :columns]
        torch.testing.assert_close(cells, alone.feature_map[0], rtol=1e-4, atol=1e-4)


def assert_same(found: Instances, expected: Instances) -> None:
    assert found.image_size == expected.image_size
    torch.testing.assert_close(
        found.pred_boxes.tensor, expected.pred_boxes.tensor, rtol=1e-4, atol=1e-3
    )
    assert torch.equal(found.pred_classes, expected.pred_classes)
    for name in ("scores", "tokens"):
        torch.testing.assert_close(found.get(name), expected.get(name), rtol=1e-4, atol=1e-4)


def test_rmlr_runs_and_trains_on_it(model: nn.Module) -> None:
    inputs = images()
    with torch.no_grad():
        outputs = model(inputs)
    for image, output in zip(inputs, outputs):
        size = (image["height"], image["width"])
        assert output["instances"].image_size == output["hoi_instances"].image_size == size
        assert float(output["instances"].pred_boxes.tensor[:, 2].max()) <= size[1]
    frozen = weights_hash(model.state_dict(), "entity_detector")
    entities = detect(model, inputs)
    # Random detectors find no persons, and much the same with every query.
    model.pair_generator.person = int(entities.instances[0].pred_classes[0])
    model.pair_generator.nms_threshold = 1.0
    pairs = model.pair_generator(entities.instances)
    targets = [add_targets(x, found) for x, found in zip(inputs, pairs.instances)]
    assert_positives(pairs, targets)
    loss = model.train()(targets)
    assert float(loss["loss_verb"].detach()) > 0
    loss["loss_verb"].backward()
    trained = [p for n, p in model.named_parameters() if n.startswith("interaction_heads")]
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in trained)
    assert weights_hash(model.state_dict(), "entity_detector") == frozen


def assert_positives(pairs: CandidatePairs, targets: list[dict]) -> None:
    """The annotated pair of the first image is among the candidates and has its verb."""
    entities, interactions = ([x[key] for x in targets] for key in ("instances", "hoi_instances"))
    verbs = match_pairs(pairs, entities, interactions, iou_threshold=0.9).candidate_verbs()
    assert verbs[: pairs.counts[0], 76].any()


def add_targets(image: dict, found: Instances) -> dict:
    """The first and the last of the kept entities do verb 76, in the size of the image."""
    size = tuple(image["image"].shape[1:])
    scale = [size[1] / found.image_size[1], size[0] / found.image_size[0]] * 2
    boxes = found.pred_boxes.tensor[[0, -1]] * torch.tensor(scale)
    instances = Instances(size, gt_boxes=Boxes(boxes), gt_classes=torch.tensor([0, 1]))
    verbs = torch.zeros(1, 117)
    verbs[0, 76] = 1
    pairs = torch.tensor([[0, 1]])
    targets = make_hoi_targets(image_size=size, gt_pairs=pairs, gt_verbs=verbs, num_entities=2)
    return {**image, "instances": instances, "hoi_instances": targets}


@pytest.mark.parametrize(("kind", "suffix"), [("faster_rcnn", "pth"), ("rt_detr", "safetensors")])
def test_weights_are_loaded_strictly(tmp_path: Path, kind: str, suffix: str) -> None:
    from safetensors.torch import save_file

    cfg = small_config(*HICO, *options(kind, tmp_path), architecture="RmLR")
    source, target = build_entity_detector(cfg), build_entity_detector(cfg)
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        state = source.detector.state_dict()
        torch.save({"model": state, "iteration": 1}, path)
    else:
        state = {n: t.clone() for n, t in source.state_dict().items()}
        save_file(state, path)
    target.load_weights(path)
    assert weights_hash(target.state_dict()) == weights_hash(source.state_dict())
    gone = sorted(n for n in state if n.endswith("weight"))[0]
    del state[gone]
    torch.save({"model": state}, path) if suffix == "pth" else save_file(state, path)
    with pytest.raises(WeightsError, match=gone):
        target.load_weights(path)
    with pytest.raises(FileNotFoundError):
        target.load_weights(tmp_path / f"nothing.{suffix}")


def test_a_directory_of_transformers(tmp_path: Path) -> None:
    keys = options("rt_detr", tmp_path)
    cfg = small_config(*HICO, *keys, architecture="RmLR")
    source = build_entity_detector(cfg)
    source.network.config.id2label = dict(enumerate(darknet_names()))
    source.network.save_pretrained(tmp_path / "hub")
    cfg.MODEL.ENTITY_DETECTOR.WEIGHTS = str(tmp_path / "hub")
    cfg.MODEL.ENTITY_DETECTOR.TRANSFORMERS.CONFIG = ""
    target = build_entity_detector(cfg)
    target.load_weights(tmp_path / "hub")
    found, expected = target.network.state_dict(), source.network.state_dict()
    assert weights_hash(found) == weights_hash(expected)
    assert target.class_map.tolist() == list(range(80))  # sofa is couch, and so on


def darknet_names() -> list[str]:
    """COCO's classes as RT-DETR's weights on the hub spell them."""
    from hoi_d2.data.vocabulary import coco_objects

    other = {"couch": "sofa", "tv": "tvmonitor", "airplane": "aeroplane"}
    other |= {"motorcycle": "motorbike", "potted plant": "pottedplant"}
    return [other.get(n, n.replace("dining table", "diningtable")) for n in coco_objects()]


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        ((f"{DETECTOR}.NAME", "Nothing"), KeyError, "none of .*DetrEntityDetector"),
        ((f"{DETECTOR}.NAME", "DetectronEntityDetector"), ValueError, "CONFIG_FILE is empty"),
        ((f"{DETECTOR}.NAME", "TransformersEntityDetector"), ValueError, "CONFIG is empty"),
        ((f"{DETECTOR}.NAME", "OracleEntityDetector"), FileNotFoundError, "PRECOMPUTED.FILE"),
    ],
)
def test_a_config_that_cannot_be_built(keys, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build_entity_detector(small_config(*HICO, *keys, architecture="RmLR"))


def test_only_detr_has_an_encoder_to_start_from(tmp_path: Path) -> None:
    start = ("MODEL.RMLR.IRE.START_FROM_DETECTOR", True)
    keys = (*HICO, *start, *options("rt_detr", tmp_path))
    with pytest.raises(ValueError, match="START_FROM_DETECTOR: TransformersEntityDetector has no"):
        small_model(*keys, architecture="RmLR")


def test_classes_that_the_dataset_lacks_are_no_entities(tmp_path: Path) -> None:
    """A dataset of a person and a unicorn: the unicorn is never found, and it is said."""
    from detectron2.data import MetadataCatalog

    from hoi_d2.data.vocabulary import Vocabulary

    vocabulary = Vocabulary.from_hois("myth", ("unicorn", "person"), ("ride",), [(0, 0)], person=1)
    metadata = MetadataCatalog.get("test_myth")
    metadata.set(vocabulary=vocabulary, thing_classes=["unicorn", "person"])
    keys = options("rt_detr", tmp_path)
    cfg = small_config("MODEL.HOI.VOCABULARY", "test_myth", *keys, architecture="RmLR")
    cfg.MODEL.ENTITY_DETECTOR.CLASSES = "coco_80"
    detector = build_entity_detector(cfg)
    with torch.no_grad():
        entities = detector(images())
    found: Tensor = torch.cat([e.pred_classes for e in entities.instances])
    assert found.tolist() == [1] * len(found) and len(found) > 0
    MetadataCatalog.remove("test_myth")
