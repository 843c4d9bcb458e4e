"""The config keys of DEFR's classifier and of its loss."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_defr_config(cfg: CfgNode) -> None:
    """Adds `cfg.MODEL.CLASSIFIER` and `cfg.MODEL.DEFR`, in place."""
    _add_classifier_keys(cfg)
    _add_loss_keys(cfg)


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
    # sentence form that MODEL.LANGUAGE names; or "random". Neither matters where MODEL.WEIGHTS is
    # set, which holds the rows: then no text encoder is needed.
    node.INIT = "language"
    # Where CLIP's visual projection comes from, through which its text vectors are pulled back to
    # the width of the image feature: "" = the image encoder's own; else a CLIP of transformers (a
    # file, a folder or a hub id), for an image encoder that is no CLIP.
    node.PROJECTION = ""


def _add_loss_keys(cfg: CfgNode) -> None:
    """DEFR (Jin et al., arXiv 2203.05676)."""
    cfg.MODEL.DEFR = CfgNode()
    loss = cfg.MODEL.DEFR.LOSS = CfgNode()
    loss.NAME = "LSESign"  # or "BCE", "WeightedBCE", "Focal"; see CLASSIFICATION_LOSS_REGISTRY
    # Classes that annotators could not tell: "negative" (the release), or "left_out" of the loss.
    loss.AMBIGUOUS = "negative"
    loss.FOCAL_ALPHA = 0.25  # "Focal" only: weight of the positives
    loss.FOCAL_GAMMA = 2.0  # "Focal" only: 0 = binary cross-entropy
