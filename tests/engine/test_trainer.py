"""The trainer as a whole, in this process: state, average, evaluation, early stop, logs."""

import json
import multiprocessing
from pathlib import Path

import cv2
import pytest
import torch
from detectron2.data import Metadata, MetadataCatalog

from hoi_d2.checkpoint.class_names import vocabulary_in
from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.data.vocabulary import hico_det_vocabulary, vcoco_vocabulary
from hoi_d2.engine.trainer import HOITrainer, evaluate_weights
from hoi_d2.engine.writers import draw_curves
from tests import tiny_world as tiny


def make_trainer(output_dir: Path, *overrides, resume: bool = False) -> HOITrainer:
    torch.manual_seed(0)
    trainer = HOITrainer(tiny.tiny_cfg(output_dir, *overrides))
    trainer.resume_or_load(resume=resume)
    return trainer


def log_rows(output_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (output_dir / "train_log.jsonl").read_text().splitlines()]


def metrics(output_dir: Path) -> dict:
    return json.loads((output_dir / "metrics.json").read_text())


@pytest.fixture
def detector_file(tmp_path) -> str:
    torch.save(torch.nn.Linear(48, 8).state_dict(), tmp_path / "detector.pth")
    return str(tmp_path / "detector.pth")


def test_learns_and_says_how(tmp_path, caplog):
    caplog.set_level("INFO")
    trainer = make_trainer(tmp_path, "SOLVER.MAX_ITER", 80, "SOLVER.LOG_PERIOD", 10)
    results = trainer.train()
    rows = log_rows(tmp_path)
    assert rows[-1]["loss_class"] < 0.9 * rows[0]["loss_class"]
    assert metrics(tmp_path)["tiny/mAP"] == results["tiny"]["mAP"]
    assert [row["iteration"] for row in rows] == list(range(9, 80, 10))
    assert 0 <= rows[-1]["data_wait_share"] <= 1 and rows[-1]["images_per_second"] > 0
    line = next(r.getMessage() for r in caplog.records if "iter 20/80" in r.getMessage())
    for part in ("eta 0:00", "images/s", "data wait", "loss_class", "peak memory"):
        assert part in line


def test_curves_are_drawn_at_the_end(tmp_path, caplog):
    make_trainer(tmp_path, "SOLVER.DRAW_CURVES", True).train()
    assert cv2.imread(str(tmp_path / "curves.png")) is not None
    assert "tiny/mAP" in (tmp_path / "curves.csv").read_text()
    draw_curves(str(tmp_path / "empty"))
    assert "no learning curves" in caplog.text


def test_frozen_bytes_never_change(tmp_path):
    trainer = make_trainer(tmp_path)
    before = {k: v.clone() for k, v in trainer.model.detector.state_dict().items()}
    trainer.train()
    after = trainer.model.detector.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_random_frozen_weights_are_named_to_the_end(tmp_path, detector_file):
    make_trainer(tmp_path).train()
    assert metrics(tmp_path)["random_weights"] == "detector"
    final = str(tmp_path / "model_final.pth")
    evaluate_weights(tiny.tiny_cfg(tmp_path / "eval", "MODEL.WEIGHTS", final))
    assert metrics(tmp_path / "eval")["random_weights"] == "detector"
    make_trainer(tmp_path / "real", "TINY.DETECTOR_WEIGHTS", detector_file).train()
    assert "random_weights" not in metrics(tmp_path / "real")


def test_random_frozen_weights_are_refused(tmp_path, detector_file):
    refuse = ("MODEL.ALLOW_RANDOM_WEIGHTS", False)
    with pytest.raises(WeightsError, match=r"random weights.*detector"):
        make_trainer(tmp_path, *refuse)
    with pytest.raises(WeightsError, match=r"random weights.*detector, head"):
        evaluate_weights(tiny.tiny_cfg(tmp_path, *refuse))
    make_trainer(tmp_path, *refuse, "TINY.DETECTOR_WEIGHTS", detector_file)  # the head is trained


def test_evaluating_without_weights_says_so(tmp_path, caplog):
    evaluate_weights(tiny.tiny_cfg(tmp_path))
    assert metrics(tmp_path)["random_weights"] == "detector, head, backbone, unused"
    assert "these numbers mean nothing" in caplog.text


@pytest.mark.parametrize("ema", [False, True])
def test_eval_only_gives_the_metric_of_the_training(tmp_path, ema):
    options = ("SOLVER.EMA.ENABLED", ema, "SOLVER.MAX_ITER", 30)
    make_trainer(tmp_path, *options).train()
    cfg = tiny.tiny_cfg(tmp_path / "eval", *options)
    cfg.MODEL.WEIGHTS = str(tmp_path / "model_final.pth")
    evaluate_weights(cfg)
    assert metrics(tmp_path / "eval") == metrics(tmp_path)


def test_the_average_is_what_is_evaluated_and_the_weights_stay(tmp_path):
    trainer = make_trainer(tmp_path, "SOLVER.EMA.ENABLED", True, "SOLVER.MAX_ITER", 30)
    averaged = trainer.train()["tiny"]["mAP"]
    raw = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    plain = HOITrainer.test(trainer.cfg, trainer.model)["tiny"]["mAP"]
    assert plain != averaged
    trainer.evaluate()
    assert all(torch.equal(raw[k], v) for k, v in trainer.model.state_dict().items())
    trainer.average.copy_to_model()
    assert HOITrainer.test(trainer.cfg, trainer.model)["tiny"]["mAP"] == averaged


def test_average_equals_the_formula(tmp_path):
    trainer = make_trainer(tmp_path, "SOLVER.EMA.ENABLED", True, "SOLVER.EMA.DECAY", 0.5)
    expected = trainer.model.backbone.weight.detach().clone()
    steps = []
    hook = trainer._hooks[2]
    update = hook.after_step
    hook.after_step = lambda: (steps.append(trainer.model.backbone.weight.clone()), update())
    trainer.train()
    for number, weight in enumerate(steps, 1):
        decay = min(0.5, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * weight
    torch.testing.assert_close(trainer.average.average["backbone.weight"], expected.detach())


def test_average_starts_at_the_loaded_weights(tmp_path):
    make_trainer(tmp_path).train()
    weights = str(tmp_path / "model_final.pth")
    trainer = make_trainer(tmp_path / "b", "SOLVER.EMA.ENABLED", True, "MODEL.WEIGHTS", weights)
    loaded = torch.load(weights, weights_only=True)["model"]["head.0.weight"]
    assert torch.equal(trainer.average.average["head.0.weight"], loaded)


def test_resuming_a_finished_run_only_evaluates(tmp_path):
    results = make_trainer(tmp_path).train()
    trainer = make_trainer(tmp_path, resume=True)
    assert trainer.start_iter == 12
    assert trainer.train() == results


def test_without_resume_it_starts_anew(tmp_path):
    make_trainer(tmp_path).train()
    assert make_trainer(tmp_path).start_iter == 0


def test_a_longer_run_goes_on_from_the_final_checkpoint(tmp_path):
    make_trainer(tmp_path).train()
    trainer = make_trainer(tmp_path, "SOLVER.MAX_ITER", 16, resume=True)
    assert trainer.start_iter == 12
    trainer.train()
    assert [row["iteration"] for row in log_rows(tmp_path)] == [3, 7, 11, 15]


def test_a_resumed_log_repeats_no_iteration(tmp_path):
    options = ("SOLVER.LOG_PERIOD", 1, "DATASETS.TEST", ())
    make_trainer(tmp_path, *options).train()
    (tmp_path / "model_final.pth").unlink()
    (tmp_path / "last_checkpoint").write_text("model_0000009.pth")
    with open(tmp_path / "train_log.jsonl", "a") as file:
        file.write('{"iteration": 12, "loss')
    make_trainer(tmp_path, *options, resume=True).train()
    assert [row["iteration"] for row in log_rows(tmp_path)] == list(range(12))


@pytest.mark.parametrize(
    "values, patience, stops_after, best", [([5], 2, 1, 5), ([1, 3, 2, 3, 9], 2, 4, 3)]
)
def test_best_model_and_early_stop(tmp_path, monkeypatch, values, patience, stops_after, best):
    results = iter(values)
    monkeypatch.setattr(
        tiny.TinyEvaluator, "evaluate", lambda self: {"tiny": {"mAP": float(next(results))}}
    )
    period = 2
    trainer = make_trainer(
        tmp_path,
        *("TEST.EVAL_PERIOD", period, "TEST.BEST_METRIC", "tiny/mAP", "TEST.PATIENCE", patience),
        *("SOLVER.MAX_ITER", period * len(values)),
    )
    trainer.train()
    assert torch.load(tmp_path / "model_best.pth", weights_only=True)["iteration"] + 1 == (
        period * (values.index(best) + 1)
    )
    assert len(list(results)) == len(values) - stops_after


def test_a_metric_that_is_not_there_is_named(tmp_path):
    trainer = make_trainer(tmp_path, "TEST.BEST_METRIC", "tiny/AP")
    with pytest.raises(ValueError, match=r"TEST.BEST_METRIC tiny/AP .* tiny/images, tiny/mAP"):
        trainer.train()


def test_what_a_checkpoint_holds(tmp_path, detector_file):
    options = ("TINY.DETECTOR_WEIGHTS", detector_file, "SOLVER.EMA.ENABLED", True)
    make_trainer(tmp_path, *options).train()
    state = torch.load(tmp_path / "model_final.pth", weights_only=True)
    assert not any(key.startswith("detector.") for key in state["model"])
    assert len(state["frozen"]["detector."]) == 64
    assert state["iteration"] == 11 and state["stream"]["next_batch"] == 12
    assert {"optimizer", "grad_scaler", "guard"} < set(state["trainer"]["_trainer"])
    assert "LRScheduler" in state["trainer"]["hooks"]
    assert len(state["rng"]) == 1 and {"python", "numpy", "torch"} <= set(state["rng"][0])
    assert "IMS_PER_BATCH: 4" in state["config"]
    assert "vocabulary" not in state  # the data set has none
    assert state["ema"]["num_updates"] == 12


@pytest.mark.parametrize("of_model", [True, False])
def test_checkpoints_hold_all_of_the_vocabulary(tmp_path, monkeypatch, of_model):
    """V-COCO has no HOI classes: what its verbs go with must be kept itself.

    A model's own vocabulary counts, not that of the data set that it happens to be trained on.
    """
    trainer = make_trainer(tmp_path)
    name = trainer.cfg.DATASETS.TRAIN[0]
    others = hico_det_vocabulary() if of_model else vcoco_vocabulary()
    monkeypatch.setitem(MetadataCatalog.data, name, Metadata(name=name, vocabulary=others))
    if of_model:
        trainer.model.vocabulary = vcoco_vocabulary()
    trainer.checkpointer.save("model_final", **trainer._extra_state())
    held = vocabulary_in(tmp_path / "model_final.pth")
    assert held.as_dict() == vcoco_vocabulary().as_dict()
    assert held.valid_verbs.sum() == 788


def test_linear_scaling_by_reference_world_size(tmp_path):
    trainer = make_trainer(tmp_path, "SOLVER.REFERENCE_WORLD_SIZE", 2, "SOLVER.BASE_LR", 0.02)
    assert trainer.cfg.SOLVER.IMS_PER_BATCH == 2
    assert trainer.cfg.SOLVER.BASE_LR == pytest.approx(0.01)
    assert trainer.max_iter == 24


@pytest.mark.parametrize("fails", [False, True])
def test_no_worker_is_left_behind(tmp_path, monkeypatch, fails):
    """Workers ignore SIGTERM, by which Python would end them: left alone, the process hangs."""
    cfg = tiny.tiny_cfg(tmp_path)
    cfg.DATALOADER.NUM_WORKERS = 1
    trainer = HOITrainer(cfg)
    if fails:
        monkeypatch.setattr(trainer.model, "forward", lambda batch: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            trainer.train()
    else:
        trainer.train()
    assert not multiprocessing.active_children()
