"""`tools/benchmark.py data` and `train`: every part is measured, on made-up and on toy images."""

import json

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model

from hoi_d2.benchmark import batches as benchmark_batches
from hoi_d2.benchmark import cached as benchmark_cached
from hoi_d2.benchmark import data as benchmark_data
from hoi_d2.benchmark import infer as benchmark_infer
from hoi_d2.benchmark import linear as benchmark_linear
from hoi_d2.benchmark import train as benchmark_train
from hoi_d2.benchmark.images import make_records, photograph_like, training_data
from hoi_d2.commands.main import main
from hoi_d2.config.load import load_config
from hoi_d2.data.vocabulary import hico_det_vocabulary, vcoco_vocabulary
from hoi_d2.registration import register
from hoi_d2.utils.user_errors import UserError
from tests import toy_few


def few_cfg(tmp_path, *overrides):
    cfg = toy_few.few_cfg("OUTPUT_DIR", str(tmp_path), "DATASETS.TEST", ())
    cfg.merge_from_list(["SOLVER.IMS_PER_BATCH", 2, *overrides])
    return cfg


def test_made_up_images_stand_in_for_missing_ones_and_leave_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    cfg = load_config("RmLR/R50.yaml", ["DATASETS.TRAIN", "('not_there',)"])
    cfg.MODEL.HOI.VOCABULARY = "hico_det"
    before = DatasetCatalog.list()
    with training_data(cfg, 2) as what:
        assert "2 made-up images" in what
        records = DatasetCatalog.get(cfg.DATASETS.TRAIN[0])
        assert cv2.imread(records[1]["file_name"]).shape[:2] == (640, 480)
    assert DatasetCatalog.list() == before


def test_images_that_are_there_are_taken(tmp_path):
    cfg = few_cfg(tmp_path)
    with training_data(cfg, 2) as what:
        assert what == "toy_few_train, 13 images"
        assert cfg.DATASETS.TRAIN == ("toy_few_train",)


@pytest.mark.parametrize("vocabulary", [hico_det_vocabulary(), vcoco_vocabulary()])
def test_made_up_records_are_legal_and_the_same_again(tmp_path, vocabulary):
    records = make_records(tmp_path, 3, vocabulary)
    for record in records:
        size = np.array([record["width"], record["height"]] * 2)
        boxes = np.array([entity["bbox"] for entity in record["annotations"]])
        assert (boxes >= 0).all() and (boxes <= size).all() and (boxes[:, 2:] > boxes[:, :2]).all()
        for pair in record["hoi_annotations"]:
            classes = [
                record["annotations"][pair[key]]["category_id"] for key in ("human", "object")
            ]
            assert classes[0] == vocabulary.person
            assert vocabulary.valid_verbs[classes[1], pair["verb"]]
            assert pair["hoi"] == vocabulary.hoi_of[classes[1], pair["verb"]]
    assert make_records(tmp_path, 3, vocabulary) == records


def test_made_up_images_fill_a_jpeg_as_photographs_do():
    image = photograph_like(np.random.default_rng(0), 480, 640)
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    assert 50_000 < len(encoded) < 200_000  # HICO-DET's and COCO's: about 110 KB


def test_data(tmp_path, capsys):
    files = [record["file_name"] for record in make_records(tmp_path, 2, hico_det_vocabulary())]
    decoders = benchmark_data.time_decoders(files, 1)
    assert list(decoders) == ["Pillow", "OpenCV", "torchvision"]
    assert all(row["cpu_ms"] > 0 and row["max_difference"] <= 2 for row in decoders.values())
    path = tmp_path / "data.json"
    arguments = ["--config-file", toy_few.CONFIG, "--images", "2", "--rounds", "1"]
    arguments += ["--workers", "0", "--batches", "1", "--json", str(path), "--opts"]
    toy_few.register()
    opts = ["DATASETS.TRAIN", "('toy_few_train',)", "SOLVER.IMS_PER_BATCH", "2"]
    assert benchmark_data.main([*arguments, *opts]) == 0
    result = json.loads(path.read_text())
    assert result["decoders"] == {} and set(result["mapper"]["cpu"]) == {"read", "augment", "pack"}
    assert result["loader"]["0"]["images_per_second"] > 0
    assert "loader" not in capsys.readouterr().err


@pytest.mark.parametrize("accumulate, pairs", [(1, "most"), (2, "found")])
def test_train(tmp_path, accumulate, pairs):
    cfg = few_cfg(tmp_path, "SOLVER.ACCUMULATE", accumulate, "SOLVER.EMA.ENABLED", True)
    result = benchmark_train.benchmark(cfg, rounds=1, steps=1, warm_up=0, crowd=pairs == "most")
    expected = {"data wait", "entity_detector", "pair_generator", "losses", "verb_loss"}
    expected |= {"interaction_heads", "backward", "clip, optimiser, log", "weight average"}
    assert set(result["parts"]["clock"]) == set(result["parts"]["cpu"]) == expected
    assert all(seconds > 0 for seconds in result["parts"]["clock"].values())
    assert result["ratio_to_plain"] > 0
    assert result["head_share"] > 0 and result["head_to_plain"] > 0
    assert set(result["plain"]) == {"clock", "cpu"} and result["plain"]["cpu"] > 0
    text = benchmark_train.table({"data": "few", "pairs": pairs, **result})
    assert "step / plain" in text and "weight average" in text


def test_cached(tmp_path):
    cfg = few_cfg(tmp_path, "MODEL.ENTITY_DETECTOR.CACHE_AUGMENTATIONS", 1)
    cfg.SOLVER.AMP.ENABLED, cfg.SEED = False, 3
    result = benchmark_cached.benchmark(cfg, tmp_path, rounds=1)
    assert all(row["cpu"] > 0 for row in result["seconds"].values())
    assert result["loss_difference"] < 1e-3 and result["entry_mb"] > 0
    text = benchmark_cached.table({"data": "few", "pairs": "most", **result})
    assert "filling the cache, once" in text


def test_batches(tmp_path, capsys):
    path = tmp_path / "batches.json"
    arguments = ["--config-file", "toy/rmlr.yaml", "--num", "3", "--batch", "2"]
    options = ["--opts", "INPUT.MIN_SIZE_TEST", "64", "MODEL.DEVICE", "cpu"]
    assert benchmark_batches.main([*arguments, "--json", str(path), *options]) == 0
    result = json.loads(path.read_text())
    assert len(result["seconds"]) == 3 and result["images"] == 3
    assert max(result["score_difference"].values()) < 1e-4
    assert "as predict and eval do it" in capsys.readouterr().out


def test_linear(tmp_path, capsys):
    """Both ways give the same; the table has a line for each shape."""
    path = tmp_path / "linear.json"
    assert benchmark_linear.main(["--rounds", "1", "--json", str(path)]) == 0
    layers = json.loads(path.read_text())["layers"]
    assert len(layers) == len(benchmark_linear.SHAPES) > 0
    assert max(layer["difference"] for layer in layers) < 1e-4
    assert "1765 x 768 -> 3072" in capsys.readouterr().out


def test_the_parts_of_a_part():
    case = {"config": load_config("toy/rmlr.yaml", [])}
    result = benchmark_infer.benchmark(
        case, size=(64, 64), batch=1, rounds=1, inside="interaction_heads"
    )
    found = {n.partition(": ")[2] for n in result["parts"]["cpu"] if n.startswith("interaction_he")}
    assert {"", "relation_encoder", "masked_roi", "reasoning"} <= found
    with pytest.raises(UserError, match="expected one of entity_detector"):
        benchmark_infer.benchmark(case, size=(64, 64), batch=1, rounds=1, inside="head")


def test_a_detector_of_its_own_has_no_yardstick(tmp_path):
    cfg = few_cfg(tmp_path, "MODEL.META_ARCHITECTURE", "Detr")
    result = benchmark_train.benchmark(cfg, rounds=1, steps=1, warm_up=0)
    assert result["ratio_to_plain"] is result["head_share"] is None
    assert "step / plain" not in benchmark_train.table({"data": "", "pairs": "most", **result})


def test_the_watch_leaves_the_model_as_it_was(tmp_path):
    from detectron2.utils.events import EventStorage

    from hoi_d2.benchmark.stopwatch import Stopwatch
    from hoi_d2.engine.trainer import HOITrainer

    trainer = HOITrainer(few_cfg(tmp_path))
    model, step = trainer.model.train(), trainer._trainer
    with EventStorage(0):
        with benchmark_infer.most_pairs(model):
            benchmark_train.watch_step(trainer, Stopwatch(), None)
    assert not {"forward", "detect"} & ({*vars(model)} | {*vars(model.entity_detector)})
    assert "_backward" not in vars(step) and torch.is_tensor(next(step.batches)[0]["image"])


@pytest.mark.parametrize(
    "config, parts",
    [
        ("toy/defr.yaml", {"image_encoder", "classifier", "the rest"}),
        ("toy/detr.yaml", {"network", "the rest"}),
        ("toy/rmlr_rt_detr.yaml", {"interaction_heads", "pair_generator", "the rest"}),
        ("toy/rmlr.yaml", {"entity_detector", "interaction_heads", "post-processing"}),
        ("toy/defr_det.yaml", {"entity_detector", "image_encoder", "classifier"}),
    ],
)
def test_infer_of_any_model_by_its_parts(tmp_path, capsys, config, parts):
    path = tmp_path / "infer.json"
    arguments = ["--config-file", config, "--size", "64", "96", "--rounds", "1"]
    assert benchmark_infer.main([*arguments, "--json", str(path)]) == 0
    result = json.loads(path.read_text())
    assert parts <= set(result["parts"]["clock"])
    for shares in result["shares"].values():
        assert sum(shares.values()) == pytest.approx(1) and min(shares.values()) >= 0
    assert ("plain DETR forward" in result["compared"]) == (
        config in ("toy/rmlr.yaml", "toy/defr_det.yaml")
    )
    assert "share" in capsys.readouterr().out


def test_other_keys_are_compared(tmp_path, capsys):
    path, key = tmp_path / "infer.json", "MODEL.RMLR.PAIRS.MAX_PAIRS"
    arguments = ["--config-file", "toy/rmlr.yaml", "--size", "64", "96", "--rounds", "1"]
    arguments += ["--compare", f"{key}=1", f"{key}=10"]
    assert benchmark_infer.main([*arguments, "--json", str(path)]) == 0
    compared = json.loads(path.read_text())["compared"]
    assert list(compared) == ["config", f"{key}=1", f"{key}=10", "plain DETR forward"]
    assert compared["config"]["ratio"] == {"clock": 1, "cpu": 1}
    assert f"{key}=10" in capsys.readouterr().out


def test_other_configs_are_compared_by_their_detectors(tmp_path, capsys, monkeypatch):
    called = []
    monkeypatch.setattr(benchmark_infer, "register", lambda: called.append(register()))
    path, other = tmp_path / "infer.json", "toy/rmlr.yaml"
    arguments = ["--config-file", "photo/photo.yaml", "--size", "64", "96", "--rounds", "1"]
    assert benchmark_infer.main([*arguments, "--compare", other, "--json", str(path)]) == 0
    assert called, "hoi_d2:// is known only then"
    compared = json.loads(path.read_text())["compared"]
    assert list(compared) == ["config", other]
    assert compared["config"]["detector"] != compared[other]["detector"]
    for row in compared.values():
        assert 0 < row["detector"]["cpu"] < row["seconds"]["cpu"]
    assert "detector, cpu s" in capsys.readouterr().out


@torch.no_grad()
def test_a_crowd_gives_the_most_pairs():
    model = build_model(load_config("toy/rmlr.yaml", [])).eval()
    most = model.pair_generator.max_instances
    counts = []
    model.pair_generator.register_forward_hook(lambda m, i, pairs: counts.extend(pairs.counts))
    inputs = benchmark_infer.random_images((64, 96), 2)
    with benchmark_infer.most_pairs(model):
        model(inputs)
    assert counts == [most * (2 * most - 1)] * 2


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["train", "--config-file", "nope.yaml"], "config not found: nope.yaml"),
        (["infer", "--config-file", "toy/rmlr.yaml", "--opts", "SOLVER.X", "1"], "SOLVER.X"),
        (["infer", "--config-file", "toy/rmlr.yaml", "--compare", "X"], "expected KEY=VALUE"),
        (["train", "--config-file", "toy/defr_det.yaml", "--images", "1"], "train a DEFR"),
        (["evaluate", "--results", "nope.json", "--annotations", "nope.json"], "nope.json"),
    ],
)
def test_mistakes_are_one_line(capsys, arguments, said):
    assert main(["benchmark", *arguments]) == 2
    assert said in (error := capsys.readouterr().err) and error.startswith("error: ")
