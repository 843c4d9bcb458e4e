"""Three lines of Python: a model by name or config, images in every form, names from its file."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model
from PIL import Image
from safetensors.torch import save_file

from hoi_d2 import HOIPredictor, get_model, list_models
from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.checkpoint.class_names import vocabulary_in
from hoi_d2.config.load import load_config
from hoi_d2.data.images import ImageFileError, read_dataset_image
from hoi_d2.data.open_vocabulary import open_vocabulary
from hoi_d2.data.toy.dataset import toy_record
from hoi_d2.data.vocabulary import Vocabulary, hico_det_vocabulary, vcoco_vocabulary
from hoi_d2.model_zoo import config_file


@pytest.fixture(scope="module")
def predictor() -> HOIPredictor:
    return HOIPredictor.from_config("configs/toy/rmlr.yaml")


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """RGB, of different sizes."""
    return [read_dataset_image(toy_record("val", index)) for index in range(3)]


def test_models_are_listed():
    assert {"toy/rmlr", "toy/defr_det"} <= set(list_models(pretrained=True))
    assert set(list_models(pretrained=True)) < set(list_models())
    assert "toy/detr" not in list_models(), "it finds no interactions"
    with pytest.raises(KeyError, match="toy/rmlr"):
        get_model("toy/none")
    with pytest.raises(ValueError, match=r"no weights of RmLR/rmlr_R50_hico_det"):
        get_model("RmLR/R50")


def test_weights_of_the_package_are_taken(predictor):
    assert predictor.random_parts == []
    assert predictor.cfg.MODEL.WEIGHTS == "hoi_d2://toy/rmlr.safetensors"


def test_no_image(predictor):
    assert predictor([]) == []


def test_every_form_of_an_image_gives_the_same(predictor, images, tmp_path):
    file = tmp_path / "scene.png"
    Image.fromarray(images[0]).save(file)
    forms = [file, str(file), Image.open(file), images[0][:, :, ::-1]]
    answers = [predictor(form).to_json() for form in forms]
    assert len(set(answers)) == 1
    assert len(json.loads(answers[0])["triplets"]) > 3


def test_a_list_is_as_one_by_one(predictor, images):
    predictor.batch_size = 2
    together = predictor([p[:, :, ::-1] for p in images])
    assert len(together) == len(images)
    for found, image in zip(together, images):
        alone = predictor(image[:, :, ::-1])
        assert np.array_equal(found.image, image)
        torch.testing.assert_close(
            found.hoi_instances.scores, alone.hoi_instances.scores, rtol=0, atol=1e-4
        )


def test_result(predictor, images, tmp_path):
    prediction = predictor(Image.fromarray(images[0]))
    best = prediction.triplets[0]
    assert best.score == max(t.score for t in prediction.triplets)
    assert best.verb in predictor.vocabulary.verbs and best.object in predictor.vocabulary.objects
    content = json.loads(prediction.to_json(indent=1))
    height, width = images[0].shape[:2]
    assert (content["width"], content["height"]) == (width, height)
    assert content["triplets"][0]["verb"] == best.verb
    assert len(content["triplets"][0]["object_box"]) == 4
    prediction.draw().save(tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").stat().st_size > 1000


def test_select(predictor, images):
    prediction = predictor(Image.fromarray(images[0]))
    assert prediction.select(score_threshold=2.0).triplets == []
    assert prediction.select(top_k=2).triplets == prediction.triplets[:2]
    verb = prediction.triplets[-1].verb
    assert {t.verb for t in prediction.select(verbs=(verb,)).triplets} == {verb}


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (None, ValueError, "cv2.imread gives None"),
        (np.zeros((4, 4), np.uint8), ValueError, r"\(H, W, 3\)"),
        (np.zeros((4, 4, 3)), ValueError, "float64"),
        ("no such file.jpg", ImageFileError, "no such file"),
    ],
)
def test_what_is_no_image_is_named(predictor, image, error, message):
    with pytest.raises(error, match=message):
        predictor(image)


@pytest.mark.parametrize("config", ["toy/detr.yaml", "toy/defr.yaml"])
def test_a_detector_or_a_classifier_alone_says_what_to_take(config):
    with pytest.raises(ValueError, match=r"finds no interactions; these models do: .*toy/rmlr"):
        HOIPredictor.from_config(config)(np.zeros((32, 32, 3), np.uint8))


@pytest.fixture(scope="module")
def own_names() -> Vocabulary:
    return Vocabulary.from_hois(
        "mine", ("person", "mug"), ("hold", "wash"), [(1, 0), (1, 1)], verbs_ing=("holding", "w")
    )


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_names_come_from_the_file_of_weights(own_names, tmp_path, suffix):
    MetadataCatalog.get("mine_train").set(vocabulary=own_names)
    options = ["DATASETS.TRAIN", ("mine_train",), "MODEL.ENTITY_DETECTOR.WEIGHTS", ""]
    options += ["MODEL.DETR.NUM_CLASSES", 2, "MODEL.DEVICE", "cpu"]
    options += ["MODEL.ALLOW_RANDOM_WEIGHTS", True]
    cfg = load_config("")
    cfg.merge_from_file(config_file("toy/rmlr.yaml"))
    cfg.merge_from_list(options)
    model = build_model(cfg)
    file = tmp_path / "model.pth"
    HOICheckpointer(model, str(tmp_path), copy_frozen=True).save("model")
    if suffix == ".safetensors":
        file = tmp_path / "model.safetensors"
        names = json.dumps(own_names.as_dict())
        save_file(model.state_dict(), file, metadata={"vocabulary": names})
    MetadataCatalog.remove("mine_train")  # no such data set on this machine
    predictor = HOIPredictor.from_config("toy/rmlr.yaml", [*options, "MODEL.WEIGHTS", str(file)])
    assert predictor.vocabulary.verbs == ("hold", "wash")
    for triplet in predictor(np.zeros((64, 64, 3), np.uint8)).triplets:
        assert triplet.object in (None, "person", "mug")


@pytest.mark.parametrize("content", [None, b"", b"junk"])
def test_files_without_names(content, tmp_path):
    file = tmp_path / "weights.pth"
    if content is not None:
        file.write_bytes(content)
    assert vocabulary_in(file) is None


def own_classes():
    return open_vocabulary(["riding a horse", "petting a unicorn"])


@pytest.mark.parametrize("make", [vcoco_vocabulary, hico_det_vocabulary, own_classes])
def test_vocabulary_as_json_and_back(make):
    vocabulary = make()
    back = Vocabulary.from_dict(json.loads(json.dumps(vocabulary.as_dict())))
    assert back.as_dict() == vocabulary.as_dict()
    assert np.array_equal(back.valid_verbs, vocabulary.valid_verbs)
    assert np.array_equal(back.hoi_of, vocabulary.hoi_of)
    assert back.phrases == vocabulary.phrases


def test_vocabulary_of_an_older_file():
    new = hico_det_vocabulary().as_dict()
    old = {key: new[key] for key in ("objects", "verbs", "hois")}
    assert np.array_equal(Vocabulary.from_dict(old).valid_verbs, hico_det_vocabulary().valid_verbs)
