"""Outputs of a frozen detector on disk, for evaluating and ablating on one set many times.

A cache is a folder with one folder for each detector (`<hash>/`, of weights and settings) with one
file for each image and input size, and for training `<hash>/augmented_<hash>/`, of the settings of
the augmentations as well, with one file for each augmentation of each image (`augmented.py`). A
file is complete or absent, so that writing can be interrupted, and several processes may write.
"""

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
from hoi_d2.data.loading.samples import AUGMENTATION_KEY, STORED_KEY
from hoi_d2.modeling.entity_detector.interface import Entities, EntityDetector, single_images
from hoi_d2.modeling.entity_detector.same_size import pad_maps
from hoi_d2.utils.files import write_atomically

logger = logging.getLogger(__name__)
SETTINGS_NAME = "settings.txt"
_SHORT = 16  # hexadecimal digits of a hash in a name
Stored = tuple[Instances, Tensor]
"""Entities of one image, and its feature map (C, h, w)."""


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
        self._described = ""

    def folder(self, detector: EntityDetector) -> Path:
        """Of this detector, as its weights are now."""
        state = detector.state_dict(keep_vars=True)
        made_from = tuple((t.data_ptr(), t._version) for t in state.values())
        if made_from != self._made_from:
            weights = weights_hash(state)
            self._folder = self.directory / short_hash(f"{self.settings}{weights}")
            self._made_from = made_from
            self._described = f"{self.settings}\nweights: {weights}\n"
            if self.write:
                describe_folder(self._folder, self._described)
            elif not self._folder.is_dir():
                logger.warning("%s; tools/cache_detections.py makes them", self.nothing_stored())
        return self._folder

    def nothing_stored(self) -> str:
        """That the detector of the last `folder` has no detections here, and which others have."""
        others = difference_to_others(self.directory, self._described)
        return f"{self.directory} has no stored detections of these weights and settings{others}"

    def get(self, folder: Path, model_input: dict[str, Any]) -> Stored | None:
        """Instances and feature map (C, h, w) of an image; None = not there, or stale."""
        path = self._path(folder, model_input)
        try:
            found = read_entry(path, _image_hash(model_input))
        except StaleEntry:
            self.stale += 1
            name = model_input.get("file_name")
            logger.warning("%s is stale: the image %s has changed since", path, name)
            return None
        if found is None:
            self.misses += 1
        else:
            self.hits += 1
        return found

    def put(
        self, folder: Path, model_input: dict[str, Any], found: Instances, feature_map: Tensor
    ) -> None:
        """Stores the output for one image."""
        metadata = {"image": _image_hash(model_input), "file_name": _name(model_input)}
        write_entry(self._path(folder, model_input), found, feature_map, metadata)

    @staticmethod
    def _path(folder: Path, model_input: dict[str, Any]) -> Path:
        height, width = model_input["image"].shape[-2:]
        return folder / f"{short_hash(_name(model_input))}_{height}x{width}.safetensors"


class StaleEntry(Exception):
    """An entry was made from another image than the present one."""


def read_entry(path: Path, image: str) -> Stored | None:
    """The content of an entry; None = it is absent or damaged.

    Args:
        path: of the entry.
        image: hash that tells what the entry has to be made from.

    Raises:
        StaleEntry: it was made from something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            if file.metadata()["image"] != image:
                raise StaleEntry(path)
            tensors = {n: file.get_tensor(n) for n in file.keys()}
    except (FileNotFoundError, SafetensorError):
        return None
    size = tuple(tensors.pop("image_size").tolist())
    feature_map, boxes = tensors.pop("feature_map"), Boxes(tensors.pop("pred_boxes"))
    return Instances(size, pred_boxes=boxes, **tensors), feature_map


def made_from(path: Path) -> str:
    """The hash of the image that an entry was made from; "" = it is absent or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata()["image"]
    except (FileNotFoundError, SafetensorError):
        return ""


def write_entry(
    path: Path, found: Instances, feature_map: Tensor, metadata: dict[str, str]
) -> None:
    """Stores an entry, completely or not at all; `metadata` has its `image`, see `read_entry`."""
    fields = dict(found.get_fields())
    tensors = {"pred_boxes": fields.pop("pred_boxes").tensor, **fields}
    tensors |= {"feature_map": feature_map, "image_size": torch.tensor(found.image_size)}
    tensors = {n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    data = save(tensors, metadata=metadata)
    write_atomically(path, lambda file: file.write(data), shared=True)


def short_hash(text: str) -> str:
    """The part of a text's hash that stands for it in names."""
    return hashlib.sha256(text.encode()).hexdigest()[:_SHORT]


def describe_folder(folder: Path, settings: str) -> None:
    """Makes the folder, and writes down what its name is a hash of."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / SETTINGS_NAME
    if not file.is_file():
        write_atomically(file, lambda handle: handle.write(settings.encode()), shared=True)


def difference_to_others(parent: Path, settings: str) -> str:
    """How these settings differ from those of the nearest folder in `parent`; "" = no folder."""
    here, differences = settings.splitlines(), []
    for file in sorted(parent.glob(f"*/{SETTINGS_NAME}")):
        there = file.read_text().splitlines()
        differences.append(
            ([x for x in there if x not in here], [x for x in here if x not in there])
        )
    if not differences:
        return ""
    found, wanted = (
        "; ".join(map(str.strip, x)) for x in min(differences, key=lambda d: len(d[0]))
    )
    return f", only of others (there: {found or 'less'}; here: {wanted or 'less'})"


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
        """The stored outputs; the detector's own for the images that have none.

        Args:
            batched_inputs: detectron2's; where `STORED_KEY` holds an output, `image` may be absent.
        """
        stored = [self._stored(x) for x in batched_inputs]
        absent = [x for x, entry in zip(batched_inputs, stored) if entry is None]
        computed = self.detector(absent) if absent else None
        if computed is not None and self.cache.write:
            for model_input, entry in zip(absent, single_images(computed)):
                self.cache.put(self.cache.folder(self.detector), model_input, *entry)
        if computed is not None and len(absent) == len(stored):
            return computed
        own = iter(single_images(computed) if computed else ())
        entries = [next(own) if entry is None else entry for entry in stored]
        device = self.detector.device
        instances = [_unpacked(found.to(device)) for found, _ in entries]
        maps = pad_maps([feature_map.to(device).float() for _, feature_map in entries])
        has_pixels = all("image" in x for x in batched_inputs)
        images = self.detector.preprocess(batched_inputs)[0] if has_pixels else None
        return Entities(instances, *maps, images)

    def _stored(self, model_input: dict[str, Any]) -> Stored | None:
        if STORED_KEY in model_input:
            return model_input[STORED_KEY]
        if AUGMENTATION_KEY in model_input:  # its place is in `augmented.py`, where it is absent
            return None
        return self.cache.get(self.cache.folder(self.detector), model_input)

    def preprocess(self, batched_inputs: list[dict[str, Any]]) -> tuple[ImageList, Tensor]:
        return self.detector.preprocess(batched_inputs)

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        return self.detector.network_size(height, width)

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


def _unpacked(found: Instances) -> Instances:
    """With tokens in float32, as the detector gives them."""
    if found.has("tokens"):
        found.tokens = found.tokens.float()
    return found
