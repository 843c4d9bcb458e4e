"""Exports a model as a folder of ONNX graphs, settings and a runner.

`runner.py` does the steps between the graphs (resizing images, selecting and pairing entities) on
arrays. It is copied into the folder of the graphs. It is one long file on purpose, so that
users can copy it into their own programs.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from hoi_d2.checkpoint.model_source import model_config, title_of
from hoi_d2.data import decoding
from hoi_d2.export import resizing
from hoi_d2.export.defr_det import defr_det_graphs, defr_det_settings
from hoi_d2.export.detector import DETECTORS, detector_settings
from hoi_d2.export.graph import Graph
from hoi_d2.export.layout import layout_graphs, layout_settings
from hoi_d2.export.rmlr import rmlr_graphs, rmlr_settings
from hoi_d2.inference.predictor import HOIPredictor
from hoi_d2.registration import register

RUNNER = "run_hoi.py"
DECODING = "image_decoding.py"
RESIZING = "image_resizing.py"
_STRIDE = 32  # stride of ResNet-50 and -101; a multiple of NanoDet's 16
# Speed keys and caches that ONNX cannot represent; onnxruntime has its own optimisations.
PLAIN: dict[str, Any] = {
    "MODEL.DEVICE": "cpu",
    "MODEL.ONEDNN_LINEAR": False,
    "MODEL.DETR.FOLD_BATCHNORM": False,
    "MODEL.DETR.CHANNELS_LAST": False,
    "MODEL.DETR.COMPILE": False,
    "MODEL.DETR.PRECISION": "float32",
    "MODEL.IMAGE_ENCODER.PRECISION": "float32",
    "MODEL.ENTITY_DETECTOR.CACHE": "",
    "MODEL.ENTITY_DETECTOR.NANODET.SQUARE": True,  # a graph has one size
}


@dataclass(frozen=True)
class Kind:
    """The export of models of one meta-architecture.

    Args:
        graphs: (model, (height, width) of the detector's input) -> graphs.
        settings: model -> settings of the head that the runner needs.
        runs_as: the kind of model that the runner takes it for.
    """

    graphs: Callable[[Any, tuple[int, int]], list[Graph]]
    settings: Callable[[Any], dict[str, Any]]
    runs_as: str


KINDS = {
    "RmLR": Kind(rmlr_graphs, rmlr_settings, "RmLR"),
    "DEFR-Det": Kind(defr_det_graphs, defr_det_settings, "DEFR-Det"),
    "CLIPPairs": Kind(defr_det_graphs, defr_det_settings, "DEFR-Det"),
    "LayoutRmLR": Kind(layout_graphs, layout_settings, "LayoutRmLR"),
}


def exportable(model: str, options: Sequence[Any] = ()) -> HOIPredictor:
    """Builds a model for `export_model`: on the CPU, without parts that ONNX cannot represent.

    Args:
        model: named as for `HOIPredictor`.
        options: KEY, VALUE, ... overrides of its config.

    Raises:
        ValueError: the model cannot be exported; the message says which can.
    """
    plain = [value for item in PLAIN.items() for value in item]
    register()
    cfg = model_config(model, [*options, *plain])
    check_config(cfg)  # before weights and detections are read
    return HOIPredictor(cfg, name=title_of(model))


def check_config(cfg: CfgNode) -> None:
    """Raises ValueError if a config's model cannot be exported; the message says what can be."""
    kind, detector = cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.ENTITY_DETECTOR.NAME
    if kind not in KINDS:
        raise ValueError(
            f"MODEL.META_ARCHITECTURE {kind} cannot be exported; {', '.join(KINDS)} can"
        )
    if detector not in DETECTORS:
        raise ValueError(
            f"MODEL.ENTITY_DETECTOR.NAME {detector} cannot be exported. The entity detector must "
            f"be a DETR, a Conditional DETR or NanoDet: set it to {' or '.join(DETECTORS)}, and "
            "let MODEL.ENTITY_DETECTOR.WEIGHTS name its weights"
        )
    if kind == "RmLR" and cfg.MODEL.RMLR.HEADS != "InteractionHeads":
        raise ValueError(
            f"MODEL.RMLR.HEADS {cfg.MODEL.RMLR.HEADS} cannot be exported; InteractionHeads can"
        )
    if KINDS[kind].runs_as == "DEFR-Det" and cfg.MODEL.DEFR_DET.MASKED_BLOCKS != 1:
        raise ValueError(
            f"MODEL.DEFR_DET.MASKED_BLOCKS {cfg.MODEL.DEFR_DET.MASKED_BLOCKS} cannot be exported: "
            "only with 1, the paper's, do all pairs share the tokens of their image"
        )


def default_size(cfg: CfgNode) -> tuple[int, int]:
    """Returns (height, width) for 3 : 2 images at the test size of `cfg.INPUT`.

    If the config does not resize images (the toy world), it is the size of the largest toy images,
    192 x 224. NanoDet has a fixed size.
    """
    if cfg.MODEL.ENTITY_DETECTOR.NAME == "NanoDetEntityDetector":
        return (cfg.MODEL.ENTITY_DETECTOR.NANODET.SIZE,) * 2
    shorter, longer = cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST
    if not shorter:
        return 256, 256
    sides = shorter, min(longer, round(1.5 * shorter))
    height, width = (math.ceil(side / _STRIDE) * _STRIDE for side in sides)
    return height, width


def export_model(predictor: HOIPredictor, folder: Path, *, size: tuple[int, int]) -> list[Path]:
    """Writes the graphs, model.json, run_hoi.py and the two files that it needs.

    Args:
        predictor: a predictor from `exportable`.
        folder: the output folder; it is created.
        size: (height, width) of the detector's input; images are padded to it, and reduced first
            if they do not fit.

    Returns:
        The files.

    Raises:
        ValueError: the model cannot be exported, or the size is not divisible by the stride.
    """
    graphs = graphs_of(predictor, size=size)
    folder.mkdir(parents=True, exist_ok=True)
    files = [graph.write(folder) for graph in graphs]
    (folder / "model.json").write_text(json.dumps(settings(predictor, size)))
    shutil.copyfile(Path(__file__).with_name("runner.py"), folder / RUNNER)
    shutil.copyfile(decoding.__file__, folder / DECODING)
    shutil.copyfile(resizing.__file__, folder / RESIZING)
    return [*files, folder / "model.json", *(folder / n for n in (RUNNER, DECODING, RESIZING))]


def graphs_of(predictor: HOIPredictor, *, size: tuple[int, int]) -> list[Graph]:
    """Returns the graphs of a model.

    Raises:
        ValueError: see `export_model`.
    """
    check_config(predictor.cfg)
    return KINDS[predictor.cfg.MODEL.META_ARCHITECTURE].graphs(predictor.model, size)


def check_export(
    predictor: HOIPredictor,
    folder: Path,
    *,
    size: tuple[int, int],
    pairs: tuple[int, ...] = (1, 40),
) -> dict[str, float]:
    """Compares onnxruntime and torch for each output of each graph.

    Args:
        predictor, folder, size: as given to `export_model`.
        pairs: numbers of pairs for the head.

    Returns:
        Name of the output -> largest difference, see `Graph.differences`.

    Raises:
        ImportError: onnxruntime is not installed.
    """
    found: dict[str, float] = {}
    for graph in graphs_of(predictor, size=size):
        found |= graph.differences(folder, pairs=pairs)
    return found


def settings(predictor: HOIPredictor, size: tuple[int, int]) -> dict[str, Any]:
    """Returns the settings that the runner needs in addition to the graphs."""
    cfg, model = predictor.cfg, predictor.model
    generator = model.pair_generator
    return {
        "kind": KINDS[cfg.MODEL.META_ARCHITECTURE].runs_as,
        "size": list(size),
        "shorter_side": cfg.INPUT.MIN_SIZE_TEST,
        "longer_side": cfg.INPUT.MAX_SIZE_TEST,
        **detector_settings(model.entity_detector),
        "nms_threshold": generator.nms_threshold,
        "pair_score_threshold": generator.score_threshold,
        "min_instances": generator.min_instances,
        "max_instances": generator.max_instances,
        "max_pairs": generator.max_pairs,
        "score_threshold": model.score_threshold,
        "max_detections": model.max_detections,
        "one_object": getattr(model, "one_object", False),
        **KINDS[cfg.MODEL.META_ARCHITECTURE].settings(model),
        "vocabulary": predictor.vocabulary.as_dict(),
    }
