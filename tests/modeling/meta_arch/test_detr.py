from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model

from hoi_d2.config.load import load_config
from hoi_d2.solver.build import build_optimizer
from tests.modeling.tiny import model_input, tiny_config


def detr(*options):
    torch.manual_seed(0)
    return build_model(tiny_config("Detr", *options))


HELPED = ("MODEL.DETR.QUERY_GROUPS", 3, "MODEL.DETR.DENSE_LOSS_WEIGHT", 1.0)


@pytest.mark.parametrize("name", ["detr", "conditional_detr"])
@pytest.mark.parametrize("options", [(), (*HELPED, "MODEL.DETR.FROZEN_BATCHNORM", False)])
def test_trains(name, options):
    model = detr("MODEL.DETR.NAME", name, *options).train()
    losses = model([model_input(), model_input(96, 64, seed=1)])
    assert all(name.startswith("loss_") and torch.isfinite(v) for name, v in losses.items())
    assert {"loss_ce", "loss_bbox", "loss_giou", "loss_bbox_0"} <= set(losses)
    assert ("loss_dense_encoder_box" in losses) == bool(options)
    sum(losses.values()).backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without


def test_an_image_without_objects():
    empty = model_input()
    empty["instances"] = empty["instances"][torch.zeros(0, dtype=torch.int64)]
    losses = detr(*HELPED).train()([empty])
    assert all(torch.isfinite(v) for v in losses.values())


@pytest.mark.parametrize("name", ["detr", "conditional_detr"])
def test_every_query_comes_out_in_the_original_size(name):
    model = detr("MODEL.DETR.NAME", name).eval()
    with torch.no_grad():
        found = model([model_input()])[0]["instances"]
    assert len(found) == 12
    assert found.image_size == (128, 160)
    assert (found.scores[:-1] >= found.scores[1:]).all()
    assert found.pred_classes.max() < 80


def test_helps_change_nothing_after_training():
    """Extra queries and dense heads are gone in evaluation: the same outputs without them."""
    helped = detr(*HELPED).eval()
    plain = detr().eval()
    missing, _ = plain.load_state_dict(helped.state_dict(), strict=False)
    assert not missing
    with torch.no_grad():
        a, b = helped([model_input()])[0]["instances"], plain([model_input()])[0]["instances"]
    torch.testing.assert_close(a.pred_boxes.tensor, b.pred_boxes.tensor)
    torch.testing.assert_close(a.scores, b.scores)


def test_learns_one_image():
    """A few steps on one image bring the loss down: boxes and classes are matched right."""
    torch.manual_seed(0)
    model = detr("MODEL.DETR.NAME", "conditional_detr", *HELPED, "MODEL.DETR.DROPOUT", 0.0).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    history = []
    for _ in range(40):
        losses = model([model_input()])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append({k: float(v.detach()) for k, v in losses.items()})
    assert history[-1]["loss_giou"] < 0.6 * history[0]["loss_giou"]
    assert history[-1]["loss_dense_encoder_class"] < 0.6 * history[0]["loss_dense_encoder_class"]


@pytest.mark.parametrize(
    ("name", "images", "epochs"),
    [
        ("R50_HICO", 37633, 30),
        ("R101_HICO", 37633, 30),
        ("R50_VCOCO", 5400, 30),
        ("R101_VCOCO", 5400, 30),
    ],
)
def test_fine_tuning_follows_the_published_recipe(name: str, images: int, epochs: int) -> None:
    cfg = load_config("")
    cfg.merge_from_file(str(Path(__file__).parents[3] / f"configs/Detr/{name}.yaml"))
    solver = cfg.SOLVER
    assert solver.IMS_PER_BATCH == 16
    assert solver.MAX_ITER == pytest.approx(epochs * images / 16, abs=1)
    assert cfg.MODEL.DETR.RESNET.DEPTHS[2] == (6 if name.startswith("R50") else 23)
    rates = {group["lr"] for group in build_optimizer(cfg, detr()).param_groups}
    assert sorted(rates) == pytest.approx([1e-6, 1e-5])
    assert (solver.WEIGHT_DECAY, solver.CLIP_GRADIENTS.CLIP_VALUE) == (1e-4, 0.1)
    assert not [s for s in solver.STEPS if s < solver.MAX_ITER]  # no drop
