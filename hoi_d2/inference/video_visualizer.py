"""`HOIVideoVisualizer`: detectron2's `VideoVisualizer` that also draws interactions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from detectron2.structures import Instances
from detectron2.utils.video_visualizer import VideoVisualizer
from detectron2.utils.visualizer import ColorMode, VisImage

from hoi_d2.inference.tracking import PersonTracker
from hoi_d2.visualization.canvas import HOIImage
from hoi_d2.visualization.scene import DRAW_THRESHOLD
from hoi_d2.visualization.visualizer import HOIVisualizer


class HOIVideoVisualizer(VideoVisualizer):
    """Draws frame after frame; people keep their colour and number.

    Args:
        metadata: see `HOIVisualizer`.
        instance_mode: `ColorMode.IMAGE` or `IMAGE_BW`.
        frame_rate: frames per second of the video; a person who is not seen for a second gets a
            new number.

    Examples:
        >>> visualizer = HOIVideoVisualizer(predictor.metadata)
        >>> drawn = visualizer.draw_instance_predictions(frame, outputs["hoi_instances"])
        >>> drawn.get_image()
    """

    def __init__(
        self,
        metadata: Any,
        instance_mode: ColorMode = ColorMode.IMAGE,
        *,
        frame_rate: float = 30.0,
    ) -> None:
        super().__init__(metadata, instance_mode)
        self._tracker = PersonTracker(frame_rate=frame_rate)

    def draw_instance_predictions(
        self, frame: np.ndarray, predictions: Instances
    ) -> VisImage | HOIImage:
        """Draws a model's `hoi_instances` in the frame's size, or `instances` as detectron2 does.

        Args:
            frame: (H, W, 3) RGB, the next of the video.
            predictions: as of `HOIVisualizer.draw_instance_predictions`.

        Raises:
            VocabularyError: the metadata has no vocabulary, or another one than the model.
        """
        predictions = predictions.to("cpu")
        if not predictions.has("human_boxes"):
            return super().draw_instance_predictions(frame, predictions)
        visualizer = HOIVisualizer(frame, self.metadata, 1.0, self._instance_mode, legend=False)
        return visualizer.draw_instance_predictions(self._with_people(predictions))

    def _with_people(self, found: Instances) -> Instances:
        """The interactions that will be drawn with `person_ids`; a person is as sure as the best.

        Of a person with several interactions one box is followed: `pair_indices` says whose is
        which.
        """
        found = found[found.scores >= DRAW_THRESHOLD]
        people, person_of = found.pair_indices[:, 0].unique(return_inverse=True)
        rows = [int((person_of == p).nonzero()[0]) for p in range(len(people))]
        scores = torch.zeros(len(people)).scatter_reduce(0, person_of, found.scores.float(), "amax")
        boxes = found.human_boxes.tensor[rows].double().reshape(-1, 4).numpy()
        numbers = torch.from_numpy(self._tracker.numbers(boxes, scores.numpy()))
        found.person_ids = numbers[person_of]
        return found
