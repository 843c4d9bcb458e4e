"""Which images a run reads and how they are cut into shards; fixed when the run begins."""

from __future__ import annotations

import json
import os
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from hoi_d2.data.find_images import number_in
from hoi_d2.evaluation.prediction_table import SUFFIX
from hoi_d2.inference.bulk.sources import Entry, InputError, list_images
from hoi_d2.utils.files import write_atomically, write_json
from hoi_d2.utils.user_errors import UserError

PLAN, IMAGES, SHARDS = "plan.json", "images.jsonl", "shards"


class PlanError(UserError, ValueError):
    """A folder holds another run, a damaged one or none; says what to do."""


@dataclass(frozen=True)
class Item:
    """An image of a shard.

    Args:
        shard: number of the shard.
        image_id: in the results.
        entry: where it lies.
    """

    shard: int
    image_id: int
    entry: Entry


@dataclass(frozen=True)
class Plan:
    """The images of a run; small, whatever their number.

    Args:
        folder: of the run.
        images: their number.
        shard_size: images of a shard; the last one may have fewer.
        offsets: where each shard begins in `images.jsonl`, in bytes.
        ids_from_names: image ids are the numbers in the file names, else positions from 1.
        settings: what decides about the results; a run goes on with the same alone.
        left_out: reason -> number of files that were not taken for images.
    """

    folder: Path
    images: int
    shard_size: int
    offsets: tuple[int, ...]
    ids_from_names: bool
    settings: Mapping[str, Any]
    left_out: Mapping[str, int]

    def shard_file(self, shard: int) -> Path:
        """The file of a shard; it exists once the shard is finished."""
        return self.folder / SHARDS / f"{shard:06d}{SUFFIX}"

    def size_of(self, shard: int) -> int:
        """Number of images of a shard."""
        return min(self.shard_size, self.images - shard * self.shard_size)

    def waiting(self) -> list[int]:
        """The shards that are not finished."""
        done = set(os.listdir(self.folder / SHARDS))
        return [n for n in range(len(self.offsets)) if self.shard_file(n).name not in done]

    def items(self, shard: int) -> Iterator[Item]:
        """The images of a shard, in order."""
        with (self.folder / IMAGES).open("rb") as lines:
            lines.seek(self.offsets[shard])
            for index in range(self.size_of(shard)):
                entry = Entry(*json.loads(lines.readline()))
                position = shard * self.shard_size + index + 1
                number = number_in(entry.file) if self.ids_from_names else position
                yield Item(shard, number, entry)


def open_plan(
    folder: Path, inputs: Sequence[str], settings: Mapping[str, Any], *, shard_size: int
) -> Plan:
    """Lists the images, or takes the list of a run that is to go on.

    Args:
        folder: of the run; it exists.
        inputs: as `list_images` takes them.
        settings: of the model.
        shard_size: images of a shard.

    Raises:
        PlanError: the folder holds a run of other inputs or settings.
        InputError, FileNotFoundError: an input cannot be listed.
    """
    settings = {"inputs": inputs, "shard_size": shard_size, **settings}
    settings = json.loads(json.dumps(settings))  # as reading gives them back
    if (folder / PLAN).is_file():
        plan = read_plan(folder)
        other = [name for name in settings if plan.settings.get(name) != settings[name]]
        if other:
            raise PlanError(
                f"--output {folder} holds a run with another {', '.join(other)} "
                f"({plan.settings.get(other[0])}, now {settings[other[0]]}); repeat its command, "
                "or choose another --output"
            )
        return plan
    (folder / SHARDS).mkdir(exist_ok=True)
    if os.listdir(folder / SHARDS):
        raise PlanError(
            f"--output {folder / SHARDS} holds files, but {folder / PLAN} is missing; choose "
            "another --output"
        )
    return _make_plan(folder, inputs, settings, shard_size)


def read_plan(folder: Path) -> Plan:
    """The plan of a run.

    Raises:
        PlanError: there is none, or it is damaged.
    """
    try:
        content = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        return Plan(folder, **{**content, "offsets": tuple(content["offsets"])})
    except FileNotFoundError as error:
        raise PlanError(f"{folder} holds no run of hoi-d2 predict ({PLAN} is missing)") from error
    except (ValueError, KeyError, TypeError) as error:
        raise PlanError(f"{folder / PLAN} is damaged ({error}); choose another --output") from error


def _make_plan(
    folder: Path, inputs: Sequence[str], settings: Mapping[str, Any], shard_size: int
) -> Plan:
    left_out: Counter[str] = Counter()
    numbers, offsets = array("q"), array("q")

    def write(file: IO[bytes]) -> None:
        position = 0
        for entry in list_images(inputs, left_out):
            if len(numbers) % shard_size == 0:
                offsets.append(position)
            numbers.append(number_in(entry.file))
            fields = [entry.file, entry.archive, entry.offset, entry.size]
            line = json.dumps(fields if entry.archive else fields[:1]) + "\n"
            position += file.write(line.encode())

    write_atomically(folder / IMAGES, write)
    if not numbers:
        raise InputError("--input: no images")
    ids = np.frombuffer(numbers, dtype=np.int64)
    unique = bool(ids.min() >= 0) and len(np.unique(ids)) == len(ids)
    plan = Plan(folder, len(ids), shard_size, tuple(offsets), unique, settings, left_out)
    # Last: a folder with a plan has everything that the plan names.
    write_json(folder / PLAN, {k: v for k, v in vars(plan).items() if k != "folder"})
    return plan
