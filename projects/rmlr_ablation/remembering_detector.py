"""A frozen detector that looks at each image once in the life of a process."""

from __future__ import annotations

import torch
from detectron2.structures import Instances
from torch import Tensor, nn
from torch.nn import functional as F

from hoi_d2.modeling.entity_detector.build import Entities


class RememberingDetector(nn.Module):
    """What the detector found is kept in memory, by the image's own bytes.

    Right because the detector is frozen and padding changes nothing
    (tests/modeling/meta_arch/test_rmlr.py). Unlike MODEL.ENTITY_DETECTOR.CACHE it needs no run
    before the training, and it keeps mirrored images too. Maps are kept in 16 bits.

    Args:
        detector: any entity detector, in evaluation mode.
    """

    memory: dict[int, tuple[Instances, Tensor]] = {}

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector
        self.token_dim = detector.token_dim

    def preprocess(self, batched_inputs: list[dict]):
        """Looks at the images that are new; gives the keys of all."""
        keys = [hash(x["image"].numpy().tobytes()) for x in batched_inputs]
        for key, x in zip(keys, batched_inputs):
            if key not in self.memory:
                images, mask = self.detector.preprocess([x])
                found = self.detector.detect(images, mask)
                self.memory[key] = found.instances[0], found.feature_map[0].half()
        return keys, None

    def detect(self, keys: list[int], mask: None) -> Entities:
        """What is remembered, as a batch."""
        instances, maps = zip(*(self.memory[key] for key in keys))
        height, width = (max(m.shape[d] for m in maps) for d in (1, 2))
        padded, inside = [], torch.zeros(len(maps), height, width, dtype=torch.bool)
        for row, m in zip(inside, maps):
            row[: m.shape[1], : m.shape[2]] = True
            padded.append(F.pad(m.float(), (0, width - m.shape[2], 0, height - m.shape[1])))
        return Entities(list(instances), torch.stack(padded), inside)
