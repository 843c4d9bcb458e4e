"""Runs of the study: data and results, each made once and kept in a folder, several at a time."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from layouts import Layouts, load, score
from text import score_with_text, sentences_found
from training import build, prepare, train
from variants import Variant

WEIGHTS = (0.1, 0.3, 1.0)
TEXT_WEIGHTS = (0.0, 4.0, 16.0)


_STUDIES: list[Study] = []  # what forked processes find


@dataclass(frozen=True)
class Run:
    """A variant, a seed, and the zero-shot split whose unseen classes are not trained on."""

    variant: Variant
    seed: int
    split: str = ""

    @property
    def chosen_by(self) -> str:
        """Column of the validation scores: unseen classes may not be looked at."""
        return "seen" if self.split else "all"


class Study:
    """Data, trained models and scores.

    Args:
        annotations: folder of `trainval_hico.json` and `test_hico.json`.
        output: folder of the results; what is there is not run again.
        jobs: runs at a time, of one thread each.
    """

    def __init__(self, annotations: Path, output: Path, *, jobs: int) -> None:
        self.annotations, self.output, self.jobs = annotations, output, jobs
        self.data: dict[str, dict[str, Layouts]] = {}

    def rows(self, runs: Iterable[Run], *, test: bool) -> list[dict[str, Any]]:
        """The figures of runs, in their order; those that are not on disk are made first."""
        runs = list(runs)
        missing = [run for run in runs if not self._is_complete(run, test)]
        for split in dict.fromkeys(run.split for run in missing):
            if split not in self.data:
                self.data[split] = load(self.annotations, unseen=split)
            self._make([run for run in missing if run.split == split], test)
        found = [json.loads(self._file(run).read_text()) for run in runs]
        return [
            {**asdict(run.variant), "seed": run.seed, "split": run.split, **figures}
            for run, figures in zip(runs, found)
        ]

    def _make(self, runs: list[Run], test: bool) -> None:
        """Forked, so that the processes share the data; `self` would be copied to them."""
        context = multiprocessing.get_context("fork")
        _STUDIES[:] = [self]
        with ProcessPoolExecutor(self.jobs, mp_context=context) as pool:
            for run, figures in zip(runs, pool.map(_make, runs, [test] * len(runs))):
                name = f"{run.split or 'closed'} {run.variant.name} {run.seed}"
                print(f"{name}: {json.dumps(figures)}", flush=True)

    def make(self, run: Run, test: bool) -> dict[str, Any]:
        """Trains and scores; every step that is on disk is read."""
        torch.set_num_threads(1)
        file, data = self._file(run), self.data[run.split]
        weights = file.with_suffix(".pt")
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            start = time.process_time()
            model, losses = train(run.variant, run.seed, data["train"])
            figures: dict[str, Any] = {"losses": losses}
            figures["seconds"] = round(time.process_time() - start)
            figures["val"] = score(model, data["val"], run.split)
            if run.variant.aligns:
                figures["sentences"] = sentences_found(model, data["val"])
            torch.save(model.state_dict(), weights)
            file.write_text(json.dumps(figures))
        figures = json.loads(file.read_text())
        if test and "test" not in figures:
            figures |= self._tested(run, weights)
            file.write_text(json.dumps(figures))
        return figures

    def _tested(self, run: Run, weights: Path) -> dict[str, Any]:
        """Test scores; with a split also those with `text_logits`, whose weight `val` chooses."""
        data = self.data[run.split]
        model = build(run.variant, run.seed)
        model.load_state_dict(torch.load(weights, weights_only=True))
        if not (run.split and run.variant.aligns):
            return {"test": score(model, data["test"], run.split)}
        prepare(model, run.variant)
        tried = score_with_text(model, data["val"], run.split, TEXT_WEIGHTS)
        best = max(TEXT_WEIGHTS, key=lambda weight: tried[weight][run.chosen_by])
        found = score_with_text(model, data["test"], run.split, (0.0, best))
        return {
            "test": found[0.0],
            "test_text": found[best],
            "text_weight": best,
            "val_text": tried,
        }

    def _is_complete(self, run: Run, test: bool) -> bool:
        file = self._file(run)
        return file.exists() and (not test or "test" in json.loads(file.read_text()))

    def _file(self, run: Run) -> Path:
        return self.output / (run.split or "closed") / run.variant.name / f"{run.seed}.json"

    def tuned(self, variants: Iterable[Variant]) -> list[Variant]:
        """Each with the weight of the best validation mAP over all classes, seed 1."""
        variants = list(variants)
        choices = {
            variant: [replace(variant, weight=w) for w in WEIGHTS] if variant.aligns else [variant]
            for variant in variants
        }
        runs = [Run(v, 1) for some in choices.values() for v in some]
        rows = iter(self.rows(runs, test=False))
        best = []
        for some in choices.values():
            scores = [next(rows)["val"]["all"] for _ in some]
            best.append(some[scores.index(max(scores))])
        return best


def _make(run: Run, test: bool) -> dict[str, Any]:
    return _STUDIES[0].make(run, test)
