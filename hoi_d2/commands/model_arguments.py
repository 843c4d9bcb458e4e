"""The arguments by which `hoi-d2 demo` and `hoi-d2 predict` choose their model."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from hoi_d2.inference.choice import ModelChoice
from hoi_d2.utils.arguments import MODEL_HELP, add_device_options

_KEY = re.compile(r"[A-Z][A-Z_]*(\.[A-Z][A-Z0-9_]*)+")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --model, --config-file, --detector, --classes, --device, --batch-size and --half."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", metavar="M", help=f"default: photo; {MODEL_HELP}")
    which.add_argument(
        "--config-file",
        metavar="F",
        help="default: photo/photo.yaml; with --classes: DEFR-Det/zeroshot-ViT-B-16.yaml",
    )
    parser.add_argument(
        "--detector",
        choices=("detr-r50", "detr-r50-bf16", "nanodet-g"),
        help="object detector of the photo model, default nanodet-g; detr-r50 finds better boxes, "
        "is slower and needs a download; detr-r50-bf16 computes it in bfloat16, faster on "
        "processors with units for it",
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        default=[],
        metavar="C",
        help='your own classes (DEFR-Det): "riding a horse" ..., or text files (.txt) of them',
    )
    add_device_options(parser, batch_size=8)


def check_model_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends the command if the arguments contradict each other."""
    if args.detector and (args.model or args.config_file or args.classes):
        parser.error("--detector cannot be combined with --model, --config-file or --classes")


def model_choice(args: argparse.Namespace) -> ModelChoice:
    """Returns the choice of a command line, whose overrides are `args.opts`."""
    return ModelChoice(
        model=args.model,
        config_file=args.config_file,
        detector=args.detector,
        classes=tuple(args.classes),
        options=tuple(args.opts),
        device=args.device,
        batch_size=args.batch_size,
        half=args.half,
    )


def without_overrides(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits the words into arguments and overrides; an existing file is never a key."""
    rest: list[str] = []
    opts: list[str] = []
    remaining = iter(words)
    for word in remaining:
        if _KEY.fullmatch(word) and not Path(word).exists():
            opts += [word, *(value for value in [next(remaining, None)] if value is not None)]
        else:
            rest.append(word)
    return rest, opts
