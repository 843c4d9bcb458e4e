"""Images in, interactions out: `HOIPredictor`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from typing import Any, overload

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model
from detectron2.structures import Instances

from hoi_d2.checkpoint.checkpointer import weights_hash
from hoi_d2.checkpoint.class_names import vocabulary_in
from hoi_d2.checkpoint.model_source import config_with_weights, model_config, title_of
from hoi_d2.checkpoint.random_weights import KEY
from hoi_d2.config.load import merge_config, on_this_machine, usable_device
from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.data.transforms import detection_augmentations, image_tensor
from hoi_d2.engine.trained_weights import half_precision, load_trained
from hoi_d2.inference.inputs import ImageLike, each_image, is_one_image, path_of, to_rgb
from hoi_d2.inference.model_list import list_models
from hoi_d2.inference.prediction import HOIPrediction
from hoi_d2.modeling.batches import forward_in_batches
from hoi_d2.modeling.hub_models import require_hub_models
from hoi_d2.protocols import has_capability, meta_architecture
from hoi_d2.registration import register
from hoi_d2.utils.user_errors import UserError

DEFAULT_CONFIG = "photo/photo.yaml"
"""The model of the demo and of the web page where none is named."""
DEFAULT_BATCH = 8


class PredictorError(UserError, ValueError):
    """A model that cannot be used for images, or arguments that cannot be."""


class HOIPredictor:
    """A model ready for images.

    The class names are those that the weight file was trained on; where it holds none, those of
    the config. No data set has to be on disk.

    Args:
        model: a checkpoint file, the folder of a run, a name of the zoo, a model of the hub or a
            config, see `hoi_d2.checkpoint.model_source.model_config`; or a config that was loaded.
        options: KEY, VALUE, ... overrides of its config.
        device: such as "cpu" or "cuda:1"; None = a GPU where there is one.
        batch_size: images that go through the model together; on a CPU at most this many, because
            large images are faster one by one there (`hoi_d2.modeling.batches`).
        half: compute with 16 bits; needs a GPU.
        name: of the model, for people; "" = as it is named by `model`.

    Raises:
        UnknownModelError: no such model; names similar ones.
        PredictorError: the model finds no interactions.
        MissingFilesError: files of the hub are not here and cannot be downloaded; names them all.
        WeightsError: weights do not fit, or parts of the model are random and
            `MODEL.ALLOW_RANDOM_WEIGHTS` is not set.
        ConfigError: no such device, or `half` without a GPU.

    Attributes:
        vocabulary: the class names.
        note: what a user has to know of the model, "" = nothing (`MODEL.NOTE`).
        random_parts: parts of the model that no file has filled; their scores mean nothing.

    Examples:
        >>> predictor = HOIPredictor("toy/rmlr", device="cpu", batch_size=4)
        >>> prediction = predictor("photo.jpg")
        >>> prediction[0].verb, prediction.save("drawn.png")
        >>> for prediction in predictor.stream("folder"):
        ...     print(prediction)
    """

    def __init__(
        self,
        model: CfgNode | str | os.PathLike,
        options: Sequence[Any] = (),
        *,
        device: str | None = None,
        batch_size: int = DEFAULT_BATCH,
        half: bool = False,
        name: str = "",
    ) -> None:
        register()
        if batch_size < 1:
            raise PredictorError(f"batch_size must be 1 or more, got {batch_size}")
        self.cfg = cfg = _settings(model, options, device, half)
        self.name, self.batch_size, self.note = name or _name_of(model), batch_size, cfg.MODEL.NOTE
        if not has_capability(meta_architecture(cfg), "finds_interactions"):
            raise PredictorError(
                f"{cfg.MODEL.META_ARCHITECTURE} finds no interactions; these models do: "
                f"{', '.join(list_models())}"
            )
        require_hub_models(cfg)
        half_precision(cfg)  # refused before the model is built
        with _names_of_checkpoint(cfg):
            self.model = build_model(cfg).eval()
            self.vocabulary = vocabulary_of(cfg)
        self.random_parts = load_trained(self.model, cfg)
        self.augmentations = detection_augmentations(cfg, is_train=False)

    @classmethod
    def from_config(
        cls, config: str, options: Sequence[Any] = (), *, pretrained: bool = True, **settings: Any
    ) -> HOIPredictor:
        """Builds a predictor from a config.

        Args:
            config: a file, or the name of one that comes with the package.
            options: KEY, VALUE, ... overrides.
            pretrained: take the weights that come with the package for this config, if there are
                any and neither the file nor the options name others.
            settings: `device`, `batch_size`, `half`.
        """
        cfg = read_config(config, options, pretrained=pretrained)
        return cls(cfg, name=title_of(config), **settings)

    @overload  # a folder or a glob is a str too, but mostly it is one image
    def __call__(self, images: ImageLike) -> HOIPrediction: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, images: Iterable[Any]) -> list[HOIPrediction]: ...

    def __call__(self, images: Any) -> HOIPrediction | list[HOIPrediction]:
        """One `HOIPrediction` for one image, a list for a folder, a glob, a batch or a list.

        A list holds all images in memory; `stream` does not.

        Args:
            images: a path, a PIL image, an (H, W, 3) uint8 BGR array as OpenCV reads it, a
                (3, H, W) RGB tensor of uint8 or floats of 0..1; a folder, a glob, a batch
                (N, H, W, 3) or (N, 3, H, W); or an iterable of these.

        Returns:
            Boxes in pixels of each image as it was given, interactions by falling score.

        Raises:
            ImageFileError: a file is missing or no image.
            FileNotFoundError: a folder or glob without an image.
            ImageInputError: an address, or an array or tensor of another kind.
        """
        if is_one_image(images):
            return self._predict([images])[0]
        return list(self.stream(images))

    def stream(self, images: Any) -> Iterator[HOIPrediction]:
        """Yields the predictions one by one, as many images in memory as `batch_size` says.

        Args:
            images: as of a call.
        """
        waiting = each_image(images)
        while batch := list(islice(waiting, self.batch_size)):
            yield from self._predict(batch)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of weights and class names: two models with the same give the same results."""
        names = json.dumps(self.vocabulary.as_dict(), sort_keys=True)
        text = names + weights_hash(self.model.state_dict())
        return hashlib.sha256(text.encode()).hexdigest()

    @torch.inference_mode()
    def _predict(self, images: Sequence[ImageLike]) -> list[HOIPrediction]:
        raw_images = [to_rgb(image) for image in images]
        with half_precision(self.cfg):
            outputs = forward_in_batches(self.model, [self.model_input(p) for p in raw_images])
        return [
            HOIPrediction(
                raw_image,
                _on_cpu(output["instances"]),
                best_first(output["hoi_instances"]),
                self.vocabulary,
                self.note,
                path_of(image),
            )
            for image, raw_image, output in zip(images, raw_images, outputs)
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


def _settings(
    model: CfgNode | str | os.PathLike, options: Sequence[Any], device: str | None, half: bool
) -> CfgNode:
    """The config of a predictor, frozen: any image may come, so that stored detections are none."""
    cfg = model.clone() if isinstance(model, CfgNode) else _config_of(model, options)
    cfg.defrost()
    if isinstance(model, CfgNode):
        merge_config(cfg, "", options)
    cfg.MODEL.ENTITY_DETECTOR.CACHE = ""
    cfg.MODEL.DEVICE = usable_device(device) if device else cfg.MODEL.DEVICE
    cfg.TEST.HALF = half or cfg.TEST.HALF
    cfg.freeze()
    return on_this_machine(cfg)


def _name_of(model: CfgNode | str | os.PathLike) -> str:
    if not isinstance(model, CfgNode):
        return title_of(model)
    return f"{model.MODEL.META_ARCHITECTURE} {model.MODEL.WEIGHTS}".strip()


def read_config(config: str, options: Sequence[Any] = (), *, pretrained: bool = False) -> CfgNode:
    """A config with its overrides, frozen; see `HOIPredictor.from_config`."""
    cfg = config_with_weights(config, options, pretrained=pretrained)
    cfg.freeze()
    return cfg


def best_first(hoi_instances: Instances) -> Instances:
    """On the CPU, by falling score."""
    found = _on_cpu(hoi_instances)
    return found[found.scores.argsort(descending=True, stable=True)]


def _on_cpu(instances: Instances) -> Instances:
    """On the CPU, scores with 32 bits: numpy has no bfloat16."""
    found = instances.to("cpu")
    found.scores = found.scores.float()
    return found


def get_model(
    model: str | os.PathLike,
    *,
    pretrained: bool = True,
    options: Sequence[Any] = (),
    **settings: Any,
) -> HOIPredictor:
    """A model by its name, file or folder.

    Args:
        model: as of `HOIPredictor`: "photo", the model of photographs; another of `list_models()`,
            such as "toy/rmlr"; a checkpoint; the folder of a run; a model of the hub.
        pretrained: with its weights; else at random, unless the options name a file.
        options: KEY, VALUE, ... overrides of its config.
        settings: `device`, `batch_size`, `half` of `HOIPredictor`.

    Raises:
        UnknownModelError: no such model; names similar ones.
        PredictorError: `pretrained`, and no weights come with the package or are named.
    """
    if pretrained or "MODEL.WEIGHTS" in options:
        return HOIPredictor(model, options, **settings)
    cfg = model_config(model, [*options, KEY, True], pretrained=False)
    if "MODEL.WEIGHTS" not in options:
        cfg.MODEL.WEIGHTS = ""
    return HOIPredictor(cfg, name=title_of(model), **settings)


def _config_of(model: str | os.PathLike, options: Sequence[Any]) -> CfgNode:
    """The config of a model that has weights: its own, or those of its parts."""
    cfg = model_config(model, options)
    complete = has_capability(meta_architecture(cfg), "needs_no_training")
    if cfg.MODEL.WEIGHTS or complete or cfg.MODEL.ALLOW_RANDOM_WEIGHTS:
        return cfg
    raise PredictorError(
        f"no weights of {title_of(model)} come with the package (there are some for "
        f"{', '.join(list_models(pretrained=True))}); name a file: MODEL.WEIGHTS model.pth on the "
        "command line, options=['MODEL.WEIGHTS', 'model.pth'] in Python"
    )


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
