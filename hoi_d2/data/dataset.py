"""Opens datasets: from a registered name or an annotation file to records and vocabulary.

Nothing here imports torch or detectron2 until a registered name is asked for.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hoi_d2.data.vocabulary import (
    Vocabulary,
    hico_det_rare_hois,
    hico_det_vocabulary,
    vcoco_vocabulary,
)

FILE_FORMATS = ("hico_det", "vcoco", "hoi_json")
"""Forms of annotation files with boxes that can be opened without registration."""

IMAGE_LEVEL_TYPES = ("hico", "mpii", "stanford40")
"""Data sets that are scored by the labels of whole images."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset: its images and annotations, its classes, and how it is scored.

    Args:
        name: for titles and messages.
        records: dataset dicts.
        vocabulary: of the records.
        rare_hois: HOI ids.
        evaluated_hois: the HOI ids that means run over, None = all.
        evaluator_type: whose metric scores it: `hico_det`, `vcoco`, `hico`, `mpii` or
            `stanford40`.
        hoi_groups: further groups of HOI ids to average over, by name.
        image_labels_file: HICO's `anno.mat`, for the known-object setting.
    """

    name: str
    records: Sequence[dict[str, Any]]
    vocabulary: Vocabulary
    rare_hois: frozenset[int] = field(default=frozenset())
    evaluated_hois: tuple[int, ...] | None = None
    evaluator_type: str = "hico_det"
    hoi_groups: Mapping[str, Sequence[int]] = field(default_factory=dict)
    image_labels_file: str | None = None

    def with_records(self, records: Sequence[dict[str, Any]]) -> Dataset:
        """Returns the same dataset with other records, for example some of its images."""
        return replace(self, records=records)


def open_dataset(
    name_or_file: str | os.PathLike,
    image_root: str | os.PathLike = "",
    *,
    file_format: str = "",
    split: str | None = None,
    coco_annotations: Sequence[str | os.PathLike] = (),
) -> Dataset:
    """Opens a registered dataset or an annotation file.

    Args:
        name_or_file: a name of detectron2's catalogs, or a file.
        image_root: folder of the file's images.
        file_format: one of `FILE_FORMATS` or `IMAGE_LEVEL_TYPES`; "" = by the file's content.
        split: `train` or `test`, for a file that holds both (HICO's MATLAB files).
        coco_annotations: COCO's instances files, which official V-COCO labels need.

    Raises:
        KeyError: neither a name nor a file; lists similar names.
        ValueError: the name is registered without a vocabulary.
        FileNotFoundError: `file_format` is given, and there is no such file.
        DataFormatError: the file cannot be read; says why.
    """
    if not file_format and not Path(name_or_file).is_file():
        return _registered(os.fspath(name_or_file))
    file, root = os.fspath(name_or_file), os.fspath(image_root)
    kind = file_format or _format_with_boxes(file)
    # each loader is imported when its format is met: scoring HICO-DET reads no other loader
    if kind == "hoi_json":
        return _own_json(file, root)
    if kind == "vcoco":
        from hoi_d2.data.datasets.vcoco import load_vcoco

        records = load_vcoco(file, root, coco_annotations=coco_annotations)
        return Dataset(Path(file).name, records, vcoco_vocabulary(), evaluator_type="vcoco")
    if kind == "hico_det":
        from hoi_d2.data.datasets.hico_det import load_hico_det, missing_test_images

        records = load_hico_det(file, root, split=split)
        records += missing_test_images(records, root)
        rare = frozenset(hico_det_rare_hois())
        return Dataset(Path(file).name, records, hico_det_vocabulary(), rare)
    return _image_level(file, root, kind, split)


def suggest(name: str, names: Sequence[str]) -> str:
    """Returns the end of a message about an unknown name: similar names, or the first names."""
    similar = difflib.get_close_matches(name, names, n=5, cutoff=0.5)
    if similar:
        return f"Did you mean {', '.join(similar)}?"
    shown = ", ".join(names[:12]) or "none"
    return f"Expected one of {shown}{', ...' if len(names) > 12 else ''}"


def _registered(name: str) -> Dataset:
    from detectron2.data import DatasetCatalog, MetadataCatalog

    if name not in DatasetCatalog.list():
        names = [
            n for n in DatasetCatalog.list() if "vocabulary" in MetadataCatalog.get(n).as_dict()
        ]
        raise KeyError(f"no dataset is called {name!r}. {suggest(name, names)}")
    records = DatasetCatalog.get(name)
    metadata = MetadataCatalog.get(name)  # after the records: some splits learn classes from them
    if metadata.get("vocabulary") is None:
        raise ValueError(f"{name} is not an HOI dataset: its metadata has no vocabulary")
    evaluated = metadata.get("evaluated_hois")
    return Dataset(
        name=name,
        records=records,
        vocabulary=metadata.vocabulary,
        rare_hois=frozenset(metadata.get("rare_hois") or ()),
        evaluated_hois=None if evaluated is None else tuple(evaluated),
        evaluator_type=metadata.get("evaluator_type") or "hico_det",
        hoi_groups=metadata.get("hoi_groups") or {},
        image_labels_file=metadata.get("image_labels_file"),
    )


def _own_json(file: str, root: str) -> Dataset:
    from hoi_d2.data.datasets.hoi_json import load_hoi_json, occurring_hois, read_vocabulary

    records = load_hoi_json(file, root)
    return Dataset(
        name=Path(file).name,
        records=records,
        vocabulary=read_vocabulary(file),
        evaluated_hois=tuple(occurring_hois(records)),
    )


def _image_level(file: str, root: str, kind: str, split: str | None) -> Dataset:
    from hoi_d2.data.datasets.hico import load_hico
    from hoi_d2.data.datasets.mpii import load_mpii, mpii_vocabulary
    from hoi_d2.data.datasets.stanford40 import load_stanford40, stanford40_vocabulary

    if kind == "hico":
        records, vocabulary = load_hico(file, root, split=split or "test"), hico_det_vocabulary()
    elif kind == "mpii":
        records, vocabulary = load_mpii(file, root), mpii_vocabulary(file)
    elif kind == "stanford40":
        records = load_stanford40(file, root, split=split or "test")
        vocabulary = stanford40_vocabulary(file)
    else:
        known = ", ".join(FILE_FORMATS + IMAGE_LEVEL_TYPES)
        raise ValueError(f"file_format is {kind!r}, expected one of {known}")
    return Dataset(Path(file).name, records, vocabulary, evaluator_type=kind)


def _format_with_boxes(file: str) -> str:
    """Returns the format by the file's content; annotations without boxes have to be registered."""
    from hoi_d2.data.datasets.records import file_problem
    from hoi_d2.data.detect_format import detect_format

    kind = detect_format(file)
    if kind in FILE_FORMATS:
        return kind
    raise file_problem(
        file,
        "format",
        kind,
        f"one of {', '.join(FILE_FORMATS)}; put it into its tree under DETECTRON2_DATASETS and "
        "use its registered name (datasets/README.md)",
    )
