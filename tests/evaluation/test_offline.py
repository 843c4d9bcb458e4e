"""The command line: every kind of data set, every option, and bad input."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from hoi_d2.commands.main import main as hoi_d2_main
from hoi_d2.data.datasets.hico_det import load_hico_det
from hoi_d2.data.vocabulary import coco_category_ids, hico_det_vocabulary, vcoco_vocabulary
from hoi_d2.evaluation.result_files import write_results
from hoi_d2.evaluation.results import HOIResults

ROOT = Path(__file__).resolve().parents[2]
VOCABULARY = hico_det_vocabulary()
HOIS = [245, 246, 300]


def main(arguments):
    return hoi_d2_main(["eval", *arguments])


def hico_det_file(path: Path, images: int = 4) -> list[list[int]]:
    """Writes annotations in QPIC form, 1-based; returns [image, hoi] of each pair."""
    records, pairs = [], []
    for image in range(1, images + 1):
        hois = HOIS[: 1 + image % 3]
        objects = [int(o) for o in VOCABULARY.hois[hois, 0]]
        annotations = [{"bbox": [1, 1, 50, 90], "category_id": 1}]
        annotations += [
            {"bbox": [30, 40, 100, 99], "category_id": coco_category_ids()[o]} for o in objects
        ]
        interactions = [
            {"subject_id": 0, "object_id": i, "category_id": int(VOCABULARY.hois[h, 1]) + 1}
            for i, h in enumerate(hois, start=1)
        ]
        record = {"file_name": f"HICO_test2015_{image:08d}.jpg", "annotations": annotations}
        records.append(record | {"hoi_annotation": interactions})
        pairs += [[image, h] for h in hois]
    path.write_text(json.dumps(records))
    return pairs


def results_of(pairs: list[list[int]], shift: float = 0.0) -> HOIResults:
    """A detection of each pair, scores falling, boxes moved by `shift`."""
    images, hois = np.asarray(pairs).T
    count = len(pairs)
    return HOIResults(
        image_ids=images.astype(np.int64),
        human_boxes=np.tile([0.0, 0.0, 50.0, 90.0], (count, 1)) + shift,
        object_boxes=np.tile([29.0, 39.0, 100.0, 99.0], (count, 1)) + shift,
        object_classes=VOCABULARY.hois[hois, 0].astype(np.int32),
        verb_classes=VOCABULARY.hois[hois, 1].astype(np.int32),
        hoi_classes=hois.astype(np.int32),
        scores=np.linspace(1, 0.5, count),
    )


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    paths = {n: tmp_path / n for n in ("test_hico.json", "results.npz", "worse.json")}
    pairs = hico_det_file(paths["test_hico.json"])
    write_results(paths["results.npz"], results_of(pairs))
    write_results(paths["worse.json"], results_of(pairs[:-2]))
    return paths


def call(files: dict[str, Path], *options: str, results: str = "results.npz") -> int:
    arguments = ["--dataset", "hico_det_test", "--annotations", str(files["test_hico.json"])]
    return main([*arguments, "--results", str(files[results]), *map(str, options)])


def test_hico_det(files, tmp_path, capsys):
    output, table = tmp_path / "out" / "metrics.json", tmp_path / "out" / "classes.csv"
    assert call(files, "--output", output, "--per-class", table) == 0
    metrics = json.loads(output.read_text())
    assert metrics["hico_det/mAP_default_full"] == pytest.approx(100 * len(HOIS) / 600)
    assert metrics["hico_det/mAP_default_annotated"] == pytest.approx(100)
    out, err = capsys.readouterr()
    assert "hico_det/mAP_default_full" in out
    assert "objects are taken from the annotated pairs" in err
    assert "597 of 600 classes have no annotated pair" in err
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 600 and rows[HOIS[0]]["AP_default"] == "100.0"
    assert rows[HOIS[0]]["verb"] == VOCABULARY.verbs[VOCABULARY.hois[HOIS[0], 1]]


def test_only_annotated_classes_and_image_ids(files, tmp_path, capsys):
    ids, output = tmp_path / "few.ids", tmp_path / "m.json"
    ids.write_text("1\n2\n")
    options = ["--only-annotated-classes", "--image-ids", ids, "--output", output]
    assert call(files, *options) == 0
    metrics = json.loads(output.read_text())
    assert metrics["hico_det/mAP_default_full"] == 100
    assert "hico_det/mAP_default_annotated" not in metrics  # the same classes
    ids.write_text("1\n77\n")
    assert call(files, *options) == 2
    message = f"{ids}: 1 of its 2 images are not in the annotations of"
    assert message in capsys.readouterr().err


def test_images_of_results(files, tmp_path):
    output = tmp_path / "m.json"
    write_results(files["results.npz"], results_of([[1, HOIS[0]], [1, HOIS[1]]]))
    options = ["--images-of-results", "--only-annotated-classes", "--output", output]
    assert call(files, *options) == 0
    assert json.loads(output.read_text())["hico_det/recall_full"] == 100


def test_groups(files, tmp_path):
    output, unseen = tmp_path / "m.json", tmp_path / "unseen.txt"
    unseen.write_text(f"{HOIS[0]}\n")
    train = tmp_path / "train.json"
    hico_det_file(train)
    options = ["--unseen", unseen, "--train-annotations", train, "--output", output]
    assert call(files, *options) == 0
    metrics = json.loads(output.read_text())
    assert metrics["hico_det/mAP_default_unseen"] == 100
    assert metrics["hico_det/mAP_default_seen"] == pytest.approx(200 / 599)
    assert metrics["hico_det/mAP_default_few1"] == pytest.approx(100 / 598)
    assert call(files, "--zero-shot", "uv", "--output", output) == 0
    assert "hico_det/mAP_known_object_unseen" in json.loads(output.read_text())
    assert call(files, "--zero-shot", "everything") == 2
    unseen.write_text("600\n")
    assert call(files, *options) == 2


def test_bootstrap_and_compare(files, tmp_path, capsys):
    table, output = tmp_path / "c.csv", tmp_path / "m.json"
    assert call(files, "--bootstrap", "20", "--output", output) == 0
    metrics = json.loads(output.read_text())
    name = "hico_det/mAP_default_full"
    assert metrics[f"{name}_ci_low"] <= metrics[name] <= metrics[f"{name}_ci_high"]
    options = ["--compare", files["worse.json"], "--bootstrap", "20", "--per-class", table]
    assert call(files, *options) == 0
    assert "classes that changed most" in capsys.readouterr().out
    rows = list(csv.DictReader(table.open()))
    assert float(rows[HOIS[1]]["AP_default_change"]) > 0
    assert float(rows[HOIS[1]]["AP_default_baseline"]) < 100


def test_errors_with_a_plot(files, tmp_path, capsys):
    plot = tmp_path / "errors.png"
    assert call(files, "--errors", plot) == 0
    assert plot.is_file() and plot.with_suffix(".csv").is_file()
    assert "wrong pairing" in capsys.readouterr().out
    assert call(files, "--errors", plot, "--protocol", "qpic") == 2


@pytest.mark.parametrize("protocol", ["qpic", "cdn"])
def test_protocols(files, protocol):
    assert call(files, "--protocol", protocol) == 0


@pytest.mark.parametrize(
    "change, message",
    [
        ({"scores": np.nan}, "row 0 (and 7 more rows): score is nan"),
        ({"image_ids": 99}, "image_id is 99, expected one of the 4 images"),
        ({"hoi_classes": 600}, "hoi_id is 600, expected -1..599"),
        ({"object_classes": 80}, "object_category_id is 80"),
        ({"verb_classes": 1}, "but the row has object_category_id"),
    ],
)
def test_results_that_cannot_be_scored(files, capsys, change, message):
    results = results_of(hico_det_file(files["test_hico.json"]))
    name, value = next(iter(change.items()))
    array = np.full(len(results), value, dtype=getattr(results, name).dtype)
    write_results(files["results.npz"], replace(results, **{name: array}))
    assert call(files) == 2
    assert message in capsys.readouterr().err


def test_files_that_are_not_there_or_broken(files, tmp_path, capsys):
    assert main(["--dataset", "hico_det_test", "--annotations", "no", "--results", "no"]) == 2
    files["results.npz"].write_text("")
    assert call(files) == 2
    files["worse.json"].write_text("[1]")
    assert call(files, results="worse.json") == 2
    files["test_hico.json"].write_text("[{}]")
    write_results(files["results.npz"], results_of([[1, 1]]))
    assert call(files) == 2
    assert capsys.readouterr().err.count("error:") == 4


def test_paths_that_are_folders_or_hold_nothing(files, tmp_path, capsys):
    empty = tmp_path / "empty.ids"
    empty.write_text("\n")
    for option, path, message in (
        ("--results", tmp_path, f"no such result file: {tmp_path}"),
        ("--output", tmp_path, "Is a directory"),
        ("--per-class", tmp_path, "Is a directory"),
        ("--output", files["results.npz"] / "m.json", "File exists"),
        ("--image-ids", empty, f"{empty}: content = 'no ids'; expected one id per line"),
        ("--unseen", empty, f"{empty}: content = 'no ids'"),
    ):
        assert call(files, option, path) == 2, option
        assert message in capsys.readouterr().err.splitlines()[-1]


def test_results_of_another_split(files, capsys):
    pairs = hico_det_file(files["test_hico.json"])
    write_results(files["results.npz"], results_of([[9000 + i, h] for i, h in pairs]))
    assert call(files, "--unknown-images", "drop") == 2
    assert "none of its 8 rows is in an image of" in capsys.readouterr().err


@pytest.mark.parametrize("rows, missed", [(0, 4), (1, 3), (8, 0)])
def test_images_without_rows_are_mentioned(files, capsys, rows, missed):
    pairs = hico_det_file(files["test_hico.json"])
    write_results(files["results.npz"], results_of(pairs)[:rows])
    assert call(files) == 0
    note = f"{missed} of 4 images with annotated interactions have no row and count as missed"
    assert (note in capsys.readouterr().err) == bool(missed)


def test_odd_rows_are_counted_not_refused(files, capsys):
    pairs = hico_det_file(files["test_hico.json"])
    write_results(files["results.npz"], results_of([*pairs, pairs[-1]])[[0, 1, 2, 2]])
    assert call(files) == 0
    assert "1 rows repeat another row exactly" in capsys.readouterr().err


def vcoco_files(folder: Path) -> list[str]:
    """One man who holds a cup and stands; official labels, COCO boxes, results that are right."""
    coco = {
        "images": [{"id": 9, "width": 200, "height": 100, "file_name": "COCO_train2014_9.jpg"}],
        "categories": [],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": 1, "bbox": [10, 10, 40, 80], "area": 900.0},
            {"id": 2, "image_id": 9, "category_id": 47, "bbox": [40, 30, 20, 20], "area": 90.0},
        ],
    }
    done = {"hold_obj": [1, 2], "stand": [1]}
    labels, roles = [], {}
    for verb in vcoco_vocabulary().verbs:
        action = verb.removesuffix("_obj").removesuffix("_instr")
        roles.setdefault(action, ["agent"])
        if verb != action:
            roles[action].append(verb[len(action) + 1 :])
    for action, names in roles.items():
        objects = [done.get(f"{action}_{r}", done.get(action, [0]))[-1] for r in names[1:]]
        positive = int(any(key.removesuffix("_obj") == action for key in done))
        entry = {"action_name": action, "role_name": names, "image_id": [9], "ann_id": [1]}
        flat = [1, *(o if positive else 0 for o in objects)]
        labels.append(entry | {"label": [positive], "role_object_id": flat, "include": []})
    (folder / "coco.json").write_text(json.dumps(coco))
    (folder / "vcoco.json").write_text(json.dumps(labels))
    verbs = [vcoco_vocabulary().verbs.index(v) for v in done]
    results = HOIResults(
        image_ids=np.array([9, 9, 4]),
        human_boxes=np.tile([10.0, 10.0, 50.0, 90.0], (3, 1)),
        object_boxes=np.tile([40.0, 30.0, 60.0, 50.0], (3, 1)),
        object_classes=np.array([41, 41, 41]),
        verb_classes=np.array([*verbs, 0]),
        hoi_classes=np.array([-1, -1, -1]),
        scores=np.array([0.9, 0.8, 0.95]),
    )
    write_results(folder / "results.json", results)
    arguments = ["--dataset", "vcoco_train", "--annotations", str(folder / "vcoco.json")]
    arguments += ["--coco-annotations", str(folder / "coco.json")]
    return [*arguments, "--results", str(folder / "results.json")]


def test_vcoco(tmp_path, capsys):
    arguments = vcoco_files(tmp_path)
    output, table = tmp_path / "m.json", tmp_path / "c.csv"
    assert main([*arguments, "--output", str(output), "--per-class", str(table)]) == 0
    metrics = json.loads(output.read_text())
    assert metrics["vcoco/AP_agent"] == pytest.approx(200 / 26)
    assert metrics["vcoco/AP_role_s1"] == pytest.approx(100 / 24)
    assert metrics["vcoco/AP_role_s2_25"] == pytest.approx(100 / 25)
    assert "1 rows in 1 images that are not scored" in capsys.readouterr().err
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 29 and rows[0]["action"] == "hold" and rows[0]["role"] == "obj"
    assert rows[1]["AP_role_s1"] == ""
    assert main([*arguments, "--bootstrap", "5"]) == 0
    assert main([*arguments, "--compare", arguments[-1]]) == 0
    assert main([*arguments, "--errors", str(tmp_path / "e.png")]) == 2


def test_own_json(tmp_path, capsys):
    data = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 99, "height": 99}],
        "categories": [{"id": 1, "name": "person"}, {"id": 5, "name": "lantern"}],
        "verb_categories": [{"id": 3, "name": "carry"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 40]},
            {"id": 2, "image_id": 1, "category_id": 5, "bbox": [30, 0, 9, 9]},
        ],
        "hoi_annotations": [
            {
                "id": 1,
                "image_id": 1,
                "human_annotation_id": 1,
                "object_annotation_id": 2,
                "verb_id": 3,
            }
        ],
    }
    (tmp_path / "own.json").write_text(json.dumps(data))
    row = {"image_id": 1, "human_box": [0, 0, 20, 40], "object_box": [30, 0, 9, 9]}
    row |= {"object_category_id": 1, "verb_id": 0, "hoi_id": -1, "score": 1}
    (tmp_path / "r.json").write_text(json.dumps([row]))
    arguments = ["--dataset", "lanterns", "--annotations", str(tmp_path / "own.json")]
    assert main([*arguments, "--results", str(tmp_path / "r.json")]) == 0
    assert "hico_det/mAP_default_full          100.0000" in capsys.readouterr().out


def test_image_level(tmp_path, capsys):
    prepared = {
        "activities": ["run", "swim"],
        "images": [{"file_name": f"00{i}.jpg", "activity": i % 2} for i in (1, 2, 3)],
    }
    (tmp_path / "mpii.json").write_text(json.dumps(prepared))
    np.savez(tmp_path / "s.npz", image_id=np.array([1, 2, 3]), scores=np.eye(2)[[1, 0, 1]])
    output, table = tmp_path / "m.json", tmp_path / "c.csv"
    arguments = ["--dataset", "mpii_val", "--annotations", str(tmp_path / "mpii.json")]
    arguments += ["--results", str(tmp_path / "s.npz"), "--images-of-results"]
    assert main([*arguments, "--output", str(output), "--per-class", str(table)]) == 0
    assert json.loads(output.read_text()) == {"mpii/mAP": 100}
    assert len(table.read_text().splitlines()) == 3
    assert main([*arguments, "--bootstrap", "5"]) == 2
    assert "--bootstrap is for results with boxes" in capsys.readouterr().err
    for columns, message in (
        ({"image_id": [9], "scores": np.ones((1, 2))}, "s.npz: 1 of its 1 images are not in"),
        (
            {"image_id": [1], "scores": np.ones((1, 3))},
            "s.npz: scores of 3 classes, but labels of 2",
        ),
    ):
        np.savez(tmp_path / "s.npz", **columns)
        assert main(arguments) == 2
        assert message in capsys.readouterr().err


def test_a_registered_data_set(tmp_path, capsys):
    name, pairs = "offline_test", hico_det_file(tmp_path / "test_hico.json")
    DatasetCatalog.register(name, lambda: load_hico_det(tmp_path / "test_hico.json"))
    MetadataCatalog.get(name).set(
        vocabulary=VOCABULARY, evaluated_hois=HOIS, evaluator_type="hico_det", rare_hois=HOIS[:1]
    )
    write_results(tmp_path / "r.json", results_of(pairs))
    try:
        assert main(["--dataset", name, "--results", str(tmp_path / "r.json")]) == 0
        assert "mAP_default_rare          100.0000" in capsys.readouterr().out
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    assert main(["--dataset", name, "--results", str(tmp_path / "r.json")]) == 2
    assert f"--dataset {name} is not registered" in capsys.readouterr().err


def test_the_tool_runs_from_any_folder_without_torch(files, tmp_path):
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "heavy = {'torch', 'detectron2', 'transformers', 'matplotlib', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    tool = str(ROOT / "tools" / "evaluate_results.py")
    arguments = ["--dataset", "hico_det_test", "--annotations", str(files["test_hico.json"])]
    arguments += ["--results", str(files["results.npz"])]
    subprocess.run([sys.executable, "-c", code, tool, *arguments], cwd=tmp_path, check=True)
