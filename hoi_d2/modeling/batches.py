"""Batches that are worth it: on a CPU, large images are no faster together than one by one.

Padding costs as much as an image does, and a batch that leaves the processor's cache is slower than
its images alone. So on a CPU images of one size go through a network together while they are
small. Results do not depend on it. On a GPU the whole batch does, whatever its sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

PIXELS_AT_ONCE = 2**19
"""Of a batch on a CPU; with fewer, batches were faster than single images (docs/speed.md)."""
Size = tuple[int, int]


def forward_in_batches(model: Callable[..., Any], inputs: Sequence[dict[str, Any]]) -> list[Any]:
    """`model(inputs)` of a model in evaluation mode, in batches that are worth it.

    Args:
        model: gives one output for each input; no module = on the CPU.
        inputs: detectron2's.
    """
    tensor = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    device = torch.device("cpu") if tensor is None else tensor.device
    detector = getattr(model, "entity_detector", None)
    outputs: list[Any] = [None] * len(inputs)
    for indices in worthwhile_batches(inputs, device, getattr(detector, "network_size", None)):
        for index, output in zip(indices, model([inputs[i] for i in indices])):
            outputs[index] = output
    return outputs


def worthwhile_batches(
    inputs: Sequence[dict[str, Any]],
    device: torch.device,
    network_size: Callable[[int, int], Size] | None = None,
) -> list[list[int]]:
    """Indices into the inputs, each once.

    Args:
        inputs: detectron2's; inputs without `image` stay together.
        device: of the model.
        network_size: (height, width) of an image -> those of what the network sees of it.
    """
    has_images = all(torch.is_tensor(x.get("image")) for x in inputs)
    if device.type != "cpu" or not has_images or len(inputs) < 2:
        return [list(range(len(inputs)))] if inputs else []
    groups: dict[Size, list[int]] = {}
    for index, model_input in enumerate(inputs):
        height, width = model_input["image"].shape[-2:]
        size = network_size(height, width) if network_size else (height, width)
        groups.setdefault(size, []).append(index)
    batches = []
    for (height, width), indices in groups.items():
        number = max(PIXELS_AT_ONCE // (height * width), 1)
        batches += [indices[start : start + number] for start in range(0, len(indices), number)]
    return batches
