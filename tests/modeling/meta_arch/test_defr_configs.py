"""Every row of DEFR's tables: the config reads, and says what its name says."""

from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog

from hoi_d2.data.datasets.hico import read_image_labels
from hoi_d2.data.samplers import oversampling_repeats
from hoi_d2.model_zoo import configs_root
from tests.small_configs import config_paths, is_base, read_config

ROWS = [p for p in config_paths("DEFR") if not is_base(p)]
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


@pytest.mark.parametrize("path", ROWS, ids=lambda p: p.stem)
def test_every_config_names_registered_data_and_its_own_folder(path):
    cfg = read_config(path)
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
        cfg = read_config(path)
        if cfg.DATASETS.TRAIN == ("hico_train",):
            assert cfg.SOLVER.RESTART_ITERS == round(5 * epoch / cfg.SOLVER.IMS_PER_BATCH), path
