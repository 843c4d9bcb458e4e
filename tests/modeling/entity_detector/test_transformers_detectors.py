"""Detectors of transformers give what transformers computes, from the hub's and the authors' files.

`deformable_reference.json` has what the code of github.com/HDETR/H-Deformable-DETR (commit f58ceb1,
on a CPU, with its own pure-torch attention) computes with weights made from names and shapes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hoi_d2.checkpoint import WeightsError
from hoi_d2.checkpoint.deformable_conversion import deformable_weights, is_deformable
from hoi_d2.checkpoint.strict import load_strictly
from hoi_d2.checkpoint.weight_files import WeightFile
from hoi_d2.modeling.entity_detector.build import build_entity_detector
from hoi_d2.modeling.entity_detector.mixed_selection import add_mixed_selection
from hoi_d2.modeling.entity_detector.transformers_detectors import TransformersEntityDetector
from tests.checkpoint.reference_weights import reference_weights
from tests.checkpoint.small_models import small_config
from tests.small_configs import SMALL_DEFORMABLE, SMALL_RESNET

NODE = "MODEL.ENTITY_DETECTOR"
REFERENCE = json.loads((Path(__file__).parent / "deformable_reference.json").read_text())
ONE_STAGE = {"two_stage": False, "num_queries": 9}
SINGLE = {
    **{k: v for k, v in SMALL_DEFORMABLE.items() if k.startswith(("d_", "enc", "dec", "num_l"))},
    "backbone_config": SMALL_RESNET | {"out_features": ["stage4"]},
    "num_queries": 9,
}
REAL_TIME = {
    "num_labels": 80,
    "encoder_in_channels": [16, 24, 32],
    "encoder_hidden_dim": 32,
    "encoder_ffn_dim": 32,
    "encoder_attention_heads": 4,
    "decoder_in_channels": [32, 32, 32],
    "d_model": 32,
    "decoder_ffn_dim": 32,
    "decoder_attention_heads": 4,
    "decoder_layers": 2,
    "num_denoising": 0,
    "num_queries": 9,
    "backbone_config": {
        **SMALL_RESNET,
        "model_type": "rt_detr_resnet",
        "embedding_size": 8,
        "hidden_sizes": [8, 16, 24, 32],
    },
}
HGNET = {
    "model_type": "hgnet_v2",
    "stem_channels": [3, 8, 8],
    "hidden_sizes": [16, 16, 24, 32],
    "stage_in_channels": [8, 16, 16, 24],
    "stage_mid_channels": [8, 8, 8, 8],
    "stage_out_channels": [16, 16, 24, 32],
    "stage_num_blocks": [1, 1, 1, 1],
    "stage_numb_of_layers": [2, 2, 2, 2],
    "out_features": ["stage2", "stage3", "stage4"],
}
NETWORKS: dict[str, dict[str, Any]] = {
    "one stage": SMALL_DEFORMABLE | ONE_STAGE | {"with_box_refine": False},
    "one stage, refined": SMALL_DEFORMABLE | ONE_STAGE,
    "two stages": SMALL_DEFORMABLE,
    "mixed selection": SMALL_DEFORMABLE | {"mixed_selection": True},
    "DETR": SINGLE | {"model_type": "detr"},
    "Conditional DETR": SINGLE | {"model_type": "conditional_detr"},
    "RT-DETR": REAL_TIME | {"model_type": "rt_detr"},
    "RT-DETR v2": REAL_TIME | {"model_type": "rt_detr_v2"},
    "D-FINE": REAL_TIME | {"model_type": "d_fine", "backbone_config": HGNET},
    "D-FINE, wide": {
        **REAL_TIME,
        "model_type": "d_fine",
        "backbone_config": HGNET,
        "encoder_hidden_dim": 48,  # of D-FINE X: 384, and 256 in the decoder
        "decoder_in_channels": [48, 48, 48],
    },
}


def detector_of(network: dict, folder: Path, *keys: object) -> TransformersEntityDetector:
    file = folder / "network.json"
    file.write_text(json.dumps(network))
    torch.manual_seed(0)
    options = (f"{NODE}.NAME", "TransformersEntityDetector", "MODEL.HOI.VOCABULARY", "hico_det")
    options += (f"{NODE}.TRANSFORMERS.CONFIG", str(file), f"{NODE}.TRANSFORMERS.SIZE", [])
    detector = build_entity_detector(small_config(*options, *keys, architecture="RmLR"))
    for parameter in detector.parameters():  # heads that start at 0 give all queries one class
        parameter.add_(0.05 * torch.randn_like(parameter))
    return detector


def levels(memory: Tensor | list[Tensor], shapes: list[tuple[int, int]]) -> Tensor:
    """The last map of the encoder's output, cell by cell."""
    if not isinstance(memory, Tensor):
        return memory[-1][0]
    rows, (height, width) = memory[0], shapes[-1]
    start = 0 if len(rows) == height * width else sum(h * w for h, w in shapes[:-1])
    result = torch.zeros(memory.shape[-1], height, width)
    for y in range(height):
        for x in range(width):
            result[:, y, x] = rows[start + y * width + x]
    return result


@pytest.mark.parametrize("feature_map", ["backbone", "encoder"])
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_those_of_transformers(name: str, feature_map: str, tmp_path: Path) -> None:
    keys = (f"{NODE}.TRANSFORMERS.FEATURE_MAP", feature_map)
    detector = detector_of(NETWORKS[name], tmp_path, *keys)
    image = torch.randint(0, 256, (3, 96, 128), generator=torch.Generator().manual_seed(0)).byte()
    kept: dict[str, Any] = {}
    detector.network.model.backbone.register_forward_hook(lambda m, i, o: kept.update(maps=o))
    with torch.no_grad():
        entities = detector([{"image": image}])
        pixels = (image.float() - detector.pixel_mean) / detector.pixel_std
        expected = detector.network(pixel_values=pixels[None])
    [found] = entities.instances
    logits, width = expected.logits[0], expected.logits.shape[-1]
    scores = logits.sigmoid() if width == 80 else logits.softmax(-1)[:, :80]
    torch.testing.assert_close(found.scores, scores.max(-1).values)
    torch.testing.assert_close(found.tokens, expected.last_hidden_state[0])
    x, y, w, h = (expected.pred_boxes[0] * torch.tensor([128, 96, 128, 96])).unbind(-1)
    boxes = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dim=-1)
    torch.testing.assert_close(found.pred_boxes.tensor, boxes)
    maps = [m[0] if isinstance(m, tuple) else m for m in kept["maps"]]
    last = maps[-1][0]
    if feature_map == "encoder":
        shapes = [tuple(m.shape[-2:]) for m in maps]
        last = levels(expected.encoder_last_hidden_state, shapes)
    torch.testing.assert_close(entities.feature_map[0], last)
    assert entities.feature_map.shape[1] == detector.output_shape().channels


@pytest.mark.parametrize("name", [n for n in NETWORKS if n != "mixed selection"])
def test_a_directory_of_transformers(name: str, tmp_path: Path) -> None:
    """Every layer keeps its own heads, those that transformers saves once included."""
    detector = detector_of(NETWORKS[name], tmp_path)
    detector.network.save_pretrained(tmp_path / "hub")
    other = detector_of(NETWORKS[name], tmp_path)
    for parameter in other.parameters():
        parameter.zero_()
    other.load_weights(tmp_path / "hub")
    saved = detector.network.state_dict()
    assert all(torch.equal(t, saved[n]) for n, t in other.network.state_dict().items())


def test_what_is_no_map_or_has_no_mixed_selection(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="FEATURE_MAP: expected backbone or encoder, got neck"):
        detector_of(SMALL_DEFORMABLE, tmp_path, f"{NODE}.TRANSFORMERS.FEATURE_MAP", "neck")
    with pytest.raises(ValueError, match="mixed_selection is of deformable_detr with two_stage"):
        detector_of(NETWORKS["one stage"] | {"mixed_selection": True}, tmp_path)
    with pytest.raises(ValueError, match="DabDetrForObjectDetection has no backbone that says"):
        detector_of(SINGLE | {"model_type": "dab-detr", "hidden_size": 32}, tmp_path)
    detector = detector_of(NETWORKS["mixed selection"], tmp_path)
    with pytest.raises(WeightsError, match="transformers saves no mixed selection"):
        detector.load_weights(tmp_path)


def test_the_contents_of_mixed_selection_are_learnt(tmp_path: Path) -> None:
    """Other contents give other tokens; the first boxes, of the encoder, stay."""
    network = detector_of(NETWORKS["mixed selection"], tmp_path).network
    image = torch.randn(1, 3, 96, 128)
    before = network(pixel_values=image)
    network.model.pos_trans_norm.content.weight.mul_(2)
    after = network(pixel_values=image)
    assert torch.equal(before.init_reference_points, after.init_reference_points)
    assert not torch.allclose(before.last_hidden_state, after.last_hidden_state)


# The authors' own files


def authors_network(name: str) -> Any:
    """A model of transformers in the sizes of a reference."""
    from transformers import AutoConfig, AutoModelForObjectDetection

    swin = {
        "model_type": "swin",
        "image_size": 64,
        "embed_dim": 8,
        "depths": [2, 2, 2, 2],
        "num_heads": [1, 2, 2, 4],
        "window_size": 3,
    }
    resnet = {"model_type": "resnet", "depths": [1, 1, 1, 1]}
    maps = {"out_features": ["stage2", "stage3", "stage4"]}
    two_stage = "one_stage" not in name
    config = AutoConfig.for_model(
        "deformable_detr",
        num_labels=6,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        two_stage=two_stage,
        with_box_refine=two_stage,
        num_queries=7,
        two_stage_num_proposals=7,
        mixed_selection="mixed" in name,
        backbone_config=(swin if "swin" in name else resnet) | maps,
    )
    network = AutoModelForObjectDetection.from_config(config).eval()
    add_mixed_selection(network)
    return network


def authors_weights(name: str) -> dict[str, Tensor]:
    """By the rule of `reference_weights`; a module that has two names has the weights of one."""
    shapes = REFERENCE[name]["shapes"]
    weights = reference_weights(shapes)
    for key in weights:
        one = key.removeprefix("transformer.decoder.") if "_embed." in key else key
        if "one_stage" in name and one.startswith(("class_embed.", "bbox_embed.")):
            kind, _, rest = one.split(".", 2)
            one = f"{kind}.0.{rest}"
        weights[key] = weights[one]
    return weights


def file_of(weights: dict[str, Tensor]) -> WeightFile:
    return WeightFile("theirs.pth", weights)


@pytest.mark.parametrize("whole", ["", "detector."])
@pytest.mark.parametrize("name", REFERENCE)
def test_the_authors_own_weights(name: str, whole: str) -> None:
    """Strictly loaded, they give what the authors' code computes; also out of a whole PViC."""
    reference, network = REFERENCE[name], authors_network(name)
    theirs = {f"{whole}{n}": t for n, t in authors_weights(name).items()}
    if whole:
        theirs["ho_matcher.mmf.fc1.weight"] = torch.zeros(2, 2)
    converted = deformable_weights(file_of(theirs), num_queries=7, mixed_selection="mixed" in name)
    load_strictly(network, converted, source="theirs.pth")
    rng = np.random.default_rng(0)
    image = rng.standard_normal((1, 3, *reference["image"])).astype(np.float32)
    with torch.no_grad():
        output = network(pixel_values=torch.from_numpy(image))
    for key, found in (
        ("logits", output.logits),
        ("boxes", output.pred_boxes),
        ("tokens", output.last_hidden_state[:, :, :4]),
        ("memory", output.encoder_last_hidden_state[:, ::50, :4]),
    ):
        expected = torch.tensor(reference[key])
        torch.testing.assert_close(found.flatten(), expected, rtol=1e-4, atol=1e-4)


def test_the_detector_reads_the_authors_file(tmp_path: Path) -> None:
    """The layout is recognised by its keys, and what does not fit is named."""
    config = authors_network("swin_mixed_selection").config
    options = (f"{NODE}.CLASSES", "")
    network = json.loads(config.to_json_string(use_diff=False)) | {"num_labels": 6}
    network = {k: v for k, v in network.items() if k not in ("id2label", "label2id")}
    detector = detector_of(network, tmp_path, *options)
    weights = authors_weights("swin_mixed_selection")
    torch.save({"model_state_dict": weights}, tmp_path / "h_detr.pth")
    detector.load_weights(tmp_path / "h_detr.pth")
    content = detector.network.model.pos_trans_norm.content.weight
    assert torch.equal(content, weights["query_embed.weight"][:7])
    del weights["transformer.enc_output.bias"]
    torch.save({"model": weights}, tmp_path / "cut.pth")
    with pytest.raises(WeightsError, match=r"1 missing: network\.model\.enc_output\.bias"):
        detector.load_weights(tmp_path / "cut.pth")


@pytest.mark.parametrize("weights", [{}, {"class_embed.weight": torch.zeros(2, 2)}])
def test_other_files_are_no_deformable_detr(weights: dict[str, Tensor]) -> None:
    assert not is_deformable(weights)
    with pytest.raises(WeightsError, match=r"theirs\.pth holds no Deformable DETR"):
        deformable_weights(file_of(weights), num_queries=7, mixed_selection=False)
