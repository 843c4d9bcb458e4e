"""The language classifier: both heads, every way to begin, and widths that do not fit."""

import logging

import pytest
import torch
from torch.nn import functional as F

from hoi_d2.data.vocabulary import hico_det_vocabulary
from hoi_d2.modeling.language.class_rows import adjusted_rows
from hoi_d2.modeling.language.classifier import (
    CosineClassifier,
    LinearClassifier,
    build_hoi_classifier,
    language_rows,
)
from hoi_d2.modeling.language.prompts import hoi_sentences
from hoi_d2.modeling.language.text_encoder import encode_sentences
from tests.modeling.language.small_encoders import save_encoder
from tests.modeling.tiny import tiny_config

WIDTH, TEXT = 32, 24  # of the small encoders' hidden states, and of the small CLIP's projection


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Small text encoders on disk."""
    root = tmp_path_factory.mktemp("encoders")
    return {kind: save_encoder(kind, root / kind) for kind in ("bert", "clip")}


@pytest.fixture
def config(folders, tmp_path):
    def make(kind="bert", *options):
        language = {
            "ENCODER": folders.get(kind, kind),
            "POOLING": "clip" if kind == "clip" else "cls",
            "TEMPLATE": "defr",
            "CACHE_DIR": str(tmp_path),
        }
        keys = [x for name, v in language.items() for x in (f"MODEL.LANGUAGE.{name}", v)]
        return tiny_config("DEFR", *keys, *options)

    return make


def vectors(cfg, template="defr"):
    language = cfg.MODEL.LANGUAGE
    sentences = hoi_sentences(hico_det_vocabulary(), template=template)
    return encode_sentences(
        sentences,
        encoder=language.ENCODER,
        pooling=language.POOLING,
        cache_dir=language.CACHE_DIR,
    ).sentence


@pytest.mark.parametrize("images", [0, 1, 5])
def test_cosine_head_is_gamma_times_the_cosine(images):
    rows, features = torch.randn(7, WIDTH), torch.randn(images, WIDTH)
    logits = CosineClassifier(rows, scale=50.0)(features)
    expected = 50 * F.cosine_similarity(features[:, None], rows[None], dim=2)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-5)
    again = CosineClassifier(3 * rows, scale=50.0)(0.1 * features)
    torch.testing.assert_close(again, logits, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("normalize", [True, False])
def test_linear_head_is_equation_1(normalize):
    rows, features = torch.randn(7, WIDTH), 3 * torch.randn(5, WIDTH)
    head = LinearClassifier(rows, scale=2.0, normalize_features=normalize)
    assert not head.bias.any()
    head.bias.data += 0.5
    x = F.normalize(features, dim=1) if normalize else features
    torch.testing.assert_close(head(features), 2 * x @ rows.T + 0.5, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("head", [CosineClassifier, LinearClassifier])
def test_float32_under_autocast(head):
    rows, features = torch.randn(7, WIDTH), torch.randn(5, WIDTH)
    classifier = head(rows, scale=100.0)
    with torch.autocast("cpu", torch.bfloat16):
        logits = classifier(features)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, classifier(features), rtol=0, atol=0)


@pytest.mark.parametrize("head", ["cosine", "linear"])
def test_rows_begin_as_the_sentences_in_class_order(config, head):
    cfg = config("bert", "MODEL.CLASSIFIER.HEAD", head, "MODEL.CLASSIFIER.SCALE", 30.0)
    classifier = build_hoi_classifier(cfg, width=WIDTH)
    torch.testing.assert_close(classifier.weight.data, F.normalize(vectors(cfg), dim=1))
    assert classifier.scale == 30.0 and not classifier.is_random
    assert classifier(torch.randn(2, WIDTH)).shape == (2, 600)


def test_release_prompts_give_other_rows(config):
    ing, base = (
        build_hoi_classifier(
            config("bert", "MODEL.LANGUAGE.TEMPLATE", template), width=WIDTH
        ).weight.data
        for template in ("defr", "defr_release")
    )
    assert (ing != base).any(dim=1).sum() > 500  # all but "a person and a ..."


def test_clip_vectors_are_pulled_back_through_the_projection(config):
    """x . (t P^T) = (x P) . t: the classifier ranks as CLIP does."""
    cfg = config("clip")
    projection = torch.randn(WIDTH, TEXT)
    texts, features = vectors(cfg), torch.randn(5, WIDTH)
    rows, is_random = language_rows(
        cfg,
        hoi_sentences(hico_det_vocabulary(), template="defr"),
        width=WIDTH,
        visual_projection=projection,
    )
    lengths = (texts @ projection.T).norm(dim=1)
    torch.testing.assert_close(features @ rows.T * lengths, features @ projection @ texts.T)
    assert not is_random
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(600))


def test_clip_resnet_needs_no_projection(config):
    cfg = config("clip")
    classifier = build_hoi_classifier(cfg, width=TEXT)
    torch.testing.assert_close(classifier.weight.data, F.normalize(vectors(cfg), dim=1))


@pytest.mark.parametrize("own", [None, torch.zeros(WIDTH, TEXT)])
def test_an_encoder_that_is_no_clip_takes_the_projection_of_one(config, folders, own):
    from transformers import CLIPModel

    cfg = config("clip", "MODEL.CLASSIFIER.PROJECTION", folders["clip"])
    rows = build_hoi_classifier(cfg, width=WIDTH, visual_projection=own).weight.data
    clip = CLIPModel.from_pretrained(folders["clip"])
    pulled_back = vectors(cfg) @ clip.visual_projection.weight.data
    torch.testing.assert_close(rows, F.normalize(pulled_back, dim=1))


@pytest.mark.parametrize(
    "kind, width, projection, named",
    [
        ("bert", 48, None, r"width 32.*features width 48.*INIT to random"),
        ("clip", 48, None, r"width 24.*features width 48.*has none.*CLASSIFIER.PROJECTION"),
        ("clip", 48, (32, 24), r"projection \(48, 24\).*has one of \(32, 24\)"),
        ("clip", 48, (48, 20), r"has one of \(48, 20\)"),
    ],
)
def test_widths_that_do_not_fit_are_refused(config, kind, width, projection, named):
    projection = None if projection is None else torch.randn(projection)
    with pytest.raises(ValueError, match=named):
        build_hoi_classifier(config(kind), width=width, visual_projection=projection)


@pytest.mark.parametrize("head, spread", [("cosine", 1.0), ("linear", 3**-0.5)])
def test_random_rows(config, head, spread):
    cfg = config("bert", "MODEL.CLASSIFIER.INIT", "random", "MODEL.CLASSIFIER.HEAD", head)
    cfg.MODEL.LANGUAGE.ENCODER = "no/such-encoder"  # is not asked
    classifier = build_hoi_classifier(cfg, width=256)
    assert classifier.is_random
    assert classifier.weight.data.norm(dim=1).mean() == pytest.approx(spread, rel=0.03)


def test_a_checkpoint_brings_its_rows(config):
    cfg = config("no/such-encoder", "MODEL.WEIGHTS", "model_final.pth")
    assert build_hoi_classifier(cfg, width=WIDTH).is_random


@pytest.mark.parametrize(
    "encoder, width", [("bert-base-uncased", 768), ("openai/clip-vit-base-patch32", 512)]
)
def test_a_text_encoder_that_is_not_here_is_named(config, caplog, encoder, width):
    caplog.set_level(logging.WARNING)
    classifier = build_hoi_classifier(config(encoder), width=width)
    assert classifier.is_random and "RANDOM TEXT VECTORS" in caplog.text


def test_a_projection_that_is_not_here_is_named(config, caplog):
    cfg = config("clip", "MODEL.CLASSIFIER.PROJECTION", "openai/clip-vit-base-patch32")
    classifier = build_hoi_classifier(cfg, width=WIDTH)
    assert classifier.is_random and "RANDOM VISUAL PROJECTION" in caplog.text


def test_a_projection_file_without_one_is_refused(config, folders):
    cfg = config("clip", "MODEL.CLASSIFIER.PROJECTION", folders["bert"])
    with pytest.raises(RuntimeError, match="visual_projection"):
        build_hoi_classifier(cfg, width=WIDTH)


@pytest.mark.parametrize("rows", ["centred", "whitened"])
def test_language_rows_are_adjusted_by_the_config(config, rows):
    cfg = config("bert", "MODEL.CLASSIFIER.ROWS", rows)
    classifier = build_hoi_classifier(cfg, width=WIDTH)
    expected = adjusted_rows(F.normalize(vectors(cfg), dim=1), rows)
    torch.testing.assert_close(classifier.weight.data, expected)
    assert not classifier.is_random


def test_factor_rows_need_no_text_encoder(config):
    cfg = config("no/such-encoder", "MODEL.CLASSIFIER.INIT", "factor")
    classifier = build_hoi_classifier(cfg, width=WIDTH)
    assert classifier.is_random and classifier.weight.shape == (600, WIDTH)
    cfg.MODEL.HOI.CLASSES = ["riding a horse", "feeding a dog"]
    with pytest.raises(ValueError, match="own classes have no factors"):
        build_hoi_classifier(cfg, width=WIDTH)


@pytest.mark.parametrize("key, word", [("HEAD", "bilinear"), ("INIT", "bert"), ("ROWS", "white")])
def test_wrong_words_are_refused(config, key, word):
    with pytest.raises(ValueError, match=rf"CLASSIFIER.{key} must be .* got '{word}'"):
        build_hoi_classifier(config("bert", f"MODEL.CLASSIFIER.{key}", word), width=WIDTH)
