"""Results of other code bases: each form is recognised, converted, and never run."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from hoi_d2.commands.main import main
from hoi_d2.data.datasets.records import DataFormatError
from hoi_d2.data.vocabulary import (
    hico_det_test_images,
    hico_det_test_images_without_pairs,
    hico_det_vocabulary,
    hico_object_order,
    vcoco_vocabulary,
)
from hoi_d2.evaluation.foreign import upt_mat
from hoi_d2.evaluation.foreign.convert import convert_results
from hoi_d2.evaluation.result_files import read_results
from hoi_d2.evaluation.results import ResultFormatError
from hoi_d2.utils.plain_pickle import numbers, read_plain_pickle

HICO, VCOCO = hico_det_vocabulary(), vcoco_vocabulary()
NAME = "HICO_test2015_00000042.jpg"
BIKE = {"coco": 2, "contiguous": 1}


def case(name: str, folder: Path) -> Path:
    path = folder.parent / "cases" / name
    if not path.is_file():
        pytest.skip(f"no {path}")
    return path


def ppdm(form: str = "coco", **changes) -> dict:
    """A person rides a bicycle, by COCO's ids and verbs from 1, or by numbers from 0."""
    person, first = (1, 1) if form == "coco" else (0, 0)
    verb = HICO.verbs.index("ride") + first
    return {
        "file_name": NAME,
        "predictions": [
            {"bbox": [10, 20, 40, 60.5], "category_id": person, "score": 0.9},
            {"bbox": [5, 30, 50, 70], "category_id": BIKE[form], "score": 0.8},
        ],
        "hoi_prediction": [
            {"subject_id": 0, "object_id": 1, "category_id": verb, "score": 0.5},
        ],
    } | changes


def write(tmp_path: Path, content: object, name: str = "theirs.json") -> Path:
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return file


@pytest.mark.parametrize("form", ["coco", "contiguous"])
@pytest.mark.parametrize("key", ["file_name", "filename"])
def test_ppdm_and_qpic(tmp_path, form, key):
    record = ppdm(form)
    record[key] = record.pop("file_name")
    found = convert_results(write(tmp_path, [record, record | {"hoi_prediction": []}]))
    results = found.results
    assert found.dataset == "hico_det" and len(results) == 1
    assert results.image_ids.tolist() == [42] and results.scores.tolist() == [0.5]
    assert results.human_boxes.tolist() == [[10, 20, 40, 60.5]]
    assert results.object_boxes.tolist() == [[5, 30, 50, 70]]
    assert HICO.hoi_name(results.hoi_classes[0]) == "ride bicycle"
    assert HICO.hois[results.hoi_classes[0]].tolist() == [
        results.object_classes[0],
        results.verb_classes[0],
    ]


def test_vcoco_in_qpics_form(tmp_path):
    pair = {"subject_id": 0, "object_id": -1, "category_id": 28, "score": 1}
    record = ppdm("contiguous", file_name="COCO_val2014_000000000042.jpg", hoi_prediction=[pair])
    found = convert_results(write(tmp_path, [record]))
    assert found.dataset == "vcoco" and "QPIC's order" in str(found.notes)
    assert found.results.verb_classes.tolist() == [28]
    assert np.isnan(found.results.object_boxes).all()


def changed(part: str, **changes) -> dict:
    record = ppdm()
    record[part][0] = record[part][0] | changes
    return record


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (changed("predictions", bbox=[1, 2, 3]), "record 0 .*predictions.0..bbox"),
        (changed("predictions", bbox=[1, 2, 3, float("nan")]), "predictions.0..bbox"),
        (changed("predictions", category_id=12), "predictions.0..category_id = 12"),
        (changed("predictions", category_id=2), "this is a bicycle"),
        (changed("hoi_prediction", category_id=0), r"a verb \(--first-verb\), 1\.\.117"),
        (changed("hoi_prediction", category_id=118), r"1\.\.117"),
        (changed("hoi_prediction", object_id=2), "hoi_prediction.0..object_id"),
        (changed("hoi_prediction", subject_id=-1), "hoi_prediction.0..subject_id"),
        (changed("hoi_prediction", score="high"), "hoi_prediction.0..score"),
        (ppdm(file_name="HICO_x.jpg"), "ends in the image id"),
        (ppdm(predictions=None), "predictions = None; expected a list"),
        (ppdm(file_name="frame_1.jpg"), "--dataset"),
    ],
)
def test_broken_ppdm_is_named(tmp_path, record, said):
    with pytest.raises((DataFormatError, ResultFormatError), match=f"theirs.json.*{said}"):
        convert_results(write(tmp_path, [record]))


def test_numbers_of_two_kinds_in_one_file(tmp_path):
    with pytest.raises(ResultFormatError, match=r"category ids \[0, 1\]"):
        convert_results(write(tmp_path, [ppdm("coco"), ppdm("contiguous")]))


def test_options_for_json(tmp_path):
    file = write(tmp_path, [changed("hoi_prediction", category_id=0) | {"file_name": "a_7.jpg"}])
    found = convert_results(file, dataset="hico_det", first_verb=0)
    assert found.results.verb_classes.tolist() == [0] and found.results.image_ids.tolist() == [7]


# --- V-COCO's pickle -----------------------------------------------------------------------------


def person(**roles) -> dict:
    return {"image_id": 164, "person_box": np.array([10.0, 10, 100, 200])} | roles


def role(*values: float, dtype: type = np.float64) -> np.ndarray:
    return np.array(values, dtype=dtype)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f4"])
def test_vcoco_pickle(tmp_path, protocol, dtype):
    record = person(
        stand_agent=np.float32(0.25),
        hold_agent=0.5,
        hold_obj=role(1, 2, 3, 4, 0.5, dtype=dtype),
        hit_instr=[0, 0, 0, 0, 0.125],
        hit_obj=role(*[np.nan] * 5, dtype=dtype),
    )
    file = write(tmp_path, pickle.dumps([record], protocol), "theirs.pkl")
    results = convert_results(file).results
    rows = {
        VCOCO.verbs[v]: (box.tolist(), s)
        for v, box, s in zip(results.verb_classes, results.object_boxes, results.scores)
    }
    assert set(rows) == {"stand", "hold_obj", "hit_instr"}
    assert rows["hold_obj"] == ([1, 2, 3, 4], 0.5)
    assert np.isnan(rows["stand"][0]).all() and rows["stand"][1] == 0.25
    assert np.isnan(rows["hit_instr"][0]).all() and rows["hit_instr"][1] == 0.125
    assert set(results.image_ids.tolist()) == {164}
    assert (results.human_boxes == [10, 10, 100, 200]).all()


def test_agent_scores_of_their_own_are_said(tmp_path):
    records = [person(hold_agent=0.9, hold_obj=role(1, 2, 3, 4, 0.5), more=1)]
    found = convert_results(write(tmp_path, pickle.dumps(records), "theirs.pkl"))
    assert "1 agent scores differ" in str(found.notes) and "more" in str(found.notes)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"image_id": 1}, "record 0: person_box"),
        (person(image_id="a"), "record 0: image_id"),
        (person(image_id=1.5), "a whole number"),
        (person(hold_obj=role(1, 2, 3, 4)), "hold_obj = .*5 finite numbers"),
        (person(hold_obj=role(1, 2, 3, np.inf, 1)), "hold_obj"),
        (person(stand_agent=[1, 2]), "stand_agent"),
        (person(hold_obj=np.array(["a"] * 5)), "hold_obj = .*an array of 'U1'"),
        (person(hold_obj=np.array([None] * 5)), "hold_obj = .*an array of 'O8'"),
        (5, "content.0. = 5; expected an object"),
    ],
)
def test_broken_vcoco_pickle_is_named(tmp_path, record, said):
    file = write(tmp_path, pickle.dumps([record]), "theirs.pkl")
    with pytest.raises(DataFormatError, match=f"theirs.pkl.*{said}"):
        convert_results(file)


class Attack:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "attack",
    [
        Attack(os.system, "touch planted"),
        Attack(eval, "open('planted', 'w')"),
        Attack(np.frombuffer, b"1234"),
        Attack(np.load, "x", None, True),
        Attack(getattr, "x", "upper"),
        Attack(io.open, "planted", "w"),
        Attack(OrderedDict, 5),
    ],
)
def test_planted_code_does_not_run(tmp_path, attack, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path, pickle.dumps([person(hold_obj=attack)]), "theirs.pkl")
    with pytest.raises(ResultFormatError, match=r"theirs\.pkl"):
        convert_results(file)
    assert not (tmp_path / "planted").exists()


def forged(shape: tuple, code: str, data: bytes) -> bytes:
    """A pickled array with a state that does not fit: what crashes numpy itself."""
    honest = pickle.dumps(np.zeros(1), protocol=2)
    assert b"f8" in honest

    class Forged:
        def __reduce__(self):
            state = (1, shape, np.dtype(code) if code != "O" else np.dtype(object), False, data)
            return np.zeros(1).__reduce__()[0], (np.ndarray, (0,), b"b"), state

    return pickle.dumps([person(hold_obj=Forged())], protocol=2)


@pytest.mark.parametrize(
    ("shape", "code", "data"),
    [
        ((5,), "O", b"\x01" * 40),
        ((5,), "f8", b""),
        ((1 << 60,), "f8", b"\0" * 8),
        ((-1,), "f8", b"\0" * 16),
        ((5, 1 << 62), "f8", b"\0" * 40),
        (("a",), "f8", b"\0" * 8),
    ],
)
def test_forged_arrays_are_refused(tmp_path, shape, code, data):
    with pytest.raises((DataFormatError, ResultFormatError), match=r"theirs\.pkl"):
        convert_results(write(tmp_path, forged(shape, code, data), "theirs.pkl"))


def test_damaged_pickles(tmp_path):
    """Cut off and changed at every place: read or refused, nothing else."""
    whole = pickle.dumps([person(hold_obj=role(1, 2, 3, 4, 0.5), stand_agent=np.float32(1))], 4)
    random = np.random.default_rng(0)
    mutants = [whole[:i] for i in range(0, len(whole), 7)]
    for _ in range(300):
        mutant = bytearray(whole)
        for place in random.integers(0, len(whole), random.integers(1, 4)):
            mutant[place] = random.integers(0, 256)
        mutants.append(bytes(mutant))
    # room for 2 ** 31 memo entries, and 2 ** 40 bytes that are not there
    mutants += [b"\x80\x04]r\xff\xff\xff\x7f.", b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"."]
    refused = 0
    for mutant in mutants:
        try:
            convert_results(write(tmp_path, mutant, "theirs.pkl"))
        except (DataFormatError, ResultFormatError) as error:
            refused += 1
            assert "theirs.pkl" in str(error)
    assert refused > len(mutants) / 2


def test_plain_values(tmp_path):
    content = {"a": [1, 2.5, "x", None, True], "b": (b"bytes",), "c": OrderedDict(d=np.int64(7))}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        found = read_plain_pickle(
            write(tmp_path, pickle.dumps(content, protocol), "x.pkl"), error_type=ValueError
        )
        assert found["a"] == content["a"] and found["b"] == (b"bytes",)
        assert numbers(found["c"]["d"]) == 7
    fortran = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    file = write(tmp_path, pickle.dumps(fortran), "x.pkl")
    assert (numbers(read_plain_pickle(file, error_type=ValueError)) == fortran).all()


# --- UPT's folder --------------------------------------------------------------------------------

IMAGES = 5


@pytest.fixture
def few_images(monkeypatch) -> tuple[int, ...]:
    """Five test images instead of 9,658."""
    images = hico_det_test_images()[500 : 500 + IMAGES]
    monkeypatch.setattr(upt_mat, "hico_det_test_images", lambda: images)
    return images


def upt_folder(
    folder: Path, cells: dict[tuple[int, int], np.ndarray], images: int = IMAGES
) -> Path:
    """UPT's files; `cells` are (HOI, image) -> (n, 9)."""
    folder.mkdir()
    for number, obj in enumerate(hico_object_order(), start=1):
        hois = np.flatnonzero(HICO.hois[:, 0] == obj)
        array = np.empty((len(hois), images), dtype=object)
        for i, hoi in enumerate(hois):
            for j in range(images):
                array[i, j] = cells.get((int(hoi), j), np.zeros((0, 0)))
        savemat(folder / f"detections_{number:02d}.mat", {"all_boxes": array})
    return folder


def test_upt_folder(tmp_path, few_images):
    row = np.arange(1, 10, dtype=float)
    folder = upt_folder(
        tmp_path / "matlab", {(599, 0): row[None], (18, 4): np.stack([row, row + 1])}
    )
    found = convert_results(folder)
    results = found.results
    assert found.dataset == "hico_det"
    assert results.image_ids.tolist() == [few_images[0], few_images[4], few_images[4]]
    assert results.hoi_classes.tolist() == [599, 18, 18]
    assert HICO.hois[results.hoi_classes].tolist() == list(
        map(list, zip(results.object_classes.tolist(), results.verb_classes.tolist()))
    )
    assert results.human_boxes.tolist() == [[1, 2, 4, 5], [1, 2, 4, 5], [2, 3, 5, 6]]
    assert results.object_boxes[0].tolist() == [5, 6, 8, 9]
    assert results.scores.tolist() == [9, 9, 10]
    assert len(convert_results(upt_folder(tmp_path / "none", {})).results) == 0


def test_broken_upt_folders(tmp_path, few_images):
    folder = upt_folder(tmp_path / "a", {}, images=3)
    with pytest.raises(ResultFormatError, match=r"detections_01\.mat: all_boxes is 10 x 3"):
        convert_results(folder)
    (folder / "detections_07.mat").unlink()
    with pytest.raises(ResultFormatError, match=r"detections_07\.mat is missing"):
        convert_results(folder)
    (folder / "detections_01.mat").write_bytes(b"MATLAB" * 100)
    with pytest.raises(ResultFormatError, match=str(folder)):
        convert_results(folder)
    bad = upt_folder(tmp_path / "b", {(0, 0): np.zeros((2, 5))})
    with pytest.raises(ResultFormatError, match=r"cell 1, 1 is \(2, 5\), not \(n, 9\)"):
        convert_results(bad)


def test_a_crash_of_the_parser_is_an_error(tmp_path, monkeypatch):
    """A process of its own that dies takes nothing with it."""
    monkeypatch.setattr(upt_mat, "_READER", "hoi_d2.tests_crash")
    folder = upt_folder(tmp_path / "a", {}, images=1)
    with pytest.raises(ResultFormatError, match="tests_crash"):
        convert_results(folder)


def test_the_test_images_of_hico_det(real_data):
    names = json.loads((real_data / "hico_det/instances_test2015.json").read_text())["filenames"]
    assert [int(name[-12:-4]) for name in names] == list(hico_det_test_images())


def test_number_of_test_images():
    images = hico_det_test_images()
    assert len(images) == len(set(images)) == 9658
    assert set(hico_det_test_images_without_pairs()) <= set(images)


# --- the commands --------------------------------------------------------------------------------


def test_the_command_and_eval_name_the_forms(tmp_path, few_images, capsys):
    sources = [
        write(tmp_path, [ppdm()]),
        write(tmp_path, pickle.dumps([person(stand_agent=0.5)]), "theirs.pickle"),
        write(tmp_path, pickle.dumps([person(stand_agent=0.5)], 0), "no_suffix"),
        upt_folder(tmp_path / "matlab", {(0, 0): np.ones((1, 9))}),
    ]
    for source in sources:
        with pytest.raises(ResultFormatError, match=r"this is .*hoi-d2 convert-results .*"):
            read_results(source)
        for suffix in ("json", "npz"):
            output = tmp_path / f"ours.{suffix}"
            assert main(["convert-results", str(source), "--output", str(output)]) == 0
            assert "1 rows in 1 images" in capsys.readouterr().out
            assert len(read_results(output)) == 1


@pytest.mark.parametrize("name", ["ppdm_results.json", "vcoco.pickle"])
def test_cases(tmp_path, name, real_data):
    source, output = case(f"results/{name}", real_data), tmp_path / "r.json"
    with pytest.raises(ResultFormatError, match="convert-results"):
        read_results(source)
    assert main(["convert-results", str(source), "--output", str(output)]) == 0
    (row,) = json.loads(output.read_text())
    expected = {
        "ppdm_results.json": (1, [10, 10, 90, 190], [50, 60, 150, 160], 3, 76, 0.7),
        "vcoco.pickle": (164, [10, 10, 90, 190], [1, 2, 2, 2], -1, 0, 0.5),
    }[name]
    keys = ("image_id", "human_box", "object_box", "object_category_id", "verb_id", "score")
    assert tuple(row[k] for k in keys) == expected


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ([{"image_id": 1}], "x.json", "none of the forms"),
        ([], "x.json", "none of the forms"),
        (b"", "x.json", "valid JSON"),
        (b"\x89PNG", "x.png", "UTF-8"),
        (struct.pack("<I", 7), "x.pkl", "x.pkl"),
    ],
)
def test_other_files(tmp_path, content, name, said, capsys):
    file = write(tmp_path, content, name)
    assert main(["convert-results", str(file), "--output", str(tmp_path / "r.json")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "r.json").exists()
