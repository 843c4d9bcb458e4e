"""A model whose process is killed once, in a module that other processes can import."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from hoi_d2.inference.choice import ModelChoice
from tests.inference.bulk_stub import StubPredictor


@dataclass(frozen=True)
class DyingChoice(ModelChoice):
    """A model whose first process is killed when it has written a shard."""

    shards: str = ""

    def decides(self) -> dict:
        return {}

    def predictor(self) -> StubPredictor:
        return DyingPredictor(Path(self.shards)) if self.shards else StubPredictor()


class DyingPredictor(StubPredictor):
    def __init__(self, shards: Path) -> None:
        self.shards = shards

    def model(self, inputs: list[dict]) -> list[dict]:
        killed = self.shards.parent / "killed"
        if list(self.shards.glob("*.parquet")) and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().model(inputs)
