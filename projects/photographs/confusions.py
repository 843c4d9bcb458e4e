"""Which verbs the layout model takes for each other, given both annotated boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from simulated import batches
from sklearn.metrics import average_precision_score
from tabulate import tabulate
from torch import Tensor

from hoi_d2.data.layout_mapper import LayoutMapper
from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.inference.predictor import get_model

SHOWN = 20
OFTEN = 0.2
"""Share of a verb's pairs on which annotators name another verb as well."""
ENOUGH = 50
"""Annotated pairs that a verb needs to have a row of its own."""


class JudgedPairs(NamedTuple):
    """The candidate pairs that are annotated.

    Attributes:
        objects: (M,) classes.
        verbs: (M, K) bool, annotated.
        possible: (M, K) bool, of the object.
        scores: (M, K) in 0..1.
    """

    objects: Tensor
    verbs: Tensor
    possible: Tensor
    scores: Tensor


def confusion_tables(name: str, options: Sequence[str] = ()) -> str:
    """The verbs that are missed most, and those that stand in front of them.

    Args:
        name: of the model, such as photo/layout_hico_det.
        options: KEY, VALUE, ... overrides of its config.
    """
    predictor = get_model(name, options=options)
    vocabulary = predictor.vocabulary
    pairs = judged_pairs(predictor.model, predictor.cfg)
    idle = vocabulary.verbs.index("no_interaction") if "no_interaction" in vocabulary.verbs else -1
    active = [verb for verb in range(len(vocabulary.verbs)) if verb != idle]
    text = [f"{len(pairs.objects)} annotated pairs", *_tables(pairs, active, vocabulary)]
    headers = ("verb", "pairs", "share of possible", "AP", "first")
    text.append(tabulate(verb_rows(pairs, active, vocabulary.verbs), headers, floatfmt=".2f"))
    return "\n\n".join(text)


def _tables(pairs: JudgedPairs, active: list[int], vocabulary: Vocabulary) -> list[str]:
    """The most frequent confusions of verbs that are seldom annotated together, and of others."""
    above, together, annotated = confusions(pairs, active)
    rows: dict[bool, list[tuple]] = {False: [], True: []}
    for (thing, verb, other), number in above.most_common():
        total, both = annotated[thing, verb], together[thing, verb, other]
        names = vocabulary.objects[thing], vocabulary.verbs[verb], vocabulary.verbs[other]
        rows[both >= OFTEN * total].append((*names, total, number, number / total, both / total))
    headers = ("object", "annotated", "scored higher", "pairs", "times", "share", "both annotated")
    text = []
    for is_often, what in ((False, "seldom"), (True, "often")):
        times = sum(row[4] for row in rows[is_often])
        text.append(f"{what} annotated together: {times} times")
        text.append(tabulate(rows[is_often][:SHOWN], headers, floatfmt=".2f"))
    return text


@torch.inference_mode()
def judged_pairs(model: Any, cfg: CfgNode) -> JudgedPairs:
    """The candidates of the first test set that match an annotated pair, with annotated boxes."""
    mapper = LayoutMapper(is_train=True, num_verbs=len(model.vocabulary.verbs))
    parts = []
    for batch in batches(DatasetCatalog.get(cfg.DATASETS.TEST[0]), mapper):
        entities = model.entity_detector(batch)
        pairs = model.pair_generator(entities.instances)
        scores = model.interaction_heads(entities, pairs).verb_logits.sigmoid()
        verbs = model.targets.match(pairs, batch).candidate_verbs() > 0
        kept = verbs.any(dim=1)
        possible = model.valid_verbs[pairs.object_classes] > 0
        parts.append([x[kept] for x in (pairs.object_classes, verbs, possible, scores)])
    return JudgedPairs(*map(torch.cat, zip(*parts)))


def confusions(pairs: JudgedPairs, active: list[int]) -> tuple[Counter, Counter, Counter]:
    """Counts, by classes of objects and verbs.

    Args:
        pairs: annotated pairs.
        active: the verbs that are looked at.

    Returns:
        (object, annotated verb, other verb) -> pairs on which the other one is possible, not
        annotated, and scored higher; the same -> pairs on which both are annotated; (object,
        verb) -> annotated pairs.
    """
    above: Counter = Counter()
    together: Counter = Counter()
    annotated: Counter = Counter()
    looked_at = torch.zeros(pairs.verbs.shape[1], dtype=torch.bool)
    looked_at[active] = True
    for thing, verbs, possible, scores in zip(pairs.objects.tolist(), *pairs[1:]):
        own = _true(verbs & looked_at)
        for verb in own:
            annotated[thing, verb] += 1
            higher = possible & looked_at & ~verbs & (scores > scores[verb])
            above.update((thing, verb, other) for other in _true(higher))
            together.update((thing, verb, other) for other in own if other != verb)
    return above, together, annotated


def verb_rows(
    pairs: JudgedPairs, active: list[int], names: Sequence[str]
) -> list[tuple[str, int, float, float, float]]:
    """How well each verb is told from the other verbs of its objects, worst first.

    Returns:
        (verb, annotated pairs, their share of the pairs whose object takes the verb, average
        precision among those, share of the annotated pairs on which no wrong verb is higher).
    """
    wrong = (pairs.possible & ~pairs.verbs)[:, active]
    best_wrong = pairs.scores[:, active].masked_fill(~wrong, 0).amax(dim=1)
    rows = []
    for verb in active:
        chosen = pairs.possible[:, verb]
        truth, scores = pairs.verbs[chosen, verb], pairs.scores[chosen, verb]
        if (total := int(truth.sum())) < ENOUGH:
            continue
        precision = average_precision_score(truth, scores)
        first = (scores > best_wrong[chosen])[truth].float().mean().item()
        rows.append((names[verb], total, total / len(truth), precision, first))
    return sorted(rows, key=lambda row: row[3])


def _true(mask: Tensor) -> list[int]:
    return mask.nonzero()[:, 0].tolist()
