"""Pairs of an image look at each other, and at no other image's, nor at padding."""

import pytest
import torch

from hoi_d2.modeling.roi_heads.interaction_reasoning import InteractionReasoningModule
from hoi_d2.modeling.roi_heads.pair_set_encoder import PairSetEncoder

SIZES = {"in_dim": 6, "hidden_dim": 8, "num_layers": 1, "num_heads": 2, "ffn_dim": 8}


@pytest.mark.parametrize("counts", [[0], [0, 0], [3], [1, 4], [2, 0, 5]])
@pytest.mark.parametrize("kind", ["IRM", "CML"])
def test_a_batch_equals_its_images(kind, counts):
    torch.manual_seed(0)
    if kind == "IRM":
        module = InteractionReasoningModule(**SIZES, dropout=0.0, num_verbs=3)
    else:
        module = PairSetEncoder(**SIZES, dropout=0.0)
    vectors = torch.randn(sum(counts), 6)
    together = module(vectors, counts)
    alone = [module(part, [len(part)]) for part in vectors.split(counts)]
    torch.testing.assert_close(together, torch.cat(alone))
    if max(counts) > 1:  # they do look at each other
        moved = vectors.clone()
        moved[-1] += 1
        assert not torch.allclose(module(moved, counts)[-2], together[-2])
