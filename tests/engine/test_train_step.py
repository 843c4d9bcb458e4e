"""One step: cut in parts like in one piece, finite or skipped, in each precision."""

import json
import math

import pytest
import torch
from detectron2.utils.events import EventStorage

from hoi_d2.engine.guards import NonFiniteGuard
from hoi_d2.engine.train_step import TrainStep
from tests import tiny_world as tiny

BATCH = 8


def make_step(tmp_path, *, micro_batches: int = 1, images: list[int] | None = None, **options):
    """A step of the tiny model on images 0..7, the same weights each time."""
    torch.manual_seed(0)
    model = tiny.TinyModel(tiny.tiny_cfg(tmp_path))
    mapper = tiny.TinyMapper(None, is_train=False)
    items = [mapper(r) for r in tiny.tiny_records(BATCH)]
    items = [items[i] for i in (images or range(BATCH))]
    size = len(items) // micro_batches
    batches = [items[i : i + size] for i in range(0, len(items), size)] * 50
    trained = [p for p in model.parameters() if p.requires_grad]
    guard = options.pop("guard", None) or NonFiniteGuard(tmp_path / "nonfinite", max_in_a_row=3)
    return TrainStep(
        model,
        batches,
        torch.optim.SGD(trained, lr=0.1),
        device=torch.device("cpu"),
        micro_batches=micro_batches,
        guard=guard,
        **options,
    )


def run(step: TrainStep, number: int = 1) -> EventStorage:
    with EventStorage() as storage:
        for storage.iter in range(number):
            step.iter = storage.iter
            step.run_step()
    return storage


def weights(step: TrainStep) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in step.parameters])


@pytest.mark.parametrize("images", [[0, 0, 0, 0, 0, 0, 0, 0], [0, 5, 0, 5, 1, 1, 4, 4], None])
@pytest.mark.parametrize("micro_batches", [2, 4, 8])
@pytest.mark.parametrize("counted_by_model", [False, True])
def test_accumulation_equals_the_batch_in_one_piece(
    tmp_path, monkeypatch, images, micro_batches, counted_by_model
):
    """The first row has no target at all; in the second, parts of the batch have none."""
    if counted_by_model:

        def count_targets(self, batch):
            return {"targets": sum(len(item["instances"]) for item in batch)}

        monkeypatch.setattr(tiny.TinyModel, "count_targets", count_targets, raising=False)
    whole = make_step(tmp_path, images=images)
    parts = make_step(tmp_path, images=images, micro_batches=micro_batches)
    logs = run(whole, 5).latest(), run(parts, 5).latest()
    torch.testing.assert_close(weights(whole), weights(parts), rtol=1e-5, atol=1e-6)
    for name in ("total_loss", "loss_class", "loss_size", "grad_norm"):
        assert logs[0][name][0] == pytest.approx(logs[1][name][0], rel=1e-5, abs=1e-7)


def test_counting_draws_no_random_numbers(tmp_path, monkeypatch):
    """A forward pass that only counts leaves dropout's masks to those that train."""
    tiny_cfg = tiny.tiny_cfg
    monkeypatch.setattr(tiny, "tiny_cfg", lambda path: tiny_cfg(path, "TINY.DROPOUT", 0.5))
    counted_by_forward = make_step(tmp_path, micro_batches=2)
    run(counted_by_forward, 2)

    def count_targets(self, batch):
        return {"targets": sum(len(item["instances"]) for item in batch)}

    monkeypatch.setattr(tiny.TinyModel, "count_targets", count_targets, raising=False)
    counted_by_model = make_step(tmp_path, micro_batches=2)
    run(counted_by_model, 2)
    assert torch.equal(weights(counted_by_forward), weights(counted_by_model))


def test_dividing_by_each_part_would_not_equal_it(tmp_path, monkeypatch):
    """What the test above guards against: the parts' own counts give another gradient."""
    monkeypatch.setattr(
        tiny, "loss_normalizer", lambda name, count, device: torch.tensor(max(count, 1.0))
    )
    images = [0, 5, 0, 5, 1, 1, 4, 4]
    whole, parts = (make_step(tmp_path, images=images, micro_batches=n) for n in (1, 4))
    run(whole), run(parts)
    assert not torch.allclose(weights(whole), weights(parts), rtol=1e-3, atol=1e-4)


def test_a_count_that_the_model_forgot_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tiny.TinyModel, "count_targets", lambda self, b: {"x": 1}, raising=False)
    with pytest.raises(KeyError, match=r"'targets'.*count_targets must name it"):
        run(make_step(tmp_path, micro_batches=2))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_precisions_agree(tmp_path, precision):
    exact, step = make_step(tmp_path), make_step(tmp_path, precision=precision)
    run(exact, 3), run(step, 3)
    tolerance = 0 if precision == "float32" else 0.02
    torch.testing.assert_close(weights(step), weights(exact), rtol=tolerance, atol=tolerance)
    assert all(p.dtype == torch.float32 for p in step.parameters)


def test_losses_in_low_precision_are_refused(tmp_path, monkeypatch):
    step = make_step(tmp_path, precision="bfloat16")
    forward = tiny.TinyModel.forward
    monkeypatch.setattr(
        tiny.TinyModel, "forward", lambda s, b: {k: v.bfloat16() for k, v in forward(s, b).items()}
    )
    with pytest.raises(TypeError, match="loss_class, loss_size"):
        run(step)


@pytest.mark.parametrize("option", [{"precision": "int8"}, {"clip_type": "some"}])
def test_unknown_options_are_named(tmp_path, option):
    with pytest.raises(ValueError, match=next(iter(option.values()))):
        make_step(tmp_path, **option)


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("clip_type", ["full_model", "norm", "value"])
def test_clipping(tmp_path, clip_type, precision):
    """In fp16 the limit is of the gradients, not of their scaled-up form."""
    step = make_step(tmp_path, clip_type=clip_type, clip_limit=0.01, precision=precision)
    gradients = {}

    def keep(*args):
        gradients.update({id(p): p.grad.clone() for p in step.parameters if p.grad is not None})

    step.optimizer.register_step_pre_hook(keep)
    before = run(step).latest()["grad_norm"][0]
    grads = list(gradients.values())
    norms = torch.stack([g.norm() for g in grads])
    measured = {
        "full_model": norms.norm(),
        "norm": norms.max(),
        "value": max(g.abs().max() for g in grads),
    }[clip_type]
    assert 0.05 < before < 50  # logged before clipping, without the scale
    assert measured == pytest.approx(0.01, rel=1e-3)


def poison(step: TrainStep, *, at: set[int], where: str) -> None:
    """Makes the loss or the gradient of some steps NaN."""
    forward = step.model.forward

    def poisoned(batch):
        losses = forward(batch)
        if step.iter in at:
            weight = step.model.backbone.weight.sum()
            bad = weight * math.nan if where == "loss" else (weight - weight.detach()).sqrt()
            losses["loss_class"] = losses["loss_class"] + bad
        return losses

    step.model.forward = poisoned


@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_that_is_not_finite_is_reported_and_skipped(tmp_path, caplog, where, precision):
    """The square root's gradient at 0 is infinite: finite loss, gradient not."""
    step = make_step(tmp_path, precision=precision)
    poison(step, at={1}, where=where)
    run(step)
    before = weights(step)
    with EventStorage(1):
        step.iter = 1
        step.run_step()
    assert torch.equal(weights(step), before)
    assert "step is skipped" in caplog.text
    report = json.loads((tmp_path / "nonfinite" / "iter_0000001_rank_0.json").read_text())
    assert [row["image_id"] for row in report["images"]] == list(range(BATCH))
    assert report["images"][4]["num_instances"] == 4
    assert (report["losses"]["loss_class"] == "nan") == (where == "loss")
    assert "backbone.weight" in report["nonfinite_gradients"]
    assert report["nonfinite_weights"] == []
    step.iter = 2
    with EventStorage(2):
        step.run_step()
    assert not torch.equal(weights(step), before) and weights(step).isfinite().all()


@pytest.mark.parametrize("at, survives", [(set(), True), ({0, 1, 3, 4}, True), ({2, 3, 4}, False)])
def test_many_in_a_row_stop_the_run(tmp_path, at, survives):
    step = make_step(tmp_path)
    poison(step, at=at, where="loss")
    if survives:
        run(step, 6)
        assert step.guard.skipped == len(at)
    else:
        with pytest.raises(FloatingPointError, match="MAX_NONFINITE_STEPS"):
            run(step, 6)


def test_overflow_in_fp16_only_lowers_the_scale(tmp_path):
    step = make_step(tmp_path, precision="float16")
    before = step.grad_scaler.get_scale()
    poison(step, at={0}, where="gradient")
    run(step, 2)
    assert step.grad_scaler.get_scale() == before / 2
    assert step.guard.skipped == 0 and not (tmp_path / "nonfinite").exists()
