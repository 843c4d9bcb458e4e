"""DEFR as a whole: shapes, one by one = batched, learning, and through the trainer to a metric."""

import json

import pytest
import torch
from detectron2.modeling import build_model
from torch.nn import functional as F

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.config.load import load_config
from hoi_d2.data.loading.build import build_mapper
from hoi_d2.data.toy.dataset import toy_record
from hoi_d2.data.vocabulary import hico_det_vocabulary
from hoi_d2.engine.trainer import HOITrainer, evaluate_weights
from hoi_d2.model_zoo import config_file
from tests.modeling.tiny import tiny_config

VIT = {"patch_size": 16, "embed_dim": 32, "depth": 2, "num_heads": 4}


def defr_config(*options, **vit):
    cfg = tiny_config("DEFR", "MODEL.CLASSIFIER.INIT", "random", "INPUT.SQUARE_SIZE", 48)
    cfg.MODEL.IMAGE_ENCODER.NAME = "vit_base_patch32_clip_quickgelu_224"
    for name, value in (VIT | vit).items():
        cfg.MODEL.IMAGE_ENCODER.OPTIONS[name] = value
    cfg.merge_from_list(list(options))
    return cfg


def model_inputs(number, size=48):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (number, 3, size, size), generator=generator).to(torch.uint8)
    labels = torch.randint(-2, 2, (number, 600), generator=generator).to(torch.int8)
    return [{"image": i, "image_labels": y} for i, y in zip(images, labels)]


def toy_config(output, *options):
    return defr_config(
        *("DATASETS.TRAIN", ("toy_hoi_cls_train",), "DATASETS.TEST", ("toy_hoi_cls_val",)),
        *("DATALOADER.MAPPER", "hoi_d2.data.classification_mapper.HOIClassificationMapper"),
        *("DATALOADER.SAMPLER_TRAIN", "OverSampling", "DATALOADER.NUM_WORKERS", 0),
        *("SOLVER.IMS_PER_BATCH", 8, "SOLVER.MAX_ITER", 4, "SOLVER.CHECKPOINT_PERIOD", 2),
        *("SOLVER.LR_SCHEDULER_NAME", "WarmupCosineRestartsLR", "SOLVER.RESTART_ITERS", 2),
        *("SOLVER.WARMUP_ITERS", 0, "SEED", 1, "OUTPUT_DIR", str(output)),
        *options,
    )


@pytest.fixture
def few_test_images(monkeypatch):
    """Evaluation on 24 toy images instead of 1,000."""
    from detectron2.data import DatasetCatalog

    few = DatasetCatalog.get("toy_hoi_cls_val")[:24]
    DatasetCatalog.remove("toy_hoi_cls_val")
    DatasetCatalog.register("toy_hoi_cls_val", lambda: few)
    yield
    from functools import partial

    from hoi_d2.data.toy.dataset import load_toy_labels

    DatasetCatalog.remove("toy_hoi_cls_val")
    DatasetCatalog.register("toy_hoi_cls_val", partial(load_toy_labels, "val"))


def test_scores_are_the_scaled_logits_of_each_image():
    model = build_model(defr_config()).eval()
    inputs = model_inputs(3)
    with torch.no_grad():
        batched = model(inputs)
        alone = [model([x])[0]["hoi_scores"] for x in inputs]
        encoder = model.image_encoder
        images = torch.stack([x["image"] for x in inputs]).float() / 255
        features = encoder((images - encoder.pixel_mean) / encoder.pixel_std)
    cosine = F.cosine_similarity(features[:, None], model.classifier.weight[None], dim=2)
    for row, single, expected in zip(batched, alone, 100.48 * cosine):
        assert set(row) == {"hoi_scores"} and row["hoi_scores"].shape == (600,)
        torch.testing.assert_close(row["hoi_scores"], single, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(row["hoi_scores"], expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("loss", ["LSESign", "BCE", "Focal"])
@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_every_parameter_learns(loss, precision):
    model = build_model(defr_config("MODEL.DEFR.LOSS.NAME", loss)).train()
    with torch.autocast("cpu", precision, enabled=precision is not None):
        losses = model(model_inputs(2))
    assert list(losses) == ["loss_hoi"] and losses["loss_hoi"].dtype == torch.float32
    losses["loss_hoi"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_overfits_a_few_images():
    torch.manual_seed(0)
    model = build_model(defr_config()).train()
    inputs = model_inputs(4)
    for x in inputs:
        x["image_labels"] = torch.where(torch.rand(600) < 0.01, 1, -1).to(torch.int8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0)
    first = model(inputs)["loss_hoi"].item()
    for _ in range(100):
        loss = model(inputs)["loss_hoi"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1 * first
    with torch.no_grad():
        scores = torch.stack([o["hoi_scores"] for o in model.eval()(inputs)])
    labels = torch.stack([x["image_labels"] for x in inputs])
    for row, positive in zip(scores, labels == 1):
        assert row[positive].min() > row[~positive].max()


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match="48"):
        build_model(defr_config())(model_inputs(1, size=32))


def test_random_parts_are_named():
    model = build_model(defr_config())
    assert model.random_weights() == ["image_encoder", "classifier"]


def test_weighted_bce_reads_the_training_labels(tmp_path, caplog):
    cfg = toy_config(tmp_path, "MODEL.DEFR.LOSS.NAME", "WeightedBCE")
    model = build_model(cfg)
    assert model.loss.positive_weight.max() > 1000 and "positive_weight" not in str(
        list(model.state_dict())
    )
    cfg.DATASETS.TRAIN = ("hico_train",)  # not on disk here
    assert build_model(cfg).loss.positive_weight is None and "hico_train" in caplog.text


def test_trains_restarts_resumes_and_is_evaluated(tmp_path, few_test_images):
    """train_net's path: over-sampling, restarts, checkpoint, resume, HICO's metric."""
    cfg = toy_config(tmp_path / "whole")
    torch.manual_seed(0)
    whole = HOITrainer(cfg)
    whole.resume_or_load(resume=False)
    results = whole.train()
    assert set(results["hico"]) >= {"mAP", "mAP_known_object", "mAP_few5", "mAP_few10"}
    first = torch.load(tmp_path / "whole" / "model_0000001.pth", weights_only=True)
    vocabulary = hico_det_vocabulary()
    assert first["vocabulary"]["verbs"] == list(vocabulary.verbs)
    assert "META_ARCHITECTURE: DEFR" in first["config"]

    cfg.OUTPUT_DIR = str(tmp_path / "resumed")
    (tmp_path / "resumed").mkdir()
    (tmp_path / "whole" / "model_0000001.pth").rename(tmp_path / "resumed" / "model_0000001.pth")
    (tmp_path / "resumed" / "last_checkpoint").write_text("model_0000001.pth")
    torch.manual_seed(5)
    resumed = HOITrainer(cfg)
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == 2
    resumed.train()
    expected = whole.model.state_dict()
    for name, value in resumed.model.state_dict().items():
        assert torch.equal(value, expected[name]), name

    cfg.MODEL.WEIGHTS = str(tmp_path / "resumed" / "model_final.pth")
    cfg.MODEL.CLASSIFIER.INIT = "language"  # not read: the checkpoint has the rows
    again = evaluate_weights(cfg)
    assert again["hico"]["mAP"] == results["hico"]["mAP"]
    metrics = json.loads((tmp_path / "resumed" / "metrics.json").read_text())
    assert metrics["hico/mAP"] == results["hico"]["mAP"] and "random_weights" not in metrics


def test_the_shipped_weights_know_the_toy_world():
    """The best class is right for most images it has not seen; no text encoder is asked."""
    cfg = load_config("")
    cfg.merge_from_file(config_file("toy/defr.yaml"))
    weights = "hoi_d2://toy/defr.safetensors"
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", weights])
    cfg.MODEL.LANGUAGE.ENCODER = "no/such-encoder"
    model = build_model(cfg).eval()
    HOICheckpointer(model).load(weights)
    mapper = build_mapper(cfg, is_train=False)
    records = [toy_record("val", index) for index in range(40)]
    inputs = [mapper(r) for r in records if r["hoi_annotations"]]
    with torch.no_grad():
        best = [int(o["hoi_scores"].argmax()) for o in model(inputs)]
    right = [bool(x["image_labels"][hoi] == 1) for x, hoi in zip(inputs, best)]
    assert sum(right) / len(right) > 0.6
