"""A whole UPT as its authors published it: which file is one, and how its head becomes ours.

`upt-r50-hicodet.pt` and its like (fredzzhang/upt) hold DETR below `detector.`, which
`conversion.detector_weights` reads, and the head of this file below `interaction_head.`.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.weight_files import WeightFile
from hoi_d2.data.vocabulary import hico_det_vocabulary, upt_vcoco_verbs
from hoi_d2.protocols import has_capability

logger = logging.getLogger(__name__)

_PREFIX = "interaction_head."
_PREDICTOR = f"{_PREFIX}box_pair_predictor."
# Of a box pair, in UPT's order; the second half are the logarithms.
_BOX_NUMBERS = (
    *("human_x", "human_y", "object_x", "object_y"),
    *("human_width", "human_height", "object_width", "object_height"),
    *("human_area", "object_area", "area_ratio", "human_aspect", "object_aspect", "iou"),
    *("right", "left", "below", "above"),
)
_RULES = (
    (r"^box_pair_predictor\.", "predictor."),
    (r"^spatial_head\.", "box_pair_encoder."),
    (r"^coop_layer\.mod_enc\.", "cooperative_layers."),
    (r"\.attn\.", ".attention."),
    (r"^(cooperative_layers\.\d+\.)ffn\.ffn\.", r"\1ffn."),
    (r"^(cooperative_layers\.\d+\.)ffn\.norm\.", r"\1ffn_norm."),
    (r"^comp_layer\.attention\.attention\.(query|key)\.", r"competitive_layer.query_key.\1."),
    (r"^comp_layer\.attention\.attention\.value\.", "competitive_layer.value."),
    (r"^comp_layer\.attention\.output\.aggregate\.", "competitive_layer.out."),
    (r"^comp_layer\.attention\.output\.norm\.", "competitive_layer.norm1."),
    (r"^comp_layer\.ffn\.ffn\.0\.", "competitive_layer.ffn.0."),
    (r"^comp_layer\.ffn\.ffn\.2\.", "competitive_layer.ffn.3."),
    (r"^comp_layer\.ffn\.norm\.", "competitive_layer.norm2."),
    (r"^mbf\.", "fusion."),
    (r"^mbf_g\.", "global_fusion."),
    (r"fusion\.fc_1\.", "fusion.from_tokens."),
    (r"fusion\.fc_2\.", "fusion.from_boxes."),
    (r"fusion\.fc_3\.", "fusion.fused."),
)
# Parts of one of our tensors: `name.0.weight`, `name.1.weight`, ...; query, then key.
_PART = re.compile(
    r"^(.*(?:query_key|\.attention|\.message|from_tokens|from_boxes|fused))"
    r"\.(\d+|query|key)\.(weight|bias)$"
)
_NEVER = -20.0  # logit of a verb that the file does not know


def is_whole_upt(file: WeightFile) -> bool:
    """Whether a file holds UPT's detector and its head."""
    return "detector.class_embed.weight" in file.weights and any(
        name.startswith(_PREFIX) for name in file.weights
    )


def check_takes_upt(file: WeightFile, model: nn.Module) -> None:
    """Raises WeightsError where a model with a detector in it is none that takes a whole UPT."""
    if not has_capability(model, "takes_whole_upt"):
        raise WeightsError(
            f"{file.name} holds a whole UPT, detector and head, and the model is of another kind "
            f"({type(model).__name__}). configs/UPT has the model that takes it; to take its "
            "detector alone, name the file in MODEL.ENTITY_DETECTOR.WEIGHTS"
        )


def detector_classes_of_upt(file: WeightFile) -> str:
    """The class space of a whole UPT's detector; "" = its rows have to tell it.

    A model for V-COCO numbers objects as COCO does. For HICO-DET both orders are in use.
    """
    rows = len(file.weights["detector.class_embed.weight"])
    on_vcoco = len(file.weights.get(f"{_PREDICTOR}bias", ())) == len(upt_vcoco_verbs())
    return "coco_80" if on_vcoco and rows == 81 else ""


def upt_head(
    file: WeightFile, *, verbs: Sequence[str], box_numbers: Sequence[str]
) -> dict[str, Tensor]:
    """The head of a whole UPT under the names of `UPTHeads`.

    Args:
        file: as it was read.
        verbs: the model's; the file's outputs become these by name, and a verb that the file does
            not know is never found.
        box_numbers: names of a box pair's numbers in the model's order, without logarithms.

    Raises:
        WeightsError: a tensor is missing among those that become one, or the verbs are others.
    """
    renamed = {
        _renamed(name.removeprefix(_PREFIX)): tensor
        for name, tensor in file.weights.items()
        if name.startswith(_PREFIX)
    }
    head = _joined(renamed, file.name)
    first = "box_pair_encoder.0.weight"
    if first in head and head[first].shape[1] == 2 * len(_BOX_NUMBERS):
        order = [_BOX_NUMBERS.index(name) for name in box_numbers]
        head[first] = head[first][:, [*order, *(len(order) + i for i in order)]]
    if "predictor.weight" in head and "predictor.bias" in head:
        head |= _of_verbs(head["predictor.weight"], head["predictor.bias"], verbs, file.name)
    return head


def _renamed(name: str) -> str:
    for pattern, replacement in _RULES:
        name = re.sub(pattern, replacement, name)
    return name


def _joined(weights: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """Heads, branches, queries and keys as blocks of one tensor each."""
    result: dict[str, Tensor] = {}
    parts: dict[tuple[str, str], dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in weights.items():
        if match := _PART.match(name):
            parts[match[1], match[3]][match[2]] = tensor
        else:
            result[name] = tensor
    for (name, kind), found in parts.items():
        expected = (
            ["query", "key"] if name.endswith("query_key") else list(map(str, range(len(found))))
        )
        if missing := [part for part in expected if part not in found]:
            raise WeightsError(
                f"{source} is not whole: part {missing[0]} of {name}.{kind} is missing"
            )
        result[f"{name}.{kind}"] = _block(name, kind, [found[part] for part in expected])
    return result


def _block(name: str, kind: str, tensors: list[Tensor]) -> Tensor:
    if name.endswith((".attention", ".message")):  # a layer for each head
        return torch.stack(tensors)
    if not name.endswith("fused"):  # outputs next to each other
        return torch.cat(tensors)
    # The branches' outputs are added up.
    return torch.cat(tensors, dim=1) if kind == "weight" else torch.stack(tensors).sum(dim=0)


def _of_verbs(weight: Tensor, bias: Tensor, verbs: Sequence[str], source: str) -> dict[str, Tensor]:
    """The predictor's rows for the model's verbs."""
    known = {117: hico_det_vocabulary().verbs, 24: upt_vcoco_verbs()}.get(len(bias))
    if known is None or tuple(known) == tuple(verbs):
        return {}
    rows = [known.index(verb) if verb in known else -1 for verb in verbs]
    lacking = [verb for verb, row in zip(verbs, rows) if row < 0]
    if 2 * len(lacking) > len(verbs):
        raise WeightsError(
            f"{source} has {len(known)} verbs ({', '.join(known[:3])}, ...), and the model has "
            f"others ({', '.join(verbs[:3])}, ...); set MODEL.HOI.VOCABULARY to "
            f"{'hico_det' if len(known) == 117 else 'vcoco_upt'}"
        )
    if lacking:
        logger.info("%s does not know %s: never found", source, ", ".join(lacking))
    index, absent = torch.tensor(rows), torch.tensor(rows) < 0
    return {
        "predictor.weight": weight[index].masked_fill(absent[:, None], 0.0),
        "predictor.bias": bias[index].masked_fill(absent, _NEVER),
    }
