from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from test_hoi_json import document

from hoi_d2.commands.main import main
from hoi_d2.data.datasets.hico_det import load_hico_det
from hoi_d2.data.datasets.hoi_json import load_hoi_json, read_vocabulary
from hoi_d2.data.statistics import DatasetStatistics
from hoi_d2.data.vocabulary import hico_det_rare_hois, hico_det_vocabulary, vcoco_vocabulary


def test_no_records():
    statistics = DatasetStatistics.of([], hico_det_vocabulary())
    summary = statistics.summary(hico_det_vocabulary())
    assert set(summary.values()) == {0}


def test_small_file(write_json):
    """Person 1 holds a mug and person 3; person 4, in another image, waves; a third is empty."""
    data = document()
    data["hoi_annotations"].append(data["hoi_annotations"][0] | {"id": 9, "verb_id": 1})
    file = write_json(data)
    records, vocabulary = load_hoi_json(file), read_vocabulary(file)
    statistics = DatasetStatistics.of(records, vocabulary)
    assert statistics.pairs_per_image.tolist() == [2, 1, 0]
    assert sorted(statistics.verbs_per_pair.tolist()) == [1, 1, 2]
    assert statistics.entity_counts.tolist() == [3, 1]
    assert statistics.verb_object.tolist() == [[1, 1], [0, 1]]
    assert statistics.no_object.tolist() == [0, 1]
    assert sorted(statistics.object_sizes.tolist()) == [10]
    assert sorted(statistics.human_sizes.tolist()) == pytest.approx([5, 1200**0.5, 1200**0.5])
    names, counts = statistics.class_counts(vocabulary)
    assert dict(zip(names, counts.tolist())) == {
        "hold person": 1,
        "wave person": 0,
        "hold mug": 1,
        "wave mug": 1,
    }
    summary = statistics.summary(vocabulary)
    assert summary["images without a pair"] == 1
    assert summary["interactions"] == 4
    assert summary["pairs per image, mean"] == 1


def test_data_set_without_hoi_classes_counts_verbs():
    entity = {"bbox": [0, 0, 4, 9], "category_id": 0}
    pair = {"human": 0, "object": -1, "verb": 1, "hoi": -1}
    record = {"annotations": [entity], "hoi_annotations": [pair]}
    names, counts = DatasetStatistics.of([record], vcoco_vocabulary()).class_counts(
        vcoco_vocabulary()
    )
    assert [n for n, c in zip(names, counts) if c] == ["stand"]


def test_real_training_set(test_data):
    vocabulary = hico_det_vocabulary()
    records = load_hico_det(test_data / "hico_det/trainval_hico.json")
    statistics = DatasetStatistics.of(records, vocabulary)
    _, counts = statistics.class_counts(vocabulary)
    assert counts.sum() == 117871
    assert tuple(np.flatnonzero(counts < 10)) == hico_det_rare_hois()
    assert statistics.verbs_per_pair.sum() == 117871
    assert statistics.entity_counts.sum() == 152785


def test_tool_writes_figures_and_numbers(tmp_path, write_json, capsys):
    file, output = write_json(document(), "mine.json"), tmp_path / "figures"
    assert main(["data", "analyze", str(file), "--output", str(output)]) == 0
    assert "interactions without an object" in capsys.readouterr().out
    names = {"class_frequencies", "pairs_per_image", "box_sizes", "verb_object_matrix"}
    assert {p.stem for p in output.glob("*.png")} == {p.stem for p in output.glob("*.csv")} == names
    assert json.loads((output / "statistics.json").read_text())["pairs"] == 3
    rows = list(csv.DictReader((output / "verb_object_matrix.csv").open()))
    assert {(r["verb"], r["object"], r["interactions"]) for r in rows} == {
        ("hold", "mug", "1"),
        ("hold", "person", "1"),
    }
