"""What does not fit, is damaged or could run code is refused, and the message says what and why."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from hoi_d2.checkpoint import HOICheckpointer, WeightsError
from hoi_d2.checkpoint.checkpointer import weights_hash
from tests.checkpoint.published_detr import published_detr
from tests.checkpoint.small_models import small_model

COCO_91 = ("MODEL.DETR.NUM_CLASSES", 91, "MODEL.DETR.CLASSES", "coco_91")
HICO = ("MODEL.HOI.VOCABULARY", "hico_det")
SOME = "transformer.encoder.layers.1.linear1.bias"
OURS = "network.detr.model.encoder.layers.1.mlp.fc1.bias"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return published_detr(91).state_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.clear(), "empty"),
        (lambda s: s.pop(SOME), f"1 missing: {OURS}"),
        (lambda s: s.update(extra=torch.zeros(1)), "1 unexpected: network.detr.extra"),
        (lambda s: s.update({SOME: torch.zeros(5)}), rf"{OURS} \(file \(5,\), model \(48,\)\)"),
        (lambda s: s.pop("query_embed.weight"), "query_position_embeddings.weight"),
        (lambda s: s.update(note="text"), "note are not named tensors"),
    ],
)
def test_a_file_that_does_not_fit(state, tmp_path: Path, change, message: str) -> None:
    changed = dict(state)
    change(changed)
    torch.save({"model": changed}, tmp_path / "detr.pth")
    model = small_model(*COCO_91)
    before = weights_hash(model.state_dict())
    with pytest.raises(WeightsError, match=message):
        HOICheckpointer(model).load(tmp_path / "detr.pth")
    assert weights_hash(model.state_dict()) == before  # all or nothing


def test_all_wrong_keys_are_listed_together(state, tmp_path: Path) -> None:
    changed = dict(state, extra=torch.zeros(1))
    del changed[SOME], changed["bbox_embed.layers.2.bias"]
    changed["query_embed.weight"] = torch.zeros(3, 3)
    torch.save(changed, tmp_path / "detr.pth")
    with pytest.raises(WeightsError) as error:
        HOICheckpointer(small_model(*COCO_91)).load(tmp_path / "detr.pth")
    for part in ("2 missing", OURS, "bbox_predictor.layers.2.bias", "1 unexpected", "extra"):
        assert part in str(error.value)
    assert "query_position_embeddings.weight (file (3, 3), model (7, 32))" in str(error.value)


def test_a_pickle_with_more_than_weights_is_refused(state, tmp_path: Path) -> None:
    content = {"model": state, "run": functools.partial(print, "hello")}
    torch.save(content, tmp_path / "detr.pth")
    with pytest.raises(WeightsError, match=r"refused.*run code.*partial"):
        HOICheckpointer(small_model(*COCO_91)).load(tmp_path / "detr.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("damage", ["cut", "changed", "text"])
def test_a_damaged_file(tmp_path: Path, suffix: str, damage: str) -> None:
    path = tmp_path / f"weights{suffix}"
    weights = {"weight": torch.ones(4000, 4), "bias": torch.ones(4000)}
    save_file(weights, path) if suffix == ".safetensors" else torch.save(weights, path)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "changed":
        data[len(data) // 2 if suffix == ".pth" else 3] ^= 0xFF
    else:
        data = b"<html>quota exceeded</html>"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"weights\.\w+ (is damaged|cannot be read|is refused)"):
        HOICheckpointer(nn.Linear(4, 4000)).load(path)


@pytest.mark.parametrize(("digits", "ok"), [(64, True), (8, True), (4, False)])
def test_sha256(tmp_path: Path, digits: int, ok: bool) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"weight": torch.ones(2, 3), "bias": torch.ones(2)}, path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    checkpointer = HOICheckpointer(nn.Linear(3, 2))
    if ok:
        checkpointer.load(path, sha256=checksum[:digits].upper())
    else:
        with pytest.raises(WeightsError, match="8 to 64"):
            checkpointer.load(path, sha256=checksum[:digits])
    with pytest.raises(WeightsError, match="has SHA-256"):
        checkpointer.load(path, sha256="0" * 64)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "no weight file is named"),
        ("nowhere/detr.pth", r"no weight file nowhere/detr.pth"),
        ("/nowhere/detr.pth", "no weight file /nowhere/detr.pth"),
        ("facebook/detr-resnet-50", r"hub are not on this machine.*hoi-d2 download facebook/"),
    ],
)
def test_a_source_that_is_not_there(source: str, message: str) -> None:
    with pytest.raises(FileNotFoundError, match=message):
        HOICheckpointer(nn.Linear(3, 2)).load(source)


def test_a_directory_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds none of model\.safetensors"):
        HOICheckpointer(nn.Linear(3, 2)).load(tmp_path)


def test_a_detector_given_as_rmlr_says_so(state, tmp_path: Path) -> None:
    torch.save({"model": state}, tmp_path / "detr.pth")
    HOICheckpointer(small_model(*COCO_91)).save_weights(tmp_path / "detr.safetensors")
    model = small_model(*COCO_91, *HICO, architecture="RmLR")
    for name in ("detr.pth", "detr.safetensors"):
        with pytest.raises(WeightsError, match=r"detector alone.*ENTITY_DETECTOR\.WEIGHTS"):
            HOICheckpointer(model).load(tmp_path / name)


def test_rmlr_round_trip_and_its_detector(tmp_path: Path) -> None:
    """A whole RmLR fills an RmLR, and its detector fills a Detr."""
    model = small_model(*HICO, architecture="RmLR")
    path = HOICheckpointer(model).save_weights(tmp_path / "rmlr.safetensors")
    other = small_model(*HICO, architecture="RmLR")
    assert HOICheckpointer(other).load(path)["layout"] == "rmlr"
    assert weights_hash(other.state_dict()) == weights_hash(model.state_dict())
    detector = small_model()
    HOICheckpointer(detector).load(path)
    found, expected = detector.state_dict(), model.entity_detector.state_dict()
    assert weights_hash(found) == weights_hash(expected)


def test_rmlr_without_its_detector(tmp_path: Path) -> None:
    """Checkpoints keep a frozen detector by hash; the model must have the same one."""
    model = small_model(*HICO, architecture="RmLR")
    weights = {n: t for n, t in model.state_dict().items() if not n.startswith("entity_detector")}
    frozen = {"entity_detector": weights_hash(model.state_dict(), "entity_detector")}
    torch.save({"model": weights, "frozen": frozen}, tmp_path / "head.pth")
    HOICheckpointer(model).load(tmp_path / "head.pth")
    other = small_model(*HICO, architecture="RmLR")
    with pytest.raises(WeightsError, match=r"on top of frozen weights entity_detector.*SHA-256"):
        HOICheckpointer(other).load(tmp_path / "head.pth")
    torch.save({"model": weights}, tmp_path / "bare.pth")
    checkpointer = HOICheckpointer(other)
    checkpointer.load(tmp_path / "bare.pth")
    assert checkpointer.random_parts == ["entity_detector"]  # refused before it is used
    with pytest.raises(WeightsError, match="checkpoint without its entity detector"):
        HOICheckpointer(small_model()).load(tmp_path / "head.pth")


def test_rmlr_of_other_verbs_is_refused(tmp_path: Path) -> None:
    model = small_model(*HICO, architecture="RmLR")
    path = HOICheckpointer(model).save_weights(tmp_path / "rmlr.safetensors")
    other = small_model("MODEL.HOI.VOCABULARY", "vcoco", architecture="RmLR")
    with pytest.raises(WeightsError, match="other verbs"):
        HOICheckpointer(other).load(path)


def test_the_rmlr_config_key_loads_any_layout(state, tmp_path: Path) -> None:
    torch.save({"model": state}, tmp_path / "detr.pth")
    weights = ("MODEL.ENTITY_DETECTOR.WEIGHTS", str(tmp_path / "detr.pth"))
    model = small_model(*COCO_91, *HICO, *weights, architecture="RmLR")
    expected = small_model(*COCO_91)
    HOICheckpointer(expected).load(tmp_path / "detr.pth")
    found = model.entity_detector.state_dict()
    assert weights_hash(found) == weights_hash(expected.state_dict())
