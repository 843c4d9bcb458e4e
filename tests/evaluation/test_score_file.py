"""Scoring a file from Python: the same figures as the command, and messages instead of prints."""

from __future__ import annotations

import json

import pytest
from test_offline import HOIS, hico_det_file, results_of

from hoi_d2.data import open_dataset
from hoi_d2.evaluation.result_files import write_results
from hoi_d2.evaluation.results import HOIResults
from hoi_d2.evaluation.score_file import ScoreOptions, UsageError, score_file


@pytest.fixture
def files(tmp_path):
    pairs = hico_det_file(tmp_path / "test.json")
    write_results(tmp_path / "r.npz", results_of(pairs))
    write_results(tmp_path / "empty.json", HOIResults.empty())
    return tmp_path


@pytest.mark.parametrize(
    "results, options, expected",
    [
        ("empty.json", ScoreOptions(), 0),
        ("r.npz", ScoreOptions(), 100 * len(HOIS) / 600),
        ("r.npz", ScoreOptions(only_annotated_classes=True), 100),
        ("r.npz", ScoreOptions(groups={"mine": HOIS}), 100 * len(HOIS) / 600),
    ],
)
def test_metrics_and_messages(files, results, options, expected):
    score = score_file(files / results, open_dataset(files / "test.json"), options)
    assert score.task == "hico_det"
    assert score.metrics["hico_det/mAP_default_full"] == pytest.approx(expected)
    assert ("hico_det/mAP_default_mine" in score.metrics) == bool(options.groups)
    assert any(m.startswith("note: known object") for m in score.messages)
    assert len(score.table) == 600 and len(score.table[0]) == len(score.header)


def test_errors_name_the_files(files):
    dataset = open_dataset(files / "test.json")
    with pytest.raises(FileNotFoundError, match=r"no such label file: no\.mat"):
        score_file(files / "r.npz", dataset, ScoreOptions(image_labels_file="no.mat"))
    (files / "ids").write_text("99\n")
    with pytest.raises(UsageError, match=r"ids: 1 of its 1 images are not in .*test\.json"):
        score_file(files / "r.npz", dataset, ScoreOptions(image_ids=files / "ids"))
    (files / "broken.json").write_text(json.dumps([1]))
    with pytest.raises(ValueError, match=r"broken\.json: record 0: is int"):
        score_file(files / "broken.json", dataset)
