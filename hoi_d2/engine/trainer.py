"""`HOITrainer`: detectron2's DefaultTrainer with a state that survives and losses that agree."""

from __future__ import annotations

import logging
import os
import weakref
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.engine import DefaultTrainer, HookBase, TrainerBase, hooks
from detectron2.evaluation import DatasetEvaluator
from detectron2.evaluation.evaluator import inference_context
from detectron2.modeling import build_model
from detectron2.utils import comm
from detectron2.utils.events import EventStorage, EventWriter
from torch import nn

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.checkpoint.random_weights import refuse_random_weights
from hoi_d2.config.load import ConfigError
from hoi_d2.data.loading.build import (
    TestLoader,
    TrainLoader,
    build_mapper,
    build_test_loader,
    build_train_loader,
    load_records,
)
from hoi_d2.engine.drawn_samples import ImageHook
from hoi_d2.engine.ema import WeightAverage
from hoi_d2.engine.evaluation import (
    build_evaluator,
    report_metrics,
    verify_metrics,
)
from hoi_d2.engine.guards import NonFiniteGuard
from hoi_d2.engine.hooks import (
    CheckpointHook,
    EarlyStop,
    EMAHook,
    EvaluationHook,
    StopSignalHook,
)
from hoi_d2.engine.logs import log_model
from hoi_d2.engine.reached_pairs import ReachedPairsHook
from hoi_d2.engine.stored_outputs import use_stored_outputs
from hoi_d2.engine.train_step import TrainStep, distribute, unwrapped
from hoi_d2.engine.trained_weights import half_precision, load_trained
from hoi_d2.engine.training_check import check_can_learn
from hoi_d2.engine.writers import build_writers, draw_curves
from hoi_d2.modeling.batches import forward_in_batches
from hoi_d2.modeling.hub_models import require_hub_models
from hoi_d2.protocols import PreparesTraining, frozen_prefixes
from hoi_d2.registration import register
from hoi_d2.solver import build_lr_scheduler, build_optimizer
from hoi_d2.utils.rng import rng_state, set_rng_state

logger = logging.getLogger(__name__)
_IMAGES = 4


class HOITrainer(DefaultTrainer):
    """Trains and evaluates any registered META_ARCHITECTURE on any registered dataset.

    Every process sees its share of the same global batches; checkpoints hold all that decides what
    comes next, so a resumed run on a CPU ends bit-identical to one that was never stopped.

    Args:
        cfg: frozen config with the keys of `add_hoi_config`.
    """

    def __init__(self, cfg: CfgNode) -> None:
        register()
        TrainerBase.__init__(self)  # DefaultTrainer's own builds detectron2's loader and steps
        self.cfg = cfg = scaled_to_processes(cfg)
        os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
        self.start_iter, self.max_iter = 0, cfg.SOLVER.MAX_ITER
        require_hub_models(cfg, training=True)
        model = self.build_model(cfg)
        if isinstance(model, PreparesTraining):
            model.prepare_training()
        optimizer = self.build_optimizer(cfg, model)
        self.train_loader = self.build_train_loader(cfg)
        self._check_data(model)
        self._trainer = self._build_step(model, optimizer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = HOICheckpointer(
            model,
            cfg.OUTPUT_DIR,
            copy_frozen=cfg.SOLVER.CHECKPOINT_FROZEN,
            keep=cfg.SOLVER.CHECKPOINT_KEEP,
            config=cfg.dump(),
            trainer=weakref.proxy(self),
        )
        self.average: WeightAverage | None = None
        if cfg.SOLVER.EMA.ENABLED:
            decay = cfg.SOLVER.EMA.DECAY
            frozen = frozen_prefixes(model)
            self.average = WeightAverage(model, decay=decay, frozen_prefixes=frozen)
            self.checkpointer.add_checkpointable("ema", self.average)
        self._rng: dict[str, Any] | None = None
        self._last_eval_results: dict[str, Any] = {}
        self.register_hooks(self.build_hooks())

    def _check_data(self, model: nn.Module) -> None:
        cfg, dataset = self.cfg, self.train_loader.dataset
        reads_images = getattr(dataset.mapper, "reads_images", True)
        check_can_learn(
            model,
            list(dataset.records),
            names=cfg.DATASETS.TRAIN,
            max_missing=cfg.DATALOADER.MAX_BAD_IMAGE_SHARE if reads_images else 1.0,
            allow_unknown_classes=cfg.MODEL.ENTITY_DETECTOR.ALLOW_UNKNOWN_CLASSES,
        )

    def _build_step(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> TrainStep:
        solver, clip = self.cfg.SOLVER, self.cfg.SOLVER.CLIP_GRADIENTS
        guard = NonFiniteGuard(
            os.path.join(self.cfg.OUTPUT_DIR, "nonfinite"), max_in_a_row=solver.MAX_NONFINITE_STEPS
        )
        return TrainStep(
            distribute(model, find_unused_parameters=solver.FIND_UNUSED_PARAMETERS),
            self.train_loader,
            optimizer,
            device=torch.device(self.cfg.MODEL.DEVICE),
            micro_batches=solver.ACCUMULATE,
            precision=solver.AMP.PRECISION if solver.AMP.ENABLED else "float32",
            clip_type=clip.CLIP_TYPE if clip.ENABLED else "none",
            clip_limit=clip.CLIP_VALUE,
            guard=guard,
        )

    def build_hooks(self) -> list[HookBase]:
        """Schedule, average, state, evaluation, in this order; logs come last, in `train`."""
        cfg, stop = self.cfg, StopSignalHook()
        evaluation = EvaluationHook(
            self.evaluate,
            period=cfg.TEST.EVAL_PERIOD,
            metric=cfg.TEST.BEST_METRIC,
            patience=cfg.TEST.PATIENCE,
            save_best=lambda: checkpoint.save("model_best"),
            stop=stop,
        )
        checkpoint = CheckpointHook(
            self.checkpointer,
            period=cfg.SOLVER.CHECKPOINT_PERIOD,
            stop=stop,
            extra_state=self._extra_state,
            evaluation_due=evaluation.due if cfg.DATASETS.TEST else lambda iteration: False,
        )
        model = unwrapped(self.model)
        result = [hooks.IterationTimer(), hooks.LRScheduler()]
        result += [ReachedPairsHook(model, period=cfg.SOLVER.LOG_PERIOD)]
        result += [EMAHook(self.average)] if self.average else []
        result += [stop, checkpoint]
        result += [evaluation] if cfg.DATASETS.TEST else []
        return result + self._image_hooks()

    def _image_hooks(self) -> list[HookBase]:
        """Images of the first test images with interactions, every VIS_PERIOD iterations."""
        cfg = self.cfg
        if not (cfg.VIS_PERIOD > 0 and cfg.DATASETS.TEST and comm.is_main_process()):
            return []
        name = cfg.DATASETS.TEST[0]
        vocabulary = MetadataCatalog.get(name).get("vocabulary")
        records = [r for r in load_records((name,)) if r.get("hoi_annotations")][:_IMAGES]
        if vocabulary is None or not records:
            return []
        return [
            ImageHook(
                unwrapped(self.model),
                records=records,
                mapper=build_mapper(cfg, is_train=False),
                vocabulary=vocabulary,
                directory=Path(cfg.OUTPUT_DIR) / "images",
                period=cfg.VIS_PERIOD,
                weights=self.average.applied if self.average else nullcontext,
            )
        ]

    def train(self) -> dict[str, Any]:
        """Trains up to SOLVER.MAX_ITER; returns the last metrics, nested by task."""
        if comm.is_main_process():
            period = self.cfg.SOLVER.LOG_PERIOD
            self.register_hooks([hooks.PeriodicWriter(self.build_writers(), period)])
        try:
            self._steps()
        except EarlyStop:
            pass
        finally:
            self._trainer.close()
        if comm.is_main_process():
            if self.cfg.SOLVER.DRAW_CURVES:
                draw_curves(self.cfg.OUTPUT_DIR)
            verify_metrics(self.cfg, self._last_eval_results)
        return self._last_eval_results

    def _steps(self) -> None:
        """As `TrainerBase.train`, which also prints the traceback of every error."""
        logger.info("training from iteration %d to %d", self.start_iter, self.max_iter)
        with EventStorage(self.start_iter) as self.storage:
            try:
                self.before_train()
                for iteration in range(self.start_iter, self.max_iter):
                    self.iter = iteration
                    self.before_step()
                    self.run_step()
                    self.after_step()
                self.iter += 1
            finally:
                self.after_train()

    def run_step(self) -> None:
        with self.train_loader.explained_deaths():
            super().run_step()

    def before_train(self) -> None:
        super().before_train()
        use_stored_outputs(self.cfg, unwrapped(self.model), self.train_loader.dataset)
        if self._rng is not None:  # last, so that nothing draws between here and the first step
            set_rng_state(self._rng)

    @property
    def stop_agreed(self) -> bool:
        """Whether some process was asked to stop; the same on all after each step."""
        return self._trainer.stop_agreed

    def request_stop(self) -> None:
        """Ends the run after the step that is under way."""
        self._trainer.stop_requested = True

    def resume_or_load(self, resume: bool = True) -> None:
        """Goes on from the last whole checkpoint of OUTPUT_DIR, or loads MODEL.WEIGHTS."""
        resume = resume and self.checkpointer.has_checkpoint()
        state = self.checkpointer.resume_or_load(self.cfg.MODEL.WEIGHTS, resume=resume)
        if resume:
            self.start_iter = self.iter + 1
            self.train_loader.load_state_dict(state["stream"])
            self._take_rng(state["rng"])
        elif self.average:
            self.average.reset()  # it was made before MODEL.WEIGHTS came
        starts = comm.all_gather(self.start_iter)
        if len(set(starts)) > 1:
            raise RuntimeError(
                f"the processes would start at iterations {starts}: OUTPUT_DIR "
                f"{self.cfg.OUTPUT_DIR} must be on a disk that all machines see"
            )
        refuse_random_weights(
            unwrapped(self.model),
            self.checkpointer.frozen_random_parts(),  # the others are trained
            allowed=self.cfg.MODEL.ALLOW_RANDOM_WEIGHTS,
        )

    def evaluate(self) -> dict[str, Any]:
        """Metrics of the present weights (their average, with SOLVER.EMA) on DATASETS.TEST."""
        with self.average.applied() if self.average else nullcontext():
            self._last_eval_results = self.test(self.cfg, unwrapped(self.model))
        if comm.is_main_process():
            random_parts = self.checkpointer.frozen_random_parts()  # the others are trained
            report_metrics(self.cfg.OUTPUT_DIR, self._last_eval_results, random_parts)
        return self._last_eval_results

    def _take_rng(self, states: list[dict[str, Any]]) -> None:
        if len(states) == comm.get_world_size():
            self._rng = states[comm.get_rank()]
        else:
            logger.warning(
                "the checkpoint is of %d processes, this run has %d: the seed is used again",
                *(len(states), comm.get_world_size()),
            )

    def _extra_state(self) -> dict[str, Any]:
        """The state of a checkpoint in addition to weights, optimizer, schedule and average."""
        state = {
            "rng": comm.gather(rng_state()),
            "stream": self.train_loader.state_dict(),
            "config": self.cfg.dump(),
        }
        vocabulary = MetadataCatalog.get(self.cfg.DATASETS.TRAIN[0]).get("vocabulary")
        if vocabulary is not None and not hasattr(unwrapped(self.model), "vocabulary"):
            state["vocabulary"] = vocabulary.as_dict()  # a detector's; others keep their own
        return state

    def state_dict(self) -> dict[str, Any]:
        return TrainerBase.state_dict(self) | {"_trainer": self._trainer.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        TrainerBase.load_state_dict(self, state_dict)
        self._trainer.load_state_dict(state_dict["_trainer"])

    def build_writers(self) -> list[EventWriter]:
        return build_writers(
            self.cfg.OUTPUT_DIR,
            start_iter=self.start_iter,
            max_iter=self.max_iter,
            batch_size=self.cfg.SOLVER.IMS_PER_BATCH,
            wandb_project=self.cfg.SOLVER.WANDB_PROJECT,
            config={"cfg": self.cfg.dump()},
        )

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module, evaluators: Any = None) -> dict[str, Any]:
        """detectron2's, in batches that are worth it on this device."""
        with inference_context(model):
            return super().test(cfg, partial(forward_in_batches, model), evaluators)

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        model = build_model(cfg)
        log_model(model)
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> Any:
        return build_lr_scheduler(cfg, optimizer)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> TrainLoader:
        return build_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> TestLoader:
        return build_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        return build_evaluator(cfg, dataset_name)


def evaluate_weights(cfg: CfgNode) -> dict[str, Any]:
    """Evaluates MODEL.WEIGHTS (their average, with SOLVER.EMA) on DATASETS.TEST: `--eval-only`."""
    register()
    require_hub_models(cfg)
    precision = half_precision(cfg)  # refused before the model is built
    model = HOITrainer.build_model(cfg)
    random_parts = load_trained(model, cfg)
    with precision:
        results = HOITrainer.test(cfg, model)
    if comm.is_main_process():
        report_metrics(cfg.OUTPUT_DIR, results, random_parts)
        verify_metrics(cfg, results)
    return results


def scaled_to_processes(cfg: CfgNode) -> CfgNode:
    """The config for this number of processes, where it names the one that it was written for.

    Raises:
        ConfigError: its batch cannot be cut into that many parts.
    """
    solver = cfg.SOLVER
    if solver.REFERENCE_WORLD_SIZE and solver.IMS_PER_BATCH % solver.REFERENCE_WORLD_SIZE:
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH {solver.IMS_PER_BATCH} is no multiple of "
            f"SOLVER.REFERENCE_WORLD_SIZE {solver.REFERENCE_WORLD_SIZE}"
        )
    return DefaultTrainer.auto_scale_workers(cfg, comm.get_world_size())
