"""DETR written down once more, slow and from torch's own layers, under Facebook's names."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.ops import FrozenBatchNorm2d

DIM, HEADS, QUERIES = 32, 4, 7


class PublishedDetr(nn.Module):
    """One image at a time: (3, H, W) normalised -> tokens, logits, boxes."""

    def __init__(
        self,
        num_classes: int,
        *,
        block: type[nn.Module] = BasicBlock,
        depths: tuple[int, ...] = (1, 1, 1, 1),
        dim: int = DIM,
        heads: int = HEADS,
        ffn_dim: int = 48,
        layers: int = 2,
        queries: int = QUERIES,
        dilation: bool = False,
    ) -> None:
        super().__init__()
        self.dim = dim
        dilated = [False, False, dilation]
        body = ResNet(
            block,
            list(depths),
            norm_layer=FrozenBatchNorm2d,
            replace_stride_with_dilation=dilated,
        )
        del body.fc
        self.backbone = nn.ModuleList([nn.ModuleDict({"body": body})])
        self.input_proj = nn.Conv2d(512 * block.expansion, dim, 1)
        sizes = {"d_model": dim, "nhead": heads, "dim_feedforward": ffn_dim, "batch_first": True}
        self.transformer = nn.ModuleDict(
            {
                "encoder": _layers(nn.TransformerEncoderLayer, sizes, layers),
                "decoder": _layers(nn.TransformerDecoderLayer, sizes, layers),
            }
        )
        self.transformer["decoder"]["norm"] = nn.LayerNorm(dim)
        self.query_embed = nn.Embedding(queries, dim)
        self.class_embed = nn.Linear(dim, num_classes + 1)
        widths = [(dim, dim), (dim, dim), (dim, 4)]
        mlp = nn.ModuleDict({"layers": nn.ModuleList(nn.Linear(*w) for w in widths)})
        self.bbox_embed = mlp

    @torch.no_grad()
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.input_proj(self.features(image))
        positions = sine_positions(*x.shape[-2:], self.dim)
        x = x.flatten(2).transpose(1, 2)
        for layer in self.transformer["encoder"]["layers"]:
            located = x + positions
            x = layer.norm1(x + layer.self_attn(located, located, x)[0])
            x = layer.norm2(x + layer.linear2(layer.linear1(x).relu()))
        queries = self.query_embed.weight[None]
        tokens = torch.zeros_like(queries)
        for layer in self.transformer["decoder"]["layers"]:
            located = tokens + queries
            tokens = layer.norm1(tokens + layer.self_attn(located, located, tokens)[0])
            attended = layer.multihead_attn(tokens + queries, x + positions, x)[0]
            tokens = layer.norm2(tokens + attended)
            tokens = layer.norm3(tokens + layer.linear2(layer.linear1(tokens).relu()))
        tokens = self.transformer["decoder"]["norm"](tokens)
        first, second, third = self.bbox_embed["layers"]
        boxes = third(second(first(tokens).relu()).relu()).sigmoid()
        return tokens[0], self.class_embed(tokens)[0], boxes[0]

    def features(self, image: Tensor) -> Tensor:
        """(1, C, h, w)."""
        body = self.backbone[0]["body"]
        x = body.maxpool(body.bn1(body.conv1(image[None])).relu())
        return body.layer4(body.layer3(body.layer2(body.layer1(x))))


def sine_positions(height: int, width: int, dim: int) -> Tensor:
    """(1, height * width, dim): first half rows, second half columns; sine and cosine in turn."""
    rows = []
    for y in range(1, height + 1):
        for x in range(1, width + 1):
            row = []
            for value, size in ((y, height), (x, width)):
                angle = value / (size + 1e-6) * 2 * math.pi
                for i in range(dim // 2):
                    scaled = angle / 10000 ** (2 * (i // 2) / (dim // 2))
                    row.append(math.cos(scaled) if i % 2 else math.sin(scaled))
            rows.append(row)
    return torch.tensor(rows)[None]


def _layers(kind: type[nn.Module], sizes: dict, number: int) -> nn.ModuleDict:
    return nn.ModuleDict({"layers": nn.ModuleList(kind(**sizes) for _ in range(number))})


def full_size_detr(depths: tuple[int, ...]) -> PublishedDetr:
    """Of the size that Facebook published; (3, 4, 6, 3) is R-50, (3, 4, 23, 3) R-101."""
    sizes = {"dim": 256, "heads": 8, "ffn_dim": 2048, "layers": 6, "queries": 100}
    return PublishedDetr(91, block=Bottleneck, depths=depths, **sizes).eval()


def published_detr(num_classes: int, seed: int = 0, **sizes: Any) -> PublishedDetr:
    """With weights that make every part count: statistics, biases and norms are not trivial."""
    torch.manual_seed(seed)
    model = PublishedDetr(num_classes, **sizes).eval()
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif tensor.ndim == 1:
            tensor.add_(0.2 * torch.randn_like(tensor))
    return model
