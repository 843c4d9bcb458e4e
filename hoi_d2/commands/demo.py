"""`hoi-d2 demo`: images, folders, videos and cameras with interactions drawn.

Without an input it shows the whole project on the toy world: `make demo`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hoi_d2.data.find_images import find_images
from hoi_d2.demo.images import run_on_images
from hoi_d2.demo.report import DEFAULT, RANDOM_WARNING, DrawOptions
from hoi_d2.demo.video import run_on_video
from hoi_d2.inference.open_vocabulary import OPEN_CONFIG, open_predictor
from hoi_d2.inference.photo_detectors import PHOTO_DETECTORS, photo_predictor
from hoi_d2.inference.predictor import DEFAULT_BATCH, DEFAULT_CONFIG, HOIPredictor
from hoi_d2.utils.arguments import MODEL_HELP, CommandParser, add_device_options, count
from hoi_d2.utils.signals import stopped_like_ctrl_c
from hoi_d2.visualization.canvas import load_font
from hoi_d2.visualization.pages.browse import index_of

_KEY = re.compile(r"[A-Z][A-Z_]*(\.[A-Z][A-Z0-9_]*)+")
EPILOG = """\
examples:
  hoi-d2 demo photo.jpg folder 'more/*.png' --output output/mine
  hoi-d2 demo photo.jpg --detector detr-r50 --output output/detr
  hoi-d2 demo photo.jpg --model output/my_run --device cuda:1 --half
  hoi-d2 demo --model toy/rmlr --video in.mp4 --track --output output/video
  hoi-d2 demo --model toy/rmlr --input folder --verbs ride hold --top-k 5 \\
      --output output/few MODEL.DEVICE cpu

Writes into DIR: images (or a video) with what passes the filters, hoi_results.csv with the same
in words, hoi_results.json with everything that the model found. A run that was interrupted goes on
with the same command and --resume. Exit code: 0 = all done, 1 = some file could not be read (it is
named and skipped), 2 = nothing could be done, 130 = interrupted.
"""


def argument_parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        description="Finds and draws human-object interactions.",
        epilog=EPILOG,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", metavar="M", help=f"default: photo; {MODEL_HELP}")
    which.add_argument(
        "--config-file",
        metavar="F",
        help=f"its config; default: {DEFAULT_CONFIG}; with --classes: {OPEN_CONFIG}",
    )
    add_device_options(parser, batch_size=DEFAULT_BATCH)
    parser.add_argument(
        "--detector",
        choices=sorted(PHOTO_DETECTORS),
        help=f"of {DEFAULT_CONFIG}; default: nanodet-g. detr-r50 is better, slower, a download",
    )
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
        "--classes",
        nargs="+",
        default=[],
        metavar="C",
        help='own classes, for DEFR-Det: "riding a horse" ..., or text files (.txt) of them',
    )
    parser.add_argument("--output", default="output/demo", metavar="DIR")
    parser.add_argument(
        "--resume", action="store_true", help="skip the images that DIR already has results of"
    )
    parser.add_argument("--font", metavar="F", help="a font file (.ttf, .otf) for class names")
    parser.add_argument(
        "--score-threshold",
        type=_score,
        default=DEFAULT.score_threshold,
        help="minimum score to draw",
    )
    parser.add_argument("--top-k", type=count, default=20, help="maximum triplets drawn per image")
    parser.add_argument("--verbs", nargs="+", default=[], help="draw only these verbs")
    parser.usage = f"{parser.prog} [IMAGE ...] [options] [KEY VALUE ...]"
    return parser


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; KEY VALUE overrides of the config may stand anywhere in it."""
    words, opts = _without_overrides(list(sys.argv[1:] if arguments is None else arguments))
    parser = argument_parser()
    args = parser.parse_intermixed_args(words)
    args.input, args.opts = [*args.images, *args.input], opts
    if args.input and (args.video or args.webcam):
        parser.error("images cannot be combined with --video or --webcam")
    if args.detector and (args.model or args.config_file or args.classes):
        parser.error("--detector goes with the model of photographs, not with another model")
    if args.detector and not (args.input or args.video or args.webcam):
        parser.error("--detector: expected images, --video or --webcam")
    if args.track and not (args.video or args.webcam):
        parser.error("--track follows people over the frames of a --video or --webcam")
    if args.resume and not args.input:
        parser.error("--resume continues with a folder of images, not with a video")
    return args


def _without_overrides(words: list[str]) -> tuple[list[str], list[str]]:
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


def _score(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, got {text}")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    args = parse_args(argv)
    if not (args.input or args.video or args.webcam):
        from hoi_d2.demo.toy import run_toy_demo

        return run_toy_demo(Path(args.output))
    return _run(args)


def _run(args: argparse.Namespace) -> int:
    left_out: Counter[str] = Counter()
    images = find_images(args.input, left_out) if args.input else []
    predictor = _predictor(args)
    if predictor.random_parts:
        print(RANDOM_WARNING.format(parts=", ".join(predictor.random_parts)), file=sys.stderr)
    if predictor.note:
        print(f"note: {predictor.note}", file=sys.stderr)
    names = predictor.vocabulary.verbs
    verbs = tuple(names[index_of(verb, names, "verb")] for verb in args.verbs)
    draw = DrawOptions(args.score_threshold, args.top_k, verbs, args.font)
    if args.font is not None:
        load_font(12, args.font)  # a file that is no font is named before the first image
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


def _folder(name: str) -> Path:
    try:
        Path(name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"--output {name}: {error.strerror}") from error
    return Path(name)


def _predictor(args: argparse.Namespace) -> HOIPredictor:
    """The model of the command line, with its own classes.

    Raises:
        FileNotFoundError: a config, a weight file or a file of classes is not available.
        ValueError: weights do not fit, or classes that cannot be, or a model without room for them.
    """
    settings = {"device": args.device, "batch_size": args.batch_size, "half": args.half}
    if args.classes:
        model = args.model or args.config_file or OPEN_CONFIG
        return open_predictor(args.classes, model, args.opts, **settings)
    if args.detector:
        return photo_predictor(args.detector, args.opts, **settings)
    if args.model:
        return HOIPredictor(args.model, args.opts, **settings)
    return HOIPredictor.from_config(args.config_file or DEFAULT_CONFIG, args.opts, **settings)
