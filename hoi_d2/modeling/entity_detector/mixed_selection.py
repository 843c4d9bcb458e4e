"""Mixed query selection: positions of two-stage queries from the encoder, contents learnt.

DINO: DETR with Improved DeNoising Anchor Boxes, Zhang et al., ICLR 2023 (arXiv 2203.03605), section
3.4; used by H-DETR (DETRs with Hybrid Matching, Jia et al., CVPR 2023, arXiv 2207.13080).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class MixedSelection(nn.Module):
    """Stands for `pos_trans_norm` of transformers' two-stage Deformable DETR.

    There one vector of 2 d channels is made of each proposed box, whose halves are position and
    content of a query. Here the content is a learnt vector instead.

    Args:
        norm: the module that it stands for, of 2 d channels.
        num_queries: how many proposals become queries.
    """

    def __init__(self, norm: nn.LayerNorm, num_queries: int) -> None:
        super().__init__()
        self.norm = norm
        self.content = nn.Embedding(num_queries, norm.normalized_shape[0] // 2)

    def forward(self, proposals: Tensor) -> Tensor:
        """(B, num_queries, 2 d) of encoded boxes -> positions and contents, side by side."""
        positions, _ = self.norm(proposals).chunk(2, dim=-1)
        contents = self.content.weight.to(positions.dtype).expand_as(positions)
        return torch.cat([positions, contents], dim=-1)


def add_mixed_selection(network: Any) -> None:
    """Changes a two-stage Deformable DETR whose configuration has `mixed_selection`, in place.

    Raises:
        ValueError: it is another model, or has one stage.
    """
    config = network.config
    if not getattr(config, "mixed_selection", False):
        return
    if config.model_type != "deformable_detr" or not config.two_stage:
        raise ValueError("mixed_selection is of deformable_detr with two_stage")
    norm = network.model.pos_trans_norm
    network.model.pos_trans_norm = MixedSelection(norm, config.two_stage_num_proposals)
