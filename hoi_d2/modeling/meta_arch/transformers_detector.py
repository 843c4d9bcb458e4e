"""`TransformersDetector`: trains one of transformers' detectors, as `Detr` trains DETR."""

from __future__ import annotations

from typing import Any

from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Instances
from torch import Tensor
from torchvision.ops import box_convert

from hoi_d2.modeling.entity_detector.transformers_detectors import TransformersEntityDetector
from hoi_d2.structures import ImageResults, Losses


@META_ARCH_REGISTRY.register()
class TransformersDetector(TransformersEntityDetector):
    """RT-DETR and other relatives as a plain detector, with transformers' own loss.

    Its weights have the names of `TransformersEntityDetector`, so that what was trained here is
    named in MODEL.ENTITY_DETECTOR.WEIGHTS as it is.
    """

    detects_entities = True

    def forward(  # type: ignore[override]  # a model's outputs, not entities
        self, batched_inputs: list[dict[str, Any]]
    ) -> Losses | list[ImageResults]:
        """Finds entities, or computes the loss in training.

        Args:
            batched_inputs: detectron2's; `image` (3, H, W) RGB, and in training `instances` with
                `gt_boxes` and `gt_classes`.

        Returns:
            Training: {"loss_detection": scalar}. Else one {"instances": Instances} an image, in
            its original size.
        """
        images, mask = self.preprocess(batched_inputs)
        if self.training:
            labels = [self._labels(x["instances"].to(images.device)) for x in batched_inputs]
            output = self.network(pixel_values=images.tensor, pixel_mask=mask.long(), labels=labels)
            return {"loss_detection": output.loss}
        found = self.detect(images, mask).instances
        sizes = [
            (x.get("height", f.image_size[0]), x.get("width", f.image_size[1]))
            for x, f in zip(batched_inputs, found)
        ]
        return [{"instances": detector_postprocess(f, *size)} for f, size in zip(found, sizes)]

    def _labels(self, target: Instances) -> dict[str, Tensor]:
        """transformers' form: outputs, and boxes as centre and size in shares of the image."""
        height, width = target.image_size
        boxes = target.gt_boxes.tensor
        boxes = box_convert(boxes / boxes.new_tensor([width, height] * 2), "xyxy", "cxcywh")
        return {"class_labels": self.classes.outputs_of(target.gt_classes), "boxes": boxes}
