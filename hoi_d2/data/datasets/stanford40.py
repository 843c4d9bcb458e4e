"""Loads Stanford 40 Actions (Yao et al., ICCV 2011): one action and one person's box per image.

Two forms are recognised by the file's name: the official `ImageSplits/actions.txt`, beside which
are `<action>_train.txt` and `<action>_test.txt` with one file name per line and, in
`../XMLAnnotations`, the boxes; and one JSON file with the same content:
`{"actions": [names], "images": [{"file", "split", "action", "size": [width, height],
"person_box": [x0, y0, x1, y1]}]}`.

The files of every action are numbered from 1, so an `image_id` is that number plus 1000 times the
action, and is the same in a part of the data set.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from hoi_d2.data.datasets.checks import check_record
from hoi_d2.data.datasets.hico import NEGATIVE, POSITIVE
from hoi_d2.data.datasets.records import (
    NO_OBJECT,
    Findings,
    cached,
    entity,
    file_problem,
    image_head,
    number_in_name,
    paused_gc,
    read_json,
    read_text,
)
from hoi_d2.data.vocabulary import Vocabulary

ACTIONS_FILE = "actions.txt"
SPLITS = ("train", "test")
_PERSON, _IDS_PER_ACTION = 0, 1000


@dataclass(frozen=True)
class _Photograph:
    name: str
    split: str
    action: int
    place: str
    size: tuple[int, int] | None = None
    box: list[float] | None = None


def load_stanford40(
    file: str | os.PathLike, image_root: str | os.PathLike = "", *, split: str = "train"
) -> list[dict]:
    """Loads a split as dataset dicts.

    Args:
        file: `ImageSplits/actions.txt`, or the JSON file.
        image_root: the folder of the images; it is put before every file name.
        split: `train` or `test`.

    Returns:
        One dict per image: `file_name, image_id` and `image_labels` (C,) int8, 1 for the action and
        -1 for the others. Where the person's box is known, it is the one entity in `annotations`
        (XYXY, 0-based, continuous), and the action is its interaction without an object.

    Raises:
        FileNotFoundError: a file does not exist.
        DataFormatError: records are broken; the message names each of them.
    """
    path, root = os.fspath(file), os.fspath(image_root)
    if split not in SPLITS:
        raise file_problem(path, "split", split, "train or test")

    def load() -> list[dict]:
        findings = Findings(path)
        _, records = read_stanford40(findings, root, split=split)
        findings.raise_errors()
        return records

    lists = sorted(Path(path).parent.glob("*_t*.txt")) if _is_official(path) else []
    return cached(load, ("stanford40", os.path.abspath(path), root, split), [path, *lists])


def stanford40_vocabulary(file: str | os.PathLike) -> Vocabulary:
    """Returns a file's actions as verbs of the one object `person`; class c is action c."""
    findings = Findings(file)
    actions = _official_actions(findings) if _is_official(file) else _prepared(findings)[0]
    findings.raise_errors()
    classes = [(_PERSON, verb) for verb in range(len(actions))]
    return Vocabulary.from_hois("stanford40", ["person"], actions, classes)


def read_stanford40(
    findings: Findings, image_root: str, *, split: str = ""
) -> tuple[list[str], list[dict]]:
    """Returns the actions and the records of a split, "" = both; notes problems in `findings`."""
    with paused_gc():
        if _is_official(findings.file):
            actions = _official_actions(findings)
            photographs = list(_official(findings, actions, split))
        else:
            actions, photographs = _prepared(findings)
        labels = np.full((len(actions), len(actions)), NEGATIVE, dtype=np.int8)
        np.fill_diagonal(labels, POSITIVE)
        records = []
        for photograph in photographs:
            if split in ("", photograph.split):
                record = _record(findings, photograph, image_root)
                if record is not None:
                    label = labels[photograph.action].copy()
                    records.append(record | {"image_labels": label})
    return actions, records


def _record(findings: Findings, photograph: _Photograph, root: str) -> dict[str, Any] | None:
    findings.record = photograph.place
    number = number_in_name(photograph.name)
    if number is None or number >= _IDS_PER_ACTION:
        findings.add("file", photograph.name, "a file name that ends in a number below 1000")
        return None
    image_id = _IDS_PER_ACTION * photograph.action + number
    record = image_head(root, photograph.name, image_id)
    if photograph.size is not None:
        record["width"], record["height"] = photograph.size
    record |= {"annotations": [], "hoi_annotations": []}
    if photograph.box is not None:
        action = photograph.action
        pair = {"human": 0, "object": NO_OBJECT, "verb": action, "hoi": action}
        record |= {"annotations": [entity(photograph.box, _PERSON)], "hoi_annotations": [pair]}
        if findings.strict:
            check_record(record, findings, ["person_box"], ["action"])
    return record


def _prepared(findings: Findings) -> tuple[list[str], list[_Photograph]]:
    """Actions and photographs of the JSON file."""
    data = read_json(findings.file)
    if not isinstance(data, dict) or "actions" not in data:
        found = list(data)[:6] if isinstance(data, dict) else type(data).__name__
        what = f"Stanford 40: ImageSplits/{ACTIONS_FILE}, or an object with actions and images"
        raise file_problem(findings.file, "content", found, what)
    actions = findings.list_of(data["actions"], str, "actions")
    index_of = {name: index for index, name in enumerate(actions)}
    photographs = []
    for index, raw in enumerate(findings.list_of(data.get("images"), dict, "images")):
        findings.record = f"images[{index}]"
        name = findings.name(raw.get("file"), "file")
        action, split, size, box = (raw.get(k) for k in ("action", "split", "size", "person_box"))
        for field, value, known in (("action", action, actions), ("split", split, SPLITS)):
            if value not in known:
                findings.add(field, value, f"one of {', '.join(known[:5])}")
        if size is not None:
            width, height = size if isinstance(size, list) and len(size) == 2 else (size, None)
            size = findings.size(width, height, "size")
        if box is not None:
            box = findings.box(box, "person_box")
        if name is not None and action in index_of and split in SPLITS:
            place = f"images[{index}] ({name})"
            photographs.append(_Photograph(name, split, index_of[action], place, size, box))
    return actions, photographs


def _is_official(file: str | os.PathLike) -> bool:
    return os.path.basename(file) == ACTIONS_FILE


def _official_actions(findings: Findings) -> list[str]:
    """The first words of the lines after the heading; the numbers behind them are of images."""
    lines = [line.split() for line in read_text(findings.file).splitlines()[1:]]
    return [words[0] for words in lines if words]


def _official(findings: Findings, actions: list[str], split: str) -> Iterator[_Photograph]:
    folder = Path(findings.file).parent
    for part in (split,) if split else SPLITS:
        for index, action in enumerate(actions):
            listed = folder / f"{action}_{part}.txt"
            for name in read_text(listed).split():
                findings.record = f"{listed.name} ({name})"
                annotation = folder.parent / "XMLAnnotations" / f"{os.path.splitext(name)[0]}.xml"
                size, box = _annotated(findings, annotation)
                yield _Photograph(name, part, index, findings.record, size, box)


def _annotated(findings: Findings, file: Path) -> tuple[Any, Any]:
    """Size and box of an official XML file; None where there is no such file.

    The official boxes are 1-based and include their last pixel.
    """
    if not file.is_file():
        return None, None
    try:
        root = ElementTree.parse(file).getroot()
        x0, y0, x1, y1 = (_number(root, f".//bndbox/{n}") for n in ("xmin", "ymin", "xmax", "ymax"))
        width, height = (_number(root, f"size/{name}") for name in ("width", "height"))
    except (ElementTree.ParseError, ValueError) as error:
        findings.add(file.name, str(error), "size (width, height) and bndbox (xmin, ..., ymax)")
        return None, None
    return findings.size(width, height, "size"), findings.box([x0 - 1, y0 - 1, x1, y1], "bndbox")


def _number(root: ElementTree.Element, path: str) -> float:
    return float(root.findtext(path) or "")
