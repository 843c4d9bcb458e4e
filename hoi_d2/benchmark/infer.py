"""Measures the forward pass of a model by its parts, and what other config keys change.

`--compare KEY=VALUE` also measures the config with another value, `--compare FILE.yaml` another
config on the same images. All of them take turns, so that a busy machine slows them down alike. For
a detector that is a DETR, the forward pass of transformers' own DETR is measured as well ("plain").
Weights are random.

A model of human-object pairs gets the most pairs that it can have (MAX_INSTANCES persons and
as many objects), because the detections of random weights say nothing.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.structures import Boxes, ImageList
from tabulate import tabulate
from torch import nn

from hoi_d2.benchmark.stopwatch import (
    CLOCK,
    CPU,
    Seconds,
    Stopwatch,
    argument_parser,
    model_parts,
    part_table,
    replaced,
    shares,
)
from hoi_d2.config.load import load_config
from hoi_d2.modeling.entity_detector.interface import Entities, EntityDetector
from hoi_d2.protocols import has_capability
from hoi_d2.registration import register
from hoi_d2.utils.files import write_json
from hoi_d2.utils.user_errors import UserError

REST, POST, PLAIN = "the rest", "post-processing", "plain DETR forward"
DETECTOR = "entity_detector"
Batch = list[dict[str, Any]]


def main(argv: Sequence[str]) -> int:
    """Prints the tables; returns the exit status."""
    parser = argument_parser("infer", __doc__)
    parser.add_argument(
        "--size", nargs=2, type=int, default=[800, 1066], metavar=("H", "W"), help="of the images"
    )
    parser.add_argument("--batch", type=int, default=1, help="images per batch")
    parser.add_argument(
        "--compare",
        nargs="+",
        default=[],
        metavar="KEY=VALUE|FILE.yaml",
        help="also measure with this key, or this config",
    )
    parser.add_argument(
        "--inside", default="", metavar="PART", help="also measure the parts of this part"
    )
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    register()
    cases = {"config": load_config(args.config_file, args.opts)}
    for change in args.compare:
        cases[change] = _compared_config(change, args.config_file, args.opts)
    result = benchmark(
        cases, size=tuple(args.size), batch=args.batch, rounds=args.rounds, inside=args.inside
    )
    print(table(result))
    if args.json:
        write_json(args.json, result)
    return 0


def _compared_config(change: str, config_file: str, options: Sequence[str]) -> CfgNode:
    if change.endswith(".yaml"):
        return load_config(change, options)
    key, equals, value = change.partition("=")
    if not equals:
        raise ValueError(f"--compare: expected KEY=VALUE or a .yaml file, got {change!r}")
    return load_config(config_file, [*options, key, value])


def benchmark(
    cases: dict[str, CfgNode],
    *,
    size: tuple[int, int],
    batch: int,
    rounds: int,
    inside: str = "",
) -> dict[str, Any]:
    """Times the forward pass in evaluation mode.

    Args:
        cases: name -> config, of any META_ARCHITECTURE; the others are compared to the first.
        size: height and width of the images; image-level models have squares of their own.
        batch: images at once.
        rounds: how often each case runs, after a first time that does not count.
        inside: a part whose own parts are measured as well.

    Returns:
        `parts` and `shares` of the first case: part -> median seconds or share, for `clock` and
        `cpu`; `compared`: for each case, and for transformers' own DETR if the detector is one, its
        `seconds`, their `ratio` to those of the first case, and those of the entity `detector`,
        None where there is none.
    """
    cfg = next(iter(cases.values()))
    models = {name: build_model(case).eval() for name, case in cases.items()}
    first: Any = next(iter(models.values()))
    if inside and not isinstance(getattr(first, inside, None), nn.Module):
        known = ", ".join(name for name, _ in first.named_children())
        raise UserError(f"--inside {inside}: expected one of {known}")
    if has_capability(first, "classifies_images"):
        size = (first.image_encoder.image_size,) * 2
    parts = _measured(models, random_images(size, batch), rounds=rounds, inside=inside)
    own = next(iter(parts.values()))
    return {
        "model": cfg.MODEL.META_ARCHITECTURE,
        "device": cfg.MODEL.DEVICE,
        "threads": torch.get_num_threads(),
        "size": size,
        "batch": batch,
        "rounds": rounds,
        "parts": own,
        "shares": {kind: shares(seconds) for kind, seconds in own.items()},
        "compared": _compared(parts),
    }


def _measured(
    models: dict[str, Any], inputs: Batch, *, rounds: int, inside: str
) -> dict[str, Seconds]:
    """The seconds of each part of each model, and of the first one's plain DETR if it has one."""
    watches = {name: Stopwatch() for name in models}
    if plain := plain_detr(next(iter(models.values()))):
        watches[PLAIN] = Stopwatch()
    for _ in range(rounds + 1):
        for name, model in models.items():
            watch_forward(model, inputs, watches[name], inside)
        if plain:
            with watches[PLAIN].round(PLAIN):
                plain(inputs)
    return {name: _without_first(watch) for name, watch in watches.items()}


def _compared(parts: dict[str, Seconds]) -> dict[str, dict[str, Any]]:
    """For each case its seconds, their ratio to the first case, and those of its detector."""
    totals = {n: {k: sum(p[k].values()) for k in (CLOCK, CPU)} for n, p in parts.items()}
    base = next(iter(totals.values()))
    detectors = {
        n: {k: sum(v for part, v in p[k].items() if part.startswith(DETECTOR)) for k in p}
        for n, p in parts.items()
        if DETECTOR in p[CPU]
    }
    return {
        name: {
            "seconds": total,
            "ratio": {k: total[k] / base[k] for k in total},
            "detector": detectors.get(name),
        }
        for name, total in totals.items()
    }


@torch.no_grad()
def watch_forward(model: Any, inputs: Batch, watch: Stopwatch, inside: str = "") -> None:
    """One forward pass as one round of `watch`."""
    owners = model_parts(model)
    part = getattr(model, inside, None) if inside else None
    if part is not None:  # another model of the comparison may not have it
        owners += [(owner, method, f"{inside}: {n}") for owner, method, n in model_parts(part)]
    if hasattr(model, "interactions"):
        owners.append((model, "interactions", POST))
    with watch.methods(owners), most_pairs(model), watch.round(REST):
        model(inputs)


@contextmanager
def most_pairs(model: Any) -> Iterator[None]:
    """Inside, the entity detector's boxes, classes and scores give the most pairs."""
    if not hasattr(model, "pair_generator"):
        yield
        return
    detector, number = model.entity_detector, 2 * model.pair_generator.max_instances
    own = getattr(type(detector), "forward", None) is EntityDetector.forward
    name = "detect" if own else "forward"
    method = getattr(detector, name)
    with replaced(detector, name, lambda *args, **kwargs: crowded(method(*args, **kwargs), number)):
        yield


def crowded(entities: Entities, number: int) -> Entities:
    """The same tokens and map under other detections: persons and objects in turn, on a grid.

    Args:
        entities: what a detector found.
        number: of entities per image, where there are as many.
    """
    instances = []
    for found in entities.instances:
        few = found[:number]
        height, width = few.image_size
        index = torch.arange(len(few), device=few.scores.device)
        side = max(math.ceil(math.sqrt(len(few))), 1)
        # Boxes of two cells' width: neighbours have an IoU of 1/3, so suppression leaves them.
        corners = torch.stack([index % side, index // side], dim=1) / (side + 1)
        boxes = torch.cat([corners, corners + 2 / (side + 1)], dim=1)
        boxes[:, 0::2] *= width
        boxes[:, 1::2] *= height
        few.pred_boxes, few.scores = Boxes(boxes), 0.9 - 0.01 * index
        few.pred_classes = index % 2
        instances.append(few)
    return dataclasses.replace(entities, instances=instances)


def plain_detr(model: Any) -> Callable[[Batch], Any] | None:
    """The forward pass of transformers' own DETR, of the size of a model's detector.

    Returns:
        A function of detectron2's inputs; None where the detector is no DETR.
    """
    detector: Any = getattr(model, "entity_detector", None)
    if not hasattr(getattr(detector, "network", None), "detr"):
        return None
    config = copy.deepcopy(detector.network.config)
    config.auxiliary_loss = False
    network: nn.Module = type(detector.network.detr)(config).eval()
    device = next(detector.parameters()).device
    network.to(device)

    @torch.no_grad()
    def forward(batch: Batch) -> Any:
        images = [x["image"].to(device).float() / 255 for x in batch]
        pixels = ImageList.from_tensors(images).tensor
        mask = ImageList.from_tensors([torch.ones_like(x[0]) for x in images]).tensor
        return network(pixel_values=pixels, pixel_mask=mask.long())

    return forward


def random_images(size: tuple[int, int], batch: int) -> Batch:
    """Inputs of detectron2's models: random images of (height, width), always the same."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch, 3, *size), generator=generator, dtype=torch.uint8)
    return [{"image": image, "height": size[0], "width": size[1]} for image in images]


def table(result: dict[str, Any]) -> str:
    """The figures as text."""
    height, width = result["size"]
    head = (
        f"{result['model']}, {result['batch']} x {height} x {width}, {result['device']}, "
        f"{result['threads']} threads, median of {result['rounds']} rounds"
    )
    rows = [
        [
            name,
            *(row[what][kind] for kind in (CLOCK, CPU) for what in ("seconds", "ratio")),
            (row["detector"] or {}).get(CPU),
        ]
        for name, row in result["compared"].items()
    ]
    text = [head, part_table("part", result["parts"])]
    if len(rows) > 1:
        headers = ("compared", "seconds", "ratio", "cpu seconds", "ratio", "detector, cpu s")
        text.append(tabulate(rows, headers=headers, floatfmt=".3f"))
    return "\n\n".join(text)


def _without_first(watch: Stopwatch) -> Seconds:
    """The first round, which warms up, does not count."""
    watch.rounds = watch.rounds[1:]
    return watch.seconds()
