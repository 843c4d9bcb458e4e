"""UPT: a frozen DETR, cooperating entities, competing pairs.

UPT: Efficient Two-Stage Detection of Human-Object Interactions with a Novel Unary-Pairwise
Transformer, Zhang et al., CVPR 2022 (arXiv 2112.01838).
"""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.upt_conversion import detector_classes_of_upt, is_whole_upt, upt_head
from hoi_d2.checkpoint.weight_files import WeightFile
from hoi_d2.config.load import ConfigError
from hoi_d2.modeling.entity_detector.caching import CachedEntityDetector
from hoi_d2.modeling.entity_detector.detr import DetrEntityDetector
from hoi_d2.modeling.meta_arch.rmlr import RmLR
from hoi_d2.modeling.roi_heads.box_pair_encoding import NUMBERS
from hoi_d2.modeling.roi_heads.upt_heads import UPTHeads


@META_ARCH_REGISTRY.register()
class UPT(RmLR):
    """RmLR's path of entities, pairs, loss and results with `UPTHeads` in between.

    Takes the weights that UPT's authors published, detector and head, as well as its own.

    Differences to the published code: in training, the detector stays in evaluation mode, where
    theirs has its dropout on, the verb loss is finite where theirs is not, and the competitive
    layer drops inner activations instead of attention weights; in a batch, padding takes no part
    in an image's mean, and an image without a pair loses nothing; boxes are cut off at the image
    when results are given out.

    Args:
        **rmlr: of `RmLR`.
    """

    takes_whole_upt = True

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        arguments = super().from_config(cfg)
        if not isinstance(arguments["interaction_heads"], UPTHeads):
            raise ConfigError(
                "MODEL.META_ARCHITECTURE UPT goes with MODEL.RMLR.HEADS UPTHeads, "
                f"got {cfg.MODEL.RMLR.HEADS}"
            )
        return arguments

    def convert_weights(self, file: WeightFile, *, classes: str = "") -> dict[str, Tensor]:
        """A whole UPT under this model's names; classes and verbs are matched by name.

        Args:
            file: as it was read; what this project saved passes as it is.
            classes: class space of the detector's outputs, where the file does not tell it right.

        Raises:
            WeightsError: tensors are missing, or it is of other verbs.
        """
        if not is_whole_upt(file):
            return file.weights
        detector = self.entity_detector
        if isinstance(detector, CachedEntityDetector):
            detector = detector.detector
        if not isinstance(detector, DetrEntityDetector):
            raise WeightsError(
                f"{file.name} holds a DETR, and MODEL.ENTITY_DETECTOR.NAME is "
                f"{type(detector).__name__}: set it to DetrEntityDetector"
            )
        head = upt_head(file, verbs=self.vocabulary.verbs, box_numbers=NUMBERS)
        found = detector.convert_weights(file, classes=classes or detector_classes_of_upt(file))
        return {
            **{f"entity_detector.{name}": tensor for name, tensor in found.items()},
            **{f"interaction_heads.{name}": tensor for name, tensor in head.items()},
        }
