"""The HTML of a prediction: rows, pairs, downloads."""

from __future__ import annotations

import base64
import json
import re

import pytest

from hoi_d2.data.toy import scene as toy
from hoi_d2.demo.report import DrawOptions
from hoi_d2.demo.web.result import COLUMNS, message_html, pair_numbers, result_html, table_rows
from hoi_d2.inference.predictor import get_model


@pytest.fixture(scope="module")
def found():
    return get_model("toy/rmlr")(toy.render(toy.toy_scene("val", 1)))


def keys(page: str) -> list[str]:
    return re.findall(r'data-key="([\w-]+)"', page)


@pytest.mark.parametrize(("least", "most"), [(1.1, 20), (0.0, 1), (0.0, 7), (0.1, 100)])
def test_rows_pairs_and_json_are_those_that_are_shown(least, most, found):
    options = DrawOptions(least, most)
    shown = options.select(found)
    page = result_html(found, options)
    assert len(keys(page)) == len(shown.hoi_instances) <= most
    assert f"{len(shown.hoi_instances)} of {len(found.hoi_instances)} interactions" in page
    layers = re.findall(r'<g data-pair="(\d+)"', page)
    assert layers == sorted(set(re.findall(r'data-of="(\d+)"', page)), key=int)
    content = re.search(r"data:application/json;base64,([^\"]*)", page)[1]
    assert json.loads(base64.b64decode(content)) == json.loads(shown.to_json())


def test_table_rows(found):
    shown = DrawOptions(0.2, 20).select(found)
    rows = table_rows(shown)
    assert [len(row) for row in rows] == [len(COLUMNS)] * len(shown.triplets)
    for number, (row, triplet) in enumerate(zip(rows, shown.triplets), 1):
        assert row[0] == str(number)
        assert row[1:4] == (triplet.verb, triplet.object, f"{triplet.score:.3f}")
        assert [float(v) for v in row[4].split()] == pytest.approx(triplet.human_box, abs=0.5)


def test_rows_of_one_pair_have_one_layer(found):
    shown = DrawOptions(0.2, 20).select(found)
    numbers, pairs = pair_numbers(shown), shown.hoi_instances.pair_indices.tolist()
    assert numbers[0] == numbers[1] == 0, "ride and straddle"
    for a, of_a in zip(numbers, pairs):
        assert [of_a == of_b for of_b in pairs] == [a == b for b in numbers]


def test_layer_has_the_boxes_of_its_pair(found):
    options = DrawOptions(0.2, 20)
    first = options.select(found).triplets[0]
    page = result_html(found, options)
    scale = float(re.search(r'viewBox="0 0 (\d+)', page)[1]) / found.image.shape[1]
    layer = re.search(r'<g data-pair="0".*?</g>', page)[0]
    assert "ride and straddle bicycle 0.77" in layer
    for kind, (x0, y0, x1, y1) in (("human", first.human_box), ("object", first.object_box)):
        numbers = re.search(f"<rect class={kind} ([^/]*)/>", layer)[1]
        drawn = [float(v) / scale for v in re.findall(r'"([^"]*)"', numbers)]
        assert drawn == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=0.1)


def test_a_choice_outlives_the_threshold_not_the_image(found):
    few, many = (keys(result_html(found, DrawOptions(least, 20))) for least in (0.2, 0.0))
    assert few == many[: len(few)] and len(few) < len(many)
    other = get_model("toy/rmlr")(toy.render(toy.toy_scene("val", 2)))
    assert not set(many) & set(keys(result_html(other, DrawOptions(0.0, 20))))


def test_nothing_found_says_why(found):
    assert "the best score is 0.769" in result_html(found, DrawOptions(0.9, 20))
    nothing = found.select(score_threshold=1.1)
    assert "found no interaction" in result_html(nothing, DrawOptions(0.0, 20))


def test_words_are_no_html(found):
    assert "&lt;b&gt;" in message_html("<b>", refused=True)
    page = result_html(found, DrawOptions(), remark="<b>", warning="<i>")
    assert "<b>" not in page and "<i>" not in page
