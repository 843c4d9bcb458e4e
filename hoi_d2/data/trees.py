"""Paths under the datasets root where the files of the built-in splits may be.

The folders are those of widely used code bases; datasets/README.md shows them. The first candidate
that exists is used.
"""

from __future__ import annotations

import os
from pathlib import Path

HICO_TREES = (
    "hico_20160224_det",
    "hicodet/hico_20160224_det",
    "hicodet",
    "hico_det",
    "hico_20150920",
    "hico",
)
STANFORD40_TREES = ("stanford40", "Stanford40")
VCOCO_TREES = ("v-coco", "vcoco")
COCO_TREES = ("coco", "coco/images", "vcoco/mscoco2014", "v-coco/images", "mscoco2014")


def datasets_root() -> Path:
    """DETECTRON2_DATASETS, by default ./datasets."""
    return Path(os.environ.get("DETECTRON2_DATASETS") or "datasets").expanduser()


def first_existing(root: Path, candidates: list[str]) -> Path:
    """Returns the first candidate that exists, or the first one if none does."""
    paths = [root / c for c in candidates]
    return next((p for p in paths if p.exists()), paths[0])


def hico_det_annotations(part: str) -> list[str]:
    """Annotation files of `train` or `test`.

    The UPT file comes first, because it has image sizes and the images without a visible pair.
    """
    qpic = "trainval_hico.json" if part == "train" else "test_hico.json"
    names = (f"instances_{part}2015.json", qpic, "anno_bbox.mat")
    folders = [f"{tree}/{sub}" for tree in HICO_TREES for sub in ("annotations/", "")]
    return [folder + name for name in names for folder in folders]


def hico_images(part: str) -> list[str]:
    """Folders of HICO's images, the same in HICO and HICO-DET."""
    return [f"{tree}/images/{part}2015" for tree in HICO_TREES]


def hico_image_labels() -> list[str]:
    """HICO's image-level labels."""
    return [
        f"{tree}/{name}" for tree in HICO_TREES for name in ("anno.mat", "annotations/anno.mat")
    ]


def vcoco_annotations(part: str, root: Path) -> list[str]:
    """Annotation files of a V-COCO split.

    The official file comes first if COCO's boxes are on disk, and the QPIC form next: the official
    metric counts persons whose object is not visible, which the UPT form lacks.
    """
    official, upt = f"vcoco_{part}.json", f"instances_vcoco_{part}.json"
    qpic = [f"{part}_vcoco.json"] if part in ("trainval", "test") else []
    names = [official, *qpic, upt] if coco_instances(root) else [*qpic, upt, official]
    folders = [
        f"{tree}/{sub}" for tree in VCOCO_TREES for sub in ("", "annotations/", "data/vcoco/")
    ]
    return [folder + name for name in names for folder in folders]


def mpii_annotations() -> list[str]:
    """MPII's prepared activities, or the official file."""
    names = ("mpii_activities.json", "mpii_human_pose_v1_u12_1.mat")
    folders = ("", "annotations/", "mpii_human_pose_v1_u12_1/", "mpii_human_pose_v1_u12_2/")
    return [f"mpii/{folder}{name}" for name in names for folder in folders]


def mpii_images() -> list[str]:
    """Returns the folder of MPII's images."""
    return ["mpii/images"]


def mpii_val_lists() -> list[str]:
    """Returns the list of mpii_val's images, one name per line."""
    return ["mpii/val_images.txt", "mpii/annotations/val_images.txt"]


def stanford40_annotations() -> list[str]:
    """The official lists of Stanford 40, or the same in one JSON file."""
    names = ("ImageSplits/actions.txt", "stanford40.json")
    return [f"{tree}/{name}" for tree in STANFORD40_TREES for name in names]


def stanford40_images() -> list[str]:
    """Folders of Stanford 40's images."""
    return [f"{tree}/{sub}" for tree in STANFORD40_TREES for sub in ("JPEGImages", "images")]


def coco_images(year_folder: str) -> list[str]:
    """Folders of COCO's images, e.g. `train2014`."""
    return [f"{tree}/{year_folder}" for tree in COCO_TREES]


def coco_instances(root: Path) -> list[Path]:
    """The COCO instances files with V-COCO's boxes: one for all images, or one per split."""
    folders = [
        f"{tree}/{sub}"
        for tree in (*VCOCO_TREES, *COCO_TREES)
        for sub in ("annotations/", "data/", "")
    ]
    for names in (["vcoco_all_2014"], ["trainval2014"], ["train2014", "val2014"]):
        files = [first_existing(root, [f"{f}instances_{n}.json" for f in folders]) for n in names]
        found = [f for f in files if f.is_file()]
        if found:
            return found
    return []
