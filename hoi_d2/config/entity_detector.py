"""The config keys of the entity detectors, beside the size of DETR itself."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_entity_detector_config(cfg: CfgNode) -> None:
    """Adds the keys to `cfg.MODEL.DETR` and `cfg.MODEL.ENTITY_DETECTOR`, in place."""
    _add_detr_keys(cfg.MODEL.DETR)
    _add_detector_keys(cfg.MODEL.ENTITY_DETECTOR)


def _add_detr_keys(node: CfgNode) -> None:
    # What the NUM_CLASSES outputs mean: "" = the dataset's object classes in their order; or
    # "coco_91" (COCO's ids; Facebook's weights), "coco_80", "hico_80", "vcoco_81", or the name of a
    # registered dataset. They become the dataset's classes by name.
    node.CLASSES = ""
    # The decoder's last norm also stands between its layers, as transformers 5 trains it. No public
    # weights are like that.
    node.NORM_BETWEEN_LAYERS = False
    # What an image gives does not depend on the padding of its batch. False = as DETR was
    # published: what is convolved from the padding reaches the cells at the border.
    node.MASK_PADDING = True

    # Speed, where no gradient is needed; `tools/benchmark.py infer` measures each.
    node.FOLD_BATCHNORM = True  # frozen batch norm becomes part of the convolution before it
    node.CHANNELS_LAST = True  # memory format of the backbone
    node.PRECISION = "float32"  # or "bfloat16"; class and box heads stay in float32
    node.COMPILE = False  # torch.compile of backbone, encoder and decoder


def _add_detector_keys(node: CfgNode) -> None:
    # Of the file WEIGHTS: its SHA-256 (the beginning is enough), or the revision on the hub.
    node.SHA256 = ""
    node.REVISION = ""  # branch, tag or commit; "" = the newest
    # Class space of a detector other than DETR: "" = coco_80 for detectron2's and NanoDet, the
    # names that a transformers configuration gives, coco_91 for stored results.
    node.CLASSES = ""
    # Folder of stored outputs, which `tools/cache_detections.py` fills; "" = none.
    node.CACHE = ""

    # DetectronEntityDetector: any META_ARCHITECTURE of detectron2 with a backbone.
    node.DETECTRON = CfgNode()
    node.DETECTRON.CONFIG_FILE = ""  # detectron2's .yaml, or a lazy .py
    node.DETECTRON.OPTS = []  # KEY, VALUE, ... merged after it
    node.DETECTRON.FEATURE = ""  # the backbone's output that IRE sees; "" = coarsest up to 32

    # TransformersEntityDetector: RT-DETR and other relatives.
    node.TRANSFORMERS = CfgNode()
    node.TRANSFORMERS.CONFIG = ""  # directory, hub id or .json; "" = WEIGHTS
    node.TRANSFORMERS.SIZE = [640, 640]  # height and width of the input; [] = as images come

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
