"""Every config key that hoi_d2 adds to detectron2's, each with a comment and a safe default."""

from __future__ import annotations

from detectron2.config import CfgNode

from hoi_d2.config.defr import add_defr_config
from hoi_d2.config.defr_det import add_defr_det_config
from hoi_d2.config.engine import add_engine_config
from hoi_d2.config.entity_detector import add_entity_detector_config
from hoi_d2.config.image_encoder import add_image_encoder_config
from hoi_d2.config.language import add_language_config


def add_hoi_config(cfg: CfgNode) -> None:
    """Adds hoi_d2's keys to a detectron2 config, in place.

    Examples:
        >>> cfg = get_cfg()
        >>> add_hoi_config(cfg)
        >>> cfg.merge_from_file("configs/toy/rmlr.yaml")
    """
    add_engine_config(cfg)
    _add_input_keys(cfg)
    _add_detr_keys(cfg)
    add_entity_detector_config(cfg)
    add_image_encoder_config(cfg)
    _add_hoi_keys(cfg)
    _add_rmlr_keys(cfg)
    add_language_config(cfg)
    add_defr_config(cfg)
    add_defr_det_config(cfg)


def _add_input_keys(cfg: CfgNode) -> None:
    # Own data to register before anything else: [[name, JSON file, folder of images], ...]
    # (datasets/README.md).
    cfg.DATASETS.OWN = []
    # DETR's input: RGB, ImageNet mean and standard deviation (here on 0..255).
    cfg.INPUT.FORMAT = "RGB"
    # Brightness, contrast and saturation are changed by up to this share; UPT: [0.4, 0.4, 0.4].
    cfg.INPUT.COLOR_JITTER = [0.0, 0.0, 0.0]
    # With INPUT.CROP.ENABLED, this share of the images is cropped. DETR: TYPE "absolute_range",
    # SIZE [384, 600], the shorter side brought to one of RESIZE_BEFORE first ([] = not).
    cfg.INPUT.CROP.PROBABILITY = 0.5
    cfg.INPUT.CROP.RESIZE_BEFORE = [400, 500, 600]  # pixels
    # HOIClassificationMapper squashes images to a square of this side (R in the papers).
    cfg.INPUT.SQUARE_SIZE = 224
    # In training it then cuts out a window of this share of the area and aspect ratio (DEFR).
    crop = cfg.INPUT.RANDOM_RESIZED_CROP = CfgNode()
    crop.ENABLED = True  # False = only the flip and the colours change
    crop.SCALE = [0.7, 1.0]  # least and largest share of the area
    crop.RATIO = [0.7, 1.3]  # least and largest width over height
    # Of the channels in INPUT.FORMAT, on 0..255.
    cfg.MODEL.PIXEL_MEAN = [123.675, 116.28, 103.53]
    cfg.MODEL.PIXEL_STD = [58.395, 57.12, 57.375]  # as PIXEL_MEAN: ImageNet's


def _add_detr_keys(cfg: CfgNode) -> None:
    node = cfg.MODEL.DETR = CfgNode()
    # "detr" (softmax with no-object) or "conditional_detr" (sigmoid); same outputs.
    node.NAME = "detr"
    node.NUM_CLASSES = 80  # outputs without no-object; what they mean: CLASSES
    node.NUM_QUERIES = 100  # most detections of an image
    # Sizes of the transformer, as published; the weights decide them.
    node.HIDDEN_DIM = 256
    node.FFN_DIM = 2048  # inner width of the two-layer networks
    node.NUM_HEADS = 8  # of each attention; divides HIDDEN_DIM
    node.ENCODER_LAYERS = 6  # over the cells of the map
    node.DECODER_LAYERS = 6  # over the queries
    node.DROPOUT = 0.1  # in training only
    # A query whose best score is below this is no detection; 0 keeps all queries.
    node.SCORE_THRESHOLD = 0.0
    # Frozen statistics are right for pre-trained weights; a backbone from scratch needs False.
    node.FROZEN_BATCHNORM = True
    # Training only: so many sets of queries are matched one-to-one each (Group DETR).
    node.QUERY_GROUPS = 1
    # Training only: weight of a dense one-to-many loss on the backbone map and on the encoder's
    # output; 0 = none. It lets a DETR learn from scratch.
    node.DENSE_LOSS_WEIGHT = 0.0
    # ResNet, in transformers' words.
    node.RESNET = CfgNode()
    node.RESNET.EMBEDDING_SIZE = 64  # channels of the stem
    node.RESNET.HIDDEN_SIZES = [256, 512, 1024, 2048]  # channels of the stages' outputs
    node.RESNET.DEPTHS = [3, 4, 6, 3]  # blocks of each stage; R-101: [3, 4, 23, 3]
    node.RESNET.LAYER_TYPE = "bottleneck"  # or "basic"

    # Which detector finds the entities of RmLR's pairs; see ENTITY_DETECTOR_REGISTRY.
    cfg.MODEL.ENTITY_DETECTOR = CfgNode()
    cfg.MODEL.ENTITY_DETECTOR.NAME = "DetrEntityDetector"  # DETR of MODEL.DETR
    # File with its weights, loaded when the model is built and before MODEL.WEIGHTS; "" = random,
    # with a warning, unless MODEL.WEIGHTS holds them too.
    cfg.MODEL.ENTITY_DETECTOR.WEIGHTS = ""


def _add_hoi_keys(cfg: CfgNode) -> None:
    node = cfg.MODEL.HOI = CfgNode()
    # Vocabulary of verbs, objects and HOI classes: "" takes the one of DATASETS.TRAIN[0];
    # "hico_det", "vcoco" or the name of any registered dataset.
    node.VOCABULARY = ""
    # Own classes, for a model that reads them (DEFR-Det with CLIP): phrases such as "riding a
    # horse", in the place of the vocabulary's; its objects stay. The demo's --classes sets it.
    node.CLASSES = []
    # Interactions below this score are dropped; 0 keeps every possible verb of every pair.
    node.SCORE_THRESHOLD = 0.0
    # At most this many interactions an image, best first; 0 = all (the official metric has no cap).
    node.MAX_DETECTIONS = 0


def _add_rmlr_keys(cfg: CfgNode) -> None:
    """RmLR (Cao et al., ICCV 2023, arXiv 2307.13529)."""
    node = cfg.MODEL.RMLR = CfgNode()
    node.HEADS = "InteractionHeads"  # in detectron2's ROI_HEADS_REGISTRY
    node.EXTRA = CfgNode(new_allowed=True)  # keys of heads that are no part of hoi_d2 (projects/)
    pairs = node.PAIRS = CfgNode()  # UPT's rule, which RmLR follows
    pairs.NMS_THRESHOLD = 0.5  # class-wise, on the detector's boxes
    pairs.SCORE_THRESHOLD = 0.2  # of the entities
    # Of humans and of objects each: the best MIN are kept even below the threshold, MAX at most.
    pairs.MIN_INSTANCES = 3
    pairs.MAX_INSTANCES = 15  # after the threshold
    # At most so many pairs of an image, the best by score product; 0 = all. A limit on memory, and
    # logged where it bites: MAX_INSTANCES alone allows 15 x 29.
    pairs.MAX_PAIRS = 0

    # Visual vectors of a pair (supplement B): global 512, union 512, two entity tokens of 512.
    node.FEATURE_DIM = 512
    # UPT's hand-made 36 numbers of a box pair, fused into the tokens; the supplement has none.
    node.BOX_PAIR_ENCODING = False

    ire = node.IRE = CfgNode()  # Interactive Relation Encoder
    ire.ENABLED = True  # False = the projected backbone map goes to the masked RoI as it is
    ire.NUM_LAYERS = 2  # encoder layers over the cells of the map
    # Begin as a copy of the detector's first encoder layers (of the same widths), which is trained
    # on; False = at random.
    ire.START_FROM_DETECTOR = False
    ire.HIDDEN_DIM = 256  # channels of the map that it gives
    ire.FFN_DIM = 2048  # inner width of its two-layer networks
    ire.NUM_HEADS = 8  # divides HIDDEN_DIM
    ire.DROPOUT = 0.1  # in training only

    roi = node.MASKED_ROI = CfgNode()
    # Which bins make the union vector: "human_or_object", "union" (the whole union box), "image"
    # (mean of the whole map, no RoI), or "none" (no union vector at all).
    roi.MASK = "human_or_object"
    roi.POOLER_RESOLUTION = 7  # bins a side
    roi.SAMPLING_RATIO = 2  # samples a side of each bin

    irm = node.IRM = CfgNode()  # Interaction Reasoning Module
    irm.NUM_LAYERS = 1  # encoder layers over the pairs of an image
    irm.HIDDEN_DIM = 1024  # width of a pair in them
    irm.FFN_DIM = 2048  # inner width of its two-layer networks
    irm.NUM_HEADS = 8  # divides HIDDEN_DIM
    irm.DROPOUT = 0.1  # in training only

    # LayoutHeads (MODEL.RMLR.HEADS): verbs from boxes and classes alone, with any entity detector.
    layout = node.LAYOUT = CfgNode()
    layout.TOKEN_DIM = 96  # width of an entity
    layout.HIDDEN_DIM = 256  # width of a pair
    layout.NUM_LAYERS = 1  # rounds in which the pairs of an image look at each other
    layout.NUM_HEADS = 4  # of each pooling; divides half of HIDDEN_DIM
    layout.DROPOUT = 0.2  # in training only
    # In training, the annotated boxes of a part of the images are made to look like detections.
    noise = layout.NOISE = CfgNode()
    noise.SHARE = 0.4  # of the training images; 0 = none
    noise.JITTER = 0.05  # boxes are moved and scaled by about this share of their size
    noise.DROP = 0.05  # chance that an entity is missed
    noise.REPEAT = 0.1  # chance that it is found a second time, badly
    noise.BYSTANDERS = [0.4, 0.6]  # expected humans, and objects, that take part in nothing
    # In training, humans are left out until an image has about so many pairs; 0 = all.
    layout.MAX_TRAIN_PAIRS = 32

    loss = node.LOSS = CfgNode()  # focal loss of UPT; "beta" of the supplement is ALPHA
    loss.ALPHA = 0.5  # weight of the positives; that of the negatives is 1 - ALPHA
    loss.GAMMA = 0.2  # 0 = binary cross-entropy
    # A candidate pair takes the verbs of every annotated pair that it overlaps with by this much
    # (the smaller of the two IoUs).
    loss.MATCH_IOU = 0.5
    # Exponents of (s_human * s_object) in training and in testing.
    loss.PRIOR_EXPONENT_TRAIN = 1.0
    loss.PRIOR_EXPONENT_TEST = 2.8  # larger: the ranking leans on the detector
    # Add the ground-truth boxes to the candidates in training (UPT does not).
    loss.ADD_GROUND_TRUTH = False
