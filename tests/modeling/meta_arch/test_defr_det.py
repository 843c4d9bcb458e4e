"""DEFR-Det against its equations, pair by pair; and with the checkpoint of a DEFR."""

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from torch.nn import functional as F

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.checkpoint.class_names import vocabulary_in
from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.model_zoo import configs_root
from hoi_d2.modeling.image_encoder.patch_masks import MASKS
from hoi_d2.modeling.language.prompts import sentence_table
from hoi_d2.modeling.meta_arch.defr_det import DEFRDet
from tests.modeling.image_encoder.small_encoders import CLIP_VIT, RESNET, VIT
from tests.modeling.image_encoder.test_convolutional import naive_convolutions
from tests.modeling.image_encoder.test_masked_attention import naive_pool, naive_vit
from tests.modeling.tiny import GivenDetections, model_input, tiny_config
from tests.small_configs import read_config

PERSON, BICYCLE = 0, 1
BOXES = [[5, 5, 30, 60], [10, 30, 60, 62], [40, 2, 70, 50]]
SCORES = (0.9, 0.8, 0.7)
CLASSES = (PERSON, BICYCLE, PERSON)
ENCODERS = {
    "vit": (CLIP_VIT, VIT),
    "resnet": ("resnet50_clip", RESNET),
    "efficientnet": ("tf_efficientnet_lite0", {"num_classes": 12}),
}
NAIVE = {"vit": naive_vit, "resnet": naive_pool, "efficientnet": naive_convolutions}


def config(architecture="DEFR-Det", *options, kind="vit"):
    cfg = tiny_config(architecture, "MODEL.CLASSIFIER.INIT", "random", *options)
    cfg.INPUT.SQUARE_SIZE = 32 if kind == "vit" else 96
    node = cfg.MODEL.IMAGE_ENCODER
    node.NAME, options = ENCODERS[kind]
    node.OPTIONS = CfgNode(options)
    cfg.MODEL.DEFR_DET.PAIRS.NMS_THRESHOLD = 1.0
    return cfg


def defr_det(*options, kind="vit", boxes=BOXES, scores=SCORES, classes=CLASSES):
    torch.manual_seed(0)
    model = build_model(config("DEFR-Det", *options, kind=kind)).eval()
    for parameter in model.image_encoder.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    model.entity_detector.detect = GivenDetections(model.entity_detector, boxes, scores, classes)
    return model


def test_is_registered_under_the_papers_name():
    architecture = META_ARCH_REGISTRY.get("DEFR-Det")
    assert issubclass(architecture, DEFRDet) and architecture.__name__ == "DEFR-Det"


def share(box, size):
    return torch.tensor(box) / torch.tensor([size[1], size[0]] * 2)


def slow_mask(model, human, object_, mask):
    rows, columns = model.image_encoder.grid
    if mask == "image":
        return torch.ones(rows * columns, dtype=torch.bool)
    boxes = [human, object_]
    if mask == "union":
        low, high = torch.minimum(human, object_), torch.maximum(human, object_)
        boxes = [torch.cat([low[:2], high[2:]])]
    open_ = torch.zeros(rows, columns, dtype=torch.bool)
    for x1, y1, x2, y2 in (b * torch.tensor([columns, rows] * 2) for b in boxes):
        open_[int(y1) : int(y2.ceil()), int(x1) : int(x2.ceil())] = True
    return open_.flatten()


def slow_scores(model, x, mask, blocks):
    """{(pair, verb): score} of one image: a whole forward of the network for each pair."""
    size = x["image"].shape[-2:]
    side = model.image_encoder.image_size
    square = F.interpolate(
        x["image"][None].float(), (side, side), mode="bilinear", antialias=True
    ).round()
    encoder, vocabulary = model.image_encoder, model.vocabulary
    image = ((square / 255 - encoder.pixel_mean) / encoder.pixel_std)[0]
    naive = NAIVE[model.mask_kind]
    kept = [0, 2, 1]  # humans first
    table, found = sentence_table(vocabulary), {}
    for human in (0, 1):
        for other in range(3):
            if human == other:
                continue
            a, b = kept[human], kept[other]
            patches = slow_mask(model, share(BOXES[a], size), share(BOXES[b], size), mask)
            feature = naive(encoder, image, patches, blocks)
            logits = model.classifier(feature[None])[0]
            for verb in vocabulary.valid_verbs[CLASSES[b]].nonzero()[0]:
                chance = logits[table[CLASSES[b], verb]].sigmoid()
                prior = SCORES[a] ** model.powers[0] * SCORES[b] ** model.powers[1]
                found[(human, other), int(verb)] = float(chance) * prior
    return found


def as_dict(found):
    keys = zip(map(tuple, found.pair_indices.tolist()), found.verb_classes.tolist())
    return dict(zip(keys, found.scores.tolist()))


CASES = [
    ("vit", "hico_det", "human_or_object", 1, (2.8, 2.8)),
    ("vit", "hico_det", "union", 1, (7.0, 3.0)),
    ("vit", "hico_det", "image", 1, (0.0, 0.0)),
    ("vit", "hico_det", "human_or_object", 3, (2.8, 2.8)),
    ("vit", "vcoco", "human_or_object", 1, (2.8, 1.0)),
    ("resnet", "hico_det", "human_or_object", 1, (2.8, 2.8)),
    ("efficientnet", "hico_det", "human_or_object", 1, (2.8, 2.8)),
    ("efficientnet", "hico_det", "union", 3, (2.8, 2.8)),
]


@pytest.mark.parametrize("kind, vocabulary, mask, blocks, powers", CASES)
@torch.no_grad()
def test_equals_a_whole_forward_for_each_pair(kind, vocabulary, mask, blocks, powers):
    keys = {"MASK": mask, "MASKED_BLOCKS": blocks, "POWER_HUMAN": powers[0]}
    keys["POWER_OBJECT"] = powers[1]
    options = [v for key, value in keys.items() for v in (f"MODEL.DEFR_DET.{key}", value)]
    model = defr_det(*options, "MODEL.HOI.VOCABULARY", vocabulary, kind=kind)
    model.classifier.scale = 3.0  # far from where sigmoid is 0 or 1
    model.mask_kind = kind
    x = model_input()
    found = as_dict(model([x])[0]["hoi_instances"])
    right = slow_scores(model, x, mask, blocks)
    assert found.keys() == right.keys() and right
    for key, score in right.items():
        assert found[key] == pytest.approx(score, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("mask", MASKS)
def test_a_batch_equals_its_images(mask):
    model = defr_det("MODEL.DEFR_DET.MASK", mask)
    sizes = [(64, 64), (96, 64), (64, 128), (90, 77)]
    inputs = [model_input(h, w, seed=i) for i, (h, w) in enumerate(sizes)]
    for together, x in zip(model(inputs), inputs):
        left, right = as_dict(together["hoi_instances"]), as_dict(model([x])[0]["hoi_instances"])
        assert left == pytest.approx(right, rel=1e-4, abs=1e-6) and left


@pytest.mark.parametrize(
    "boxes, scores, classes",
    [
        ([], [], []),
        (BOXES[:1], [0.9], [PERSON]),  # alone
        (BOXES[:2], [0.9, 0.8], [BICYCLE, BICYCLE]),  # nobody
        (BOXES, [0.9, 0.1, 0.1], CLASSES),  # the others are below the threshold
    ],
)
def test_no_pairs(boxes, scores, classes):
    output = defr_det(boxes=boxes, scores=scores, classes=classes)([model_input()])[0]
    assert len(output["hoi_instances"]) == 0
    assert output["hoi_instances"].image_size == (128, 160)


def test_the_output_is_on_the_original_image():
    output = defr_det()([model_input()])[0]
    found, entities = output["hoi_instances"], output["instances"]
    torch.testing.assert_close(entities.pred_boxes.tensor[0], 2 * torch.tensor(BOXES[0]).float())
    torch.testing.assert_close(
        found.object_boxes.tensor, entities.pred_boxes.tensor[found.pair_indices[:, 1]]
    )
    hois = defr_det().vocabulary.hois[found.hoi_classes.numpy()]
    assert (hois[:, 1] == found.verb_classes.numpy()).all()
    assert (found.scores[:-1] >= found.scores[1:]).all()


def test_softmax_is_over_the_classes_of_the_object():
    options = ("MODEL.DEFR_DET.SCORE", "softmax", "MODEL.DEFR_DET.POWER_HUMAN", 0.0)
    found = defr_det(*options, "MODEL.DEFR_DET.POWER_OBJECT", 0.0)([model_input()])[0]
    sums = {}
    for (pair, _), score in as_dict(found["hoi_instances"]).items():
        sums[pair] = sums.get(pair, 0.0) + score
    assert sums == pytest.approx(dict.fromkeys([(0, 1), (0, 2), (1, 0), (1, 2)], 1.0), rel=1e-4)


def test_own_classes_compete_with_nothing_in_particular():
    """Softmax over the classes of the object and "a person and a bicycle", which is not given."""
    own = ["riding a bike", "pushing a bike", "watching a unicorn", "feeding a horse"]
    zero = ("MODEL.DEFR_DET.POWER_HUMAN", 0.0, "MODEL.DEFR_DET.POWER_OBJECT", 0.0)
    model = defr_det("MODEL.HOI.CLASSES", own, "MODEL.DEFR_DET.SCORE", "softmax", *zero)
    assert len(model.classifier.weight) == 4 + 80
    x = model_input()
    found = model([x])[0]["hoi_instances"]
    # Persons 0 and 2, bicycle 1: with the bicycle three classes, with a person the unicorn's.
    assert len(found) == 2 * 3 + 2
    pairs = model.pair_generator(model.entity_detector([x]).instances)
    encoder = model.image_encoder
    rows = encoder.attend(
        encoder.tokens_before_last(model.squares([x])), model.patches(pairs), pairs.image_index
    )
    logits = model.classifier(rows)
    for row, pair in enumerate(pairs.pair_indices[0].tolist()):
        bicycle = pairs.object_classes[row] == BICYCLE
        columns = [0, 1, 2, 4 + BICYCLE] if bicycle else [2, 4 + PERSON]
        right = logits[row, columns].softmax(dim=0)[:-1].tolist()
        scores = as_dict(found)
        assert [scores[tuple(pair), verb] for verb in columns[:-1]] == pytest.approx(right)


def test_temperature_divides_the_logits():
    warm, plain = defr_det("MODEL.DEFR_DET.TEMPERATURE", 4.0), defr_det()
    plain.classifier.scale = warm.classifier.scale / 4
    x = model_input()
    left, right = (as_dict(m([x])[0]["hoi_instances"]) for m in (warm, plain))
    assert left == pytest.approx(right, rel=1e-4)


def test_caps_and_thresholds():
    found = defr_det("MODEL.HOI.MAX_DETECTIONS", 3)([model_input()])[0]["hoi_instances"]
    assert len(found) == 3
    found = defr_det("MODEL.HOI.SCORE_THRESHOLD", 1.0)([model_input()])[0]["hoi_instances"]
    assert len(found) == 0


def test_it_is_not_trained():
    with pytest.raises(RuntimeError, match="META_ARCHITECTURE DEFR"):
        defr_det().train()([model_input()])


@pytest.mark.parametrize("key", ["MASK", "SCORE", "RESIZE"])
def test_values_that_cannot_be(key):
    with pytest.raises(ValueError, match=f"DEFR_DET.{key} must be one of"):
        build_model(config("DEFR-Det", f"MODEL.DEFR_DET.{key}", "nothing"))


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_defr_checkpoint_loads_as_it_is(ending, tmp_path):
    torch.manual_seed(1)
    cfg = config("DEFR")
    defr = build_model(cfg).eval()
    if ending == "pth":
        HOICheckpointer(defr, str(tmp_path)).save("defr")
    else:
        HOICheckpointer(defr).save_weights(tmp_path / "defr.safetensors", cfg=cfg)
        assert vocabulary_in(tmp_path / "defr.safetensors").as_dict() == defr.vocabulary.as_dict()
    model = defr_det()
    checkpointer = HOICheckpointer(model)
    checkpointer.load(tmp_path / f"defr.{ending}", strict=False)
    assert checkpointer.random_parts == ["entity_detector"]
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        right = defr.classifier(defr.image_encoder(image))
        tokens = model.image_encoder.tokens_before_last(image)
        everything = torch.ones(1, 16, dtype=torch.bool)
        rows = model.image_encoder.attend(tokens, everything, torch.zeros(1, dtype=torch.int64))
    torch.testing.assert_close(model.classifier(rows), right, atol=1e-4, rtol=1e-4)


def test_a_defr_of_other_classes_is_refused(tmp_path):
    cfg = config("DEFR", "MODEL.HOI.VOCABULARY", "vcoco")
    HOICheckpointer(build_model(cfg)).save_weights(tmp_path / "a.safetensors", cfg=cfg)
    model = build_model(config("DEFR-Det"))
    with pytest.raises(WeightsError, match="other verbs"):
        HOICheckpointer(model).load(tmp_path / "a.safetensors")


def test_says_which_weights_are_random():
    assert defr_det().random_weights() == ["image_encoder", "classifier", "entity_detector"]
    assert DEFRDet.frozen_prefixes == ("entity_detector",)


def test_the_powers_of_the_two_configs():
    """Plain multiplication, as the paper says, beside 2.8; both with a detector of HICO-DET."""
    folder = configs_root() / "DEFR-Det"
    for name, power in (("ViT-B-16-paper", 1.0), ("ViT-B-16-hico-detector", 2.8)):
        cfg = read_config(folder / f"{name}.yaml")
        node = cfg.MODEL.DEFR_DET
        assert (node.POWER_HUMAN, node.POWER_OBJECT) == (power, power)
        detector = read_config(configs_root() / "Detr" / "R50_HICO.yaml")
        assert cfg.MODEL.ENTITY_DETECTOR.WEIGHTS == f"{detector.OUTPUT_DIR}/model_final.pth"
        classes = (cfg.MODEL.DETR.NUM_CLASSES, cfg.MODEL.DETR.CLASSES)
        assert classes == (detector.MODEL.DETR.NUM_CLASSES, detector.MODEL.DETR.CLASSES)
