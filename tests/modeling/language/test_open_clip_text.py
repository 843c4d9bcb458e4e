"""CLIP's text tower out of OpenCLIP's files: the same vectors as out of transformers'."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.modeling.language.text_encoder import encode_sentences
from tests.modeling.language.small_encoders import CORPUS, save_encoder

SENTENCES = [*sorted(set(CORPUS)), "is"]


def openai_names(weights):
    """transformers' text tower under OpenAI's names, written down the other way round."""
    text = "text_model."
    found = {
        "token_embedding.weight": weights[f"{text}embeddings.token_embedding.weight"],
        "positional_embedding": weights[f"{text}embeddings.position_embedding.weight"],
        "ln_final.weight": weights[f"{text}final_layer_norm.weight"],
        "ln_final.bias": weights[f"{text}final_layer_norm.bias"],
        "text_projection": weights["text_projection.weight"].T.contiguous(),
        "visual.conv1.weight": torch.zeros(2, 3, 4, 4),
        "logit_scale": torch.tensor(4.6),
    }
    pairs = {"out_proj": "self_attn.out_proj", "ln_1": "layer_norm1", "ln_2": "layer_norm2"}
    pairs |= {"mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    for layer in range(2):
        there, here = f"{text}encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
        for kind in ("weight", "bias"):
            parts = [weights[f"{there}self_attn.{w}_proj.{kind}"] for w in "qkv"]
            found[f"{here}attn.in_proj_{kind}"] = torch.cat(parts)
            for name, other in pairs.items():
                own = "attn.out_proj" if name == "out_proj" else name
                found[f"{here}{own}.{kind}"] = weights[f"{there}{other}.{kind}"].clone()
    return found


@pytest.fixture
def folders(tmp_path):
    """The same small CLIP text tower in both layouts."""
    save_encoder("clip_text", tmp_path / "transformers")
    source, target = tmp_path / "transformers", tmp_path / "open_clip"
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("config.json", "*.safetensors"))
    config = json.loads((source / "config.json").read_text())
    text = {
        "context_length": config["max_position_embeddings"],
        "vocab_size": config["vocab_size"],
        "width": config["hidden_size"],
        "heads": config["num_attention_heads"],
        "layers": config["num_hidden_layers"],
    }
    model = {"embed_dim": 24, "text_cfg": text, "quick_gelu": config["hidden_act"] == "quick_gelu"}
    (target / "open_clip_config.json").write_text(json.dumps({"model_cfg": model}))
    weights = openai_names(load_file(source / "model.safetensors"))
    # The small towers have a narrow MLP, CLIP's is four times as wide as the tower.
    save_file(widened(weights, config["hidden_size"]), target / "open_clip_model.safetensors")
    return source, target


def widened(weights, width):
    """Units of the MLP that are always zero do not change what it computes."""
    for name in [n for n in weights if ".mlp." in n]:
        tensor, wide = weights[name], 4 * width
        if name.endswith("c_proj.weight"):
            weights[name] = torch.cat([tensor, torch.zeros(width, wide - tensor.shape[1])], dim=1)
        elif "c_fc" in name:
            rows = torch.zeros(wide - tensor.shape[0], *tensor.shape[1:])
            weights[name] = torch.cat([tensor, rows])
    return weights


def encoded(folder, tmp_path):
    return encode_sentences(
        SENTENCES, encoder=str(folder), pooling="clip", cache_dir=tmp_path / "cache"
    )


def test_the_same_vectors(folders, tmp_path):
    expected, found = (encoded(folder, tmp_path) for folder in folders)
    torch.testing.assert_close(found.sentence, expected.sentence)
    torch.testing.assert_close(found.words, expected.words)
    assert torch.equal(found.word_mask, expected.word_mask) and not found.is_random


def test_weights_that_are_lacking_are_named(folders, tmp_path):
    file = folders[1] / "open_clip_model.safetensors"
    weights = load_file(file)
    del weights["ln_final.bias"]
    save_file(weights, file)
    with pytest.raises(WeightsError, match=r"final_layer_norm\.bias"):
        encoded(folders[1], tmp_path)


def test_what_is_not_here_is_replaced_by_random_vectors(tmp_path, caplog):
    random = encode_sentences(
        SENTENCES, encoder="timm/resnet50_clip.openai", pooling="clip", cache_dir=tmp_path
    )
    assert random.is_random and random.sentence.shape == (len(SENTENCES), 1024)
    assert "RANDOM TEXT VECTORS" in caplog.text
