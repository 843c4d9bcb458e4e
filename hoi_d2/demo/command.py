"""`tools/demo.py` and `hoi-d2 demo`: images, folders, videos and cameras with interactions drawn.

Without an input it shows the whole project on the toy world: `make demo`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from hoi_d2.checkpoint.weight_files import WeightsError
from hoi_d2.data.open_vocabulary import open_vocabulary, read_classes
from hoi_d2.demo.images import find_images, run_on_images
from hoi_d2.demo.report import DrawOptions
from hoi_d2.demo.video import run_on_video
from hoi_d2.inference.predictor import HOIPredictor, read_config
from hoi_d2.visualization.pages.browse import index_of

DEFAULT_CONFIG, OPEN_CONFIG = "toy/rmlr.yaml", "DEFR-Det/zeroshot-ViT-B-16.yaml"
_KEY = re.compile(r"[A-Z][A-Z_]*(\.[A-Z][A-Z0-9_]*)+")
RANDOM_WARNING = "WARNING: random weights, the scores mean nothing: {parts}"
EPILOG = """\
examples:
  python tools/demo.py --config-file toy/rmlr.yaml --input photo.jpg folder 'more/*.png' \\
      --output output/mine
  python tools/demo.py --config-file toy/rmlr.yaml --video in.mp4 --track --output output/video
  python tools/demo.py --config-file toy/rmlr.yaml --input folder --verbs ride hold --top-k 5 \\
      --output output/few MODEL.DEVICE cpu

Writes into DIR: images (or a video) with what passes the filters, hoi_results.csv with the same
in words, hoi_results.json with everything that the model found. Exit code: 0 = all done, 1 = some
file could not be read (it is named and skipped), 2 = nothing could be done.
"""


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Finds and draws human-object interactions.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config-file",
        metavar="F",
        help=f"default: {DEFAULT_CONFIG}; with --classes: {OPEN_CONFIG}",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--input", nargs="+", default=[], metavar="PATH", help="images, folders or globs"
    )
    source.add_argument("--video", metavar="V", help="a video file")
    source.add_argument("--webcam", action="store_true", help="a camera; Ctrl-C ends")
    parser.add_argument("--camera", type=int, default=0, help="its number, with --webcam")
    parser.add_argument("--max-frames", type=_count, help="of a video or camera; default: all")
    parser.add_argument(
        "--track",
        action="store_true",
        help="number people; log each interaction",
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        default=[],
        metavar="C",
        help='own classes, for DEFR-Det: "riding a horse" ..., or text files (.txt) of them',
    )
    parser.add_argument("--output", default="output/demo", metavar="DIR")
    parser.add_argument("--score-threshold", type=_score, default=0.2, help="of what is drawn")
    parser.add_argument("--top-k", type=_count, default=20, help="triplets drawn in an image")
    parser.add_argument("--verbs", nargs="+", default=[], help="draw these verbs alone")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE overrides of the config")
    return parser


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; overrides may follow directly on --input, --classes or --verbs."""
    parser = argument_parser()
    args = parser.parse_args(arguments)
    for name in ("input", "classes", "verbs"):
        words = getattr(args, name)
        first = next((i for i, word in enumerate(words) if _KEY.fullmatch(word)), len(words))
        if words and not first:
            parser.error(f"--{name}: there is nothing before {words[0]}")
        args.opts = [*words[first:], *args.opts]
        setattr(args, name, words[:first])
    if args.track and not (args.video or args.webcam):
        parser.error("--track follows people over the frames of a --video or --webcam")
    return args


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {text}")
    return number


def _score(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, got {text}")
    return number


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    args = parse_args(arguments)
    if not (args.input or args.video or args.webcam):
        from hoi_d2.demo.toy import run_toy_demo

        return run_toy_demo(Path(args.output))
    try:
        return _run(args)
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    except (OSError, KeyError, ValueError, WeightsError) as error:
        message = error.args[0] if isinstance(error, KeyError) else error
        print(f"demo: {message}", file=sys.stderr)
        return 2


def _run(args: argparse.Namespace) -> int:
    images = find_images(args.input) if args.input else []
    predictor = _predictor(args)
    if predictor.random_parts:
        print(RANDOM_WARNING.format(parts=", ".join(predictor.random_parts)), file=sys.stderr)
    names = predictor.vocabulary.verbs
    verbs = tuple(names[index_of(verb, names, "verb")] for verb in args.verbs)
    draw = DrawOptions(args.score_threshold, args.top_k, verbs)
    output = _folder(args.output)
    if images:
        return run_on_images(predictor, images, output, draw=draw)
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
        FileNotFoundError: a config, a weight file or a file of classes is not to be had.
        ValueError: weights do not fit, or classes that cannot be, or a model without room for them.
    """
    if args.classes:
        return open_predictor(args.classes, args.config_file or OPEN_CONFIG, args.opts)
    return HOIPredictor.from_config(args.config_file or DEFAULT_CONFIG, args.opts)


def open_predictor(
    phrases: Sequence[str], config: str = OPEN_CONFIG, options: Sequence[str] = ()
) -> HOIPredictor:
    """A DEFR-Det whose classes are phrases such as "riding a horse".

    Args:
        phrases: the classes, or text files (.txt) of them.
        config: of a DEFR-Det.
        options: KEY, VALUE, ... overrides.

    Raises:
        FileNotFoundError: as `_predictor`.
        ValueError: likewise.
    """
    try:
        classes = list(open_vocabulary(read_classes(phrases)).phrases)
    except ValueError as error:
        raise ValueError(f"--classes: {error}") from error
    cfg = read_config(config, [*options, "MODEL.HOI.CLASSES", classes])
    if cfg.MODEL.META_ARCHITECTURE != "DEFR-Det":
        raise ValueError(
            f"--classes: {config} is a {cfg.MODEL.META_ARCHITECTURE}, whose classes are fixed; "
            f"take a DEFR-Det, such as {OPEN_CONFIG}"
        )
    if cfg.MODEL.WEIGHTS:
        raise ValueError(
            "--classes: the checkpoint of MODEL.WEIGHTS has classes of its own. To read images "
            "with its image encoder, name it in MODEL.IMAGE_ENCODER.WEIGHTS, and set MODEL.WEIGHTS "
            'to ""'
        )
    return HOIPredictor(cfg)
