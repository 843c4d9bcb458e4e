#!/usr/bin/env python
"""Stores the frozen detector's output for a dataset; MODEL.ENTITY_DETECTOR.CACHE then reads it.

python tools/cache_detections.py --config-file configs/RmLR/R50.yaml --output output/cache \\
    MODEL.ENTITY_DETECTOR.WEIGHTS detr_r50_hico.safetensors
python tools/train_net.py --config-file configs/RmLR/R50.yaml --eval-only \\
    MODEL.ENTITY_DETECTOR.WEIGHTS detr_r50_hico.safetensors \\
    MODEL.ENTITY_DETECTOR.CACHE output/cache

Entries belong to one file, input size, set of weights and detector settings. An image that has
changed is noticed when it is read. Augmented training images are never found there.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--output", required=True, help="folder of the stored outputs")
    parser.add_argument("--dataset", default="", help="default: every dataset of DATASETS.TEST")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE ... of the config")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Fills the folder; what is already there is kept."""
    args = argument_parser().parse_args(argv)
    import hoi_d2  # noqa: F401  registers models and datasets
    from hoi_d2.inference.cache_detections import cache_detections
    from hoi_d2.utils.user_errors import IN_SETUP, reported_mistakes

    with reported_mistakes(IN_SETUP):
        counts = cache_detections(args.config_file, args.output, args.dataset, args.opts)
    print(f"{counts['stored']} images stored, {counts['kept']} were there, in {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
