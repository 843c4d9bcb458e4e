"""`Detr`: trains DETR as a plain detector of detectron2.

DETR: End-to-End Object Detection with Transformers, Carion et al., ECCV 2020 (arXiv 2005.12872).
"""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn
from torchvision.ops import box_convert

from hoi_d2.modeling.entity_detector.dense_loss import DenseDetectionHead
from hoi_d2.modeling.entity_detector.detr import DetrEntityDetector
from hoi_d2.modeling.entity_detector.detr_network import DetrOutput
from hoi_d2.structures import ImageResults, Losses


@META_ARCH_REGISTRY.register()
class Detr(DetrEntityDetector):
    """Images -> network -> set loss, or boxes, scores and classes of every query.

    Its weights have the names of `DetrEntityDetector`, so that what was trained here is named in
    MODEL.ENTITY_DETECTOR.WEIGHTS as it is.

    Args:
        dense_loss_weight: weight of the dense one-to-many loss in training; 0 = none.
        detector: arguments of `DetrEntityDetector`.
    """

    detects_entities = True

    @configurable
    def __init__(self, *, dense_loss_weight: float = 0.0, **detector: Any) -> None:
        super().__init__(**detector)
        self.dense_loss_weight = dense_loss_weight
        self.dense_heads = nn.ModuleList()
        if dense_loss_weight > 0:
            for channels in (self.network.feature_channels, self.network.hidden_dim):
                head = DenseDetectionHead(channels=channels, num_classes=self.network.num_classes)
                self.dense_heads.append(head)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        return {**cls.arguments(cfg), "dense_loss_weight": cfg.MODEL.DETR.DENSE_LOSS_WEIGHT}

    def forward(  # type: ignore[override]  # a model's outputs, not entities
        self, batched_inputs: list[dict[str, Any]]
    ) -> Losses | list[ImageResults]:
        """Finds entities, or computes the losses in training.

        Args:
            batched_inputs: detectron2's; `image` (3, H, W) RGB, and in training `instances` with
                `gt_boxes` and `gt_classes`.

        Returns:
            Training: the losses. Else one {"instances": Instances} an image, in its original
            size, with `pred_boxes`, `scores`, `pred_classes`, best first.
        """
        images, mask = self.preprocess(batched_inputs)
        output = self.network(images.tensor, mask)
        if self.training:
            return self.losses(output, [x["instances"].to(self.device) for x in batched_inputs])
        results = []
        for size, x, found in zip(images.image_sizes, batched_inputs, self.detections(output)):
            target = x.get("height", size[0]), x.get("width", size[1])
            results.append({"instances": self._to_instances(*found, target)})
        return results

    def _to_instances(
        self, boxes: Tensor, scores: Tensor, classes: Tensor, size: tuple[int, int]
    ) -> Instances:
        """The queries above the threshold, best first; `size` is the image's (height, width)."""
        height, width = size
        order = scores.argsort(descending=True, stable=True)
        order = order[scores[order] >= self.score_threshold]
        boxes = Boxes(boxes[order] * boxes.new_tensor([width, height, width, height]))
        return Instances(
            (height, width), pred_boxes=boxes, scores=scores[order], pred_classes=classes[order]
        )

    def losses(self, output: DetrOutput, targets: list[Instances]) -> Losses:
        """Set loss of every decoder layer, by transformers' criterion, and the dense loss.

        Args:
            output: of the network in training.
            targets: for each image `gt_boxes` (XYXY pixels of the input) and `gt_classes`.

        Returns:
            `loss_ce`, `loss_bbox` and `loss_giou` of the last decoder layer, the same with `_0`,
            `_1`, ... of those before it, and `loss_dense_{backbone,encoder}_{class,box}`.
        """
        labels = [self._to_labels(t) for t in targets]
        groups = output.logits.shape[1] // len(targets)
        repeated = [label for label in labels for _ in range(groups)]
        logits, boxes, config = output.logits.float(), output.boxes.float(), self.network.config
        _, losses, _ = self.network.detr.loss_function(
            logits[-1], repeated, self.device, boxes[-1], config, logits, boxes
        )
        weights = {
            "loss_ce": getattr(config, "cls_loss_coefficient", 1),
            "loss_bbox": config.bbox_loss_coefficient,
            "loss_giou": config.giou_loss_coefficient,
        }
        kind = {name: "_".join(name.split("_")[:2]) for name in losses}
        weighted = {n: loss * weights[kind[n]] for n, loss in losses.items() if kind[n] in weights}
        return {**weighted, **self._dense_losses(output, targets)}

    def _to_labels(self, target: Instances) -> dict[str, Tensor]:
        """transformers' form: outputs, and boxes as centre and size in shares of the image."""
        height, width = target.image_size
        boxes, labels = target.gt_boxes.tensor, target.gt_classes
        if self.classes is not None:
            labels = self.classes.outputs_of(labels)
        scale = boxes.new_tensor([width, height, width, height])
        return {"class_labels": labels, "boxes": box_convert(boxes / scale, "xyxy", "cxcywh")}

    def _dense_losses(self, output: DetrOutput, targets: list[Instances]) -> Losses:
        if not self.dense_heads:
            return {}
        batch, _, h, w = output.feature_map.shape
        memory = output.memory.transpose(1, 2).reshape(batch, -1, h, w)
        sizes = [_cells(m) for m in output.feature_mask]
        boxes = [
            t.gt_boxes.tensor
            / t.gt_boxes.tensor.new_tensor([t.image_size[1], t.image_size[0]] * 2)
            * t.gt_boxes.tensor.new_tensor([cols, rows] * 2)
            for t, (rows, cols) in zip(targets, sizes)
        ]
        losses = {}
        for name, head, features in zip(
            ("backbone", "encoder"), self.dense_heads, (output.feature_map, memory)
        ):
            for part, loss in head(features, boxes, [t.gt_classes for t in targets]).items():
                losses[f"loss_dense_{name}_{part}"] = self.dense_loss_weight * loss
        return losses


def _cells(mask: Tensor) -> tuple[int, int]:
    """Rows and columns of the map that an image covers."""
    return int(mask.any(dim=1).sum()), int(mask.any(dim=0).sum())
