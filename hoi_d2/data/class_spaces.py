"""Maps the output classes of detectors to the classes of a dataset.

Detectors number their classes in several ways (COCO's 91 ids, its 80 without gaps, HICO's
alphabetical 80, ...). They share only the names, so every mapping is by name.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hoi_d2.data.vocabulary import coco_category_ids, coco_objects, hico_object_order

UNUSED = "N/A"
"""Name of an output that means no class (eleven of COCO's 91)."""

# Names of COCO's objects in other datasets.
_ALIASES = {
    "aeroplane": "airplane",
    "cellphone": "cell phone",
    "diningtable": "dining table",
    "doughnut": "donut",
    "hair dryer": "hair drier",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "television": "tv",
    "tv monitor": "tv",
    "tvmonitor": "tv",
}
# First COCO object of each supercategory: person, vehicle, outdoor, animal, accessory, sports,
# kitchen, food, furniture, electronic, appliance, indoor.
_SUPERCATEGORIES = (0, 1, 9, 14, 24, 29, 39, 46, 56, 62, 68, 73, 80)


def class_space(name: str) -> tuple[str, ...]:
    """Returns class names in the order of a detector's outputs.

    Args:
        name: "coco_80" (COCO's order without gaps), "coco_91" (outputs are COCO's category ids),
            "hico_80" (HICO's alphabetical order), "vcoco_81" (background, then COCO's 80), or the
            name of a dataset that is registered with detectron2.

    Raises:
        KeyError: the name is unknown; the message lists the choices.
    """
    if name == "coco_80":
        return coco_objects()
    if name == "coco_91":
        by_id = [UNUSED] * 91
        for category, label in zip(coco_category_ids(), coco_objects()):
            by_id[category] = label
        return tuple(by_id)
    if name == "hico_80":
        return tuple(coco_objects()[i] for i in hico_object_order())
    if name == "vcoco_81":
        return (UNUSED, *coco_objects())
    from detectron2.data import MetadataCatalog

    names = MetadataCatalog.get(name).get("thing_classes") if name in MetadataCatalog else None
    if not names:
        raise KeyError(
            f"no class space {name!r}: expected coco_80, coco_91, hico_80, vcoco_81, or the name "
            "of a registered dataset with thing_classes"
        )
    return tuple(names)


def normal_name(name: str) -> str:
    """Returns the common spelling of a class name: lower case, blanks, COCO's word."""
    name = " ".join(name.lower().replace("_", " ").split())
    return _ALIASES.get(name, name)


def class_map(source: Sequence[str], target: Sequence[str]) -> Tensor:
    """Maps each source class to the target class of the same name, or to -1.

    Returns:
        (len(source),) int64.

    Raises:
        ValueError: a name occurs twice on one side, so the mapping would be ambiguous.
    """
    position = {name: i for i, name in enumerate(_normal_names(target)) if name is not None}
    rows = [-1 if name is None else position.get(name, -1) for name in _normal_names(source)]
    return torch.tensor(rows, dtype=torch.int64)


def missing_classes(source: Sequence[str], target: Sequence[str]) -> list[str]:
    """Target classes that the source does not have."""
    known = set(_normal_names(source))
    return [name for name in target if name != UNUSED and normal_name(name) not in known]


def _normal_names(names: Sequence[str]) -> list[str | None]:
    normal = [None if name == UNUSED else normal_name(name) for name in names]
    used = [name for name in normal if name is not None]
    twice = sorted({name for name in used if used.count(name) > 1})
    if twice:
        raise ValueError(f"class names that occur twice: {', '.join(twice)}")
    return normal


def likely_order_of_80(rows: Tensor) -> str:
    """Guesses whether 80 trained classifier rows are in COCO's or in HICO's order.

    The rows of related classes (fork, knife, spoon) become similar in training. In the correct
    order the rows of one supercategory are more similar than random rows; in the wrong one they
    are not.

    Args:
        rows: (80, d) weights.

    Returns:
        "coco_80", "hico_80", or "" if the rows do not show it.
    """
    rows = torch.nn.functional.normalize(rows.double() - rows.double().mean(dim=0), dim=1)
    likeness = rows @ rows.T
    starts = torch.tensor(_SUPERCATEGORIES[1:-1])
    group = torch.bucketize(torch.arange(80), starts, right=True)
    hico_group = group[torch.as_tensor(hico_object_order())]
    coco, hico = (_grouped(likeness, g) for g in (group, hico_group))
    # The cosine of random rows has a deviation of 1 / sqrt(d); its mean over some 270 pairs has a
    # 16th of that.
    if abs(coco - hico) < 0.5 / rows.shape[1] ** 0.5:
        return ""
    return "coco_80" if coco > hico else "hico_80"


def _grouped(likeness: Tensor, group: Tensor) -> float:
    """Mean cosine similarity of two different rows of one group."""
    same = (group[:, None] == group[None]).fill_diagonal_(False)
    return float(likeness[same].mean())
