"""Which models of the Hugging Face hub a config needs, known before the model is built."""

from __future__ import annotations

from detectron2.config import CfgNode

from hoi_d2.checkpoint.hub import is_hub_id, require
from hoi_d2.model_zoo.published import HubModel
from hoi_d2.protocols import NeedsHubModels, meta_architecture


def hub_models_of(cfg: CfgNode, *, training: bool = False) -> list[HubModel]:
    """All models of the hub that a model with trained weights is built of.

    Args:
        cfg: of any registered META_ARCHITECTURE; one that does not say what it needs is taken to
            need MODEL.WEIGHTS alone.
        training: with what only training uses.
    """
    weights = cfg.MODEL.WEIGHTS
    models = [HubModel(weights)] if is_hub_id(weights) else []
    architecture = meta_architecture(cfg)
    if isinstance(architecture, NeedsHubModels):
        models += architecture.hub_models(cfg, training=training)
    return models


def require_hub_models(cfg: CfgNode, *, training: bool = False) -> None:
    """Downloads what is not here, so that a model is built of trained weights or not at all.

    Nothing is done with MODEL.ALLOW_RANDOM_WEIGHTS, where random weights may stand in.

    Raises:
        MissingFilesError: files are missing, and the hub cannot be reached; names them all.
        HubError: the hub does not have them.
        ChangedFileError: they are not those that were used first.
    """
    if not cfg.MODEL.ALLOW_RANDOM_WEIGHTS:
        require(hub_models_of(cfg, training=training))
