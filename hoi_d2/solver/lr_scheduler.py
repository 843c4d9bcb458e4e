"""Cosine annealing with warm restarts, per iteration."""

from __future__ import annotations

import math

from fvcore.common.param_scheduler import ParamScheduler


class CosineRestarts(ParamScheduler):
    """Half a cosine from 1 to `end_factor`, repeated from 1 (Loshchilov & Hutter, 2017).

    Args:
        max_iter: the iterations of the whole run.
        first_cycle: the iterations of the first cycle.
        cycle_factor: the length of each cycle relative to the previous one.
        end_factor: the multiplier at the end of a cycle.

    Raises:
        ValueError: a cycle has no iterations, or cycles get shorter.
    """

    def __init__(
        self, *, max_iter: int, first_cycle: int, cycle_factor: int = 1, end_factor: float = 0.0
    ) -> None:
        if first_cycle < 1 or cycle_factor < 1:
            raise ValueError(
                "SOLVER.RESTART_ITERS and RESTART_FACTOR must be at least 1, got "
                f"{first_cycle} and {cycle_factor}"
            )
        self.max_iter, self.first_cycle = max_iter, first_cycle
        self.cycle_factor, self.end_factor = cycle_factor, end_factor

    def __call__(self, where: float) -> float:
        """Returns the multiplier at `where`, the completed share of the run."""
        iteration = round(where * self.max_iter, 6)  # removes the rounding error of the share
        length = self.first_cycle
        while iteration >= length:
            iteration -= length
            length *= self.cycle_factor
        cosine = 0.5 * (1 + math.cos(math.pi * iteration / length))
        return self.end_factor + (1 - self.end_factor) * cosine
