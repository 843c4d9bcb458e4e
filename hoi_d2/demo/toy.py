"""The demo without input (`make demo`): photographs, then the toy world, on a CPU in minutes.

The toy part draws interactions with the shipped weights, trains RmLR briefly and evaluates both.
With several threads the figure of the training varies a little: their order of summation is not
fixed.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import cv2
from detectron2.config import CfgNode
from detectron2.utils.env import seed_all_rng
from detectron2.utils.logger import setup_logger

from hoi_d2.config.load import load_config
from hoi_d2.data.toy import scene as toy
from hoi_d2.demo.images import run_on_images
from hoi_d2.demo.photographs import example_photographs
from hoi_d2.demo.report import DrawOptions
from hoi_d2.engine.trainer import HOITrainer, evaluate_weights
from hoi_d2.inference.predictor import DEFAULT_CONFIG, HOIPredictor

CONFIG = "toy/rmlr.yaml"
SHIPPED = "hoi_d2://toy/rmlr.safetensors"
NUM_IMAGES = 24
TRAIN_ITERATIONS = 200


def run_toy_demo(output: Path) -> int:
    """Runs the demo; writes images/*.png, and hoi_results.json and metrics.json of toy val."""
    start = time.time()
    output.mkdir(parents=True, exist_ok=True)
    setup_logger(str(output), name="detectron2", abbrev_name="d2")
    setup_logger(str(output), name="hoi_d2")
    photographs = example_photographs()
    print(f"\n1/4  interactions in {len(photographs)} photograph(s)")
    (output / "photographs").mkdir(exist_ok=True)
    run_on_images(
        HOIPredictor.from_config(DEFAULT_CONFIG, ["MODEL.DEVICE", "cpu"]),
        photographs,
        output / "photographs",
    )
    images = _draw_toy_images(output / "toy_images")
    print(f"\n2/4  interactions in {len(images)} toy images")
    predictor = HOIPredictor.from_config(CONFIG, ["MODEL.WEIGHTS", SHIPPED])
    (output / "images").mkdir(exist_ok=True)
    # The toy detector's scores are lower than those the default threshold is chosen for.
    draw = DrawOptions(score_threshold=0.2)
    run_on_images(predictor, images, output / "images", draw=draw)
    print(f"\n3/4  evaluating the shipped weights on {toy.SPLITS['val'][1]} images")
    shipped = _evaluate(output / "shipped", SHIPPED)
    _keep(output, output / "shipped")
    print(f"\n4/4  training RmLR for {TRAIN_ITERATIONS} iterations, then evaluating it")
    trained = _train(output / "train")
    name = "hico_det/mAP_default_full"
    print(f"\n{name}: shipped weights {shipped[name]:.2f}")
    print(f"{name}: {TRAIN_ITERATIONS} iterations from scratch {trained[name]:.2f}")
    print(f"photographs: {output / 'photographs'}")
    print(f"images: {output / 'images'}\nmetrics:  {output / 'metrics.json'}")
    print(f"{time.time() - start:.0f} s in total")
    return 0


def _draw_toy_images(folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"toy_{index:05d}.png" for index in range(1, NUM_IMAGES + 1)]
    for index, path in enumerate(paths):
        cv2.imwrite(str(path), toy.render(toy.toy_scene("val", index)))
    return paths


def _config(output: Path, *options: str | int) -> CfgNode:
    cfg = load_config(CONFIG, ["OUTPUT_DIR", str(output), "MODEL.DEVICE", "cpu", *options])
    cfg.freeze()
    return cfg


def _evaluate(output: Path, weights: str) -> dict[str, float]:
    evaluate_weights(_config(output, "MODEL.WEIGHTS", weights))
    return _metrics(output)


def _train(output: Path) -> dict[str, float]:
    shutil.rmtree(output, ignore_errors=True)
    options = ("SOLVER.MAX_ITER", TRAIN_ITERATIONS, "SOLVER.CHECKPOINT_PERIOD", TRAIN_ITERATIONS)
    cfg = _config(output, *options, "SOLVER.WARMUP_ITERS", 20)
    output.mkdir(parents=True)
    seed_all_rng(cfg.SEED)  # as `hoi-d2 train` does: the weights of the head start at random
    trainer = HOITrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    return _metrics(output)


def _metrics(output: Path) -> dict[str, float]:
    return json.loads((output / "metrics.json").read_text())


def _keep(output: Path, source: Path) -> None:
    """Copies metrics and results to the output folder, where the README names them."""
    shutil.copy(source / "metrics.json", output / "metrics.json")
    results = next(source.rglob("hoi_results.json"))
    shutil.copy(results, output / "hoi_results.json")
