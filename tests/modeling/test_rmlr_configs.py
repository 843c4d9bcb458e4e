"""Every row of RmLR's tables: the config reads, and says what its name says."""

from pathlib import Path

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import META_ARCH_REGISTRY, ROI_HEADS_REGISTRY

from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.model_zoo import configs_root, full_name, model_names
from hoi_d2.modeling.language.cross_modal_alignment import build_alignment
from tests.small_configs import config_paths, is_base, read_config

ROOT = Path(__file__).parents[2]
ROWS = config_paths("RmLR")
POSE_ROWS = sorted((ROOT / "projects" / "pose_ire" / "configs").glob("*.yaml"))
ALL_TERMS = {("sentence", "irm"), ("word", "irm"), ("sentence", "ire"), ("word", "ire")}


def named(path):
    return f"{path.parent.name}/{path.stem}"


def head_of(cfg):
    """The head at full size, without memory for its weights."""
    with torch.device("meta"):
        return ROI_HEADS_REGISTRY.get(cfg.MODEL.RMLR.HEADS)(
            cfg,
            ShapeSpec(channels=2048, stride=32),
            token_dim=256,
            num_verbs=len(vocabulary_of(cfg).verbs),
        )


def test_there_are_rows():
    assert len(ROWS) > 20 and len(POSE_ROWS) == 6


FLOORS = [p for p in ROWS if p.stem.startswith("UPT")]


@pytest.mark.parametrize(
    "path", [p for p in ROWS if "own_data" not in p.stem and p not in FLOORS], ids=lambda p: p.stem
)
def test_a_row(path):
    cfg, name = read_config(path), path.stem
    head, alignment = head_of(cfg), build_alignment(cfg, vocabulary_of(cfg))
    on_vcoco = "vcoco" in name.lower()
    assert cfg.MODEL.META_ARCHITECTURE in META_ARCH_REGISTRY
    assert cfg.DATASETS.TRAIN == (("vcoco_trainval",) if on_vcoco else ("hico_det_train",))
    assert head.reasoning.predictor.out_features == (29 if on_vcoco else 117)
    assert len(cfg.MODEL.DETR.RESNET.DEPTHS) == 4
    assert cfg.MODEL.DETR.RESNET.DEPTHS[2] == (23 if "R101" in name else 6)
    if not is_base(path):
        assert cfg.OUTPUT_DIR == f"output/RmLR/{name}"

    base = name.endswith("_base")
    plain = "without_alignment" in name or base
    expected = set() if plain else ALL_TERMS
    level = "sentence" if "cls_only" in name else name.removesuffix("_only").rsplit("_", 1)[-1]
    expected = {t for t in expected if "_only" not in name or t[0] == level}
    assert set(alignment.weights if alignment else ()) == expected

    layers = {"irm1_sa1": (1, 1), "irm2_sa1": (2, 1), "irm2_sa2": (2, 2)}
    irm, sa = next((v for k, v in layers.items() if k in name), (1, 2))
    assert len(head.reasoning.layers) == irm
    if not plain:
        assert len(head.overall_attention.layers) == len(head.union_attention.layers) == sa
        assert head.overall_attention.layers[0].value.in_features == 1024
    assert head.reason_over_both == (not plain and "training_branch" not in name)
    attention = {"cls_only": "mean", "learnt_attention": "learnt", "algorithm_1": "layer"}
    kind = next((v for k, v in attention.items() if k in name), "fixed")
    assert kind == cfg.MODEL.RMLR.CML.CROSS_ATTENTION
    assert head.aligns_output == (not plain and "training_branch" not in name)

    assert (head.masked_roi is None) == (head.relation_encoder is None) == base
    if base:  # [g, s] alone
        assert head.reasoning.projection.in_features == 3 * 512
        return
    mask = next((m for m in ("union", "image") if f"mask_{m}" in name), "human_or_object")
    assert head.masked_roi.mask == mask
    assert len(head.relation_encoder.layers) == (0 if "without_ire" in name else 2)
    assert (head.box_pair_encoding is not None) == ("box_pair" in name)


@pytest.mark.parametrize("path", FLOORS, ids=lambda p: p.stem)
def test_the_floor_is_upt_with_another_recipe(path):
    """The same model key by key; the solver's recipe and the folder are RmLR's."""
    floor = read_config(path)
    name = "upt_R50_vcoco" if "VCOCO" in path.stem else "upt_R50_hico_det"
    upt = read_config(ROOT / "configs" / "UPT" / f"{name}.yaml")
    assert floor.MODEL.META_ARCHITECTURE == "UPT"
    assert (floor.MODEL.dump(), floor.INPUT.dump()) == (upt.MODEL.dump(), upt.INPUT.dump())
    assert floor.DATASETS.dump() == upt.DATASETS.dump()
    assert floor.OUTPUT_DIR == f"output/RmLR/{path.stem}"
    assert len(FLOORS) == 2


@pytest.mark.parametrize("path", config_paths("UPT"), ids=lambda p: p.stem)
def test_a_row_of_upt(path):
    """The published recipe: 20 epochs of 16 images, a tenth of the rate after 10."""
    cfg, on_vcoco = read_config(path), "vcoco" in path.stem.lower()
    head = head_of(cfg)
    assert type(head).__name__ == "UPTHeads" and not cfg.MODEL.RMLR.PAIRS.CLIP_BOXES
    assert head.predictor.out_features == (29 if on_vcoco else 117)
    assert cfg.DATASETS.TRAIN == (("vcoco_trainval",) if on_vcoco else ("hico_det_train",))
    assert cfg.MODEL.DETR.RESNET.DEPTHS == [3, 4, 23 if "R101" in path.stem else 6, 3]
    solver, images = cfg.SOLVER, 5400 if on_vcoco else 37633
    assert solver.MAX_ITER == pytest.approx(20 * images / 16, abs=1)
    assert solver.STEPS[0] == pytest.approx(10 * images / 16, abs=1)
    assert (solver.IMS_PER_BATCH, solver.BASE_LR, solver.OPTIMIZER) == (16, 1e-4, "ADAMW")
    if not is_base(path):
        assert cfg.OUTPUT_DIR == f"output/UPT/{path.stem}"


@pytest.mark.parametrize(
    "path", [p for f in ("RmLR", "UPT") for p in config_paths(f) if not is_base(p)], ids=named
)
def test_a_row_has_the_detector_that_its_own_config_writes(path):
    """`configs/Detr` has a config with that OUTPUT_DIR, of the same network and vocabulary."""
    cfg = read_config(path)
    weights = Path(cfg.MODEL.ENTITY_DETECTOR.WEIGHTS)
    if "DC5" in path.stem or cfg.MODEL.ENTITY_DETECTOR.NAME != "DetrEntityDetector":
        assert weights.parts[:1] != ("output",), "no config here trains it"
        return
    detector = read_config(configs_root() / "Detr" / f"{weights.parent.name}.yaml")
    assert str(weights) == f"{detector.OUTPUT_DIR}/model_final.pth"
    assert detector.MODEL.DETR.RESNET.DEPTHS == cfg.MODEL.DETR.RESNET.DEPTHS
    if "own_data" not in path.stem:
        assert detector.DATASETS.TRAIN == cfg.DATASETS.TRAIN
    base = {"R50_VCOCO": "R50_COCO_for_VCOCO", "R101_VCOCO": "R101_COCO_for_VCOCO"}
    if start := base.get(weights.parent.name):
        coco = read_config(configs_root() / "Detr" / f"{start}.yaml")
        assert coco.OUTPUT_DIR == f"output/Detr/{start}"
        assert coco.MODEL.DETR.RESNET.DEPTHS == cfg.MODEL.DETR.RESNET.DEPTHS


@pytest.mark.parametrize(
    "path", [p for p in ROWS if "own_data" not in p.stem], ids=lambda p: p.stem
)
def test_the_recipe(path):
    """Supplement B; UPT's where that is silent (methods of both are in the config's comment)."""
    cfg = read_config(path)
    solver, pairs, loss = cfg.SOLVER, cfg.MODEL.RMLR.PAIRS, cfg.MODEL.RMLR.LOSS
    images = 5400 if "vcoco" in path.stem.lower() else 37633
    assert solver.MAX_ITER == pytest.approx(20 * images / 8, abs=1)
    adam = path.stem.endswith("_adam")  # by the letter of the supplement
    recipe = ("ADAM", 0.0, 0) if adam else ("ADAMW", 1e-4, 500)
    assert (solver.OPTIMIZER, solver.WEIGHT_DECAY, solver.WARMUP_ITERS) == recipe
    assert (solver.IMS_PER_BATCH, solver.BASE_LR) == (8, 1e-4)
    assert solver.LR_SCHEDULER_NAME == "WarmupCosineLR"
    assert (solver.CLIP_GRADIENTS.CLIP_TYPE, solver.CLIP_GRADIENTS.CLIP_VALUE) == (
        "full_model",
        0.1,
    )
    assert (min(cfg.INPUT.MIN_SIZE_TRAIN), max(cfg.INPUT.MIN_SIZE_TRAIN)) == (480, 800)
    assert (pairs.MIN_INSTANCES, pairs.MAX_INSTANCES) == (3, 15)
    other = cfg.MODEL.ENTITY_DETECTOR.NAME == "TransformersEntityDetector"  # scores by a sigmoid
    assert (pairs.SCORE_THRESHOLD, pairs.NMS_THRESHOLD) == (0.05 if other else 0.2, 0.5)
    assert (loss.PRIOR_EXPONENT_TRAIN, loss.PRIOR_EXPONENT_TEST) == (1.0, 2.8)
    assert (loss.ALPHA, loss.GAMMA, loss.MATCH_IOU) == (0.5, 0.2, 0.5)


SHORT_NAMES = [
    ("R50", "rmlr_R50_hico_det"),
    ("R101", "rmlr_R101_hico_det"),
    ("R50-VCOCO", "rmlr_R50_vcoco"),
    ("R50-VCOCO_irm2_sa1", "rmlr_R50_vcoco_irm2_sa1"),
    ("R50_without-ire", "rmlr_R50_hico_det_without_ire"),
    ("own_data", "rmlr_R50_own_data"),
]


@pytest.mark.parametrize(("short", "full"), SHORT_NAMES)
def test_a_short_name_is_its_file(short, full):
    folder = configs_root() / "RmLR"
    assert full_name(f"RmLR/{short}") == f"RmLR/{full}" and f"RmLR/{short}" not in model_names()
    both = [read_config(folder / f"{name}.yaml").dump() for name in (short, full)]
    assert both[0] == both[1]


def test_every_file_has_one_full_name():
    """What is left out of the rows above is a short name of one of them."""
    short = set((configs_root() / "RmLR").glob("*.yaml")) - set(ROWS)
    assert len(short) > len(SHORT_NAMES)
    for path in short:
        assert configs_root() / f"{full_name(f'RmLR/{path.stem}')}.yaml" in ROWS


@pytest.mark.parametrize("path", POSE_ROWS, ids=lambda p: p.stem)
def test_a_pose_row_is_its_row_with_another_head(path):
    row = path.name.replace("-coco-joints", "")
    pose, plain = read_config(path), read_config(ROOT / "configs" / "RmLR" / row)
    assert pose.MODEL.RMLR.HEADS == "PoseInteractionHeads"
    assert ("crowdpose" in pose.MODEL.RMLR.EXTRA.POSE_MODEL) == (path.name == row)
    pose.MODEL.RMLR.HEADS, pose.OUTPUT_DIR = plain.MODEL.RMLR.HEADS, plain.OUTPUT_DIR
    pose.MODEL.RMLR.EXTRA = plain.MODEL.RMLR.EXTRA
    assert pose.dump() == plain.dump()
