"""Hand-crafted features of a box pair and their fusion with tokens (UPT; optional in RmLR).

UPT (Zhang et al., CVPR 2022), section 3: 18 numbers of a pair and their logarithms.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.ops import box_area

NUM_FEATURES = 36


def box_pair_features(human: Tensor, object_: Tensor, sizes: Tensor) -> Tensor:
    """Computes UPT's 36 numbers of a pair of boxes.

    Args:
        human, object_: (M, 4) XYXY pixels.
        sizes: (M, 2) height and width of the image a pair is in.

    Returns:
        (M, 36): centres, sizes and areas of both boxes as shares of the image, ratio of areas,
        aspect ratios, IoU, distance right / left / below / above; then the logarithms.
    """
    height, width = sizes.to(human.dtype).unbind(dim=1)
    eps = 1e-8
    shares, aspects, centers, areas = [], [], [], []
    for box in (human, object_):
        w, h = (box[:, 2:] - box[:, :2]).clamp(min=eps).unbind(dim=1)
        cx, cy = ((box[:, :2] + box[:, 2:]) / 2).unbind(dim=1)
        shares += [cx / width, cy / height, w / width, h / height, w * h / (height * width)]
        aspects.append(w / h)
        centers.append((cx, cy, w, h))
        areas.append(w * h)
    (hx, hy, hw, hh), (ox, oy, _, _) = centers
    right, down = (ox - hx) / hw, (oy - hy) / hh
    iou = _paired_iou(human, object_)
    ratio = areas[1] / areas[0]
    directed = [right.clamp(min=0), (-right).clamp(min=0), down.clamp(min=0), (-down).clamp(min=0)]
    numbers = torch.stack([*shares, ratio, *aspects, iou, *directed], dim=1)
    return torch.cat([numbers, (numbers + eps).log()], dim=1)


def _paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """The IoU (M,) of each row with the same row of the other, without an (M, M) table."""
    inner = torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])
    inner = inner.clamp(min=0).prod(dim=1)
    return inner / (box_area(a) + box_area(b) - inner).clamp(min=1e-8)


class BoxPairEncoding(nn.Module):
    """Fuses the features of a box pair with the pair's tokens.

    UPT's multi-branch fusion of 16 branches is one product of two projections followed by one
    projection: the branches are blocks of the same matrices.

    Args:
        token_dim: width of the pair's two tokens together.
    """

    def __init__(self, *, token_dim: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *(nn.Linear(NUM_FEATURES, 128), nn.ReLU()),
            *(nn.Linear(128, 256), nn.ReLU()),
            *(nn.Linear(256, 512), nn.ReLU()),
        )
        self.from_tokens = nn.Linear(token_dim, token_dim)
        self.from_boxes = nn.Linear(512, token_dim)
        self.fused = nn.Linear(token_dim, token_dim)

    def forward(self, tokens: Tensor, human: Tensor, object_: Tensor, sizes: Tensor) -> Tensor:
        """(M, token_dim) tokens, boxes and image sizes of the pairs -> (M, token_dim)."""
        boxes = self.encoder(box_pair_features(human, object_, sizes))
        return self.fused((self.from_tokens(tokens) * self.from_boxes(boxes)).relu()).relu()
