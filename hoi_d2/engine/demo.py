"""`tools/demo.py` and `hoi-d2 demo`: pictures, folders, videos and cameras with interactions drawn.

Without an input it shows the whole project on the toy world: `make demo`.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from hoi_d2.checkpoint.weight_files import WeightsError
from hoi_d2.data.images import ImageFileError
from hoi_d2.data.open_vocabulary import open_vocabulary, read_classes
from hoi_d2.engine.predictor import HOIPrediction, HOIPredictor, read_config
from hoi_d2.evaluation.results import HOIResults, write_results

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"}
DEFAULT_CONFIG, OPEN_CONFIG = "toy/rmlr.yaml", "DEFR-Det/zeroshot-ViT-B-16.yaml"
RANDOM_WARNING = "WARNING: random weights, the scores mean nothing: {parts}"


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Finds and draws human-object interactions.",
        epilog="example: python tools/demo.py --config-file configs/toy/rmlr.yaml "
        "--input photo.jpg folder 'more/*.png' --output output/mine MODEL.DEVICE cpu",
    )
    parser.add_argument(
        "--config-file",
        metavar="F",
        help=f"default: {DEFAULT_CONFIG}; with --classes: {OPEN_CONFIG}",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--input", nargs="+", metavar="PATH", help="pictures, folders or globs")
    source.add_argument("--video", metavar="V", help="a video file")
    source.add_argument("--webcam", action="store_true", help="the first camera; q ends")
    parser.add_argument(
        "--classes",
        nargs="+",
        metavar="C",
        help='own classes, for DEFR-Det: "riding a horse" ..., or text files (.txt) of them',
    )
    parser.add_argument("--output", default="output/demo", metavar="DIR")
    parser.add_argument("--score-threshold", type=float, default=0.2, help="of what is drawn")
    parser.add_argument("--top-k", type=int, default=20, help="triplets drawn in a picture")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE overrides of the config")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code: 1 where a file could not be read."""
    args = argument_parser().parse_args(arguments)
    if not (args.input or args.video or args.webcam):
        from hoi_d2.engine.toy_demo import run_toy_demo

        return run_toy_demo(Path(args.output))
    try:
        predictor = _predictor(args)
    except (FileNotFoundError, WeightsError, ClassesError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if predictor.random_parts:
        print(RANDOM_WARNING.format(parts=", ".join(predictor.random_parts)), file=sys.stderr)
    draw = {"score_threshold": args.score_threshold, "top_k": args.top_k}
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    if args.input:
        return run_on_pictures(predictor, find_pictures(args.input), output, draw=draw)
    return run_on_video(predictor, 0 if args.webcam else args.video, output, draw=draw)


class ClassesError(ValueError):
    """Own classes that cannot be, or a model that does not take them."""


def _predictor(args: argparse.Namespace) -> HOIPredictor:
    """The model of the command line, with its own classes.

    Raises:
        FileNotFoundError: a config, a weight file or a file of classes is not to be had.
        WeightsError: weights do not fit.
        ClassesError: see there.
    """
    config = args.config_file or (OPEN_CONFIG if args.classes else DEFAULT_CONFIG)
    if not args.classes:
        return HOIPredictor.from_config(config, args.opts)
    try:
        classes = list(open_vocabulary(read_classes(args.classes)).phrases)
    except ValueError as error:
        raise ClassesError(f"--classes: {error}") from error
    cfg = read_config(config, [*args.opts, "MODEL.HOI.CLASSES", classes])
    if cfg.MODEL.META_ARCHITECTURE != "DEFR-Det":
        raise ClassesError(
            f"--classes: {config} is a {cfg.MODEL.META_ARCHITECTURE}, whose classes are fixed; "
            f"take a DEFR-Det, such as {OPEN_CONFIG}"
        )
    if cfg.MODEL.WEIGHTS:
        raise ClassesError(
            "--classes: the checkpoint of MODEL.WEIGHTS has classes of its own. To read pictures "
            "with its image encoder, name it in MODEL.IMAGE_ENCODER.WEIGHTS, and set MODEL.WEIGHTS "
            '""'
        )
    return HOIPredictor(cfg)


def find_pictures(inputs: Sequence[str]) -> list[Path]:
    """The pictures that paths, folders (not their subfolders) and globs name, in order.

    Raises:
        FileNotFoundError: one of them names nothing.
    """
    found: dict[Path, None] = {}
    for name in inputs:
        path = Path(name)
        if path.is_dir():
            matches = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        else:
            matches = [path] if path.exists() else [Path(p) for p in sorted(glob(name))]
        if not matches:
            raise FileNotFoundError(f"--input {name}: no such picture, or no pictures in it")
        found.update(dict.fromkeys(matches))
    return list(found)


def image_ids(paths: Sequence[Path]) -> list[int]:
    """The number in each file name (HICO's and COCO's ids); positions if two share one."""
    numbers = [re.findall(r"\d+", path.stem) for path in paths]
    ids = [int(n[-1]) if n else -1 for n in numbers]
    unique = len(set(ids)) == len(ids) and -1 not in ids
    return ids if unique else list(range(1, len(paths) + 1))


def run_on_pictures(
    predictor: HOIPredictor, paths: Sequence[Path], output: Path, *, draw: dict
) -> int:
    """Writes a drawn PNG for each picture, hoi_results.json, hoi_results.csv and images.json."""
    rows, names, bad = [], {}, []
    for image_id, path in zip(image_ids(paths), tqdm(paths, unit="image", desc="demo")):
        try:
            prediction = predictor(path)
        except ImageFileError as error:
            bad.append(path)
            tqdm.write(f"skipped: {error}", file=sys.stderr)
            continue
        prediction.draw(**draw).save(output / f"{path.stem}.png")
        rows.append(prediction.results(image_id))
        names[image_id] = (str(path), prediction)
    write_results(output / "hoi_results.json", HOIResults.concatenate(rows))
    files = {image_id: name for image_id, (name, _) in names.items()}
    (output / "images.json").write_text(json.dumps(files, indent=1))
    write_csv(output / "hoi_results.csv", names.values())
    print(f"{len(files)} drawn, {len(bad)} could not be read; results in {output}")
    return 1 if bad else 0


def write_csv(path: Path, predictions) -> None:
    """One line a triplet, with names in the place of ids."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "verb", "object", "score", "human_box", "object_box"])
        for name, prediction in predictions:
            for t in prediction.triplets:
                boxes = [
                    "" if box is None else " ".join(f"{v:.1f}" for v in box)
                    for box in (t.human_box, t.object_box)
                ]
                writer.writerow([name, t.verb, t.object or "", f"{t.score:.4f}", *boxes])


def run_on_video(predictor: HOIPredictor, source: str | int, output: Path, *, draw: dict) -> int:
    """Writes the video with interactions drawn, and hoi_results.json with frame numbers as ids."""
    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        print(f"cannot open {'the camera' if source == 0 else source}", file=sys.stderr)
        return 1
    name = "webcam" if source == 0 else Path(source).stem
    rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
    total = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0) or None
    rows, writer = [], None
    try:
        for number, frame in enumerate(tqdm(_frames(capture), total=total, unit="frame")):
            prediction = predictor(frame)
            rows.append(prediction.results(number))
            drawn = _drawn_frame(prediction, draw)
            if writer is None:
                fourcc, size = cv2.VideoWriter_fourcc(*"mp4v"), drawn.shape[1::-1]
                writer = cv2.VideoWriter(str(output / f"{name}.mp4"), fourcc, rate, size)
            writer.write(drawn)
    except KeyboardInterrupt:  # the way to end a camera
        pass
    finally:
        capture.release()
        if writer is not None:
            writer.release()
    write_results(output / "hoi_results.json", HOIResults.concatenate(rows))
    print(f"{len(rows)} frames; results in {output}")
    return 0 if rows else 1


def _drawn_frame(prediction: HOIPrediction, draw: dict) -> np.ndarray:
    """BGR, of the frame's own size."""
    from hoi_d2.visualization import HOIVisualizer

    visualizer = HOIVisualizer(prediction.image, scale=1.0, legend=False)
    drawn = visualizer.draw_hoi_instances(prediction.hoi_instances, prediction.vocabulary, **draw)
    return np.ascontiguousarray(drawn.get_image()[:, :, ::-1])


def _frames(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    while True:
        ok, frame = capture.read()
        if not ok:
            return
        yield frame
