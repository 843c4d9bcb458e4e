"""Trains one variant; variants that differ start from the same weights where they can."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from detectron2.modeling import build_model
from layouts import Layouts, batches
from torch import Tensor
from variants import NONE, Variant

from hoi_d2.modeling.language.class_rows import adjusted_rows, factor_rows
from hoi_d2.modeling.language.linguistic_knowledge import LinguisticKnowledge, normalised
from hoi_d2.modeling.meta_arch.layout import LayoutRmLR
from hoi_d2.solver.build import build_lr_scheduler, build_optimizer

_BATCH = 64
_LAST = 50  # steps that the losses are a mean over


def build(variant: Variant, seed: int) -> LayoutRmLR:
    """The model before training.

    The parts that it shares with *none* start from the weights of *none* with this seed, so that
    variants differ by what they do and not by the draw.
    """
    torch.manual_seed(seed)
    shared = build_model(NONE.config()).state_dict()
    torch.manual_seed(seed)
    model = build_model(variant.config())
    own = model.state_dict()
    fitting = {k: v for k, v in shared.items() if k in own and own[k].shape == v.shape}
    model.load_state_dict(own | fitting)
    return model


def prepare(model: LayoutRmLR, variant: Variant) -> None:
    """Loads the text, and changes it to the variant's."""
    model.prepare_training()
    if model.alignment is None or variant.text == "MiniLM":
        return
    if variant.level != "sentence":
        raise ValueError(f"text {variant.text} is for the level sentence, got {variant.level}")
    knowledge = model.alignment.knowledge
    knowledge.sentence = other_text(knowledge, variant.text, model)[:, None]


def other_text(knowledge: LinguisticKnowledge, text: str, model: LayoutRmLR) -> Tensor:
    """(S, D) in place of the sentences."""
    if text == "factor":
        hois = torch.from_numpy(model.vocabulary.hois)
        return normalised(factor_rows(hois, knowledge.dim))
    return normalised(adjusted_rows(knowledge.sentence[:, 0], text))


def train(variant: Variant, seed: int, layouts: Layouts) -> tuple[LayoutRmLR, dict[str, float]]:
    """Trains a variant; the model, and the mean of each loss over the last steps."""
    model = build(variant, seed)
    prepare(model.train(), variant)
    given = batches(layouts.part(variant.share), _BATCH, variant.steps, seed)
    torch.manual_seed(seed)
    history = list(_steps(model, variant, given))
    last = history[-_LAST:]
    return model, {k: float(torch.stack([h[k] for h in last]).mean()) for k in last[0]}


def _steps(
    model: LayoutRmLR, variant: Variant, given: Iterator[list[dict]]
) -> Iterator[dict[str, Tensor]]:
    """The losses of each step, without the factor of the schedule."""
    cfg = variant.config()
    optimizer = build_optimizer(cfg, model)
    scheduler = build_lr_scheduler(cfg, optimizer)
    trained = [p for p in model.parameters() if p.requires_grad]
    for step, batch in enumerate(given):
        losses = model(batch)
        factor = variant.factor(step)
        optimizer.zero_grad()
        sum(v * (factor if "align" in k else 1.0) for k, v in losses.items()).backward()
        torch.nn.utils.clip_grad_norm_(trained, cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE)
        optimizer.step()
        scheduler.step()
        yield {k: v.detach() for k, v in losses.items()}
