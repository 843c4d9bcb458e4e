"""`hoi-d2 demo`: images, folders, videos and cameras with interactions drawn.

Without an input it shows the whole project on the toy world: `make demo`.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hoi_d2.commands.model_arguments import (
    add_model_arguments,
    check_model_arguments,
    model_choice,
    without_overrides,
)
from hoi_d2.data.find_images import find_images
from hoi_d2.inference.choice import print_notes
from hoi_d2.utils.arguments import CommandParser, count
from hoi_d2.utils.signals import stopped_like_ctrl_c

if TYPE_CHECKING:  # a wrong option or path is answered before torch is imported
    from hoi_d2.demo.report import DrawOptions

EPILOG = """\
examples:
  hoi-d2 demo photo.jpg folder 'more/*.png' --output output/mine
  hoi-d2 demo photo.jpg --detector detr-r50 --output output/detr
  hoi-d2 demo photo.jpg --model output/my_run --device cuda:1 --half
  hoi-d2 demo --model toy/rmlr --video in.mp4 --track --output output/video
  hoi-d2 demo --model toy/rmlr --input folder --verbs ride hold --top-k 5 \\
      --output output/few MODEL.DEVICE cpu

Writes into DIR: the images (or the video) with the selected interactions drawn, the same
interactions as a table in hoi_results.csv, and all interactions in hoi_results.json. To continue an
interrupted run, use the same command with --resume. Exit code: 0 = everything was processed, 1 = a
file could not be read (it is named and skipped), 2 = nothing was processed, 130 = interrupted.
"""


def argument_parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        description="Finds and draws human-object interactions.",
        epilog=EPILOG,
    )
    add_model_arguments(parser)
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="images, folders or globs")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--input", nargs="+", default=[], metavar="PATH", help="the same as IMAGE")
    source.add_argument("--video", metavar="V", help="a video file")
    source.add_argument("--webcam", action="store_true", help="read a camera; Ctrl-C stops")
    parser.add_argument("--camera", type=int, default=0, help="camera index, with --webcam")
    parser.add_argument("--max-frames", type=count, help="maximum frames to process; default: all")
    parser.add_argument(
        "--track",
        action="store_true",
        help="track people and log each interaction",
    )
    parser.add_argument(
        "--output", default="output/demo", metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument(
        "--resume", action="store_true", help="skip images whose results are already in DIR"
    )
    parser.add_argument("--font", metavar="F", help="a font file (.ttf, .otf) for class names")
    parser.add_argument(
        "--score-threshold",
        type=_score,
        help="minimum score to draw; default: 0.3",
    )
    parser.add_argument("--top-k", type=count, default=20, help="maximum triplets drawn per image")
    parser.add_argument("--verbs", nargs="+", default=[], help="draw only these verbs")
    parser.usage = f"{parser.prog} [IMAGE ...] [options] [KEY VALUE ...]"
    return parser


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line; KEY VALUE overrides of the config can be at any position."""
    words, opts = without_overrides(list(sys.argv[1:] if arguments is None else arguments))
    parser = argument_parser()
    args = parser.parse_intermixed_args(words)
    args.input, args.opts = [*args.images, *args.input], opts
    if args.input and (args.video or args.webcam):
        parser.error("images cannot be combined with --video or --webcam")
    check_model_arguments(parser, args)
    if args.detector and not (args.input or args.video or args.webcam):
        parser.error("--detector: expected images, --video or --webcam")
    if args.track and not (args.video or args.webcam):
        parser.error("--track needs --video or --webcam")
    if args.resume and not args.input:
        parser.error("--resume needs images; a video cannot be resumed")
    return args


def _score(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, got {text}")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    args = parse_args(argv)
    if not (args.input or args.video or args.webcam):
        from hoi_d2.demo.toy import run_toy_demo

        return run_toy_demo(Path(args.output))
    return _run(args)


def _run(args: argparse.Namespace) -> int:
    left_out: Counter[str] = Counter()
    images = find_images(args.input, left_out) if args.input else []
    from hoi_d2.demo.images import run_on_images
    from hoi_d2.demo.video import run_on_video

    predictor = model_choice(args).predictor()
    print_notes(predictor)
    draw = _draw_options(args, predictor.vocabulary.verbs)
    output = _folder(args.output)
    with stopped_like_ctrl_c():
        if images:
            return run_on_images(
                predictor, images, output, draw=draw, resume=args.resume, left_out=left_out
            )
        source = args.camera if args.webcam else args.video
        return run_on_video(
            predictor, source, output, draw=draw, track=args.track, max_frames=args.max_frames
        )


def _draw_options(args: argparse.Namespace, names: Sequence[str]) -> DrawOptions:
    """What is drawn; names a verb that the model does not have, and a file that is no font."""
    from hoi_d2.demo.report import DEFAULT, DrawOptions
    from hoi_d2.visualization.canvas import load_font
    from hoi_d2.visualization.pages.browse import index_of

    verbs = tuple(names[index_of(verb, names, "verb")] for verb in args.verbs)
    if args.font is not None:
        load_font(12, args.font)
    threshold = DEFAULT.score_threshold if args.score_threshold is None else args.score_threshold
    return DrawOptions(threshold, args.top_k, verbs, args.font)


def _folder(name: str) -> Path:
    try:
        Path(name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"--output {name}: {error.strerror}") from error
    return Path(name)
