"""Hooks around the steps: state on disk, stop signals, evaluation, best model, early stop."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from detectron2.engine import HookBase
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.config.load import ConfigError
from hoi_d2.engine.ema import WeightAverage
from hoi_d2.utils.rng import preserved_rng
from hoi_d2.utils.signals import STOP_SIGNALS

logger = logging.getLogger(__name__)
_IMPATIENT = 2.0
"""Seconds after which a second Ctrl-C is meant."""


class Preempted(SystemExit):
    """The run was asked to stop and its state is saved: exit status 0, to be started again."""

    def __init__(self) -> None:
        super().__init__(0)


class EarlyStop(BaseException):
    """No better metric for SOLVER's patience; not an error, so nothing logs a traceback."""


class EMAHook(HookBase):
    """Updates the weight average after each step."""

    def __init__(self, average: WeightAverage) -> None:
        self.average = average

    def after_step(self) -> None:
        self.average.update()


class StopSignalHook(HookBase):
    """SIGINT, SIGTERM, SIGUSR1 and SIGUSR2 end the run after the step, with its state saved.

    During an evaluation the run leaves at once: its state was saved just before. A handler that
    was there before (a job scheduler's) is called last, so that it can queue the job again.
    Ctrl-C again, some seconds later, ends the run without saving.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.received_at = 0.0
        self.in_evaluation = False
        self._previous: dict[int, Any] = {}

    def before_train(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # Python only lets the main thread handle signals
        for number in STOP_SIGNALS:
            self._previous[number] = signal.signal(number, self._handle)

    def after_train(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def leave(self) -> None:
        """Ends the process; the state has been saved."""
        handler = None if self.received is None else self._previous.get(self.received)
        logger.warning("stopped by request; use --resume to continue from here")
        if callable(handler) and handler is not signal.default_int_handler:
            handler(self.received, None)
        raise Preempted

    def _handle(self, number: int, frame: Any) -> None:
        now = time.monotonic()
        # A terminal and the process that started this one may both send the same Ctrl-C.
        if number == self.received == signal.SIGINT and now - self.received_at > _IMPATIENT:
            raise KeyboardInterrupt
        if self.received is None:
            self.received_at = now
        self.received = number
        logger.warning("signal %d: saving the state after this step", number)
        if self.in_evaluation:
            self.leave()
        self.trainer.request_stop()


class CheckpointHook(HookBase):
    """Saves the whole state every `period` steps, before evaluations, at the end, and on request.

    Args:
        checkpointer: writes on the first process; the hook runs on all, whose random number
            generators are part of the state.
        period: iterations; 0 = never just because of their number.
        stop: the hook that knows of stop signals.
        extra_state: gives what else the file holds.
        evaluation_due: iteration -> whether an evaluation follows it.
    """

    def __init__(
        self,
        checkpointer: HOICheckpointer,
        *,
        period: int,
        stop: StopSignalHook,
        extra_state: Callable[[], dict[str, Any]],
        evaluation_due: Callable[[int], bool] = lambda iteration: False,
    ) -> None:
        self.checkpointer, self.period, self.stop = checkpointer, period, stop
        self.extra_state, self.evaluation_due = extra_state, evaluation_due

    def after_step(self) -> None:
        iteration = self.trainer.iter
        final = iteration + 1 == self.trainer.max_iter
        stopping = self.trainer.stop_agreed
        periodic = self.period > 0 and (iteration + 1) % self.period == 0
        if final:
            self.save("model_final")
        elif periodic or stopping or self.evaluation_due(iteration):
            self.save(f"model_{iteration:07d}")
        if stopping and not final:
            self.stop.leave()

    def save(self, name: str) -> None:
        """Saves the present state under `name`; all processes take part."""
        state = self.extra_state()
        self.checkpointer.save(name, iteration=self.trainer.iter, **state)


class EvaluationHook(HookBase):
    """Evaluates every `period` iterations and at the end; keeps the best model; stops early.

    An evaluation that a killed run did not finish is done when it is resumed.

    Args:
        evaluate: gives a nested dict of metrics on the first process.
        period: iterations; 0 = at the end only.
        metric: whose best model is saved; "" = none.
        patience: evaluations without a better metric after which the run stops; 0 = never.
        save_best: called on all processes.
        stop: told when an evaluation runs.
    """

    def __init__(
        self,
        evaluate: Callable[[], dict[str, Any]],
        *,
        period: int,
        metric: str = "",
        patience: int = 0,
        save_best: Callable[[], None],
        stop: StopSignalHook,
    ) -> None:
        self.evaluate, self.period, self.stop = evaluate, period, stop
        self.metric, self.patience, self.save_best = metric, patience, save_best
        self.evaluated, self.best, self.waited = -1, -math.inf, 0

    def due(self, iteration: int) -> bool:
        """Returns whether an evaluation follows this iteration."""
        periodic = self.period > 0 and (iteration + 1) % self.period == 0
        return periodic or iteration + 1 == self.trainer.max_iter

    def before_train(self) -> None:
        last = self.trainer.start_iter - 1
        if last >= 0 and self.due(last) and self.evaluated != last:
            logger.info("evaluating iteration %d, which the previous run did not finish", last)
            self._run(last)
        self._stop_if_waited()

    def after_step(self) -> None:
        if self.due(self.trainer.iter):
            self._run(self.trainer.iter)
            self._stop_if_waited()

    def _run(self, iteration: int) -> None:
        self.stop.in_evaluation = True
        with preserved_rng():
            metrics = flatten_results_dict(self.evaluate() or {})
        self.stop.in_evaluation = False
        self.trainer.storage.put_scalars(**metrics, smoothing_hint=False)
        self.evaluated = iteration
        if self.metric:
            self._compare(comm.all_gather(metrics.get(self.metric))[0], sorted(metrics))

    def _compare(self, value: float | None, known: list[str]) -> None:
        if value is None:
            raise ConfigError(f"TEST.BEST_METRIC {self.metric} is not among {', '.join(known)}")
        if value > self.best:
            logger.info("%s %.4f: the best so far", self.metric, value)
            self.best, self.waited = value, 0
            self.save_best()
        else:
            self.waited += 1
            logger.info("%s %.4f: %.4f was better", self.metric, value, self.best)

    def _stop_if_waited(self) -> None:
        if self.patience and self.waited >= self.patience:
            logger.info(
                "no improvement of %s in %d evaluations: stopping", self.metric, self.waited
            )
            raise EarlyStop

    def state_dict(self) -> dict[str, Any]:
        return {"evaluated": self.evaluated, "best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.evaluated, self.best = state["evaluated"], state["best"]
        self.waited = state["waited"]
