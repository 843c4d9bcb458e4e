"""What a frozen detector's tokens, and the IRE's map, hold of each person in an image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from detectron2.structures import Boxes, pairwise_iou
from torch import Tensor
from torch.nn import functional as F

from hoi_d2.inference.predictor import HOIPredictor
from hoi_d2.modeling.roi_heads.masked_roi import MaskedRoI


@dataclass(frozen=True)
class People:
    """The people of one image.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) XYXY pixels of the image.
        tokens: (N, d) of the detector.
        relations: (N, C) mean of the IRE's map in the box.
    """

    image: object
    boxes: Tensor
    tokens: Tensor
    relations: Tensor


@torch.inference_mode()
def people_in(
    predictor: HOIPredictor,
    image,
    *,
    box: tuple[float, ...] | None = None,
    score_threshold: float = 0.3,
) -> People:
    """Looks at one image.

    Args:
        predictor: of an RmLR with an IRE.
        image: (H, W, 3) uint8 RGB.
        box: only the person who fits this box best; None = all people found.
        score_threshold: of the people found.

    Raises:
        ValueError: the model has no IRE, or it finds nobody.
    """
    model = predictor.model
    encoder = model.interaction_heads.relation_encoder
    if encoder is None or not encoder.layers:
        raise ValueError("the model has no IRE to compare with: MODEL.RMLR.IRE, MASKED_ROI.MASK")
    entities = model.entity_detector([predictor.model_input(image)])
    found = entities.instances[0]
    found = found[found.pred_classes == predictor.vocabulary.person]
    height, width = found.image_size
    scale = torch.tensor([width / image.shape[1], height / image.shape[0]] * 2)
    if box is not None and len(found):
        wanted = Boxes(torch.tensor([box]) * scale)
        found = found[pairwise_iou(wanted, found.pred_boxes).argmax(dim=1)]
    elif box is None:
        found = found[found.scores >= score_threshold]
    if not len(found):
        raise ValueError("the detector finds nobody in an image")
    roi = MaskedRoI(
        mask="union",
        resolution=7,
        sampling_ratio=2,
        stride=model.entity_detector.output_shape().stride,
    )
    boxes = found.pred_boxes.tensor
    relations = roi(
        encoder(entities.feature_map, entities.feature_mask),
        entities.feature_mask,
        torch.zeros(len(boxes), dtype=torch.int64),
        boxes,
        boxes,
    )
    return People(image, boxes / scale, found.tokens.float(), relations.float())


def cosine(x: Tensor) -> Tensor:
    """(N, N) cosine similarities of the rows."""
    unit = F.normalize(x, dim=1)
    return unit @ unit.T


def euclidean(x: Tensor) -> Tensor:
    """(N, N) distances of the rows; 1 = the mean distance of two of them."""
    distances = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    others = ~torch.eye(len(x), dtype=torch.bool)
    return distances / distances[others].mean() if len(x) > 1 else distances
