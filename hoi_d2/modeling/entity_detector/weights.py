"""Whether the detector's weight file is there, known before anything is built."""

from __future__ import annotations

from pathlib import Path

from detectron2.config import CfgNode

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.hub import is_hub_id
from hoi_d2.checkpoint.page_files import page_path
from hoi_d2.model_zoo import configs_root
from hoi_d2.model_zoo.published import PUBLISHED

KEY = "MODEL.ENTITY_DETECTOR.WEIGHTS"
_STARTS_FROM = {"R50": "detr-r50-e632da11.pth", "R101": "detr-r101-2c7b67e5.pth"}
"""What a fine-tuning on HICO-DET starts from: DETR of COCO, as its authors published it."""


class MissingDetectorError(WeightsError, FileNotFoundError):
    """There is no file with the detector's weights; says which commands make or bring it."""


def missing_weights(cfg: CfgNode) -> str:
    """Why `MODEL.ENTITY_DETECTOR.WEIGHTS` cannot be loaded, and what to do; "" = it is there.

    Only files are looked for: models of the hub and addresses (`hoi_d2://...`) say so themselves.
    """
    name = cfg.MODEL.ENTITY_DETECTOR.WEIGHTS
    if not name or "://" in name or is_hub_id(name) or Path(name).exists():
        return ""
    return f"no weight file {name}, which {KEY} names for the detector. {_remedy(Path(name))}"


def require_weights(cfg: CfgNode) -> None:
    """Refuses a config whose detector would stay random, before anything is built.

    Nothing is done where something else may fill the detector: `MODEL.WEIGHTS`, which can hold a
    copy of it, and `MODEL.ALLOW_RANDOM_WEIGHTS`.

    Raises:
        MissingDetectorError: names the file, and the commands that make or bring it.
    """
    if cfg.MODEL.WEIGHTS or cfg.MODEL.ALLOW_RANDOM_WEIGHTS:
        return
    if reason := missing_weights(cfg):
        raise MissingDetectorError(reason)


def is_default(cfg: CfgNode) -> bool:
    """Whether the weight file is one that a config of `configs/Detr` writes."""
    return _is_written_here(Path(cfg.MODEL.ENTITY_DETECTOR.WEIGHTS))


def _is_written_here(path: Path) -> bool:
    config = configs_root() / "Detr" / f"{path.parent.name}.yaml"
    return path.parts[:2] == ("output", "Detr") and config.is_file()


def _remedy(path: Path) -> str:
    """The commands for a file that a config of `configs/Detr` writes; else where to look."""
    if not _is_written_here(path):
        return "configs/Detr trains detectors, docs/detectors.md lists published ones"
    name = path.parent.name
    lines = [f"Train it:\n{_training(name)}"]
    published = PUBLISHED.get(f"detr-{name.lower().replace('_', '-')}")
    if published is not None and published.page is not None:
        alias = f"detr-{name.lower().replace('_', '-')}"
        lines.append(
            f"or take the one that UPT's authors published:\n    hoi-d2 download {alias}\n"
            f"and add to this command\n    {KEY} {page_path(published.page)}"
        )
    return "\n".join(lines)


def _training(name: str) -> str:
    """`R50_HICO` -> the commands of docs/reproducing.md."""
    backbone, dataset = name.split("_", 1)
    start, lines = _STARTS_FROM.get(backbone, "DETR.pth"), []
    if dataset == "VCOCO":  # a COCO DETR that has not seen V-COCO's test images
        base = f"{backbone}_COCO_for_VCOCO"
        lines.append(_command(base))
        start = f"output/Detr/{base}/model_final.pth"
    return "\n".join([*lines, f"{_command(name)} MODEL.WEIGHTS {start}"])


def _command(name: str) -> str:
    return f"    hoi-d2 train --config-file configs/Detr/{name}.yaml --num-gpus 8"
