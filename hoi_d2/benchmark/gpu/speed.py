"""Speed and memory on a device: training steps, batches of images, pairs of DEFR-Det.

Weights are random, so every model of pairs gets the most pairs that it can have, as in the other
benchmarks; `training` is measured with the pairs of the detections too.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model

from hoi_d2.benchmark.images import training_data
from hoi_d2.benchmark.infer import most_pairs, random_images
from hoi_d2.benchmark.stopwatch import CLOCK, Stopwatch
from hoi_d2.benchmark.train import benchmark as benchmark_training
from hoi_d2.config.load import load_config
from hoi_d2.data.loading.build import usable_workers
from hoi_d2.engine.writers import peak_memory_mb
from hoi_d2.registration import register

Row = dict[str, Any]
_ANY_WEIGHTS: tuple[Any, ...] = (
    *("MODEL.ALLOW_RANDOM_WEIGHTS", True),
    *("MODEL.ENTITY_DETECTOR.WEIGHTS", "", "MODEL.ENTITY_DETECTOR.REVISION", ""),
)
_BFLOAT16 = ("MODEL.DETR.PRECISION", "bfloat16")
_COMPILED = ("MODEL.DETR.COMPILE", True)

TRAINING = {  # name -> options; the config computes the head in bfloat16
    "float32 detector": (),
    "bfloat16 detector": _BFLOAT16,
}
INFERENCE = {  # name -> config, options, batches; compiled for each batch, which takes a minute
    "RmLR-R50, float32": ("RmLR/R50.yaml", (), (1, 8, 32)),
    "RmLR-R50, bfloat16 detector": ("RmLR/R50.yaml", _BFLOAT16, (1, 8, 32)),
    "UPT-R50, bfloat16 detector": ("UPT/upt_R50_hico_det.yaml", _BFLOAT16, (1, 8, 32)),
    "photo model, float32": ("photo/photo.yaml", (), (1, 8, 32)),
    "RmLR-R50, bfloat16, compiled": ("RmLR/R50.yaml", (*_BFLOAT16, *_COMPILED), (32, 1)),
}


def training(device: str, *, tiny: bool) -> Iterator[Row]:
    """Steps of RmLR-R50 at batch 16 on made-up photographs; tiny: of the toy model at batch 2.

    Yields:
        `name`, `pairs`, `images_per_second` (loader alone, model alone, both), `parts` in seconds,
        `peak_memory_mb` of the device, on a CPU of the process.
    """
    register()
    cases = [(name, pairs) for name in TRAINING for pairs in ("found", "most")]
    base = load_config("toy/rmlr.yaml" if tiny else "RmLR/R50.yaml", _ANY_WEIGHTS)
    base.MODEL.DEVICE, base.SOLVER.IMS_PER_BATCH = device, 2 if tiny else 16
    base.DATALOADER.NUM_WORKERS = 1 if tiny else usable_workers(14)
    with training_data(base, 4 if tiny else 64):
        for name, pairs in cases[: 1 if tiny else None]:
            cfg = base.clone()
            cfg.merge_from_list(list(TRAINING[name]))
            row = _fresh(device, _training_row, cfg, tiny=tiny, crowd=pairs == "most")
            yield {"name": name, "pairs": pairs, **row}


def _training_row(cfg: CfgNode, *, tiny: bool, crowd: bool) -> Row:
    rounds = {"rounds": 1, "steps": 1, "warm_up": 0} if tiny else {"rounds": 2, "steps": 8}
    with tempfile.TemporaryDirectory() as cfg.OUTPUT_DIR:
        result = benchmark_training(cfg, **rounds, crowd=crowd)
    keys = ("images_per_second", "precision")
    return {key: result[key] for key in keys} | {"parts": result["parts"]["clock"]}


def inference(device: str, *, tiny: bool) -> Iterator[Row]:
    """Images per second at batch 1, 8 and 32, on images of 800 x 1066; tiny: 64 x 96.

    Yields:
        `name`, `batch`, `images_per_second`, `peak_memory_mb`.
    """
    register()
    cases = {"toy RmLR": ("toy/rmlr.yaml", (), (1, 2))} if tiny else INFERENCE
    size = (64, 96) if tiny else (800, 1066)
    for name, (config, options, batches) in cases.items():
        weights = () if config.startswith("photo") else _ANY_WEIGHTS
        cfg = load_config(config, [*weights, *options, "MODEL.DEVICE", device])
        model: Any = build_model(cfg).eval()
        for batch in batches:
            inputs = random_images(size, batch)
            figures = _fresh(device, _speed, model, inputs, rounds=2 if tiny else 10)
            yield {"name": name, "batch": batch, **figures}


def pairs(device: str, *, tiny: bool) -> Iterator[Row]:
    """DEFR-Det ViT-B/16 on one image, 672 x 672 for the encoder, over the number of pairs.

    Tiny: one block, 224 x 224, and the toy world's detector.

    Yields:
        `precision`, `pairs`, `ms` of the whole image, `encoder_ms` of encoder and
        classifier alone, `peak_memory_mb`.
    """
    register()
    model: Any = build_model(_pairs_config(device, tiny=tiny)).eval()
    generator = model.pair_generator
    for precision in ("float32", "bfloat16")[: 1 if tiny else None]:
        for each in (1, 2) if tiny else (1, 2, 4, 8, 15):
            generator.min_instances = generator.max_instances = each
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
                figures = _fresh(device, _pairs_row, model, tiny=tiny)
            yield {"precision": precision, "pairs": each * (2 * each - 1), **figures}


def _pairs_config(device: str, *, tiny: bool) -> CfgNode:
    name = "vit_base_patch16_clip_quickgelu_224"  # no tag: random weights
    options = ["MODEL.DEVICE", device, "MODEL.IMAGE_ENCODER.NAME", name, "MODEL.WEIGHTS", ""]
    options += ["MODEL.CLASSIFIER.INIT", "random", "MODEL.HOI.VOCABULARY", "hico_det"]
    cfg = load_config("DEFR-Det/ViT-B-16.yaml", [*_ANY_WEIGHTS, *options])
    if tiny:
        cfg.merge_from_other_cfg(
            CfgNode({"MODEL": {"DETR": load_config("toy/rmlr.yaml").MODEL.DETR}})
        )
        cfg.MODEL.IMAGE_ENCODER.OPTIONS.depth = 1
        cfg.MODEL.IMAGE_ENCODER.IMAGE_SIZE = 224
    return cfg


def _pairs_row(model: Any, *, tiny: bool) -> Row:
    inputs = random_images((64, 96) if tiny else (800, 1066), 1)
    watch = Stopwatch()
    owners = [(model.image_encoder, m, "encoder") for m in ("tokens_before_last", "attend")]
    owners.append((model.classifier, "forward", "encoder"))
    with torch.no_grad(), most_pairs(model):
        for _ in range(2 if tiny else 12):
            with watch.methods(owners), watch.round("rest"):
                model(inputs)
    del watch.rounds[: 1 if tiny else 2]
    seconds = watch.seconds()[CLOCK]
    return {"ms": 1000 * sum(seconds.values()), "encoder_ms": 1000 * seconds["encoder"]}


@torch.no_grad()
def _speed(model: Any, inputs: list[dict[str, Any]], *, rounds: int) -> Row:
    """Images per second from the images in the CPU's memory to the interactions there."""
    seconds = []
    with most_pairs(model):
        for _ in range(rounds + 2):
            start = time.perf_counter()
            for result in model(inputs):
                result["hoi_instances"].to("cpu")
            seconds.append(time.perf_counter() - start)
    return {"images_per_second": len(inputs) / statistics.median(seconds[2:])}


def _fresh(device: str, measure: Callable[..., Row], *args: Any, **options: Any) -> Row:
    """The figures, or the `error`, and the `peak_memory_mb` of this measurement alone."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        figures = measure(*args, **options)
    except Exception as error:  # out of memory, or a compiler that is missing: go on
        return {"error": f"{type(error).__name__}: {error}"[:300], "ok": False}
    return {**figures, "peak_memory_mb": round(peak_memory_mb())}
