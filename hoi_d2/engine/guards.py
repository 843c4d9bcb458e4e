"""Reports, skips and counts steps whose loss or gradient is not finite."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from detectron2.structures import Instances
from detectron2.utils import comm
from torch import nn

logger = logging.getLogger(__name__)
_NAMED_PARAMETERS = 20


@dataclass
class StepReport:
    """The numbers of a step, means over processes and micro-batches."""

    iteration: int
    losses: dict[str, float]
    grad_norm: float
    data_time: float

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.grad_norm) and all(map(math.isfinite, self.losses.values()))


class NonFiniteGuard:
    """Accepts finite steps; writes others to a file; stops the run after many consecutive ones.

    Args:
        directory: reports go to `directory`/iter_<iteration>_rank_<rank>.json.
        max_in_a_row: number of consecutive steps that are not finite at which the run stops.
    """

    def __init__(self, directory: str | Path, *, max_in_a_row: int = 10) -> None:
        self.directory, self.max_in_a_row = Path(directory), max_in_a_row
        self.in_a_row = self.skipped = 0

    def accepts(
        self,
        report: StepReport,
        batches: list[list[dict[str, Any]]],
        model: nn.Module,
        *,
        scale: float = 1.0,
    ) -> bool:
        """Returns whether the weights may be updated. The same on every process, as the report is.

        Args:
            report: the step's numbers.
            batches: this process's micro-batches.
            model: with the gradients of the step.
            scale: of the loss in fp16; gradients that overflow while it is above 1 are how the
                right scale is found, and not reported.

        Raises:
            FloatingPointError: too many consecutive steps were not finite.
        """
        if report.is_finite:
            self.in_a_row = 0
            return True
        if scale > 1 and all(map(math.isfinite, report.losses.values())):
            logger.info(
                "iteration %d: gradients overflow at loss scale %g", report.iteration, scale
            )
            return False
        self.in_a_row += 1
        self.skipped += 1
        path = self._write(report, batches, model)
        message = (
            f"iteration {report.iteration}: loss or gradient is not finite (losses "
            f"{report.losses}, gradient norm {report.grad_norm}); {self.in_a_row} consecutive "
            f"steps, {self.skipped} in total. Images, losses and counts: {path}"
        )
        if self.in_a_row >= self.max_in_a_row:
            raise FloatingPointError(f"{message}. Stopping: SOLVER.MAX_NONFINITE_STEPS is reached")
        logger.error("%s. The step is skipped", message)
        return False

    def _write(
        self, report: StepReport, batches: list[list[dict[str, Any]]], model: nn.Module
    ) -> Path:
        name = f"iter_{report.iteration:07d}_rank_{comm.get_rank()}.json"
        path = self.directory / name
        content = {
            "iteration": report.iteration,
            "losses": {name: str(value) for name, value in report.losses.items()},
            "grad_norm": str(report.grad_norm),
            "nonfinite_gradients": _nonfinite_gradients(model),
            "nonfinite_weights": _nonfinite_weights(model),
            "images": [_describe(item) for batch in batches for item in batch],
        }
        self.directory.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1))
        return path

    def state_dict(self) -> dict[str, int]:
        return {"in_a_row": self.in_a_row, "skipped": self.skipped}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.in_a_row, self.skipped = state["in_a_row"], state["skipped"]


def _describe(item: dict[str, Any]) -> dict[str, Any]:
    """Id, file, size and target counts of a model input."""
    row: dict[str, Any] = {key: item[key] for key in ("image_id", "file_name") if key in item}
    if isinstance(item.get("image"), torch.Tensor):
        row["image_shape"] = list(item["image"].shape)
    for key, value in item.items():
        if isinstance(value, Instances):
            row[f"num_{key}"] = len(value)
    return row


def _nonfinite_gradients(model: nn.Module) -> list[str]:
    names = (
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and not parameter.grad.isfinite().all()
    )
    return [name for name, _ in zip(names, range(_NAMED_PARAMETERS))]


def _nonfinite_weights(model: nn.Module) -> list[str]:
    names = (name for name, weight in model.named_parameters() if not weight.isfinite().all())
    return [name for name, _ in zip(names, range(_NAMED_PARAMETERS))]
