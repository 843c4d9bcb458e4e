from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_hico_det import qpic_record
from test_hoi_json import document
from test_vcoco import official, qpic

from hoi_d2.data.detect_format import detect_format
from hoi_d2.data.validation import validate_file

TOOL = Path(__file__).parents[2] / "tools/validate_data.py"


def own(tmp_path, change=lambda data: None, *, sizes=((100, 80), (9, 9), (100, 80))) -> Path:
    """Own data with its three images."""
    data = document()
    change(data)
    for name, size in zip("abc", sizes):
        Image.new("RGB", size).save(tmp_path / f"{name}.jpg")
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(data))
    return file


def test_sound_file(tmp_path):
    report = validate_file(own(tmp_path))
    assert report.is_sound
    assert not report.problems
    assert (report.images, report.entities, report.interactions, report.no_object) == (3, 4, 3, 1)
    assert report.images_checked == 3
    assert json.loads(json.dumps(report.as_dict()))["is_sound"] is True


FLAWS = [
    (lambda d: d["annotations"][0].update(bbox=[1, 2, 101, 40]), "annotation 1", "100 x 80"),
    (lambda d: d["annotations"][0].update(bbox=[-3, 2, 9, 9]), "annotation 1", "100 x 80"),
    (lambda d: d["hoi_annotations"].append(d["hoi_annotations"][1]), "hoi_annotations[3]", "[1]"),
    (lambda d: d["annotations"][0].update(bbox=[9, 9, -1, 5]), "annotations[0]", "w >= 0"),
    (lambda d: d["annotations"][0].update(category_id=77), "annotations[0]", "id of a category"),
    (lambda d: d["hoi_annotations"][0].update(verb_id=None), "hoi_annotations[0]", "verb"),
]


@pytest.mark.parametrize(("change", "place", "expected"), FLAWS, ids=[f[1] for f in FLAWS])
def test_flaw_is_named(tmp_path, change, place, expected):
    report = validate_file(own(tmp_path, change))
    assert not report.is_sound
    (problem,) = report.problems  # what refers to a broken entity is not reported as well
    message = str(problem)
    assert place in message
    assert expected in message
    assert "mine.json" in message


def test_every_problem_is_reported(tmp_path):
    def change(data):
        data["annotations"][0]["bbox"] = [90, 2, 30, 40]
        data["annotations"][1]["bbox"] = [0, 0, 0, 0]
        data["hoi_annotations"][2]["image_id"] = 5

    report = validate_file(own(tmp_path, change))
    places = {p.record for p in report.problems}
    assert {"annotations[1]", "hoi_annotations[2]"} <= places
    assert any("annotation 1" in p.field for p in report.problems)


def test_a_pixel_of_rounding_is_no_flaw(tmp_path):
    assert validate_file(
        own(tmp_path, lambda d: d["annotations"][0].update(bbox=[-0.5, 2, 101, 40]))
    ).is_sound


@pytest.mark.parametrize("headers_only", [False, True])
def test_images(tmp_path, headers_only):
    file = own(tmp_path, sizes=((100, 80), (9, 9), (99, 80)))
    (tmp_path / "b.jpg").unlink()
    report = validate_file(file, decode=not headers_only)
    names = sorted((Path(p.file).name, p.field) for p in report.problems)
    assert names == [("b.jpg", "file"), ("c.jpg", "width x height")]


def test_truncated_image_needs_decoding(tmp_path):
    file = own(tmp_path)
    noise = np.random.default_rng(0).integers(0, 255, (80, 100, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:3000])
    assert validate_file(file, decode=False).is_sound
    (problem,) = validate_file(file).problems
    assert Path(problem.file).name == "a.jpg"
    assert "truncated" in str(problem)


def test_images_elsewhere(tmp_path):
    file = own(tmp_path)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    assert len(validate_file(file, image_root=folder).problems) == 3
    (tmp_path / "mine.json").rename(folder / "mine.json")
    assert validate_file(folder / "mine.json").images_checked is None


def test_image_that_is_there_twice(write_json):
    report = validate_file(write_json([qpic_record(), qpic_record()]))
    assert {p.field for p in report.problems} == {"file_name", "image_id"}


def test_duplicates_of_the_merged_training_file_are_notes(write_json):
    def report(**changes):
        record = qpic_record(**changes)
        record["hoi_annotation"] *= 2
        return validate_file(write_json([record]))

    assert {p.level for p in report().problems} == {"note"}
    assert report().is_sound
    boxes = [{"bbox": [1, 1, 5, 5], "category_id": c} for c in (1, 2)]
    assert {p.level for p in report(annotations=boxes).problems} == {"flaw"}


def test_official_labels_without_boxes(write_json):
    labels, coco = official()
    file = write_json(labels)
    report = validate_file(file)
    assert report.is_sound
    assert report.interactions == 4
    assert "prepare-vcoco" in str(report.problems[0])
    (note,) = validate_file(file, coco_annotations=[str(write_json(coco, "c.json"))]).problems
    assert "each of V-COCO's 26 actions once" in str(note)
    assert note.level == "note"
    labels[1]["role_object_id"] = [11, 0, "13"]
    assert (
        "entry" in str(validate_file(write_json(labels)).problems)
        or not validate_file(write_json(labels)).is_sound
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([], "hico_det"),
        (qpic(), "vcoco"),
        ([qpic_record()], "hico_det"),
        (document(), "hoi_json"),
        (official()[0], "vcoco"),
        ({"activities": []}, "mpii"),
    ],
)
def test_detected_format(write_json, data, expected):
    assert detect_format(write_json(data)) == expected


def test_real_files_are_sound(test_data):
    for name, kind, pairs in (
        ("hico_det/test_hico.json", "hico_det", 33405),
        ("hico_det/instances_test2015.json", "hico_det", 33405),
        ("vcoco/instances_vcoco_test.json", "vcoco", 12402),
        ("vcoco/vcoco_test_retag_hoitr.odgt", "vcoco", 12423),
    ):
        report = validate_file(test_data / name)
        assert (report.format, report.interactions, report.problems) == (kind, pairs, [])


def test_tool(tmp_path):
    """The command: exit code, the lines, the JSON, and no torch."""
    sound = own(tmp_path)
    broken = tmp_path / "broken.json"
    broken.write_text(sound.read_text().replace('"verb_id": 1', '"verb_id": 7'))

    def run(*args):
        command = [sys.executable, "-X", "importtime", str(TOOL), *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    good = run(sound)
    assert good.returncode == 0
    assert "3 images, 4 entities, 3 interactions" in good.stdout
    assert " torch\n" not in good.stderr
    bad = run(broken, tmp_path / "none.json")
    assert bad.returncode == 1
    assert "hoi_annotations[2]: verb_id = 7" in bad.stdout
    assert "none.json" in bad.stdout
    answer = json.loads(run("--json", "--format", "hoi_json", broken).stdout)
    assert answer["is_sound"] is False
    problem = answer["files"][0]["problems"][0]
    assert (problem["record"], problem["field"], problem["value"]) == (
        "hoi_annotations[2]",
        "verb_id",
        "7",
    )
