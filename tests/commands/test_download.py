"""`hoi-d2 download`: what it prints and records, and that the demo runs on what it brought."""

from __future__ import annotations

import json
import os
import re

import pytest
import torch
from huggingface_hub import constants

from hoi_d2.commands.main import main
from hoi_d2.config.load import load_config
from hoi_d2.inference.predictor import HOIPredictor
from hoi_d2.model_zoo.published import PINNED, PUBLISHED
from tests.checkpoint.local_hub import LocalHub, commit_of
from tests.checkpoint.published_upt import upt_shapes
from tests.checkpoint.test_hub import use_hub
from tests.inference.test_own_classes import demo, fill_cache, image, write_config

DETR = {"detector.class_embed.weight": torch.ones(2, 3), "detector.backbone.x": torch.ones(1)}
UPT = DETR | {name: torch.zeros(1) for name in upt_shapes()}
PAGE = b"<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head></html>"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with small models under the names of the zero-shot config; the cache is empty."""
    fill_cache(tmp_path / "made")
    served = LocalHub()
    for model in PUBLISHED["zeroshot"].hub:
        name = f"models--{model.repository.replace('/', '--')}"
        (snapshot,) = (tmp_path / "made" / name / "snapshots").iterdir()
        files = {path.name: path.read_bytes() for path in snapshot.iterdir()}
        commit = PINNED.get(str(model), commit_of(7))
        served.add(model.repository, files, commit=commit, branch=model.revision or "main")
    served.start()
    use_hub(monkeypatch, served.address, tmp_path)
    yield served
    served.stop()


def test_the_walk_from_nothing_to_an_image_with_interactions(hub, tmp_path, capsys, monkeypatch):
    config = write_config(tmp_path, text=24)
    picture = image(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert demo(config, tmp_path, [picture]) == 2
    command = capsys.readouterr().err.split()[-3:]
    assert command == ["hoi-d2", "download", "zeroshot"]
    assert not (tmp_path / "out" / "hoi_results.json").exists()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert main(command[1:]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        [str(model), "downloaded, its hashes are checked"] for model in PUBLISHED["zeroshot"].hub
    ]
    assert main(command[1:]) == 0
    assert capsys.readouterr().out.count("here, unchanged") == 3
    hub.status = 500  # from now on nothing of the network is needed
    assert demo(config, tmp_path, [picture]) == 0
    assert "random" not in capsys.readouterr().err.lower()
    assert json.loads((tmp_path / "out" / "hoi_results.json").read_text())


def test_with_a_network_the_demo_downloads_by_itself(hub, tmp_path, capsys):
    config = write_config(tmp_path, text=24)
    assert demo(config, tmp_path, [image(tmp_path)]) == 0
    assert main(["download"]) == 0
    (row,) = re.findall(r"^zeroshot .*$", capsys.readouterr().out, re.MULTILINE)
    assert row.split()[-1] == "yes"


def test_a_file_of_the_hub_that_is_damaged_ends_the_demo(hub, tmp_path, capsys):
    config = write_config(tmp_path, text=24)
    assert main(["download", "zeroshot"]) == 0
    (weights,) = (tmp_path / "hub" / "models--facebook--detr-resnet-50").rglob("*.safetensors")
    weights.resolve().write_bytes(b"?" + weights.read_bytes()[1:])
    assert demo(config, tmp_path, [image(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "model.safetensors" in message and "expected SHA-256" in message
    assert message.endswith("Download it again: hoi-d2 download --force detr-r50\n")
    assert main(["download", "--force", "detr-r50"]) == 0
    assert demo(config, tmp_path, [image(tmp_path)]) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--config-file", "DEFR/ViT-B-16.yaml"],
        ["eval", "--config-file", "DEFR/ViT-B-16.yaml"],
        ["web", "--config-file", "DEFR-Det/zeroshot-ViT-B-16.yaml"],
        ["export", "--config-file", "DEFR-Det/zeroshot-ViT-B-16.yaml", "--output", "onnx"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_every_entry_point_names_all_files(arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    try:
        assert main([*arguments, "MODEL.DEVICE", "cpu"]) == 2
    except SystemExit as end:
        assert end.code == 2
    message = capsys.readouterr().err
    name = "clip-b16" if "DEFR/" in arguments[2] else "zeroshot"
    assert "timm/vit_base_patch16_clip_224.openai" in message
    assert "openai/clip-vit-base-patch16 (config.json" in message
    assert f"hoi-d2 download {name}" in message and "RANDOM" not in message


def test_a_text_encoder_is_not_needed_where_its_vectors_are_kept(hub, tmp_path, capsys):
    config = write_config(tmp_path, text=24)
    assert demo(config, tmp_path, [image(tmp_path)]) == 0
    texts = tmp_path / "hub" / "models--openai--clip-vit-base-patch16"
    os.rename(texts, tmp_path / "moved")
    hub.status = 500
    assert demo(config, tmp_path, [image(tmp_path)]) == 0
    assert demo(config, tmp_path, [image(tmp_path)], classes=["eating a pizza"]) == 2
    assert "openai/clip-vit-base-patch16" in capsys.readouterr().err


def test_the_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert main(["download"]) == 0
    rows = capsys.readouterr().out
    for name, published in PUBLISHED.items():
        assert re.search(rf"^{name} .* no$", rows, re.MULTILINE), name
        assert published.licence.split(",")[0].split(" (")[0] in rows
    assert "unknown" in rows and "Google Drive, by hand" in rows


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["upt-r5"], "no published weights are known as 'upt-r5'. Did you mean 'upt-r50'"),
        (["no/such"], "no model of that name"),
        (["detr-r50", "no/such"], "no model of that name"),
        (["facebook/detr-resnet-50@v9"], "no revision v9"),
    ],
)
def test_names_that_are_unknown(hub, names, message, capsys, tmp_path):
    assert main(["download", *names]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("hub/**/*.safetensors"))  # all are looked up before the first


def test_a_model_of_the_hub_by_its_id(hub, capsys, tmp_path):
    assert main(["download", "openai/clip-vit-base-patch16"]) == 0
    (folder,) = tmp_path.glob("hub/models--openai--*/snapshots/*")
    assert {"model.safetensors", "config.json"} < set(os.listdir(folder))
    assert str(folder) in capsys.readouterr().out


def test_a_file_by_hand(downloads, capsys):
    assert main(["download", "upt-r50"]) == 1
    told = capsys.readouterr().out
    path = downloads / "weights" / "upt-r50-hicodet.pt"
    assert str(path) in told and "https://drive.google.com/file/d/" in told and "BSD" in told
    assert path.parent.is_dir()
    torch.save({"model_state_dict": UPT}, path)
    assert main(["download", "upt-r50"]) == 0
    assert "SHA-256" in capsys.readouterr().out
    torch.save({"model_state_dict": UPT, "epoch": 9}, path)
    assert main(["download", "upt-r50"]) == 2
    assert "expected SHA-256" in (message := capsys.readouterr().err)
    assert "hoi-d2 download once more" in message
    cfg = load_config("UPT/upt_R50_hico_det.yaml", ["MODEL.DEVICE", "cpu"])
    cfg.MODEL.WEIGHTS = str(path)
    with pytest.raises(RuntimeError, match="expected SHA-256"):
        HOIPredictor(cfg)
    (downloads / "downloads" / "upt-r50-hicodet.pt.json").unlink()
    assert main(["download", "upt-r50"]) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged or not a weight file"),
        (PAGE, "is a web page, which Google Drive gives"),
        (b"\n" + PAGE, "is a web page"),
        (DETR, "expected weights in the layout upt, found upt_detector"),
        ({"x": torch.ones(1)}, "found an unknown one"),
    ],
)
def test_a_file_by_hand_that_is_another(downloads, capsys, content, message):
    path = downloads / "weights" / "upt-r50-hicodet.pt"
    path.parent.mkdir(parents=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save({"model_state_dict": content}, path)
    assert main(["download", "upt-r50"]) == 2
    told = capsys.readouterr().err
    assert message in told and str(path) in told
    assert not (downloads / "downloads").exists()
