"""Parameter groups, optimisers, schedules."""

import math

import pytest
import torch
from torch import nn

from hoi_d2.config.load import load_config
from hoi_d2.solver import build_lr_scheduler, build_optimizer, parameter_groups
from hoi_d2.solver.build import with_short_warmup
from hoi_d2.solver.lr_scheduler import CosineRestarts


@pytest.fixture
def cfg():
    cfg = load_config("")
    cfg.SOLVER.BASE_LR, cfg.SOLVER.WEIGHT_DECAY, cfg.SOLVER.WEIGHT_DECAY_NORM = 1.0, 0.1, 0.0
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.WARMUP_ITERS = 20, 0
    return cfg


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
        self.head = nn.Linear(2, 2)
        self.tied = self.head
        self.frozen = nn.Linear(2, 2).requires_grad_(False)


def rates(model: nn.Module, groups: list[dict]) -> dict[str, tuple[float, float]]:
    """(learning rate, weight decay) by name."""
    of = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    return {n: of[id(p)] for n, p in model.named_parameters() if id(p) in of}


def test_a_frozen_model_has_no_groups(cfg):
    assert parameter_groups(nn.Linear(1, 1).requires_grad_(False), lr=1, weight_decay=0) == []
    with pytest.raises(ValueError, match="no parameter"):
        build_optimizer(cfg, nn.Linear(1, 1).requires_grad_(False))


def test_rates_and_decays(cfg):
    model = Model()
    cfg.SOLVER.WEIGHT_DECAY_BIAS, cfg.SOLVER.BIAS_LR_FACTOR = 0.05, 2.0
    assert rates(model, build_optimizer(cfg, model).param_groups) == {
        "backbone.0.weight": (0.1, 0.1),
        "backbone.0.bias": (0.2, 0.05),
        "backbone.1.weight": (0.1, 0.0),
        "backbone.1.bias": (0.1, 0.0),
        "head.weight": (1.0, 0.1),
        "head.bias": (2.0, 0.05),
    }


def test_each_parameter_once_and_few_groups():
    model = Model()
    groups = parameter_groups(model, lr=1.0, weight_decay=0.1)
    assert len(groups) == 1 and len(groups[0]["params"]) == 6


@pytest.mark.parametrize(
    "factors, weight, norm",
    [({}, 0.1, 0.1), ({"backbone": 0.5}, 0.5, 0.5), ({"backbone": 0.5, "backbone.1": 3}, 0.5, 3)],
)
def test_the_longest_prefix_wins(factors, weight, norm):
    model = Model()
    groups = parameter_groups(model, lr=1.0, weight_decay=0.0, backbone_factor=0.1, factors=factors)
    found = rates(model, groups)
    assert found["backbone.0.weight"][0] == pytest.approx(weight)
    assert found["backbone.1.weight"][0] == pytest.approx(norm)


def test_a_prefix_that_fits_nothing_is_named(cfg):
    cfg.SOLVER.LR_FACTORS = [["heads", 2.0]]
    with pytest.raises(ValueError, match=r"LR_FACTORS.*heads"):
        build_optimizer(cfg, Model())


@pytest.mark.parametrize(
    "name, kind",
    [("ADAMW", torch.optim.AdamW), ("adam", torch.optim.Adam), ("SGD", torch.optim.SGD)],
)
def test_optimizers_by_name(cfg, name, kind):
    cfg.SOLVER.OPTIMIZER = name
    assert type(build_optimizer(cfg, Model())) is kind


def test_an_unknown_optimizer_is_named(cfg):
    cfg.SOLVER.OPTIMIZER = "LION"
    with pytest.raises(ValueError, match="LION"):
        build_optimizer(cfg, Model())


def schedule(cfg, iterations: int) -> list[float]:
    optimizer = build_optimizer(cfg, nn.Linear(1, 1))
    scheduler = build_lr_scheduler(cfg, optimizer)
    found = []
    for _ in range(iterations):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_cosine_per_iteration(cfg):
    cfg.SOLVER.LR_SCHEDULER_NAME = "WarmupCosineLR"
    expected = [0.5 * (1 + math.cos(math.pi * i / 20)) for i in range(20)]
    assert schedule(cfg, 20) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "factor, starts, lengths", [(1, [0, 5, 10, 15], [5, 5, 5, 5]), (2, [0, 5, 15], [5, 10, 20])]
)
def test_warm_restarts_equal_torch(cfg, factor, starts, lengths):
    cfg.SOLVER.LR_SCHEDULER_NAME = "WarmupCosineRestartsLR"
    cfg.SOLVER.RESTART_ITERS, cfg.SOLVER.RESTART_FACTOR = 5, factor
    found = schedule(cfg, 20)
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    oracle = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 5, factor)
    for iteration, value in enumerate(found):
        assert value == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9), iteration
        optimizer.step()
        oracle.step()
    assert all(found[start] == pytest.approx(1.0) for start in starts)
    assert found[starts[1] - 1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 4 / lengths[0])))


def test_restarts_end_at_the_end_factor_and_warm_up(cfg):
    cfg.SOLVER.LR_SCHEDULER_NAME, cfg.SOLVER.COSINE_END = "WarmupCosineRestartsLR", 0.5
    cfg.SOLVER.RESTART_ITERS, cfg.SOLVER.WARMUP_ITERS = 10, 4
    cfg.SOLVER.MAX_ITER = 40
    found = schedule(cfg, 20)
    assert found[0] < found[1] < found[2] < found[3] < 1
    assert min(found[4:]) > 0.5 and found[10] == pytest.approx(1.0)


@pytest.mark.parametrize("key", ["RESTART_ITERS", "RESTART_FACTOR"])
def test_cycles_without_an_end_are_refused(cfg, key):
    cfg.SOLVER.LR_SCHEDULER_NAME = "WarmupCosineRestartsLR"
    cfg.SOLVER[key] = 0
    with pytest.raises(ValueError, match=key):
        schedule(cfg, 1)


def test_no_iteration_falls_into_the_cycle_before_it():
    """The share of the run comes from a division: 28.999999999999996 is iteration 29."""
    schedule = CosineRestarts(max_iter=3001, first_cycle=29)
    shares = [iteration / 3001 for iteration in range(3001)]
    assert any(share * 3001 != round(share * 3001) for share in shares)
    expected = [0.5 * (1 + math.cos(math.pi * (i % 29) / 29)) for i in range(3001)]
    assert [schedule(share) for share in shares] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("max_iter", "warmup", "used"),
    [(1, 0, 0), (1, 1000, 0), (100, 10, 10), (100, 12, 12), (100, 13, 10), (60, 500, 6)],
)
def test_a_warmup_that_is_too_long_is_cut(max_iter, warmup, used, caplog):
    cfg = load_config("", ["SOLVER.MAX_ITER", max_iter, "SOLVER.WARMUP_ITERS", warmup])
    cfg.freeze()
    assert with_short_warmup(cfg).SOLVER.WARMUP_ITERS == used
    assert ("is cut to" in caplog.text) == (used != warmup)
