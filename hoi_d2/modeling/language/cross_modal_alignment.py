"""Cross-modal learning of RmLR: aligns visual pair vectors with the vectors of sentences.

RmLR (arXiv 2307.13529), Algorithm 1 step 2 (5)-(7): candidates are associated with annotations, the
sentences of a pair are gathered by cross-attention, and an L1 loss pulls the visual vector there.
Only training does this; nothing here has a way to the verb logits.
"""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.model_zoo.published import HubModel
from hoi_d2.modeling.language.linguistic_knowledge import LinguisticKnowledge, normalised
from hoi_d2.modeling.language.prompts import hoi_sentences
from hoi_d2.modeling.language.text_attention import build_text_attention
from hoi_d2.modeling.language.text_encoder import encoder_options, encoding_models
from hoi_d2.modeling.losses.normalizer import loss_normalizer
from hoi_d2.modeling.roi_heads.pair_matching import PairMatches


class CrossModalAlignment(nn.Module):
    """L1 distance between visual pair vectors and the vectors of their sentences.

    Both sides are normalised without weights, and the text side has no gradient: no term falls by
    shrinking a vector, nor by moving the text.

    Args:
        knowledge: the text vectors.
        attention: the kind of attention from pairs to texts, one module per source and level; see
            `text_attention`.
        num_heads, ffn_dim, dropout: the settings of the attention; the last two of "layer" alone.
        weights: of each term, by (level, source); 0 = the term is not computed.
        projected_dim: width of the vectors of L^m where they are what the IRM computes; a trained
            projection brings them into the space of the text. 0 = they are in it.
    """

    @configurable
    def __init__(
        self,
        *,
        knowledge: LinguisticKnowledge,
        attention: str,
        num_heads: int,
        weights: dict[tuple[str, str], float],
        ffn_dim: int = 2048,
        dropout: float = 0.1,
        projected_dim: int = 0,
    ) -> None:
        super().__init__()
        self.knowledge = knowledge
        self.weights = {term: weight for term, weight in weights.items() if weight}
        self.projection = nn.Linear(projected_dim, knowledge.dim) if projected_dim else None
        self.attentions = nn.ModuleDict(
            {
                f"{level}_{source}": build_text_attention(
                    attention,
                    dim=knowledge.dim,
                    num_heads=num_heads,
                    ffn_dim=ffn_dim,
                    dropout=dropout,
                )
                for level, source in self.weights
            }
        )

    @classmethod
    def from_config(
        cls, cfg: CfgNode, vocabulary: Vocabulary, *, projected_dim: int = 0
    ) -> dict[str, Any]:
        node = cfg.MODEL.RMLR.CML
        return {
            "knowledge": LinguisticKnowledge(cfg, vocabulary),
            "attention": node.CROSS_ATTENTION,
            "num_heads": node.NUM_HEADS,
            "ffn_dim": node.FFN_DIM,
            "dropout": node.DROPOUT,
            "projected_dim": projected_dim,
            "weights": _weights(cfg),
        }

    def forward(self, vectors: dict[str, Tensor | None], matches: PairMatches) -> dict[str, Tensor]:
        """Computes the alignment losses of a batch.

        Args:
            vectors: of the packed candidate pairs, (M, dim) under "irm" (L^m) and "ire" (L^a);
                (M, projected_dim) under "irm" where there is a projection.
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
        if self.projection is not None and (overall := vectors["irm"]) is not None:
            vectors = vectors | {"irm": self.projection(overall)}
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


def build_alignment(
    cfg: CfgNode, vocabulary: Vocabulary, *, projected_dim: int = 0
) -> CrossModalAlignment | None:
    """Builds the alignment; None if cross-modal learning is off or all its weights are 0.

    Args:
        cfg: the config.
        vocabulary: of the sentences.
        projected_dim: see `CrossModalAlignment`.
    """
    if not cfg.MODEL.RMLR.CML.ENABLED:
        return None
    alignment = CrossModalAlignment(cfg, vocabulary, projected_dim=projected_dim)
    return alignment if alignment.weights else None


def alignment_models(cfg: CfgNode, vocabulary: Vocabulary) -> list[HubModel]:
    """Returns the models of the Hugging Face hub that training with the alignment needs."""
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
