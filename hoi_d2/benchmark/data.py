"""Measures the reading of training images: decoding, augmenting, packing, and the whole loader.

Decoders are compared on the same JPEG files, with the largest difference of a pixel from Pillow's.
Then come the parts of the config's mapper in one process, and the loader with its workers. On a
busy machine, compare CPU times.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import cv2
import numpy as np
import torch
from detectron2.config import CfgNode
from PIL import Image
from tabulate import tabulate

from hoi_d2.benchmark.images import training_data
from hoi_d2.benchmark.stopwatch import CPU, Seconds, Stopwatch, argument_parser, part_table
from hoi_d2.config.load import load_config
from hoi_d2.data.images import TOY_SCHEME, read_dataset_image
from hoi_d2.data.loading.build import build_mapper, build_train_loader, load_records, usable_workers
from hoi_d2.utils.files import write_json

READ, AUGMENT, PACK = "read", "augment", "pack"


def main(argv: Sequence[str]) -> int:
    """Prints the tables; returns the exit status."""
    parser = argument_parser("data", __doc__)
    parser.add_argument("--images", type=int, default=24, help="images read per round")
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 1, 2], help="numbers to try")
    parser.add_argument("--batches", type=int, default=8, help="batches read by the loader")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
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
    """Milliseconds per image and difference from Pillow; empty for images without files."""
    if any(name.startswith(TOY_SCHEME) for name in files):
        return {}
    watch = Stopwatch()
    for _ in range(rounds):
        with watch.round("the rest"):
            for name, decode in DECODERS.items():
                with watch.part(name):
                    for file in files:
                        decode(file)
    differences = dict.fromkeys(DECODERS, 0)
    for file in files:
        expected = DECODERS["Pillow"](file).astype(int)
        for name, decode in DECODERS.items():
            found = int(np.abs(decode(file) - expected).max())
            differences[name] = max(differences[name], found)
    seconds = watch.seconds(min)[CPU]
    return {
        name: {"cpu_ms": 1000 * seconds[name] / len(files), "max_difference": differences[name]}
        for name in DECODERS
    }


def time_mapper(cfg: CfgNode, records: Sequence[dict], rounds: int) -> Seconds:
    """Mean seconds per image in each part of the mapper, in this process."""
    mapper: Any = build_mapper(cfg, is_train=True)
    watch, rest = Stopwatch(), "mapper"
    if hasattr(mapper, "augmentations"):
        mapper.augmentations, rest = watch.timed(mapper.augmentations, AUGMENT), PACK
    for number in range(rounds):
        np.random.seed(number)
        for record in records:
            with watch.round(rest):
                with watch.part(READ):
                    read_dataset_image(record)
                mapper(record)
    seconds = watch.seconds(statistics.fmean)
    for kind in seconds.values():  # the mapper has read the image once more itself
        kind[rest] = max(kind[rest] - kind[READ], 0.0)
    return seconds


def time_loader(cfg: CfgNode, workers: int, batches: int) -> dict[str, float]:
    """Images per second of the training loader alone, without the first batch, which starts it."""
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
    text.append(part_table("mapper, per image", result["mapper"]))
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
