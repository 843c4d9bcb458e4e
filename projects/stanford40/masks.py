"""DEFR-Det's idea with convolutions: boxes decide which cells the pool and blocks before it see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from photographs import BLOCKS, Photographs, squares
from recogniser import Recogniser, labels_of, logits_of, train
from torch import Tensor

from hoi_d2.config.load import load_config
from hoi_d2.evaluation.image_level_metrics import stanford40_metrics
from hoi_d2.modeling.image_encoder import ImageEncoder, build_image_encoder
from hoi_d2.modeling.image_encoder.patch_masks import box_patches

if TYPE_CHECKING:
    from run import Study

MASKS = ("whole", "person", "person or objects", "elsewhere")
KINDS = (("person", 1), *(("person or objects", b) for b in (1, 2, 5)), ("elsewhere", 1))
UNDER = (("crop", 1), ("person", 1), ("person or objects", 1), ("person or objects", 5))
MOSAIC = (("whole", 1), ("quarter", 1), *KINDS[:-1])
_SCORE = 0.3  # of an object
_SIDE = 2  # photographs of a mosaic, each way


def under_masks(study: Study, seeds: list[int]) -> list[dict]:
    """Test scores of one classifier for each mask, and of one that was trained under the mask.

    Rows, loss, steps and gamma are those of MiniLM with LSE-Sign and all photographs; nothing is
    chosen here.
    """
    variant = study.tuned("LSE-Sign", "MiniLM", "all")
    features, table = Features(study), []
    for seed in seeds:
        model = study.model(variant, "all", seed=seed)

        def note(setting: str, mask: str, blocks: int, logits: np.ndarray, **more: str) -> None:
            labels = labels_of(features.actions(setting)).numpy()
            row = {"setting": setting, "mask": mask, "blocks": blocks, "trained": "whole"}
            scores = {"test": stanford40_metrics(logits, labels)}
            table.append(row | more | {"seed": seed} | scores)  # noqa: B023

        whole = logits_of(model, features("test", "whole", 1))
        note("photograph", "whole", 1, whole)
        note("photograph", "crop", 1, logits_of(model, features("test", "crop", 1)))
        for mask, blocks in KINDS:
            logits = logits_of(model, features("test", mask, blocks))
            note("photograph", mask, blocks, logits)
            if mask == "person or objects" and blocks == 1:
                note("photograph", "whole, and person or objects", 1, whole + logits)
        for mask, blocks in UNDER:
            own = _trained_under(study, features, variant, mask, blocks, seed)
            logits = logits_of(own, features("test", mask, blocks))
            note("photograph", mask, blocks, logits, trained="mask")
        for mask, blocks in MOSAIC:
            note("mosaic", mask, blocks, logits_of(model, features("mosaic", mask, blocks)))
    return table


def _trained_under(
    study: Study, features: Features, variant: object, mask: str, blocks: int, seed: int
) -> Recogniser:
    rows, actions = study.chosen("all", seed), study.parts["train"].actions
    return train(variant, features("train", mask, blocks)[rows], actions[rows], seed=seed)


class Features:
    """Pooled features under a mask, each computed once: `features(part, mask, blocks)`."""

    def __init__(self, study: Study) -> None:
        self.study, self.folder = study, Path(study.output) / "masked"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.places, self.tiles = _mosaics(study)

    def actions(self, setting: str) -> Tensor:
        actions = self.study.parts["test"].actions
        return actions if setting == "photograph" else actions[self.places.flatten()]

    def __call__(self, part: str, mask: str, blocks: int) -> Tensor:
        file = self.folder / f"{part}_{mask}_{blocks}.npy".replace(" ", "_")
        if not file.exists():
            is_mosaic = part == "mosaic"
            rows = (
                self._mosaic(mask, blocks) if is_mosaic else self._photographs(part, mask, blocks)
            )
            np.save(file, rows.numpy())
        return torch.from_numpy(np.load(file))

    def _photographs(self, part: str, mask: str, blocks: int) -> Tensor:
        if mask == "whole":
            return self.study.features[part]
        photographs, encoder = self.study.parts[part], self.study.encoder
        if mask == "crop":
            return _pooled(encoder, photographs.crops, None, 1)
        return _pooled(encoder, photographs.maps, open_cells(photographs, mask), blocks)

    def _mosaic(self, mask: str, blocks: int) -> Tensor:
        """Of each photograph of each mosaic."""
        photographs = self.study.parts["test"][self.places.flatten()]
        tile = torch.arange(_SIDE**2).repeat(len(self.places))
        cells = open_cells(photographs, mask, tile=tile, encoder=self.tiles[0])
        index = torch.arange(len(self.places)).repeat_interleave(_SIDE**2)
        return _pooled(*self.tiles, cells, blocks, index)


def open_cells(
    photographs: Photographs,
    mask: str,
    *,
    tile: Tensor | None = None,
    encoder: ImageEncoder | None = None,
) -> Tensor:
    """(N, cells) bool.

    Args:
        photographs: N of them.
        mask: of `MASKS`, or "quarter": the photograph's part of a mosaic.
        tile: (N,) place of each photograph in its mosaic; None = it is alone.
        encoder: of the mosaics.
    """
    grid = encoder.grid if encoder else (7, 7)
    whole = torch.tensor([0.0, 0.0, 1.0, 1.0]).repeat(len(photographs), 1)

    def cells(boxes: Tensor) -> Tensor:
        if tile is not None:
            corner = torch.stack([tile % _SIDE, tile // _SIDE] * 2, dim=1)
            boxes = (boxes + corner) / _SIDE
        return box_patches(boxes, grid)

    if mask == "whole":
        return torch.ones(len(photographs), grid[0] * grid[1], dtype=torch.bool)
    if mask == "quarter":
        return cells(whole)
    seen = cells(photographs.persons)
    if mask == "elsewhere":
        return ~seen
    if mask == "person or objects":
        for object_ in photographs.objects.unbind(dim=1):
            counts = (object_[:, 4] >= _SCORE) & _touch(photographs.persons, object_[:, :4])
            seen |= cells(object_[:, :4]) & counts[:, None]
    return seen


def _touch(a: Tensor, b: Tensor) -> Tensor:
    corner, end = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    return (end > corner).all(dim=1)


@torch.no_grad()
def _pooled(
    encoder: ImageEncoder,
    tokens: Tensor,
    cells: Tensor | None,
    blocks: int,
    index: Tensor | None = None,
) -> Tensor:
    """(M, D), of the maps (N, 1 + cells, C) before `BLOCKS` blocks."""
    index = torch.arange(len(tokens)) if index is None else index
    rows = []
    for some in index.unique().split(32):
        before = unmasked_blocks(encoder, tokens[some].float(), blocks)
        mine = torch.isin(index, some)
        seen = None if cells is None else cells[mine]
        place = torch.searchsorted(some, index[mine])
        rows.append(encoder.attend(before, seen, place, masked_blocks=blocks))
    return torch.cat(rows)


def unmasked_blocks(encoder: ImageEncoder, tokens: Tensor, blocks: int) -> Tensor:
    """The input of the last `blocks` stages, of that of the last `BLOCKS`."""
    x = tokens[:, 1:].transpose(1, 2).unflatten(2, encoder.grid)
    last = len(encoder.blocks) + 1
    for block in encoder.blocks[last - BLOCKS : last - blocks]:
        x = block(x)
    if blocks == 1:
        x = encoder.network.bn2(encoder.network.conv_head(x))
    cells = x.flatten(2).transpose(1, 2)
    return torch.cat([cells.mean(dim=1, keepdim=True), cells], dim=1)


def _mosaics(study: Study) -> tuple[Tensor, tuple[ImageEncoder, Tensor]]:
    """(M, 4) test photographs of different actions, and encoder and maps of the mosaics."""
    cfg = load_config(study.config, ["INPUT.SQUARE_SIZE", 224 * _SIDE])
    cfg.MODEL.IMAGE_ENCODER.OPTIONS.num_classes = 0
    encoder = build_image_encoder(cfg).eval()
    actions = study.parts["test"].actions
    generator = torch.Generator().manual_seed(0)
    by_action = (actions + torch.rand(len(actions), generator=generator)).argsort()
    places = by_action[::2].view(_SIDE**2, -1).T  # every other one, for time
    assert all(len(set(actions[row].tolist())) == _SIDE**2 for row in places)
    file = Path(study.output) / "seen" / "mosaics.npy"
    if not file.exists():
        square, records = squares(load_config(study.config, [])), study.records["test"]
        maps = []
        with torch.no_grad():
            for row in places.tolist():
                parts = [square(records[i]).float() for i in row]
                image = torch.cat([torch.cat(parts[:2], dim=2), torch.cat(parts[2:], dim=2)], dim=1)
                image = encoder.normalize(image[None])
                maps.append(encoder.tokens_before_last(image, masked_blocks=BLOCKS).half())
        np.save(file, torch.cat(maps).numpy())
    return places, (encoder, torch.from_numpy(np.load(file)))
