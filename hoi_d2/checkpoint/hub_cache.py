"""What the cache of the Hugging Face hub has on this machine, checked against the first use."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

from hoi_d2.checkpoint.download_record import (
    ChangedFileError,
    DownloadRecord,
    check_files,
    read_record,
)
from hoi_d2.model_zoo.published import PINNED, HubModel, names_for

_INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_OPEN_CLIP = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("vocab.txt",))
_TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt", "merges.txt"),
    *("special_tokens_map.json", "added_tokens.json"),
)
_RUN = ("model.safetensors", "model_final.pth")
KINDS = ("weights", "text", "open_clip")


def files_wanted(names: Collection[str], files: str) -> list[str]:
    """Which files of a repository are needed; [] where it lacks some of them.

    Args:
        names: of the files that it has.
        files: see `HubModel`.
    """
    if files == "all":
        return list(dict.fromkeys(n for kind in KINDS for n in files_wanted(names, kind)))
    if files_lacking(names, files):
        return []
    if files == "run":
        return ["config.yaml", next(n for n in _RUN if n in names)]
    if files == "open_clip":
        wanted = [next(n for n in _OPEN_CLIP if n in names), "open_clip_config.json"]
    else:
        wanted = [*_weight_files(names), *(n for n in ("config.json",) if n in names)]
    if files == "weights":
        return wanted
    return [*wanted, *(n for n in _TOKENIZER_FILES if n in names)]


def files_lacking(names: Collection[str], files: str) -> list[str]:
    """What a repository with files of these names lacks, in words."""
    if files == "all":
        return [] if files_wanted(names, files) else files_lacking(names, "weights")
    if files == "run":
        named = [("config.yaml", {"config.yaml"}), (" or ".join(_RUN), set(_RUN))]
        return [words for words, choice in named if not choice & set(names)]
    lacking = []
    needed = {"text": "config.json", "open_clip": "open_clip_config.json"}.get(files)
    if needed and needed not in names:
        lacking.append(needed)
    if files == "open_clip" and not set(_OPEN_CLIP) & set(names):
        lacking.append(_OPEN_CLIP[0])
    if files != "open_clip" and not _weight_files(names):
        lacking.append("model.safetensors or pytorch_model.bin")
    if files != "weights" and not any(set(kind) <= set(names) for kind in _TOKENIZERS):
        lacking.append("tokenizer.json or vocab files")
    return lacking


def _weight_files(names: Collection[str]) -> list[str]:
    """The weights as transformers and timm name them: one file, or an index and its parts."""
    if "model.safetensors" in names:
        return ["model.safetensors"]
    parts = sorted(name for name in names if _SHARD.fullmatch(name))
    if _INDEX in names and parts:
        return [_INDEX, *parts]
    return ["pytorch_model.bin"] if "pytorch_model.bin" in names else []


def local_folder(model: HubModel) -> Path | None:
    """The folder of a model's files, checked against the record; None = files are missing.

    What was never used here is recorded now.

    Raises:
        ChangedFileError: the files are here and are not those that were used first.
    """
    record = read_record(str(model))
    folder = _find(model, record)
    if folder is None:
        return None
    names = files_wanted(os.listdir(folder), model.files)
    check_files(record or DownloadRecord(str(model), folder.name), folder, names, again(model))
    return folder


def is_here(model: HubModel) -> bool:
    """Whether the files are on this machine; their hashes are not looked at."""
    try:
        return _find(model, read_record(str(model))) is not None
    except ChangedFileError:
        return False


def lacking_here(model: HubModel) -> list[str]:
    """Which files of a model are not on this machine, in words."""
    record = read_record(str(model))
    revision = record.commit if record else model.revision
    folder = _snapshot(model, revision)
    names = os.listdir(folder) if folder else []
    lacking = files_lacking(names, model.files)
    has_no_json = model.files in ("open_clip", "run")
    known = {*names, *lacking, "config.json" if has_no_json else ""}
    return lacking if "config.json" in known else ["config.json", *lacking]


def again(model: HubModel) -> str:
    """What to do where files are damaged, as a sentence."""
    return f"Download it again: hoi-d2 download --force {names_for([model])[0]}"


def other_revision(model: HubModel, expected: str, found: str, where: str) -> ChangedFileError:
    """The error of a revision that is not the recorded one."""
    return ChangedFileError(
        f"{model} {where} is of another revision: expected {expected}, found {found}. To use "
        f"the hub's newest from now on: hoi-d2 download --update {names_for([model])[0]}"
    )


def _find(model: HubModel, record: DownloadRecord | None) -> Path | None:
    """The folder of the recorded commit; without a record, of the pinned or the cached one."""
    if record is None:
        commits = [PINNED.get(str(model), model.revision), model.revision]
        found = (_whole(_snapshot(model, commit), model) for commit in commits)
        return next((folder for folder in found if folder), None)
    folder = _snapshot(model, record.commit)
    if folder is None:
        other = _whole(_snapshot(model, model.revision), model)
        if other is not None and other.name != record.commit:
            raise other_revision(model, record.commit, other.name, "in the hub's cache")
        return None
    recorded = files_wanted(record.sha256.keys(), model.files)
    return _whole(folder, model) if set(recorded) <= set(os.listdir(folder)) else None


def _whole(folder: Path | None, model: HubModel) -> Path | None:
    """The folder, if it has all files of a model."""
    return folder if folder and files_wanted(os.listdir(folder), model.files) else None


def _snapshot(model: HubModel, revision: str) -> Path | None:
    """The cache's folder of a revision; None = it has no file that a model needs."""
    from huggingface_hub import try_to_load_from_cache

    for name in ("config.json", "model.safetensors", _INDEX, "pytorch_model.bin", *_OPEN_CLIP):
        path = try_to_load_from_cache(model.repository, name, revision=revision or None)
        if isinstance(path, str):
            return Path(path).parent
    return None
