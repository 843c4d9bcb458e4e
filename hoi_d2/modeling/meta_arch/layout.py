"""RmLR's token branch on annotated boxes, trained many images at once without pixels."""

from __future__ import annotations

from typing import Any, cast

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Instances
from torch import Tensor
from torchvision.ops import box_iou

from hoi_d2.modeling.meta_arch.rmlr import RmLR
from hoi_d2.modeling.roi_heads.layout_heads import LayoutHeads
from hoi_d2.modeling.roi_heads.layout_noise import LayoutNoise, PackedEntities, without_crowds
from hoi_d2.modeling.roi_heads.pair_matching import PairMatches
from hoi_d2.structures import NO_OBJECT, ImageResults, Losses


@META_ARCH_REGISTRY.register()
class LayoutRmLR(RmLR):
    """RmLR whose heads look at boxes and classes alone (`LayoutHeads`).

    Testing is RmLR's own, with any entity detector. In training the entities are the annotated
    ones with the noise of a detector, and all steps run over the packed batch: an image costs
    a fraction of a millisecond, and detectron2's way of one image after the other several.

    Args:
        noise: what is done to the annotated entities.
        max_train_pairs: humans are left out until an image has about so many pairs; 0 = all.
        **rmlr: of `RmLR`.
    """

    @configurable
    def __init__(self, *, noise: LayoutNoise, max_train_pairs: int = 32, **rmlr: Any) -> None:
        super().__init__(**rmlr)
        self.noise, self.max_train_pairs = noise, max_train_pairs

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        arguments, node = super().from_config(cfg), cfg.MODEL.RMLR.LAYOUT
        noise = LayoutNoise(
            share=node.NOISE.SHARE,
            person=arguments["vocabulary"].person,
            jitter=node.NOISE.JITTER,
            drop=node.NOISE.DROP,
            repeat=node.NOISE.REPEAT,
            bystanders=tuple(node.NOISE.BYSTANDERS),
        )
        return arguments | {"noise": noise, "max_train_pairs": node.MAX_TRAIN_PAIRS}

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Losses | list[ImageResults]:
        """Finds interactions, or computes the loss in training.

        Args:
            batched_inputs: what the entity detector needs; in training `instances` and
                `hoi_instances`.

        Returns:
            Training: {"loss_verb": scalar}, and "loss_align_{sentence,word}_irm" where they have a
            weight. Else as `RmLR`.
        """
        if not self.training:
            return super().forward(batched_inputs)
        device = self.valid_verbs.device
        instances = [x["instances"].to(device) for x in batched_inputs]
        annotated = packed(instances)
        found = self.as_found(annotated, len(instances))
        counts = torch.bincount(found.images, minlength=len(instances))
        rows = human_object_pairs(found, counts, self.vocabulary.person)
        targets = [x["hoi_instances"].to(device) for x in batched_inputs]
        matches = match_packed(
            found, rows, annotated, *packed_targets(targets, instances), self.targets.match_iou
        )
        vectors = cast(LayoutHeads, self.interaction_heads).pair_vectors(
            found.boxes, found.classes, found.scores, counts.tolist(), rows
        )
        scores = found.scores[rows].prod(dim=1) ** self.prior_exponents[0]
        priors = self.targets.priors(scores, found.classes[rows[:, 1]])
        verbs = matches.candidate_verbs()
        losses = {"loss_verb": self.verb_loss(vectors.verb_logits, priors, verbs)}
        return losses | self.alignment_losses(vectors, matches)

    def as_found(self, annotated: PackedEntities, num_images: int) -> PackedEntities:
        """The annotated entities as a detector might give them, after its suppression."""
        person, generator = self.vocabulary.person, self.pair_generator
        found = self.noise(annotated, num_images)
        found = found.merged(generator.nms_threshold, len(self.vocabulary.objects))
        if not self.max_train_pairs:
            return found
        return without_crowds(found, num_images, self.max_train_pairs, person=person)

    def random_weights(self) -> list[str]:
        """As `RmLR`; a detector without weights is not random."""
        has_weights = bool(self.entity_detector.state_dict())
        return [p for p in super().random_weights() if has_weights or p != "entity_detector"]


def packed(instances: list[Instances]) -> PackedEntities:
    """The annotated entities of a batch; their scores are 1."""
    classes = torch.cat([i.gt_classes for i in instances])
    counts = torch.tensor([len(i) for i in instances], device=classes.device)
    return PackedEntities(
        boxes=torch.cat([i.gt_boxes.tensor for i in instances]),
        classes=classes,
        scores=torch.ones(len(classes), device=classes.device),
        images=torch.repeat_interleave(counts),
    )


def packed_targets(targets: list[Instances], instances: list[Instances]) -> tuple[Tensor, Tensor]:
    """(P, 2) annotated pairs as rows of the packed entities, (P, K) verbs; with an object only."""
    counts = torch.tensor([0, *(len(i) for i in instances[:-1])])
    pairs = torch.cat([t.gt_pairs + n for t, n in zip(targets, counts.cumsum(0).tolist())])
    visible = torch.cat([t.gt_pairs[:, 1] != NO_OBJECT for t in targets])
    return pairs[visible], torch.cat([t.gt_verbs for t in targets])[visible]


def human_object_pairs(found: PackedEntities, counts: Tensor, person: int) -> Tensor:
    """(M, 2) every human with every other entity of its image, human first, image after image."""
    human = (found.classes == person).nonzero()[:, 0]
    image = found.images[human]
    partners, first = counts[image], (counts.cumsum(0) - counts)[image]
    rows = human.repeat_interleave(partners)
    place = torch.arange(len(rows), device=rows.device)
    place = place - (partners.cumsum(0) - partners).repeat_interleave(partners)
    pairs = torch.stack([rows, first.repeat_interleave(partners) + place], dim=1)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def match_packed(
    found: PackedEntities,
    rows: Tensor,
    annotated: PackedEntities,
    gt_pairs: Tensor,
    gt_verbs: Tensor,
    iou_threshold: float,
) -> PairMatches:
    """Matches pairs with the annotated pairs of their image, as `match_pairs` does.

    Args:
        found: E entities of the batch.
        rows: (M, 2) the pairs, rows of `found`.
        annotated: G entities of the batch.
        gt_pairs: (P, 2) annotated pairs, rows of `annotated`.
        gt_verbs: (P, K).
        iou_threshold: which both boxes have to reach.
    """
    same_image = found.images[:, None] == annotated.images[None]
    fits = (box_iou(found.boxes, annotated.boxes) >= iou_threshold) & same_image  # (E, G)
    human, object_ = (fits[r][:, p] for r, p in zip(rows.unbind(dim=1), gt_pairs.unbind(dim=1)))
    pair, match = (human & object_).nonzero(as_tuple=True)  # of (M, P)
    return PairMatches(len(rows), pair, match, gt_verbs, annotated.classes[gt_pairs[:, 1]])


def matched_verbs(*arguments: Any) -> Tensor:
    """(M, K) verbs of each pair: of all annotated pairs that it matches; see `match_packed`."""
    return match_packed(*arguments).candidate_verbs()
