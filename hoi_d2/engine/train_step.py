"""One optimiser step: micro-batches, mixed precision, clipping, and the guard against NaN."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack, nullcontext
from typing import Any, cast

import torch
import torch.distributed as dist
from detectron2.engine import SimpleTrainer
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hoi_d2.engine.guards import NonFiniteGuard, StepReport
from hoi_d2.modeling.losses.normalizer import collect_counts, step_counts
from hoi_d2.protocols import CountsTargets
from hoi_d2.utils.rng import preserved_rng

Batch = list[dict[str, Any]]
CLIP_TYPES = ("none", "full_model", "norm", "value")
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TrainStep(SimpleTrainer):
    """detectron2's SimpleTrainer with accumulation, bf16 / fp16, clipping and a guard.

    Losses are averaged over processes and micro-batches; with losses that are divided through
    `loss_normalizer` this is the loss of the whole batch.

    Args:
        model: trained; may be wrapped in DistributedDataParallel.
        data_loader: endless micro-batches.
        optimizer: of the trained parameters.
        device: of the model.
        micro_batches: per step.
        precision: "float32", "bfloat16" or "float16".
        clip_type: what is limited: the norm over all gradients ("full_model"), the norm of each
            parameter's gradient ("norm"), each of its elements ("value"), or nothing ("none").
        clip_limit: to this.
        guard: decides what happens to a step that is not finite.

    Raises:
        ValueError: an unknown precision or clip type.
    """

    def __init__(
        self,
        model: nn.Module,
        data_loader: Iterable[Batch],
        optimizer: torch.optim.Optimizer,
        *,
        device: torch.device,
        micro_batches: int = 1,
        precision: str = "float32",
        clip_type: str = "none",
        clip_limit: float = float("inf"),
        guard: NonFiniteGuard,
    ) -> None:
        super().__init__(model, data_loader, optimizer)
        if precision not in PRECISIONS:
            raise ValueError(
                f"SOLVER.AMP.PRECISION must be one of {sorted(PRECISIONS)}, got {precision}"
            )
        if clip_type not in CLIP_TYPES:
            raise ValueError(
                f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE must be one of {CLIP_TYPES}, got {clip_type}"
            )
        self.device, self.micro_batches, self.precision = device, micro_batches, precision
        self.clip_type, self.clip_limit, self.guard = clip_type, clip_limit, guard
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.grad_scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
        self.stop_requested = False  # set from outside on any process, agreed on in the step
        self.stop_agreed = False
        self.batches = iter(data_loader)  # detectron2 0.6 and main name theirs differently

    def close(self) -> None:
        """Ends the loader's workers: they ignore the signal by which Python would end them."""
        if hasattr(self.batches, "close"):
            self.batches.close()

    def run_step(self) -> None:
        """Takes the micro-batches of one step and updates the weights with them, if finite."""
        start = time.perf_counter()
        batches = [next(self.batches) for _ in range(self.micro_batches)]
        data_time = time.perf_counter() - start

        losses = self._backward(batches)
        self.grad_scaler.unscale_(self.optimizer)
        grad_norm = self._clip()
        report = self._agree(losses, grad_norm, data_time)
        if self.guard.accepts(report, batches, self.model, scale=self.grad_scaler.get_scale()):
            self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self._log(report)

    def _backward(self, batches: list[Batch]) -> dict[str, Tensor]:
        """Adds up the gradients of the micro-batches; returns the losses' means, on the device."""
        totals: dict[str, Tensor] = {}
        with ExitStack() as stack:
            if self.micro_batches > 1:
                counts = self._count_targets(batches)
                stack.enter_context(step_counts(counts, micro_batches=self.micro_batches))
            for number, batch in enumerate(batches):
                last = number == len(batches) - 1
                with nullcontext() if last else self._without_sync():
                    losses = self._losses(batch)
                    mean = cast(Tensor, sum(losses.values())) / self.micro_batches
                    self.grad_scaler.scale(mean).backward()
                for name, loss in losses.items():
                    totals[name] = totals.get(name, 0) + loss.detach() / self.micro_batches
        return totals

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        with self._autocast():
            losses = self.model(batch)
        low = [name for name, loss in losses.items() if loss.dtype != torch.float32]
        if low:
            raise TypeError(f"losses must be computed in float32: {', '.join(low)}")
        return losses

    def _count_targets(self, batches: list[Batch]) -> dict[str, float]:
        model = unwrapped(self.model)
        with torch.no_grad(), collect_counts() as counts:
            for batch in batches:
                if isinstance(model, CountsTargets):
                    counts.update(model.count_targets(batch))
                else:
                    with preserved_rng(), self._autocast():
                        model(batch)
        return {name: float(count) for name, count in counts.items()}

    def _autocast(self) -> torch.autocast | nullcontext:
        dtype = PRECISIONS[self.precision]
        return torch.autocast(self.device.type, dtype=dtype) if dtype else nullcontext()

    def _without_sync(self) -> Any:
        distributed = isinstance(self.model, DistributedDataParallel)
        return self.model.no_sync() if distributed else nullcontext()

    def _clip(self) -> Tensor:
        """Norm over all gradients, before they are clipped."""
        limit = self.clip_limit if self.clip_type == "full_model" else float("inf")
        norm = nn.utils.clip_grad_norm_(self.parameters, limit)
        if self.clip_type == "norm":
            for parameter in self.parameters:
                nn.utils.clip_grad_norm_(parameter, self.clip_limit)
        elif self.clip_type == "value":
            nn.utils.clip_grad_value_(self.parameters, self.clip_limit)
        return norm

    def _agree(self, losses: dict[str, Tensor], grad_norm: Tensor, data_time: float) -> StepReport:
        """The step's numbers, the same on every process: one reduction and one copy to the host."""
        names = sorted(losses)
        values = torch.stack([losses[name].float() for name in names] + [grad_norm.float()])
        extra = values.new_tensor([data_time, float(self.stop_requested)])
        values = torch.cat([values, extra])
        if comm.get_world_size() > 1:
            dist.all_reduce(values)
            values /= comm.get_world_size()
        *means, norm, data_time, stop = values.tolist()
        self.stop_agreed = stop > 0
        return StepReport(self.iter, dict(zip(names, means)), norm, data_time)

    def _log(self, report: StepReport) -> None:
        if not comm.is_main_process():
            return
        storage = get_event_storage()
        storage.put_scalar("data_time", report.data_time)
        if not report.is_finite:
            return
        storage.put_scalar("total_loss", sum(report.losses.values()))
        storage.put_scalar("grad_norm", report.grad_norm)
        storage.put_scalars(**report.losses)

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state["grad_scaler"] = self.grad_scaler.state_dict()
        state["guard"] = self.guard.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.grad_scaler.load_state_dict(state_dict["grad_scaler"])
        self.guard.load_state_dict(state_dict["guard"])


def distribute(model: nn.Module, *, find_unused_parameters: bool) -> nn.Module:
    """Returns the model, in DistributedDataParallel where there are several processes."""
    if comm.get_world_size() == 1:
        return model
    device = next(model.parameters()).device
    return DistributedDataParallel(
        model,
        device_ids=[device] if device.type == "cuda" else None,
        broadcast_buffers=False,
        find_unused_parameters=find_unused_parameters,
    )


def unwrapped(model: nn.Module) -> nn.Module:
    """Returns the model below DistributedDataParallel."""
    return model.module if isinstance(model, DistributedDataParallel) else model
