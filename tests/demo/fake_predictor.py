"""A predictor without a model: somebody holds a mug in every image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from detectron2.structures import Boxes, Instances

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.inference.prediction import HOIPrediction
from hoi_d2.structures import make_hoi_instances

WORDS = Vocabulary.from_hois("v", ("person", "mug"), ("hold", "wash"), [(1, 0), (1, 1)])


class FakePredictor:
    """As `HOIPredictor`.

    Args:
        vocabulary: person and another object, two verbs.
        batch_size: images that are taken together.
    """

    note, name, fingerprint = "", "fake", "0" * 64

    def __init__(self, vocabulary: Vocabulary = WORDS, batch_size: int = 4) -> None:
        self.vocabulary, self.batch_size, self.seen = vocabulary, batch_size, 0

    def __call__(self, images: np.ndarray | Sequence[np.ndarray]):
        if isinstance(images, np.ndarray):
            return self._one(images)
        return [self._one(image) for image in images]

    def _one(self, image: np.ndarray) -> HOIPrediction:
        self.seen += 1
        size = image.shape[:2]
        human, mug = torch.tensor([[1.0, 2, 11, 22]]), torch.tensor([[5.0, 5, 8, 9]])
        entities = Instances(size)
        entities.pred_boxes = Boxes(torch.cat([human, mug]))
        entities.scores, entities.pred_classes = torch.tensor([0.9, 0.8]), torch.tensor([0, 1])
        hois = make_hoi_instances(
            image_size=size,
            human_boxes=human,
            object_boxes=mug,
            object_classes=torch.tensor([1]),
            verb_classes=torch.tensor([0]),
            hoi_classes=torch.tensor([0]),
            scores=torch.tensor([0.7]),
            pair_indices=torch.tensor([[0, 1]]),
        )
        return HOIPrediction(image[:, :, ::-1], entities, hois, self.vocabulary)
