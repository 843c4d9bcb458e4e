"""The arguments by which `hoi-d2 demo` and `hoi-d2 predict` choose their model."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from hoi_d2.inference.choice import ModelChoice
from hoi_d2.inference.open_vocabulary import OPEN_CONFIG
from hoi_d2.inference.photo_detectors import PHOTO_DETECTORS
from hoi_d2.inference.predictor import DEFAULT_CONFIG

_KEY = re.compile(r"[A-Z][A-Z_]*(\.[A-Z][A-Z0-9_]*)+")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --config-file, --detector and --classes."""
    parser.add_argument(
        "--config-file",
        metavar="F",
        help=f"default: {DEFAULT_CONFIG}; with --classes: {OPEN_CONFIG}",
    )
    parser.add_argument(
        "--detector",
        choices=sorted(PHOTO_DETECTORS),
        help=f"of {DEFAULT_CONFIG}; default: nanodet-g. detr-r50 is better, slower, a download",
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        default=[],
        metavar="C",
        help='own classes, for DEFR-Det: "riding a horse" ..., or text files (.txt) of them',
    )


def check_model_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends the command where they contradict each other."""
    if args.detector and (args.config_file or args.classes):
        parser.error("--detector goes with the model of photographs, not with another model")


def model_choice(args: argparse.Namespace) -> ModelChoice:
    """What they say; `args.opts` are the overrides."""
    return ModelChoice(args.config_file, args.detector, tuple(args.classes), tuple(args.opts))


def without_overrides(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words without the overrides, and the overrides; an existing file is never a key."""
    rest: list[str] = []
    opts: list[str] = []
    remaining = iter(words)
    for word in remaining:
        if _KEY.fullmatch(word) and not Path(word).exists():
            opts += [word, *(value for value in [next(remaining, None)] if value is not None)]
        else:
            rest.append(word)
    return rest, opts


def count(text: str) -> int:
    """A number from 1 on, as the type of an argument."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {text}")
    return number
