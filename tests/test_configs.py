"""Every file of `configs/`: it loads, builds small with random weights, learns a step, predicts.

`test_rmlr_configs` and `test_defr_configs` check what the rows say; here they run.
"""

from __future__ import annotations

import ast
import json
import tokenize
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from scipy.io import savemat

import hoi_d2
from hoi_d2.config.defaults import add_hoi_config
from hoi_d2.data.builtin import register_all
from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.engine.evaluation import build_evaluator
from hoi_d2.model_zoo import configs_root
from hoi_d2.solver.build import build_lr_scheduler, build_optimizer
from tests.small_configs import (
    annotated_inputs,
    config_paths,
    is_base,
    labelled_inputs,
    make_small,
    read_config,
)

FOLDERS = sorted(p.name for p in configs_root().iterdir() if p.is_dir() and config_paths(p.name))
CONFIGS = [p for folder in FOLDERS for p in config_paths(folder)]


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


TARGETS = ("instances", "hoi_instances", "image_labels")
MODELS = [p for p in CONFIGS if not is_base(p)]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """Four HICO labels, MPII activities and Stanford 40 actions, where the built-in splits look."""
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
    actions = ["running", "riding_a_horse", "phoning"]
    images = [
        {"file": f"{a}_00{i}.jpg", "split": s, "action": a}
        for i, s in enumerate(("train", "test"))
        for a in actions
    ]
    (root / "stanford40").mkdir()
    (root / "stanford40" / "stanford40.json").write_text(
        json.dumps({"actions": actions, "images": images})
    )
    patch = pytest.MonkeyPatch()
    patch.setenv("DETECTRON2_DATASETS", str(root))
    yield root
    patch.undo()
    register_all()  # forgets the classes that the small files defined


def small_config(path: Path, folder: Path) -> CfgNode:
    cfg = read_config(path)
    make_small(cfg, folder)
    if "own_data" in path.stem:  # its data are the reader's
        cfg.MODEL.HOI.VOCABULARY, cfg.DATASETS.OWN = "hico_det", []
    if cfg.MODEL.ENTITY_DETECTOR.PRECOMPUTED.FILE:  # no data set is at hand
        stored = [
            {"image_id": i, "category_id": c, "bbox": [5 * c, 5, 20, 30], "score": 0.9}
            for i in (0, 1)
            for c in (1, 2)  # COCO's person and bicycle
        ]
        cfg.MODEL.ENTITY_DETECTOR.PRECOMPUTED.FILE = str(folder / "detections.json")
        (folder / "detections.json").write_text(json.dumps(stored))
    # A detector with random weights finds nobody, and without a pair nothing is learnt.
    cfg.MODEL.RMLR.LOSS.ADD_GROUND_TRUTH = cfg.MODEL.META_ARCHITECTURE in (
        "RmLR",
        "UPT",
        "CLIPPairs",
    )
    return cfg


def learn(cfg: CfgNode, model: torch.nn.Module, inputs: list[dict]) -> None:
    """One step of the config's own solver moves weights, and every weight has a gradient."""
    before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    optimizer = build_optimizer(cfg, model)
    build_lr_scheduler(cfg, optimizer)
    for group in optimizer.param_groups:  # a warm-up begins at next to nothing
        group["lr"] = 1e-3
    with EventStorage(0):  # detectron2's own models log
        losses = model.train()(inputs)
    assert losses and all(loss.isfinite() for loss in losses.values())
    assert sum(losses.values()) > 0  # else weight decay alone would move weights
    sum(losses.values()).backward()
    optimizer.step()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert all(p.isfinite().all() for p in trained.values())
    assert sum(not torch.equal(p, before[n]) for n, p in trained.items()) > len(trained) / 2


def without_targets(model_input: dict, *, keep: tuple[str, ...] = ()) -> dict:
    return {k: v for k, v in model_input.items() if k in keep or k not in TARGETS}


@pytest.mark.parametrize("path", MODELS, ids=named)
def test_builds_learns_and_predicts(path, datasets, tmp_path):
    cfg = small_config(path, tmp_path)
    torch.manual_seed(0)
    model = build_model(cfg)
    kind, classes = (
        cfg.MODEL.META_ARCHITECTURE,
        3 if path.name.startswith(("MPII", "Stanford40")) else 600,
    )
    is_recognition = kind == "DEFR"
    if is_recognition:
        inputs = labelled_inputs(cfg, classes)
    else:
        on_vcoco = "vcoco" in (cfg.MODEL.HOI.VOCABULARY or cfg.DATASETS.TRAIN[0])
        inputs = annotated_inputs(29 if on_vcoco else 117)
    if kind != "DEFR-Det":  # which is not trained
        learn(cfg, model, inputs)
    with torch.no_grad():
        given = ("instances",) * (cfg.MODEL.ENTITY_DETECTOR.NAME == "AnnotatedEntityDetector")
        outputs = model.eval()([without_targets(x, keep=given) for x in inputs])
    assert len(outputs) == len(inputs)
    for given, output in zip(inputs, outputs):
        if is_recognition:
            assert output["hoi_scores"].shape == (classes,)
            continue
        assert output["instances"].image_size == (given["height"], given["width"])
        if kind in ("RmLR", "LayoutRmLR", "UPT", "DEFR-Det", "CLIPPairs"):
            found = output["hoi_instances"]
            assert found.scores.isfinite().all()
            assert (found.verb_classes < len(vocabulary_of(cfg).verbs)).all()


def test_mpii_is_scored_by_its_own_metric(datasets, tmp_path):
    cfg = small_config(configs_root() / "DEFR" / "MPII-R101.yaml", tmp_path)
    cfg.OUTPUT_DIR = str(tmp_path)
    model = build_model(cfg).eval()
    records = DatasetCatalog.get("mpii_val")
    image = torch.zeros(3, cfg.INPUT.SQUARE_SIZE, cfg.INPUT.SQUARE_SIZE, dtype=torch.uint8)
    evaluator = build_evaluator(cfg, "mpii_val")
    with torch.no_grad():
        evaluator.process(records, model([{"image": image} for _ in records]))
    assert [r["image_id"] for r in records] == [4]
    assert evaluator.evaluate()["mpii"] == {"mAP": 100.0}  # one image, one class with positives


@pytest.mark.parametrize("path", CONFIGS, ids=named)
def test_opens_with_what_it_is_for(path):
    heading = path.read_text().partition("\n")[0]
    assert heading.startswith("# ") and len(heading) > 20


PACKAGE = Path(hoi_d2.__file__).parent
DEFAULTS = PACKAGE / "config" / "defaults.py"


def keys_of(path: Path) -> dict[str, bool]:
    """Each key that the file assigns, with its line -> whether a comment stands at or above it."""
    with tokenize.open(path) as file:
        comments = {
            t.start[0]: t.line.lstrip().startswith("#")
            for t in tokenize.generate_tokens(file.readline)
            if t.type == tokenize.COMMENT
        }
    found = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Assign) or ast.unparse(node.value) == "CfgNode()":
            continue  # an empty node is a section
        own = any(line in comments for line in range(node.lineno, node.end_lineno + 1))
        for target in node.targets:
            if isinstance(target, ast.Attribute) and target.attr.isupper():
                above = comments.get(node.lineno - 1, False)
                found[f"{target.attr} (line {node.lineno})"] = own or above
    return found


def leaves(node: CfgNode, prefix: str = "") -> set[str]:
    names = set()
    for key, value in node.items():
        name = f"{prefix}{key}"
        names |= leaves(value, f"{name}.") if isinstance(value, CfgNode) else {name}
    return names


def added_keys() -> set[str]:
    """Every key that hoi_d2 adds to detectron2's; a group that takes new keys has none yet."""
    plain, ours = get_cfg(), get_cfg()
    add_hoi_config(ours)
    return leaves(ours) - leaves(plain)


def test_every_key_has_a_comment():
    keys = keys_of(DEFAULTS)
    assert keys
    assert not [name for name, has_comment in keys.items() if not has_comment]


def test_every_key_was_looked_at():
    """A key that the walk above does not see would need no comment."""
    added, seen = added_keys(), {name.split()[0] for name in keys_of(DEFAULTS)}
    assert len(added) > 100
    assert {name.rpartition(".")[2] for name in added} <= seen


def test_keys_are_added_in_one_file():
    adders = [p for p in PACKAGE.rglob("*.py") if "= CfgNode(" in p.read_text()]
    assert adders == [DEFAULTS]


def names_read(code: str) -> set[str]:
    """Attributes that code reads, such as `node.NAME`."""
    nodes = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Attribute)]
    return {n.attr for n in nodes if isinstance(n.ctx, ast.Load)}


def unread(keys: set[str], sources: list[str]) -> set[str]:
    """Keys of which no source reads both the name and the group that it is in."""
    read = [names_read(code) for code in sources]
    return {key for key in keys if not any(set(key.split(".")[-2:]) <= names for names in read)}


@pytest.mark.parametrize(
    ("keys", "sources", "lacking"),
    [
        (set(), [""], set()),
        ({"A.B.C"}, [""], {"A.B.C"}),
        ({"A.B.C", "A.B.D"}, ["cfg.A.B.C"], {"A.B.D"}),
        ({"A.B.C"}, ["node = cfg.A.B\nnode.C + 1"], set()),
        ({"A.B.C"}, ["cfg.A.B.C = 1"], {"A.B.C"}),  # written only
        ({"A.B.C"}, ["# cfg.A.B.C"], {"A.B.C"}),
        ({"A.B.C"}, ["cfg.A.B", "node.C"], {"A.B.C"}),  # a C of another group
    ],
)
def test_unread(keys, sources, lacking):
    assert unread(keys, sources) == lacking


def test_every_key_is_read():
    sources = [p.read_text() for p in PACKAGE.rglob("*.py") if p != DEFAULTS]
    assert not unread(added_keys(), sources)
