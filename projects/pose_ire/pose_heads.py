"""RmLR whose union feature is a frozen model's human pose (supplement G, Table 9).

"We replace the IRE module with an explicit human posture recognition model to learn the union
interaction feature of HO candidates." Which of its outputs is meant, and how it becomes a feature,
is not said. Our reading: the heatmaps of the human's joints, seen through the pair's union box,
next to the place of the object.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import ROI_HEADS_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from hoi_d2.modeling.entity_detector.interface import Entities
from hoi_d2.modeling.roi_heads.interaction_heads import InteractionHeads
from hoi_d2.modeling.roi_heads.masked_roi import bins_inside, union_boxes
from hoi_d2.modeling.roi_heads.pair_generator import CandidatePairs

logger = logging.getLogger(__name__)
_ROOM = 1.25  # a person's crop is so much larger than the box, as ViTPose was trained
_BORDER = 2  # pixels of zeros around the batch: at the border of an image, padded or not, the same


class HumanPose(nn.Module):
    """Frozen ViTPose: a person's box -> heatmaps of the joints.

    Args:
        model: transformers' `VitPoseForPoseEstimation`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.requires_grad_(False).eval()
        self.num_joints = model.config.num_labels
        self.crop_size = tuple(model.config.backbone_config.image_size)  # height, width
        self.stand_in = ""

    @classmethod
    def from_name(cls, name: str) -> HumanPose:
        """A hub id or a folder; random weights with a warning where it is not available."""
        from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation

        try:
            return cls(VitPoseForPoseEstimation.from_pretrained(name))
        except OSError as error:
            backbone = VitPoseBackboneConfig(out_indices=[12])
            pose = cls(VitPoseForPoseEstimation(VitPoseConfig(backbone_config=backbone)))
            pose.stand_in = (
                f"RANDOM WEIGHTS: the pose model {name} is not available here "
                f"({str(error).splitlines()[0]}). Run `hf download {name}` once where there is a "
                "network, or name a folder in MODEL.RMLR.EXTRA.POSE_MODEL"
            )
            logger.warning(pose.stand_in)
            return pose

    def train(self, mode: bool = True) -> HumanPose:
        """It stays in evaluation mode."""
        return super().train(False)

    def crops(self, boxes: Tensor) -> Tensor:
        """(N, 4) boxes of the crop's shape around persons' boxes, with room."""
        center, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        shape = size.new_tensor([self.crop_size[1], self.crop_size[0]])
        scale = (size / shape).amax(dim=1, keepdim=True).clamp(min=1 / max(self.crop_size))
        half = scale * shape * _ROOM / 2
        return torch.cat([center - half, center + half], dim=1)

    @torch.no_grad()
    def forward(self, images: Tensor, image_index: Tensor, boxes: Tensor) -> Tensor:
        """
        Args:
            images: (B, 3, H, W), ImageNet's mean and standard deviation, zeros where padded.
            image_index: (N,).
            boxes: (N, 4) crops as `crops` makes them.

        Returns:
            (N, joints, h, w) heatmaps over the crops.
        """
        if not len(boxes):
            return images.new_zeros(0, self.num_joints, 1, 1)
        padded = F.pad(images, (_BORDER,) * 4)
        rois = torch.cat([image_index[:, None].to(boxes.dtype), boxes + _BORDER], dim=1)
        raw_images = roi_align(padded, rois, self.crop_size, sampling_ratio=2, aligned=True)
        return self.model(pixel_values=raw_images).heatmaps


@ROI_HEADS_REGISTRY.register()
class PoseInteractionHeads(InteractionHeads):
    """RmLR's head with a pose in place of the IRE's map; everything else is the same.

    Args:
        pose: the frozen model.
        resolution: bins a side of the pose map of a pair.
        heads: arguments of `InteractionHeads`.
    """

    @configurable
    def __init__(self, *, pose: HumanPose, resolution: int, **heads: Any) -> None:
        super().__init__(**heads)
        if self.masked_roi is None:
            raise ValueError("PoseInteractionHeads: MODEL.RMLR.MASKED_ROI.MASK must not be 'none'")
        self.relation_encoder = None
        self.pose, self.resolution = pose, resolution
        numbers = (pose.num_joints + 1) * resolution**2
        self.to_union = nn.Sequential(nn.Linear(numbers, heads["feature_dim"]), nn.ReLU())

    @classmethod
    def from_config(
        cls, cfg: CfgNode, input_shape: ShapeSpec, *, token_dim: int, num_verbs: int
    ) -> dict[str, Any]:
        heads = super().from_config(cfg, input_shape, token_dim=token_dim, num_verbs=num_verbs)
        name = cfg.MODEL.RMLR.EXTRA.get("POSE_MODEL", "")
        if not name:
            raise ValueError("MODEL.RMLR.EXTRA.POSE_MODEL names no pose model")
        resolution = cfg.MODEL.RMLR.MASKED_ROI.POOLER_RESOLUTION
        return {**heads, "pose": HumanPose.from_name(name), "resolution": resolution}

    def union_features(self, entities: Entities, pairs: CandidatePairs) -> Tensor:
        """m: (M, feature_dim)."""
        if entities.images is None:
            raise ValueError("PoseInteractionHeads looks at the images: it needs `Entities.images`")
        maps = self.pose_maps(entities.images.tensor, pairs)
        return self.to_union(maps.flatten(1).to(self.to_union[0].weight.dtype))

    def pose_maps(self, images: Tensor, pairs: CandidatePairs) -> Tensor:
        """(M, joints + 1, resolution, resolution) over the union boxes: joints, then the object."""
        humans = torch.cat([pairs.image_index[:, None].float(), pairs.human_boxes.float()], dim=1)
        humans, of_pair = humans.unique(dim=0, return_inverse=True)  # each person once
        crops = self.pose.crops(humans[:, 1:])
        heatmaps = self.pose(images, humans[:, 0].long(), crops)
        union = union_boxes(pairs.human_boxes, pairs.object_boxes).float()
        cells = union.new_tensor([heatmaps.shape[3], heatmaps.shape[2]])
        origin, size = crops[of_pair, :2], crops[of_pair, 2:] - crops[of_pair, :2]
        corners = [(corner - origin) / size * cells for corner in (union[:, :2], union[:, 2:])]
        rois = torch.cat([of_pair[:, None].float(), *corners], dim=1)
        joints = roi_align(heatmaps, rois, self.resolution, sampling_ratio=4, aligned=True)
        place = bins_inside(union, pairs.object_boxes, pairs.object_boxes, self.resolution)
        return torch.cat([joints, place[:, None].to(joints.dtype)], dim=1)
