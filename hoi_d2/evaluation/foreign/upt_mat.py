"""Reads UPT's cached detections of HICO-DET: detections_01.mat to detections_80.mat in a folder.

Each file is of one object, in HICO's alphabetical order, and holds a cell array `all_boxes` (HOIs
of the object x 9,658 test images in the order of their names). A cell has a row for each detection:
human box, object box (both x0, y0, x1, y1 of inclusive pixels, counted from 0) and score.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from hoi_d2.data.vocabulary import (
    hico_det_test_images,
    hico_det_vocabulary,
    hico_object_order,
)
from hoi_d2.evaluation.results import HOIResults, ResultFormatError

_READER = str(Path(__file__).with_name("upt_mat_reader.py"))


def read_upt_mat(folder: str | Path) -> tuple[HOIResults, list[str]]:
    """Returns the rows, and notes.

    Raises:
        ResultFormatError: a file is missing, damaged or of another form; names it.
    """
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary) / "found.npz"
        command = [sys.executable, "-P", _READER, str(Path(folder).absolute()), str(output)]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["its parser crashed: a damaged file"])[-1]
            raise ResultFormatError(f"{folder}: {said}")
        with np.load(output, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    images = np.asarray(hico_det_test_images(), dtype=np.int64)
    hois = [np.flatnonzero(hico_det_vocabulary().hois[:, 0] == o) for o in hico_object_order()]
    for number, (ours, shape) in enumerate(zip(hois, found["shapes"].tolist()), start=1):
        if shape != [len(ours), len(images)]:
            raise ResultFormatError(
                f"{folder}: detections_{number:02d}.mat: all_boxes is {shape[0]} x {shape[1]}, "
                f"expected {len(ours)} HOIs x {len(images)} test images of HICO-DET"
            )
    return _results(found, hois, images), [
        "boxes are inclusive pixels, as UPT writes them: 1 was added to x1 and y1"
    ]


def _results(found: dict, hois: list[np.ndarray], images: np.ndarray) -> HOIResults:
    starts = np.cumsum([0, *map(len, hois)])[:-1]
    classes = np.concatenate(hois)[starts[found["object"] - 1] + found["hoi"]]
    objects, verbs = hico_det_vocabulary().hois[classes].T
    boxes = found["values"][:, :8] + np.tile([0, 0, 1, 1], 2)
    order = np.argsort(found["image"], kind="stable")
    results = HOIResults(
        image_ids=images[found["image"]],
        human_boxes=boxes[:, :4],
        object_boxes=boxes[:, 4:],
        object_classes=objects.astype(np.int32),
        verb_classes=verbs.astype(np.int32),
        hoi_classes=classes.astype(np.int32),
        scores=found["values"][:, 8],
    )
    return results[order]
