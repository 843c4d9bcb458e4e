"""Every DEFR config builds, runs forward and backward on a small input, without a download."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model
from scipy.io import savemat

from hoi_d2.config import add_hoi_config
from hoi_d2.data.datasets.hico import read_image_labels
from hoi_d2.data.samplers import oversampling_repeats
from hoi_d2.engine.evaluation import build_evaluator
from hoi_d2.model_zoo import configs_root

CONFIGS = sorted((configs_root() / "DEFR").glob("*.yaml"))
ROWS = [p for p in CONFIGS if not p.name.startswith("base")]
PRE = ("IN1K", "IN21K", "MLM", "CLIP")
# The paper's tables, row by row; `gamma-100` of table 8 is the best model of the others.
TABLES = {
    1: ["IN1K_random_BCE", "IN1K_random_LSE", "IN1K_BERT_BCE", "IN1K_BERT_LSE"],
    4: ["MPII-R101", "MPII-ViT-B-16"],
    5: [f"{p}_{i}_LSE" for p in PRE for i in ("random", "BERT", "CLIP")],
    6: [
        f"{p}_{i}_{loss}"
        for i in ("BERT", "CLIP")
        for p in PRE
        for loss in ("BCE", "LSE")
    ],
    7: [f"CLIP_CLIP_{loss}" for loss in ("WBCE", "BCE", "Focal", "LSE")],
    8: [f"gamma-{g}" for g in (50, 150, 300, 500)] + ["CLIP_CLIP_LSE"],
    9: ["R50", "R101", "CLIP_CLIP_LSE", "ViT-B-16"],
}  # fmt: skip


def load(path):
    cfg = get_cfg()
    add_hoi_config(cfg)
    cfg.merge_from_file(str(path))
    cfg.MODEL.DEVICE = "cpu"
    return cfg


def make_small(cfg):
    """One block or a narrow network, a small square; widths of features and texts stay."""
    options = cfg.MODEL.IMAGE_ENCODER.OPTIONS
    if cfg.MODEL.IMAGE_ENCODER.NAME.startswith("resnet"):
        options.depths, options.channels = [1, 1, 1, 1], [16, 16, 32, 64]
        options.stem_chs = [8, 8, 16]
        cfg.INPUT.SQUARE_SIZE = 64
    else:
        options.depth, options.mlp_ratio = 1, 0.25
        cfg.INPUT.SQUARE_SIZE = 56 if "patch14" in cfg.MODEL.IMAGE_ENCODER.NAME else 64


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """Four HICO labels and four MPII activities on disk, where the built-in splits look."""
    root = tmp_path_factory.mktemp("datasets")
    labels = np.full((600, 4), np.nan)
    labels[:7] = np.array([1, -1, 0, np.nan])
    names = np.empty((4, 1), dtype=object)
    names[:, 0] = [f"HICO_train2015_{i:08d}.jpg" for i in range(1, 5)]
    (root / "hico_20160224_det").mkdir()
    savemat(root / "hico_20160224_det" / "anno.mat", {"anno_train": labels, "list_train": names})
    images = [{"file_name": f"{i:09d}.jpg", "activity": i % 3} for i in range(1, 5)]
    activities = ["skateboarding", "yoga, power", "cooking or food preparation"]
    (root / "mpii").mkdir()
    (root / "mpii" / "mpii_activities.json").write_text(
        json.dumps({"activities": activities, "images": images})
    )
    (root / "mpii" / "val_images.txt").write_text("000000004.jpg\n")
    patch = pytest.MonkeyPatch()
    patch.setenv("DETECTRON2_DATASETS", str(root))
    yield root
    patch.undo()


@pytest.mark.parametrize(
    "path", [*CONFIGS, configs_root() / "toy" / "defr.yaml"], ids=lambda p: p.stem
)
def test_every_config_builds_and_learns(path, datasets, tmp_path):
    cfg = load(path)
    if path.parent.name != "toy":
        make_small(cfg)
    cfg.MODEL.LANGUAGE.CACHE_DIR = str(tmp_path)
    torch.manual_seed(0)
    model = build_model(cfg).train()
    classes = 3 if "MPII" in path.name else 600
    images = torch.randint(0, 256, (2, 3, cfg.INPUT.SQUARE_SIZE, cfg.INPUT.SQUARE_SIZE))
    labels = torch.randint(-2, 2, (2, classes)).to(torch.int8)
    inputs = [{"image": i.to(torch.uint8), "image_labels": y} for i, y in zip(images, labels)]
    loss = model(inputs)["loss_hoi"]
    loss.backward()
    assert loss.isfinite() and all(p.grad is not None for p in model.parameters())
    with torch.no_grad():
        outputs = model.eval()(inputs)
    assert [o["hoi_scores"].shape for o in outputs] == [(classes,)] * 2


def test_mpii_is_scored_by_its_own_metric(datasets, tmp_path):
    cfg = load(configs_root() / "DEFR" / "MPII-R101.yaml")
    make_small(cfg)
    cfg.OUTPUT_DIR = cfg.MODEL.LANGUAGE.CACHE_DIR = str(tmp_path)
    model = build_model(cfg).eval()
    records = DatasetCatalog.get("mpii_val")
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    evaluator = build_evaluator(cfg, "mpii_val")
    with torch.no_grad():
        evaluator.process(records, model([{"image": image} for _ in records]))
    assert [r["image_id"] for r in records] == [4]
    assert evaluator.evaluate()["mpii"] == {"mAP": 100.0}  # one picture, one class with positives


@pytest.mark.parametrize("path", ROWS, ids=lambda p: p.stem)
def test_every_config_names_registered_data_and_its_own_folder(path):
    cfg = load(path)
    assert {*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST} <= set(DatasetCatalog.list())
    assert cfg.OUTPUT_DIR == f"output/DEFR/{path.stem}"
    solver = cfg.SOLVER
    assert solver.MAX_ITER % solver.RESTART_ITERS == 0  # ends at the end of a descent
    assert cfg.TEST.EVAL_PERIOD == solver.RESTART_ITERS and solver.WEIGHT_DECAY == 0
    zoo = Path(configs_root().parent / "MODEL_ZOO.md")
    if zoo.is_file():
        assert f"`DEFR/{path.name}`" in zoo.read_text()


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_row_of_the_tables_has_a_config_that_says_so(table):
    stems = {p.stem: p for p in ROWS}
    for row in TABLES[table]:
        path = stems.get(row) or stems[f"ViT-B-32_{row}"]
        heading = path.read_text().partition("_BASE_")[0]
        assert str(table) in heading.partition(":")[0], path.name


def test_epochs_are_those_of_the_real_labels(real_data):
    """Five epochs between restarts, at each batch size."""
    labels = read_image_labels(real_data / "hico_det" / "anno.mat", "train")[1]
    epoch = oversampling_repeats(labels).sum()
    for path in ROWS:
        cfg = load(path)
        if cfg.DATASETS.TRAIN == ("hico_train",):
            assert cfg.SOLVER.RESTART_ITERS == round(5 * epoch / cfg.SOLVER.IMS_PER_BATCH), path
