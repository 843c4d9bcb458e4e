"""Weight files of every layout fill the encoder; what does not fit is refused by name."""

import logging

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.modeling.image_encoder import build_image_encoder
from hoi_d2.modeling.image_encoder.weights import load_image_encoder_weights
from hoi_d2.utils.files import sha256_of
from tests.modeling.image_encoder.small_encoders import (
    CLIP_VIT,
    RESNET,
    VIT,
    encoder_config,
    small_encoder,
)

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def transformers_clip():
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

    torch.manual_seed(3)
    text = CLIPTextConfig(
        vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=8,
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4,
        image_size=32, patch_size=8, hidden_act="quick_gelu",
    )  # fmt: skip
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=20)).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def openai_names(network, projection):
    """A timm ViT's weights as OpenAI's file has them."""
    found = {"visual.proj": projection, "logit_scale": torch.tensor(4.6)}
    for name, tensor in network.state_dict().items():
        for ours, theirs in (
            ("patch_embed.proj", "conv1"),
            ("blocks.", "transformer.resblocks."),
            ("norm_pre", "ln_pre"),
            ("norm1", "ln_1"),
            ("norm2", "ln_2"),
            ("attn.qkv.", "attn.in_proj_"),
            ("attn.proj", "attn.out_proj"),
            ("mlp.fc1", "mlp.c_fc"),
            ("mlp.fc2", "mlp.c_proj"),
            ("cls_token", "class_embedding"),
            ("pos_embed", "positional_embedding"),
        ):
            name = name.replace(ours, theirs)
        name = name.replace("norm.", "ln_post.") if name.startswith("norm.") else name
        squeezed = tensor.squeeze() if name in ("class_embedding",) else tensor
        found[f"visual.{name}"] = squeezed[0] if name == "positional_embedding" else squeezed
    return {name: tensor.contiguous() for name, tensor in found.items()}


def timm_names(network, projection):
    head = {"head.weight": projection.T.contiguous(), "head.bias": torch.zeros(len(projection.T))}
    return network.state_dict() | head


@pytest.mark.parametrize("names", [timm_names, openai_names])
@torch.no_grad()
def test_layouts_of_a_vit(names, tmp_path):
    source = small_encoder()
    projection = torch.randn(32, 20)
    save_file(names(source.network, projection), tmp_path / "model.safetensors")
    torch.manual_seed(9)
    encoder = build_image_encoder(
        encoder_config(options={**VIT, "visual_projection": 20}, WEIGHTS=str(tmp_path))
    ).eval()
    torch.testing.assert_close(encoder(IMAGES), source(IMAGES))
    torch.testing.assert_close(encoder.visual_projection, projection)
    assert not encoder.is_random


@torch.no_grad()
def test_transformers_clip_gives_the_same_features_and_projection(transformers_clip, tmp_path):
    transformers_clip.save_pretrained(tmp_path)
    options = {**VIT, "visual_projection": 20}
    encoder = build_image_encoder(encoder_config(options=options, WEIGHTS=str(tmp_path))).eval()
    right = transformers_clip.vision_model(pixel_values=IMAGES).pooler_output
    torch.testing.assert_close(encoder(IMAGES), right, atol=1e-5, rtol=1e-5)
    embedding = transformers_clip.visual_projection(right)
    torch.testing.assert_close(encoder(IMAGES) @ encoder.visual_projection, embedding)


@torch.no_grad()
def test_a_resnet_in_timms_and_openais_names(tmp_path):
    source = small_encoder("resnet", size=32)
    save_file(source.network.state_dict(), tmp_path / "a.safetensors")
    encoder = small_encoder("resnet", size=32, num_classes=24)
    encoder.network.head.proj.weight.zero_()
    load_image_encoder_weights(encoder, tmp_path / "a.safetensors")
    torch.testing.assert_close(encoder(IMAGES), source(IMAGES))
    assert encoder.visual_projection is None


def resized_by_hand(table, grid):
    side = round((len(table) - 1) ** 0.5)
    cells = table[1:].T.reshape(1, -1, side, side)
    cells = F.interpolate(cells, size=grid, mode="bicubic", align_corners=False)
    return torch.cat([table[:1], cells[0].flatten(1).T])


@pytest.mark.parametrize(
    "kind, first, second", [("vit", 32, 56), ("vit", 56, 32), ("resnet", 64, 160)]
)
@torch.no_grad()
def test_positions_are_resized_bicubic(kind, first, second, tmp_path):
    """Of a ViT and of an attention pool; the first token's stays; own checkpoints too."""
    options = {"visual_projection": 0} if kind == "vit" else {}
    source, target = (small_encoder(kind, size=side, **options) for side in (first, second))
    own = source.network.get_parameter(source.position_table)
    files = {
        "timm.safetensors": source.network.state_dict(),
        "own.safetensors": {f"image_encoder.{n}": t for n, t in source.state_dict().items()},
    }
    for name, weights in files.items():
        save_file(weights, tmp_path / name)
        load_image_encoder_weights(target, tmp_path / name)
        table = target.network.get_parameter(target.position_table)
        right = resized_by_hand(own.reshape(-1, own.shape[-1]), target.grid)
        torch.testing.assert_close(table.reshape(right.shape), right)
        assert target(torch.randn(1, 3, second, second)).shape == (1, target.width)


def hub_cache(root, hub_id, weights):
    """The hub's cache as a download leaves it."""
    repository = root / f"models--{hub_id.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("0123abcd" * 5)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abcd" * 5)
    save_file(weights, snapshot / "model.safetensors")
    (snapshot / "config.json").write_text("{}")
    return snapshot / "model.safetensors"


def test_by_name_and_hash_from_the_hubs_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    source = small_encoder(visual_projection=512)
    projection = torch.randn(32, 512)
    weights = timm_names(source.network, projection)
    file = hub_cache(tmp_path, "timm/vit_base_patch32_clip_224.openai", weights)
    name = CLIP_VIT + ".openai"
    encoder = build_image_encoder(encoder_config(name, SHA256=sha256_of(file)[:16])).eval()
    torch.testing.assert_close(encoder(IMAGES), source(IMAGES))
    torch.testing.assert_close(encoder.visual_projection, projection)
    with pytest.raises(WeightsError, match="SHA-256"):
        build_image_encoder(encoder_config(name, SHA256="0123456789abcdef"))


def test_random_where_none_can_be_had_and_says_so(tmp_path, monkeypatch, caplog):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with caplog.at_level(logging.WARNING, logger="hoi_d2"):
        encoder = build_image_encoder(encoder_config(CLIP_VIT + ".openai"))
    assert encoder.is_random
    assert "RANDOM WEIGHTS" in caplog.text and "IMAGE_ENCODER.WEIGHTS" in caplog.text
    caplog.clear()
    cfg = encoder_config(CLIP_VIT + ".openai")
    cfg.MODEL.WEIGHTS = "a_checkpoint.pth"  # it will fill the encoder
    with caplog.at_level(logging.WARNING, logger="hoi_d2"):
        assert build_image_encoder(cfg).is_random
        assert build_image_encoder(encoder_config()).is_random  # from scratch, as asked for
    assert not caplog.records


def test_what_does_not_fit_is_refused(tmp_path):
    source = small_encoder()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        build_image_encoder(encoder_config(WEIGHTS=str(tmp_path / "nowhere.pth")))
    path = tmp_path / "a.safetensors"
    save_file(source.network.state_dict(), path)
    with pytest.raises(WeightsError, match="patches of 8 pixels"):
        load_image_encoder_weights(small_encoder(patch_size=16), path)
    with pytest.raises(WeightsError, match=r"missing.*visual_projection"):
        load_image_encoder_weights(small_encoder(), path)
    classifier = source.network.state_dict() | {"head.weight": torch.ones(20, 32)}
    save_file(classifier | {"head.bias": torch.ones(20)}, path)
    with pytest.raises(WeightsError, match="classifier"):
        load_image_encoder_weights(small_encoder(), path)
    without = small_encoder(visual_projection=0)  # an ImageNet model: the classifier is left
    load_image_encoder_weights(without, path)


BAD = [
    ("no_such_model", 32, {}, "timm has no model"),
    ("vit_base_patch16_224.no_such_tag", 32, {}, "no such weights"),
    ("vit_base_patch16_224", 40, {}, "patches of"),
    ("resnet50_clip", 48, RESNET, "patches of"),
    ("resnet18", 32, {}, "one query|cannot be built"),
    ("resnet50_clip_gap", 32, {"depths": [1] * 4, "channels": [8] * 4}, "attention pool"),
    ("vit_base_patch16_224", 32, VIT | {"reg_tokens": 2}, "extra token"),
    ("vit_base_patch16_224", 32, {"no_such_option": 1}, "no_such_option"),
]  # fmt: skip


@pytest.mark.parametrize("name, size, options, message", BAD)
def test_names_and_sizes_that_cannot_be(name, size, options, message):
    with pytest.raises(ValueError, match=message):
        build_image_encoder(encoder_config(name, size, options))


# The encoders of DEFR's tables: name, D, width of the projection, what the hub calls its weights.
PAPER = [
    ("vit_base_patch32_clip_quickgelu_224.openai", 768, 512, "vit_base_patch32_clip_224.openai"),
    ("vit_base_patch16_clip_quickgelu_224.openai", 768, 512, "vit_base_patch16_clip_224.openai"),
    ("vit_large_patch14_clip_quickgelu_224.openai", 1024, 768, "vit_large_patch14_clip_224.openai"),
    ("resnet50_clip.openai", 1024, 0, "resnet50_clip.openai"),
    ("resnet101_clip.openai", 512, 0, "resnet101_clip.openai"),
    ("vit_base_patch32_224.augreg_in1k", 768, 0, "vit_base_patch32_224.augreg_in1k"),
    ("vit_base_patch32_224.augreg_in21k", 768, 0, "vit_base_patch32_224.augreg_in21k"),
]


@pytest.mark.parametrize("name, width, projection, hub_id", PAPER)
def test_the_papers_encoders(name, width, projection, hub_id):
    """One block deep, at another size than they were trained at."""
    is_vit = name.startswith("vit")
    size = 56 if "patch14" in name else 64
    options = {"depth": 1} if is_vit else {"depths": [1] * 4, "channels": [256, 512, 1024, 2048]}
    encoder = build_image_encoder(encoder_config(name, size, options)).eval()
    assert encoder.width == width
    stored = encoder.visual_projection
    assert (0 if stored is None else stored.shape[1]) == projection
    assert timm.get_pretrained_cfg(name).hf_hub_id == f"timm/{hub_id}"
    with torch.no_grad():
        features = encoder(encoder.normalize(torch.randint(0, 255, (1, 3, size, size))))
    assert features.shape == (1, width) and features.isfinite().all()
    clip = "clip" in name
    mean = (0.48145466, 0.4578275, 0.40821073) if clip else (0.5, 0.5, 0.5)
    torch.testing.assert_close(encoder.pixel_mean.flatten(), torch.tensor(mean))


def test_a_small_resnet_with_stages_of_its_own():
    """Four stages, of which the last keeps the resolution: stride 16."""
    options = {
        "depths": [1, 1, 2, 1],
        "channels": [8, 16, 24, 40],
        "strides": [1, 2, 2, 1],
        "block": "basic",
        "stem_chs": [4, 4, 8],
        "head_hidden_size": 64,
        "num_classes": 12,
    }
    encoder = build_image_encoder(encoder_config("resnet50_clip", 80, options))
    assert (encoder.grid, encoder.width) == ((5, 5), 12)
    mask, index = torch.rand(3, 25) > 0.5, torch.tensor([0, 0, 1])
    tokens = encoder.tokens_before_last(torch.randn(2, 3, 80, 80))
    assert encoder.attend(tokens, mask, index).shape == (3, 12)
    with pytest.raises(ValueError, match="patches of"):
        build_image_encoder(encoder_config("resnet50_clip", 88, options))
