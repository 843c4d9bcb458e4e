"""Stored outputs equal live ones, and what no longer belongs together is noticed."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from hoi_d2.modeling.entity_detector.build import detector_settings
from hoi_d2.modeling.entity_detector.caching import CachedEntityDetector, DetectionCache
from tests.checkpoint.small_models import small_config, small_model

HICO = ("MODEL.HOI.VOCABULARY", "hico_det")
CACHE = "MODEL.ENTITY_DETECTOR.CACHE"


def images() -> list[dict]:
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (3, *s), generator=generator) for s in ((64, 90), (70, 64))]
    return [{"image": x.byte(), "file_name": f"{i}.jpg"} for i, x in enumerate(images)]


def rmlr(*keys: object) -> nn.Module:
    torch.manual_seed(1)
    return small_model(*HICO, *keys, architecture="RmLR")


@torch.no_grad()
def scores(model: nn.Module, inputs: list[dict]) -> list[torch.Tensor]:
    return [x["hoi_instances"].scores for x in model(inputs)]


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A cache of both images, each run alone."""
    model = rmlr()
    settings = detector_settings(small_config(*HICO, architecture="RmLR"))
    cache = DetectionCache(tmp_path, settings=settings, write=True)
    model.entity_detector = CachedEntityDetector(model.entity_detector, cache)
    for image in images():
        scores(model, [image])
    assert (cache.hits, cache.misses, cache.stale) == (0, 2, 0)
    scores(model, images())
    assert (cache.hits, cache.misses) == (2, 2)
    return tmp_path


def test_stored_equals_live(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = scores(rmlr(), images())
    model = rmlr(CACHE, str(filled))
    monkeypatch.setattr(
        model.entity_detector.detector.network, "forward", None
    )  # it must not be asked
    for a, b in zip(scores(model, images()), expected):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_changed_image_is_noticed(filled: Path, caplog: pytest.LogCaptureFixture) -> None:
    changed = images()
    changed[0]["image"] = changed[0]["image"].flip(2)
    expected, model = scores(rmlr(), changed), rmlr(CACHE, str(filled))
    with caplog.at_level(logging.WARNING):
        found = scores(model, changed)
    assert "is stale: the image 0.jpg has changed" in caplog.text
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("what", ["weights", "settings"])
def test_another_detector_has_a_folder_of_its_own(
    filled: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    keys = ("MODEL.DETR.SCORE_THRESHOLD", 0.01) if what == "settings" else ()
    model = rmlr(CACHE, str(filled), *keys)
    if what == "weights":
        with torch.no_grad():
            next(model.entity_detector.parameters()).add_(1)
    with caplog.at_level(logging.WARNING):
        scores(model, images())
    assert "no stored detections of these weights and settings, only of others" in caplog.text
    assert len(list(filled.iterdir())) == 1  # reading writes nothing


def test_weights_that_change_later_are_noticed(filled: Path) -> None:
    model = rmlr(CACHE, str(filled))
    cache = DetectionCache(filled, settings="")
    before = cache.folder(model.entity_detector)
    assert cache.folder(model.entity_detector) == before
    with torch.no_grad():
        next(model.entity_detector.parameters()).add_(1)
    assert cache.folder(model.entity_detector) != before


def test_a_broken_entry_is_made_anew(filled: Path) -> None:
    for path in filled.rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    expected = scores(rmlr(), images())
    for a, b in zip(scores(rmlr(CACHE, str(filled)), images()), expected):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_weights_have_the_same_names_with_a_cache(tmp_path: Path) -> None:
    cached, plain = rmlr(CACHE, str(tmp_path)), rmlr()
    assert list(cached.state_dict()) == list(plain.state_dict())
    with torch.no_grad():
        next(plain.entity_detector.parameters()).add_(1)
    cached.load_state_dict(plain.state_dict())
    for name, weight in cached.state_dict().items():
        assert torch.equal(weight, plain.state_dict()[name]), name
