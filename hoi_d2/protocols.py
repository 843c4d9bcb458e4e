"""What engine and checkpoints ask of a model beyond detectron2's contract; each part is optional.

detectron2's contract: `model(batched_inputs)` gives a dict of scalar losses in training and a list
of outputs in evaluation. A model that leaves these attributes out is treated as trained as a whole,
random until a checkpoint is loaded, with losses that do not depend on the batch they are in.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


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


def random_parts(model: nn.Module) -> list[str]:
    """Prefixes of the parts with random weights; [""] (all) where the model does not say."""
    return list(model.random_weights()) if isinstance(model, KnowsRandomWeights) else [""]


def frozen_prefixes(model: nn.Module) -> tuple[str, ...]:
    """Prefixes of the modules that training never changes."""
    return tuple(model.frozen_prefixes) if isinstance(model, HasFrozenParts) else ()
