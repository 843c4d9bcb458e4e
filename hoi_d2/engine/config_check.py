"""Checks a config before anything is built from it: unknown names and impossible numbers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.modeling import META_ARCH_REGISTRY

from hoi_d2.config.load import ConfigError
from hoi_d2.engine.train_step import CLIP_TYPES, PRECISIONS
from hoi_d2.protocols import has_capability, meta_architecture
from hoi_d2.solver.build import OPTIMIZERS, SCHEDULERS

_LISTED = 20
_AT_LEAST_ONE = ("MAX_ITER", "IMS_PER_BATCH", "ACCUMULATE", "LOG_PERIOD", "MAX_NONFINITE_STEPS")


def check_config(cfg: CfgNode, *, training: bool) -> None:
    """Looks at the keys that every run reads.

    Args:
        cfg: the whole config; its own data sets are registered.
        training: whether the run trains; False = it only evaluates.

    Raises:
        ConfigError: a value is not possible; the message names the key and the choices.
    """
    _word("MODEL.META_ARCHITECTURE", cfg.MODEL.META_ARCHITECTURE, META_ARCH_REGISTRY._obj_map)
    _device(cfg.MODEL.DEVICE)
    if not cfg.OUTPUT_DIR.strip():
        raise ConfigError("OUTPUT_DIR is empty: name the folder that the run writes to")
    if training or cfg.DATASETS.TEST:
        _datasets("DATASETS.TEST", cfg.DATASETS.TEST)
    else:
        raise ConfigError("DATASETS.TEST is empty; name the datasets to evaluate on")
    if training:
        _check_training(cfg)


def _check_training(cfg: CfgNode) -> None:
    if has_capability(meta_architecture(cfg), "needs_no_training"):
        raise ConfigError(
            f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE} is not trained: train its "
            "parts (for DEFR-Det: train a DEFR on image labels), name their checkpoint in "
            "MODEL.WEIGHTS, and evaluate with --eval-only"
        )
    if not cfg.DATASETS.TRAIN:
        raise ConfigError("DATASETS.TRAIN is empty; name the datasets to train on")
    _datasets("DATASETS.TRAIN", cfg.DATASETS.TRAIN)
    solver = cfg.SOLVER
    for name in _AT_LEAST_ONE:
        if solver[name] < 1:
            raise ConfigError(f"SOLVER.{name} must be at least 1, got {solver[name]}")
    if (number := cfg.MODEL.ENTITY_DETECTOR.CACHE_AUGMENTATIONS) < 0:
        raise ConfigError(
            f"MODEL.ENTITY_DETECTOR.CACHE_AUGMENTATIONS must be 0 or more, got {number}"
        )
    _word("SOLVER.OPTIMIZER", solver.OPTIMIZER.upper(), OPTIMIZERS)
    _word("SOLVER.LR_SCHEDULER_NAME", solver.LR_SCHEDULER_NAME, SCHEDULERS)
    if solver.AMP.ENABLED:
        _word("SOLVER.AMP.PRECISION", solver.AMP.PRECISION, PRECISIONS)
    if solver.CLIP_GRADIENTS.ENABLED:
        _word("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", solver.CLIP_GRADIENTS.CLIP_TYPE, CLIP_TYPES)


def _datasets(key: str, names: Iterable[str]) -> None:
    for name in names:
        _word(key, name, DatasetCatalog.list())


def _device(name: str) -> None:
    try:
        torch.device(name)
    except RuntimeError as error:
        raise ConfigError(
            f"MODEL.DEVICE: expected cuda, cuda:0, ... or cpu, got {name!r}"
        ) from error


def _word(key: str, word: str, known: Iterable[str]) -> None:
    known = sorted(known)
    if word in known:
        return
    near = [name for name in known if name.lower() == word.lower()]
    near += difflib.get_close_matches(word, known, n=2)
    if near:
        hint = f"Did you mean {' or '.join(dict.fromkeys(near))}?"
    else:
        hint = f"Choose from {', '.join(known[:_LISTED])}{', ...' if len(known) > _LISTED else ''}"
    raise ConfigError(f"{key}: unknown value {word!r}. {hint}")
