"""Exponential moving average of the trained weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Average of the parameters that require gradients and of the saved buffers.

    Whole numbers among the buffers (a batch norm's counter) are not averaged but followed.

    The average starts at the first weights and follows them fast at first (decay
    (1 + n) / (10 + n) until that reaches `decay`), so that it is of use early.

    Args:
        model: not wrapped.
        decay: weight of the past in each update.
        frozen_prefixes: modules that training never changes; they have no average.
    """

    def __init__(
        self, model: nn.Module, *, decay: float, frozen_prefixes: tuple[str, ...] = ()
    ) -> None:
        self.model, self.decay, self._frozen = model, decay, frozen_prefixes
        self.reset()

    def reset(self) -> None:
        """Restarts at the present weights."""
        self.num_updates = 0
        self.average = {name: value.detach().clone() for name, value in self._tracked().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Takes the present weights into the average."""
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        averages, values = [], []
        for name, value in self._tracked().items():
            if value.is_floating_point():
                averages.append(self.average[name])
                values.append(value.detach())
            else:
                self.average[name].copy_(value)
        torch._foreach_lerp_(averages, values, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the model has the averaged weights."""
        present = {name: value.detach().clone() for name, value in self._tracked().items()}
        self.copy_to_model()
        try:
            yield
        finally:
            self._write(present)

    def copy_to_model(self) -> None:
        """Gives the model the averaged weights for good."""
        self._write(self.average)

    def state_dict(self) -> dict[str, object]:
        return {"num_updates": self.num_updates, "average": self.average}

    def load_state_dict(self, state: dict) -> None:
        self.num_updates = state["num_updates"]
        for name, value in self.average.items():
            value.copy_(state["average"][name])

    def _tracked(self) -> dict[str, Tensor]:
        parameters = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        persistent = self.model.state_dict(keep_vars=True)
        buffers = {n: b for n, b in self.model.named_buffers() if n in persistent}
        tracked = parameters | buffers
        return {n: v for n, v in tracked.items() if not n.startswith(self._frozen or ("\0",))}

    @torch.no_grad()
    def _write(self, values: dict[str, Tensor]) -> None:
        for name, target in self._tracked().items():
            target.copy_(values[name])
