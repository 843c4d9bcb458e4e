"""Builds the optimiser and the schedule of a config."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.solver import LRMultiplier, WarmupParamScheduler
from detectron2.solver import build_lr_scheduler as build_detectron2_scheduler
from torch import nn

from hoi_d2.solver.lr_scheduler import CosineRestarts

logger = logging.getLogger(__name__)
OPTIMIZERS = ("ADAMW", "ADAM", "SGD")
SCHEDULERS = (
    "WarmupCosineLR",
    "WarmupCosineRestartsLR",
    "WarmupMultiStepLR",
    "WarmupStepWithFixedGammaLR",
)
_NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.LocalResponseNorm,
)


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """Builds the optimiser of all parameters that require gradients.

    Raises:
        ValueError: the name is unknown, or no parameter requires gradients.
    """
    solver = cfg.SOLVER
    groups = parameter_groups(
        model,
        lr=solver.BASE_LR,
        weight_decay=solver.WEIGHT_DECAY,
        weight_decay_norm=solver.WEIGHT_DECAY_NORM,
        weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
        bias_factor=solver.BIAS_LR_FACTOR,
        backbone_factor=solver.BACKBONE_MULTIPLIER,
        factors=dict(solver.LR_FACTORS),
    )
    if not groups:
        raise ValueError("the model has no parameter that requires gradients")
    name = solver.OPTIMIZER.upper()
    if name == "SGD":
        momentum, nesterov = solver.MOMENTUM, solver.NESTEROV
        return torch.optim.SGD(groups, lr=solver.BASE_LR, momentum=momentum, nesterov=nesterov)
    if name in ("ADAMW", "ADAM"):
        kind = torch.optim.AdamW if name == "ADAMW" else torch.optim.Adam
        return kind(groups, lr=solver.BASE_LR)
    known = ", ".join(OPTIMIZERS)
    raise ValueError(f"SOLVER.OPTIMIZER: expected one of {known}, got {solver.OPTIMIZER!r}")


def parameter_groups(
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float,
    weight_decay_norm: float | None = None,
    weight_decay_bias: float | None = None,
    bias_factor: float = 1.0,
    backbone_factor: float = 1.0,
    factors: dict[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Groups the trained parameters by learning rate and weight decay.

    Args:
        model: the model; each parameter with `requires_grad` is in one group.
        lr: the base learning rate.
        weight_decay: the weight decay of all other parameters.
        weight_decay_norm: the weight decay of normalisation layers; None = `weight_decay`.
        weight_decay_bias: the weight decay of biases; None = `weight_decay`.
        bias_factor: the learning-rate factor of biases.
        backbone_factor: the learning-rate factor of parameters in a module called "backbone".
        factors: learning-rate factors by name prefix; the longest matching prefix is used, instead
            of `backbone_factor` as well.

    Raises:
        ValueError: a prefix of `factors` matches no trained parameter.
    """
    factors, used = factors or {}, set()
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, module, parameter in _trained_parameters(model):
        factor = backbone_factor if "backbone" in name.split(".")[:-1] else 1.0
        if fitting := [prefix for prefix in factors if name.startswith(prefix)]:
            longest = max(fitting, key=len)
            used.add(longest)
            factor = factors[longest]
        decay = weight_decay
        if isinstance(module, _NORMS):
            decay = weight_decay if weight_decay_norm is None else weight_decay_norm
        elif name.endswith("bias"):
            factor *= bias_factor
            decay = weight_decay if weight_decay_bias is None else weight_decay_bias
        groups.setdefault((lr * factor, decay), []).append(parameter)
    if unused := sorted(set(factors) - used):
        raise ValueError(f"SOLVER.LR_FACTORS: no trained parameter starts with {unused}")
    return [
        {"params": params, "lr": rate, "weight_decay": decay}
        for (rate, decay), params in groups.items()
    ]


def _trained_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Module, nn.Parameter]]:
    """Yields (name, module, parameter); a shared parameter is yielded once."""
    seen: set[nn.Parameter] = set()
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(prefix, recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                yield name, module, parameter


def with_short_warmup(cfg: CfgNode) -> CfgNode:
    """Shortens a warm-up that is longer than an eighth of the run to a tenth of it.

    A short run on own data has the warm-up of a long recipe and would otherwise end within it.
    """
    warmup, longest = cfg.SOLVER.WARMUP_ITERS, cfg.SOLVER.MAX_ITER // 10
    if 8 * warmup <= cfg.SOLVER.MAX_ITER:
        return cfg
    logger.warning(
        "SOLVER.WARMUP_ITERS %d is cut to %d, a tenth of SOLVER.MAX_ITER %d",
        *(warmup, longest, cfg.SOLVER.MAX_ITER),
    )
    cfg = cfg.clone()
    cfg.defrost()
    cfg.SOLVER.WARMUP_ITERS = longest
    return cfg


def build_lr_scheduler(
    cfg: CfgNode, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.LRScheduler:
    """Builds one of detectron2's schedules, stepped per iteration, or cosine with warm restarts."""
    cfg = with_short_warmup(cfg)
    solver = cfg.SOLVER
    if solver.LR_SCHEDULER_NAME != "WarmupCosineRestartsLR":
        return build_detectron2_scheduler(cfg, optimizer)
    schedule = CosineRestarts(
        max_iter=solver.MAX_ITER,
        first_cycle=solver.RESTART_ITERS,
        cycle_factor=solver.RESTART_FACTOR,
        end_factor=solver.COSINE_END,
    )
    warmup = min(solver.WARMUP_ITERS / solver.MAX_ITER, 1.0)
    if warmup > 0:
        schedule = WarmupParamScheduler(
            schedule, solver.WARMUP_FACTOR, warmup, solver.WARMUP_METHOD
        )
    return LRMultiplier(optimizer, multiplier=schedule, max_iter=solver.MAX_ITER)
