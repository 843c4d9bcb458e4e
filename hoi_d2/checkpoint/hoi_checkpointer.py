"""`HOICheckpointer`: the weights of a model, from a file of anybody's layout."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from detectron2.config import CfgNode
from safetensors.torch import save
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from hoi_d2.checkpoint.checkpointer import weights_hash
from hoi_d2.checkpoint.class_names import other_names
from hoi_d2.checkpoint.conversion import DETECTOR_PREFIX, recognise_layout
from hoi_d2.checkpoint.detector_weights import detector_alone
from hoi_d2.checkpoint.strict import load_strictly
from hoi_d2.checkpoint.weight_files import WeightFile, WeightsError, read_weights
from hoi_d2.protocols import ConvertsWeights, frozen_prefixes
from hoi_d2.utils.files import write_atomically

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadReport:
    """What was loaded.

    Attributes:
        source: file, directory or hub id.
        layout: "facebook", "upt", "transformers", "detr", "rmlr", or "" for any other model's own.
        extra: what the file holds beside weights (config, vocabulary, iteration, ...).
    """

    source: str
    layout: str
    extra: dict


class HOICheckpointer:
    """Loads and saves the weights of a model; nothing that does not fit goes unnoticed.

    A `Detr` takes Facebook's, UPT's and transformers' weights as well as our own. Where class
    names are known on both sides, outputs are matched by name (91 to 80, HICO's order to COCO's).
    Every other model takes what this project saved of it.

    Args:
        model: may be wrapped in DistributedDataParallel.

    Examples:
        >>> model = build_model(cfg)
        >>> HOICheckpointer(model).load("detr-r50-e632da11.pth", sha256="e632da11")
        >>> HOICheckpointer(model).load("facebook/detr-resnet-50", revision="no_timm")
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model.module if isinstance(model, DistributedDataParallel) else model

    def load(
        self,
        source: str | os.PathLike,
        *,
        sha256: str = "",
        revision: str = "",
        classes: str = "",
    ) -> LoadReport:
        """Fills the model, or leaves it as it is.

        Args:
            source: file (`.safetensors`, or `.pth` that holds nothing but weights), directory of
                transformers, or hub id.
            sha256: of the file; its beginning is enough.
            revision: on the hub.
            classes: class space of a detector's outputs ("coco_80", ...), where the file's layout
                does not tell it right.

        Raises:
            FileNotFoundError: no such file, or no network to get it.
            WeightsError: it is damaged, holds more than weights, or does not fit; names the keys.
        """
        file = read_weights(source, sha256=sha256, revision=revision)
        if hasattr(self.model, "entity_detector"):
            self._load_two_stage(file)
        else:
            weights, may_miss = file.weights, ()
            if isinstance(self.model, ConvertsWeights):
                weights = self.model.convert_weights(file, classes=classes)
                may_miss = getattr(self.model, "training_only", ())
            load_strictly(self.model, weights, source=file.name, may_miss=may_miss)
        return LoadReport(file.name, recognise_layout(file), file.extra)

    def save(
        self,
        path: str | os.PathLike,
        *,
        cfg: CfgNode | None = None,
        without: tuple[str, ...] = (),
    ) -> Path:
        """Writes the weights as safetensors, with what is needed to read them in the metadata.

        Args:
            path: ends in `.safetensors`.
            cfg: goes into the file as text.
            without: prefixes of weights that are left out (a training's own heads).

        Raises:
            ValueError: another ending.
        """
        path = Path(path)
        if path.suffix != ".safetensors":
            raise ValueError(f"{path}: weights are saved as .safetensors")
        weights = self.model.state_dict()
        kept = {
            n: t.detach().cpu().contiguous().clone()
            for n, t in weights.items()
            if not n.startswith(without or ("\0",))
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        data = save(kept, metadata=self._metadata(cfg))
        write_atomically(path, lambda file: file.write(data))
        return path

    def _metadata(self, cfg: CfgNode | None) -> dict[str, str]:
        metadata = {"format": "pt", "hoi_d2": type(self.model).__name__}
        if prefixes := frozen_prefixes(self.model):
            weights = self.model.state_dict()
            metadata["frozen"] = json.dumps({p: weights_hash(weights, p) for p in prefixes})
        classes = getattr(self.model, "classes", None)
        if classes is not None:
            metadata["classes"] = json.dumps(classes.outputs)
        vocabulary = getattr(self.model, "vocabulary", None)
        if vocabulary is not None:
            metadata["vocabulary"] = json.dumps(vocabulary.as_dict())
        if cfg is not None:
            metadata["config"] = cfg.dump()
        return metadata

    def _load_two_stage(self, file: WeightFile) -> None:
        layout = recognise_layout(file)
        if layout not in ("rmlr", ""):
            raise detector_alone(file.name, layout)
        if other := other_names(file.extra.get("vocabulary"), self.model):
            raise WeightsError(f"{file.name} {other}")
        has_detector = any(name.startswith(DETECTOR_PREFIX) for name in file.weights)
        if not has_detector:
            self._check_detector(file)
        may_miss = () if has_detector else (DETECTOR_PREFIX,)
        load_strictly(self.model, file.weights, source=file.name, may_miss=may_miss)

    def _check_detector(self, file: WeightFile) -> None:
        """The checkpoint keeps its frozen detector by hash: the model must have the same one."""
        expected = file.extra.get("frozen", {}).get(DETECTOR_PREFIX.rstrip("."))
        found = weights_hash(self.model.state_dict(), DETECTOR_PREFIX.rstrip("."))
        if expected is not None and found != expected:
            raise WeightsError(
                f"{file.name} was trained on a detector with SHA-256 {expected[:12]}..., the model "
                f"has {found[:12]}.... Name the same file in MODEL.ENTITY_DETECTOR.WEIGHTS"
            )
        if expected is None and self.model.entity_detector.is_random:
            raise WeightsError(
                f"{file.name} holds no entity detector, and the model's is random. Name the "
                "detector's file in MODEL.ENTITY_DETECTOR.WEIGHTS"
            )
