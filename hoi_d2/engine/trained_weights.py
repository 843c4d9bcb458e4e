"""The weights and the arithmetic that a model is used with after its training."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from detectron2.config import CfgNode
from torch import nn

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.checkpoint.random_weights import refuse_random_weights
from hoi_d2.config.load import ConfigError
from hoi_d2.engine.ema import WeightAverage
from hoi_d2.protocols import frozen_prefixes


def load_trained(model: nn.Module, cfg: CfgNode) -> list[str]:
    """Fills a model with `MODEL.WEIGHTS`: their average, where the config has SOLVER.EMA.

    Returns:
        The parts that stay random, which `MODEL.ALLOW_RANDOM_WEIGHTS` allows.

    Raises:
        WeightsError: they do not fit, or parts stay random and that is not allowed.
    """
    checkpointer = HOICheckpointer(model, cfg.OUTPUT_DIR)
    average = None
    if cfg.SOLVER.EMA.ENABLED:
        average = WeightAverage(model, decay=0, frozen_prefixes=frozen_prefixes(model))
        checkpointer.add_checkpointable("ema", average)
    if cfg.MODEL.WEIGHTS:
        checkpointer.load(cfg.MODEL.WEIGHTS, strict=False)
    if average is not None and average.num_updates:
        average.copy_to_model()
    allowed = cfg.MODEL.ALLOW_RANDOM_WEIGHTS
    refuse_random_weights(model, checkpointer.random_parts, allowed=allowed)
    return checkpointer.random_parts


def half_precision(cfg: CfgNode) -> AbstractContextManager[None]:
    """In it, a model computes with 16 bits where `TEST.HALF` says so.

    bfloat16 where the GPU has it, else float16. A CPU without matrix units for bfloat16 takes
    three to six times as long as with 32 bits, so that CPUs are refused.

    Raises:
        ConfigError: the model is on a CPU.
    """
    if not cfg.TEST.HALF:
        return nullcontext()
    device = torch.device(cfg.MODEL.DEVICE).type
    if device == "cpu":
        raise ConfigError(
            "half precision (--half, half=True, TEST.HALF) needs a GPU: on a CPU 16 bits take "
            "longer than 32. Leave it out, or name a GPU with --device"
        )
    is_bfloat16 = device != "cuda" or torch.cuda.is_bf16_supported()
    return torch.autocast(device, dtype=torch.bfloat16 if is_bfloat16 else torch.float16)
