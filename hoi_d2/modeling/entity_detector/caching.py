"""Outputs of a frozen detector on disk, for evaluating and ablating on one set many times."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import Any

import torch
from detectron2.layers import ShapeSpec
from detectron2.structures import Boxes, ImageList, Instances
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from hoi_d2.checkpoint.checkpointer import weights_hash
from hoi_d2.modeling.entity_detector.interface import Entities, EntityDetector
from hoi_d2.modeling.entity_detector.same_size import pad_maps
from hoi_d2.utils.files import write_atomically

logger = logging.getLogger(__name__)
_SHORT = 16  # hexadecimal digits of a hash in a name


class DetectionCache:
    """One file for each image and input size, in a folder for each detector.

    A folder is named by the hash of the detector's weights and settings. A file also says the hash
    of the very pixels it was made from: an entry of an image that has changed is stale.

    Args:
        directory: of all caches.
        settings: text of the config values that the output depends on.
        write: whether new outputs are stored; only `tools/cache_detections.py` does.
    """

    def __init__(self, directory: str | Path, *, settings: str, write: bool = False) -> None:
        self.directory, self.settings, self.write = Path(directory), settings, write
        self.hits = self.misses = self.stale = 0
        self._made_from: tuple | None = None
        self._folder = self.directory

    def folder(self, detector: EntityDetector) -> Path:
        """Of this detector, as its weights are now."""
        state = detector.state_dict(keep_vars=True)
        made_from = tuple((t.data_ptr(), t._version) for t in state.values())
        if made_from != self._made_from:
            text = f"{self.settings}{weights_hash(state)}"
            self._folder = self.directory / hashlib.sha256(text.encode()).hexdigest()[:_SHORT]
            self._made_from = made_from
            if not self.write and not self._folder.is_dir():
                others = self.directory.is_dir() and any(self.directory.iterdir())
                logger.warning(
                    "%s has no stored detections of these weights and settings%s; "
                    "tools/cache_detections.py makes them",
                    *(self.directory, ", only of others" if others else ""),
                )
        return self._folder

    def get(self, folder: Path, model_input: dict[str, Any]) -> tuple[Instances, Tensor] | None:
        """Instances and feature map (C, h, w) of an image; None = not there, or stale."""
        path = self._path(folder, model_input)
        try:
            with safe_open(path, framework="pt") as file:
                fresh = file.metadata()["image"] == _image_hash(model_input)
                tensors = {n: file.get_tensor(n) for n in file.keys()} if fresh else {}
        except (FileNotFoundError, SafetensorError):
            self.misses += 1
            return None
        if not fresh:
            self.stale += 1
            name = model_input.get("file_name")
            logger.warning("%s is stale: the image %s has changed since", path, name)
            return None
        self.hits += 1
        size = tuple(tensors.pop("image_size").tolist())
        feature_map, boxes = tensors.pop("feature_map"), Boxes(tensors.pop("pred_boxes"))
        return Instances(size, pred_boxes=boxes, **tensors), feature_map

    def put(
        self, folder: Path, model_input: dict[str, Any], found: Instances, feature_map: Tensor
    ) -> None:
        """Stores the output for one image."""
        fields = dict(found.get_fields())
        tensors = {"pred_boxes": fields.pop("pred_boxes").tensor, **fields}
        tensors |= {"feature_map": feature_map, "image_size": torch.tensor(found.image_size)}
        tensors = {n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()}
        metadata = {"image": _image_hash(model_input), "file_name": _name(model_input)}
        folder.mkdir(parents=True, exist_ok=True)
        data = save(tensors, metadata=metadata)
        write_atomically(self._path(folder, model_input), lambda file: file.write(data))

    @staticmethod
    def _path(folder: Path, model_input: dict[str, Any]) -> Path:
        height, width = model_input["image"].shape[-2:]
        key = hashlib.sha256(_name(model_input).encode()).hexdigest()[:_SHORT]
        return folder / f"{key}_{height}x{width}.safetensors"


def _name(model_input: dict[str, Any]) -> str:
    return str(model_input.get("file_name") or model_input.get("image_id", ""))


def _image_hash(model_input: dict[str, Any]) -> str:
    """Of the pixels that the detector is given, so of the file, the decoder and the resize."""
    image = model_input["image"].cpu().contiguous()
    digest = hashlib.sha256(f"{tuple(image.shape)}{image.dtype}".encode())
    digest.update(image.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


class CachedEntityDetector(EntityDetector):
    """A detector whose outputs are stored; cached images are not computed again.

    Its weights have the names of the wrapped detector's, so that a checkpoint fits with and without
    a cache.

    Args:
        detector: any entity detector with a feature map.
        cache: counts hits, misses and stale entries.
    """

    def __init__(self, detector: EntityDetector, cache: DetectionCache) -> None:
        super().__init__()
        self.detector, self.cache = detector, cache
        self.is_random = detector.is_random
        self.register_load_state_dict_pre_hook(_add_prefix)

    @property
    def token_dim(self) -> int:  # type: ignore[override]  # the wrapped detector's
        return self.detector.token_dim

    @torch.no_grad()
    def forward(self, batched_inputs: list[dict[str, Any]]) -> Entities:
        """The stored outputs if all are there, else the detector's own."""
        folder = self.cache.folder(self.detector)
        stored = [self.cache.get(folder, x) for x in batched_inputs]
        known = [entry for entry in stored if entry is not None]
        if len(known) < len(stored):
            entities = self.detector(batched_inputs)
            if self.cache.write:
                _store(self.cache, folder, batched_inputs, entities)
            return entities
        images, _ = self.detector.preprocess(batched_inputs)
        instances = [found.to(images.device) for found, _ in known]
        return Entities(instances, *pad_maps([m.to(images.device) for _, m in known]), images)

    def preprocess(self, batched_inputs: list[dict[str, Any]]) -> tuple[ImageList, Tensor]:
        return self.detector.preprocess(batched_inputs)

    def output_shape(self) -> ShapeSpec:
        return self.detector.output_shape()

    def encoder(self) -> tuple[nn.Conv2d, nn.ModuleList]:
        return self.detector.encoder()

    def load_weights(
        self, path: str | os.PathLike, *, sha256: str = "", revision: str = ""
    ) -> None:
        self.detector.load_weights(path, sha256=sha256, revision=revision)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The wrapped detector's."""
        return self.detector.state_dict(*args, **kwargs)


def _add_prefix(module: nn.Module, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
    """Gives the wrapped detector's weights the names of its place in the module."""
    for name in [name for name in state_dict if name.startswith(prefix)]:
        state_dict[f"{prefix}detector.{name.removeprefix(prefix)}"] = state_dict.pop(name)


def _store(
    cache: DetectionCache, folder: Path, inputs: list[dict[str, Any]], entities: Entities
) -> None:
    masks = entities.feature_mask
    if entities.feature_map is None or masks is None:
        raise ValueError("a detector without a feature map does no work: there is nothing to cache")
    for row, (model_input, found) in enumerate(zip(inputs, entities.instances)):
        rows, columns = int(masks[row].any(1).sum()), int(masks[row].any(0).sum())
        cache.put(folder, model_input, found, entities.feature_map[row, :, :rows, :columns])
