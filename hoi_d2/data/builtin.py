"""Registers the named splits: hico_det_{train,test}, vcoco_{train,val,trainval,test}, ...

Registration reads no files. When a split is first loaded and its file is missing, the error names
every path that was searched and the command that makes the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from hoi_d2.data import trees
from hoi_d2.data.datasets.coco_without_vcoco import load_coco_without_vcoco_test
from hoi_d2.data.datasets.hico import load_hico
from hoi_d2.data.datasets.hico_det import load_hico_det, missing_test_images
from hoi_d2.data.datasets.hoi_json import load_hoi_json, occurring_hois, read_vocabulary
from hoi_d2.data.datasets.mpii import load_mpii, mpii_vocabulary
from hoi_d2.data.datasets.stanford40 import load_stanford40, stanford40_vocabulary
from hoi_d2.data.datasets.vcoco import load_vcoco
from hoi_d2.data.holdout import hold_out
from hoi_d2.data.image_sizes import add_image_sizes, hico_sizes_key, use_coco_2017_names
from hoi_d2.data.vocabulary import (
    ZERO_SHOT_SPLITS,
    Vocabulary,
    coco_objects,
    hico_det_rare_hois,
    hico_det_unseen_hois,
    hico_det_vocabulary,
    hico_few_shot_hois,
    vcoco_vocabulary,
)
from hoi_d2.data.zero_shot import without_unseen
from hoi_d2.utils.user_errors import UserError

_COCO_2017 = "unpacking annotations_trainval2017.zip and train2017.zip of https://cocodataset.org"


_STANFORD40 = (
    "unpacking Stanford40_JPEGImages.zip, Stanford40_ImageSplits.zip and "
    "Stanford40_XMLAnnotations.zip (of the Stanford Vision Lab) into the folder stanford40"
)


class MissingDatasetError(UserError, FileNotFoundError):
    """The files of a split are not on disk; the message says how to get them."""


@dataclass(frozen=True)
class Split:
    """One named split and the candidates, relative to the datasets root, for each of its files.

    Args:
        name: the registered name.
        files: datasets root -> metadata key -> candidates; the keys `json_file` and `image_root`
            are required.
        prepare: the command that makes the files.
        load: (files found, datasets root) -> dataset dicts.
        metadata: returns further metadata for MetadataCatalog.
    """

    name: str
    files: Callable[[Path], dict[str, list[str]]] = field(repr=False)
    prepare: str
    load: Callable[[dict[str, str], Path], list[dict]] = field(repr=False)
    metadata: Callable[[], dict[str, Any]] = field(repr=False)

    def find(self, root: Path) -> dict[str, str]:
        """Returns the files on disk now; the first candidate where none exists."""
        return {key: str(trees.first_existing(root, c)) for key, c in self.files(root).items()}


def register_all(root: str | os.PathLike | None = None) -> None:
    """Registers every built-in split under `root`, by default DETECTRON2_DATASETS.

    The variable is read when a split is loaded, so it may be set later. Registering again, under
    another root, replaces the earlier registration.
    """
    base = None if root is None else Path(root)
    for split in builtin_splits():
        files = split.find(base or trees.datasets_root())
        _register(split.name, partial(_load, split, base), files | split.metadata())


def register_hoi_instances(
    name: str, json_file: str | os.PathLike, image_root: str | os.PathLike
) -> None:
    """Registers own data in hoi_d2's JSON (datasets/README.md), as `register_coco_instances` does.

    The file is read once here, because it defines the classes. The metric is the mean over the HOI
    classes that occur in it.

    Raises:
        FileNotFoundError: the file does not exist.
        DataFormatError: records are broken; the message names each of them.
    """
    vocabulary = read_vocabulary(json_file)

    def load() -> list[dict]:
        return add_image_sizes(load_hoi_json(json_file, image_root), json_file)

    metadata = {
        "json_file": os.fspath(json_file),
        "image_root": os.fspath(image_root),
        "thing_classes": list(vocabulary.objects),
        "vocabulary": vocabulary,
        "rare_hois": [],
        "evaluated_hois": occurring_hois(load_hoi_json(json_file, image_root)),
        "evaluator_type": "hico_det",
    }
    _register(name, load, metadata)


def register_own_datasets(cfg: CfgNode) -> None:
    """Registers the datasets of `cfg.DATASETS.OWN`: [name, JSON file, image folder] each.

    Raises:
        ValueError: an entry has another form.
        FileNotFoundError, DataFormatError: see `register_hoi_instances`.
    """
    for entry in cfg.DATASETS.OWN:
        if not isinstance(entry, list | tuple) or len(entry) != 3:
            raise ValueError(
                f"DATASETS.OWN: expected [name, JSON file, image folder], got {entry!r}"
            )
        register_hoi_instances(*entry)


def _register(name: str, load: Callable[[], list[dict]], metadata: dict[str, Any]) -> None:
    for catalog in (DatasetCatalog, MetadataCatalog):
        if name in catalog.list():
            catalog.remove(name)
    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(**metadata)


def _load(split: Split, base: Path | None) -> list[dict]:
    root = base or trees.datasets_root()
    files = split.find(root)  # again: the tree may have been made since registration
    # Metadata.set refuses to change a value.
    MetadataCatalog.get(split.name).__dict__.update(files)
    if not os.path.isfile(files["json_file"]):
        raise MissingDatasetError(_where_it_was_sought(split, root))
    return split.load(files, root)


def _where_it_was_sought(split: Split, root: Path) -> str:
    candidates = [Path(c) for c in split.files(root)["json_file"]]
    names = dict.fromkeys(c.name for c in candidates)
    folders = dict.fromkeys(f"{c.parent}/" for c in candidates)
    return (
        f"{split.name}: {root / candidates[0]} not found, and no other of "
        f"{', '.join(names)} in {', '.join(folders)} under {root.absolute()}. Set "
        f"DETECTRON2_DATASETS to the folder of your data sets, or prepare the files with: "
        f"{split.prepare}"
    )


def builtin_splits() -> list[Split]:
    """Returns every split that `register_all` registers."""
    return [
        *(_hico_det_split(p, z) for z in ("", *ZERO_SHOT_SPLITS) for p in ("train", "test")),
        *map(_hico_det_split, ("train_90", "train_10")),
        *map(_vcoco_split, ("train", "val", "trainval", "test")),
        _coco_without_vcoco_split(),
        *map(_hico_split, ("train", "test", "train_90", "train_10")),
        *map(_mpii_split, ("trainval", "train", "val")),
        *map(_stanford40_split, ("train", "test", "train_90", "train_10")),
    ]


def _hico_det_split(part: str, zero_shot: str = "") -> Split:
    """`hico_det_train`, `_train_10` held out of `_train_90`, `_train_uv` without unseen classes."""
    unseen = hico_det_unseen_hois(zero_shot) if zero_shot else ()
    whole, _, tenths = part.partition("_")

    def files(root: Path) -> dict[str, list[str]]:
        return {
            "json_file": trees.hico_det_annotations(whole),
            "image_root": trees.hico_images(whole),
            "image_labels_file": trees.hico_image_labels(),
        }

    def load(found: dict[str, str], root: Path) -> list[dict]:
        records = load_hico_det(found["json_file"], found["image_root"], split=whole)
        if part == "test":
            records += missing_test_images(records, found["image_root"])
        elif unseen:
            records = without_unseen(records, unseen)
        return _part(add_image_sizes(records, found["json_file"]), tenths)

    def metadata() -> dict[str, Any]:
        if not unseen:
            return _hico_det_metadata()
        seen = sorted(set(range(len(hico_det_vocabulary().hois))) - set(unseen))
        return _hico_det_metadata() | {"hoi_groups": {"unseen": list(unseen), "seen": seen}}

    name = f"hico_det_{part}" + (f"_{zero_shot}" if zero_shot else "")
    return Split(name, files, "hoi-d2 data prepare-hico-det", load, metadata)


def _hico_det_metadata() -> dict[str, Any]:
    vocabulary = hico_det_vocabulary()
    return {
        "thing_classes": list(vocabulary.objects),
        "vocabulary": vocabulary,
        "rare_hois": list(hico_det_rare_hois()),
        "evaluator_type": "hico_det",
    }


def _vcoco_split(part: str) -> Split:
    year_folder = "val2014" if part == "test" else "train2014"

    def files(root: Path) -> dict[str, list[str]]:
        images = [*trees.coco_images(year_folder), *trees.coco_images("train2017")]
        return {"json_file": trees.vcoco_annotations(part, root), "image_root": images}

    def load(found: dict[str, str], root: Path) -> list[dict]:
        coco = trees.coco_instances(root)
        records = load_vcoco(found["json_file"], found["image_root"], coco_annotations=coco)
        use_coco_2017_names(records)
        return add_image_sizes(records, found["json_file"])

    command = "hoi-d2 data prepare-vcoco"
    return Split(f"vcoco_{part}", files, command, load, _vcoco_metadata)


def _vcoco_metadata() -> dict[str, Any]:
    vocabulary = vcoco_vocabulary()
    return {
        "thing_classes": list(vocabulary.objects),
        "vocabulary": vocabulary,
        "rare_hois": [],
        "evaluator_type": "vcoco",
    }


def _coco_without_vcoco_split() -> Split:
    """COCO 2017's training set for a detector that will be used on V-COCO."""
    name = "coco_2017_train_without_vcoco_test"

    def files(root: Path) -> dict[str, list[str]]:
        annotations = [f"{t}/annotations/instances_train2017.json" for t in trees.COCO_TREES]
        return {"json_file": annotations, "image_root": trees.coco_images("train2017")}

    def load(found: dict[str, str], root: Path) -> list[dict]:
        return load_coco_without_vcoco_test(found["json_file"], found["image_root"], name=name)

    def metadata() -> dict[str, Any]:
        return {"thing_classes": list(coco_objects()), "evaluator_type": "coco"}

    return Split(name, files, _COCO_2017, load, metadata)


def _hico_split(part: str) -> Split:
    """`hico_train` and `hico_test`; `hico_train_10` is held out of `hico_train_90`."""
    whole, _, tenths = part.partition("_")

    def files(root: Path) -> dict[str, list[str]]:
        return {"json_file": trees.hico_image_labels(), "image_root": trees.hico_images(whole)}

    def load(found: dict[str, str], root: Path) -> list[dict]:
        records = load_hico(found["json_file"], found["image_root"], split=whole)
        records = add_image_sizes(records, hico_sizes_key(found["json_file"], whole))
        return _part(records, tenths)

    return Split(f"hico_{part}", files, "hoi-d2 data prepare-hico", load, _hico_metadata)


def _part(records: list[dict], tenths: str) -> list[dict]:
    """All records (""), the held-out tenth ("10"), or the rest ("90")."""
    if not tenths:
        return records
    return hold_out(records)[("90", "10").index(tenths)]


def _hico_metadata() -> dict[str, Any]:
    return {**_hico_det_metadata(), "few_shot_hois": hico_few_shot_hois(), "evaluator_type": "hico"}


def _mpii_split(part: str) -> Split:
    def files(root: Path) -> dict[str, list[str]]:
        return {"json_file": trees.mpii_annotations(), "image_root": trees.mpii_images()}

    def load(found: dict[str, str], root: Path) -> list[dict]:
        val_images = trees.first_existing(root, trees.mpii_val_lists())
        records = load_mpii(
            found["json_file"],
            found["image_root"],
            split=part,
            val_images=val_images if val_images.is_file() else None,
        )
        _set_classes(f"mpii_{part}", mpii_vocabulary(found["json_file"]))
        return add_image_sizes(records, found["json_file"])

    def metadata() -> dict[str, Any]:
        return {"rare_hois": [], "evaluator_type": "mpii"}

    return Split(f"mpii_{part}", files, "hoi-d2 data prepare-mpii", load, metadata)


def _stanford40_split(part: str) -> Split:
    """`stanford40_train`, `stanford40_test`; `..._train_10` is held out of `..._train_90`."""
    whole, _, tenths = part.partition("_")

    def files(root: Path) -> dict[str, list[str]]:
        return {
            "json_file": trees.stanford40_annotations(),
            "image_root": trees.stanford40_images(),
        }

    def load(found: dict[str, str], root: Path) -> list[dict]:
        records = load_stanford40(found["json_file"], found["image_root"], split=whole)
        _set_classes(f"stanford40_{part}", stanford40_vocabulary(found["json_file"]))
        return _part(records, tenths)

    def metadata() -> dict[str, Any]:
        return {"rare_hois": [], "evaluator_type": "stanford40"}

    return Split(f"stanford40_{part}", files, _STANFORD40, load, metadata)


def _set_classes(name: str, vocabulary: Vocabulary) -> None:
    """For data sets whose file defines the classes: they are known only after reading it."""
    classes = {"thing_classes": list(vocabulary.objects), "vocabulary": vocabulary}
    MetadataCatalog.get(name).__dict__.update(classes)
