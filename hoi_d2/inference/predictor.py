"""Images in, interactions out: `HOIPredictor`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, overload

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model
from detectron2.structures import Instances
from PIL import Image

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.checkpoint.class_names import vocabulary_in
from hoi_d2.checkpoint.random_weights import KEY, refuse_random_weights
from hoi_d2.config.load import load_config, on_this_machine
from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.data.images import pil_to_rgb, read_image
from hoi_d2.data.transforms import detection_augmentations, image_tensor
from hoi_d2.inference.prediction import HOIPrediction
from hoi_d2.model_zoo import (
    PREFIX,
    config_file,
    full_name,
    model_name,
    model_names,
    pretrained_weights,
)
from hoi_d2.modeling.hub_models import require_hub_models
from hoi_d2.protocols import has_capability, meta_architecture
from hoi_d2.registration import register

DEFAULT_CONFIG = "photo/photo.yaml"
"""The model of the demo and of the web page where none is named."""
ImageLike = str | os.PathLike | Image.Image | np.ndarray


class HOIPredictor:
    """A model ready for images.

    The class names are those that the weight file was trained on; where it holds none, those of
    the config. No data set has to be on disk.

    Args:
        cfg: of the model; its weights are `cfg.MODEL.WEIGHTS`.
        batch_size: images that go through the model together.

    Raises:
        ValueError: the model finds no interactions.
        MissingFilesError: files of the hub are not here and cannot be downloaded; names them all.
        WeightsError: weights do not fit, or parts of the model are random and
            `MODEL.ALLOW_RANDOM_WEIGHTS` is not set.

    Attributes:
        vocabulary: the class names.
        note: what a user has to know of the model, "" = nothing (`MODEL.NOTE`).
        random_parts: parts of the model that no file has filled; their scores mean nothing.

    Examples:
        >>> predictor = HOIPredictor.from_config("toy/rmlr.yaml")
        >>> prediction = predictor("photo.jpg")
        >>> prediction.triplets[0].verb, prediction.draw().save("drawn.png")
    """

    def __init__(self, cfg: CfgNode, *, batch_size: int = 8) -> None:
        register()
        cfg = on_this_machine(cfg)
        if not has_capability(meta_architecture(cfg), "finds_interactions"):
            raise ValueError(
                f"{cfg.MODEL.META_ARCHITECTURE} finds no interactions; these models do: "
                f"{', '.join(list_models())}"
            )
        require_hub_models(cfg)
        with _names_of_checkpoint(cfg):
            self.model = build_model(cfg).eval()
            self.vocabulary = vocabulary_of(cfg)
        self.cfg, self.batch_size, self.note = cfg, batch_size, cfg.MODEL.NOTE
        checkpointer = HOICheckpointer(self.model)
        checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=False)
        self.random_parts = checkpointer.random_parts
        allowed = cfg.MODEL.ALLOW_RANDOM_WEIGHTS
        refuse_random_weights(self.model, self.random_parts, allowed=allowed)
        self.augmentations = detection_augmentations(cfg, is_train=False)

    @classmethod
    def from_config(
        cls, config: str, options: Sequence[Any] = (), *, pretrained: bool = True
    ) -> HOIPredictor:
        """Builds a predictor from a config.

        Args:
            config: a file, or the name of one that comes with the package.
            options: KEY, VALUE, ... overrides.
            pretrained: take the weights that come with the package for this config, if there are
                any and neither the file nor the options name others.
        """
        return cls(read_config(config, options, pretrained=pretrained))

    @overload  # a str is a Sequence of str too, but one image: the first hint holds
    def __call__(self, images: ImageLike) -> HOIPrediction: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, images: Sequence[ImageLike]) -> list[HOIPrediction]: ...

    @torch.inference_mode()
    def __call__(
        self, images: ImageLike | Sequence[ImageLike]
    ) -> HOIPrediction | list[HOIPrediction]:
        """One `HOIPrediction` for one image, a list for a list (in batches).

        Args:
            images: a path, a PIL image, or an (H, W, 3) uint8 BGR array as OpenCV reads it.

        Returns:
            Boxes in pixels of each image as it was given, interactions by falling score.

        Raises:
            ImageFileError: a file is missing or no image.
            ValueError: an array of another kind.
        """
        if isinstance(images, str) or not isinstance(images, Sequence):
            return self._predict([images])[0]
        starts = range(0, len(images), self.batch_size)
        return [p for s in starts for p in self._predict(images[s : s + self.batch_size])]

    def _predict(self, images: Sequence[ImageLike]) -> list[HOIPrediction]:
        raw_images = [to_rgb(image) for image in images]
        outputs = self.model([self.model_input(p) for p in raw_images])
        return [
            HOIPrediction(
                p,
                o["instances"].to("cpu"),
                best_first(o["hoi_instances"]),
                self.vocabulary,
                self.note,
            )
            for p, o in zip(raw_images, outputs)
        ]

    def model_input(self, image: np.ndarray) -> dict[str, Any]:
        """The model's input for an (H, W, 3) uint8 RGB image.

        Returns:
            `image` (3, h, w) uint8 in the size of `cfg.INPUT`, and the image's own `height` (H)
            and `width` (W), to which the model scales its boxes.
        """
        height, width = image.shape[:2]
        for augmentation in self.augmentations:
            image = augmentation.get_transform(image).apply_image(image)
        return {"image": image_tensor(image), "height": height, "width": width}


def read_config(config: str, options: Sequence[Any] = (), *, pretrained: bool = False) -> CfgNode:
    """A config with its overrides, frozen; see `HOIPredictor.from_config`."""
    cfg = load_config(config, options)
    if pretrained and not cfg.MODEL.WEIGHTS:
        cfg.MODEL.WEIGHTS = pretrained_weights(model_name(config_file(config))) or ""
    cfg.freeze()
    return cfg


def to_rgb(image: ImageLike) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a path, a PIL image or a BGR array."""
    if image is None:
        raise ValueError("no image: cv2.imread gives None for a file that it cannot read")
    if isinstance(image, Image.Image):
        return pil_to_rgb(image)
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(
                f"an array must be (H, W, 3) uint8 BGR, got {image.shape} {image.dtype}"
            )
        return np.ascontiguousarray(image[:, :, ::-1])
    return read_image(image)


def best_first(hoi_instances: Instances) -> Instances:
    """On the CPU, by falling score."""
    found = hoi_instances.to("cpu")
    return found[found.scores.argsort(descending=True, stable=True)]


def list_models(*, pretrained: bool = False) -> list[str]:
    """Names of the models that find interactions; each is a config that comes with the package.

    Args:
        pretrained: only those whose weights come along too.
    """
    names = [name for name in model_names() if _finds_interactions(name)]
    return [name for name in names if not pretrained or _has_weights(name)]


ALIASES = {"photo": "photo/photo"}
"""Short names of models."""


def get_model(name: str, *, pretrained: bool = True, options: Sequence[Any] = ()) -> HOIPredictor:
    """A model by its name.

    Args:
        name: one of `list_models()`, such as `toy/rmlr`, or "photo", the model of photographs.
        pretrained: with the weights that come with the package; else at random, unless the
            options name a file.
        options: KEY, VALUE, ... overrides of its config.

    Raises:
        KeyError: no such model; lists what there is.
        ValueError: `pretrained`, and no weights come with the package or are named.
    """
    name = full_name(ALIASES.get(name, name))
    if name not in model_names():
        raise KeyError(f"no model {name!r}; hoi_d2 has {', '.join(list_models())}")
    named = "MODEL.WEIGHTS" in options
    if pretrained and not named and not _has_weights(name):
        raise ValueError(
            f"no weights of {name} come with the package (there are some for "
            f"{', '.join(list_models(pretrained=True))}); name a file in the options: "
            "['MODEL.WEIGHTS', 'model.pth']"
        )
    if not (pretrained or named):
        options = [*options, KEY, True]
    return HOIPredictor.from_config(f"{name}.yaml", options, pretrained=pretrained)


def _finds_interactions(name: str) -> bool:
    register()
    return has_capability(meta_architecture(read_config(f"{name}.yaml")), "finds_interactions")


def _has_weights(name: str) -> bool:
    """Whether all weights come along: under the model's name, or named in its config."""
    model = read_config(f"{name}.yaml", pretrained=True).MODEL
    detector = model.ENTITY_DETECTOR.WEIGHTS
    return model.WEIGHTS.startswith(PREFIX) and (not detector or detector.startswith(PREFIX))


@contextmanager
def _names_of_checkpoint(cfg: CfgNode) -> Iterator[None]:
    """While the model is built, `MODEL.HOI.VOCABULARY` names what the weight file holds."""
    vocabulary = vocabulary_in(cfg.MODEL.WEIGHTS) if cfg.MODEL.WEIGHTS else None
    if vocabulary is None:
        yield
        return
    name, frozen = f"classes of {cfg.MODEL.WEIGHTS}", cfg.is_frozen()
    MetadataCatalog.pop(name, None)
    MetadataCatalog.get(name).set(vocabulary=vocabulary, thing_classes=list(vocabulary.objects))
    cfg.defrost()
    cfg.MODEL.HOI.VOCABULARY = name
    if frozen:
        cfg.freeze()
    try:
        yield
    finally:
        MetadataCatalog.pop(name, None)
