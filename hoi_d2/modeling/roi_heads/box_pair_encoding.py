"""Hand-crafted features of a box pair and their fusion with others (UPT; optional in RmLR).

UPT (Zhang et al., CVPR 2022), section 3: 18 numbers of a pair and their logarithms.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.ops import box_area

NUMBERS = (
    *(f"human_{name}" for name in ("x", "y", "width", "height", "area")),
    *(f"object_{name}" for name in ("x", "y", "width", "height", "area")),
    *("area_ratio", "human_aspect", "object_aspect", "iou", "right", "left", "below", "above"),
)
"""What the first half of the features is; the second half are the logarithms."""
NUM_FEATURES = 2 * len(NUMBERS)


def box_pair_features(
    human: Tensor, object_: Tensor, sizes: Tensor, *, eps: float = 1e-8
) -> Tensor:
    """Computes UPT's 36 numbers of a pair of boxes.

    Args:
        human, object_: (M, 4) XYXY pixels.
        sizes: (M, 2) height and width of the image a pair is in.
        eps: is added before the logarithm; no side is shorter.

    Returns:
        (M, 36): centres, sizes and areas of both boxes as shares of the image, ratio of areas,
        aspect ratios, IoU, distance right / left / below / above; then the logarithms.
    """
    height, width = sizes.to(human.dtype).unbind(dim=1)
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
    # Only a box whose centre is outside the image has a number below 0.
    return torch.cat([numbers, (numbers.clamp(min=0) + eps).log()], dim=1)


def _paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """The IoU (M,) of each row with the same row of the other, without an (M, M) table."""
    inner = torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])
    inner = inner.clamp(min=0).prod(dim=1)
    return inner / (box_area(a) + box_area(b) - inner).clamp(min=1e-8)


class MultiBranchFusion(nn.Module):
    """Fuses what a pair looks like with where its boxes are (UPT, section 3.3).

    UPT's branches are blocks of the same matrices: one product of two projections, followed by one
    projection, gives what they sum up to.

    Args:
        in_dim: width of the appearance.
        box_dim: width of the encoded boxes.
        dim: width of the fused vector, and of all branches together.
        branches: so many; only the first random weights depend on it.
    """

    def __init__(self, *, in_dim: int, box_dim: int, dim: int, branches: int = 1) -> None:
        super().__init__()
        self.from_tokens = nn.Linear(in_dim, dim)
        self.from_boxes = nn.Linear(box_dim, dim)
        self.fused = nn.Linear(dim, dim)
        if branches > 1:  # a branch is initialised by its own, smaller width
            bound = (branches / dim) ** 0.5
            nn.init.uniform_(self.fused.weight, -bound, bound)
            nn.init.uniform_(self.fused.bias, -bound, bound)

    def fuse(self, appearance: Tensor, boxes: Tensor, index: Tensor | None = None) -> Tensor:
        """
        Args:
            appearance: (M, in_dim), or (B, in_dim) with an index.
            boxes: (M, box_dim) encoded boxes.
            index: (M,) row of the appearance for each pair; None = its own.

        Returns:
            (M, dim).
        """
        projected = self.from_tokens(appearance)
        projected = projected if index is None else projected[index]
        return self.fused((projected * self.from_boxes(boxes)).relu()).relu()


class BoxPairEncoding(MultiBranchFusion):
    """Encodes box pairs, and fuses them with the pairs' tokens.

    Args:
        token_dim: width of the pair's two tokens together.
    """

    def __init__(self, *, token_dim: int) -> None:
        super().__init__(in_dim=token_dim, box_dim=512, dim=token_dim)
        self.encoder = box_pair_encoder(512)

    def forward(self, tokens: Tensor, human: Tensor, object_: Tensor, sizes: Tensor) -> Tensor:
        """(M, token_dim) tokens, boxes and image sizes of the pairs -> (M, token_dim)."""
        return self.fuse(tokens, self.encoder(box_pair_features(human, object_, sizes)))


def box_pair_encoder(dim: int) -> nn.Sequential:
    """(M, 36) features of box pairs -> (M, dim)."""
    return nn.Sequential(
        *(nn.Linear(NUM_FEATURES, 128), nn.ReLU()),
        *(nn.Linear(128, 256), nn.ReLU()),
        *(nn.Linear(256, dim), nn.ReLU()),
    )
