"""What a prediction is: a list of interactions, a table, a file, a drawing, detections."""

from __future__ import annotations

import csv
import io
import json
import sys

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from PIL import Image, ImageShow

from hoi_d2.inference.prediction import CSV_COLUMNS, HOIPrediction, Triplet
from hoi_d2.structures import empty_hoi_instances, make_hoi_instances
from hoi_d2.utils.user_errors import UserError
from tests.demo.fake_predictor import WORDS, FakePredictor

IMAGE = np.full((40, 60, 3), 90, np.uint8)


def entities(boxes: list[list[float]], classes: list[int]) -> Instances:
    found = Instances((40, 60), pred_boxes=Boxes(torch.tensor(boxes).reshape(-1, 4)))
    found.scores = torch.linspace(0.9, 0.5, len(classes))
    found.pred_classes = torch.tensor(classes, dtype=torch.int64)
    return found


@pytest.fixture
def empty() -> HOIPrediction:
    return HOIPrediction(IMAGE, entities([], []), empty_hoi_instances((40, 60)), WORDS)


@pytest.fixture
def two() -> HOIPrediction:
    """Somebody holds a mug, and washes nothing that can be seen."""
    human, mug, none = [1.0, 2, 11, 22], [5.0, 5, 8, 9], [float("nan")] * 4
    pairs = make_hoi_instances(
        image_size=(40, 60),
        human_boxes=torch.tensor([human, human]),
        object_boxes=torch.tensor([mug, none]),
        object_classes=torch.tensor([1, -1]),
        verb_classes=torch.tensor([0, 1]),
        hoi_classes=torch.tensor([0, -1]),
        scores=torch.tensor([0.75, 0.5]),
        pair_indices=torch.tensor([[1, 0], [1, 1]]),
    )
    pairs.person_ids = torch.tensor([3, -1])
    found = entities([mug, human, [30.0, 30, 50, 39]], [1, 0, 0])
    return HOIPrediction(IMAGE, found, pairs, WORDS, note="a note", path="in/a.jpg")


def test_nothing_found(empty, tmp_path):
    assert len(empty) == 0 and list(empty) == []
    assert repr(empty) == "HOIPrediction(60 x 40, 0 interactions)"
    assert json.loads(empty.to_json())["triplets"] == []
    assert empty.to_csv() == ",".join(CSV_COLUMNS) + "\r\n"
    assert empty.save(tmp_path / "empty.png").is_file()


def test_a_list_of_interactions(two):
    hold = Triplet((1, 2, 11, 22), "hold", "mug", (5, 5, 8, 9), 0.75, 3)
    wash = Triplet((1, 2, 11, 22), "wash", None, None, 0.5, None)
    assert len(two) == 2 and list(two) == two.triplets == [hold, wash]
    assert two[0] == hold and two[-1] == wash
    assert [t.verb for t in two.select(top_k=1)] == ["hold"]


@pytest.mark.parametrize(
    ("verb", "thing", "words"),
    [
        ("walk", None, "walk"),
        ("ride", "bicycle", "ride bicycle"),
        ("talk_on", "cell_phone", "talk on cell phone"),
    ],
)
def test_words(verb, thing, words):
    triplet = Triplet((1, 2, 11, 22), verb, thing, None, 0.5)
    assert (triplet.words, str(triplet)) == (words, f"{words} 0.50")


def test_one_line(two):
    line = "HOIPrediction(a.jpg, 60 x 40, 2 interactions: hold mug 0.75, wash 0.50)"
    assert repr(two) == str(two) == line
    many = FakePredictor()(IMAGE)
    many = HOIPrediction(IMAGE, many.instances, Instances.cat([many.hoi_instances] * 9), WORDS)
    assert len(repr(many)) < 120 and repr(many).endswith("hold mug 0.70, ...)")


def test_csv_is_json_is_table(two):
    line, other = csv.DictReader(io.StringIO(two.to_csv()))
    assert line == {
        "person_id": "3",
        "verb": "hold",
        "object": "mug",
        "score": "0.7500",
        "human_box": "1.0 2.0 10.0 20.0",
        "object_box": "5.0 5.0 3.0 4.0",
        "note": "a note",
    }
    assert (other["person_id"], other["object"], other["object_box"]) == ("", "", "")
    first, second = json.loads(two.to_json())["triplets"]
    assert first["human_box"] == [1, 2, 11, 22] and second["object_box"] is None
    row = two.results(5).to_columns()
    assert row["human_box"][0].tolist() == [1, 2, 10, 20] and row["image_id"][0] == 5


def test_data_frame(two, empty):
    pytest.importorskip("pandas")
    frame = two.to_df()
    assert frame["verb"].tolist() == ["hold", "wash"]
    assert frame.loc[0, "object_x_max"] == 8 and np.isnan(frame.loc[1, "object_x_max"])
    assert frame["object"].tolist() == ["mug", None]
    assert frame.loc[0, "person_id"] == 3 and frame["person_id"].isna().tolist() == [False, True]
    nothing = empty.to_df()
    assert len(nothing) == 0 and list(nothing.columns) == list(frame.columns)
    assert nothing.dtypes.to_dict() == frame.dtypes.to_dict(), "tables can be joined"


def test_supervision(two, empty):
    pytest.importorskip("supervision")
    found = two.to_supervision()
    assert len(found) == 3 and found.class_id.tolist() == [1, 0, 0]
    assert found.data["class_name"].tolist() == ["mug", "person", "person"]
    assert found.data["interactions"].tolist() == ["", "hold mug, wash", ""]
    assert found.metadata["pair_indices"].tolist() == [[1, 0], [1, -1]]
    assert found.metadata["verb"].tolist() == ["hold", "wash"]
    human = found.metadata["pair_indices"][0, 0]
    assert found.xyxy[human].tolist() == list(two[0].human_box)
    people = found[found.class_id == 0]  # the pairs still say who is who
    assert people.data["entity"].tolist() == [1, 2]
    assert len(empty.to_supervision()) == 0


@pytest.mark.parametrize(
    ("module", "method"), [("pandas", "to_df"), ("supervision", "to_supervision")]
)
def test_extras_that_are_missing_are_named(two, monkeypatch, module, method):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install 'hoi-d2\[{module}\]'"):
        getattr(two, method)()


def test_save_by_suffix(two, tmp_path):
    drawn = two.save(tmp_path / "new" / "drawn.jpg", score_threshold=0.6)
    assert Image.open(drawn).format == "JPEG"
    assert json.loads(two.save(tmp_path / "a.json").read_text()) == json.loads(two.to_json())
    assert two.save(tmp_path / "a.CSV").read_bytes().decode() == two.to_csv()
    with pytest.raises(ValueError, match="unknown file extension"):
        two.save(tmp_path / "a.txt")
    with pytest.raises(ValueError, match=r"a\.json is no drawing: top_k"):
        two.save(tmp_path / "a.json", top_k=1)


def test_show(two, monkeypatch):
    shown = []
    monkeypatch.setattr(
        ImageShow, "show", lambda image, title: shown.append((image, title)) or True
    )
    two.show(top_k=1)
    assert shown[0][1] == "a.jpg" and shown[0][0].size[0] >= 60
    monkeypatch.setattr(ImageShow, "show", lambda image, title: False)
    with pytest.raises(UserError, match="no image viewer"):
        two.show()
