"""What a two-stage model learns from: annotated pairs, brought to its candidate pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.structures import Instances
from torch import Tensor, nn

from hoi_d2.data.catalog import learnt_verbs_of
from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.modeling.roi_heads.ground_truth import add_ground_truth
from hoi_d2.modeling.roi_heads.pair_generator import CandidatePairs
from hoi_d2.modeling.roi_heads.pair_matching import (
    PairMatches,
    ReachedPairs,
    match_pairs,
    person_verb_targets,
)


class PairTargets(nn.Module):
    """The targets of the verb loss; the same for every head that scores pairs.

    Args:
        vocabulary: objects, verbs and which of them go together.
        learnt_verbs: (num_objects, K) bool, the verbs that are in the loss; None = all possible
            ones. See `learnt_verbs_of`.
        match_iou: overlap from which a candidate pair takes an annotated pair's verbs.
        add_ground_truth: in training, annotated entities that the detector missed are added.

    Attributes:
        reached_pairs: how many annotated pairs had a candidate.
    """

    learnt_verbs: Tensor
    person_verbs: Tensor

    @configurable
    def __init__(
        self,
        *,
        vocabulary: Vocabulary,
        learnt_verbs: np.ndarray | None = None,
        match_iou: float = 0.5,
        add_ground_truth: bool = False,
    ) -> None:
        super().__init__()
        self.match_iou, self.add_ground_truth = match_iou, add_ground_truth
        self.reached_pairs = ReachedPairs()
        learnt = vocabulary.valid_verbs if learnt_verbs is None else learnt_verbs
        self.register_buffer("learnt_verbs", torch.from_numpy(learnt).float(), persistent=False)
        alone = torch.from_numpy(vocabulary.person_verbs)
        self.register_buffer("person_verbs", alone, persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode, *, vocabulary: Vocabulary) -> dict[str, Any]:
        loss = cfg.MODEL.RMLR.LOSS
        return {
            "vocabulary": vocabulary,
            "learnt_verbs": learnt_verbs_of(cfg, vocabulary),
            "match_iou": loss.MATCH_IOU,
            "add_ground_truth": loss.ADD_GROUND_TRUTH,
        }

    def candidates(
        self, detections: list[Instances], batched_inputs: list[dict[str, Any]]
    ) -> list[Instances]:
        """The detections; in training with the annotated entities among them, if configured."""
        if not (self.training and self.add_ground_truth):
            return detections
        device = self.learnt_verbs.device
        return add_ground_truth(detections, [x["instances"].to(device) for x in batched_inputs])

    def match(self, pairs: CandidatePairs, batched_inputs: list[dict[str, Any]]) -> PairMatches:
        """Candidates and the annotated pairs that they overlap with."""
        matches = match_pairs(
            pairs,
            [x["instances"].to("cpu") for x in batched_inputs],
            [x["hoi_instances"].to("cpu") for x in batched_inputs],
            iou_threshold=self.match_iou,
        )
        self.reached_pairs.add(matches)
        return matches.to(pairs.human_boxes.device)

    def verbs(
        self, matches: PairMatches, pairs: CandidatePairs, batched_inputs: list[dict[str, Any]]
    ) -> Tensor:
        """(M, K) verbs of the candidates: of the annotated pairs, and of their persons alone."""
        verbs = matches.candidate_verbs()
        if not self.person_verbs.any():
            return verbs
        of_persons = person_verb_targets(
            pairs,
            [x["instances"].to("cpu") for x in batched_inputs],
            [x["hoi_instances"].to("cpu") for x in batched_inputs],
            person_verbs=self.person_verbs.cpu(),
            iou_threshold=self.match_iou,
        )
        return torch.maximum(verbs, of_persons.to(verbs.device))

    def priors(self, scores: Tensor, object_classes: Tensor) -> Tensor:
        """(M, K) priors of the loss: the pair's score where the verb is learnt, else 0.

        Args:
            scores: (M,) fp32, of the pairs, to the power of training.
            object_classes: (M,).
        """
        return scores[:, None] * self.learnt_verbs[object_classes]
