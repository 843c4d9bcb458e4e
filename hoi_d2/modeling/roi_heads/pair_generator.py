"""Selects entities and makes all human-object pairs of them, by UPT's rule, as in RmLR.

UPT: Efficient Two-Stage Detection of Human-Object Interactions, Zhang et al., CVPR 2022.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn
from torchvision.ops import batched_nms

logger = logging.getLogger(__name__)


@dataclass
class CandidatePairs:
    """The kept entities of each image and the pairs of the whole batch, packed one after the other.

    What belongs to single images is on the CPU: on a GPU each small step would wait for the device.

    Attributes:
        instances: for each image the kept entities, humans first; on the CPU, but for `tokens`.
        pair_indices: for each image (M_i, 2) rows of its `instances`, human first; on the CPU.
        counts: M_i of each image.
        image_index: (M,) the image of each pair.
        human_boxes, object_boxes: (M, 4) XYXY.
        human_tokens, object_tokens: (M, d); None where the detector has no tokens.
        human_scores, object_scores: (M,) of the two detections.
        object_classes: (M,).
    """

    instances: list[Instances]
    pair_indices: list[Tensor]
    counts: list[int]
    image_index: Tensor
    human_boxes: Tensor
    object_boxes: Tensor
    human_tokens: Tensor | None
    object_tokens: Tensor | None
    human_scores: Tensor
    object_scores: Tensor
    object_classes: Tensor

    @property
    def pair_scores(self) -> Tensor:
        """(M,) product of the two detection scores."""
        return self.human_scores * self.object_scores

    def __len__(self) -> int:
        return len(self.image_index)


class PairGenerator(nn.Module):
    """Keeps the best humans and objects of each image and pairs each human with everything else.

    Args:
        person: the class of humans.
        nms_threshold: the IoU threshold of the class-wise non-maximum suppression.
        score_threshold: the minimum score; entities below it are kept only to reach
            `min_instances`.
        min_instances, max_instances: the number of humans, and of objects, to keep per image.
        max_pairs: the number of pairs to keep per image, with the best product of scores; 0 = all.
            In training, "capped_images" in the log is the share of images with more pairs.
        clip_boxes: cut the boxes off at the image; False = as the detector gives them, which UPT's
            weights were trained on.
    """

    @configurable
    def __init__(
        self,
        *,
        person: int = 0,
        nms_threshold: float = 0.5,
        score_threshold: float = 0.2,
        min_instances: int = 3,
        max_instances: int = 15,
        max_pairs: int = 0,
        clip_boxes: bool = True,
    ) -> None:
        super().__init__()
        self.person = person
        self.nms_threshold = nms_threshold
        self.score_threshold = score_threshold
        self.min_instances = min_instances
        self.max_instances = max_instances
        self.max_pairs = max_pairs
        self.clip_boxes = clip_boxes
        self._capped = 0  # images so far

    @classmethod
    def from_config(
        cls, cfg: CfgNode, *, person: int = 0, pairs: CfgNode | None = None
    ) -> dict[str, Any]:
        """Reads the config node `pairs`; None = RmLR's."""
        node = cfg.MODEL.RMLR.PAIRS if pairs is None else pairs
        return {
            "person": person,
            "nms_threshold": node.NMS_THRESHOLD,
            "score_threshold": node.SCORE_THRESHOLD,
            "min_instances": node.MIN_INSTANCES,
            "max_instances": node.MAX_INSTANCES,
            "max_pairs": node.MAX_PAIRS,
            "clip_boxes": node.CLIP_BOXES,
        }

    @torch.no_grad()
    def forward(self, detections: list[Instances]) -> CandidatePairs:
        """Selects entities and pairs each human with every other entity.

        Args:
            detections: for each image `pred_boxes`, `scores`, `pred_classes`, and perhaps `tokens`.

        Raises:
            ValueError: a box or a score is not finite.
        """
        device = detections[0].scores.device
        instances = [self.select(d) for d in on_cpu(detections)]
        pair_indices = self._capped_pairs(instances)
        counts = [len(p) for p in pair_indices]
        sizes = torch.tensor([0, *(len(i) for i in instances)]).cumsum(0).tolist()
        packed = torch.cat([p + start for p, start in zip(pair_indices, sizes)])
        human, object_ = packed.to(device).unbind(dim=1)
        boxes = torch.cat([i.pred_boxes.tensor for i in instances]).to(device)
        scores = torch.cat([i.scores for i in instances]).to(device)
        classes = torch.cat([i.pred_classes for i in instances]).to(device)
        has_tokens = all(i.has("tokens") for i in instances)
        tokens = torch.cat([i.tokens for i in instances]) if has_tokens else None
        image_index = torch.repeat_interleave(torch.tensor(counts)).to(device)
        return CandidatePairs(
            instances=instances,
            pair_indices=pair_indices,
            counts=counts,
            image_index=image_index,
            human_boxes=boxes[human],
            object_boxes=boxes[object_],
            human_tokens=tokens[human] if tokens is not None else None,
            object_tokens=tokens[object_] if tokens is not None else None,
            human_scores=scores[human],
            object_scores=scores[object_],
            object_classes=classes[object_],
        )

    def select(self, detections: Instances) -> Instances:
        """The kept entities: humans first, each kind by descending score."""
        boxes, scores = detections.pred_boxes.tensor, detections.scores
        if not (torch.isfinite(boxes).all() and torch.isfinite(scores).all()):
            raise ValueError(
                "the entity detector returned boxes or scores that are not finite; its weights or "
                "its input are broken"
            )
        order = batched_nms(
            boxes.float(), scores.float(), detections.pred_classes, self.nms_threshold
        )
        is_human = detections.pred_classes[order] == self.person
        kept = [self._best(order[kind], scores) for kind in (is_human, ~is_human)]
        found = detections[torch.cat(kept)]  # a copy
        if self.clip_boxes:
            found.pred_boxes.clip(found.image_size)  # outside is another image's padding
        return found

    def _best(self, candidates: Tensor, scores: Tensor) -> Tensor:
        """The rows to keep of `candidates`, which are in order of descending score."""
        above = int((scores[candidates] >= self.score_threshold).sum())
        return candidates[: min(max(above, self.min_instances), self.max_instances)]

    def _capped_pairs(self, instances: list[Instances]) -> list[Tensor]:
        pairs = [self.pair(i) for i in instances]
        if not self.max_pairs:
            return pairs
        capped = [self._best_pairs(p, i.scores) for p, i in zip(pairs, instances)]
        number = sum(len(p) > len(c) for p, c in zip(pairs, capped))
        if number and not self._capped:
            logger.warning(
                "PAIRS.MAX_PAIRS: an image has %d pairs, the best %d are kept; such "
                "images are counted without further messages",
                *(max(map(len, pairs)), self.max_pairs),
            )
        self._capped += number
        if self.training:
            get_event_storage().put_scalar("capped_images", number / len(pairs))
        return capped

    def _best_pairs(self, pairs: Tensor, scores: Tensor) -> Tensor:
        """The `max_pairs` pairs with the best product of scores, in their original order."""
        if len(pairs) <= self.max_pairs:
            return pairs
        order = scores[pairs].prod(dim=1).argsort(descending=True, stable=True)
        return pairs[order[: self.max_pairs].sort().values]

    def pair(self, instances: Instances) -> Tensor:
        """All pairs (M, 2) of a human and another entity, including other humans."""
        count = len(instances)
        humans = int((instances.pred_classes == self.person).sum())
        grid = torch.cartesian_prod(torch.arange(humans), torch.arange(count)).reshape(-1, 2)
        return grid[grid[:, 0] != grid[:, 1]]


def on_cpu(detections: list[Instances]) -> list[Instances]:
    """The detections of a batch on the CPU, by one copy of each field; `tokens` stay."""
    counts = [len(d) for d in detections]
    boxes = torch.cat([d.pred_boxes.tensor for d in detections]).cpu().split(counts)
    scores = torch.cat([d.scores for d in detections]).cpu().split(counts)
    classes = torch.cat([d.pred_classes for d in detections]).cpu().split(counts)
    result = []
    for found, *fields in zip(detections, boxes, scores, classes):
        copy = Instances(found.image_size)
        for name, value in zip(("pred_boxes", "scores", "pred_classes"), fields):
            copy.set(name, Boxes(value) if name == "pred_boxes" else value)
        if found.has("tokens"):
            copy.tokens = found.tokens
        result.append(copy)
    return result
