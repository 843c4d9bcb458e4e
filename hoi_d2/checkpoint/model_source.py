"""From the one string that names a model to its config, with its weights in `MODEL.WEIGHTS`.

`hoi_d2.get_model`, `HOIPredictor` and `--model` of every command come here.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from hoi_d2.checkpoint.checkpointer import FINAL
from hoi_d2.checkpoint.conversion import DEFR_RELEASE, recognise_layout
from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.file_entries import file_entry
from hoi_d2.checkpoint.hub import hub_folder
from hoi_d2.checkpoint.hub_download import HubError, MissingFilesError
from hoi_d2.checkpoint.upt_conversion import is_whole_upt
from hoi_d2.checkpoint.weight_files import local_files, read_weights
from hoi_d2.config.load import load_config
from hoi_d2.config.saved import load_saved_config
from hoi_d2.model_zoo import (
    ALIASES,
    config_file,
    configs_root,
    full_name,
    model_name,
    model_names,
    pretrained_weights,
    register_path_handler,
    short_names,
)
from hoi_d2.model_zoo.published import HubModel
from hoi_d2.utils.user_errors import UserError

CONFIG, WEIGHTS = "config.yaml", "MODEL.WEIGHTS"
PUBLISHED = "model.safetensors"
"""Weights of a folder or of a model on the hub, where there is no `model_final.pth`."""
_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")
_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
_EVALUATED = "output/eval"
_OUR_LAYOUTS = ("", "rmlr")


class UnknownModelError(UserError, KeyError):
    """A name that is no model; the message has similar names."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError shows its message in quotes


def model_config(
    model: str | os.PathLike, options: Sequence[Any] = (), *, pretrained: bool = True
) -> CfgNode:
    """The config of a model, not frozen.

    A model is named by the first of these that is there:

    - a checkpoint (`.pth`, `.safetensors`) that holds its config, or has `config.yaml` beside it;
    - a folder with `config.yaml` and `model_final.pth` (OUTPUT_DIR of a run) or
      `model.safetensors`;
    - a config (`.yaml`), a file or one that comes with the package;
    - a name of the zoo: `photo`, `toy/rmlr`, `RmLR/R50`;
    - a model of the Hugging Face hub, `organisation/name` or `organisation/name@revision`, whose
      files are those of such a folder.

    Args:
        model: its name.
        options: KEY, VALUE, ... overrides of its config.
        pretrained: a config gets the weights that come with the package for it, where neither it
            nor the options name others.

    Raises:
        UnknownModelError: there is none of that name.
        WeightsError: a file without a config, or a folder without weights.
        ConfigError: the config is not valid.
    """
    register_path_handler()
    name, path = os.fspath(model), Path(model)
    if not name:
        raise UnknownModelError(f"no model is named. {_advice(name)}")
    if "://" in name or (path.suffix in _SUFFIXES and path.is_file()):
        return _with_file(name, options)
    if _holds_model(path):
        return _with_folder(path, options, source=name)
    if config := _zoo_config(name):
        return config_with_weights(config, options, pretrained=pretrained)
    if path.suffix in _SUFFIXES:
        raise UnknownModelError(f"no file {name}")
    if path.is_dir():
        raise WeightsError(f"{name} is not the folder of a model: {_lacking(path)}")
    found = _HUB_ID.fullmatch(name)
    if found and not (configs_root() / found[1].split("/")[0]).is_dir():
        return _with_hub(found[1], found[2], options)
    raise UnknownModelError(f"no model {name!r}. {_advice(name)}")


def title_of(model: str | os.PathLike) -> str:
    """A model's name for people: in full where it is one of the zoo, else as it was given."""
    name = os.fspath(model)
    config = _zoo_config(name)
    return (model_name(config_file(config)) if config else "") or name


def config_with_weights(
    config: str, options: Sequence[Any] = (), *, pretrained: bool = True
) -> CfgNode:
    """A config (`.yaml`), not frozen; arguments as of `model_config`."""
    cfg = load_config(config, options)
    if pretrained and not cfg.MODEL.WEIGHTS:
        cfg.MODEL.WEIGHTS = pretrained_weights(model_name(config_file(config))) or ""
    return cfg


def _with_file(name: str, options: Sequence[Any]) -> CfgNode:
    """The config in a checkpoint, else the one beside it."""
    file = local_files(name)[0]
    if text := _saved_config(file):
        cfg = load_saved_config(text, options, source=name)
        return _set(cfg, options, weights=name, output=f"{_EVALUATED}/{file.stem}")
    if (beside := file.parent / CONFIG).is_file():
        cfg = load_config(str(beside), options)
        return _set(cfg, options, weights=name, output=str(file.parent / "eval"))
    raise WeightsError(f"{name} holds no config, and there is no {CONFIG} beside it. {_what(file)}")


def _with_folder(
    folder: Path, options: Sequence[Any], *, source: str, is_own: bool = True
) -> CfgNode:
    """The config of a folder, else the one in its weights; of a stranger it imports nothing."""
    files = [folder / name for name in (FINAL, PUBLISHED) if (folder / name).is_file()]
    if not files and WEIGHTS not in options:
        raise WeightsError(f"{source} is not the folder of a model: {_lacking(folder)}")
    if not (folder / CONFIG).is_file():
        return _with_file(str(files[0]), options) if files else _no_config(source)
    if is_own:
        cfg, output = load_config(str(folder / CONFIG), options), str(folder / "eval")
    else:
        text = (folder / CONFIG).read_text(encoding="utf-8", errors="replace")
        cfg = load_saved_config(text, options, source=f"{source}, {CONFIG}")
        output = f"{_EVALUATED}/{source.split('/')[-1]}"
    return _set(cfg, options, weights=str(files[0]) if files else "", output=output)


def _with_hub(hub_id: str, revision: str | None, options: Sequence[Any]) -> CfgNode:
    try:
        folder = hub_folder(HubModel(hub_id, revision or "", "run"))
    except (MissingFilesError, HubError) as error:
        raise UnknownModelError(
            f"{hub_id!r} is no file, folder or model of the zoo, and as a model of the Hugging "
            f"Face hub {f'(revision {revision}) ' if revision else ''}it is not available: "
            f"{error}. {_advice(hub_id)}"
        ) from error
    return _with_folder(folder, options, source=hub_id, is_own=False)


def _set(cfg: CfgNode, options: Sequence[Any], *, weights: str, output: str) -> CfgNode:
    """Names weights and output of the model, where the user has named no others.

    A config of a run names the weights that it began with, and evaluating would write into the
    folder of the run.
    """
    for key, value in ((WEIGHTS, weights), ("OUTPUT_DIR", output)):
        if key not in options:
            cfg.merge_from_list([key, value])
    return cfg


def _saved_config(file: Path) -> str:
    """The config in a checkpoint; "" = none (other projects have an entry of that name too)."""
    text = file_entry(file, "config")
    is_config = isinstance(text, str) and re.search(r"^MODEL:", text, re.MULTILINE)
    return text if is_config else ""


def _zoo_config(name: str) -> str:
    """The config file that a name stands for; "" = none."""
    if name.endswith((".yaml", ".yml")):
        packaged = configs_root() / name.removeprefix("configs/")
        return name if Path(name).is_file() or packaged.is_file() else ""
    known = full_name(name)
    return f"{known}.yaml" if known in model_names() else ""


def _holds_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (CONFIG, FINAL, PUBLISHED))


def _lacking(folder: Path) -> str:
    # A model on the hub without one of the files that are asked for leaves no folder.
    files = folder.iterdir() if folder.is_dir() else ()
    others = sorted(p.name for p in files if p.suffix in _SUFFIXES)
    named = f". It holds {', '.join(others)}: name one of these" if others else ""
    return f"it has no {FINAL} and no {PUBLISHED}{named}"


def _no_config(source: str) -> CfgNode:
    raise WeightsError(f"{source} is not the folder of a model: it has no {CONFIG}")


def _what(file: Path) -> str:
    """What a file without a config is, and how to use it."""
    content = read_weights(file)
    layout = recognise_layout(content)
    if is_whole_upt(content):
        which = " (a UPT: configs/UPT/upt_R50_hico_det.yaml or one beside it)"
    elif layout == DEFR_RELEASE:
        which = " (DEFR's release: configs/DEFR-Det/ViT-B-16.yaml or one beside it)"
    elif layout not in _OUR_LAYOUTS:
        return (
            f"It holds a detector alone (layout: {layout}): name it in "
            "MODEL.ENTITY_DETECTOR.WEIGHTS of a model, such as photo/photo_detr_r50.yaml"
        )
    else:
        which = ""
    return f"Name the config of its model{which}, and the file in {WEIGHTS}"


def _advice(name: str) -> str:
    """Similar names, and those of the same folder."""
    asked, names = name.lower().removesuffix(".yaml"), model_names()
    known = {n.split("/")[-1].lower(): n for n in (*short_names(), *names)}
    known |= {n.lower(): n for n in (*short_names(), *names, *ALIASES)}
    near = difflib.get_close_matches(asked, known, n=3, cutoff=0.7)
    hint = f"Did you mean {' or '.join(dict.fromkeys(known[n] for n in near))}? " if near else ""
    folder = name.split("/")[0]
    beside = [n for n in names if n.startswith(f"{folder}/")] if "/" in name else []
    if hint and not beside:
        return hint.rstrip()
    if beside:
        return f"{hint}{folder} has {', '.join(beside)}"
    return (
        "A model is a checkpoint file, the folder of a run, organisation/name of the hub, or a "
        "name of the zoo such as photo, toy/rmlr or RmLR/R50 (all: MODEL_ZOO.md)"
    )
