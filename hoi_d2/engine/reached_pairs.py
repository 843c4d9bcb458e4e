"""Reports how many annotated pairs the detections reach: a run without any cannot learn."""

from __future__ import annotations

import logging

from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import nn

from hoi_d2.protocols import CountsReachedPairs

logger = logging.getLogger(__name__)
_REMEDY = (
    "The model cannot learn from pairs that it does not see: fine-tune the entity detector on this "
    "data, lower MODEL.RMLR.PAIRS.SCORE_THRESHOLD, or set MODEL.RMLR.LOSS.ADD_GROUND_TRUTH True"
)
_FEW = 0.1


class ReachedPairsHook(HookBase):
    """Logs "12 of 23 annotated pairs were reached by a detection", with a remedy where few are.

    Args:
        model: one that counts them; another one is not reported.
        period: steps between two reports; the first one is always logged, later ones if few are
            reached.
    """

    def __init__(self, model: nn.Module, *, period: int) -> None:
        self.model, self.period, self._reports = model, period, 0

    def after_step(self) -> None:
        is_last = self.trainer.iter + 1 == self.trainer.max_iter
        if not isinstance(self.model, CountsReachedPairs):
            return
        if (self.trainer.iter + 1) % self.period and not is_last:
            return
        counts = comm.all_gather(self.model.reached_pairs.take())
        reached, annotated = (sum(column) for column in zip(*counts))
        if annotated:
            self._report(reached, annotated)

    def _report(self, reached: int, annotated: int) -> None:
        share = reached / annotated
        self.trainer.storage.put_scalar("reached_pairs_share", share, smoothing_hint=False)
        self._reports += 1
        text = f"{reached} of {annotated} annotated pairs were reached by a detection"
        if share < _FEW:
            logger.warning("%s. %s", text, _REMEDY)
        elif self._reports == 1:
            logger.info("%s", text)
