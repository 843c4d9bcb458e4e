"""DEFR's published checkpoints load by their keys and give the released code's numbers."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.config.load import load_config
from hoi_d2.modeling.image_encoder.patch_masks import hidden_bias
from tests.modeling.image_encoder.small_encoders import CLIP_VIT, VIT
from tests.modeling.tiny import tiny_config

CONFIGS = {"p16": "ViT-B-16.yaml", "p32": "ViT-B-32_CLIP_CLIP_LSE.yaml"}


def tensor(name: str, shape: list[int]) -> torch.Tensor:
    """The weights that the reference was made with, of their names and shapes."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if not shape:
        value = np.float64(4.61)
    elif len(shape) == 1:
        value = 0.02 * rng.standard_normal(shape)
        value += 1 if ".ln_" in name and name.endswith("weight") else 0
        value *= 10 if "class_embedding" in name else 1
    elif "positional" in name:
        value = 0.3 * rng.standard_normal(shape)
    elif name == "classifier":
        value = rng.standard_normal(shape)
    else:
        value = rng.standard_normal(shape) * np.sqrt(1 / np.prod(shape[1:]))
        value *= 2 if "in_proj_weight" in name else 1
    return torch.as_tensor(np.asarray(value, dtype=np.float32))


@pytest.fixture(scope="module", params=sorted(CONFIGS))
def released(request, real_data, tmp_path_factory) -> tuple[str, Path, dict[str, np.ndarray]]:
    """The patch size, a file in the release's layout, and what the release computes from it."""
    reference = real_data / "reference"
    shapes = json.loads((reference / f"defr_release_{request.param}_shapes.json").read_text())
    weights = {f"module.{name}": tensor(name, shape) for name, shape in shapes.items()}
    file = tmp_path_factory.mktemp("released") / "DEFR.pt"
    torch.save({"epoch": 9, "model_state_dict": weights, "optimizer_state_dict": {}}, file)
    expected = np.load(reference / f"defr_release_{request.param}_expected.npz")
    return request.param, file, dict(expected)


def model_input(expected: dict[str, np.ndarray]) -> dict[str, object]:
    image = torch.from_numpy(expected["image"]).permute(2, 0, 1)
    return {"image": image, "height": image.shape[1], "width": image.shape[2]}


def test_logits_of_the_whole_image(released):
    size, file, expected = released
    model = build_model(load_config(f"DEFR/{CONFIGS[size]}")).eval()
    checkpointer = HOICheckpointer(model)
    checkpointer.load(str(file))
    assert checkpointer.random_parts == []
    with torch.no_grad():
        [output] = model([model_input(expected)])
    np.testing.assert_allclose(output["hoi_scores"], expected["logits"], atol=1e-3)


@pytest.mark.parametrize(
    ("mask", "array"),
    [("human_or_object", "pair_logits"), ("as_released", "pair_logits_as_released")],
)
def test_logits_of_pairs(released, mask, array):
    size, file, expected = released
    options = ["MODEL.DEFR_DET.MASK", mask, "MODEL.WEIGHTS", str(file)]
    options += ["MODEL.ENTITY_DETECTOR.WEIGHTS", "", "MODEL.ENTITY_DETECTOR.REVISION", ""]
    options += ["MODEL.IMAGE_ENCODER.NAME", f"vit_base_patch{size[1:]}_clip_quickgelu_224.openai"]
    model = build_model(load_config("DEFR-Det/ViT-B-16.yaml", options)).eval()
    HOICheckpointer(model).load(str(file))
    boxes = [torch.from_numpy(expected[name]) for name in ("human_boxes", "object_boxes")]
    pairs = Pairs(*boxes, torch.zeros(len(boxes[0]), dtype=torch.int64))
    with torch.no_grad():
        squares = model.squares([model_input(expected)])
        features = model.image_encoder.attend(
            model.image_encoder.tokens_before_last(squares),
            model.patches(pairs),
            pairs.image_index,
            hidden_bias=hidden_bias(mask),
        )
        logits = model.classifier(features)
    np.testing.assert_allclose(logits, expected[array], atol=1e-3)


class Pairs:
    """What `DEFRDet.patches` reads of candidate pairs."""

    def __init__(self, human_boxes, object_boxes, image_index) -> None:
        self.human_boxes, self.object_boxes = human_boxes, object_boxes
        self.image_index = image_index
        self.instances = [type("Image", (), {"image_size": (672, 672)})]


def small_release(*, linear: bool = False, tower: str = "visual_encoder.visual.") -> dict:
    """A small DEFR in the release's names: one block of 32 channels, patches of 8 pixels."""
    dim, classes = VIT["embed_dim"], 600
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return 0.1 * torch.randn(*shape, generator=generator)

    names = {"class_embedding": (dim,), "conv1.weight": (dim, 3, *[VIT["patch_size"]] * 2)}
    names["positional_embedding"] = (1 + (32 // VIT["patch_size"]) ** 2, dim)
    for norm in ("ln_pre", "ln_post"):
        names |= {f"{norm}.weight": (dim,), f"{norm}.bias": (dim,)}
    for block in range(VIT["depth"]):
        inner = int(dim * VIT.get("mlp_ratio", 4))
        layers = {"attn.in_proj_weight": (3 * dim, dim), "attn.in_proj_bias": (3 * dim,)}
        layers |= {"attn.out_proj.weight": (dim, dim), "attn.out_proj.bias": (dim,)}
        layers |= {"mlp.c_fc.weight": (inner, dim), "mlp.c_fc.bias": (inner,)}
        layers |= {"mlp.c_proj.weight": (dim, inner), "mlp.c_proj.bias": (dim,)}
        for norm in ("ln_1", "ln_2"):
            layers |= {f"{norm}.weight": (dim,), f"{norm}.bias": (dim,)}
        names |= {f"transformer.resblocks.{block}.{n}": shape for n, shape in layers.items()}
    weights = {f"{tower}{name}": draw(*shape) for name, shape in names.items()}
    if linear:
        return weights | {"classifier.weight": draw(classes, dim), "classifier.bias": draw(classes)}
    return weights | {"classifier": draw(classes, dim), "logit_scale": torch.tensor(3.0)}


def small_model(*options: object, architecture: str = "DEFR") -> torch.nn.Module:
    cfg = tiny_config(architecture, "MODEL.CLASSIFIER.INIT", "random", "INPUT.SQUARE_SIZE", 32)
    cfg.MODEL.IMAGE_ENCODER.NAME = CLIP_VIT
    cfg.MODEL.IMAGE_ENCODER.OPTIONS = type(cfg)(VIT)
    cfg.merge_from_list(list(options))
    return build_model(cfg).eval()


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("architecture", ["DEFR", "DEFR-Det"])
def test_the_scale_is_the_file_s(tmp_path, prefix, architecture):
    weights = {f"{prefix}{name}": value for name, value in small_release().items()}
    torch.save({"model_state_dict": weights, "epoch": 1}, tmp_path / "a.pt")
    model = small_model(architecture=architecture)
    layout = HOICheckpointer(model).load(str(tmp_path / "a.pt"))["layout"]
    assert layout == "defr_release" and model.classifier.scale == pytest.approx(np.exp(3.0))
    assert torch.equal(model.classifier.weight, weights[f"{prefix}classifier"])


def test_linear_variants(tmp_path):
    weights = small_release(linear=True)
    torch.save({"model_state_dict": weights}, tmp_path / "a.pt")
    model = small_model("MODEL.CLASSIFIER.HEAD", "linear", "MODEL.CLASSIFIER.SCALE", 1.0)
    HOICheckpointer(model).load(str(tmp_path / "a.pt"))
    assert torch.equal(model.classifier.bias, weights["classifier.bias"])
    assert model.classifier.scale == 1.0
    with pytest.raises(WeightsError, match=r"linear classifier.*MODEL\.CLASSIFIER\.HEAD to linear"):
        HOICheckpointer(small_model()).load(str(tmp_path / "a.pt"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {n.replace("visual_encoder.visual", "visual_encoder.vit"): w[n] for n in w},
         "ImageNet image tower"),
        (lambda w: {n: w[n] for n in w if "classifier" not in n}, "no classifier"),
        (lambda w: {n: w[n] for n in w if "ln_post" not in n}, "ln_post|norm"),
    ],
)  # fmt: skip
def test_other_files_are_refused(tmp_path, change, message):
    torch.save({"model_state_dict": change(small_release())}, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=message):
        HOICheckpointer(small_model()).load(str(tmp_path / "a.pt"))
