"""Reading weight files from anybody: no code of theirs runs, and what does not fit is named."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hoi_d2.checkpoint.errors import UnreadableFileError, WeightsError
from hoi_d2.checkpoint.hub import hub_folder, is_hub_id
from hoi_d2.checkpoint.page_files import check_page_file
from hoi_d2.checkpoint.python_packages import PACKAGE_PREFIX, package_weights
from hoi_d2.checkpoint.torch_files import read_torch_file
from hoi_d2.checkpoint.zoo_pickle import zoo_checkpoint
from hoi_d2.data.class_spaces import UNUSED
from hoi_d2.model_zoo import local_path
from hoi_d2.model_zoo.published import HubModel
from hoi_d2.utils.files import sha256_of

_NAME_MAX = 255  # bytes of a file name on Linux; a longer one is an OSError
_INDEX = "model.safetensors.index.json"
_IN_DIRECTORY = ("model.safetensors", "pytorch_model.bin")
_JSON_ENTRIES = ("classes", "frozen", "vocabulary")  # of our own files' metadata


def _are_words(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)


_ENTRIES: dict[str, Callable[[Any], bool]] = {
    "config": lambda value: isinstance(value, str),
    "frozen": lambda value: isinstance(value, dict) and _are_words([*value, *value.values()]),
    "vocabulary": lambda value: isinstance(value, dict),
    "classes": _are_words,
    "random_parts": _are_words,
    "matching_heuristics": lambda value: isinstance(value, bool),
    "__author__": lambda value: isinstance(value, str),
}
"""What this project looks at beside the weights; of another kind it is somebody else's entry."""


@dataclass
class WeightFile:
    """What a weight file holds.

    Attributes:
        name: for messages.
        weights: by name.
        weights_key: under which a `.pth` keeps them; "" = they are the whole of it.
        extra: what else is in it: the other entries of a `.pth`, the metadata of a safetensors;
            without those that have the name of one of ours and are of another kind.
        labels: class names of a transformers configuration that lies beside it, if any.
    """

    name: str
    weights: dict[str, Tensor]
    weights_key: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None


def read_weights(source: str | os.PathLike, *, sha256: str = "", revision: str = "") -> WeightFile:
    """Reads a file, a transformers directory or a model of the Hugging Face hub.

    Args:
        source: `.safetensors`, `.pth` / `.pt` / `.bin`, a `.pkl` of detectron2's model zoo, an
            address (`hoi_d2://...`), a directory as `save_pretrained` writes it, `package:NAME`, or
            a hub id (`facebook/detr-resnet-50`), which comes from the cache when there is one.
        sha256: of the file, in hex (its beginning is enough, 8 digits at least); "" = not checked.
        revision: branch, tag or commit on the hub.

    Raises:
        FileNotFoundError: nothing of that name, here or on the hub.
        WeightsError: another hash than `sha256` or than at first use, a damaged file, or one that
            holds more than weights.
    """
    files = local_files(source, revision=revision)
    if sha256:
        _check_sha256(files, sha256)
    result = WeightFile(os.fspath(source), {})
    for file in files:
        part = _read(file)
        result.weights.update(part.weights)
        result.extra.update(
            {n: v for n, v in part.extra.items() if n not in _ENTRIES or _ENTRIES[n](v)}
        )
        result.weights_key = part.weights_key
    result.labels = labels_beside(files[0])
    return result


def averaged_weights(file: WeightFile) -> dict[str, Tensor]:
    """The averaged weights of a training checkpoint; empty where it has none.

    Raises:
        WeightsError: what it has in their place is no dict of weights, or has other names.
    """
    kept = file.extra.get("ema")
    average = kept.get("average") if isinstance(kept, dict) else None
    if average is None:
        return {}
    if not isinstance(average, dict) or not average.keys() <= file.weights.keys():
        raise WeightsError(f"{file.name} is damaged: its averaged weights are not those it has")
    return _tensors(Path(file.name), average) if average else {}


def local_files(source: str | os.PathLike, *, revision: str = "") -> list[Path]:
    """The files of a source, downloaded where it is a model of the hub; see `read_weights`.

    Raises:
        FileNotFoundError: nothing of that name, here or on the hub.
    """
    if not os.fspath(source):
        raise FileNotFoundError("no weight file is named")
    if os.fspath(source).startswith("http://"):
        raise WeightsError(
            f"{os.fspath(source)} is refused: nothing protects a download without encryption from "
            "being changed. Download it by hand and name the file"
        )
    if os.fspath(source).startswith(PACKAGE_PREFIX):
        return [package_weights(os.fspath(source))]
    path = Path(local_path(os.fspath(source)) if "://" in os.fspath(source) else source)
    if path.is_file():
        check_page_file(path)
        return [path]
    if path.is_dir():
        return _files_of(path)
    if is_hub_id(os.fspath(source)):
        return _files_of(hub_folder(HubModel(os.fspath(source), revision)))
    raise FileNotFoundError(f"no weight file {os.fspath(source)}")


def _check_sha256(files: list[Path], expected: str) -> None:
    expected = expected.lower()
    if len(files) > 1:
        raise WeightsError(f"{files[0].parent} has {len(files)} weight files, one hash is for one")
    if len(expected) < 8 or not re.fullmatch(r"[0-9a-f]+", expected):
        raise WeightsError(f"SHA-256 {expected!r}: 8 to 64 hexadecimal digits")
    if not (found := sha256_of(files[0])).startswith(expected):
        raise WeightsError(
            f"{files[0]} has SHA-256 {found}, not {expected}: it is another file, or damaged. "
            "Remove it and download it again"
        )


def _files_of(directory: Path) -> list[Path]:
    if (index := directory / _INDEX).is_file():
        return [directory / name for name in _names_in(index)]
    for name in _IN_DIRECTORY:
        if (directory / name).is_file():
            return [directory / name]
    raise FileNotFoundError(f"{directory} holds none of {', '.join((*_IN_DIRECTORY, _INDEX))}")


def _names_in(index: Path) -> list[str]:
    """The files that an index names, all of them next to it.

    Raises:
        UnreadableFileError: it is no index, or a name leaves the folder or does not exist.
    """
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableFileError(
            f"{index} is damaged: expected an object whose weight_map gives a file for each weight"
        ) from error
    if not names:
        raise UnreadableFileError(f"{index} names no file")
    for name in names:
        if (
            not isinstance(name, str)
            or Path(name).name != name
            or len(name.encode(errors="replace")) > _NAME_MAX
        ):
            shown = repr(name)[:80]
            raise UnreadableFileError(f"{index} names {shown}, expected a file of its own folder")
        if not (index.parent / name).is_file():
            raise UnreadableFileError(
                f"{index} names {name}, which does not exist: download it again"
            )
    return names


def _read(path: Path) -> WeightFile:
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    data = zoo_checkpoint(path) if path.suffix == ".pkl" else read_torch_file(path)
    for key in ("model", "model_state_dict", "state_dict"):
        if isinstance(data.get(key), dict):
            extra = {name: value for name, value in data.items() if name != key}
            return WeightFile(str(path), _tensors(path, data[key]), key, extra)
    return WeightFile(str(path), _tensors(path, data))


def _read_safetensors(path: Path) -> WeightFile:
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}
            return WeightFile(str(path), _finite(path, weights), extra=metadata_of(file))
    except (SafetensorError, OSError, ValueError) as error:
        raise UnreadableFileError(
            f"{path} is damaged or not a safetensors file: {error}"
        ) from error


def metadata_of(file: Any) -> dict[str, Any]:
    """What an open safetensors file holds beside weights, as a `.pth` of ours would hold it."""
    found: dict[str, Any] = dict(file.metadata() or {})
    for name in _JSON_ENTRIES:
        if name in found:
            with suppress(ValueError, RecursionError):  # somebody else's entry of that name
                found[name] = json.loads(found[name])
    return found


def _tensors(path: Path, state: dict[Any, Any]) -> dict[str, Tensor]:
    wrong = [str(name) for name, value in state.items() if not _is_plain(value)]
    wrong += [repr(name) for name in state if not isinstance(name, str)]
    if wrong or not state:
        what = f"{', '.join(wrong[:5])} are not named tensors" if wrong else "it is empty"
        raise WeightsError(f"{path} is not a dict of weights: {what}")
    named = {name.removeprefix("module."): value for name, value in state.items()}
    return _finite(path, named)


def _is_plain(value: Any) -> bool:
    """Whether a value is a tensor of numbers that are all there."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not (value.is_quantized or value.is_meta)
    )


def _finite(path: Path, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights.

    Raises:
        WeightsError: one of them has NaN or infinite values.
    """
    wrong = [n for n, t in weights.items() if t.is_floating_point() and not t.isfinite().all()]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise WeightsError(
            f"{path} has NaN or infinite values in {', '.join(wrong[:5])}{more}: the training that "
            "wrote it has diverged; use an earlier checkpoint"
        )
    return weights


def labels_beside(path: str | os.PathLike) -> tuple[str, ...] | None:
    """Class names of the transformers configuration beside a weight file; None = there is none."""
    config = Path(path).parent / "config.json"
    if not config.is_file():
        return None
    try:
        content = json.loads(config.read_text())
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{config} is not JSON: {error}") from error
    labels = content.get("id2label") if isinstance(content, dict) else None
    if not labels:
        return None
    if not isinstance(labels, dict) or not all(str(key).isdecimal() for key in labels):
        raise WeightsError(f"{config}: id2label must map the numbers of the outputs to names")
    names = tuple(labels[key] for key in sorted(labels, key=int))
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise WeightsError(f"{config}: id2label has {wrong[0]!r} in place of a name")
    # transformers writes LABEL_0, LABEL_1, ... where nobody gave names.
    if names[0] == "LABEL_0":
        return None
    known = [name for name in names if name != UNUSED]
    if twice := [name for name, number in Counter(known).items() if number > 1]:
        raise WeightsError(f"{config}: id2label has {twice[0]!r} for more than one output")
    return names
