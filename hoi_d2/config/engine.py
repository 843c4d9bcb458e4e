"""The config keys that the engine adds to detectron2's."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_engine_config(cfg: CfgNode) -> None:
    """Adds the keys of the loader, the solver, the state and the evaluation to `cfg` in place."""
    _add_loader_keys(cfg.DATALOADER)
    _add_solver_keys(cfg.SOLVER)
    _add_state_keys(cfg.SOLVER)
    _add_evaluation_keys(cfg.TEST)


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
    # detectron2 drops images without annotations by default; here nothing is lost silently.
    node.FILTER_EMPTY_ANNOTATIONS = False
    # A missing or corrupt image is named once and replaced by another one; a run in which more than
    # this share of the images read so far is bad stops.
    node.MAX_BAD_IMAGE_SHARE = 0.01


def _add_solver_keys(node: CfgNode) -> None:
    node.OPTIMIZER = "ADAMW"  # "ADAMW", "ADAM" or "SGD"
    # Learning-rate factor of the parameters below a module named "backbone", where it is trained.
    node.BACKBONE_MULTIPLIER = 0.1
    # [prefix of the parameter's name, factor of its learning rate]; the longest prefix wins, and
    # wins over BACKBONE_MULTIPLIER.
    node.LR_FACTORS = []
    # CLIP_GRADIENTS.CLIP_TYPE may also be "full_model", one norm over all gradients: DETR's way.
    node.CLIP_GRADIENTS.CLIP_TYPE = "full_model"
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
    # A step whose loss or gradient is not finite is reported and skipped; this many in a row stop
    # the run.
    node.MAX_NONFINITE_STEPS = 10


def _add_state_keys(node: CfgNode) -> None:
    node.CHECKPOINT_KEEP = 3  # how many periodic checkpoints stay on disk; 0 = all
    # Keep a copy of the frozen modules in each checkpoint; else their hash, and the weights come
    # from where the config took them.
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
