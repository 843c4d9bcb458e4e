"""What reading training images takes: decoding, augmenting, packing, and the loader as a whole.

Decoders are compared on the same JPEG files, with the largest difference of a pixel from Pillow's;
then come the parts of the config's mapper in one process, then the loader with its workers. CPU
time is the figure to go by on a busy machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import cv2
import numpy as np
from detectron2.config import CfgNode
from PIL import Image
from tabulate import tabulate

from hoi_d2.benchmark.images import training_data
from hoi_d2.benchmark.stopwatch import CLOCK, CPU, Stopwatch
from hoi_d2.config.load import load_config
from hoi_d2.data.images import TOY_SCHEME, read_dataset_image
from hoi_d2.data.loading.build import build_mapper, build_train_loader, load_records, usable_workers
from hoi_d2.utils.arguments import CommandParser
from hoi_d2.utils.files import write_json

READ, AUGMENT, PACK = "read", "augment", "pack"


def argument_parser() -> argparse.ArgumentParser:
    """The command line of `tools/benchmark.py data`."""
    parser = CommandParser(
        prog="benchmark.py data",
        description=__doc__,
    )
    parser.add_argument("--config-file", default="RmLR/R50.yaml")
    parser.add_argument("--images", type=int, default=24, help="to make, and to read a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--batches", type=int, default=8, help="read by the loader")
    parser.add_argument("--json", default="", help="also write the figures there")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE ...")
    return parser


def main(argv: Sequence[str]) -> int:
    """Prints the tables; returns the exit status."""
    args = argument_parser().parse_args(argv)
    cv2.setNumThreads(0)  # as in the loader's workers
    cfg = load_config(args.config_file, args.opts)
    with training_data(cfg, args.images) as what:
        records = load_records(cfg.DATASETS.TRAIN)[: args.images]
        result = {
            "data": what,
            "decoders": time_decoders([r["file_name"] for r in records], args.rounds),
            "mapper": time_mapper(cfg, records, args.rounds),
            "loader": {str(n): time_loader(cfg, n, args.batches) for n in args.workers},
        }
    print(table(result))
    if args.json:
        write_json(args.json, result)
    return 0


def time_decoders(files: Sequence[str], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of an image and difference from Pillow; empty for images without files."""
    if any(name.startswith(TOY_SCHEME) for name in files):
        return {}
    watch, differences = Stopwatch(), dict.fromkeys(DECODERS, 0)
    for _ in range(rounds):
        for name, decode in DECODERS.items():
            with watch.round(name):
                for file in files:
                    decode(file)
    for file in files:
        expected = DECODERS["Pillow"](file).astype(int)
        for name, decode in DECODERS.items():
            found = int(np.abs(decode(file) - expected).max())
            differences[name] = max(differences[name], found)
    seconds = {
        name: min(r[CPU][name] for r in watch.rounds if name in r[CPU]) / len(files)
        for name in DECODERS
    }
    return {
        name: {"cpu_ms": 1000 * seconds[name], "max_difference": differences[name]}
        for name in DECODERS
    }


def time_mapper(cfg: CfgNode, records: Sequence[dict], rounds: int) -> dict[str, dict[str, float]]:
    """Mean seconds of an image in each part of the mapper, in this process."""
    mapper: Any = build_mapper(cfg, is_train=True)
    watch = Stopwatch()
    parts = hasattr(mapper, "augmentations")
    if parts:
        mapper.augmentations = watch.timed(mapper.augmentations, AUGMENT)
    for number in range(rounds):
        np.random.seed(number)
        for record in records:
            with watch.round(PACK if parts else "mapper"):
                with watch.part(READ):
                    read_dataset_image(record)
                mapper(record)
    # The mapper reads its image itself: what it took for that is taken off.
    seconds = {kind: watch.averages(kind, statistics.fmean) for kind in (CLOCK, CPU)}
    rest = PACK if parts else "mapper"
    for kind in seconds.values():
        kind[rest] = max(kind[rest] - kind[READ], 0.0)
    return seconds


def time_loader(cfg: CfgNode, workers: int, batches: int) -> dict[str, float]:
    """Images per second of the training loader alone; the first batch, which starts it, is out."""
    cfg = cfg.clone()
    cfg.DATALOADER.NUM_WORKERS = workers
    batches_of: Any = iter(build_train_loader(cfg, seed=0))
    next(batches_of)
    start = time.perf_counter()
    number = sum(len(batch) for batch in islice(batches_of, batches))
    seconds = time.perf_counter() - start
    batches_of.close()
    return {"workers": usable_workers(workers), "images_per_second": number / seconds}


def table(result: dict[str, Any]) -> str:
    """The figures as text."""
    text = [result["data"]]
    if result["decoders"]:
        decoders = [(n, d["cpu_ms"], d["max_difference"]) for n, d in result["decoders"].items()]
        headers = ("decoder", "cpu ms", "max difference")
        text.append(tabulate(decoders, headers=headers, floatfmt=".2f"))
    clock, cpu = result["mapper"][CLOCK], result["mapper"][CPU]
    total = sum(cpu.values())
    rows: list[tuple] = [(n, 1000 * clock[n], 1000 * cpu[n], f"{cpu[n] / total:.0%}") for n in cpu]
    rows.append(("all", 1000 * sum(clock.values()), 1000 * total, "100%"))
    text.append(tabulate(rows, headers=("mapper", "ms", "cpu ms", "share"), floatfmt=".2f"))
    rows = [(n, r["workers"], r["images_per_second"]) for n, r in result["loader"].items()]
    headers = ("workers asked", "workers used", "images/s")
    text.append(tabulate(rows, headers=headers, floatfmt=".1f"))
    return "\n\n".join(text)


def _pillow(file: str) -> np.ndarray:
    with Image.open(file) as image:
        return np.array(image.convert("RGB"))


def _opencv(file: str) -> np.ndarray:
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imread(file, flags)
    if image is None:
        raise OSError(f"OpenCV cannot read {file}")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _torchvision(file: str) -> np.ndarray:
    from torchvision.io import ImageReadMode, decode_image, read_file

    return decode_image(read_file(file), ImageReadMode.RGB).permute(1, 2, 0).numpy()


DECODERS: dict[str, Callable[[str], np.ndarray]] = {
    "Pillow": _pillow,
    "OpenCV": _opencv,
    "torchvision": _torchvision,
}
