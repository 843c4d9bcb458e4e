"""Stores the frozen detector's output for a dataset; MODEL.ENTITY_DETECTOR.CACHE then reads it.

hoi-d2 cache --config-file configs/RmLR/R50.yaml --output output/cache \\
    MODEL.ENTITY_DETECTOR.WEIGHTS detr_r50_hico.safetensors
hoi-d2 eval --config-file configs/RmLR/R50.yaml \\
    MODEL.ENTITY_DETECTOR.WEIGHTS detr_r50_hico.safetensors \\
    MODEL.ENTITY_DETECTOR.CACHE output/cache

With --training, it stores the outputs for CACHE_AUGMENTATIONS augmentations of each training image,
and a training with the same two keys runs the head alone (docs/training.md):

hoi-d2 cache --training --config-file configs/RmLR/R50.yaml --output output/cache \\
    MODEL.ENTITY_DETECTOR.WEIGHTS detr_r50_hico.safetensors \\
    MODEL.ENTITY_DETECTOR.CACHE_AUGMENTATIONS 2

The key of an entry is file, input size or augmentation, weights and settings. A changed image is
detected when it is read. After an interruption the same command continues; several such commands
may fill one folder at the same time.
"""

from __future__ import annotations

import argparse

from hoi_d2.utils.arguments import CommandParser


def argument_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__)
    parser.add_argument("--config-file", required=True, help="config of the model")
    parser.add_argument("--output", required=True, help="folder of the stored outputs")
    parser.add_argument(
        "--dataset", default="", help="default: every dataset of DATASETS.TEST or TRAIN"
    )
    parser.add_argument("--training", action="store_true", help="store augmented training images")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE ... of the config")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Fills the folder; entries that already exist are kept."""
    args = argument_parser().parse_args(argv)
    from hoi_d2.inference.cache_detections import cache_detections

    # isort: split
    from detectron2.utils.logger import setup_logger

    setup_logger(name="hoi_d2")
    counts = cache_detections(
        args.config_file, args.output, args.dataset, args.opts, training=args.training
    )
    what = "augmentations" if args.training else "images"
    print(f"{counts['stored']} {what} stored, {counts['kept']} already stored, in {args.output}")
    return 0
