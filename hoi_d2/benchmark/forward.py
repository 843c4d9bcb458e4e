"""What the inference of any model takes, by its parts; for those without variants of their own."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from tabulate import tabulate

from hoi_d2.benchmark.stopwatch import CLOCK, CPU, Stopwatch

REST = "the rest"


def forward_parts(
    cfg: CfgNode, *, size: tuple[int, int], batch: int, rounds: int
) -> dict[str, Any]:
    """Times the forward pass in evaluation mode; its weights do not matter.

    Args:
        cfg: of any META_ARCHITECTURE.
        size: height and width of the images; image-level models have squares of their own.
        batch: images at once.
        rounds: how often it runs, after a first time that does not count.

    Returns:
        `parts` and `shares`: of the module's children, by clock and cpu; the shares add up to 1.
    """
    model = build_model(cfg).eval()
    side = getattr(getattr(model, "image_encoder", None), "image_size", None)
    size = (side, side) if side and cfg.MODEL.META_ARCHITECTURE == "DEFR" else size
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch, 3, *size), generator=generator, dtype=torch.uint8)
    inputs = [{"image": image, "height": size[0], "width": size[1]} for image in images]
    watch = Stopwatch()
    with ExitStack() as stack, torch.no_grad():
        for name, child in model.named_children():
            timed = watch.timed(child.forward, name)
            stack.enter_context(patch.object(child, "forward", timed))
        for _ in range(rounds + 1):
            with watch.round(REST):
                model(inputs)
    watch.rounds = watch.rounds[1:]
    parts = {kind: watch.averages(kind) for kind in (CLOCK, CPU)}
    return {
        "model": cfg.MODEL.META_ARCHITECTURE,
        "device": cfg.MODEL.DEVICE,
        "threads": torch.get_num_threads(),
        "size": size,
        "batch": batch,
        "rounds": rounds,
        "parts": parts,
        "shares": {kind: _shares(seconds) for kind, seconds in parts.items()},
    }


def forward_table(result: dict[str, Any]) -> str:
    """The figures as text."""
    height, width = result["size"]
    head = (
        f"{result['model']}, {result['batch']} x {height} x {width}, {result['device']}, "
        f"{result['threads']} threads, median of {result['rounds']} rounds"
    )
    clock, cpu, share = result["parts"][CLOCK], result["parts"][CPU], result["shares"][CLOCK]
    rows: list[tuple] = [(n, clock[n], f"{share[n]:.1%}", cpu[n]) for n in clock]
    rows.append(("all", sum(clock.values()), "", sum(cpu.values())))
    headers = ("part", "seconds", "share", "cpu seconds")
    return f"{head}\n{tabulate(rows, headers=headers, floatfmt='.4f')}"


def _shares(seconds: dict[str, float]) -> dict[str, float]:
    total = sum(seconds.values())
    return {name: value / total for name, value in seconds.items()}
