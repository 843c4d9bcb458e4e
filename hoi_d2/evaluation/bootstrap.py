"""Confidence intervals of metrics by the bootstrap over images.

A replicate samples N of N images with replacement and computes every AP again, exactly. It takes a
few milliseconds, because no detection is matched again. A class whose positives are not in the
sample is left out of the means.

The AP of a sample is biased upwards: an image that is sampled twice repeats its positives at the
same scores. So the quantiles are shifted by the bias, and the interval lies around the value of the
full data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hoi_d2.evaluation.average_precision import System


@dataclass(frozen=True)
class Interval:
    """A metric and its interval, in percent.

    Args:
        value: of the full data set.
        low: lower end.
        high: upper end.
        deviation: standard deviation over the replicates.
        bias: mean of the replicates minus the value; subtracted from `low` and `high`.
    """

    value: float
    low: float
    high: float
    deviation: float
    bias: float


def bootstrap(
    system: System, num_images: int, *, replicates: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, Interval]:
    """Intervals of one system's metrics.

    Args:
        system: the scored results.
        num_images: N, the images of the data set.
        replicates: number of samples.
        seed: of the random numbers.
        level: share of the replicates inside the interval.

    Raises:
        ValueError: fewer than 2 replicates, no images, or a level outside (0, 1).
    """
    draws = _replicate([system], num_images, replicates, seed, level)[0]
    return {name: _interval(v, draws[name], level) for name, v in system.metrics().items()}


def bootstrap_difference(
    system: System,
    baseline: System,
    num_images: int,
    *,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Intervals of `system` minus `baseline`, both on the same samples of images.

    Args and errors are those of `bootstrap`.
    """
    draws, base_draws = _replicate([system, baseline], num_images, replicates, seed, level)
    ours, theirs = system.metrics(), baseline.metrics()
    return {
        name: _interval(ours[name] - theirs[name], draws[name] - base_draws[name], level)
        for name in ours
    }


def _replicate(
    systems: Sequence[System], num_images: int, replicates: int, seed: int, level: float
) -> list[dict[str, np.ndarray]]:
    if replicates < 2 or num_images < 1 or not 0 < level < 1:
        raise ValueError(
            f"bootstrap needs at least 2 replicates, 1 image and a level in (0, 1), got "
            f"{replicates}, {num_images}, {level}"
        )
    rng = np.random.default_rng(seed)
    rows: list[list[dict[str, float]]] = [[] for _ in systems]
    for _ in range(replicates):
        drawn = rng.integers(num_images, size=num_images)
        weights = np.bincount(drawn, minlength=num_images).astype(np.int32)
        for row, system in zip(rows, systems):
            row.append(system.metrics(weights))
    return [{name: np.asarray([r[name] for r in row]) for name in row[0]} for row in rows]


def _interval(value: float, draws: np.ndarray, level: float) -> Interval:
    draws = draws[~np.isnan(draws)]
    if not len(draws):
        return Interval(value, *[float("nan")] * 4)
    bias = float(draws.mean()) - value
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2]) - bias
    return Interval(value, float(low), float(high), float(draws.std()), bias)
