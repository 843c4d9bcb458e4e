"""The config keys of DEFR-Det."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_defr_det_config(cfg: CfgNode) -> None:
    """Adds `cfg.MODEL.DEFR_DET`, in place (Jin et al., arXiv 2203.05676, section 3.3)."""
    node = cfg.MODEL.DEFR_DET = CfgNode()
    # What the CLS query sees of a pair: "human_or_object" (patches of either box), "union" (of the
    # rectangle around both), or "image" (all: no mask).
    node.MASK = "human_or_object"
    # Blocks at the end that are masked; the paper: the last one, which costs next to nothing. With
    # more, these blocks are computed whole for every pair.
    node.MASKED_BLOCKS = 1
    # "sigmoid" of the scaled logit; or "softmax" over the classes that go with the pair's object,
    # for CLIP without any training, whose logits are all far above 0.
    node.SCORE = "sigmoid"
    # The logit is divided by it before. LSE-Sign drives logits so far apart that the sigmoid is all
    # but 0 or 1, and then the detection scores alone rank what is near 1. 1 = as released.
    node.TEMPERATURE = 1.0
    # Powers of the two detection scores, which the class score is multiplied by. The release notes
    # 7 and 3 for B/16, 6 and 3 for L/14, which look tuned on the test images; the paper has none.
    # Tune on training images only.
    node.POWER_HUMAN = 2.8
    node.POWER_OBJECT = 2.8  # 0 = the score does not count
    # How the detector's input is squashed to the encoder's square; the release: bilinear here,
    # bicubic in recognition.
    node.RESIZE = "bilinear"
    pairs = node.PAIRS = CfgNode()  # see MODEL.RMLR.PAIRS
    pairs.NMS_THRESHOLD = 0.5  # class-wise, on the detector's boxes
    pairs.SCORE_THRESHOLD = 0.2  # of the entities
    pairs.MIN_INSTANCES = 0  # kept even below the threshold, of humans and of objects each
    pairs.MAX_INSTANCES = 15  # of humans and of objects each
    pairs.MAX_PAIRS = 0  # of an image, the best by score product; 0 = all
