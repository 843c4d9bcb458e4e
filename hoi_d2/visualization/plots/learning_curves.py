"""Plots learning curves of one or several runs, from the log of a training, train_log.jsonl."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hoi_d2.visualization.plots.evaluation import save_figure

Series = tuple[np.ndarray, np.ndarray]
"""(T,) iterations, ascending, and (T,) values."""

LOG_NAME = "train_log.jsonl"
"""The log of a training, one JSON object per line; metrics.json has the last evaluation."""

_DETECTRON2_LOG_NAME = "metrics.json"  # the same format, from detectron2's own trainer

DEFAULT_METRICS = ("total_loss", "*/mAP*", "*/AP*", "lr")


def read_metrics(path: str | Path) -> dict[str, Series]:
    """Reads every metric of a run by name.

    If a resumed run wrote an iteration twice, the later values count. An incomplete last line (of a
    run that was killed) is ignored.

    Args:
        path: the log (one JSON object per line), or the run's folder with train_log.jsonl or, of
            detectron2's own trainer, metrics.json.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line other than the last is not a JSON object; the message names it.
    """
    path = Path(path)
    if path.is_dir():
        ours = path / LOG_NAME
        path = ours if ours.exists() else path / _DETECTRON2_LOG_NAME
    series: dict[str, dict[int, float]] = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        record = _parse(line, last=number == len(lines), place=f"{path}, line {number}")
        iteration = record.get("iteration")
        for name, value in record.items():
            if name != "iteration" and iteration is not None and _is_number(value):
                series.setdefault(name, {})[int(iteration)] = float(value)
    return {name: _sorted(values) for name, values in series.items()}


def _parse(line: str, *, last: bool, place: str) -> dict:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        if last:
            return {}
        raise ValueError(f"{place}: not JSON ({error.msg}); is it the log of a run?") from error
    if not isinstance(record, dict):
        raise ValueError(f"{place}: expected an object with the metrics of an iteration")
    return record


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _sorted(values: Mapping[int, float]) -> Series:
    iterations = np.array(sorted(values))
    return iterations, np.array([values[i] for i in iterations.tolist()])


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Returns the median over the last `window` values (T,), as in detectron2's log."""
    if window < 2 or not len(values):
        return values
    padded = np.concatenate([np.full(window - 1, np.nan), values])
    return np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, window), axis=1)


def plot_learning_curves(
    path: str | Path,
    runs: Mapping[str, str | Path],
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    window: int = 20,
    log_scale: bool = False,
) -> list[str]:
    """Plots a panel per metric and a line per run; losses are smoothed, raw values are faint.

    Args:
        path: of the PNG; the CSV has the columns run, metric, iteration, value, all raw.
        runs: name -> the log or its folder.
        metrics: names or patterns such as `loss_*`, in the order of the panels.
        window: number of logged values over which a loss is smoothed, if it has many more.
        log_scale: whether to use a logarithmic scale.

    Returns:
        The metrics that were plotted.

    Raises:
        ValueError: no run has any of the metrics; the message lists those that exist.
    """
    tables = {name: read_metrics(source) for name, source in runs.items()}
    chosen = _matching(tables, metrics)
    rows = -(-len(chosen) // 2)
    figure = Figure(figsize=(12 if len(chosen) > 1 else 8, 3.6 * rows), layout="constrained")
    grid = figure.subplots(rows, min(2, len(chosen)), squeeze=False).ravel()
    columns: dict[str, list] = {"run": [], "metric": [], "iteration": [], "value": []}
    for axes, metric in zip(grid, chosen):
        for number, (run, table) in enumerate(tables.items()):
            if metric in table:
                iterations, values = table[metric]
                color = f"C{number % 10}"
                _draw(axes, (iterations, values), metric, run=run, color=color, window=window)
                columns["run"] += [run] * len(values)
                columns["metric"] += [metric] * len(values)
                columns["iteration"] += iterations.tolist()
                columns["value"] += values.tolist()
        axes.set(title=metric, xlabel="iteration", yscale="log" if log_scale else "linear")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    for axes in grid[len(chosen) :]:
        axes.set_axis_off()
    save_figure(figure, path, columns)
    return chosen


def _matching(tables: Mapping[str, Mapping[str, Series]], patterns: Sequence[str]) -> list[str]:
    names = sorted({name for table in tables.values() for name in table})
    chosen = [name for pattern in patterns for name in names if fnmatch(name, pattern)]
    if not chosen:
        there = ", ".join(names) or "none: the files are empty"
        raise ValueError(f"no run has a metric like {', '.join(patterns)}; there are: {there}")
    return list(dict.fromkeys(chosen))


def _draw(axes: Axes, series: Series, name: str, *, run: str, color: str, window: int) -> None:
    iterations, values = series
    if "loss" not in name or len(values) <= 2 * window:
        marker = "." if len(values) <= 2 * window else ""
        axes.plot(iterations, values, color=color, marker=marker, label=run)
        return
    axes.plot(iterations, values, color=color, alpha=0.2, linewidth=0.8)
    axes.plot(iterations, smooth(values, window), color=color, label=run)
