"""The classes of one detector and those of the dataset that it finds entities for."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from torch import Tensor

from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.data.class_spaces import class_map, class_space, missing_classes
from hoi_d2.data.vocabulary import coco_objects

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DetectorClasses:
    """Names of a detector's outputs and of the dataset's classes.

    Args:
        outputs: one name for each output (no-object is none).
        dataset: the dataset's object classes.
    """

    outputs: tuple[str, ...]
    dataset: tuple[str, ...]

    @cached_property
    def map(self) -> Tensor:
        """(outputs,) the dataset's class of each output, -1 = none; by name."""
        return class_map(self.outputs, self.dataset)

    @property
    def output_map(self) -> Tensor:
        """(dataset classes,) the output of each, -1 = none; by name."""
        return class_map(self.dataset, self.outputs)

    @property
    def is_identity(self) -> bool:
        return self.outputs == self.dataset

    def outputs_of(self, classes: Tensor) -> Tensor:
        """Dataset classes (N,) -> outputs (N,).

        Raises:
            ValueError: the detector has no output for a class.
        """
        table = self.output_map.to(classes.device)
        outputs = table[classes]
        if (outputs < 0).any():
            names = sorted({self.dataset[c] for c in classes[outputs < 0].tolist()})
            raise ValueError(f"the detector has no output for the class {', '.join(names)}")
        return outputs

    def check_number(self, num_outputs: int) -> None:
        """Raises ValueError where the names do not fit the number of outputs."""
        if len(self.outputs) != num_outputs:
            raise ValueError(
                f"MODEL.DETR.NUM_CLASSES is {num_outputs}, but MODEL.DETR.CLASSES names "
                f"{len(self.outputs)} outputs; make them agree"
            )


def detector_classes(cfg: CfgNode) -> DetectorClasses | None:
    """The classes of DETR's outputs (`MODEL.DETR.CLASSES`); None where nothing names them.

    Raises:
        KeyError: no such class space.
        ValueError: the detector knows no class of the dataset.
    """
    dataset, name = dataset_objects(cfg), cfg.MODEL.DETR.CLASSES
    if not name:
        fits = len(dataset) == cfg.MODEL.DETR.NUM_CLASSES
        return DetectorClasses(dataset, dataset) if fits else None
    return named_classes(name, dataset)


def named_classes(name: str, dataset: tuple[str, ...]) -> DetectorClasses:
    """The classes of a detector whose outputs are the class space `name`.

    Raises:
        KeyError: no such class space.
        ValueError: the detector knows no class of the dataset.
    """
    return classes_of(class_space(name), dataset, source=name)


def classes_of(
    outputs: tuple[str, ...], dataset: tuple[str, ...], *, source: str
) -> DetectorClasses:
    """The classes of a detector with these outputs; says what it lacks.

    Raises:
        ValueError: the detector knows no class of the dataset.
    """
    missing = missing_classes(outputs, dataset)
    if len(missing) == len(dataset):
        raise ValueError(f"a detector of {source} knows none of the classes {', '.join(dataset)}")
    if missing:
        logger.warning("a detector of %s does not know: %s", source, ", ".join(missing))
    return DetectorClasses(outputs, dataset)


def dataset_objects(cfg: CfgNode) -> tuple[str, ...]:
    """Names of the object classes that a config is about; COCO's 80 where it names no dataset."""
    names = [cfg.MODEL.HOI.VOCABULARY, *cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST]
    first = next((name for name in names if name), None)
    if first is None:
        return coco_objects()
    things = MetadataCatalog.get(first).get("thing_classes")
    if things:
        return tuple(things)
    return vocabulary_of(cfg).objects
