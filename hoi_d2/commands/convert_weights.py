"""Converts the weights of a detector to a safetensors file of this project.

Reads DETR of Facebook, UPT and transformers, and NanoDet-g as a graph of TensorFlow.js.

hoi-d2 convert-weights detr-r50-e632da11.pth detr_r50.safetensors --sha256 e632da11
hoi-d2 convert-weights facebook/detr-resnet-50 detr_r50.safetensors --revision no_timm
hoi-d2 convert-weights upt.pth hico.safetensors --config-file configs/Detr/R50_HICO.yaml
hoi-d2 convert-weights nanodet.json nanodet_g.safetensors --sha256 5d0e4f8c
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hoi_d2.utils.arguments import CommandParser

if TYPE_CHECKING:
    from torch import nn


def argument_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__)
    parser.add_argument("source", help="file, directory of transformers, or hub id")
    parser.add_argument("output", help="ends in .safetensors")
    parser.add_argument(
        "--sha256",
        default="",
        help="of the source file, or of the .bin of a .json; the first digits are enough",
    )
    parser.add_argument("--revision", default="", help="branch, tag or commit on the hub")
    parser.add_argument(
        "--classes", default="", help="order of the classes: coco_91, coco_80, hico_80, vcoco_81"
    )
    parser.add_argument("--config-file", default="", help="a Detr config that the weights must fit")
    parser.add_argument("opts", nargs="*", help="KEY VALUE ... of the config")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Converts a file; returns the exit code."""
    args = argument_parser().parse_intermixed_args(argv)  # options may follow the two files
    from hoi_d2.checkpoint.convert_file import convert_file
    from hoi_d2.utils.files import sha256_of

    metadata = convert_file(
        args.source,
        args.output,
        sha256=args.sha256,
        revision=args.revision,
        classes=args.classes,
        model=_model(args.config_file, args.opts) if args.config_file else None,
    )
    print(f"{args.source} (layout: {metadata['layout']}) -> {args.output}")
    print(f"SHA-256 {sha256_of(args.output)}")
    return 0


def _model(config_file: str, opts: list[str]) -> nn.Module:
    from detectron2.modeling import build_model

    from hoi_d2.config.load import load_config
    from hoi_d2.registration import register

    register()
    return build_model(load_config(config_file, [*opts, "MODEL.DEVICE", "cpu"]))
