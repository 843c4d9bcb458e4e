"""RmLR's token branch on boxes and classes: verb scores without pixels.

An entity's token is made of its class and of what is around it, a pair's vector of two tokens and
of how the two boxes lie; the pairs of an image look at each other before they tell verbs, as in the
IRM (RmLR, arXiv 2307.13529, Algorithm 1, step 3). Works with the boxes of any entity detector.
"""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import ROI_HEADS_REGISTRY
from torch import Tensor, nn

from hoi_d2.config.load import ConfigError
from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.modeling.entity_detector.interface import Entities
from hoi_d2.modeling.roi_heads.interaction_heads import PairVectors, overall_parts
from hoi_d2.modeling.roi_heads.layout_features import (
    NUM_ENTITY,
    NUM_GEOMETRY,
    NUM_RIVALRY,
    entity_surroundings,
    image_of,
    pair_geometry,
    pair_rivalry,
)
from hoi_d2.modeling.roi_heads.pair_generator import CandidatePairs
from hoi_d2.modeling.roi_heads.pair_pooling import PairPooling
from hoi_d2.modeling.roi_heads.pair_set_encoder import PairSetEncoder

_CERTAIN = 0.999
_FIRST_BIAS = -2.0  # most verbs of most pairs are not there


@ROI_HEADS_REGISTRY.register()
class LayoutHeads(nn.Module):
    """Boxes and classes of the pairs -> verb logits.

    Whether an entity is annotated (score 1) or detected is an input; how large its score is is not,
    since the score is already in the pair's prior.

    Args:
        valid_verbs: (C, K) bool, which verbs an object can take.
        token_dim: width of an entity.
        hidden_dim: width of a pair.
        num_layers: rounds in which the pairs of an image look at each other.
        num_heads: of each of the three poolings of a round.
        dropout: of the pair vectors and inside the two-layer networks, in training.
        overall_attention: the self-attention of cross-modal learning over the pairs of an image,
            before they look at each other here; None = none.
        reason_over_both: whether the attended vectors are added to the pairs' own.
        aligns_output: whether L^m is about the pairs' last vectors; see `InteractionHeads`.
    """

    @configurable
    def __init__(
        self,
        *,
        valid_verbs: Tensor,
        token_dim: int = 96,
        hidden_dim: int = 256,
        num_layers: int = 1,
        num_heads: int = 4,
        dropout: float = 0.3,
        overall_attention: PairSetEncoder | None = None,
        reason_over_both: bool = False,
        aligns_output: bool = False,
    ) -> None:
        super().__init__()
        num_objects, num_verbs = valid_verbs.shape
        self.entities = EntityTokens(num_classes=num_objects, dim=token_dim, dropout=dropout / 3)
        self.of_human = nn.Linear(token_dim, hidden_dim)
        self.of_object = nn.Linear(token_dim, hidden_dim)
        self.of_geometry = nn.Linear(NUM_GEOMETRY, hidden_dim)
        self.of_rivalry = nn.Linear(NUM_RIVALRY, hidden_dim)
        self.gate = nn.Embedding(num_objects, hidden_dim)
        nn.init.ones_(self.gate.weight)
        self.start = nn.Sequential(nn.LayerNorm(hidden_dim), nn.ReLU(), nn.Dropout(dropout))
        self.first = Residual(hidden_dim, dropout)
        self.poolings = nn.ModuleList(
            PairPooling(hidden_dim, num_heads=num_heads) for _ in range(num_layers)
        )
        self.blocks = nn.ModuleList(Residual(hidden_dim, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(hidden_dim)
        self.predictor = nn.Linear(hidden_dim, num_verbs)
        nn.init.constant_(self.predictor.bias, _FIRST_BIAS)
        self.combinations = CombinationRows(valid_verbs, hidden_dim)
        self.overall_attention, self.aligns_output = overall_attention, aligns_output
        self.of_attended = None
        if reason_over_both and overall_attention is not None:
            self.of_attended = nn.Linear(overall_attention.hidden_dim, hidden_dim)

    @classmethod
    def from_config(
        cls, cfg: CfgNode, input_shape: ShapeSpec, *, token_dim: int, num_verbs: int
    ) -> dict[str, Any]:
        """The detector's map and tokens are not looked at."""
        node, cml = cfg.MODEL.RMLR.LAYOUT, cfg.MODEL.RMLR.CML
        if cml.ENABLED and (cml.SENTENCE_IRE_WEIGHT or cml.WORD_IRE_WEIGHT):
            raise ConfigError(
                "MODEL.RMLR.HEADS LayoutHeads has no union vectors for MODEL.RMLR.CML to align; "
                "set SENTENCE_IRE_WEIGHT and WORD_IRE_WEIGHT to 0"
            )
        return {
            "valid_verbs": torch.from_numpy(vocabulary_of(cfg).valid_verbs),
            "token_dim": node.TOKEN_DIM,
            "hidden_dim": node.HIDDEN_DIM,
            "num_layers": node.NUM_LAYERS,
            "num_heads": node.NUM_HEADS,
            "dropout": node.DROPOUT,
            **overall_parts(cml, pair_dim=node.HIDDEN_DIM),
        }

    @property
    def reasoned_dim(self) -> int:
        """As of `InteractionHeads`."""
        return self.predictor.in_features if self.aligns_output else 0

    @property
    def relation_encoder(self) -> None:
        """None: there is no map to encode."""
        return None

    def forward(self, entities: Entities, pairs: CandidatePairs) -> PairVectors:
        """Computes the verb logits of all pairs.

        Args:
            entities: the entities of the batch; not used, `pairs` has the kept ones.
            pairs: the candidate pairs.
        """
        entities_of, device = pairs.instances, pairs.image_index.device
        return self.pair_vectors(
            torch.cat([i.pred_boxes.tensor for i in entities_of]).to(device),
            torch.cat([i.pred_classes for i in entities_of]).to(device),
            torch.cat([i.scores for i in entities_of]).to(device),
            [len(i) for i in entities_of],
            packed_rows(pairs),
        )

    def verb_logits(
        self, boxes: Tensor, classes: Tensor, scores: Tensor, counts: list[int], rows: Tensor
    ) -> Tensor:
        """(M, K) verb logits; arguments as of `pair_vectors`."""
        return self.pair_vectors(boxes, classes, scores, counts, rows).verb_logits

    def pair_vectors(
        self, boxes: Tensor, classes: Tensor, scores: Tensor, counts: list[int], rows: Tensor
    ) -> PairVectors:
        """Computes the vectors and verb logits of pairs of packed entities.

        Args:
            boxes: (E, 4) XYXY of the batch's entities, image after image.
            classes, scores: (E,).
            counts: entities of each image.
            rows: (M, 2) human and object of each pair, rows of the entities; image after image.
        """
        human, object_ = rows.unbind(dim=1)
        image = image_of(classes, counts)
        kinds = classes[object_]
        tokens = self.entities(boxes, classes, scores > _CERTAIN, counts)
        geometry = pair_geometry(boxes[human], boxes[object_])
        rivalry = pair_rivalry(boxes[human], boxes[object_], rows, kinds)
        x = self.of_geometry(geometry) * self.gate(kinds) + self.of_rivalry(rivalry)
        x = x + self.of_human(tokens)[human] + self.of_object(tokens)[object_]
        x = self.first(self.start(x))
        x, attended = self._attended(x, image[human], len(counts))
        entities = boxes.shape[0]  # not len(): a graph keeps it open
        groups = [(human, entities), (object_, entities), (image[human], len(counts))]
        for pooling, block in zip(self.poolings, self.blocks):
            x = block(pooling(x, groups))
        x = self.norm(x)
        if self.aligns_output:
            attended = x if self.training else None
        return PairVectors(self.predictor(x) + self.combinations(x, kinds), attended)

    def _attended(self, x: Tensor, image: Tensor, images: int) -> tuple[Tensor, Tensor | None]:
        """Pairs with, and vectors of, the self-attention of cross-modal learning."""
        if self.overall_attention is None or not (self.training or self.of_attended is not None):
            return x, None
        one = images == 1  # an exported graph has one image and any number of pairs
        counts = [x.shape[0]] if one else torch.bincount(image, minlength=images).tolist()
        attended = self.overall_attention(x, counts)
        return (x if self.of_attended is None else x + self.of_attended(attended)), attended


class CombinationRows(nn.Module):
    """Classifier rows of combinations: a verb with one object has its own row and bias.

    All start at zero, so that a combination without a training pair is judged by its verb alone.

    Args:
        valid_verbs: (C, K) bool; each True is a combination (HICO-DET: its 600 HOI classes).
        dim: of a pair.
    """

    index: Tensor
    valid: Tensor

    def __init__(self, valid_verbs: Tensor, dim: int) -> None:
        super().__init__()
        valid = valid_verbs.bool()
        index = (valid.flatten().cumsum(0) - 1).clamp(min=0).reshape(valid.shape)
        self.register_buffer("index", index, persistent=False)
        self.register_buffer("valid", valid.float(), persistent=False)
        self.rows = nn.Linear(dim, int(valid.sum()))
        nn.init.zeros_(self.rows.weight)
        nn.init.zeros_(self.rows.bias)

    def forward(self, x: Tensor, classes: Tensor) -> Tensor:
        """(M, dim) pairs and (M,) classes of their objects -> (M, K), 0 where there is no row."""
        return self.rows(x).gather(1, self.index[classes]) * self.valid[classes]


class EntityTokens(nn.Module):
    """Class, surroundings and certainty of each entity -> its token.

    Args:
        num_classes: of entities.
        dim: of the tokens.
        dropout: in training.
    """

    def __init__(self, *, num_classes: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.of_class = nn.Embedding(num_classes, dim)
        self.of_numbers = nn.Linear(NUM_ENTITY + 1, dim)
        self.of_others = nn.Linear(3 * num_classes, dim, bias=False)
        self.mix = nn.Sequential(
            *(nn.LayerNorm(dim), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Linear(dim, dim), nn.ReLU()),
        )

    def forward(self, boxes: Tensor, classes: Tensor, certain: Tensor, counts: list[int]) -> Tensor:
        """(E, 4) boxes, (E,) classes, (E,) bool whether annotated, entities of each image."""
        numbers, others = entity_surroundings(boxes, classes, counts, self.num_classes)
        numbers = torch.cat([numbers, certain[:, None].to(numbers.dtype)], dim=1)
        return self.mix(self.of_class(classes) + self.of_numbers(numbers) + self.of_others(others))


class Residual(nn.Module):
    """x + a two-layer network of its layer norm.

    Args:
        dim: of x.
        dropout: between the layers, in training.
    """

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.network = nn.Sequential(
            *(nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.ReLU(), nn.Dropout(dropout)),
            nn.Linear(2 * dim, dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.network(x)


def packed_rows(pairs: CandidatePairs) -> Tensor:
    """(M, 2) human and object of each pair as rows of all entities of the batch."""
    device = pairs.image_index.device
    counts = torch.tensor([len(i) for i in pairs.instances], device=device)
    first = counts.cumsum(0) - counts
    return torch.cat(pairs.pair_indices).to(device) + first[pairs.image_index][:, None]
