"""The optional parts of a model beyond detectron2's contract.

detectron2's contract: `model(batched_inputs)` gives a dict of scalar losses in training and a list
of outputs in evaluation. A model that leaves these attributes out is treated as trained as a whole,
random until a checkpoint is loaded, with losses that do not depend on the batch they are in.

What a meta-architecture is for, it says by class attributes (`Capabilities`), which subclasses
inherit: a registered subclass of RmLR works in the predictor, the demo and the web page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor, nn

if TYPE_CHECKING:
    from hoi_d2.model_zoo.published import HubModel


class Capabilities(Protocol):
    """Class attributes of a meta-architecture; one that is not set counts as False."""

    finds_interactions: bool
    """Each output holds `instances` and `hoi_instances`."""
    classifies_images: bool
    """Takes square images of `image_encoder.image_size`; each output holds `hoi_scores`."""
    detects_entities: bool
    """Each output holds `instances` alone: a detector, evaluated by box AP."""
    takes_own_classes: bool
    """Its classes may be phrases of the user: `MODEL.HOI.CLASSES`."""
    needs_no_training: bool
    """Built of trained parts; its forward refuses training mode."""
    takes_whole_upt: bool
    """`convert_weights` takes UPT's published files, detector and head."""


def has_capability(architecture: type | nn.Module, name: str) -> bool:
    """Whether a meta-architecture, or a model of it, has an attribute of `Capabilities`."""
    return bool(getattr(architecture, name, False))


def meta_architecture(cfg: CfgNode) -> type:
    """The class of `MODEL.META_ARCHITECTURE`.

    Raises:
        KeyError: it is not registered; see `hoi_d2.register`.
    """
    return META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)


@runtime_checkable
class NeedsHubModels(Protocol):
    """A meta-architecture, not a model of it."""

    def hub_models(self, cfg: CfgNode, *, training: bool) -> list[HubModel]:
        """The models of the Hugging Face hub that its parts are loaded from; a class method."""
        ...


@runtime_checkable
class KnowsRandomWeights(Protocol):
    def random_weights(self) -> list[str]:
        """Name prefixes of the parts that were initialised at random when the model was built.

        A part that filled itself from a weight file (a pre-trained detector) is left out. What a
        checkpoint fills later is taken off the list by the engine; what then remains is named in
        the log and in metrics.json, since scores of random weights mean nothing.
        """
        ...


@runtime_checkable
class StandsIn(Protocol):
    """A module whose weights the config names, but that holds random ones in their place."""

    stand_in: str
    """Why, and what to do about it; "" = it does not."""


@runtime_checkable
class PreparesTraining(Protocol):
    def prepare_training(self) -> None:
        """Gets what only training needs; called once on every process before the first step."""
        ...


@runtime_checkable
class HasFrozenParts(Protocol):
    frozen_prefixes: tuple[str, ...]
    """Name prefixes of modules that training never changes; checkpoints hold their hash."""


@runtime_checkable
class ConvertsWeights(Protocol):
    def convert_weights(self, file: Any, *, classes: str = "") -> dict[str, Tensor]:
        """A `WeightFile` of another project's layout under the model's own names."""
        ...


@runtime_checkable
class CountsTargets(Protocol):
    def count_targets(self, batched_inputs: list[dict[str, Any]]) -> dict[str, float]:
        """The counts that this batch's forward will pass to `loss_normalizer`, by name.

        Called before the forwards of a step with gradient accumulation, without gradients. A model
        without it is run forward once more, which gives the same counts at a higher price.
        """
        ...


class PairCounts(Protocol):
    def take(self) -> tuple[int, int]:
        """The annotated pairs that a candidate matches, and all of them, since the last call."""
        ...


@runtime_checkable
class CountsReachedPairs(Protocol):
    reached_pairs: PairCounts
    """How many annotated pairs of the training batches have a candidate."""


def random_parts(model: nn.Module) -> list[str]:
    """Prefixes of the parts with random weights; [""] (all) where the model does not say."""
    return list(model.random_weights()) if isinstance(model, KnowsRandomWeights) else [""]


def stand_ins(model: nn.Module) -> dict[str, str]:
    """The modules that hold random weights in place of those that the config names: name -> why."""
    named = model.named_modules()
    return {n: m.stand_in for n, m in named if isinstance(m, StandsIn) and m.stand_in}


def frozen_prefixes(model: nn.Module) -> tuple[str, ...]:
    """Prefixes of the modules that training never changes."""
    return tuple(model.frozen_prefixes) if isinstance(model, HasFrozenParts) else ()
