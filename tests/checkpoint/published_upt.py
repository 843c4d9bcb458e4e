"""UPT's interaction head once more, slow: one image, one pair, one head after the other.

Written from the paper (Zhang et al., CVPR 2022, sections 3.2-3.4); weights are named as released.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

PREFIX = "interaction_head."
EPS = 1e-10


def upt_shapes(
    *,
    token_dim: int = 256,
    channels: int = 2048,
    dim: int = 512,
    heads: int = 8,
    branches: int = 16,
    layers: int = 2,
    ffn_dim: int = 2048,
    verbs: int = 117,
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the head's tensors; the release's with the sizes as they are."""
    width, branch = dim // heads, dim // branches
    linear = {"box_pair_predictor": (verbs, 2 * dim)}
    linear |= {"spatial_head.0": (128, 36), "spatial_head.2": (256, 128)}
    linear |= {"spatial_head.4": (dim, 256)}
    for layer in range(layers):
        name = f"coop_layer.mod_enc.{layer}"
        linear |= {f"{name}.unary": (dim, token_dim), f"{name}.pairwise": (dim, dim)}
        linear |= {f"{name}.attn.{h}": (1, 3 * width) for h in range(heads)}
        linear |= {f"{name}.message.{h}": (width, width) for h in range(heads)}
        linear |= {f"{name}.aggregate": (token_dim, dim), f"{name}.norm": (token_dim,)}
        linear |= _feed_forward(f"{name}.ffn", token_dim, 4 * token_dim)
    name = "comp_layer.attention"
    parts = ("attention.query", "attention.key", "attention.value", "output.aggregate")
    linear |= {f"{name}.{part}": (2 * dim, 2 * dim) for part in parts}
    linear |= {f"{name}.output.norm": (2 * dim,)}
    linear |= _feed_forward("comp_layer.ffn", 2 * dim, ffn_dim)
    for name, width in (("mbf", 2 * token_dim), ("mbf_g", channels)):
        for index, shape in enumerate([(branch, width), (branch, dim), (dim, branch)], start=1):
            linear |= {f"{name}.fc_{index}.{b}": shape for b in range(branches)}
    shapes = {}
    for name, shape in linear.items():
        shapes |= {f"{PREFIX}{name}.weight": shape, f"{PREFIX}{name}.bias": shape[:1]}
    return shapes


def _feed_forward(name: str, dim: int, inner: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.ffn.0": (inner, dim), f"{name}.ffn.2": (dim, inner), f"{name}.norm": (dim,)}


def upt_reference_weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The weights of the reference arrays, by the rule in the README beside them."""
    return {name: torch.from_numpy(_tensor(name, tuple(s))) for name, s in shapes.items()}


def _tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if len(shape) == 1:
        value = 0.05 * rng.standard_normal(shape)
        value += float("norm" in name and name.endswith("weight"))
    else:
        value = rng.standard_normal(shape) * math.sqrt(1.5 / math.prod(shape[1:]))
    return value.astype(np.float32)


class PublishedUPTHead:
    """
    Args:
        weights: by the release's names, `interaction_head.` in front.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self.weights = {n.removeprefix(PREFIX): t for n, t in weights.items()}
        self.branches = len([n for n in self.weights if n.startswith("mbf.fc_1.")]) // 2
        first = "coop_layer.mod_enc.0.attn."
        self.heads = len([n for n in self.weights if n.startswith(first)]) // 2
        self.layers = len([n for n in self.weights if n.endswith(".unary.weight")])

    def __call__(
        self, boxes: Tensor, tokens: Tensor, humans: int, size: tuple[int, int], pooled: Tensor
    ) -> tuple[list[tuple[int, int]], Tensor]:
        """One image.

        Args:
            boxes: (N, 4) XYXY of its entities, humans first.
            tokens: (N, 256).
            humans: how many of them are humans.
            size: height and width of the image.
            pooled: (2048,) mean of the backbone's map.

        Returns:
            The pairs, and their (M, K) verb logits.
        """
        number = len(boxes)
        pairs = [(i, j) for i in range(humans) for j in range(number) if i != j]
        if not pairs:
            return [], tokens.new_zeros(0, len(self.weights["box_pair_predictor.bias"]))
        spatial = [
            [self.spatial(pair_numbers(boxes[i], boxes[j], size)) for j in range(number)]
            for i in range(number)
        ]
        for layer in range(self.layers):
            tokens = self.cooperate(f"coop_layer.mod_enc.{layer}", tokens, spatial)
        rows = []
        for i, j in pairs:
            own = self.fuse("mbf", torch.cat([tokens[i], tokens[j]]), spatial[i][j])
            rows.append(torch.cat([own, self.fuse("mbf_g", pooled, spatial[i][j])]))
        attended = self.compete(torch.stack(rows))
        return pairs, self.linear("box_pair_predictor", attended)

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def norm(self, name: str, x: Tensor, eps: float) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.layer_norm(x, weight.shape, weight, bias, eps)

    def feed_forward(self, name: str, x: Tensor) -> Tensor:
        y = self.linear(f"{name}.ffn.2", F.gelu(self.linear(f"{name}.ffn.0", x)))
        return self.norm(f"{name}.norm", x + y, 1e-12)

    def spatial(self, numbers: Tensor) -> Tensor:
        for layer in (0, 2, 4):
            numbers = self.linear(f"spatial_head.{layer}", numbers).relu()
        return numbers

    def cooperate(self, name: str, tokens: Tensor, spatial: list[list[Tensor]]) -> Tensor:
        number = len(tokens)
        unary = self.linear(f"{name}.unary", tokens).relu().chunk(self.heads, dim=1)
        received = []
        for j in range(number):
            parts = []
            for head in range(self.heads):
                scores, messages = [], []
                for i in range(number):
                    pair = self.linear(f"{name}.pairwise", spatial[i][j]).relu()
                    pair = pair.chunk(self.heads)[head]
                    sender, receiver = unary[head][i], unary[head][j]
                    seen = torch.cat([sender, receiver, pair])
                    scores.append(self.linear(f"{name}.attn.{head}", seen))
                    messages.append(self.linear(f"{name}.message.{head}", sender * pair))
                weights = torch.cat(scores).softmax(dim=0)
                parts.append(sum(w * m for w, m in zip(weights, messages)))
            received.append(torch.cat(parts).relu())
        news = self.linear(f"{name}.aggregate", torch.stack(received))
        return self.feed_forward(f"{name}.ffn", self.norm(f"{name}.norm", tokens + news, 1e-5))

    def fuse(self, name: str, appearance: Tensor, spatial: Tensor) -> Tensor:
        total = torch.zeros(())
        for branch in range(self.branches):
            product = self.linear(f"{name}.fc_1.{branch}", appearance)
            product = product * self.linear(f"{name}.fc_2.{branch}", spatial)
            total = total + self.linear(f"{name}.fc_3.{branch}", product.relu())
        return total.relu()

    def compete(self, x: Tensor) -> Tensor:
        name = "comp_layer.attention"
        query, key, value = (
            self.linear(f"{name}.attention.{part}", x).chunk(self.heads, dim=1)
            for part in ("query", "key", "value")
        )
        heads = [
            (q @ k.T / math.sqrt(q.shape[1])).softmax(dim=1) @ v
            for q, k, v in zip(query, key, value)
        ]
        attended = self.linear(f"{name}.output.aggregate", torch.cat(heads, dim=1))
        x = self.norm(f"{name}.output.norm", x + attended, 1e-12)
        return self.feed_forward("comp_layer.ffn", x)


def pair_numbers(human: Tensor, object_: Tensor, size: tuple[int, int]) -> Tensor:
    """(36,) of one pair, in the release's order."""
    height, width = size
    (a, b, c, d), (e, f, g, h) = human.tolist(), object_.tolist()
    (cx, cy, w, v), (ox, oy, ow, oh) = (
        ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)
        for x1, y1, x2, y2 in ((a, b, c, d), (e, f, g, h))
    )
    inner = max(min(c, g) - max(a, e), 0) * max(min(d, h) - max(b, f), 0)
    right, down = (ox - cx) / (w + EPS), (oy - cy) / (v + EPS)
    numbers = [cx / width, cy / height, ox / width, oy / height]
    numbers += [w / width, v / height, ow / width, oh / height]
    numbers += [w * v / (height * width), ow * oh / (height * width), ow * oh / (w * v + EPS)]
    numbers += [w / (v + EPS), ow / (oh + EPS), inner / (w * v + ow * oh - inner)]
    numbers += [max(right, 0), max(-right, 0), max(down, 0), max(-down, 0)]
    return torch.tensor([*numbers, *(math.log(n + EPS) for n in numbers)])
