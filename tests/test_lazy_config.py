"""The lazy config of an RmLR builds the model of its YAML."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.modeling import build_model
from torch import nn

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.data.toy.dataset import load_toy
from hoi_d2.data.toy.scene import read_toy_image
from hoi_d2.model_zoo import configs_root
from hoi_d2.modeling.layers.onednn import use_onednn
from tests.small_configs import annotated_inputs, read_config

FILE = str(configs_root() / "lazy" / "rmlr_toy.py")
# What RmLR itself was told; its parts say theirs when they are printed.
SETTINGS = ("score_threshold", "max_detections")


def from_lazy() -> nn.Module:
    config = LazyConfig.load(FILE)
    model = instantiate(config.model)
    model.entity_detector.load_weights(config.train.detector_weights)
    use_onednn(model.entity_detector)
    use_onednn(model.interaction_heads)
    HOICheckpointer(model).load(config.train.init_checkpoint)
    return model


def from_yaml() -> nn.Module:
    cfg = read_config(configs_root() / "toy" / "rmlr.yaml")
    model = build_model(cfg)
    HOICheckpointer(model).load("hoi_d2://toy/rmlr.safetensors")
    return model


@pytest.fixture(scope="module")
def models() -> tuple[nn.Module, nn.Module]:
    return from_lazy(), from_yaml()


def test_the_same_parts_with_the_same_settings(models) -> None:
    lazy, yaml = models
    assert str(lazy) == str(yaml)
    assert lazy.state_dict().keys() == yaml.state_dict().keys()
    for name in SETTINGS:
        assert getattr(lazy, name) == getattr(yaml, name), name
    assert lazy.targets.match_iou == yaml.targets.match_iou
    assert tuple(lazy.prior_exponents) == tuple(yaml.prior_exponents)
    plain = [name for name, value in vars(yaml.pair_generator).items() if name[0] != "_"]
    assert plain
    for name in plain:
        assert getattr(lazy.pair_generator, name) == getattr(yaml.pair_generator, name), name


def test_the_same_losses_and_results(models) -> None:
    inputs = annotated_inputs(117)
    losses = [model.train()(inputs)["loss_verb"] for model in models]
    assert losses[0].isfinite() and torch.equal(*losses)
    record = load_toy("val")[0]
    image = torch.from_numpy(read_toy_image(record["file_name"])[:, :, ::-1].copy())
    drawn = {"image": image.permute(2, 0, 1), **{k: record[k] for k in ("height", "width")}}
    with torch.no_grad():
        found = [model.eval()([drawn])[0]["hoi_instances"] for model in models]
    assert len(found[0]) > 10 and found[0].scores.max() > 0.3
    assert torch.equal(found[0].scores, found[1].scores)
    assert torch.equal(found[0].verb_classes, found[1].verb_classes)


def test_an_argument_can_be_changed() -> None:
    config = LazyConfig.load(FILE)
    config = LazyConfig.apply_overrides(config, ["model.interaction_heads.masked_roi.mask=union"])
    assert instantiate(config.model).interaction_heads.masked_roi.mask == "union"
