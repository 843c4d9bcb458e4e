"""The text vectors of a vocabulary's sentences, and the sentences of each pair."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn
from torch.nn import functional as F

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.modeling.language.prompts import hoi_sentences, sentence_table
from hoi_d2.modeling.language.text_encoder import encode_sentences, encoder_options
from hoi_d2.modeling.roi_heads.pair_matching import PairMatches
from hoi_d2.utils.processes import from_first_process


class LinguisticKnowledge(nn.Module):
    """Frozen text vectors in the space of the alignment, loaded when training needs them.

    They have no gradient and are not part of a checkpoint. A model that is only used for inference
    never loads them. Where there are several processes, all of them take those of the first one.

    A fixed map with orthonormal rows or columns brings the encoder's width to the space's: where
    the space is wide enough, it keeps every length and angle. A trained map could send all
    sentences to one vector.

    Args:
        sentences: one for each interaction class.
        table: (num_objects, num_verbs) sentence of a combination, -1 = none.
        dim: of the space.
        encoder: arguments of `encode_sentences`.

    Attributes:
        sentence: (S, 1, dim), None until `load` is called.
        words: (S, L, dim).
        word_mask: (S, L) bool.
        stand_in: why the vectors are random and not the encoder's; "" = they are not.
    """

    table: Tensor
    sentence: Tensor
    words: Tensor
    word_mask: Tensor

    @configurable
    def __init__(
        self, *, sentences: list[str], table: Tensor, dim: int, encoder: dict[str, Any]
    ) -> None:
        super().__init__()
        self.sentences, self.dim, self.encoder, self.stand_in = sentences, dim, encoder, ""
        self.register_buffer("table", table, persistent=False)
        for name in ("sentence", "words", "word_mask"):
            self.register_buffer(name, None, persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode, vocabulary: Vocabulary) -> dict[str, Any]:
        node = cfg.MODEL.LANGUAGE
        return {
            "sentences": hoi_sentences(vocabulary, template=node.TEMPLATE),
            "table": torch.from_numpy(sentence_table(vocabulary)),
            "dim": cfg.MODEL.RMLR.CML.HIDDEN_DIM,
            "encoder": encoder_options(cfg),
        }

    @property
    def is_loaded(self) -> bool:
        """Whether the vectors are loaded."""
        return self.sentence is not None

    def load(self) -> LinguisticKnowledge:
        """Gets the vectors from the cache or from the encoder, unless they are loaded.

        With several processes, all of them have to call it (`PreparesTraining`).
        """
        if self.is_loaded:
            return self
        encoded = from_first_process(lambda: encode_sentences(self.sentences, **self.encoder))
        self.stand_in = encoded.stand_in
        to_space = isometry(encoded.sentence.shape[1], self.dim)
        device = self.table.device
        self.sentence = normalised(encoded.sentence @ to_space)[:, None].to(device)
        self.words = normalised(encoded.words @ to_space).to(device)
        self.word_mask = encoded.word_mask.to(device)
        return self

    @torch.no_grad()
    def sentences_of(self, matches: PairMatches) -> tuple[Tensor, Tensor, Tensor]:
        """The set of sentences of each candidate pair that matches an annotated one.

        Returns:
            candidates (N,), ascending, those with at least one sentence; owners (E,) in 0..N-1,
            ascending, and sentences (E,): each candidate's set, each sentence once in it.
        """
        annotation, verb = matches.gt_verbs[matches.annotations].nonzero(as_tuple=True)
        classes = matches.gt_object_classes[matches.annotations[annotation]]
        sentence = self.table[classes, verb]
        known = sentence >= 0
        count = max(len(self.sentences), 1)
        codes = matches.candidates[annotation[known]] * count + sentence[known]
        codes = codes.unique()  # two annotated pairs may give one candidate the same sentence
        candidates, owners = (codes // count).unique(return_inverse=True)
        return candidates, owners, codes % count


def normalised(x: Tensor) -> Tensor:
    """Zero mean and unit variance of the last axis, without weights.

    The epsilon is small against any vector that a network makes: with a larger one, a short vector
    would stay short, and the L1 distance could be made smaller by shrinking it.
    """
    return F.layer_norm(x.float(), x.shape[-1:], eps=1e-10)


def isometry(in_dim: int, out_dim: int) -> Tensor:
    """(in_dim, out_dim) map, orthonormal rows (columns, where it narrows); always the same."""
    if in_dim == out_dim:
        return torch.eye(in_dim)
    generator = torch.Generator().manual_seed(0)
    tall = (max(in_dim, out_dim), min(in_dim, out_dim))
    q, r = torch.linalg.qr(torch.randn(tall, generator=generator, dtype=torch.float64))
    q = q * r.diagonal().sign()
    return (q if in_dim >= out_dim else q.T).float()
