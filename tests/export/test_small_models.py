"""Other models than the toy world's, tiny and random: encoders, masks, scores, own classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode

pytest.importorskip("onnx", reason="the extra [export] is not installed")
pytest.importorskip("onnxruntime", reason="the extra [export] is not installed")

from hoi_d2.export.onnx import PLAIN, check_export, default_size, export_model, exportable
from hoi_d2.export.runner import ExportedModel
from hoi_d2.inference.predictor import HOIPredictor
from tests.export.test_onnx import same
from tests.modeling.image_encoder.small_encoders import CLIP_VIT, RESNET, VIT
from tests.modeling.tiny import tiny_config

SIZE = (64, 96)
OWN = ["riding a bike", "hugging a person", "feeding a horse", "watching a unicorn"]
SOFTMAX = ("MODEL.DEFR_DET.SCORE", "softmax", "MODEL.DEFR_DET.POWER_HUMAN", 0.5)


def noise(height, width):
    return np.random.default_rng(height).integers(0, 256, (height, width, 3)).astype(np.uint8)


IMAGES = (noise(50, 70), noise(64, 96), noise(33, 20))  # with padding, and without


def tiny_predictor(*options, architecture="DEFR-Det", encoder="vit"):
    """A random model whose queries are people and bicycles, with boxes wherever they fall."""
    plain = [value for item in PLAIN.items() for value in item]
    cfg = tiny_config(architecture, "MODEL.CLASSIFIER.INIT", "random", "INPUT.MIN_SIZE_TEST", 0)
    cfg.MODEL.DETR.NUM_QUERIES, cfg.INPUT.SQUARE_SIZE = 8, 32 if encoder == "vit" else 64
    node = cfg.MODEL.IMAGE_ENCODER
    node.NAME = CLIP_VIT if encoder == "vit" else "resnet50_clip"
    node.OPTIONS = CfgNode(VIT if encoder == "vit" else RESNET)
    pairs = cfg.MODEL.DEFR_DET.PAIRS
    pairs.SCORE_THRESHOLD, pairs.NMS_THRESHOLD = 0.0, 1.0
    cfg.merge_from_list([*plain, *options])
    torch.manual_seed(0)
    predictor = HOIPredictor(cfg)
    _scatter(predictor.model)
    return predictor


@torch.no_grad()
def _scatter(model):
    network = model.entity_detector.network
    for name, parameter in model.named_parameters():  # beginnings at zero hide errors
        scale = 3.0 if "bbox_predictor.layers.2" in name else 0.05
        parameter += scale * torch.randn_like(parameter)
    network.detr.model.query_position_embeddings.weight *= 30  # far from each other
    inputs = [torch.from_numpy(image.transpose(2, 0, 1).copy()) for image in IMAGES]
    batches = [model.entity_detector.preprocess([{"image": x}]) for x in inputs]
    tokens = torch.stack([network(x.tensor, mask).tokens[0] for x, mask in batches])
    apart = (tokens - tokens.mean(dim=1, keepdim=True)).flatten(0, 1)
    direction = torch.linalg.svd(apart).Vh[0] / apart.std() / 3
    classes = network.detr.class_labels_classifier
    classes.weight.zero_()
    classes.bias.fill_(-3.0)
    known = model.entity_detector.classes
    outputs = (0, 1) if known is None else known.output_map[:2].tolist()
    for obj, sign in zip(outputs, (1, -1)):  # some queries are people, some are bicycles
        classes.weight[obj] = sign * direction
        classes.bias[obj] = -sign * (tokens @ direction).mean()


def exported(predictor, folder):
    """The runner of an exported model, after its graphs were compared."""
    export_model(predictor, folder, size=SIZE)
    differences = check_export(predictor, folder, size=SIZE, pairs=(1, 9))
    assert max(differences.values()) < 1e-4
    return ExportedModel(folder)


CASES = {
    "a vision transformer": ((), {}),
    "a ResNet with an attention pool": ((), {"encoder": "resnet"}),
    "union, bicubic, linear, V-COCO": (
        (
            *("MODEL.DEFR_DET.MASK", "union", "MODEL.DEFR_DET.RESIZE", "bicubic"),
            *("MODEL.CLASSIFIER.HEAD", "linear", "MODEL.HOI.VOCABULARY", "vcoco"),
        ),
        {},
    ),
    "image, softmax, fewer entities and pairs": (
        (
            *(*SOFTMAX, "MODEL.DEFR_DET.TEMPERATURE", 30.0, "MODEL.DEFR_DET.MASK", "image"),
            *("MODEL.DETR.SCORE_THRESHOLD", 0.5, "MODEL.DEFR_DET.PAIRS.MAX_PAIRS", 5),
        ),
        {},
    ),
    "own classes, DETR of COCO's 91": (
        (
            *(*SOFTMAX, "MODEL.HOI.CLASSES", OWN),
            *("MODEL.DETR.NUM_CLASSES", 91, "MODEL.DETR.CLASSES", "coco_91"),
        ),
        {},
    ),
    "CLIP-Pairs with an adapter": ((), {"architecture": "CLIPPairs"}),
    "RmLR with numbers of boxes": (
        ("MODEL.RMLR.BOX_PAIR_ENCODING", True),
        {"architecture": "RmLR"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_runner_finds_what_the_predictor_finds(name, tmp_path):
    options, keys = CASES[name]
    predictor = tiny_predictor(*options, **keys)
    model = exported(predictor, tmp_path)
    found = 0
    for image in IMAGES:
        triplets = predictor(image).triplets
        same(model(image), triplets)
        found += len(triplets)
    assert found > 20


def test_own_classes_travel_with_the_files(tmp_path):
    predictor = tiny_predictor(*SOFTMAX, "MODEL.HOI.CLASSES", OWN)
    export_model(predictor, tmp_path, size=SIZE)
    model = ExportedModel(tmp_path)
    assert tuple(model.verbs) == predictor.vocabulary.verbs and len(model.verbs) == len(OWN)
    words = [(row["verb"], row["object"]) for image in IMAGES for row in model(image)]
    riding, hugging, feeding, watching = model.verbs
    # Nobody knows a unicorn: anything may be one.
    assert {(riding, "bicycle"), (hugging, "person"), (watching, "bicycle")} <= set(words)
    assert feeding not in dict(words)
    model.person = model.objects.index("horse")  # nobody is there
    assert model(IMAGES[0]) == []


def test_a_number_that_differs_is_seen(tmp_path):
    predictor = tiny_predictor()
    export_model(predictor, tmp_path, size=SIZE)
    predictor.model.image_encoder.network.blocks[0].mlp.fc2.bias.data += 0.01
    differences = check_export(predictor, tmp_path, size=SIZE, pairs=(2,))
    assert differences["encoder: tokens"] > 1e-4 > differences["detector: boxes"]


REFUSED = [
    ("toy/detr.yaml", (), r"Detr cannot be exported; RmLR, DEFR-Det, CLIPPairs, LayoutRmLR can"),
    ("toy/rmlr_rt_detr.yaml", (), r"TransformersEntityDetector cannot .* DetrEntityDetector"),
    ("DEFR-Det/ViT-B-16-precomputed.yaml", (), r"PrecomputedEntityDetector cannot"),
    ("toy/defr_det.yaml", ("MODEL.DEFR_DET.MASKED_BLOCKS", 2), r"MASKED_BLOCKS 2 cannot"),
    ("toy/clip_pairs.yaml", ("MODEL.DEFR_DET.MASKED_BLOCKS", 2), r"MASKED_BLOCKS 2 cannot"),
    ("toy/rmlr.yaml", ("MODEL.RMLR.HEADS", "PoseHeads"), r"HEADS PoseHeads cannot"),
]


@pytest.mark.parametrize(("config", "options", "message"), REFUSED)
def test_what_cannot_be_exported_is_named(config, options, message):
    with pytest.raises(ValueError, match=message):
        exportable(config, options)


@pytest.mark.parametrize("size", [(0, 64), (62, 96), (64, 90)])
def test_a_size_that_the_stride_does_not_divide(size, tmp_path):
    with pytest.raises(ValueError, match="multiples of 8"):
        export_model(tiny_predictor(), tmp_path / "none", size=size)
    assert not list(tmp_path.iterdir())


SIZES = [(0, 1333, (256, 256)), (800, 1333, (800, 1216)), (150, 200, (160, 224))]


@pytest.mark.parametrize(("shorter", "longer", "size"), SIZES)
def test_default_size(shorter, longer, size):
    cfg = tiny_config("RmLR", "INPUT.MIN_SIZE_TEST", shorter, "INPUT.MAX_SIZE_TEST", longer)
    assert default_size(cfg) == size
