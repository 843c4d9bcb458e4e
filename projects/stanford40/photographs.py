"""What the frozen encoder and the detector see of every photograph, computed once and kept on disk.

No label is looked at. The maps are the input of the first block that a mask can act on
(`ConvolutionalEncoder`): from there on a photograph costs 3 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from PIL import Image
from torch import Tensor

from hoi_d2.config.load import load_config
from hoi_d2.data.classification_mapper import classification_transform
from hoi_d2.data.images import read_dataset_image
from hoi_d2.data.transforms import image_tensor
from hoi_d2.model_zoo import register_path_handler
from hoi_d2.modeling.entity_detector.build import build_entity_detector
from hoi_d2.modeling.image_encoder import ImageEncoder

BLOCKS = 5  # the pool, and the four blocks of the last resolution
_BATCH, _OBJECTS = 16, 12
_DETECTOR = (
    *("MODEL.ENTITY_DETECTOR.NAME", "NanoDetEntityDetector", "MODEL.HOI.VOCABULARY", "hico_det"),
    *("MODEL.ENTITY_DETECTOR.WEIGHTS", "hoi_d2://photo/nanodet_g.safetensors"),
)


@dataclass(frozen=True)
class Photographs:
    """N photographs, in the order of their records.

    Attributes:
        ids: (N,) `image_id`.
        actions: (N,).
        maps: (N, 1 + cells, C) float16, `tokens_before_last` of `BLOCKS` masked blocks.
        crops: the same of the person's box, cut out and resized to the square.
        persons: (N, 4) annotated box as shares of the image, 0..1.
        objects: (N, O, 6) best detections that are no persons: box, score, class; 0 = none.
            None, as crops: not asked for.
    """

    ids: Tensor
    actions: Tensor
    maps: Tensor
    persons: Tensor
    crops: Tensor | None = None
    objects: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Tensor) -> Photographs:
        parts = (getattr(self, f.name) for f in fields(self))
        return Photographs(*(None if part is None else part[rows] for part in parts))


@torch.no_grad()
def pooled(encoder: ImageEncoder, tokens: Tensor) -> Tensor:
    """(N, D) what the encoder makes of whole maps (N, 1 + cells, C)."""
    parts = [encoder.attend(some.float(), masked_blocks=BLOCKS) for some in tokens.split(64)]
    return torch.cat(parts)


def load(
    records: list[dict], cfg: CfgNode, encoder: ImageEncoder, cache: Path, *, boxes: bool = True
) -> Photographs:
    """Everything of these photographs; what is on disk is not computed again.

    Args:
        records: dataset dicts with one box each, the person's.
        cfg: of the encoder.
        encoder: in testing mode.
        cache: file without its ending.
        boxes: also crops and objects, two thirds of the time.
    """
    square = squares(cfg)

    @torch.no_grad()
    def maps(some: list[dict], *, crop: bool = False) -> Tensor:
        images = torch.stack([square(record, crop=crop) for record in some])
        tokens = encoder.tokens_before_last(encoder.normalize(images), masked_blocks=BLOCKS)
        return tokens.half()

    parts = {"maps": lambda some: maps(some)}
    if boxes:
        parts |= {"objects": _objects(), "crops": lambda some: maps(some, crop=True)}
    found = {name: kept(records, part, f"{cache}_{name}.npy") for name, part in parts.items()}
    boxes = [np.divide(r["annotations"][0]["bbox"], (r["width"], r["height"]) * 2) for r in records]
    return Photographs(
        ids=torch.tensor([r["image_id"] for r in records]),
        actions=torch.tensor([int(r["image_labels"].argmax()) for r in records]),
        persons=torch.tensor(np.array(boxes), dtype=torch.float32).clamp(0, 1),
        **found,
    )


def squares(cfg: CfgNode) -> Callable[..., Tensor]:
    """record -> (3, R, R) bytes as the test mapper makes them; `crop`: of the person's box."""
    squash = classification_transform(cfg, is_train=False)

    def square(record: dict, *, crop: bool = False) -> Tensor:
        image = Image.fromarray(read_dataset_image(record))
        box = record["annotations"][0]["bbox"] if crop else (0, 0, *image.size)
        return image_tensor(np.asarray(squash(image.crop(tuple(round(v) for v in box)))))

    return square


def kept(records: list[dict], part: Callable[[list[dict]], Tensor], file: str | Path) -> Tensor:
    """`part` of all records, on disk; read as it is used."""
    path = Path(file)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, torch.cat([part(some) for some in _batches(records)]).numpy())
    return torch.from_numpy(np.load(path, mmap_mode="c"))


def _batches(records: list[dict]) -> Iterable[list[dict]]:
    for start in range(0, len(records), _BATCH):
        yield records[start : start + _BATCH]
        if start // _BATCH % 50 == 0:
            print(f"{start} of {len(records)} photographs", flush=True)


def _objects() -> Callable[[list[dict]], Tensor]:
    """The detections of NanoDet-g, (B, O, 6)."""
    register_path_handler()
    detector = build_entity_detector(load_config("", list(_DETECTOR))).eval()

    @torch.no_grad()
    def detect(some: list[dict]) -> Tensor:
        inputs = [{"image": image_tensor(read_dataset_image(record))} for record in some]
        rows = torch.zeros(len(some), _OBJECTS, 6)
        for row, found in zip(rows, detector(inputs).instances):
            found = found[found.pred_classes != 0][:_OBJECTS]
            height, width = found.image_size
            boxes = found.pred_boxes.tensor / found.scores.new_tensor([width, height] * 2)
            columns = (boxes.clamp(0, 1), found.scores[:, None], found.pred_classes[:, None])
            row[: len(found)] = torch.cat(columns, dim=1)
        return rows

    return detect
