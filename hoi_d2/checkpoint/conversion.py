"""Layouts of DETR's weights: which one a file has, and how its names become ours.

Our names are those of transformers 5 below `network.detr.`. Known layouts:

- facebook: `detr-r50-e632da11.pth` and its like; 91 outputs by COCO id; fused attention inputs.
- upt: `detr-r50-hicodet.pth` and its like; Facebook's names below `model_state_dict`, 80 outputs;
  also a whole UPT, of which the detector is taken.
- transformers: `facebook/detr-resnet-50`, `microsoft/conditional-detr-resnet-50`, and what
  transformers' `save_pretrained` writes; backbone of timm or of transformers.
- resnet: a classifier's ResNet of torchvision or timm, from which a detector's training starts.
- detr, rmlr: what this project saves.
- defr_release: DEFR's published checkpoints (`hoi_d2/checkpoint/defr_release.py`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hoi_d2.checkpoint.defr_release import LAYOUT as DEFR_RELEASE
from hoi_d2.checkpoint.defr_release import is_defr_release
from hoi_d2.checkpoint.errors import WeightsError, other_shapes_named
from hoi_d2.checkpoint.weight_files import WeightFile
from hoi_d2.data.class_spaces import class_map, class_space, likely_order_of_80, missing_classes

logger = logging.getLogger(__name__)

DETECTOR_LAYOUTS = ("facebook", "upt", "transformers", "resnet", "detr")
"""Layouts of files that hold a detector alone."""
CLASSIFIER = "network.detr.class_labels_classifier."
DETECTOR_PREFIX = "entity_detector."
_PREFIX = "network.detr."
_PANOPTIC = "detr."  # before the detector's names in Facebook's panoptic files
_QPIC_HEADS = ("obj_", "sub_", "verb_")  # copies of DETR's heads that QPIC's converter adds
# Of a detector's training alone.
_TRAINING_ONLY = ("dense_heads.", "network.extra_queries.")

_FACEBOOK_RULES = (
    (r"^transformer\.", "model."),
    (r"^query_embed\.", "model.query_position_embeddings."),
    (r"^input_proj\.", "model.input_projection."),
    (r"^class_embed\.", "class_labels_classifier."),
    (r"^bbox_embed\.", "bbox_predictor."),
    (r"^backbone\.0\.body\.", "model.backbone.model."),
    (r"^model\.decoder\.norm\.", "model.decoder.layernorm."),
    (r"\.multihead_attn\.", ".encoder_attn."),
    (r"\.out_proj\.", ".o_proj."),
    (r"\.linear([12])\.", r".mlp.fc\1."),
    (r"\.norm1\.", ".self_attn_layer_norm."),
    (r"(encoder\.layers\.\d+)\.norm2\.", r"\1.final_layer_norm."),
    (r"\.norm2\.", ".encoder_attn_layer_norm."),
    (r"\.norm3\.", ".final_layer_norm."),
)
_TRANSFORMERS_RULES = (  # names of transformers 4, in which the hub's files are
    (r"^model\.backbone\.conv_encoder\.", "model.backbone."),
    (r"^model\.backbone\.model\._backbone\.", "model.backbone.model."),
    (r"\.out_proj\.", ".o_proj."),
    (r"(layers\.\d+)\.fc([12])\.", r"\1.mlp.fc\2."),
    # Conditional DETR's decoder
    (r"\.sa_([qk])(content|pos)_proj\.", r".self_attn.\1_\2_proj."),
    (r"\.sa_v_proj\.", ".self_attn.v_proj."),
    (r"\.ca_([qk])(content|pos)_proj\.", r".encoder_attn.\1_\2_proj."),
    (r"\.ca_qpos_sine_proj\.", ".encoder_attn.q_pos_sine_proj."),
    (r"\.ca_v_proj\.", ".encoder_attn.v_proj."),
)
_RESNET_RULES = (  # torchvision's and timm's names
    (r"\.backbone\.model\.conv1\.", ".backbone.model.embedder.embedder.convolution."),
    (r"\.backbone\.model\.bn1\.", ".backbone.model.embedder.embedder.normalization."),
    (r"\.downsample\.0\.", ".shortcut.convolution."),
    (r"\.downsample\.1\.", ".shortcut.normalization."),
)
_RESNET_BLOCK = re.compile(r"\.backbone\.model\.layer(\d+)\.(\d+)\.(?:(conv|bn)(\d+)\.)?")


@dataclass
class DetectorWeights:
    """A detector's weights in our names.

    Attributes:
        layout: of the file.
        weights: names as in `Detr.state_dict()`.
        classes: names of the outputs; None = not known, so those of the model that takes them.
    """

    layout: str
    weights: dict[str, Tensor]
    classes: tuple[str, ...] | None


def recognise_layout(file: WeightFile) -> str:
    """The name of a known layout, see above; "" = none of them."""
    names = file.weights.keys()
    if is_defr_release(names):
        return DEFR_RELEASE
    if "verb_class_embed.weight" in names:
        raise WeightsError(
            f"{file.name} is a whole QPIC or CDN model, which detects pairs without a detector of "
            "its own: it cannot be used here. `hoi-d2 convert-results` reads its results"
        )
    if any(name.startswith("interaction_heads.") for name in names):
        return "rmlr"
    if any(name.startswith(("network.detr.", f"{DETECTOR_PREFIX}network.")) for name in names):
        return "detr"
    if "class_labels_classifier.weight" in names:
        return "transformers"
    if "detector.class_embed.weight" in names:
        return "upt"
    if f"{_PANOPTIC}class_embed.weight" in names:
        return "facebook"
    if "class_embed.weight" in names and any(n.startswith("transformer.") for n in names):
        return "upt" if file.weights_key == "model_state_dict" else "facebook"
    if {"conv1.weight", "layer1.0.conv1.weight", "fc.weight"} <= names:
        return "resnet"
    return ""


def detector_weights(file: WeightFile, *, classes: str = "") -> DetectorWeights:
    """The detector of a file of any layout.

    Args:
        file: as it was read.
        classes: class space of its outputs, where the layout does not tell it right.

    Raises:
        WeightsError: no known layout, a checkpoint without its detector, or a weight of a shape
            that its layout does not have.
    """
    with other_shapes_named(file.name):
        return _detector_weights(file, classes)


def _detector_weights(file: WeightFile, classes: str) -> DetectorWeights:
    layout = recognise_layout(file)
    if layout in ("detr", "rmlr"):
        weights, names = _own_detector(file), _own_classes(file)
    elif layout == "transformers":
        weights, names = _renamed(file.weights, _TRANSFORMERS_RULES), file.labels
    elif layout == "resnet":
        weights, names = backbone_weights(file.weights), None
    elif layout:
        weights = _renamed(split_fused(_facebook_part(file.weights)), _FACEBOOK_RULES)
        names = None
    else:
        raise unknown_layout(file)
    classifier = weights.get(f"{CLASSIFIER}weight")
    if classes:
        names = class_space(classes)
    elif names is None and classifier is not None and layout not in ("detr", "rmlr"):
        names = _foreign_classes(classifier, layout, file.name)
    return DetectorWeights(layout, weights, names)


def backbone_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A classifier's ResNet without its classes, in our names."""
    below = {f"model.backbone.model.{n}": t for n, t in weights.items() if n.split(".")[0] != "fc"}
    return _renamed(below, ())


def unknown_layout(file: WeightFile) -> WeightsError:
    """The error for a file of no known layout."""
    some = ", ".join(sorted(file.weights)[:4])
    return WeightsError(
        f"{file.name} has weights of no known layout ({some}, ...). Known are DETR of Facebook, "
        "UPT, transformers (DETR, Conditional DETR) and what hoi_d2 saves"
    )


def fit_classes(
    found: DetectorWeights, classes: tuple[str, ...] | None, num_outputs: int, source: str
) -> dict[str, Tensor]:
    """The weights with one classifier row for each output of a model, matched by name.

    Args:
        found: weights and the names of their outputs.
        classes: names of the model's outputs; None = not known, taken in the file's order.
        num_outputs: rows of the model's classifier, no-object included where it has that.
        source: for messages.

    Raises:
        WeightsError: the file has no output for one of the model's.
    """
    keys = [f"{CLASSIFIER}{part}" for part in ("weight", "bias")]
    names = found.classes
    if names is None or classes is None or names == classes or keys[0] not in found.weights:
        return found.weights
    if missing := missing_classes(names, classes):
        raise WeightsError(f"{source} has no output for {', '.join(missing)}")
    rows = class_map(classes, names)
    # An output that means nothing takes one that means nothing, and may be left over.
    spare = [i for i, row in enumerate(class_map(names, classes).tolist()) if row < 0]
    unnamed = rows.lt(0).nonzero().flatten().tolist()
    if len(spare) < len(unnamed):
        raise WeightsError(f"{source} has too few unnamed outputs: {len(spare)}")
    rows[unnamed] = torch.tensor(spare[: len(unnamed)], dtype=torch.int64)
    no_object = torch.arange(len(names), len(found.weights[keys[0]]))
    if len(rows) + len(no_object) != num_outputs:
        return found.weights  # the check of the shapes says what is wrong
    rows = torch.cat([rows, no_object])
    logger.info("%s: %d outputs become %d by name", source, len(names), len(classes))
    return found.weights | {key: found.weights[key][rows] for key in keys}


def _own_detector(file: WeightFile) -> dict[str, Tensor]:
    weights = {
        name.removeprefix(DETECTOR_PREFIX): tensor
        for name, tensor in file.weights.items()
        if name.startswith((f"{DETECTOR_PREFIX}network.", "network."))
    }
    weights = {n: t for n, t in weights.items() if not n.startswith(_TRAINING_ONLY)}
    if not weights:
        raise WeightsError(
            f"{file.name} is an RmLR checkpoint without its entity detector (kept by hash). "
            "Name the detector's own file, or train with SOLVER.CHECKPOINT_FROZEN True"
        )
    return weights


def _own_classes(file: WeightFile) -> tuple[str, ...] | None:
    """What `HOICheckpointer.save` wrote of the outputs' names."""
    names = file.extra.get("classes")
    return tuple(names) if isinstance(names, list) else None


def _facebook_part(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The detector of a whole UPT, of a panoptic DETR, or of a file that QPIC converted."""
    for prefix in ("detector.", _PANOPTIC):
        if f"{prefix}class_embed.weight" in weights:
            return {n.removeprefix(prefix): t for n, t in weights.items() if n.startswith(prefix)}
    return {n: t for n, t in weights.items() if not n.startswith(_QPIC_HEADS)}


def split_fused(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torch's `in_proj_weight` (3 d, d) is query, key and value one below the other."""
    result: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        head, fused, kind = name.partition(".in_proj_")
        if not fused:
            result[name] = tensor
            continue
        for part, rows in zip("qkv", tensor.chunk(3)):
            result[f"{head}.{part}_proj.{kind}"] = rows.clone()
    return result


def _renamed(
    weights: Mapping[str, Tensor], rules: tuple[tuple[str, str], ...]
) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if name.endswith("num_batches_tracked"):  # timm keeps it; frozen statistics have none
            continue
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        renamed[_PREFIX + rename_resnet(name)] = tensor
    return renamed


def rename_resnet(name: str) -> str:
    """torchvision's and timm's names below `model.backbone.model.` as those of transformers."""
    for pattern, replacement in _RESNET_RULES:
        name = re.sub(pattern, replacement, name)
    return _RESNET_BLOCK.sub(_resnet_block, name)


def _resnet_block(match: re.Match[str]) -> str:
    """layer1.0.conv2 -> encoder.stages.0.layers.0.layer.1.convolution; the same for bn2."""
    stage, block, kind, number = match.groups()
    name = f".backbone.model.encoder.stages.{int(stage) - 1}.layers.{block}."
    if kind is None:
        return name
    part = "convolution" if kind == "conv" else "normalization"
    return f"{name}layer.{int(number) - 1}.{part}."


def _foreign_classes(classifier: Tensor, layout: str, source: str) -> tuple[str, ...] | None:
    """Names of the outputs by their number; DETR has one more row for no-object."""
    rows = len(classifier)
    if rows in (91, 92):
        return class_space("coco_91")
    if rows == 82:
        return class_space("vcoco_81")
    if rows not in (80, 81):
        return None
    if layout != "upt":
        return class_space("coco_80")
    # Which of the two orders cannot be told from names.
    space = likely_order_of_80(classifier[:80])
    logger.info("%s: 80 outputs, taken to be in the order %s", source, space or "hico_80")
    return class_space(space or "hico_80")
