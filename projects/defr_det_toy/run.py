#!/usr/bin/env python
"""What the patch mask of DEFR-Det brings on the toy world, next to RmLR, which has seen boxes.

python projects/defr_det_toy/run.py --output output/defr_det_toy

Each image goes through the detectors and the image encoder once; the masks share that.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import hoi_d2  # first: makes detectron2 importable without its compiled part

# isort: split
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model
from detectron2.structures import Instances
from tabulate import tabulate
from torch import nn
from tqdm import tqdm

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.data.loading.build import build_mapper
from hoi_d2.evaluation.evaluators import HICODetEvaluator
from hoi_d2.inference.predictor import read_config
from hoi_d2.modeling.entity_detector.build import build_entity_detector
from hoi_d2.modeling.entity_detector.interface import EntityDetector
from hoi_d2.modeling.image_encoder.patch_masks import MASKS

METRICS = ("mAP_default_full", "mAP_default_rare", "mAP_default_nonrare")
STORED = ("MODEL.ENTITY_DETECTOR.PRECOMPUTED.FILE", "ground_truth")
# Power of both detection scores, temperature of the logits: those of the config, then others.
SETTINGS = ((0.0, 1.0), (1.0, 1.0), (1.0, 10.0), (2.8, 1.0))
DETECTOR, TRUTH = "detector", "ground truth"


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config-file", default="toy/defr_det.yaml", metavar="F")
    parser.add_argument("--rmlr", default="toy/rmlr.yaml", metavar="F")
    parser.add_argument("--output", type=Path, default=Path("output/defr_det_toy"), metavar="DIR")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--first", type=int, default=0, help="only so many images; 0 = all")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE of the DEFR-Det")
    return parser


def main(arguments: list[str] | None = None) -> int:
    hoi_d2.register()
    args = argument_parser().parse_args(arguments)
    cfg = read_config(args.config_file, args.opts)
    name = first_of(cfg.DATASETS.TEST[0], args.first)
    metrics = evaluate(cfg, args.rmlr, name, batch=args.batch)
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    print(table(metrics))
    return 0


def first_of(name: str, number: int) -> str:
    """A data set of the first so many images of another; 0 = that one itself."""
    if not number:
        return name
    part = f"{name}_first_{number}"
    DatasetCatalog.register(part, lambda: DatasetCatalog.get(name)[:number])
    metadata = MetadataCatalog.get(name).as_dict()
    MetadataCatalog.get(part).set(**{k: v for k, v in metadata.items() if k != "name"})
    return part


def evaluate(cfg: CfgNode, rmlr: str, name: str, *, batch: int) -> dict[str, dict[str, float]]:
    """Metrics of every row on a data set."""
    defr_det = load(cfg)
    detectors = {DETECTOR: defr_det.entity_detector, TRUTH: ground_truth(cfg)}
    two_stage = {
        DETECTOR: load(read_config(rmlr, pretrained=True)),
        TRUTH: load(
            read_config(
                rmlr,
                ["MODEL.ENTITY_DETECTOR.NAME", "OracleEntityDetector", *STORED],
                pretrained=True,
            )
        ),
    }
    evaluators: dict[str, HICODetEvaluator] = {}
    for inputs in batches(cfg, name, batch):
        outputs = {
            **masked(defr_det, detectors, inputs),
            **{row("RmLR", boxes): model(inputs) for boxes, model in two_stage.items()},
        }
        for key, found in outputs.items():
            evaluator = evaluators.setdefault(key, HICODetEvaluator(name, distributed=False))
            evaluator.process(inputs, found)
    return {key: e.evaluate()["hico_det"] for key, e in evaluators.items()}


def load(cfg: CfgNode) -> nn.Module:
    """The model of a config with its weights."""
    model = build_model(on_this_machine(cfg)).eval()
    HOICheckpointer(model).load(cfg.MODEL.WEIGHTS, strict=False)
    return model


def on_this_machine(cfg: CfgNode) -> CfgNode:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
    return cfg


def ground_truth(cfg: CfgNode) -> EntityDetector:
    """The annotated boxes as a detector."""
    cfg = on_this_machine(cfg)
    cfg.merge_from_list(["MODEL.ENTITY_DETECTOR.NAME", "PrecomputedEntityDetector", *STORED])
    return build_entity_detector(cfg)


def batches(cfg: CfgNode, name: str, size: int) -> Iterator[list[dict]]:
    """The images of a data set as a model takes them."""
    mapper, records = build_mapper(cfg, is_train=False), DatasetCatalog.get(name)
    for start in tqdm(range(0, len(records), size), desc=name, unit="batch"):
        yield [mapper(record) for record in records[start : start + size]]


@torch.no_grad()
def masked(
    model: nn.Module, detectors: dict[str, EntityDetector], inputs: list[dict]
) -> dict[str, list[dict[str, Instances]]]:
    """What DEFR-Det gives for each kind of boxes and each mask."""
    tokens = model.image_encoder.tokens_before_last(model.squares(inputs))
    found = {}
    for boxes, detector in detectors.items():
        entities = detector(inputs)
        pairs = model.pair_generator(entities.instances)
        for mask in MASKS:
            model.mask = mask
            features = model.image_encoder.attend(tokens, model.patches(pairs), pairs.image_index)
            logits = model.classifier(features)
            # Annotated boxes have score 1, whatever the power.
            for power, temperature in SETTINGS if boxes == DETECTOR else SETTINGS[:1]:
                model.powers, model.temperature = (power, power), temperature
                scores = model.class_scores(logits, pairs) * model.pair_priors(pairs)
                name = row(f"DEFR-Det, {mask}", boxes, f"{power:g}", f"{temperature:g}")
                found[name] = model.interactions(scores, pairs, inputs)
    return found


def row(model: str, boxes: str, power: str = "", temperature: str = "") -> str:
    return " | ".join((model, boxes, power, temperature))


def table(metrics: dict[str, dict[str, float]]) -> str:
    """Rows as Markdown."""
    rows = [
        [*key.split(" | "), *(f"{m[name]:.2f}" for name in METRICS)] for key, m in metrics.items()
    ]
    return tabulate(
        rows,
        headers=["model", "boxes", "power", "temperature", "full", "rare", "non-rare"],
        tablefmt="github",
    )


if __name__ == "__main__":
    raise SystemExit(main())
