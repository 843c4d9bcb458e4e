"""Cosine annealing with warm restarts, per iteration."""

from __future__ import annotations

import math

from fvcore.common.param_scheduler import ParamScheduler


class CosineRestarts(ParamScheduler):
    """1 down to `end_factor` along half a cosine, then from 1 again (Loshchilov & Hutter, 2017).

    Args:
        max_iter: iterations of the whole run.
        first_cycle: iterations of the first descent.
        cycle_factor: each descent takes this many times as long as the one before.
        end_factor: what a descent ends at, as a share of the base rate.

    Raises:
        ValueError: a cycle without an iteration, or one that shrinks.
    """

    def __init__(
        self, *, max_iter: int, first_cycle: int, cycle_factor: int = 1, end_factor: float = 0.0
    ) -> None:
        if first_cycle < 1 or cycle_factor < 1:
            raise ValueError(f"SOLVER.RESTART_ITERS {first_cycle}, RESTART_FACTOR {cycle_factor}")
        self.max_iter, self.first_cycle = max_iter, first_cycle
        self.cycle_factor, self.end_factor = cycle_factor, end_factor

    def __call__(self, where: float) -> float:
        """The multiplier at `where`, the share of the run that is done."""
        iteration = round(where * self.max_iter, 6)  # the share came from a division
        length = self.first_cycle
        while iteration >= length:
            iteration -= length
            length *= self.cycle_factor
        cosine = 0.5 * (1 + math.cos(math.pi * iteration / length))
        return self.end_factor + (1 - self.end_factor) * cosine
