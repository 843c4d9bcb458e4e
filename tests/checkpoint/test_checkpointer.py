"""Checkpoint files: whole or not there, damage noticed, the last K, frozen parts by hash."""

import copy
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import hoi_d2  # noqa: F401  prepares detectron2
from hoi_d2.checkpoint.checkpointer import HOICheckpointer, weights_hash
from hoi_d2.checkpoint.errors import (
    CorruptCheckpointError,
    FrozenWeightsError,
    UnreadableFileError,
)
from hoi_d2.checkpoint.weight_files import read_weights
from hoi_d2.commands.strip_checkpoint import strip
from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.utils.files import write_atomically


class Model(nn.Module):
    frozen_prefixes = ("detector.",)

    def __init__(self, random: tuple[str, ...] = ("head.",)) -> None:
        super().__init__()
        self.detector, self.head, self.random = nn.Linear(3, 3), nn.Linear(3, 2), random

    def random_weights(self) -> list[str]:
        return list(self.random)


class Counter:
    """A checkpointable."""

    def __init__(self) -> None:
        self.value = 0

    def state_dict(self) -> dict:
        return {"value": self.value}

    def load_state_dict(self, state: dict) -> None:
        self.value = state["value"]


def save(directory: Path, model: nn.Module, *names: str, **options) -> HOICheckpointer:
    counter = Counter()
    checkpointer = HOICheckpointer(model, str(directory), counter=counter, **options)
    for counter.value, name in enumerate(names):
        checkpointer.save(name, iteration=counter.value)
    return checkpointer


def same(left: nn.Module, right: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left.parameters(), right.parameters()))


def like(model: Model) -> Model:
    """Another model with the same detector."""
    other = Model()
    other.detector.load_state_dict(model.detector.state_dict())
    return other


def names(directory: Path) -> list[str]:
    return sorted(p.name for p in directory.iterdir())


def test_goes_on_from_the_newest(tmp_path):
    model = Model()
    save(tmp_path, model, "model_0000001", "model_0000002")
    other, counter = like(model), Counter()
    checkpointer = HOICheckpointer(other, str(tmp_path), counter=counter)
    assert checkpointer.resume_or_load("", resume=True)["iteration"] == 1
    assert same(model, other) and counter.value == 1


@pytest.mark.parametrize("resume", [False, True])
def test_an_empty_directory_is_a_fresh_start(tmp_path, resume):
    checkpointer = HOICheckpointer(Model(), str(tmp_path / "none"))
    assert not checkpointer.has_checkpoint()
    assert checkpointer.resume_or_load("", resume=resume) == {}
    assert checkpointer.random_parts == ["head."]


@pytest.mark.parametrize("keep, expected", [(0, 4), (1, 1), (3, 3), (9, 4)])
def test_the_last_k_stay_and_best_and_final_always(tmp_path, keep, expected):
    periodic = [f"model_{i:07d}" for i in range(4)]
    save(tmp_path, Model(), "model_best", *periodic, "model_final", keep=keep)
    kept = [name for name in names(tmp_path) if name.startswith("model_0")]
    assert kept == [f"{name}.pth" for name in periodic[-expected:]]
    assert {"model_best.pth", "model_final.pth"} <= set(names(tmp_path))


def test_checkpoints_of_an_earlier_process_count(tmp_path):
    save(tmp_path, Model(), "model_0000001", "model_0000002", keep=2)
    save(tmp_path, Model(), "model_0000003", keep=2)
    assert "model_0000001.pth" not in names(tmp_path)


WEIGHT = torch.arange(600.0).reshape(2, 300)


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    middle = content.index(WEIGHT.numpy().tobytes()) + 100
    changed = {
        "empty": b"",
        "cut": content[:middle],
        "short by a byte": content[:-1],
        "one bit": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "other file": b"<html>not found</html>",
    }
    path.write_bytes(changed[how])


@pytest.mark.parametrize("how", ["empty", "cut", "short by a byte", "one bit", "other file"])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_taken(tmp_path, caplog, how):
    model = Model()
    model.head.weight.data = WEIGHT
    save(tmp_path, model, "model_0000001", "model_0000002")
    damage(tmp_path / "model_0000002.pth", how)
    other = like(model)
    other.head.weight.data = torch.zeros(2, 300)
    checkpointer = HOICheckpointer(other, str(tmp_path))
    assert checkpointer.resume_or_load("", resume=True)["iteration"] == 0
    assert same(model, other)
    assert "model_0000002.pth" in caplog.text and "going back" in caplog.text


def test_nothing_whole_is_an_error_not_a_fresh_start(tmp_path):
    model = Model()
    model.head.weight.data = WEIGHT
    save(tmp_path, model, "model_0000001")
    damage(tmp_path / "model_0000001.pth", "cut")
    with pytest.raises(CorruptCheckpointError, match="none of the 1 checkpoints"):
        HOICheckpointer(Model(), str(tmp_path)).resume_or_load("", resume=True)


def test_a_lost_pointer_does_not_matter(tmp_path):
    model = Model()
    save(tmp_path, model, "model_0000001", "model_0000002", "model_best")
    (tmp_path / "last_checkpoint").write_text("gone.pth")
    checkpointer = HOICheckpointer(like(model), str(tmp_path))
    assert checkpointer.resume_or_load("", resume=True)["iteration"] == 1


def test_code_in_a_file_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"model": {}, "x": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(UnreadableFileError, match="more than weights"):
        HOICheckpointer(Model()).load(str(tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()


def test_frozen_parts_are_kept_by_hash(tmp_path):
    model = Model()
    save(tmp_path, model, "model_0000001")
    state = torch.load(tmp_path / "model_0000001.pth", weights_only=True)
    assert sorted(state["model"]) == ["head.bias", "head.weight"]
    assert state["frozen"] == {"detector.": weights_hash(model.state_dict(), "detector.")}


def test_other_frozen_weights_are_refused_when_resuming_and_named_else(tmp_path, caplog):
    save(tmp_path, Model(), "model_0000001")
    with pytest.raises(FrozenWeightsError, match=r"detector.*CHECKPOINT_FROZEN"):
        HOICheckpointer(Model(), str(tmp_path)).resume_or_load("", resume=True)
    HOICheckpointer(Model()).load(tmp_path / "model_0000001.pth", strict=False)
    assert "trained on top of frozen weights" in caplog.text


@pytest.mark.parametrize(
    ("verbs", "said"),
    [(None, ""), (("hold", "ride"), ""), (("ride", "hold"), "other verbs"), (("hold",), "other")],
)
@pytest.mark.parametrize("stripped", [False, True])
def test_weights_for_other_classes_are_named(tmp_path, caplog, verbs, said, stripped):
    def words(names: tuple[str, ...]) -> Vocabulary:
        pairs = [(1, verb) for verb in range(len(names))]
        return Vocabulary.from_hois("mine", ("person", "bicycle"), names, pairs)

    model = Model()
    if verbs is not None:
        model.vocabulary = words(verbs)
    save(tmp_path, model, "model_final")
    file = tmp_path / "model_final.pth"
    if stripped:
        file = tmp_path / "small.safetensors"
        strip(tmp_path / "model_final.pth", file)
    model.vocabulary = words(("hold", "ride"))
    HOICheckpointer(model).load(file, strict=False)
    assert said in caplog.text if said else "trained for other" not in caplog.text


@pytest.mark.parametrize("keeps_detector", [True, False])
def test_a_stripped_file_knows_its_frozen_weights(tmp_path, caplog, keeps_detector):
    model = Model()
    save(tmp_path, model, "model_final")
    strip(tmp_path / "model_final.pth", tmp_path / "small.safetensors", dtype=torch.float32)
    other = copy.deepcopy(model) if keeps_detector else Model()
    HOICheckpointer(other).load(tmp_path / "small.safetensors", strict=False)
    assert ("trained on top of frozen weights" in caplog.text) == (not keeps_detector)
    assert same(model.head, other.head)


@pytest.mark.parametrize(
    "options, random", [({"copy_frozen": True}, ("head.",)), ({}, ("head.", "detector."))]
)
def test_frozen_parts_are_copied_where_asked_or_random(tmp_path, options, random):
    model = Model(random)
    save(tmp_path, model, "model_0000001", **options)
    other = Model(random)
    checkpointer = HOICheckpointer(other, str(tmp_path), **options)
    checkpointer.resume_or_load("", resume=True)
    assert same(model, other)
    checkpointer.save("model_0000002")  # and again from the resumed run
    third = Model(random)
    HOICheckpointer(third, str(tmp_path)).resume_or_load("", resume=True)
    assert same(model, third)
    assert checkpointer.random_parts == (["detector."] if "detector." in random else [])


def test_frozen_parts_that_came_with_model_weights_come_again(tmp_path):
    model = Model()
    torch.save(model.state_dict(), tmp_path / "start.pth")
    save(tmp_path, model, "model_0000001")
    other = Model()
    checkpointer = HOICheckpointer(other, str(tmp_path))
    checkpointer.resume_or_load(str(tmp_path / "start.pth"), resume=True)
    assert same(model, other)


@pytest.mark.parametrize(
    "held, random",
    [
        (["detector.bias"], ["head."]),
        (["head.weight"], ["head."]),
        (["head.weight", "head.bias"], []),
    ],
)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_parts_that_a_file_fills_are_not_random(tmp_path, held, random, suffix):
    weights = {k: v for k, v in Model().state_dict().items() if k in held}
    path = str(tmp_path / f"some.{suffix}")
    save_file(weights, path) if suffix == "safetensors" else torch.save(weights, path)
    checkpointer = HOICheckpointer(Model())
    checkpointer.load(path, strict=False)
    assert checkpointer.random_parts == random


def test_weights_hash_sees_names_shapes_and_bits():
    weight = torch.arange(6.0)
    base = weights_hash({"a.x": weight, "b": weight}, "a.")
    assert base == weights_hash({"a.x": weight.clone()})
    others = [{"a.y": weight}, {"a.x": weight.reshape(2, 3)}, {"a.x": -weight}, {}]
    assert base not in [weights_hash(other) for other in others]


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, lambda file: file.write(b"old"))

    def fail(file) -> None:
        file.write(b"new")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old" and names(tmp_path) == ["file"]


def test_a_frozen_part_without_weights_has_no_hash(tmp_path):
    """In both kinds of file: a detector of annotated boxes may be replaced by a real one."""

    class Boxes(torch.nn.Module):
        frozen_prefixes = ("detector",)

        def __init__(self) -> None:
            super().__init__()
            self.detector, self.head = torch.nn.Identity(), torch.nn.Linear(2, 2)

    HOICheckpointer(Boxes(), str(tmp_path)).save("model")
    path = HOICheckpointer(Boxes()).save_weights(tmp_path / "model.safetensors")
    for file in (tmp_path / "model.pth", path):
        assert not read_weights(file).extra.get("frozen")
