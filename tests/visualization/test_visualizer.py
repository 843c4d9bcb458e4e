import time

import numpy as np
import pytest
import torch
from detectron2.data.catalog import Metadata
from detectron2.utils.visualizer import ColorMode, Visualizer
from drawing_cases import BALL, BICYCLE, HOLD, HUG, PERSON, RIDE, entity, hoi

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.structures import empty_hoi_instances, make_hoi_instances
from hoi_d2.visualization import HOIVisualizer
from hoi_d2.visualization.drawer import VocabularyError
from hoi_d2.visualization.painter import PERSON_COLORS, ScenePainter
from hoi_d2.visualization.scene import build_scene
from hoi_d2.visualization.sources import (
    image_label_texts,
    interactions_from_instances,
    interactions_from_record,
)

NOWHERE = [float("nan")] * 4


def blank_image(height=240, width=320, value=120):
    return np.full((height, width, 3), value, dtype=np.uint8)


def instances(rows, size=(240, 320)):
    """Rows of human box, object box or None, object class, verb, score."""
    if not rows:
        return empty_hoi_instances(size)
    humans, objects, classes, verbs, scores = zip(*rows)
    return make_hoi_instances(
        image_size=size,
        human_boxes=torch.tensor(humans, dtype=torch.float32),
        object_boxes=torch.tensor([o or NOWHERE for o in objects], dtype=torch.float32),
        object_classes=torch.tensor(classes),
        verb_classes=torch.tensor(verbs),
        hoi_classes=torch.full((len(rows),), -1),
        scores=torch.tensor(scores),
        pair_indices=torch.zeros(len(rows), 2, dtype=torch.int64),
    )


def crowd(num, size, seed=0):
    """`num` triplets of up to six people and six objects, each with a verb of its own pair."""
    rng = np.random.default_rng(seed)
    height, width = size
    corner = rng.uniform(0, 0.6, (12, 2)) * (width, height)
    extent = rng.uniform(0.08, 0.4, (12, 2)) * (width, height)
    boxes = np.concatenate([corner, corner + extent], axis=1).tolist()
    rows = []
    for k in range(num):
        target = boxes[6 + k // 6 % 6]
        rows.append((boxes[k % 6], target, 1 + k % 2, k % 2, float(rng.uniform(0.2, 1))))
    return instances(rows, size)


HUMAN, BIKE, THE_BALL = [40.0, 40, 90, 180], [20.0, 110, 140, 220], [250.0, 60, 270, 80]
ROWS = [
    (HUMAN, BIKE, BICYCLE, RIDE, 0.9),
    (HUMAN, THE_BALL, BALL, HOLD, 0.5),
    (HUMAN, None, -1, HUG, 0.3),
]


@pytest.mark.parametrize(
    ("threshold", "top_k", "kept"),
    [(0.95, None, 0), (0.0, 0, 0), (0.0, None, 3), (0.5, None, 2), (0.0, 1, 1), (0.4, 5, 2)],
)
def test_threshold_and_top_k(threshold, top_k, kept, vocabulary):
    found = interactions_from_instances(instances(ROWS), score_threshold=threshold, top_k=top_k)
    assert [i.verb for i in found] == [RIDE, HOLD, HUG][:kept]
    drawn = HOIVisualizer(blank_image(), scale=1).draw_hoi_instances(
        instances(ROWS), vocabulary, score_threshold=threshold, top_k=top_k
    )
    image = drawn.get_image()
    assert (image[: len(blank_image())] != blank_image()).any() == bool(kept)
    assert (len(image) > len(blank_image())) == (not kept)  # "no interaction found" below it


def test_an_interaction_without_object_has_no_object_box():
    *_, alone = interactions_from_instances(instances(ROWS))
    assert alone.object_box is None and alone.object_class == -1


@pytest.mark.parametrize("value", [0, 120, 255])
def test_box_line_and_label_are_drawn(value, vocabulary):
    drawn = HOIVisualizer(blank_image(value=value), scale=1).draw_hoi_instances(
        instances(ROWS[:1]), vocabulary
    )
    image = drawn.get_image()
    person = (image == PERSON_COLORS[0]).all(axis=2)
    assert person[60:160, 38:42].any(axis=1).all()  # the left edge of the human box, unbroken
    assert person[150:210, 18:22].any()  # the dashed left edge of the object box
    assert person[113:160, 66:74].any()  # the line from (65, 110) to (72, 137)
    text = (image == 0).all(axis=2)
    if value:
        assert text.any()


def test_each_person_has_a_colour(vocabulary):
    other = [200.0, 90, 240, 230]
    drawn = HOIVisualizer(blank_image(), scale=1).draw_hoi_instances(
        instances([*ROWS, (other, THE_BALL, BALL, HOLD, 0.6)]), vocabulary
    )
    for color in PERSON_COLORS[:2]:
        assert (drawn.get_image() == color).all(axis=2).sum() > 200
    assert not (drawn.get_image() == PERSON_COLORS[2]).all(axis=2).any()


@pytest.mark.parametrize("size", [(128, 128), (40, 400), (480, 640), (3000, 4000)])
@pytest.mark.parametrize("num", [0, 1, 40])
def test_sizes_and_numbers(size, num, vocabulary):
    visualizer = HOIVisualizer(blank_image(*size))
    drawn = visualizer.draw_hoi_instances(
        crowd(num, size) if num else empty_hoi_instances(size), vocabulary, top_k=None
    )
    scale = visualizer.scale
    assert drawn.get_image().shape[1] == size[1] * scale == drawn.width
    assert drawn.get_image().shape[0] == drawn.height >= size[0] * scale
    assert (scale > 1) == (max(size) < 480)


@pytest.mark.parametrize("num", [0, 1, 12, 40, 90])
def test_without_legend_the_size_stays(num, vocabulary):
    visualizer = HOIVisualizer(blank_image(100, 200), scale=1, legend=False)
    drawn = visualizer.draw_hoi_instances(crowd(num, (100, 200)), vocabulary, top_k=None)
    assert drawn.get_image().shape == (100, 200, 3)


def test_without_legend_the_corner_counts_what_is_left_out(vocabulary):
    corners = []
    for num in (1, 40):
        drawn = HOIVisualizer(blank_image(100, 200), scale=1, legend=False).draw_hoi_instances(
            crowd(num, (100, 200)), vocabulary, top_k=None
        )
        corners.append((drawn.get_image()[86:, :12] == 255).all(axis=2).mean())
    assert corners[0] < 0.2 < corners[1]


@pytest.mark.parametrize(
    ("labels", "grown"), [([-1, -1, -2, -1], False), ([1, -1, 0, -1], True), ([], False)]
)
def test_image_level_ground_truth(labels, grown, vocabulary):
    record = {"annotations": [], "hoi_annotations": [], "image_labels": np.array(labels, np.int8)}
    drawn = HOIVisualizer(blank_image(), scale=1).draw_dataset_dict(record, vocabulary)
    assert (drawn.get_image()[:240] == 120).all()
    assert (drawn.height > 240) == grown
    for color in (PERSON_COLORS[0], (190, 190, 190)):
        assert (drawn.get_image() == color).all(axis=2).any() == grown


def test_image_label_texts(vocabulary):
    assert image_label_texts([0, 1, -1, 1], vocabulary) == [
        ("hold bicycle", True),
        ("hug person", True),
        ("ride bicycle ?", False),
    ]


@pytest.mark.parametrize(("threshold", "top_k", "kept"), [(0.99, 5, 0), (0.2, 5, 2), (0.0, 1, 1)])
def test_hoi_scores(threshold, top_k, kept, vocabulary):
    drawn = HOIVisualizer(blank_image(), scale=1).draw_hoi_scores(
        [0.3, 0.1, 0.0, 0.9], vocabulary, score_threshold=threshold, top_k=top_k
    )
    one = HOIVisualizer(blank_image(), scale=1).draw_hoi_scores([1, 0, 0, 0], vocabulary)
    per_row = (one.get_image() == PERSON_COLORS[0]).all(axis=2).sum()
    assert round((drawn.get_image() == PERSON_COLORS[0]).all(axis=2).sum() / per_row) == kept


def test_what_finds_no_room_is_listed_below(vocabulary):
    drawn = HOIVisualizer(blank_image(60, 90), scale=1).draw_hoi_instances(
        crowd(12, (60, 90)), vocabulary, top_k=None
    )
    assert drawn.height > 60


def painter(hoi_instances, size, vocabulary):
    from hoi_d2.visualization.canvas import HOIImage

    scene = build_scene(interactions_from_instances(hoi_instances), vocabulary, merge_iou=0.6)
    return ScenePainter(HOIImage(blank_image(*size)), scene, vocabulary, legend=True, font=None)


def test_labels_that_say_the_same_in_a_crowd_become_one(vocabulary):
    size = (480, 640)
    rows = [
        (HUMAN, [100.0 + 30 * k, 300, 120 + 30 * k, 330], BALL, HOLD, 0.5 + k / 100)
        for k in range(14)
    ]
    few, many = (painter(instances(rows[:n], size), size, vocabulary) for n in (5, 14))
    assert [label.text for label in few._labels()] == [
        f"hold sports ball {0.5 + k / 100:.2f}" for k in reversed(range(5))
    ]
    assert [label.text for label in many._labels()] == ["hold sports ball ×14 0.63"]  # noqa: RUF001


def test_labels_keep_off_the_faces(vocabulary):
    size = (480, 640)
    people = [[40.0 + 150 * k, 60, 120 + 150 * k, 400] for k in range(4)]
    rows = [(p, [p[0], 200.0, p[2] + 30, 260], BICYCLE, HOLD, 0.5) for p in people]
    drawn = HOIVisualizer(blank_image(*size), scale=1).draw_hoi_instances(
        instances(rows, size), vocabulary
    )
    for box in people:  # inside the outline, above the line: nothing is drawn on the face
        x0, y0, x1, _ = (int(v) for v in box)
        assert (drawn.get_image()[y0 + 8 : y0 + 65, x0 + 12 : x1 - 12] == 120).all()


RECORD = {
    "file_name": "a/b.jpg",
    "annotations": [entity(HUMAN, PERSON), entity(BIKE, BICYCLE), entity(THE_BALL, BALL)],
}


@pytest.mark.parametrize(
    ("interactions", "others"),
    [
        ([], 3),
        ([hoi(0, 1, RIDE)], 1),
        ([hoi(0, -1, HUG)], 2),
        ([hoi(0, 1, RIDE), hoi(0, 2, HOLD)], 0),
    ],
)
def test_ground_truth(interactions, others, vocabulary):
    record = {**RECORD, "hoi_annotations": interactions}
    found, rest = interactions_from_record(record)
    assert len(found) == len(interactions) and len(rest) == others
    assert all(item.score is None for item in found)
    drawn = HOIVisualizer(blank_image(), scale=1).draw_dataset_dict(record, vocabulary)
    assert (drawn.get_image() == (190, 190, 190)).all(axis=2).any() == bool(others)


def test_other_box_modes(vocabulary):
    from detectron2.structures import BoxMode

    x0, y0, x1, y1 = HUMAN
    as_xywh = {**RECORD["annotations"][0], "bbox": [x0, y0, x1 - x0, y1 - y0]}
    as_xywh["bbox_mode"] = BoxMode.XYWH_ABS
    record = {**RECORD, "annotations": [as_xywh, entity(BIKE, BICYCLE)]}
    [found], _ = interactions_from_record({**record, "hoi_annotations": [hoi(0, 1, RIDE)]})
    assert found.human_box.tolist() == HUMAN


@pytest.mark.parametrize(
    "pair", [hoi(3, 1, RIDE), hoi(0, 3, RIDE), hoi(-1, 1, RIDE), hoi(0, -2, RIDE)]
)
def test_an_index_out_of_range_names_the_image(pair, vocabulary):
    record = {**RECORD, "hoi_annotations": [hoi(0, 1, RIDE), pair]}
    with pytest.raises(ValueError, match=r"a/b.jpg: hoi_annotations\[1\]"):
        HOIVisualizer(blank_image()).draw_dataset_dict(record, vocabulary)


@pytest.mark.parametrize("shape", [(10,), (10, 10, 4), (10, 10, 2), (0, 10, 3), (2, 10, 10, 3)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="an image must be"):
        HOIVisualizer(np.zeros(shape, dtype=np.uint8))


def test_grey_and_float_images(vocabulary):
    grey = HOIVisualizer(np.full((50, 60), 300.0), scale=1, legend=False).draw_hoi_instances(
        empty_hoi_instances((50, 60)), vocabulary
    )
    assert grey.get_image().shape == (50, 60, 3) and (grey.get_image() == 255).all()


def test_ten_pairs_on_a_vga_image_take_less_than_100_ms(vocabulary):
    image, found = blank_image(480, 640), crowd(10, (480, 640))
    times = []
    for _ in range(5):
        start = time.process_time()
        HOIVisualizer(image).draw_hoi_instances(found, vocabulary)
        times.append(time.process_time() - start)
    assert min(times) < 0.1


@pytest.fixture
def metadata(vocabulary):
    return Metadata(vocabulary=vocabulary, thing_classes=list(vocabulary.objects))


def test_it_is_detectron2s_visualizer(vocabulary, metadata):
    """Instances with interactions are drawn by the vocabulary of the metadata."""
    visualizer = HOIVisualizer(blank_image(), metadata, 1.0, ColorMode.IMAGE)
    assert isinstance(visualizer, Visualizer)
    drawn = visualizer.draw_instance_predictions(predictions=instances(ROWS))
    expected = HOIVisualizer(blank_image(), scale=1).draw_hoi_instances(instances(ROWS), vocabulary)
    assert np.array_equal(drawn.get_image(), expected.get_image())
    assert visualizer.get_output() is drawn


@pytest.mark.parametrize("annotations", [[], RECORD["annotations"]])
def test_dataset_dicts(annotations, vocabulary, metadata):
    """One without interactions is drawn as detectron2 draws it, in colours by chance."""
    record = {**RECORD, "annotations": [{**a, "bbox_mode": 0} for a in annotations]}
    drawn = HOIVisualizer(blank_image(), metadata, 1).draw_dataset_dict(record).get_image()
    assert (drawn != 120).any() == bool(annotations)
    record["hoi_annotations"] = [hoi(0, 1, RIDE)] * bool(annotations)
    image = HOIVisualizer(blank_image(), metadata, 1).draw_dataset_dict(record).get_image()
    by_name = HOIVisualizer(blank_image(), scale=1).draw_dataset_dict(record, vocabulary)
    assert np.array_equal(image, by_name.get_image())
    assert (image == PERSON_COLORS[0]).all(axis=2).any() == bool(annotations)


@pytest.mark.parametrize("scale", [1, 2.0])
def test_primitives_of_detectron2_before_and_after(scale, metadata):
    """A box at the same place whether interactions were drawn before it or after it."""
    red, there = (255, 0, 0), np.s_[150:200, 200:210]
    for order in ("before", "after"):
        visualizer = HOIVisualizer(blank_image(), metadata, scale)
        if order == "after":
            visualizer.draw_instance_predictions(instances(ROWS))
        visualizer.draw_box((205, 100, 300, 230), alpha=1, edge_color="r")
        if order == "before":
            visualizer.draw_instance_predictions(instances(ROWS))
        image = visualizer.get_output().get_image()
        assert image.shape == (240 * scale, 320 * scale, 3)
        small = image[:: int(scale), :: int(scale)]
        assert (small[there] == red).all(axis=2).any(axis=1).all()
        assert (image == PERSON_COLORS[0]).all(axis=2).sum() > 200


@pytest.mark.parametrize("wrong", ["no vocabulary", "another vocabulary"])
def test_class_names_that_do_not_fit_are_refused(wrong, metadata):
    found = instances(ROWS)
    if wrong == "another vocabulary":
        found.verb_classes[0] = 99
    visualizer = HOIVisualizer(blank_image(), metadata if wrong.startswith("a") else None)
    with pytest.raises(VocabularyError, match=r"no `vocabulary`|verb 99 is not in"):
        visualizer.draw_instance_predictions(found)


def test_no_interaction_is_not_drawn_by_itself():
    words = Vocabulary.from_hois(
        "n", ("person", "cup"), ("no_interaction", "hold"), [(1, 0), (1, 1)]
    )
    found = instances([(HUMAN, BIKE, 1, verb, 0.9) for verb in (0, 1)])
    drawn = [
        HOIVisualizer(blank_image(), Metadata(vocabulary=words), 1).draw_instance_predictions(rows)
        for rows in (found, found[1:], found[:1])
    ]
    assert np.array_equal(drawn[0].get_image(), drawn[1].get_image())
    assert drawn[2].height > 240  # "no interaction found"
