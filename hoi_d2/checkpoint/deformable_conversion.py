"""Weights of Deformable DETR's and H-DETR's own code under the names of transformers.

Files of fundamentalvision/Deformable-DETR and HDETR/H-Deformable-DETR (ResNet or Swin), the
fine-tuned ones of fredzzhang/pvic, and a whole PViC, of which the detector is taken. The names of
transformers are those of version 5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from hoi_d2.checkpoint.conversion import rename_resnet, split_fused
from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.weight_files import WeightFile

_SIGN = "transformer.level_embed"
_WHOLE = "detector."  # before the detector's names in a whole PViC
_BACKBONE = "model.backbone.model."
_FINAL_NORM = f"{_BACKBONE}swin.layernorm."
_RULES = (
    (r"^transformer\.", "model."),
    (r"^input_proj\.", "model.input_proj."),
    (r"^backbone\.0\.body\.", _BACKBONE),
    (r"\.self_attn\.out_proj\.", ".self_attn.o_proj."),
    (r"\.cross_attn\.", ".encoder_attn."),
    (r"\.linear([12])\.", r".mlp.fc\1."),
    (r"(\.encoder\.layers\.\d+)\.norm1\.", r"\1.self_attn_layer_norm."),
    (r"(\.encoder\.layers\.\d+)\.norm2\.", r"\1.final_layer_norm."),
    # In the decoder the norms are numbered in the order in which they were written.
    (r"(\.decoder\.layers\.\d+)\.norm1\.", r"\1.encoder_attn_layer_norm."),
    (r"(\.decoder\.layers\.\d+)\.norm2\.", r"\1.self_attn_layer_norm."),
    (r"(\.decoder\.layers\.\d+)\.norm3\.", r"\1.final_layer_norm."),
)
_SWIN_RULES = (  # below _BACKBONE
    (r"^patch_embed\.proj\.", "swin.embeddings.patch_embeddings.projection."),
    (r"^patch_embed\.norm\.", "swin.embeddings.norm."),
    (r"^layers\.", "swin.encoder.layers."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.(relative_position_bias)_table", r".\1.\1_table"),
    (r"\.attn\.proj\.", ".attn.o_proj."),
    (r"\.attn\.", ".attention."),
)


def is_deformable(names: Mapping[str, Tensor]) -> bool:
    """Whether these are the names of Deformable DETR's own code."""
    return _SIGN in names or f"{_WHOLE}{_SIGN}" in names


def deformable_weights(
    file: WeightFile, *, num_queries: int, mixed_selection: bool
) -> dict[str, Tensor]:
    """The weights as `DeformableDetrForObjectDetection.state_dict()` names them.

    Args:
        file: as it was read.
        num_queries: of the model that takes them. A file of hybrid matching holds those of the
            one-to-many branch behind them, which only training uses.
        mixed_selection: `query_embed` is the contents of two-stage queries (`MixedSelection`);
            False = contents and positions of queries without proposals.

    Raises:
        WeightsError: the file is not of this layout.
    """
    if not is_deformable(file.weights):
        raise WeightsError(f"{file.name} holds no Deformable DETR: it has no {_SIGN}")
    weights = file.weights
    if _SIGN not in weights:
        weights = {n.removeprefix(_WHOLE): t for n, t in weights.items() if n.startswith(_WHOLE)}
    found = {_renamed(name): tensor for name, tensor in split_fused(_split_swin(weights)).items()}
    queries = found.pop("query_embed.weight", None)
    if mixed_selection:
        for kind in ("weight", "bias"):
            name = f"model.pos_trans_norm.{kind}"
            if name in found:
                found[f"model.pos_trans_norm.norm.{kind}"] = found.pop(name)
    if queries is not None:
        name = "pos_trans_norm.content" if mixed_selection else "query_position_embeddings"
        found[f"model.{name}.weight"] = queries[:num_queries]
    return found


def _split_swin(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Swin's `qkv` as three projections, and a last norm that transformers has and never uses."""
    result: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        head, fused, kind = name.partition(".attn.qkv.")
        if name.endswith((".relative_position_index", "num_batches_tracked")):
            continue  # computed, or of no use
        if not fused:
            result[name] = tensor
            continue
        for part, rows in zip("qkv", tensor.chunk(3)):
            result[f"{head}.attn.{part}_proj.{kind}"] = rows.clone()
    if (last := weights.get("backbone.0.body.norm3.weight")) is not None:
        result[f"{_FINAL_NORM}weight"] = torch.ones_like(last)
        result[f"{_FINAL_NORM}bias"] = torch.zeros_like(last)
    return result


def _renamed(name: str) -> str:
    for pattern, replacement in _RULES:
        name = re.sub(pattern, replacement, name)
    if not name.startswith(_BACKBONE) or name.startswith(_FINAL_NORM):
        return name
    inner = rename_resnet(name).removeprefix(_BACKBONE)
    if norm := re.match(r"norm(\d)\.(weight|bias)$", inner):
        return f"{_BACKBONE}hidden_states_norms.stage{int(norm[1]) + 1}.{norm[2]}"
    for pattern, replacement in _SWIN_RULES:
        inner = re.sub(pattern, replacement, inner)
    return _BACKBONE + inner
