"""Checkpoints that hold the whole state of a run and survive being cut off while written."""

from __future__ import annotations

import hashlib
import logging
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from hoi_d2.checkpoint.class_names import other_names
from hoi_d2.checkpoint.config_difference import config_differences
from hoi_d2.checkpoint.detector_weights import as_own_checkpoint
from hoi_d2.checkpoint.files import TEMPORARY_SUFFIX, write_atomically
from hoi_d2.checkpoint.weight_files import WeightsError, metadata_of, only_file
from hoi_d2.checkpoint.zoo_weights import zoo_checkpoint
from hoi_d2.protocols import frozen_prefixes, random_parts

logger = logging.getLogger(__name__)
FINAL = "model_final.pth"
_PERIODIC = re.compile(r"model_(\d{7})\.pth")


class CheckpointError(RuntimeError):
    """A checkpoint that a run cannot go on from; says why, and what to do."""


class CorruptCheckpointError(CheckpointError):
    """A checkpoint file that is cut off or changed."""


class FrozenWeightsError(CheckpointError):
    """The frozen weights are not those that the checkpoint was trained on."""


class OtherModelError(CheckpointError):
    """The checkpoint is of a model with other parts or widths."""


class TrainingCheckpointer(DetectionCheckpointer):
    """detectron2's checkpointer with atomic writes, frozen parts by hash, and a way back.

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
        config: of this run, as `CfgNode.dump` writes it; what a resumed run has otherwise is named.
        checkpointables: objects with `state_dict` and `load_state_dict`, saved with the model.
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
            # a detector without weights is no part that has to be the same
            "frozen": {
                prefix: weights_hash(weights, prefix)
                for prefix in self.frozen_prefixes
                if any(key.startswith(prefix) for key in weights)
            },
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
                "free some space, and go on with --resume"
            ) from error
        if path.name == FINAL or _PERIODIC.fullmatch(path.name):
            self.tag_last_checkpoint(path.name)
        logger.info("saved %s", path)
        self._delete_old()

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
        """Goes on from the newest whole checkpoint, else loads weights from `path`.

        Where frozen parts are kept by hash, `path` is loaded before, as it was in the first run.

        Returns:
            What the file holds beside the model and the checkpointables.

        Raises:
            CorruptCheckpointError: there are checkpoints, and none of them is whole.
            FrozenWeightsError: the frozen parts are others than those of the checkpoint.
            OtherModelError: its weights do not fit; names the config keys that differ.
        """
        candidates = self.resumable() if resume else []
        if not candidates or (path and self.frozen_prefixes):
            state = self.load(path, checkpointables=[])
        if not candidates:
            return state
        self._resuming = True
        for candidate in candidates:
            try:
                return self.load(str(candidate))
            except CorruptCheckpointError as error:
                logger.error("%s: going back to the checkpoint before it", error)
        raise CorruptCheckpointError(
            f"none of the {len(candidates)} checkpoints in {self.save_dir} is whole; to start "
            "again from the beginning remove them, or leave --resume out"
        )

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict[str, Any]:
        """detectron2's, also from a directory of transformers or a hub id.

        Raises:
            FileNotFoundError: nothing of that name.
            WeightsError: it holds no weight of this model.
        """
        self._source = path
        if path and "://" not in path and not Path(path).is_file():
            path = str(only_file(path))
        return super().load(path, checkpointables=checkpointables)

    def frozen_random_parts(self) -> list[str]:
        """Parts that are random and stay so, because training does not change them."""
        return [part for part in self.random_parts if part and self._is_frozen(part)]

    def _load_file(self, filename: str) -> dict[str, Any]:
        """Reads a file without running code that it may hold; a `.pth` with its checksums.

        Raises:
            CorruptCheckpointError: it is cut off or a byte has changed.
            WeightsError: it holds something else.
        """
        if filename.endswith(".pkl"):
            return zoo_checkpoint(filename)
        try:
            if filename.endswith(".safetensors"):
                with safe_open(filename, "pt") as file:
                    beside = metadata_of(file)
                data: dict[str, Any] = {"model": load_file(filename)}
                data |= {name: beside[name] for name in ("frozen", "vocabulary") if name in beside}
                return as_own_checkpoint(self.model, filename, data)
            # torch.load does not check the sums that torch.save writes.
            if zipfile.is_zipfile(filename) and (broken := zipfile.ZipFile(filename).testzip()):
                raise CorruptCheckpointError(f"{filename} is damaged in {broken}")
            data = torch.load(filename, map_location="cpu", weights_only=True)
        except CorruptCheckpointError:
            raise
        except WeightsError:
            raise
        except (RuntimeError, EOFError, OSError, SafetensorError, zipfile.BadZipFile) as error:
            reason = str(error).split(". ")[0]
            raise CorruptCheckpointError(f"{filename} cannot be read: {reason}") from error
        except pickle.UnpicklingError as error:
            code = re.search(r"GLOBAL (\S+)", str(error))
            raise CorruptCheckpointError(
                f"{filename} is damaged, or holds more than weights"
                f"{f' ({code[1]})' if code else ''}: it is not loaded"
            ) from error
        if not isinstance(data, dict):
            raise WeightsError(f"{filename} holds a {type(data).__name__}, not a dict of weights")
        return as_own_checkpoint(self.model, filename, data)

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        held = set(checkpoint["model"])
        if not checkpoint.get("matching_heuristics"):  # else names are matched further down
            self._check_fits(checkpoint["model"])
        if other := other_names(checkpoint.get("vocabulary"), self.model):
            logger.warning("%s %s", self._source, other)
        differences = config_differences(checkpoint.get("config", ""), self.config)
        for line in differences if self._resuming else ():
            logger.warning("resumed with another config, %s", line)
        incompatible = super()._load_model(checkpoint)
        missing = incompatible.missing_keys
        still_random = [p for p in self.random_parts if any(key.startswith(p) for key in missing)]
        self.random_parts = sorted({*still_random, *checkpoint.get("random_parts", [])})
        # Frozen parts that are left out come from a file of their own, which the config names.
        elsewhere = [p for p in self.frozen_prefixes if not any(key.startswith(p) for key in held)]
        hashes = checkpoint.get("frozen", {})
        self._check_frozen({prefix: hashes[prefix] for prefix in elsewhere if prefix in hashes})
        for prefix in elsewhere:
            if prefix in self.random_parts and held:
                logger.warning("%s holds no %s: its weights stay random", self._source, prefix)
        missing[:] = [key for key in missing if not key.startswith((*elsewhere, "\0"))]
        if self._resuming:
            self._check_same_model(incompatible, differences)
        return incompatible

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

    def _check_frozen(self, hashes: dict[str, str]) -> None:
        weights = self.model.state_dict()
        for prefix, expected in hashes.items():
            found = weights_hash(weights, prefix)
            if found == expected:
                continue
            message = (
                f"the checkpoint was trained on top of frozen weights {prefix}* with SHA-256 "
                f"{expected[:12]}..., the model has {found[:12]}.... Name the same weight file in "
                "the config; or train with SOLVER.CHECKPOINT_FROZEN True, which keeps a copy"
            )
            if self._resuming:
                raise FrozenWeightsError(message)
            logger.warning("%s. Scores will not be those of the training", message)

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


def weights_hash(weights: dict[str, Tensor], prefix: str = "") -> str:
    """SHA-256 over the names, shapes, types and bytes of the weights that start with `prefix`."""
    digest = hashlib.sha256()
    for name in sorted(name for name in weights if name.startswith(prefix)):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
