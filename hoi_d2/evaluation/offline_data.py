"""Ground truth for scoring a file: which annotations a data set's name and files stand for.

The built-in data sets are read without torch or detectron2. Any other name is looked up among the
registered data sets, which loads both, unless its annotations are in the project's own JSON.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hoi_d2.data.datasets.hico import load_hico
from hoi_d2.data.datasets.hico_det import load_hico_det, missing_test_images
from hoi_d2.data.datasets.hoi_json import load_hoi_json, occurring_hois, read_vocabulary
from hoi_d2.data.datasets.mpii import load_mpii
from hoi_d2.data.datasets.vcoco import load_vcoco, read_image_ids
from hoi_d2.data.vocabulary import (
    hico_det_rare_hois,
    hico_det_unseen_hois,
    hico_det_vocabulary,
    vcoco_vocabulary,
)
from hoi_d2.evaluation.image_level_metrics import few_shot_groups
from hoi_d2.evaluation.scorers import HICODetScorer, VCOCOScorer
from hoi_d2.utils.user_errors import UserError


class UsageError(UserError, ValueError):
    """The command line asks for something that cannot be done; says what to give instead."""


def kind_of(dataset: str) -> str:
    """`hico_det`, `vcoco`, `hico` or `mpii` by the data set's name, else `other`."""
    for kind in ("hico_det", "vcoco", "hico", "mpii"):
        if dataset == kind or dataset.startswith(f"{kind}_"):
            return kind
    return "other"


def detection_scorer(args: argparse.Namespace) -> HICODetScorer | VCOCOScorer:
    """The scorer of a data set with boxes.

    Args:
        args: of `offline.parse_args`.

    Raises:
        UsageError: a file that is needed was not given.
        FileNotFoundError, DataFormatError: of the loaders.
    """
    kind = kind_of(args.dataset)
    if not args.annotations:
        records, metadata = _registered(args.dataset)
        kind = metadata.pop("evaluator_type")
    elif kind == "vcoco":
        records = load_vcoco(args.annotations, coco_annotations=args.coco_annotations or ())
        metadata = {"vocabulary": vcoco_vocabulary()}
    elif kind == "hico_det":
        records = _hico_det_records(args)
        metadata = {"vocabulary": hico_det_vocabulary(), "rare_hois": hico_det_rare_hois()}
    else:
        records, kind = load_hoi_json(args.annotations), "hico_det"
        metadata = {
            "vocabulary": read_vocabulary(args.annotations),
            "evaluated_hois": occurring_hois(records),
        }
    records = _select(records, args)
    if kind == "vcoco":
        return VCOCOScorer(records, metadata["vocabulary"])
    if kind == "hico_det":
        return _hico_det_scorer(records, metadata, args)
    raise UsageError(f"--dataset {args.dataset} is scored by image, not by boxes ({kind})")


def image_level_labels(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Dataset dicts with `image_labels` of HICO or MPII."""
    split = args.dataset.rsplit("_", 1)[-1]
    if not args.annotations:
        return _registered(args.dataset)[0]
    if kind_of(args.dataset) == "hico":
        split = split if split in ("train", "test") else "test"
        return _select(load_hico(args.annotations, split=split), args)
    # a list of images chooses the part, so that the split's own list is not needed
    return _select(load_mpii(args.annotations), args)


def _hico_det_scorer(
    records: list[dict[str, Any]], metadata: dict[str, Any], args: argparse.Namespace
) -> HICODetScorer:
    vocabulary = metadata.pop("vocabulary")
    groups = dict(metadata.pop("groups", None) or {}) | _groups(args, len(vocabulary.hois))
    if args.only_annotated_classes:
        pairs = (p["hoi"] for r in records for p in r["hoi_annotations"])
        metadata["evaluated_hois"] = sorted({hoi for hoi in pairs if hoi >= 0})
    if args.image_labels:
        if not Path(args.image_labels).is_file():
            raise FileNotFoundError(f"no such label file: {args.image_labels}")
        metadata["image_labels_file"] = args.image_labels
    return HICODetScorer(records, vocabulary, groups=groups, protocol=args.protocol, **metadata)


def _groups(args: argparse.Namespace, num_classes: int) -> dict[str, Sequence[int] | np.ndarray]:
    groups: dict[str, Sequence[int] | np.ndarray] = {}
    unseen: Sequence[int] = ()
    if args.zero_shot:
        try:
            unseen = hico_det_unseen_hois(args.zero_shot)
        except KeyError as error:
            raise UsageError(f"--zero-shot: {error.args[0]}") from None
    elif args.unseen:
        unseen = read_image_ids(args.unseen)
        if max(unseen, default=-1) >= num_classes:
            raise UsageError(f"{args.unseen}: HOI {max(unseen)}, but there are {num_classes}")
    if len(unseen):
        seen = np.setdiff1d(np.arange(num_classes), unseen)
        groups |= {"unseen": unseen, "seen": seen.tolist()}
    if args.train_annotations:
        hois = [
            p["hoi"] for r in load_hico_det(args.train_annotations) for p in r["hoi_annotations"]
        ]
        groups |= few_shot_groups(np.bincount(hois, minlength=num_classes))
    return groups


def _hico_det_records(args: argparse.Namespace) -> list[dict[str, Any]]:
    split = "train" if "train" in args.dataset else "test"
    records = load_hico_det(args.annotations, split=split)
    return records + missing_test_images(records) if split == "test" else records


def _select(records: list[dict[str, Any]], args: argparse.Namespace) -> list[dict[str, Any]]:
    """The images that are asked for."""
    if args.image_ids:
        wanted = set(read_image_ids(args.image_ids))
    elif args.images_of_results:
        wanted = set(args.result_images)
    else:
        return records
    chosen = [record for record in records if record["image_id"] in wanted]
    missing = wanted - {record["image_id"] for record in chosen}
    if missing:
        raise UsageError(
            f"{args.image_ids or args.results}: {len(missing)} of its {len(wanted)} images are not "
            f"in the annotations of {args.annotations or args.dataset}, the first is "
            f"{min(missing)}; take both of the same split"
        )
    return chosen


def _registered(dataset: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Dataset dicts and what scorers take of the metadata."""
    from detectron2.data import DatasetCatalog, MetadataCatalog

    from hoi_d2.data.builtin import register_all
    from hoi_d2.data.toy.dataset import register_toy

    register_all()
    register_toy()

    if dataset not in DatasetCatalog.list():
        raise UsageError(
            f"--dataset {dataset} is not registered; give its --annotations, or one of "
            f"{', '.join(n for n in DatasetCatalog.list() if kind_of(n) != 'other')}"
        )
    records, metadata = DatasetCatalog.get(dataset), MetadataCatalog.get(dataset)
    return records, {
        "vocabulary": metadata.vocabulary,
        "rare_hois": metadata.get("rare_hois", ()),
        "evaluated_hois": metadata.get("evaluated_hois"),
        "groups": metadata.get("hoi_groups"),
        "image_labels_file": metadata.get("image_labels_file"),
        "evaluator_type": metadata.get("evaluator_type"),
    }
