"""Loads MPII Human Pose for activity recognition: one activity per image.

Two forms are recognised by content: the official `mpii_human_pose_v1_u12_1.mat`, which is slow to
read because it holds every joint, and the JSON that `hoi-d2 data prepare-mpii` makes of it:
`{"activities": [names], "images": [{"file_name", "activity": index}]}`.

The activities of the test images are withheld, so the classes are the activities that occur in
the training images, by ascending `act_id`. Papers train and report on two parts of the training
images (8,218 and 6,987 of the 15,205 with an activity); the list of the second part is not in the
file and must be given.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from hoi_d2.data.datasets.hico import NEGATIVE, POSITIVE
from hoi_d2.data.datasets.mat import elements, integer, load_mat, member, numbers, text
from hoi_d2.data.datasets.records import (
    Findings,
    cached,
    file_problem,
    image_head,
    number_in_name,
    paused_gc,
    read_json,
    read_text,
)
from hoi_d2.data.vocabulary import Vocabulary


def load_mpii(
    file: str | os.PathLike,
    image_root: str | os.PathLike = "",
    *,
    split: str = "trainval",
    val_images: str | os.PathLike | None = None,
) -> list[dict]:
    """Loads MPII's activities as dataset dicts.

    Args:
        file: the official .mat file, or the prepared JSON file.
        image_root: the folder of the images; it is put before every file name.
        split: `trainval` (all images with an activity), `train` or `val`.
        val_images: a text file with the file names of `val`, one per line.

    Returns:
        One dict per image: `file_name, image_id` and `image_labels` (C,) int8, 1 for the activity
        and -1 for the others. `annotations` and `hoi_annotations` are empty lists.

    Raises:
        FileNotFoundError: a file does not exist.
        DataFormatError: records are broken; the message names each of them.
    """
    path, root = os.fspath(file), os.fspath(image_root)
    files = [path] if val_images is None else [path, os.fspath(val_images)]
    for needed in files:
        if not os.path.isfile(needed):
            raise FileNotFoundError(f"no such annotation file: {needed}")

    def load() -> list[dict]:
        findings = Findings(path)
        records = read_mpii(findings, root)[1]
        findings.raise_errors()
        return _select(records, split, val_images, path)

    key = ("mpii", os.path.abspath(path), root, split, *files[1:])
    return cached(load, key, files)


def mpii_vocabulary(file: str | os.PathLike) -> Vocabulary:
    """Returns a file's activities as verbs of the one object `person`; class c is activity c."""
    findings = Findings(file)
    activities = read_mpii(findings, "")[0]
    findings.raise_errors()
    classes = [(0, verb) for verb in range(len(activities))]
    return Vocabulary.from_hois("mpii", ["person"], activities, classes)


def read_mpii(findings: Findings, image_root: str) -> tuple[list[str], list[dict]]:
    """Returns the activity names and all records; notes problems in `findings`."""
    with paused_gc():
        if findings.file.lower().endswith(".mat"):
            activities, rows = _read_mat(findings)
        else:
            activities, rows = _read_prepared(findings)
        labels = np.full((len(activities), len(activities)), NEGATIVE, dtype=np.int8)
        np.fill_diagonal(labels, POSITIVE)
        records = []
        for index, (name, activity) in enumerate(rows):
            findings.record = f"record {index} ({name})"
            image_id = number_in_name(name)
            if image_id is None:
                findings.add("file_name", name, "a file name that ends in a number")
                continue
            head = image_head(image_root, name, image_id)
            empty: dict[str, Any] = {"annotations": [], "hoi_annotations": []}
            records.append(head | empty | {"image_labels": labels[activity].copy()})
    return activities, records


def _read_prepared(findings: Findings) -> tuple[list[str], list[tuple[str, int]]]:
    data = read_json(findings.file)
    if not isinstance(data, dict) or "activities" not in data:
        found = list(data)[:6] if isinstance(data, dict) else type(data).__name__
        what = "MPII: mpii_human_pose_v1_u12_1.mat, or an object with activities and images"
        raise file_problem(findings.file, "content", found, what)
    activities = findings.list_of(data["activities"], str, "activities")
    for index, name in enumerate(activities):
        if not name.strip():
            findings.add(f"activities[{index}]", name, "a name")
    rows = []
    for index, raw in enumerate(findings.list_of(data.get("images"), dict, "images")):
        findings.record = f"images[{index}]"
        name = findings.name(raw.get("file_name"), "file_name")
        activity = raw.get("activity")
        activity = findings.integer(activity, 0, len(activities), "activity", "an activity")
        if name is not None and activity is not None:
            rows.append((name, activity))
    return activities, rows


def _read_mat(findings: Findings) -> tuple[list[str], list[tuple[str, int]]]:
    release = elements(load_mat(findings.file, ["RELEASE"])["RELEASE"])
    if len(release) != 1:
        raise file_problem(findings.file, "RELEASE", len(release), "one struct")
    images, acts = (elements(member(release[0], k)) for k in ("annolist", "act"))
    in_training = numbers(member(release[0], "img_train"))
    if not len(images) == len(acts) == len(in_training):
        lengths = [len(images), len(acts), len(in_training)]
        what = "annolist, act and img_train of the same length"
        raise file_problem(findings.file, "RELEASE", lengths, what)
    labelled: list[tuple[str, int]] = []
    name_of: dict[int, str] = {}
    for index in np.flatnonzero(in_training == 1).tolist():
        findings.record = f"RELEASE.annolist({index + 1})"
        act_id, act_name = integer(member(acts[index], "act_id")), member(acts[index], "act_name")
        if act_id is None or act_id <= 0:
            continue  # a training image without an activity
        image = next(iter(elements(member(images[index], "image"))), None)
        name = findings.name(None if image is None else text(member(image, "name")), "image.name")
        if name is not None:
            labelled.append((name, act_id))
            name_of.setdefault(act_id, text(act_name) or f"activity {act_id}")
    ids = sorted(name_of)
    index_of = {act_id: i for i, act_id in enumerate(ids)}
    return [name_of[i] for i in ids], [(name, index_of[a]) for name, a in labelled]


def _select(
    records: list[dict], split: str, val_images: str | os.PathLike | None, file: str
) -> list[dict]:
    if split == "trainval":
        return records
    if split not in ("train", "val") or val_images is None:
        what = "trainval, or train or val with the list of the val images (val_images=...)"
        raise file_problem(file, "split", split, what)
    names = _names(val_images)
    there = {os.path.basename(r["file_name"]) for r in records}
    if names - there:
        what = "names of training images with an activity"
        raise file_problem(val_images, "names", sorted(names - there)[:5], what)
    wanted = split == "val"
    return [r for r in records if (os.path.basename(r["file_name"]) in names) == wanted]


def _names(file: str | os.PathLike) -> set[str]:
    lines: Sequence[str] = read_text(file).split("\n")
    return {os.path.basename(line.strip()) for line in lines if line.strip()}
