"""Pictures in, interactions out: `HOIPredictor`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Instances
from PIL import Image

from hoi_d2.checkpoint.checkpointer import TrainingCheckpointer
from hoi_d2.config import add_hoi_config
from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.data.images import read_image
from hoi_d2.data.transforms import detection_augmentations
from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.evaluation.results import HOIResults
from hoi_d2.model_zoo import config_file
from hoi_d2.visualization import HOIImage, HOIVisualizer

ImageLike = str | os.PathLike | Image.Image | np.ndarray


@dataclass(frozen=True)
class Triplet:
    """One interaction: boxes are XYXY pixels of the picture; no object: box and name are None."""

    human_box: tuple[float, ...]
    verb: str
    object: str | None
    object_box: tuple[float, ...] | None
    score: float

    def __str__(self) -> str:
        return f"{self.verb} {self.object or ''} {self.score:.2f}"


@dataclass(frozen=True)
class HOIPrediction:
    """What was found in one picture.

    Attributes:
        image: (H, W, 3) RGB.
        instances: the entities.
        hoi_instances: the interactions, best first.
        vocabulary: of the model.
    """

    image: np.ndarray
    instances: Instances
    hoi_instances: Instances
    vocabulary: Vocabulary

    @property
    def triplets(self) -> list[Triplet]:
        """The interactions in words, best first."""
        found, words = self.hoi_instances, self.vocabulary
        rows = zip(
            found.human_boxes.tensor.tolist(),
            found.verb_classes.tolist(),
            found.object_classes.tolist(),
            found.object_boxes.tensor.tolist(),
            found.scores.tolist(),
        )
        return [
            Triplet(
                tuple(human),
                words.verbs[verb],
                words.objects[obj] if obj >= 0 else None,
                tuple(box) if obj >= 0 else None,
                score,
            )
            for human, verb, obj, box, score in rows
        ]

    def results(self, image_id: int = 0) -> HOIResults:
        """The rows of a result file."""
        return HOIResults.from_hoi_instances(image_id, self.hoi_instances)

    def draw(self, *, score_threshold: float = 0.2, top_k: int | None = 20) -> HOIImage:
        """The picture with its interactions; `.save(path)` writes it."""
        return HOIVisualizer(self.image).draw_hoi_instances(
            self.hoi_instances, self.vocabulary, score_threshold=score_threshold, top_k=top_k
        )


class HOIPredictor:
    """A model ready for pictures.

    Args:
        cfg: of the model; its weights are `cfg.MODEL.WEIGHTS`.

    Attributes:
        random_parts: parts of the model that no file has filled; their scores mean nothing.

    Example:
        >>> predictor = HOIPredictor.from_config("toy/rmlr.yaml")
        >>> prediction = predictor("photo.jpg")
        >>> prediction.triplets[0].verb, prediction.draw().save("drawn.png")
    """

    def __init__(self, cfg: CfgNode) -> None:
        cfg = cfg.clone()
        if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
            cfg.defrost()
            cfg.MODEL.DEVICE = "cpu"
        self.cfg = cfg
        self.model = build_model(cfg).eval()
        checkpointer = TrainingCheckpointer(self.model)
        checkpointer.load(cfg.MODEL.WEIGHTS)
        self.random_parts = checkpointer.random_parts
        self.vocabulary = vocabulary_of(cfg)
        self.augmentations = detection_augmentations(cfg, is_train=False)

    @classmethod
    def from_config(cls, config: str, options: Sequence[Any] = ()) -> HOIPredictor:
        """
        Args:
            config: a file, or the name of one that comes with the package.
            options: KEY, VALUE, ... overrides.
        """
        return cls(read_config(config, options))

    @torch.inference_mode()
    def __call__(self, images: ImageLike | Sequence[ImageLike]):
        """One `HOIPrediction` for one picture, a list for a list (as one batch).

        Args:
            images: a path, a PIL image, or an (H, W, 3) BGR array as OpenCV reads it.

        Raises:
            ImageFileError: a file is missing or no picture.
        """
        if isinstance(images, (list, tuple)):
            return self._predict(images) if images else []
        return self._predict([images])[0]

    def _predict(self, images: Sequence[ImageLike]) -> list[HOIPrediction]:
        pictures = [to_rgb(image) for image in images]
        outputs = self.model([self._input(p) for p in pictures])
        return [
            HOIPrediction(
                p, o["instances"].to("cpu"), o["hoi_instances"].to("cpu"), self.vocabulary
            )
            for p, o in zip(pictures, outputs)
        ]

    def _input(self, picture: np.ndarray) -> dict[str, Any]:
        height, width = picture.shape[:2]
        for augmentation in self.augmentations:
            picture = augmentation.get_transform(picture).apply_image(picture)
        tensor = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
        return {"image": tensor, "height": height, "width": width}


def read_config(config: str, options: Sequence[Any] = ()) -> CfgNode:
    """A config with its overrides, frozen; see `HOIPredictor.from_config`."""
    cfg = get_cfg()
    add_hoi_config(cfg)
    cfg.merge_from_file(config_file(config))
    cfg.merge_from_list(list(options))
    cfg.freeze()
    return cfg


def to_rgb(image: ImageLike) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a path, a PIL image or a BGR array."""
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(
                f"an array must be (H, W, 3) uint8 BGR, got {image.shape} {image.dtype}"
            )
        return np.ascontiguousarray(image[:, :, ::-1])
    return read_image(image)
