"""Draws what the model sees while it trains: annotations next to predictions, a few images."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from detectron2.engine import HookBase
from detectron2.evaluation import inference_context
from torch import nn

from hoi_d2.data.mappers import read_dataset_image
from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.utils.rng import preserved_rng
from hoi_d2.visualization import InteractionDrawer

logger = logging.getLogger(__name__)


class ImageHook(HookBase):
    """Every `period` iterations: one PNG an image, and the same in TensorBoard.

    Runs on the first process alone. A model that gives no `hoi_instances` draws nothing.

    Args:
        model: not wrapped.
        records: dataset dicts of the images, a few.
        mapper: of the test set.
        vocabulary: of the dataset.
        directory: of the files, iter_<iteration>_<image id>.png.
        period: iterations.
        weights: context in which the model has the weights to show (their average).
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        records: list[dict[str, Any]],
        mapper: Callable[[dict[str, Any]], dict[str, Any]],
        vocabulary: Vocabulary,
        directory: Path,
        period: int,
        weights: Callable[[], AbstractContextManager] = nullcontext,
    ) -> None:
        self.model, self.records, self.mapper = model, records, mapper
        self.vocabulary, self.directory, self.period = vocabulary, directory, period
        self.weights = weights

    def after_step(self) -> None:
        if (self.trainer.iter + 1) % self.period:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        with preserved_rng(), self.weights(), inference_context(self.model), torch.no_grad():
            for record in self.records:
                image = self.draw(record)
                if image is not None:
                    self._keep(record, image)

    def draw(self, record: dict[str, Any]) -> np.ndarray | None:
        """Returns (H, W, 3) RGB: annotations on the left, predictions on the right."""
        output = self.model([self.mapper(record)])[0]
        if "hoi_instances" not in output:
            return None
        image = read_dataset_image(record)
        truth = InteractionDrawer(image).draw_dataset_dict(record, self.vocabulary).get_image()
        found = InteractionDrawer(image).draw_hoi_instances(
            output["hoi_instances"].to("cpu"), self.vocabulary
        )
        return _side_by_side(truth, found.get_image())

    def _keep(self, record: dict[str, Any], image: np.ndarray) -> None:
        name = f"iter_{self.trainer.iter + 1:07d}_{record['image_id']}.png"
        cv2.imwrite(str(self.directory / name), image[:, :, ::-1])
        self.trainer.storage.put_image(f"images/{record['image_id']}", _channels_first(image))


def _side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Lists below the images may make them differ in height: the lower one gets white."""
    height = max(len(left), len(right))
    padded = [
        np.pad(image, ((0, height - len(image)), (0, 0), (0, 0)), constant_values=255)
        for image in (left, right)
    ]
    return np.concatenate(padded, axis=1)


def _channels_first(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(2, 0, 1))
