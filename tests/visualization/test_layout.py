import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoi_d2.visualization.layout import (
    FACE,
    LabelRequest,
    Obstacle,
    _CostGrid,
    head_region,
    place_labels,
)

CANVAS = (120, 200)


def request(size=(40, 12), target=(80, 40, 120, 80), short=None):
    target = np.array(target, dtype=float)
    focus = np.array([(target[0] + target[2]) / 2, target[1]])
    return LabelRequest(size=size, short_size=short, target=target, focus=focus)


def rectangle(place, size):
    return place.x, place.y, place.x + size[0], place.y + size[1]


def overlap(a, b):
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


@pytest.mark.parametrize(
    ("num", "placed"),
    [(0, 0), (1, 1), (20, 20)],
)
def test_how_many_find_room(num, placed):
    places = place_labels([request()] * num, canvas_size=CANVAS, obstacles=[])
    assert sum(place is not None for place in places) == placed


def test_a_label_stands_at_its_target():
    [place] = place_labels([request()], canvas_size=CANVAS, obstacles=[])
    left, top, right, bottom = rectangle(place, (40, 12))
    assert left <= 120 and right >= 80 and top <= 80 and bottom >= 40 - 3


def test_a_label_leaves_a_face_free_though_its_focus_is_there():
    face = np.array([80.0, 30, 120, 60])
    obstacles = [Obstacle(face, FACE)]
    [place] = place_labels([request()], canvas_size=CANVAS, obstacles=obstacles)
    assert not overlap(rectangle(place, (40, 12)), face)
    [without] = place_labels([request()], canvas_size=CANVAS, obstacles=[])
    assert overlap(rectangle(without, (40, 12)), face)


def test_the_short_form_where_everything_is_dear():
    everywhere = [Obstacle(np.array([0.0, 0, 200, 120]), FACE)]
    asked = [request(short=(12, 12))]
    [place] = place_labels(asked, canvas_size=CANVAS, obstacles=everywhere)
    assert place.short
    [place] = place_labels([request()], canvas_size=CANVAS, obstacles=everywhere)
    assert not place.short  # without a short form the least bad place is taken


@pytest.mark.parametrize("size", [(300, 12), (40, 200)])
def test_a_label_larger_than_the_image(size):
    assert place_labels([request(size=size)], canvas_size=CANVAS, obstacles=[]) == [None]


def test_none_when_the_image_is_full():
    places = place_labels([request(size=(90, 50))] * 9, canvas_size=CANVAS, obstacles=[])
    assert places.count(None) >= 5 and places[0] is not None


boxes = st.tuples(*[st.floats(-20, 220)] * 4).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 90), st.integers(1, 40), boxes), max_size=25),
    st.lists(st.tuples(boxes, st.floats(0, 30)), max_size=6),
    st.tuples(st.integers(1, 130), st.integers(1, 210)),
)
def test_no_two_overlap_and_none_leaves_the_canvas(labels, obstacles, canvas):
    asked = [request((w, h), box, short=(5, 5)) for w, h, box in labels]
    obstacles = [Obstacle(np.array(box), cost) for box, cost in obstacles]
    places = place_labels(asked, canvas_size=canvas, obstacles=obstacles)
    taken = []
    for asks, place in zip(asked, places, strict=True):
        if place is not None:
            area = rectangle(place, asks.short_size if place.short else asks.size)
            assert area[0] >= 0 and area[1] >= 0
            assert area[2] <= canvas[1] and area[3] <= canvas[0]
            assert not any(overlap(area, other) for other in taken)
            taken.append(area)


def test_window_sums_against_a_loop():
    grid = _CostGrid(canvas_size=(9, 13), cell=1)
    costs = np.random.default_rng(0).random((9, 13))
    sums = grid.window_sums(costs, 3, 4)
    assert sums.shape == (7, 10)
    for y in range(7):
        for x in range(10):
            assert sums[y, x] == pytest.approx(costs[y : y + 3, x : x + 4].sum())


@pytest.mark.parametrize(
    ("box", "depth"),
    [
        ((0, 0, 100, 400), 80),  # standing: a fifth
        ((0, 0, 100, 150), 50),  # sitting
        ((0, 0, 200, 200), 100),  # portrait: half
        ((0, 0, 300, 100), 50),  # never more than half
    ],
)
def test_head_region(box, depth):
    x0, y0, x1, y1 = head_region(np.array(box, dtype=float))
    assert (y0, y1) == (0, depth)
    assert 0 < x0 < x1 < box[2]
