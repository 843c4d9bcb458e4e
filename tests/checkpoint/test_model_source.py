"""One string names a model: a file, a folder, a config, a name of the zoo, the hub."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from detectron2.config import CfgNode
from safetensors.torch import load_file, save_file

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.model_source import UnknownModelError, model_config, title_of
from hoi_d2.config.load import ConfigError, load_config, usable_device
from hoi_d2.config.saved import load_saved_config
from hoi_d2.model_zoo import shipped_weights
from tests.checkpoint.small_hub import small_hub

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = "hoi_d2://toy/rmlr.safetensors"


@pytest.fixture(scope="module")
def trained() -> CfgNode:
    return load_config("toy/rmlr.yaml", ["MODEL.HOI.MAX_DETECTIONS", 7])


@pytest.fixture(scope="module")
def run_folder(trained, tmp_path_factory) -> Path:
    """As a training leaves it; the config in the checkpoint is marked by MAX_DETECTIONS."""
    folder = tmp_path_factory.mktemp("run")
    weights = load_file(shipped_weights(SHIPPED))
    torch.save({"model": weights, "config": trained.dump()}, folder / "model_final.pth")
    (folder / "config.yaml").write_text(trained.dump())
    return folder


def plain(folder: Path) -> Path:
    """A folder of a file without its config."""
    folder.mkdir(exist_ok=True)
    save_file(load_file(shipped_weights(SHIPPED)), folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("name", "weights", "title"),
    [
        ("toy/rmlr", SHIPPED, "toy/rmlr"),
        ("toy/rmlr.yaml", SHIPPED, "toy/rmlr"),
        ("configs/toy/rmlr.yaml", SHIPPED, "toy/rmlr"),
        ("photo", "hoi_d2://photo/layout_hico_det.safetensors", "photo/photo"),
        ("RmLR/R50", "", "RmLR/rmlr_R50_hico_det"),
        ("defr-det-zeroshot", "", "DEFR-Det/zeroshot-ViT-B-16"),
        (SHIPPED, SHIPPED, SHIPPED),
    ],
)
def test_names(name, weights, title):
    cfg = model_config(name)
    assert (cfg.MODEL.WEIGHTS, title_of(name)) == (weights, title)
    assert not cfg.is_frozen()


def test_a_file_a_folder_and_a_folder_without_config(run_folder, tmp_path):
    file = run_folder / "model_final.pth"
    alone = shutil.copytree(run_folder, tmp_path / "alone")
    (alone / "config.yaml").unlink()
    beside = plain(tmp_path / "beside")
    shutil.copy(run_folder / "config.yaml", beside)
    expected = {
        file: (file, "output/eval/model_final"),
        run_folder: (file, run_folder / "eval"),
        alone: (alone / "model_final.pth", "output/eval/model_final"),
        beside: (beside / "model.safetensors", beside / "eval"),
        beside / "model.safetensors": (beside / "model.safetensors", beside / "eval"),
    }
    for model, (weights, output) in expected.items():
        cfg = model_config(model)
        assert (cfg.MODEL.WEIGHTS, cfg.OUTPUT_DIR) == (str(weights), str(output))
        assert cfg.MODEL.HOI.MAX_DETECTIONS == 7


def test_options_come_last(run_folder):
    options = ["MODEL.WEIGHTS", "mine.pth", "OUTPUT_DIR", "there", "MODEL.HOI.MAX_DETECTIONS", "3"]
    cfg = model_config(run_folder, options)
    found = cfg.MODEL.WEIGHTS, cfg.OUTPUT_DIR, cfg.MODEL.HOI.MAX_DETECTIONS
    assert found == ("mine.pth", "there", 3)


def test_the_zoo_comes_before_a_folder_of_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo").mkdir()
    assert model_config("photo").MODEL.META_ARCHITECTURE == "LayoutRmLR"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", ["no model is named", "toy/rmlr"]),
        ("phto", ["Did you mean photo?"]),
        ("toy/rmrl", ["Did you mean toy/rmlr", "toy/upt"]),
        ("toy/RMLR.yaml", ["Did you mean toy/rmlr"]),
        ("RmLR/R5O", ["Did you mean RmLR/R50"]),
        ("none.pth", ["no file none.pth"]),
        ("nobody/nothing", ["Hugging Face hub", "is not available", "a name of the zoo"]),
    ],
)
def test_unknown_names(name, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownModelError) as error:
        model_config(name)
    assert [word for word in words if word not in str(error.value)] == []


def test_folders_that_are_no_model(run_folder, tmp_path):
    (tmp_path / "model_0000999.pth").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"no model_final\.pth.*holds model_0000999\.pth: name"):
        model_config(tmp_path)
    shutil.copy(run_folder / "config.yaml", tmp_path)
    with pytest.raises(WeightsError, match=r"no model_final\.pth"):
        model_config(tmp_path)
    assert model_config(tmp_path, ["MODEL.WEIGHTS", "a.pth"]).MODEL.WEIGHTS == "a.pth"


def test_a_file_without_a_config(tmp_path):
    file = plain(tmp_path) / "model.safetensors"
    with pytest.raises(WeightsError, match=r"no config.yaml beside it\. Name the config"):
        model_config(file)
    upt = tmp_path / "upt.pth"
    names = ["detector.class_embed.weight", "interaction_head.box_pair_predictor.weight"]
    torch.save({"model_state_dict": {name: torch.zeros(2, 2) for name in names}}, upt)
    with pytest.raises(WeightsError, match=r"a UPT: configs/UPT/upt_R50_hico_det.yaml"):
        model_config(upt)
    torch.save({"model_state_dict": {names[0]: torch.zeros(2, 2)}}, upt)
    with pytest.raises(WeightsError, match=r"a detector alone \(layout: upt\)"):
        model_config(upt)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no group MODEL"),
        ("[1, 2]", "no group MODEL"),
        ("MODEL: 3", "no group MODEL"),
        ("MODEL: [", "not YAML"),
        ("MODEL: {WEIGHTS: !!python/object/apply:os.getcwd []}", "not YAML"),
        ("MODEL: {HOI: 3}", "MODEL.HOI|HOI"),
        ("MODEL: {HOI: {MAX_DETECTIONS: many}}", "expected int, got str many"),
        ("MODEL: {IMPORTS: [evil.py]}", "imports evil.py, which would run code"),
    ],
)
def test_damaged_and_hostile_configs(text, message):
    with pytest.raises(ConfigError, match=message) as error:
        load_saved_config(text, source="theirs.pth")
    assert str(error.value).startswith("theirs.pth")


def test_keys_of_another_version_are_left_out(caplog):
    text = "MODEL: {OLD: {A: 1}, DETR: {ONEDNN: true}, HOI: {MAX_DETECTIONS: 5}}\nVERSION: 2"
    cfg = load_saved_config(text, source="old.pth")
    assert cfg.MODEL.HOI.MAX_DETECTIONS == 5
    assert "old.pth" in caplog.text and "MODEL.OLD, MODEL.DETR.ONEDNN" in caplog.text


def test_imports_of_a_stranger_only_with_the_users_word(tmp_path):
    (tmp_path / "mine.py").write_text("")
    theirs = "MODEL: {IMPORTS: [evil.py]}"
    cfg = load_saved_config(theirs, ["MODEL.IMPORTS", [str(tmp_path / "mine.py")]], source="f")
    assert cfg.MODEL.IMPORTS == [str(tmp_path / "mine.py")]


@pytest.mark.parametrize("name", ["rmlr", "detr", "defr"])
def test_configs_in_the_files_of_the_package_are_read(name):
    cfg = model_config(f"hoi_d2://toy/{name}.safetensors")
    assert cfg.MODEL.META_ARCHITECTURE.lower() == name


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "mps:0", ""])
def test_devices_that_are_not_here(name):
    if name == "mps:0" and torch.backends.mps.is_available():
        pytest.skip("this machine has it")
    with pytest.raises(ConfigError, match="device"):
        usable_device(name)
    assert usable_device("cpu") == "cpu"


SCRIPT = """
import json, sys
from hoi_d2.checkpoint.model_source import model_config

def answer(name):
    try:
        cfg = model_config(name)
        return f"{cfg.MODEL.WEIGHTS} {cfg.MODEL.HOI.MAX_DETECTIONS} {cfg.OUTPUT_DIR}"
    except Exception as error:
        return f"{type(error).__name__} {error}"

print(json.dumps([answer(name) for name in sys.argv[1:]]))
"""
ON_THE_HUB = {
    "lab/run": ["model_final.pth", " 7 ", "output/eval/run"],
    "lab/published@main": ["model.safetensors", " 7 "],
    "lab/hostile": ["ConfigError", "lab/hostile, config.yaml", "imports evil.py"],
    "lab/other": ["UnknownModelError", "'lab/other'", "config.yaml", "model_final.pth"],
    "lab/none": ["UnknownModelError", "'lab/none'", "is not available"],
}


def test_models_of_the_hub(run_folder, tmp_path_factory):
    """In a process of its own: huggingface_hub reads HF_ENDPOINT where it is imported."""
    root, home = tmp_path_factory.mktemp("hub"), tmp_path_factory.mktemp("home")
    shutil.copytree(run_folder, root / "lab/run")
    shutil.copytree(run_folder, root / "lab/published")
    (root / "lab/published/model_final.pth").unlink()
    plain(root / "lab/published")
    shutil.copytree(run_folder, root / "lab/hostile")
    content = yaml.safe_load((run_folder / "config.yaml").read_text())
    content["MODEL"]["IMPORTS"] = ["evil.py"]
    (root / "lab/hostile/config.yaml").write_text(yaml.safe_dump(content))
    (root / "lab/other").mkdir()
    (root / "lab/other/config.json").write_text("{}")

    with small_hub(root) as endpoint:
        env = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
        env |= {"PYTHONPATH": str(ROOT), "HF_HUB_DISABLE_XET": "1", "no_proxy": "127.0.0.1"}
        env["HOI_D2_CACHE"] = str(home)  # else a new config key is a changed download
        command = [sys.executable, "-c", SCRIPT, *ON_THE_HUB]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for answer, words in zip(json.loads(done.stdout), ON_THE_HUB.values(), strict=True):
        assert [word for word in words if word not in answer] == [], answer
