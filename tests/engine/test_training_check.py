"""A training from which nothing can be learnt is refused before its first step."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from hoi_d2.config.load import ConfigError
from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.engine.training_check import check_can_learn, check_images
from hoi_d2.modeling.entity_detector.detector_classes import DetectorClasses

COCO = ("person", "bicycle", "cake", "knife")


def model(*objects: str, verbs: tuple[str, ...] = ("hold",), outputs=COCO) -> nn.Module:
    """A model that finds interactions, with a detector of these outputs."""
    module = nn.Module()
    module.finds_interactions = True
    hois = [(1, 0)] if verbs else []
    module.vocabulary = Vocabulary.from_hois("mine", objects, verbs, hois, verbs_ing=verbs)
    module.entity_detector = nn.Module()
    module.entity_detector.classes = DetectorClasses(tuple(outputs), objects)
    return module


def record(*pairs: tuple[int, int], classes: tuple[int, ...] = (0, 1)) -> dict:
    annotations = [{"category_id": c} for c in classes]
    hois = [{"human": h, "object": o, "verb": 0, "hoi": 0} for h, o in pairs]
    return {"annotations": annotations, "hoi_annotations": hois}


def check(module: nn.Module, records: list[dict], **options) -> None:
    check_can_learn(module, records, names=["mine"], max_missing=1.0, **options)


@pytest.mark.parametrize(
    ("objects", "verbs", "records", "message"),
    [
        (("person", "cake"), ("hold",), [], "mine has no interactions"),
        (("person", "cake"), ("hold",), [record()], "no interactions.*all 1 images"),
        (("person", "cake"), (), [record()], "defines no verbs.*verb_categories"),
        (("person", "cake"), ("hold",), [record((0, -1))], "no interaction with a visible object"),
        (("person", "cake"), ("hold",), [record((0, 1))], ""),
        (("person", "birthday cake"), ("hold",), [record((0, 1))], r"Did you mean 'cake'\?"),
        (("person", "birthday cake"), ("hold",), [record((0, 0))], ""),  # never in a pair
        (("person", "bicycl"), ("hold",), [record((0, 1))], r"1 interactions. Did you mean 'bicyc"),
        (("person", "drone"), ("hold",), [record((0, 1), (0, 1))], r"'drone' \(2 interactions\)"),
        (("Person", "Cake"), ("hold",), [record((0, 1))], ""),
    ],
)
def test_what_can_be_learnt(objects, verbs, records, message):
    if not message:
        check(model(*objects, verbs=verbs), records)
        return
    with pytest.raises(ConfigError, match=message):
        check(model(*objects, verbs=verbs), records)


def test_unknown_categories_can_be_allowed():
    check(model("person", "drone"), [record((0, 1))], allow_unknown_classes=True)


def test_a_detector_that_says_nothing_of_its_classes_is_trusted():
    module = model("person", "drone")
    module.entity_detector.classes = None
    check(module, [record((0, 1))])


@pytest.mark.parametrize(("labels", "message"), [([[-1, 0]], "no positive label"), ([[1, -1]], "")])
def test_image_labels(labels, message):
    module = nn.Module()
    module.classifies_images = True
    records = [{"image_labels": np.array(row)} for row in labels]
    if message:
        with pytest.raises(ConfigError, match=message):
            check(module, records)
    else:
        check(module, records)


def test_a_plain_detector_needs_no_interactions():
    check(nn.Module(), [record()])


@pytest.mark.parametrize(
    ("there", "wanted", "message"),
    [
        ([], [], ""),
        (["a.jpg"], ["a.jpg"], ""),
        ([], ["a.jpg", "b.jpg"], r"images: 0 of 2 images found.*first missing one is a\.jpg"),
        (["a.jpg"], ["a.jpg", "b.jpg"], "1 of 2 images found"),
        (["a.jpg"], ["a.jpg", "none/b.jpg"], r"none: 0 of 1 images found"),
        (["A.jpg"], ["a.jpg"], "0 of 1"),
    ],
)
def test_images(tmp_path, there, wanted, message):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in there:
        (folder / name).touch()
    records = [{"file_name": str(folder / name)} for name in wanted]
    if not message:
        check_images(records, max_missing=0.01)
        return
    with pytest.raises(ConfigError, match=message):
        check_images(records, max_missing=0.01)


def test_a_few_missing_images_are_a_warning(tmp_path, caplog):
    (tmp_path / "a.jpg").touch()
    check_images([{"file_name": str(tmp_path / n)} for n in ("a.jpg", "b.jpg")], max_missing=0.5)
    assert "1 of 2 images found. The first missing one is b.jpg" in caplog.text


def test_drawn_images_have_no_file():
    check_images([{"image_id": 1}, {"file_name": ""}, {"file_name": "toy://a/0"}], max_missing=0.0)
