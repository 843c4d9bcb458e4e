"""The web page without a browser: uploads, limits, models, errors in words."""

from __future__ import annotations

import logging
import re

import pytest
import torch
from PIL import Image

from hoi_d2.data.toy import scene as toy
from hoi_d2.demo.web.session import MAX_CLASSES, Limits, UploadError, WebSession, read_upload
from hoi_d2.inference.predictor import get_model
from tests.demo.hostile_files import ANSWERS, HOSTILE, ODD, write_image


@pytest.fixture(autouse=True)
def pillow_opens_large_images(monkeypatch):
    """As the server does."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_upload_gets_a_message(kind, tmp_path):
    path = tmp_path / "upload.png"
    write_image(path, kind)
    with pytest.raises(UploadError) as error:
        read_upload(path, limits=Limits())
    message = str(error.value)
    assert ANSWERS[kind] in message
    assert str(tmp_path) not in message, "the server's folders are nobody's business"


@pytest.mark.parametrize("kind", ODD)
def test_odd_upload_is_an_image(kind, tmp_path):
    path = tmp_path / "upload.png"
    write_image(path, kind)
    image, remark = read_upload(path, limits=Limits())
    assert image.shape == toy.render(toy.toy_scene("val", 1)).shape
    assert remark == ANSWERS[kind]


def test_pillows_own_limit_is_told_in_words(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    path = tmp_path / "upload.png"
    Image.new("L", (60, 50)).save(path)
    with pytest.raises(UploadError, match="far too many pixels, at most 40 million"):
        read_upload(path, limits=Limits())


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(), ""),
        (Limits(megapixels=0.003), ""),
        (Limits(megapixels=0.002999), r"60 x 50 pixels, at most 0.002999 million .* smaller"),
        (Limits(megabytes=1e-6), r"0.0 MB, at most 1e-06 are accepted: .* JPEG"),
    ],
)
def test_limits_are_checked_before_decoding(limits, message, tmp_path):
    path = tmp_path / "upload.png"
    Image.new("L", (60, 50)).save(path)
    if not message:
        assert read_upload(path, limits=limits)[0].shape == (50, 60, 3)
        return
    with pytest.raises(UploadError, match=message):
        read_upload(path, limits=limits)


@pytest.mark.parametrize("limits", [{"megabytes": 0}, {"megapixels": -1}])
def test_a_limit_that_lets_nothing_through_is_refused(limits):
    with pytest.raises(ValueError, match="must be above 0"):
        Limits(**limits)


@pytest.fixture(scope="module")
def trained():
    return get_model("toy/rmlr")


@pytest.fixture
def scene(tmp_path):
    path = tmp_path / "scene.png"
    write_image(path, "palette")
    return path


def test_what_is_found(trained, scene):
    found = WebSession(lambda name: trained).analyse(scene, "toy/rmlr")
    assert len(found.prediction.hoi_instances)
    assert found.remark == "model toy/rmlr"
    assert "drawn images only" in found.warning  # MODEL.NOTE of the toy models


def test_random_weights_are_named(scene):
    session = WebSession(lambda name: get_model(name, pretrained=False))
    warning = session.analyse(scene, "toy/rmlr").warning
    assert re.match(
        "WARNING: random weights, the scores mean nothing: .*interaction_heads", warning
    )


@pytest.mark.parametrize(
    ("error", "message", "logged"),
    [
        (ValueError("no weights of x."), "the model x cannot be used: no weights of x$", False),
        (KeyError("no model 'x'"), "the model x cannot be used: no model 'x'$", False),
        (torch.OutOfMemoryError("CUDA out of memory"), "not enough memory .* smaller$", False),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "not enough memory", False),
        (MemoryError(), "not enough memory", False),
        (RuntimeError("a bug"), r"the model x failed \(RuntimeError\); the log", True),
    ],
)
@pytest.mark.parametrize("while_loading", [True, False])
def test_errors_of_the_model_are_told(error, message, logged, while_loading, scene, caplog):
    def fail(*_):
        raise error

    session = WebSession(fail if while_loading else lambda name: fail)
    with caplog.at_level(logging.ERROR), pytest.raises(UploadError, match=message):
        session.analyse(scene, "x")
    assert bool(caplog.records) == logged, "what nobody has foreseen is in the log"


def test_classes_of_ones_own(trained, scene):
    asked = []

    def load_open(classes):
        asked.append(tuple(classes))
        if "flying" in classes[0]:
            raise ValueError("--classes: no such thing")
        if "weightless" in classes[0]:
            raise FileNotFoundError("no network")
        return trained

    session = WebSession(get_model, load_open=load_open)
    for _ in range(2):
        found = session.analyse(scene, "toy/rmlr", ["riding a horse"])
    assert found.remark == "1 class of your own"
    assert asked == [("riding a horse",)], "the same classes are not read twice"
    for classes, message in [
        (["flying a house"], r"the classes cannot be used \(no such thing\)"),
        (["weightless"], "the model for classes of your own cannot be used: no network"),
        (["riding a horse", "secrets.txt"], "secrets.txt is a file's name"),
        (["riding a horse"] * (MAX_CLASSES + 1), "at most 200 classes"),
        (["x" * 101], "of 100 letters"),
    ]:
        with pytest.raises(UploadError, match=message):
            session.analyse(scene, "toy/rmlr", classes)
    closed = WebSession(get_model)
    with pytest.raises(UploadError, match="not offered"):
        closed.analyse(scene, "toy/rmlr", ["riding a horse"])
