"""The forms of results: ours, those of other code bases, scores of images, lists of ids."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import numpy as np
from scipy.io import savemat
from test_foreign_results import person, ppdm, role, upt_folder
from test_hico_det import qpic_record
from test_vcoco import qpic

from hoi_d2.data.dataset import Dataset, open_dataset
from hoi_d2.data.datasets.vcoco import read_image_ids
from hoi_d2.data.vocabulary import hico_det_test_images, hico_det_vocabulary
from hoi_d2.evaluation.foreign import upt_mat
from hoi_d2.evaluation.foreign.convert import convert_results
from hoi_d2.evaluation.result_files import read_results, write_results
from hoi_d2.evaluation.results import COLUMNS
from hoi_d2.evaluation.score_file import ScoreOptions, score_file
from tests.fuzz.annotations import ODD_ARRAYS
from tests.fuzz.form import Form
from tests.fuzz.matlab import kept_parser

_UPT_IMAGES = 3


@cache
def _dataset(kind: str) -> Dataset:
    """A dataset of one image; HICO's has labels instead of boxes."""
    if kind == "hico":
        labels = np.full(600, -1, dtype=np.int8)
        labels[[0, 5]] = 1
        names = [f"HICO_test2015_{i:08d}.jpg" for i in (4, 9)]
        records = [
            {"file_name": n, "image_id": int(n[-8:-4]), "image_labels": labels}
            | {"annotations": [], "hoi_annotations": []}
            for n in names
        ]
        return Dataset("hico_test", records, hico_det_vocabulary(), evaluator_type="hico")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "x.json"
        file.write_text(json.dumps([qpic_record()] if kind == "hico_det" else qpic()))
        return open_dataset(file, file_format=kind)


def scored(kind: str, **options: Any) -> Callable[[Path], None]:
    """A reader as `hoi-d2 eval --results` is."""

    def read(path: Path) -> None:
        found = score_file(path, _dataset(kind), ScoreOptions(**options))
        for value in found.metrics.values():
            assert np.isnan(value) or 0 <= value <= 100

    return read


def converted(path: Path) -> None:
    """A reader as `hoi-d2 convert-results` is; what it writes is read again."""
    file = path.parent if path.suffix == ".mat" else path
    found = convert_results(file)
    written = file.with_name("converted.npz")
    write_results(written, found.results)
    again = read_results(written)
    assert len(again) == len(found.results)
    assert np.isfinite(again.human_boxes).all()


def rows() -> list[dict]:
    row = {"image_id": 7, "human_box": [10, 20, 20, 40], "object_box": [0, 40, 50, 40]}
    row |= {"object_category_id": 1, "verb_id": 76, "hoi_id": -1, "score": 0.5}
    return [row, row | {"score": 0.25, "object_box": None, "object_category_id": -1}]


def vcoco_rows() -> list[dict]:
    return [row | {"image_id": 42, "verb_id": i} for i, row in enumerate(rows())]


def columns() -> dict[str, np.ndarray]:
    found = {name: [row[name] for row in rows()] for name in COLUMNS}
    found["object_box"][1] = [np.nan] * 4
    return {name: np.array(values) for name, values in found.items()}


def scores() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"image_id": np.array([9, 4]), "scores": rng.random((2, 600), dtype=np.float32)}


def as_npz(value: Any, rng: Random) -> bytes:
    """An .npz; Python objects are pickled into it, as numpy does."""
    file = BytesIO()
    (np.savez if rng.random() < 0.8 else np.savez_compressed)(file, **value)
    return file.getvalue()


def as_pickle(value: Any, rng: Random) -> bytes:
    return pickle.dumps(value, protocol=rng.randrange(pickle.HIGHEST_PROTOCOL + 1))


def persons() -> list[dict]:
    hold = role(1, 2, 3, 4, 0.5)
    return [
        person(stand_agent=np.float32(0.25), hold_agent=0.5, hold_obj=hold),
        person(hit_instr=[0, 0, 0, 0, 0.125], hit_obj=role(*[np.nan] * 5, dtype=np.float32)),
    ]


def _upt_beside(folder: Path) -> None:
    upt_folder(folder / "all", {(18, 1): np.arange(1, 10, dtype=float)[None]}, images=_UPT_IMAGES)
    for file in (folder / "all").iterdir():
        file.rename(folder / file.name)
    (folder / "all").rmdir()


def upt_cells() -> dict[str, np.ndarray]:
    """The first file, of the airplane: its HOIs x three images."""
    cells = np.empty((10, _UPT_IMAGES), dtype=object)
    for place in np.ndindex(cells.shape):
        cells[place] = np.zeros((0, 0))
    cells[2, 1] = np.arange(1, 19, dtype=float).reshape(2, 9)
    return {"all_boxes": cells}


def as_mat(value: Any, rng: Random) -> bytes:
    file = BytesIO()
    savemat(file, value)
    return file.getvalue()


@kept_parser
def read_upt(path: Path) -> None:
    """UPT's folder, as if HICO-DET had three test images."""
    few = hico_det_test_images()[:_UPT_IMAGES]
    with mock.patch.object(upt_mat, "hico_det_test_images", lambda: few):
        converted(path)


NPZ = {"encode": as_npz, "odd": (*ODD_ARRAYS, np.array([None, 5]), np.zeros(2, dtype="i4,f8"))}
FORMS = [
    Form("results, JSON", "x.json", lambda: [rows()], scored("hico_det")),
    Form("results of V-COCO, JSON", "x.json", lambda: [vcoco_rows()], scored("vcoco")),
    Form("results, npz", "x.npz", lambda: [columns()], scored("hico_det"), **NPZ),
    Form("scores, npz", "x.npz", lambda: [scores()], scored("hico"), **NPZ),
    Form("results of PPDM, QPIC, CDN", "x.json", lambda: [[ppdm()]], converted),
    Form("results of V-COCO's tool", "x.pkl", lambda: [persons()], converted, as_pickle),
    Form(
        "results of UPT, .mat",
        "detections_01.mat",
        lambda: [upt_cells()],
        read_upt,
        as_mat,
        odd=ODD_ARRAYS,
        beside=_upt_beside,
        suite=5,
    ),
    Form(
        "image ids",
        "x.ids",
        lambda: [b"1\n2\n300\n", b"42\r\n7\r\n"],
        read_image_ids,
    ),
]
