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
from pose_networks import SIZE, VitPoseNetwork, pose_network
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.config.load import ConfigError
from hoi_d2.modeling.entity_detector.interface import Entities
from hoi_d2.modeling.roi_heads.interaction_heads import InteractionHeads
from hoi_d2.modeling.roi_heads.masked_roi import bins_inside, union_boxes
from hoi_d2.modeling.roi_heads.pair_generator import CandidatePairs

logger = logging.getLogger(__name__)
_ROOM = 1.25  # a person's crop is so much larger than the box, as these networks were trained
_BORDER = 2  # pixels of zeros around the batch: at the border of an image, padded or not, the same


class MissingPoseError(WeightsError, FileNotFoundError):
    """The pose model's weights are not on this machine."""


class HumanPose(nn.Module):
    """A frozen pose network: a person's box -> heatmaps of the joints.

    Args:
        network: of `pose_networks`: (N, 3, H, W) normalised crops to (N, joints, h, w) heatmaps,
            with `num_joints` and `crop_size`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        self.num_joints, self.crop_size = network.num_joints, tuple(network.crop_size)
        self.stand_in = ""

    @classmethod
    def from_config(cls, node: CfgNode, *, random_allowed: bool) -> HumanPose:
        """The network that `MODEL.RMLR.EXTRA` names.

        Args:
            node: with POSE_MODEL, a source of `pose_networks`; of a `.pth` also POSE_SIZE (height,
                width; [256, 192] if left out) and POSE_SHA256.
            random_allowed: a random ViTPose stands in for what is not on this machine.

        Raises:
            ConfigError: no POSE_MODEL.
            MissingPoseError: it is not on this machine, and random weights are not allowed.
            WeightsError: its weights do not fit.
        """
        source = node.get("POSE_MODEL", "")
        if not source:
            raise ConfigError("MODEL.RMLR.EXTRA.POSE_MODEL names no pose model")
        try:
            size, sha256 = node.get("POSE_SIZE", SIZE), node.get("POSE_SHA256", "")
            return cls(pose_network(source, crop_size=size, sha256=sha256))
        except OSError as error:
            reason = (
                f"the pose model {source} is not available here ({str(error).splitlines()[0]}). "
                "projects/pose_ire/README.md says where weights are; name them in "
                "MODEL.RMLR.EXTRA.POSE_MODEL"
            )
            if not random_allowed:
                raise MissingPoseError(reason) from error
        return cls.random(reason)

    @classmethod
    def random(cls, reason: str) -> HumanPose:
        """ViTPose-B with random weights, which says so."""
        from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation

        config = VitPoseConfig(backbone_config=VitPoseBackboneConfig(out_indices=[12]))
        pose = cls(VitPoseNetwork(VitPoseForPoseEstimation(config)))
        pose.stand_in = f"RANDOM WEIGHTS: {reason}"
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
        return self.network(raw_images)


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
        pose = HumanPose.from_config(
            cfg.MODEL.RMLR.EXTRA, random_allowed=cfg.MODEL.ALLOW_RANDOM_WEIGHTS
        )
        resolution = cfg.MODEL.RMLR.MASKED_ROI.POOLER_RESOLUTION
        return {**heads, "pose": pose, "resolution": resolution}

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
