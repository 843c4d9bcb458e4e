r"""Writes a model as ONNX files with a runner, and checks them against torch.

    hoi-d2 export --model toy/rmlr --output output/onnx
    python output/onnx/run_hoi.py photo.jpg

OUTPUT then contains the graphs: detector.onnx (for one image size), head.onnx (for any number of
pairs), for DEFR-Det and CLIPPairs encoder.onnx; model.json; and run_hoi.py with image_decoding.py
and image_resizing.py, which need only onnxruntime, numpy and Pillow. Images are resized by the
config, reduced further if they do not fit, and padded.

    hoi-d2 export --config-file DEFR-Det/zeroshot-ViT-B-16.yaml --output horses \
        MODEL.HOI.CLASSES "['riding a horse', 'feeding a horse']"

exports your own classes; the exported model needs no text encoder.

The photo model (photo/photo.yaml), RmLR, DEFR-Det and CLIPPairs can be exported, with NanoDet,
DETR or Conditional DETR. Exit code 0: done; 1: an output of onnxruntime differs from torch's by
more than 1e-4 (relative to the largest value if values are above 1); 2: error. Needs the extra
[export].
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hoi_d2.utils.arguments import MODEL_HELP, CommandParser

TOLERANCE = 1e-4


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = CommandParser(description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", metavar="M", help=MODEL_HELP)
    which.add_argument("--config-file", metavar="F", help="a config, instead of --model")
    parser.add_argument(
        "--size",
        nargs=2,
        type=int,
        metavar=("H", "W"),
        help="size of the detector's input; default: 800 1216, or by INPUT.MIN_SIZE_TEST",
    )
    parser.add_argument("--output", required=True, type=Path, help="folder to write to")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE, e.g. MODEL.WEIGHTS F")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)
    # Only now: --help and a wrong option are answered before torch is imported.
    from hoi_d2.export.onnx import check_export, default_size, export_model, exportable

    predictor = exportable(args.model or args.config_file, args.opts)
    size = tuple(args.size or default_size(predictor.cfg))
    files = export_model(predictor, args.output, size=size)
    differences = check_export(predictor, args.output, size=size)
    if predictor.random_parts:
        print(f"WARNING: random weights: {', '.join(predictor.random_parts)}", file=sys.stderr)
    print(f"images of at most {size[0]} x {size[1]} (height x width)")
    for file in files:
        print(f"{file}  {file.stat().st_size / 1e6:.2f} MB")
    for name, value in differences.items():
        above = "" if value <= TOLERANCE else f"  ABOVE {TOLERANCE:.0e}"
        print(f"largest difference to torch, {name}: {value:.1e}{above}")
    return 0 if max(differences.values()) <= TOLERANCE else 1
