"""What the pairs of DEFR-Det cost: everything after the detector, for 1 to 435 of them.

435 pairs are 15 people and 15 objects, the most that are kept of an image. Beside them stands the
naive way, which computes the whole last stage for every pair. All run in turn, round by round, in
one process.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from tabulate import tabulate
from torch import Tensor

from hoi_d2.modeling.image_encoder import ImageEncoder
from hoi_d2.modeling.image_encoder.encoder import with_own
from hoi_d2.modeling.image_encoder.vit import VisionTransformerEncoder
from hoi_d2.modeling.meta_arch.defr_det import DEFRDet
from hoi_d2.modeling.roi_heads.pair_generator import CandidatePairs

PAIRS = (1, 10, 100, 435)


def pair_curve(
    cfg: CfgNode, *, size: tuple[int, int], batch: int, rounds: int, naive_up_to: int
) -> dict:
    """Times DEFR-Det without its detector over the number of pairs in an image.

    Args:
        cfg: of a DEFR-Det; its weights do not matter.
        size: height and width of the images.
        batch: images at once.
        rounds: how often each number of pairs runs, after a first time that does not count.
        naive_up_to: the naive way is run for no more pairs than that, once.

    Returns:
        For each number of pairs the median `clock` and `cpu` seconds and their ratios to one pair;
        `naive_clock`, `naive_cpu`, and `difference`, the largest between both ways' features.
    """
    model = _model(cfg)
    inputs = _images(size, batch)
    most = [crowd(size, model.device) for _ in range(batch)]
    all_pairs = model.pair_generator(most)
    numbers = [n for n in PAIRS if n <= all_pairs.counts[0]]
    times: dict[int, list[tuple[float, float]]] = {n: [] for n in numbers}

    def run(number: int) -> list[dict]:
        return after_detector(model, first_pairs(all_pairs, number), inputs)

    for number in range(rounds + 1):
        for n in numbers:
            spent, _ = _timed(partial(run, n))
            times[n] += [spent] if number else []
    rows = {n: _row(times[n], times[numbers[0]]) for n in numbers}
    for n in numbers:
        if n <= naive_up_to:
            rows[n] |= _naive(model, first_pairs(all_pairs, n), inputs)
    encoder = model.image_encoder
    return {
        "device": cfg.MODEL.DEVICE,
        "threads": torch.get_num_threads(),
        "size": size,
        "batch": batch,
        "rounds": rounds,
        "encoder": cfg.MODEL.IMAGE_ENCODER.NAME,
        "image_size": encoder.image_size,
        "pairs": rows,
    }


def curve_table(result: dict) -> str:
    """The figures as text."""
    rows = [
        [
            n,
            f"{row['clock']:.3f}",
            f"{row['clock_ratio']:.3f}",
            f"{row['cpu']:.3f}",
            f"{row['cpu_ratio']:.3f}",
            f"{row['naive_cpu']:.3f}" if "naive_cpu" in row else "not run",
            f"{row['difference']:.1e}" if "difference" in row else "",
        ]
        for n, row in result["pairs"].items()
    ]
    headers = ["pairs", "clock (s)", "ratio", "cpu (s)", "cpu ratio", "naive cpu (s)", "difference"]
    head = (
        f"{result['encoder']} at {result['image_size']}, {result['batch']} image(s), "
        f"{result['device']}, {result['threads']} threads, median of {result['rounds']} rounds"
    )
    return f"{head}\n{tabulate(rows, headers=headers, disable_numparse=True)}"


def _model(cfg: CfgNode) -> DEFRDet:
    """With random weights; a detector and sentences would only cost time."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.ENTITY_DETECTOR.WEIGHTS = ""
    cfg.MODEL.WEIGHTS = "none"  # no weights are looked for
    return build_model(cfg).eval()


def _images(size: tuple[int, int], batch: int) -> list[dict]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch, 3, *size), generator=generator, dtype=torch.uint8)
    return [{"image": image, "height": size[0], "width": size[1]} for image in images]


def crowd(size: tuple[int, int], device: torch.device) -> Instances:
    """15 people and 15 objects of other classes at random places."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(30, 2, generator=generator) * 0.8
    boxes = torch.cat([corners, corners + 0.2], dim=1) * torch.tensor([size[1], size[0]] * 2)
    # Many people in one place would be one for the suppression: spread them.
    boxes[:15, 0::2] = torch.arange(15)[:, None] * size[1] / 15 + torch.tensor([0.0, size[1] / 15])
    return Instances(
        size,
        pred_boxes=Boxes(boxes.to(device)),
        scores=torch.linspace(0.9, 0.6, 30, device=device),
        pred_classes=torch.tensor([0] * 15 + list(range(1, 16)), device=device),
    )


def first_pairs(pairs: CandidatePairs, number: int) -> CandidatePairs:
    """The first so many pairs of each image."""
    starts = torch.tensor([0, *pairs.counts]).cumsum(0)[:-1]
    rows = torch.cat([start + torch.arange(number) for start in starts]).to(
        pairs.image_index.device
    )
    cut: dict[str, Any] = {
        field.name: value[rows]
        for field in dataclasses.fields(pairs)
        if isinstance(value := getattr(pairs, field.name), Tensor)
    }
    indices = [index[:number] for index in pairs.pair_indices]
    return dataclasses.replace(
        pairs, **cut, pair_indices=indices, counts=[number] * len(pairs.counts)
    )


@torch.no_grad()
def after_detector(model: DEFRDet, pairs: CandidatePairs, inputs: list[dict]) -> list[dict]:
    """`DEFRDet.forward` from the pairs on."""
    tokens = model.image_encoder.tokens_before_last(model.squares(inputs))
    features = model.image_encoder.attend(tokens, model.patches(pairs), pairs.image_index)
    scores = model.class_scores(model.classifier(features), pairs) * model.pair_priors(pairs)
    return model.interactions(scores, pairs, inputs)


def naive_rows(
    encoder: ImageEncoder, tokens: Tensor, open_patches: Tensor, image_index: Tensor
) -> Tensor:
    """(M, D): the whole last stage for each pair on its own, every row of it."""
    rows = []
    for patches, image in zip(open_patches, image_index):
        x = tokens[image][None]
        if isinstance(encoder, VisionTransformerEncoder):
            allowed = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device)
            allowed[0] = with_own(patches[None])[0]
            block = encoder.network.blocks[-1]
            rows.append(encoder.network.norm(block(x, attn_mask=allowed[None, None]))[:, 0])
        else:
            rows.append(encoder.attend(x, patches[None], image.new_zeros(1)))
    return torch.cat(rows)


@torch.no_grad()
def _naive(model: DEFRDet, pairs: CandidatePairs, inputs: list[dict]) -> dict[str, float]:
    encoder, patches = model.image_encoder, model.patches(pairs)

    def run() -> tuple[Tensor, Tensor]:
        tokens = encoder.tokens_before_last(model.squares(inputs))
        return tokens, naive_rows(encoder, tokens, patches, pairs.image_index)

    (clock, cpu), (tokens, rows) = _timed(run)
    cheap = encoder.attend(tokens, patches, pairs.image_index)
    difference = float((cheap - rows).abs().max())
    return {"naive_clock": clock, "naive_cpu": cpu, "difference": difference}


def _timed(call: Callable[[], Any]) -> tuple[tuple[float, float], Any]:
    """Seconds on the clock and of the processor, and what the call gives."""
    _wait()
    clock, cpu = time.perf_counter(), time.process_time()
    result = call()
    _wait()
    return (time.perf_counter() - clock, time.process_time() - cpu), result


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _row(
    times: Sequence[tuple[float, float]], one: Sequence[tuple[float, float]]
) -> dict[str, float]:
    clock, cpu = (statistics.median(column) for column in zip(*times))
    one_clock, one_cpu = (statistics.median(column) for column in zip(*one))
    return {
        "clock": clock,
        "cpu": cpu,
        "clock_ratio": clock / one_clock,
        "cpu_ratio": cpu / one_cpu,
    }
