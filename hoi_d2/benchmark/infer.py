"""What RmLR's inference takes, part by part, and what each speed key is worth; or what the pairs
of a DEFR-Det cost (`benchmark_pairs`). Any other model is timed by its parts (`benchmark_forward`).

The yardstick, "plain", is transformers' own DETR as it comes and the same head, in float32. All
variants run in turn, round by round, in one process, so that a busy machine hurts all alike. The
CPU time of the process is measured beside the time on the clock.

The head runs on the most pairs that it can get (MAX_INSTANCES persons and as many objects at random
places), because what a detector with random weights finds says nothing.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.structures import Boxes
from tabulate import tabulate
from torch import Tensor

from hoi_d2.benchmark.forward import forward_parts, forward_table
from hoi_d2.benchmark.pairs import curve_table, pair_curve
from hoi_d2.config.load import load_config
from hoi_d2.modeling.entity_detector.detr_network import DetrOutput
from hoi_d2.modeling.entity_detector.interface import Entities
from hoi_d2.modeling.meta_arch.rmlr import RmLR
from hoi_d2.modeling.roi_heads.pair_generator import PairGenerator
from hoi_d2.utils.files import write_json

PARTS = ("detector", "pairs", "head", "post-processing")
PLAIN = "plain"
# name -> keys of MODEL.DETR
_NONE: dict[str, object] = {"FOLD_BATCHNORM": False, "CHANNELS_LAST": False, "ONEDNN": False}
_ALL: dict[str, object] = dict.fromkeys(_NONE, True)
VARIANTS: dict[str, dict[str, object]] = {
    PLAIN: _NONE,
    "folded": _NONE | {"FOLD_BATCHNORM": True},
    "channels_last": _NONE | {"CHANNELS_LAST": True},
    "folded + channels_last": _ALL | {"ONEDNN": False},
    "+ onednn": _ALL,
    "+ bfloat16": _ALL | {"PRECISION": "bfloat16"},
    "+ compiled": _ALL | {"COMPILE": True},
}


@dataclass
class Times:
    """Seconds of each part, one entry a round: on the clock and of the processor."""

    clock: dict[str, list[float]] = field(default_factory=lambda: {p: [] for p in PARTS})
    cpu: dict[str, list[float]] = field(default_factory=lambda: {p: [] for p in PARTS})

    def run(self, part: str, call: Callable[[], Any]) -> Any:
        """Calls and adds what it took."""
        _wait()
        clock, cpu = time.perf_counter(), time.process_time()
        result = call()
        _wait()
        self.clock[part].append(time.perf_counter() - clock)
        self.cpu[part].append(time.process_time() - cpu)
        return result

    def shortest(self, kind: str) -> dict[str, float]:
        """Of each part, and of a whole round; what is above it, other programs took."""
        rounds = getattr(self, kind)
        total = [sum(row) for row in zip(*rounds.values())]
        return {p: min(rounds[p]) for p in PARTS} | {"all": min(total)}


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def argument_parser() -> argparse.ArgumentParser:
    """The command line of `tools/benchmark.py infer`."""
    parser = argparse.ArgumentParser(
        prog="benchmark.py infer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config-file", default="RmLR/R50.yaml")
    parser.add_argument("--size", nargs=2, type=int, default=[800, 1066], metavar=("H", "W"))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0 = as torch has it")
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=list(VARIANTS),
        default=[v for v in VARIANTS if v != "+ compiled"],
    )
    parser.add_argument(
        "--naive-up-to",
        type=int,
        default=10,
        metavar="N",
        help="DEFR-Det: run the naive way for up to N pairs, to compare with",
    )
    parser.add_argument("--json", default="", help="also write the figures there")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE ...")
    return parser


def main(argv: Sequence[str]) -> int:
    """Prints the table; returns the exit status."""
    args = argument_parser().parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    cfg = load_config(args.config_file, args.opts)
    if cfg.MODEL.META_ARCHITECTURE == "DEFR-Det":
        result = pair_curve(
            cfg,
            size=tuple(args.size),
            batch=args.batch,
            rounds=args.rounds,
            naive_up_to=args.naive_up_to,
        )
        print(curve_table(result))
    elif cfg.MODEL.META_ARCHITECTURE != "RmLR" or not _has_detr(cfg):
        result = forward_parts(cfg, size=tuple(args.size), batch=args.batch, rounds=args.rounds)
        print(forward_table(result))
    else:
        names = [PLAIN, *(v for v in args.variants if v != PLAIN)]
        result = benchmark(cfg, names, tuple(args.size), args.batch, args.rounds)
        print(table(result))
    if args.json:
        write_json(args.json, result)
    return 0


def _has_detr(cfg: CfgNode) -> bool:
    """Whether the speed keys of MODEL.DETR mean anything."""
    return cfg.MODEL.ENTITY_DETECTOR.NAME == "DetrEntityDetector"


def benchmark(
    cfg: CfgNode, names: Sequence[str], size: tuple[int, int], batch: int, rounds: int
) -> dict:
    """Times the variants.

    Args:
        cfg: of an RmLR with a DETR.
        names: of `VARIANTS`; the first is the yardstick.
        size: height and width of the images.
        batch: images at once.
        rounds: how often each variant runs, after a first one that does not count.

    Returns:
        For each variant `clock` and `cpu` seconds of each part, their `ratio` to the yardstick,
        and `difference`: the largest of tokens, boxes (shares) and verb scores.
    """
    models = _models(cfg, names)
    inputs = _images(size, batch)
    times, outputs = {name: Times() for name in names}, {}
    for number in range(rounds + 1):
        for name in names:
            record = times[name] if number else Times()
            outputs[name] = _run(models[name], inputs, record, plain=name == PLAIN)
    first = names[0]
    result: dict = {"device": cfg.MODEL.DEVICE, "threads": torch.get_num_threads(), "size": size}
    result |= {"batch": batch, "rounds": rounds, "pairs": outputs[first][2].shape[0]}
    result["variants"] = {
        name: {
            "clock": times[name].shortest("clock"),
            "cpu": times[name].shortest("cpu"),
            "difference": _difference(outputs[name], outputs[first]),
        }
        for name in names
    }
    for kind in ("clock", "cpu"):
        yardstick = result["variants"][first][kind]["all"]
        for row in result["variants"].values():
            row[f"{kind}_ratio"] = row[kind]["all"] / yardstick
    return result


def table(result: dict) -> str:
    """The figures as text: seconds on the clock with each part's share, and the ratios."""
    rows = []
    for name, row in result["variants"].items():
        clock = row["clock"]
        parts = [f"{clock[p]:.3f} ({100 * clock[p] / clock['all']:.0f} %)" for p in PARTS]
        ratios = [
            f"{row['clock_ratio']:.2f}",
            f"{row['cpu']['all']:.3f}",
            f"{row['cpu_ratio']:.2f}",
        ]
        rows.append([name, *parts, f"{clock['all']:.3f}", *ratios, f"{row['difference']:.1e}"])
    headers = ["variant", *PARTS, "all (s)", "ratio", "cpu (s)", "cpu ratio", "max difference"]
    height, width = result["size"]
    head = (
        f"{result['batch']} x {height} x {width}, {result['pairs']} pairs, {result['device']}, "
        f"{result['threads']} threads, shortest of {result['rounds']} rounds"
    )
    return f"{head}\n{tabulate(rows, headers=headers)}"


def _models(cfg: CfgNode, names: Sequence[str]) -> dict[str, RmLR]:
    """One model for each variant, all with the same weights."""
    models: dict[str, RmLR] = {}
    for name in names:
        variant = copy.deepcopy(cfg)
        for key, value in VARIANTS[name].items():
            variant.MODEL.DETR[key] = value
        model = build_model(variant).eval()
        if models:
            model.load_state_dict(models[names[0]].state_dict())
        models[name] = model
    return models


def _images(size: tuple[int, int], batch: int) -> list[dict]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch, 3, *size), generator=generator, dtype=torch.uint8)
    return [{"image": image, "height": size[0], "width": size[1]} for image in images]


@torch.no_grad()
def _run(
    model: RmLR, inputs: list[dict], times: Times, *, plain: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """One pass: tokens, boxes as shares, and verb scores (M, K)."""
    detector = model.entity_detector

    def find() -> Entities:
        return _plain_detect(detector, inputs) if plain else detector(inputs)

    entities = times.run("detector", find)
    tokens = torch.cat([found.tokens for found in entities.instances])
    boxes = torch.cat([found.pred_boxes.tensor for found in entities.instances])
    crowd = crowded(entities, model.pair_generator)
    pairs = times.run("pairs", lambda: model.pair_generator(crowd.instances))
    logits = times.run("head", lambda: model.interaction_heads(crowd, pairs)).verb_logits
    times.run("post-processing", lambda: model.interactions(logits, pairs, inputs))
    height, width = inputs[0]["image"].shape[1:]
    return tokens, boxes / boxes.new_tensor([width, height] * 2), logits.sigmoid()


def _plain_detect(detector: Any, inputs: list[dict]) -> Entities:
    """The same entities by transformers' own forward pass."""
    images, mask = detector.preprocess(inputs)
    kept: list[Any] = []
    theirs = detector.network.detr
    hook = theirs.model.backbone.register_forward_hook(lambda m, i, out: kept.append(out[-1]))
    theirs.config.auxiliary_loss = False
    output = theirs(pixel_values=images.tensor, pixel_mask=mask.long())
    hook.remove()
    feature_map, feature_mask = kept[0]
    found = DetrOutput(
        feature_map,
        feature_mask,
        output.encoder_last_hidden_state,
        output.last_hidden_state,
        output.logits[None],
        output.pred_boxes[None],
    )
    return detector.entities(found, images)


def crowded(entities: Entities, pair_generator: PairGenerator) -> Entities:
    """The same tokens and map under boxes, classes and scores that give the most pairs."""
    generator = torch.Generator().manual_seed(0)
    instances = []
    for found in entities.instances:
        few = found[: 2 * pair_generator.max_instances]
        height, width = found.image_size
        cells = torch.rand(len(few), 2, generator=generator) * 0.8
        boxes = torch.cat([cells, cells + 0.2], dim=1) * torch.tensor([width, height] * 2)
        device = few.scores.device
        few.pred_boxes = Boxes(boxes.to(device))
        few.scores = (0.9 - 0.01 * torch.arange(len(few))).to(device)
        # Persons and as many different objects: suppression within a class leaves them.
        few.pred_classes = (torch.arange(len(few)) % 2).to(device)
        instances.append(few)
    return replace(entities, instances=instances)


def _difference(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(found, expected))
