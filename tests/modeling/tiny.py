"""Configs and inputs for tests of whole models: a few thousand parameters, milliseconds a step."""

import torch
from detectron2.structures import Boxes, Instances

from hoi_d2.config.load import load_config
from hoi_d2.structures import make_hoi_targets

NUM_VERBS = 117


def tiny_config(meta_architecture="RmLR", *options):
    cfg = load_config("")
    cfg.MODEL.META_ARCHITECTURE = meta_architecture
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.HOI.VOCABULARY = "hico_det"
    cfg.MODEL.ALLOW_RANDOM_WEIGHTS = True
    make_tiny(cfg)
    cfg.merge_from_list(list(options))
    return cfg


def make_tiny(cfg):
    """Cuts DETR and RmLR's head down, in place; how many layers a head has stays."""
    detr, rmlr = cfg.MODEL.DETR, cfg.MODEL.RMLR
    detr.NUM_QUERIES, detr.HIDDEN_DIM, detr.FFN_DIM, detr.NUM_HEADS = 12, 32, 32, 2
    detr.ENCODER_LAYERS, detr.DECODER_LAYERS = 1, 2
    detr.RESNET.EMBEDDING_SIZE, detr.RESNET.HIDDEN_SIZES = 8, [8, 16]
    detr.RESNET.DEPTHS, detr.RESNET.LAYER_TYPE = [1, 1], "basic"
    rmlr.FEATURE_DIM = 16
    rmlr.IRE.HIDDEN_DIM, rmlr.IRE.FFN_DIM, rmlr.IRE.NUM_HEADS = 16, 16, 2
    rmlr.IRM.HIDDEN_DIM, rmlr.IRM.FFN_DIM, rmlr.IRM.NUM_HEADS = 32, 32, 2
    cml = rmlr.CML
    cml.HIDDEN_DIM, cml.FFN_DIM, cml.NUM_HEADS = 32, 32, 2
    upt = cfg.MODEL.UPT
    upt.FEATURE_DIM, upt.NUM_BRANCHES, upt.NUM_HEADS, upt.FFN_DIM = 16, 4, 2, 32
    # Random detectors score low and overlap: keep them all, with people among them.
    rmlr.PAIRS.SCORE_THRESHOLD, rmlr.PAIRS.NMS_THRESHOLD = 0.0, 1.0


def model_input(height=64, width=80, *, pairs=((0, 1), (0, -1)), seed=0, num_verbs=NUM_VERBS):
    """One training input with a person, a bicycle and the given pairs."""
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.tensor([[5.0, 5, 30, 60], [10, 30, 60, 62], [40, 2, 70, 50]])
    entities = Instances((height, width), gt_boxes=Boxes(boxes))
    entities.gt_classes = torch.tensor([0, 1, 0])
    gt_pairs = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)
    verbs = (torch.rand(len(gt_pairs), num_verbs, generator=generator) > 0.9).float()
    return {
        "image": torch.randint(0, 255, (3, height, width), generator=generator).to(torch.uint8),
        "height": 2 * height,
        "width": 2 * width,
        "instances": entities,
        "hoi_instances": make_hoi_targets(
            image_size=(height, width), gt_pairs=gt_pairs, gt_verbs=verbs, num_entities=3
        ),
    }


class GivenDetections:
    """Replaces a detector's `detect`: its map and tokens, but these boxes, scores and classes."""

    def __init__(self, detector, boxes, scores, classes):
        self.original = detector.detect
        self.boxes, self.scores = torch.tensor(boxes).float().reshape(-1, 4), torch.tensor(scores)
        self.classes = torch.tensor(classes, dtype=torch.int64)

    def __call__(self, images, mask):
        entities = self.original(images, mask)
        entities.instances = [
            Instances(
                i.image_size,
                pred_boxes=Boxes(self.boxes.clone()),
                scores=self.scores.float(),
                pred_classes=self.classes,
                tokens=i.tokens[: len(self.boxes)],
            )
            for i in entities.instances
        ]
        return entities
