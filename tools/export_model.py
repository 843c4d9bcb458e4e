#!/usr/bin/env python
"""Writes a model as ONNX files with a runner, and checks them against torch.

    python tools/export_model.py --config-file toy/rmlr.yaml --size 192 256 --output output/onnx
    python output/onnx/run_hoi.py photo.jpg

OUTPUT gets detector.onnx and head.onnx (any number of pairs), model.json, and run_hoi.py, which
needs onnxruntime and OpenCV alone. Pictures are scaled to fit into the size, and padded. The exit
code is 1 where the numbers of onnxruntime and torch differ by more than 1e-4. Needs the extra
[export]. RmLR over DETR or Conditional DETR can be exported.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import hoi_d2  # noqa: F401  (registers models)
from hoi_d2.export.onnx import check_export, export_rmlr, exportable

TOLERANCE = 1e-4


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, metavar="F")
    parser.add_argument("--size", nargs=2, type=int, default=(800, 1216), metavar=("H", "W"))
    parser.add_argument("--output", required=True, type=Path, help="folder")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE, e.g. MODEL.WEIGHTS F")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)
    try:
        predictor = exportable(args.config_file, args.opts)
        files = export_rmlr(predictor, args.output, size=tuple(args.size))
        differences = check_export(predictor, args.output, size=tuple(args.size))
    except (FileNotFoundError, ImportError, ValueError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 2
    if predictor.random_parts:
        print(f"WARNING: random weights: {', '.join(predictor.random_parts)}", file=sys.stderr)
    for file in files.values():
        print(f"{file}  {file.stat().st_size / 1e6:.2f} MB")
    for name, value in differences.items():
        print(f"largest difference to torch, {name}: {value:.1e}")
    return 0 if max(differences.values()) <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
