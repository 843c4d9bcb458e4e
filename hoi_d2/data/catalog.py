"""Finds the vocabulary of a config."""

from __future__ import annotations

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from hoi_d2.data.open_vocabulary import open_vocabulary
from hoi_d2.data.vocabulary import (
    Vocabulary,
    hico_det_vocabulary,
    upt_vcoco_vocabulary,
    vcoco_vocabulary,
)

_NAMED = {
    "hico_det": hico_det_vocabulary,
    "vcoco": vcoco_vocabulary,
    "vcoco_upt": upt_vcoco_vocabulary,
}


def vocabulary_of(cfg: CfgNode) -> Vocabulary:
    """Returns the vocabulary of a model: `MODEL.HOI.VOCABULARY`, or that of the training set.

    With `MODEL.HOI.CLASSES`, its verbs are the classes named there.

    Raises:
        KeyError: neither names a vocabulary; the message lists the choices.
        FileNotFoundError: the dataset's file defines the classes and is not on disk.
        ValueError: own classes are empty or occur twice.
    """
    name = cfg.MODEL.HOI.VOCABULARY or (cfg.DATASETS.TRAIN[0] if cfg.DATASETS.TRAIN else "")
    if cfg.MODEL.HOI.CLASSES:
        known = _vocabulary_named(name) if name else hico_det_vocabulary()  # COCO's objects
        return open_vocabulary(cfg.MODEL.HOI.CLASSES, known.objects, person=known.person)
    return _vocabulary_named(name)


def learnt_verbs_of(cfg: CfgNode, vocabulary: Vocabulary) -> np.ndarray:
    """The verbs that the training set teaches of each object.

    A zero-shot training set leaves the pairs of its unseen HOI classes out (`hoi_groups["unseen"]`
    of its metadata). Nothing is known of them, so they are no negatives either.

    Args:
        cfg: with `DATASETS.TRAIN`; a class is unseen if it is unseen in each of them.
        vocabulary: of the model; own classes (phrases) are all learnt.

    Returns:
        (num_objects, K) bool: `valid_verbs` without the unseen HOI classes.
    """
    learnt = vocabulary.valid_verbs.copy()
    groups = [MetadataCatalog.get(name).get("hoi_groups") or {} for name in cfg.DATASETS.TRAIN]
    unseen = [set(group.get("unseen", ())) for group in groups]
    if vocabulary.phrases or not (unseen and set.intersection(*unseen)):
        return learnt
    objects, verbs = vocabulary.hois[sorted(set.intersection(*unseen))].T
    learnt[objects, verbs] = False
    return learnt


def _vocabulary_named(name: str) -> Vocabulary:
    if name in _NAMED:
        return _NAMED[name]()
    vocabulary = MetadataCatalog.get(name).get("vocabulary") if name else None
    if vocabulary is None and name in DatasetCatalog.list():
        DatasetCatalog.get(name)  # MPII's file defines its classes
        vocabulary = MetadataCatalog.get(name).get("vocabulary")
    if vocabulary is None:
        raise KeyError(
            f"no vocabulary named {name!r}: set MODEL.HOI.VOCABULARY to one of {sorted(_NAMED)} or "
            "to the name of a registered HOI dataset, or set DATASETS.TRAIN"
        )
    return vocabulary
