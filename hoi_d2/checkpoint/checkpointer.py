"""`HOICheckpointer`: weights from a file of any known layout, and the whole state of a run."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from safetensors.torch import save
from torch import Tensor, nn

from hoi_d2.checkpoint.class_names import other_names
from hoi_d2.checkpoint.config_difference import check_config_of, config_differences
from hoi_d2.checkpoint.conversion import DETECTOR_LAYOUTS, recognise_layout
from hoi_d2.checkpoint.errors import (
    CheckpointError,
    CorruptCheckpointError,
    FrozenWeightsError,
    OtherModelError,
    UnreadableFileError,
    WeightsError,
    other_shapes_named,
)
from hoi_d2.checkpoint.strict import load_strictly
from hoi_d2.checkpoint.upt_conversion import check_takes_upt, is_whole_upt
from hoi_d2.checkpoint.weight_files import WeightFile, read_weights
from hoi_d2.protocols import ConvertsWeights, frozen_prefixes, random_parts
from hoi_d2.utils.files import TEMPORARY_SUFFIX, write_atomically

logger = logging.getLogger(__name__)
FINAL = "model_final.pth"
_PERIODIC = re.compile(r"model_(\d{7})\.pth")


class HOICheckpointer(DetectionCheckpointer):
    """detectron2's checkpointer with strict loading, other layouts, and runs that can continue.

    A `Detr` takes Facebook's, UPT's and transformers' weights as well as our own. Where class
    names are known on both sides, outputs are matched by name (91 to 80, HICO's order to COCO's).
    Every other model takes what this project saved of it.

    Of the frozen parts (`model.frozen_prefixes`) a checkpoint holds the hash, because they are
    large and come from a file of their own; a copy where asked, or where they are random and so
    come from nowhere else.

    Attributes:
        random_parts: prefixes of the model's parts that no file has filled (hoi_d2.protocols).

    Args:
        model: may be wrapped in DistributedDataParallel.
        save_dir: of the checkpoints.
        copy_frozen: keep a copy of the frozen parts in each checkpoint.
        keep: how many periodic checkpoints stay; 0 = all.
        save_to_disk: only one process of a run does; None = the first.
        config: of this run, as `CfgNode.dump` writes it; keys that differ in a
            resumed run are logged.
        checkpointables: objects with `state_dict` and `load_state_dict`, saved with the model.

    Examples:
        >>> model = build_model(cfg)
        >>> HOICheckpointer(model).load("detr-r50-e632da11.pth", sha256="e632da11")
        >>> HOICheckpointer(model).load("facebook/detr-resnet-50", revision="no_timm")
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        copy_frozen: bool = False,
        keep: int = 0,
        save_to_disk: bool | None = None,
        config: str = "",
        **checkpointables: Any,
    ) -> None:
        super().__init__(model, save_dir, save_to_disk=save_to_disk, **checkpointables)
        self.frozen_prefixes = frozen_prefixes(self.model)
        self.random_parts = random_parts(self.model)
        self.copy_frozen, self.keep, self.config = copy_frozen, keep, config
        self._resuming, self._source = False, ""

    def save(self, name: str, **kwargs: Any) -> None:
        """Writes `name`.pth with the model, the checkpointables and `kwargs`.

        Raises:
            CheckpointError: it cannot be written.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        weights = self.model.state_dict()
        data: dict[str, Any] = {
            "frozen": frozen_hashes(self.model),
            "random_parts": self.frozen_random_parts(),
        }
        if not (self.copy_frozen or data["random_parts"]):
            weights = {key: value for key, value in weights.items() if not self._is_frozen(key)}
        data["model"] = weights
        if getattr(self.model, "vocabulary", None) is not None:
            data["vocabulary"] = self.model.vocabulary.as_dict()
        data.update({key: value.state_dict() for key, value in self.checkpointables.items()})
        data.update(kwargs)
        path = Path(self.save_dir) / f"{name}.pth"
        try:
            write_atomically(path, lambda file: torch.save(data, file))
        except (OSError, RuntimeError) as error:  # torch's writer makes the latter of a full disk
            reason = error.__context__ if isinstance(error.__context__, OSError) else error
            raise CheckpointError(
                f"{path} could not be written ({reason}). The checkpoints before it are whole: "
                "free some space, then use --resume to continue"
            ) from error
        if path.name == FINAL or _PERIODIC.fullmatch(path.name):
            self.tag_last_checkpoint(path.name)
        logger.info("saved %s", path)
        self._delete_old()

    def save_weights(
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
        if hashes := frozen_hashes(self.model):
            metadata["frozen"] = json.dumps(hashes)
        classes = getattr(self.model, "classes", None)
        if classes is not None:
            metadata["classes"] = json.dumps(classes.outputs)
        vocabulary = getattr(self.model, "vocabulary", None)
        if vocabulary is not None:
            metadata["vocabulary"] = json.dumps(vocabulary.as_dict())
        if cfg is not None:
            metadata["config"] = cfg.dump()
        return metadata

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        path = Path(self.save_dir) / "last_checkpoint"
        write_atomically(path, lambda file: file.write(last_filename_basename.encode()))

    def resumable(self) -> list[Path]:
        """Checkpoints that a run can go on from, the newest first."""
        directory = Path(self.save_dir)
        files = list(directory.iterdir()) if directory.is_dir() else []
        periodic = sorted((p for p in files if _PERIODIC.fullmatch(p.name)), reverse=True)
        final = [p for p in files if p.name == FINAL]
        # A run that was made longer has written periodic ones after its final one.
        final_is_last = Path(self.get_checkpoint_file()).name == FINAL
        return final + periodic if final_is_last else periodic + final

    def has_checkpoint(self) -> bool:
        return bool(self.resumable())

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        """Continues from the newest whole checkpoint, else loads what fits of `path`.

        Where frozen parts are kept by hash, `path` is loaded before, as it was in the first run.

        Returns:
            What the file holds beside the model and the checkpointables.

        Raises:
            CorruptCheckpointError: there are checkpoints, and none of them is whole.
            FrozenWeightsError: the frozen parts are others than those of the checkpoint.
            OtherModelError: its weights do not fit; names the config keys that differ.
        """
        candidates = self.resumable() if resume else []
        state: dict[str, Any] = {}
        if path and (not candidates or self.frozen_prefixes):
            state = self.load(path, checkpointables=[], strict=False)
        if not candidates:
            return state
        self._resuming = True
        for candidate in candidates:
            try:
                return self.load(candidate, strict=False)
            except UnreadableFileError as error:
                logger.error("%s: going back to the checkpoint before it", error)
        raise CorruptCheckpointError(
            f"none of the {len(candidates)} checkpoints in {self.save_dir} is whole; to start "
            "again from the beginning remove them, or leave --resume out"
        )

    def load(
        self,
        path: str | os.PathLike,
        checkpointables: list[str] | None = None,
        *,
        strict: bool = True,
        sha256: str = "",
        revision: str = "",
        classes: str = "",
    ) -> dict[str, Any]:
        """Fills the model, and the checkpointables that the file has.

        Args:
            path: see `read_weights`.
            checkpointables: names of those to fill; None = all.
            strict: every weight must be there and fit, else nothing is changed. False = what fits
                is loaded, and the rest is logged.
            sha256: of the file; its beginning is enough.
            revision: on the hub.
            classes: class space of a detector's outputs ("coco_80", ...), where the file's layout
                does not tell it right.

        Returns:
            What else the file holds (config, vocabulary, iteration, ...), and its `layout`:
            "facebook", "upt", "transformers", "detr", "rmlr", "defr_release", or "" for any other
            model's own.

        Raises:
            FileNotFoundError: no such file, or no network to get it.
            WeightsError: it is damaged, holds more than weights, or does not fit; names the keys.
        """
        file = read_weights(path, sha256=sha256, revision=revision)
        self._source, layout = file.name, recognise_layout(file)
        weights = self._own_weights(file, layout, classes, strict=strict)
        if other := other_names(file.extra.get("vocabulary"), self.model):
            self._object(f"{file.name} {other}", WeightsError if strict else None)
        # Frozen parts that are left out come from a file of their own, which the config names.
        elsewhere = tuple(p for p in self.frozen_prefixes if not _has(weights, p))
        self._check_frozen(file.extra.get("frozen", {}), elsewhere, strict=strict)
        if strict:
            may_miss = (*elsewhere, *getattr(self.model, "training_only", ()))
            load_strictly(self.model, weights, source=file.name, may_miss=may_miss)
            missing = [name for name in self.model.state_dict() if name not in weights]
        else:
            missing = self._load_what_fits(file, weights, elsewhere)
        still_random = [part for part in self.random_parts if _has(missing, part)]
        self.random_parts = sorted({*still_random, *file.extra.get("random_parts", [])})
        logger.info("loaded %d tensors from %s", len(weights), file.name)
        for name in self.checkpointables if checkpointables is None else checkpointables:
            if name in file.extra:
                self.checkpointables[name].load_state_dict(file.extra.pop(name))
        return {**file.extra, "layout": layout}

    def frozen_random_parts(self) -> list[str]:
        """Parts that are random and stay so, because training does not change them."""
        return [part for part in self.random_parts if part and self._is_frozen(part)]

    def _own_weights(
        self, file: WeightFile, layout: str, classes: str, *, strict: bool
    ) -> dict[str, Tensor]:
        """The weights under the model's names."""
        if is_whole_upt(file) and hasattr(self.model, "entity_detector"):
            check_takes_upt(file, self.model)
        elif hasattr(self.model, "entity_detector") and layout in DETECTOR_LAYOUTS:
            raise WeightsError(
                f"{file.name} holds a detector alone (layout: {layout}), not an RmLR checkpoint. "
                "Name it in MODEL.ENTITY_DETECTOR.WEIGHTS; MODEL.WEIGHTS is for a trained RmLR"
            )
        # What a detector's own training saved keeps the heads of that training.
        if isinstance(self.model, ConvertsWeights) and (strict or layout not in ("detr", "")):
            with other_shapes_named(file.name):
                return self.model.convert_weights(file, classes=classes)
        return file.weights

    def _load_what_fits(
        self, file: WeightFile, weights: dict[str, Tensor], elsewhere: tuple[str, ...]
    ) -> list[str]:
        """Loads by detectron2's rules and logs the rest; returns the names that are missing."""
        if not file.extra.get("matching_heuristics"):  # else detectron2 matches the names
            self._check_fits(weights)
            if not self._resuming:
                check_config_of(file, weights, self.model)
        differences = config_differences(file.extra.get("config", ""), self.config)
        for line in differences if self._resuming else ():
            logger.warning("resumed with another config, %s", line)
        names = ("matching_heuristics", "__author__")
        entries = {name: file.extra[name] for name in names if name in file.extra}
        incompatible = self._load_model({**entries, "model": dict(weights)})
        missing = list(incompatible.missing_keys)
        incompatible.missing_keys[:] = [n for n in missing if not n.startswith(elsewhere or "\0")]
        if self._resuming:
            self._check_same_model(incompatible, differences)
        self._log_incompatible_keys(incompatible)
        return missing

    def _check_fits(self, weights: dict[str, Any]) -> None:
        """A file without a single weight of this model is the wrong file."""
        own, kind = self.model.state_dict(), type(self.model).__name__
        if weights and own and not own.keys() & {key.removeprefix("module.") for key in weights}:
            raise WeightsError(
                f"{self._source}: none of its {len(weights)} weights is of this model ({kind}): "
                f"it has {', '.join(sorted(weights)[:3])}, ..., the model "
                f"{', '.join(sorted(own)[:3])}, ..."
            )

    def _check_same_model(self, incompatible: Any, differences: list[str]) -> None:
        """The optimiser's state fits only the very parameters that it was made for."""
        wrong = [name for name, *_ in incompatible.incorrect_shapes]
        wrong += [*incompatible.missing_keys, *incompatible.unexpected_keys]
        wrong = list(dict.fromkeys(wrong))
        if not wrong:
            return
        keys = [line for line in differences if line.startswith("MODEL.")]
        raise OtherModelError(
            f"the checkpoints in {self.save_dir} are of another model: {', '.join(wrong[:3])}"
            f"{', ...' if len(wrong) > 3 else ''} differ. {'; '.join(keys) or 'The config is the '}"
            f"{'' if keys else 'same, so the code has changed'}. Take another OUTPUT_DIR, or the "
            "config of the first run (config.yaml there)"
        )

    def _check_frozen(
        self, hashes: dict[str, str], prefixes: tuple[str, ...], *, strict: bool
    ) -> None:
        """Frozen parts that the file leaves out must be those that it was trained on."""
        weights = self.model.state_dict()
        for prefix in prefixes:
            expected, found = hashes.get(prefix), weights_hash(weights, prefix)
            if expected not in (None, found):
                kind = FrozenWeightsError if self._resuming else WeightsError if strict else None
                self._object(
                    f"{self._source} was trained on top of frozen weights {prefix}* with SHA-256 "
                    f"{expected[:12]}..., the model has {found[:12]}.... Name the same weight file "
                    "in the config; or train with SOLVER.CHECKPOINT_FROZEN True, which keeps a "
                    "copy",
                    kind,
                )

    @staticmethod
    def _object(message: str, kind: type[Exception] | None) -> None:
        """Raises an error of that kind, or logs a warning."""
        if kind is not None:
            raise kind(message)
        logger.warning("%s", message)

    def _delete_old(self) -> None:
        """Removes periodic checkpoints beyond the last `keep`, also those of an earlier process."""
        directory = Path(self.save_dir)
        periodic = sorted(p for p in directory.iterdir() if _PERIODIC.fullmatch(p.name))
        for path in periodic[: -self.keep] if self.keep else ():
            path.unlink(missing_ok=True)
        for path in directory.glob(f"*.pth{TEMPORARY_SUFFIX}"):
            path.unlink(missing_ok=True)

    def _is_frozen(self, key: str) -> bool:
        return any(key.startswith(prefix) for prefix in self.frozen_prefixes)


def _has(names: Iterable[str], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in names)


def frozen_hashes(model: nn.Module) -> dict[str, str]:
    """The hash of each frozen part; one without weights need not be the same and has none."""
    weights = model.state_dict()
    return {
        prefix: weights_hash(weights, prefix)
        for prefix in frozen_prefixes(model)
        if any(key.startswith(prefix) for key in weights)
    }


def weights_hash(weights: dict[str, Tensor], prefix: str = "") -> str:
    """SHA-256 over the names, shapes, types and bytes of the weights that start with `prefix`."""
    digest = hashlib.sha256()
    for name in sorted(name for name in weights if name.startswith(prefix)):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
