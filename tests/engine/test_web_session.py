"""The web page without a browser: uploads, the view, the highlighted row."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hostile_files import HOSTILE, ODD, write_picture
from PIL import Image

from hoi_d2.data import toy
from hoi_d2.engine.demo_report import DrawOptions
from hoi_d2.engine.predictor import get_model
from hoi_d2.engine.web_session import (
    COLUMNS,
    UploadError,
    WebSession,
    highlighted,
    read_upload,
    view,
)

LIMIT = 40_000_000


@pytest.fixture(scope="module")
def session() -> WebSession:
    return WebSession(get_model, max_pixels=LIMIT)


@pytest.fixture(scope="module")
def found(session, tmp_path_factory):
    path = tmp_path_factory.mktemp("upload") / "scene.png"
    Image.fromarray(toy.render(toy.toy_scene("val", 1))[:, :, ::-1]).save(path)
    prediction, remark = session.analyse(path, "toy/rmlr")
    assert remark == ""
    return prediction


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_upload_gets_a_message(kind, tmp_path):
    path = tmp_path / "upload.png"
    write_picture(path, kind)
    with pytest.raises(UploadError) as error:
        read_upload(path, max_pixels=LIMIT)
    message = str(error.value)
    assert HOSTILE[kind] in message
    assert str(tmp_path) not in message, "the server's folders are nobody's business"


def test_limit_is_checked_before_decoding(tmp_path):
    path = tmp_path / "upload.png"
    Image.new("L", (60, 50)).save(path)
    assert read_upload(path, max_pixels=3000)[0].shape == (50, 60, 3)
    with pytest.raises(UploadError, match="60 x 50 pixels"):
        read_upload(path, max_pixels=2999)


@pytest.mark.parametrize("kind", ODD)
def test_odd_upload_is_a_picture(kind, tmp_path):
    path = tmp_path / "upload.png"
    write_picture(path, kind)
    picture, remark = read_upload(path, max_pixels=LIMIT)
    assert picture.shape == toy.render(toy.toy_scene("val", 1)).shape
    assert ODD[kind] in remark


@pytest.mark.parametrize(("least", "most"), [(1.1, 20), (0.0, 1), (0.0, 7), (0.1, 100)])
def test_view(least, most, found):
    seen = view(found, DrawOptions(least, most), remark="turned")
    assert len(seen.rows) <= most
    assert all(len(row) == len(COLUMNS) and row[3] >= round(least, 3) for row in seen.rows)
    assert [row[0] for row in seen.rows] == list(range(len(seen.rows)))
    assert len(json.loads(seen.json)["triplets"]) == len(seen.rows)
    assert seen.status.endswith("shown. Turned")


@pytest.mark.parametrize("row", [0, 3])
def test_a_chosen_row_is_highlighted(row, found):
    options = DrawOptions(0.0, 10)
    seen = view(found, options, chosen=row)
    everything = view(found, options)
    assert seen.rows == everything.rows
    assert not np.array_equal(seen.picture, everything.picture)
    assert np.array_equal(seen.picture, highlighted(options.select(found), row))


def test_a_row_that_is_gone_is_not_highlighted(found):
    options = DrawOptions(1.1, 10)
    assert np.array_equal(view(found, options, chosen=5).picture, view(found, options).picture)


def test_random_weights_are_named(tmp_path):
    session = WebSession(lambda name: get_model(name, pretrained=False), max_pixels=LIMIT)
    path = tmp_path / "scene.png"
    write_picture(path, "cmyk")
    assert "RANDOM WEIGHTS (interaction_heads" in session.analyse(path, "toy/rmlr")[1]


def test_classes_of_ones_own(tmp_path):
    path, asked = tmp_path / "scene.png", []
    write_picture(path, "alpha")

    def load_open(classes):
        asked.append(tuple(classes))
        if "flying" in classes[0]:
            raise ValueError("no such thing")
        return get_model("toy/rmlr")

    session = WebSession(get_model, max_pixels=LIMIT, load_open=load_open)
    for _ in range(2):
        session.analyse(path, "toy/rmlr", ["riding a horse"])
    assert asked == [("riding a horse",)], "the same classes are not read twice"
    with pytest.raises(UploadError, match="no such thing"):
        session.analyse(path, "toy/rmlr", ["flying a house"])
    closed = WebSession(get_model, max_pixels=LIMIT)
    with pytest.raises(UploadError, match="not offered"):
        closed.analyse(path, "toy/rmlr", ["riding a horse"])
