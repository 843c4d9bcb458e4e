"""Loads CLIP's text towers from OpenCLIP's files, the only ones for CLIP's ResNets.

`timm/resnet50_clip.openai` and its like on the hub hold the whole CLIP under OpenAI's names. Here
they become transformers' `CLIPTextModelWithProjection`, which computes the same.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.weight_files import read_weights

CONFIG = "open_clip_config.json"
_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
# OpenAI's names -> transformers', one after the other.
_NAMES = (
    (r"^token_embedding\.", "text_model.embeddings.token_embedding."),
    (r"^positional_embedding$", "text_model.embeddings.position_embedding.weight"),
    (r"^transformer\.resblocks\.", "text_model.encoder.layers."),
    (r"^ln_final\.", "text_model.final_layer_norm."),
    (r"\.attn\.out_proj\.", ".self_attn.out_proj."),
    (r"\.ln_([12])\.", r".layer_norm\1."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
)


def load_open_clip_text(folder: Path) -> tuple[Any, torch.nn.Module]:
    """Loads the tokenizer and the text tower.

    Raises:
        OSError: no weight file, or no tokenizer.
        WeightsError: the weights do not fit what the config says.
    """
    from transformers import AutoTokenizer, CLIPTextConfig, CLIPTextModelWithProjection

    tokenizer = AutoTokenizer.from_pretrained(folder)
    described = json.loads((folder / CONFIG).read_text())["model_cfg"]
    text = described["text_cfg"]
    config = CLIPTextConfig(
        vocab_size=text["vocab_size"],
        max_position_embeddings=text["context_length"],
        hidden_size=text["width"],
        intermediate_size=4 * text["width"],
        num_attention_heads=text["heads"],
        num_hidden_layers=text["layers"],
        projection_dim=described["embed_dim"],
        hidden_act="quick_gelu" if described.get("quick_gelu") else "gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = CLIPTextModelWithProjection(config)
    file = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if file is None:
        raise OSError(f"{folder} holds none of {', '.join(_WEIGHTS)}")
    wanted = set(model.state_dict())
    weights = {n: t for n, t in text_weights(read_weights(file).weights).items() if n in wanted}
    if lacking := sorted(wanted - set(weights) - {"text_model.embeddings.position_ids"}):
        raise WeightsError(f"{file} lacks {lacking[:3]} of the text tower that {CONFIG} describes")
    model.load_state_dict(weights, strict=False)
    return tokenizer, model.float().eval().requires_grad_(False)


def text_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """CLIP's text tower under transformers' names; the image tower is left out."""
    found = {}
    for name, tensor in weights.items():
        if name.startswith("visual."):
            continue
        for pattern, replacement in _NAMES:
            name = re.sub(pattern, replacement, name)
        if name == "text_projection":
            found["text_projection.weight"] = tensor.T.contiguous()
        elif ".attn.in_proj_" in name:
            before, kind = name.split(".attn.in_proj_")
            for which, part in zip("qkv", tensor.chunk(3)):
                found[f"{before}.self_attn.{which}_proj.{kind}"] = part.contiguous()
        else:
            found[name] = tensor
    return found
