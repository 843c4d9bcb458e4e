"""A frozen detector that looks at each image once in the life of a process."""

from __future__ import annotations

from detectron2.structures import Instances
from torch import Tensor

from hoi_d2.modeling.entity_detector.interface import Entities, EntityDetector
from hoi_d2.modeling.entity_detector.same_size import pad_maps


class RememberingDetector(EntityDetector):
    """What the detector found is kept in memory, by the image's own bytes.

    Right because the detector is frozen and padding changes nothing
    (tests/modeling/meta_arch/test_rmlr.py). Unlike MODEL.ENTITY_DETECTOR.CACHE it needs no run
    before the training, and it keeps mirrored images too. Maps are kept in 16 bits.

    Args:
        detector: any entity detector, in evaluation mode.
    """

    memory: dict[int, tuple[Instances, Tensor]] = {}

    def __init__(self, detector: EntityDetector) -> None:
        super().__init__()
        self.detector = detector
        self.token_dim, self.is_random = detector.token_dim, detector.is_random

    def forward(self, batched_inputs: list[dict]) -> Entities:
        """Looks at the images that are new; gives what is remembered of all."""
        keys = [hash(x["image"].numpy().tobytes()) for x in batched_inputs]
        for key, x in zip(keys, batched_inputs):
            if key not in self.memory:
                found = self.detector([x])
                self.memory[key] = found.instances[0], found.feature_map[0].half()
        instances, maps = zip(*(self.memory[key] for key in keys))
        return Entities(list(instances), *pad_maps([m.float() for m in maps]))
