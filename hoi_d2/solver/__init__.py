"""Optimisers and learning-rate schedules; start with `build`."""

from hoi_d2.solver.build import build_lr_scheduler, build_optimizer, parameter_groups

__all__ = ["build_lr_scheduler", "build_optimizer", "parameter_groups"]
