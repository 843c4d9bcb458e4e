"""A dense one-to-many detection loss on a feature map, for DETRs that learn from scratch.

Every cell near the centre of an object predicts its class and box, as FCOS does (Tian et al.,
2019). Set prediction alone teaches a backbone from scratch its classes late; this head does it in
a few hundred iterations, and is thrown away after training (Co-DETR, Zong et al., 2023, shows the
same for an encoder).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss


class DenseDetectionHead(nn.Module):
    """Class and box of every cell of a map, and their loss.

    Args:
        channels: of the map.
        num_classes: object classes.
        radius: cells up to this many from an object's centre cell are its positives.
    """

    def __init__(self, *, channels: int, num_classes: int, radius: int = 1) -> None:
        super().__init__()
        self.predictor = nn.Conv2d(channels, num_classes + 4, kernel_size=1)
        self.num_classes = num_classes
        self.radius = radius
        nn.init.constant_(self.predictor.get_parameter("bias")[:num_classes], -4.0)

    def forward(
        self, feature_map: Tensor, boxes: list[Tensor], classes: list[Tensor]
    ) -> dict[str, Tensor]:
        """Computes the dense losses of a batch.

        Args:
            feature_map: (B, C, h, w).
            boxes: for each image (N, 4) XYXY in cells of the map.
            classes: for each image (N,).

        Returns:
            {"class": scalar, "box": scalar}, each divided by the number of positive cells.
        """
        predicted = self.predictor(feature_map).float()
        logits, distances = predicted.split([self.num_classes, 4], dim=1)
        target, target_boxes, positive = self._assign(feature_map, boxes, classes)
        normaliser = positive.sum().clamp(min=1)
        loss_class = sigmoid_focal_loss(logits, target, alpha=0.25, gamma=2, reduction="sum")
        y, x = positive.nonzero(as_tuple=True)[1:]
        center = torch.stack([x, y, x, y], dim=1) + 0.5
        sides = distances.permute(0, 2, 3, 1)[positive].clamp(max=5).exp() * center.new_tensor(
            [-1, -1, 1, 1]
        )
        loss_box = generalized_box_iou_loss(center + sides, target_boxes[positive], reduction="sum")
        return {"class": loss_class / normaliser, "box": loss_box / normaliser}

    @torch.no_grad()
    def _assign(
        self, feature_map: Tensor, boxes: list[Tensor], classes: list[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One-hot classes (B, C, h, w), boxes (B, h, w, 4) and positives (B, h, w); small win."""
        batch, _, h, w = feature_map.shape
        target = feature_map.new_zeros(batch, self.num_classes, h, w, dtype=torch.float32)
        target_boxes = feature_map.new_zeros(batch, h, w, 4, dtype=torch.float32)
        positive = torch.zeros(batch, h, w, dtype=torch.bool, device=feature_map.device)
        for b, (image_boxes, image_classes) in enumerate(zip(boxes, classes)):
            area = (image_boxes[:, 2:] - image_boxes[:, :2]).prod(dim=1)
            for n in area.argsort(descending=True).tolist():  # smaller objects overwrite larger
                box = image_boxes[n]
                cx, cy = ((box[:2] + box[2:]) / 2).floor().long().tolist()
                ys = slice(max(cy - self.radius, 0), max(cy + self.radius + 1, 0))
                xs = slice(max(cx - self.radius, 0), max(cx + self.radius + 1, 0))
                ys, xs = self._inside(ys, xs, box, cy, cx)
                target[b, :, ys, xs] = 0
                target[b, image_classes[n], ys, xs] = 1
                target_boxes[b, ys, xs] = box
                positive[b, ys, xs] = True
        return target, target_boxes, positive

    @staticmethod
    def _inside(ys: slice, xs: slice, box: Tensor, cy: int, cx: int) -> tuple[slice, slice]:
        """Keeps the cells whose centres lie in the box, and the centre cell always."""
        x0, y0, x1, y1 = box.tolist()
        top, left = max(ys.start, min(cy, round(y0))), max(xs.start, min(cx, round(x0)))
        bottom, right = min(ys.stop, max(cy + 1, round(y1))), min(xs.stop, max(cx + 1, round(x1)))
        return slice(top, bottom), slice(left, right)
