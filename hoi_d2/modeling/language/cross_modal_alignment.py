"""Cross-modal learning of RmLR: aligns visual pair vectors with the vectors of sentences.

RmLR (arXiv 2307.13529), Algorithm 1 step 2 (5)-(7): candidates are associated with annotations, the
sentences of a pair are gathered by cross-attention, and an L1 loss pulls the visual vector there.
Only training does this; nothing here has a way to the verb logits.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.model_zoo.published import HubModel
from hoi_d2.modeling.language.linguistic_knowledge import LinguisticKnowledge, normalised
from hoi_d2.modeling.language.prompts import hoi_sentences
from hoi_d2.modeling.language.text_encoder import encoder_options, encoding_models
from hoi_d2.modeling.losses.normalizer import loss_normalizer
from hoi_d2.modeling.roi_heads.pair_matching import PairMatches

ATTENTIONS = ("fixed", "learnt")


class CrossModalAlignment(nn.Module):
    """L1 distance between visual pair vectors and the vectors of their sentences.

    Both sides are normalised without weights, and the text side has no gradient: no term falls by
    shrinking a vector, nor by moving the text.

    Args:
        knowledge: the text vectors.
        attention: the kind of attention from pairs to texts; one per source and level.
        weights: of each term, by (level, source); 0 = the term is not computed.
    """

    @configurable
    def __init__(
        self,
        *,
        knowledge: LinguisticKnowledge,
        attention: str,
        num_heads: int,
        weights: dict[tuple[str, str], float],
    ) -> None:
        super().__init__()
        self.knowledge = knowledge
        self.weights = {term: weight for term, weight in weights.items() if weight}
        self.attentions = nn.ModuleDict(
            {
                f"{level}_{source}": TextAttention(
                    dim=knowledge.dim, num_heads=num_heads, kind=attention
                )
                for level, source in self.weights
            }
        )

    @classmethod
    def from_config(cls, cfg: CfgNode, vocabulary: Vocabulary) -> dict[str, Any]:
        node = cfg.MODEL.RMLR.CML
        return {
            "knowledge": LinguisticKnowledge(cfg, vocabulary),
            "attention": node.CROSS_ATTENTION,
            "num_heads": node.NUM_HEADS,
            "weights": _weights(cfg),
        }

    def forward(self, vectors: dict[str, Tensor | None], matches: PairMatches) -> dict[str, Tensor]:
        """Computes the alignment losses of a batch.

        Args:
            vectors: of the packed candidate pairs, (M, dim) under "irm" (L^m) and "ire" (L^a).
            matches: which of them are annotated pairs.

        Returns:
            `loss_align_{sentence,word}_{irm,ire}` of the terms that have a weight: mean over the
            channels, and over the pairs that have a sentence; 0 where there are none.

        Raises:
            ValueError: vectors of a term that has a weight are None.
        """
        texts = self.knowledge.load()
        candidates, owners, sentences = texts.sentences_of(matches)
        count = loss_normalizer("aligned_pairs", len(candidates), device=owners.device)
        losses = {}
        device_type = owners.device.type
        with torch.autocast(device_type, enabled=False):
            for (level, source), weight in self.weights.items():
                given = vectors[source]
                if given is None:
                    raise ValueError(f"the alignment of {source} has a weight, but no vectors")
                seen = normalised(given[candidates])
                said = self._counterpart(level, source, seen, owners, sentences)
                distance = (seen - said).abs().mean(dim=1).sum()
                losses[f"loss_align_{level}_{source}"] = weight * distance / count
        return losses

    def _counterpart(
        self, level: str, source: str, seen: Tensor, owners: Tensor, sentences: Tensor
    ) -> Tensor:
        """(N, dim) text-side counterpart of each pair."""
        texts = self.knowledge
        if level == "sentence":
            said, mask = texts.sentence[sentences], None
        else:
            said, mask = texts.words[sentences], texts.word_mask[sentences]
        attention = self.attentions[f"{level}_{source}"]
        return normalised(attention(seen.detach(), said, mask, owners))


def build_alignment(cfg: CfgNode, vocabulary: Vocabulary) -> CrossModalAlignment | None:
    """Builds the alignment; None if cross-modal learning is off or all its weights are 0."""
    if not cfg.MODEL.RMLR.CML.ENABLED:
        return None
    alignment = CrossModalAlignment(cfg, vocabulary)
    return alignment if alignment.weights else None


def alignment_models(cfg: CfgNode, vocabulary: Vocabulary) -> list[HubModel]:
    """The models of the Hugging Face hub that training with the alignment needs."""
    if not (cfg.MODEL.RMLR.CML.ENABLED and any(_weights(cfg).values())):
        return []
    sentences = hoi_sentences(vocabulary, template=cfg.MODEL.LANGUAGE.TEMPLATE)
    return encoding_models(sentences, **encoder_options(cfg))


def _weights(cfg: CfgNode) -> dict[tuple[str, str], float]:
    node = cfg.MODEL.RMLR.CML
    return {
        ("sentence", "irm"): node.SENTENCE_IRM_WEIGHT,
        ("word", "irm"): node.WORD_IRM_WEIGHT,
        ("sentence", "ire"): node.SENTENCE_IRE_WEIGHT,
        ("word", "ire"): node.WORD_IRE_WEIGHT,
    }


class TextAttention(nn.Module):
    """Multi-head attention of each pair over all text vectors of its set of sentences.

    The result lies between the text vectors: values are not projected, so that training cannot move
    them.

    Args:
        dim: of pairs and texts.
        num_heads: as usual.
        kind: "fixed": queries and keys are the vectors as they are, and the attention has no
            gradient. "learnt": they are projected by trained weights. All sentences share words
            such as "a person is", and learnt attention may come to look at these alone.
    """

    def __init__(self, *, dim: int, num_heads: int, kind: str) -> None:
        super().__init__()
        if kind not in ATTENTIONS:
            raise ValueError(
                f"MODEL.RMLR.CML.CROSS_ATTENTION must be one of {ATTENTIONS}, got {kind!r}"
            )
        if dim % num_heads:
            raise ValueError(
                f"MODEL.RMLR.CML: HIDDEN_DIM {dim} is not a multiple of NUM_HEADS {num_heads}"
            )
        self.num_heads = num_heads
        learnt = kind == "learnt"
        self.query = nn.Linear(dim, dim) if learnt else nn.Identity()
        self.key = nn.Linear(dim, dim, bias=False) if learnt else nn.Identity()

    def forward(self, pairs: Tensor, texts: Tensor, mask: Tensor | None, owners: Tensor) -> Tensor:
        """Attends from each pair to the text vectors of its sentences.

        Args:
            pairs: (N, dim) queries.
            texts: (E, L, dim) keys and values: L vectors of each of E sentences.
            mask: (E, L) bool, True where there is a vector; None = everywhere.
            owners: (E,) which pair a sentence belongs to; each pair has one at least.

        Returns:
            (N, dim).
        """
        query = self.query(pairs).unflatten(-1, (self.num_heads, -1))[owners]  # (E, heads, d)
        key = self.key(texts).unflatten(-1, (self.num_heads, -1))  # (E, L, heads, d)
        value = texts.unflatten(-1, (self.num_heads, -1))
        logits = torch.einsum("ehd,elhd->elh", query, key) / math.sqrt(key.shape[-1])
        if mask is not None:
            logits = logits.masked_fill(~mask[..., None], -math.inf)
        weights = self._softmax(logits, owners, len(pairs))
        said = torch.einsum("elh,elhd->ehd", weights, value).flatten(1)
        return said.new_zeros(len(pairs), said.shape[1]).index_add(0, owners, said)

    @staticmethod
    def _softmax(logits: Tensor, owners: Tensor, count: int) -> Tensor:
        """(E, L, heads) softmax over all vectors of a pair's sentences, by segments."""
        heads = logits.shape[2]
        if not logits.numel():
            return logits
        peak = logits.new_full((count, heads), -math.inf)
        rows = owners[:, None].expand(-1, heads)
        peak.scatter_reduce_(0, rows, logits.detach().amax(dim=1), "amax")
        weights = (logits - peak[owners][:, None]).exp()
        total = weights.new_zeros(count, heads).index_add(0, owners, weights.sum(dim=1))
        return weights / total[owners][:, None]
