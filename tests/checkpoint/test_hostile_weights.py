"""Weight files that are damaged, hostile or of another project: one kind of error, with a name."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hoi_d2.checkpoint.class_names import vocabulary_in
from hoi_d2.checkpoint.conversion import detector_weights, recognise_layout
from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.weight_files import read_weights
from hoi_d2.config.load import ConfigError, load_config
from hoi_d2.model_zoo import shipped_weights
from tests.checkpoint.published_detr import published_detr

ONE = {"a.weight": torch.ones(2)}


def cut_off(path: Path) -> None:
    torch.save({"model": ONE}, path)
    path.write_bytes(path.read_bytes()[:-200])


def bomb(path: Path) -> None:
    torch.save({"model": {"a": torch.zeros(2_000_000)}}, path)
    with zipfile.ZipFile(path) as source:
        entries = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in entries.items():
            packed.writestr(name, content)


def object_array(path: Path) -> None:
    array = b"cnumpy\nndarray\n((I2\ntcnumpy\ndtype\n(S'O'\ntRS'0123456789abcdef'\ntR"
    path.write_bytes(b"(dS'model'\n(dS'a'\n" + array + b"ss.")


FILES = {
    "empty.pth": lambda p: p.write_bytes(b""),
    "empty.safetensors": lambda p: p.write_bytes(b""),
    "text.pth": lambda p: p.write_text("epoch,loss\n1,2\n"),
    "cut.pth": cut_off,
    "bomb.pth": bomb,
    "tuple_key.pth": lambda p: torch.save({"model": {(1, 2): torch.zeros(1)}}, p),
    "list.pth": lambda p: torch.save([1, 2], p),
    "no_weights.pth": lambda p: torch.save({"model": {}}, p),
    "numbers.pth": lambda p: torch.save({"model": {"a": 5}}, p),
    "nan.pth": lambda p: torch.save({"model": {"a": torch.tensor([1.0, torch.nan])}}, p),
    "inf.safetensors": lambda p: save_file({"a": torch.tensor([torch.inf])}, p),
    "objects.pkl": object_array,
    "code.pkl": lambda p: p.write_bytes(pickle.dumps({"model": {"a": os.getcwd}})),
    "list.pkl": lambda p: p.write_bytes(pickle.dumps([1])),
    "model.pkl": lambda p: p.write_bytes(pickle.dumps({"model": 5})),
    "text.pkl": lambda p: p.write_bytes(pickle.dumps({"model": {"a": "x"}})),
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_broken_file_is_named(name, tmp_path):
    FILES[name](tmp_path / name)
    with pytest.raises(WeightsError, match=name):
        read_weights(tmp_path / name)


INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is damaged"),
        ("[]", "is damaged"),
        ('{"weight_map": []}', "is damaged"),
        ('{"weight_map": {"a": 5}}', "names 5"),
        ('{"weight_map": {"a": "../secret.safetensors"}}', "a file of its own folder"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "a file of its own folder"),
        ('{"weight_map": {"a": "none.safetensors"}}', "does not exist"),
    ],
)
def test_an_index_stays_in_its_folder(content, message, tmp_path):
    (tmp_path / INDEX).write_text(content)
    with pytest.raises(WeightsError, match=message):
        read_weights(tmp_path)


@pytest.mark.parametrize("name", ["../zoo.json", "toy/../../__init__.py", "", "none.safetensors"])
def test_shipped_weights_stay_in_their_folder(name):
    with pytest.raises(FileNotFoundError, match="does not come with the package"):
        shipped_weights(f"hoi_d2://{name}")


def test_downloads_without_encryption_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="Download it by hand"):
        read_weights("http://127.0.0.1/model.pth")
    (tmp_path / "a.yaml").write_text("_BASE_: http://127.0.0.1/b.yaml\n")
    with pytest.raises(ConfigError, match=r"http://127\.0\.0\.1/b\.yaml is refused"):
        load_config(str(tmp_path / "a.yaml"))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, None),
        ({}, None),
        ({"0": "LABEL_0", "1": "LABEL_1"}, None),
        ({"1": "cup", "0": "person"}, ("person", "cup")),
        ({"0": "N/A", "1": "N/A", "2": "cup"}, ("N/A", "N/A", "cup")),
        ({"0": 1}, "in place of a name"),
        ({"0": None, "1": "cup"}, "in place of a name"),
        ({"0": "cup", "1": "cup"}, "more than one output"),
        ({"zero": "cup"}, "must map the numbers"),
        (["cup"], "must map the numbers"),
        ("not json", "is not JSON"),
    ],
)
def test_names_of_a_transformers_folder(labels, expected, tmp_path):
    save_file(ONE, tmp_path / "model.safetensors")
    text = labels if labels == "not json" else json.dumps({"id2label": labels})
    (tmp_path / "config.json").write_text(text)
    if isinstance(expected, str):
        with pytest.raises(WeightsError, match=rf"config\.json.*{expected}"):
            read_weights(tmp_path)
    else:
        assert read_weights(tmp_path).labels == expected


@pytest.mark.parametrize("content", [5, {"objects": ["a"], "verbs": ["b"]}, {"objects": 1}])
def test_damaged_class_names(content, tmp_path):
    torch.save({"model": ONE, "vocabulary": content}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"a\.pth: the class names in it are damaged"):
        vocabulary_in(tmp_path / "a.pth")


@pytest.mark.parametrize("name", ["zero.pth", "zero.safetensors"])
def test_class_names_of_an_empty_file(name, tmp_path):
    (tmp_path / name).touch()
    assert vocabulary_in(tmp_path / name) is None  # loading the weights says what is wrong


def test_arrays_of_the_zoo_are_read(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32(2.0)}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps({"model": arrays}, protocol))
        weights = read_weights(tmp_path / "a.pkl").weights
        assert weights["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and weights["b"] == 2.0


@pytest.fixture(scope="module")
def detr() -> dict[str, torch.Tensor]:
    return published_detr(91).state_dict()


def qpic(detr: dict[str, torch.Tensor], *, trained: bool) -> dict[str, torch.Tensor]:
    heads = {n: t for n, t in detr.items() if n.startswith("bbox_embed.")}
    copies = {f"{kind}_{name}": t for kind in ("sub", "obj") for name, t in heads.items()}
    copies["obj_class_embed.weight"] = detr["class_embed.weight"][:81]
    if not trained:
        return detr | copies
    own = {n: t for n, t in detr.items() if not n.startswith(("class_embed", "bbox_embed"))}
    return own | copies | {"verb_class_embed.weight": torch.zeros(117, 8)}


@pytest.mark.parametrize("kind", ["plain", "ddp", "args", "panoptic", "qpic converted"])
def test_detectors_of_others(kind, detr, tmp_path):
    """The same weights in each file that users have."""
    masks = {"mask_head.lay1.weight": torch.zeros(2, 2)}
    files = {
        "plain": {"model": detr},
        "ddp": {"model": {f"module.{n}": t for n, t in detr.items()}},
        "args": {"model": detr, "epoch": 3, "args": argparse.Namespace(lr=1e-4, masks=False)},
        "panoptic": {"model": {**{f"detr.{n}": t for n, t in detr.items()}, **masks}},
        "qpic converted": {"model": qpic(detr, trained=False)},
    }
    torch.save(files["plain"], tmp_path / "plain.pth")
    torch.save(files[kind], tmp_path / "file.pth")
    expected = detector_weights(read_weights(tmp_path / "plain.pth")).weights
    file = read_weights(tmp_path / "file.pth")
    assert recognise_layout(file) == "facebook"
    found = detector_weights(file).weights
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_whole_qpic_is_named(detr, tmp_path):
    torch.save({"model": qpic(detr, trained=True)}, tmp_path / "qpic.pth")
    with pytest.raises(WeightsError, match=r"qpic\.pth is a whole QPIC or CDN model"):
        recognise_layout(read_weights(tmp_path / "qpic.pth"))
