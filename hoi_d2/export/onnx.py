"""RmLR as ONNX: a graph for the detector, a graph for the head, and what lies between as JSON.

Between the two graphs entities are chosen and paired, which is a few lines of arrays; `runner.py`
has them, and is copied beside the graphs.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from hoi_d2.engine.predictor import HOIPredictor
from hoi_d2.modeling.entity_detector.build import Entities
from hoi_d2.modeling.entity_detector.detr import DetrEntityDetector
from hoi_d2.modeling.meta_arch.rmlr import RmLR
from hoi_d2.modeling.roi_heads.pair_generator import CandidatePairs

OPSET = 17
# Faster ways that torch alone has; onnxruntime folds and arranges for itself.
PLAIN = ("MODEL.DETR.ONEDNN", "MODEL.DETR.FOLD_BATCHNORM", "MODEL.DETR.CHANNELS_LAST")
DETECTOR_INPUTS, HEAD_INPUTS = (
    ("image", "mask"),
    (
        "feature_map",
        "feature_mask",
        "human_boxes",
        "object_boxes",
        "human_tokens",
        "object_tokens",
    ),
)
DETECTOR_OUTPUTS = ("boxes", "scores", "classes", "tokens", "feature_map", "feature_mask")


def exportable(config: str, options: Sequence[Any] = ()) -> HOIPredictor:
    """A model as `export_rmlr` takes it: on the CPU, without what no graph can hold."""
    plain = [value for name in PLAIN for value in (name, False)]
    return HOIPredictor.from_config(config, [*options, *plain, "MODEL.DEVICE", "cpu"])


class DetectorGraph(nn.Module):
    """A normalised picture -> every query's box, score, class and token, and the feature map."""

    def __init__(self, detector: DetrEntityDetector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """
        Args:
            image: (1, 3, H, W), normalised; 0 where there is padding.
            mask: (1, H, W) bool, True inside the picture.

        Returns:
            (Q, 4) XYXY as shares of the picture, (Q,), (Q,), (Q, d), (1, C, h, w), (1, h, w).
        """
        output = self.detector.network(image, mask)
        [(boxes, scores, classes)] = self.detector.detections(output)
        return boxes, scores, classes, output.tokens[0], output.feature_map, output.feature_mask


class HeadGraph(nn.Module):
    """A feature map and M pairs of one picture -> verb logits (M, K).

    Args:
        model: whose head it is.
        size: (height, width) of the detector's input.
    """

    def __init__(self, model: RmLR, size: tuple[int, int]) -> None:
        super().__init__()
        self.heads, self.size = model.interaction_heads, size

    def forward(
        self,
        feature_map: Tensor,
        feature_mask: Tensor,
        human_boxes: Tensor,
        object_boxes: Tensor,
        human_tokens: Tensor,
        object_tokens: Tensor,
    ) -> Tensor:
        """Shapes: (1, C, h, w), (1, h, w), twice (M, 4) pixels of the input, twice (M, d)."""
        index = torch.zeros_like(human_boxes[:, 0], dtype=torch.int64)
        pairs = CandidatePairs(
            instances=[Instances(self.size, pred_boxes=Boxes(human_boxes))],
            pair_indices=[],
            counts=[human_boxes.shape[0]],
            image_index=index,
            human_boxes=human_boxes,
            object_boxes=object_boxes,
            human_tokens=human_tokens,
            object_tokens=object_tokens,
            human_scores=index,
            object_scores=index,
            object_classes=index,
        )
        return self.heads(Entities([], feature_map, feature_mask), pairs).verb_logits


def export_rmlr(predictor: HOIPredictor, folder: Path, *, size: tuple[int, int]) -> dict[str, Path]:
    """Writes detector.onnx, head.onnx, model.json and run_hoi.py.

    Args:
        predictor: of `exportable`, an RmLR over DETR or Conditional DETR.
        folder: is made.
        size: (height, width) of the detector's input; pictures are scaled to fit in, and padded.

    Returns:
        Name -> file.

    Raises:
        ValueError: another model, or a size that the stride does not divide.
    """
    model = predictor.model
    if not isinstance(model, RmLR) or type(model.entity_detector) is not DetrEntityDetector:
        what = predictor.cfg.MODEL.META_ARCHITECTURE, predictor.cfg.MODEL.ENTITY_DETECTOR.NAME
        raise ValueError(f"export knows RmLR over DetrEntityDetector, this is {what}")
    stride = model.entity_detector.output_shape().stride
    if any(side % stride or side <= 0 for side in size):
        raise ValueError(f"height and width must be multiples of {stride}, got {size}")
    folder.mkdir(parents=True, exist_ok=True)
    files = {n: folder / n for n in ("detector.onnx", "head.onnx", "model.json", "run_hoi.py")}
    image, mask = example_input(size)
    detector = DetectorGraph(model.entity_detector).eval()
    _export(detector, (image, mask), files["detector.onnx"], DETECTOR_INPUTS, DETECTOR_OUTPUTS)
    pairs = example_pairs(model, size, number=3)
    axes = {name: {0: "pairs"} for name in (*HEAD_INPUTS[2:], "verb_logits")}
    head = HeadGraph(model, size).eval()
    _export(head, pairs, files["head.onnx"], HEAD_INPUTS, ("verb_logits",), dynamic_axes=axes)
    files["model.json"].write_text(json.dumps(settings(predictor, size)))
    shutil.copy(Path(__file__).with_name("runner.py"), files["run_hoi.py"])
    return files


def settings(predictor: HOIPredictor, size: tuple[int, int]) -> dict[str, Any]:
    """What the runner has to know beside the graphs."""
    model, generator = predictor.model, predictor.model.pair_generator
    return {
        "size": list(size),
        "pixel_mean": model.entity_detector.pixel_mean.flatten().tolist(),
        "pixel_std": model.entity_detector.pixel_std.flatten().tolist(),
        "nms_threshold": generator.nms_threshold,
        "pair_score_threshold": generator.score_threshold,
        "min_instances": generator.min_instances,
        "max_instances": generator.max_instances,
        "prior_exponent": model.prior_exponents[1],
        "score_threshold": model.score_threshold,
        "max_detections": model.max_detections,
        "vocabulary": predictor.vocabulary.as_dict(),
    }


def example_input(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A picture with padding, so that the graph holds what padding needs."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, *size, generator=generator)
    mask = torch.ones(1, *size, dtype=torch.bool)
    mask[:, size[0] * 3 // 4 :] = False
    return image * mask[:, None], mask


@torch.no_grad()
def example_pairs(model: RmLR, size: tuple[int, int], *, number: int) -> tuple[Tensor, ...]:
    """Inputs of `HeadGraph` with so many pairs."""
    detector = DetectorGraph(cast(DetrEntityDetector, model.entity_detector))
    *_, tokens, feature_map, feature_mask = detector(*example_input(size))
    generator = torch.Generator().manual_seed(number)
    rows = torch.randint(len(tokens), (2, number), generator=generator)
    corners = torch.rand(2, number, 2, 2, generator=generator).sort(dim=2).values
    scale = torch.tensor([size[1], size[0] * 3 // 4], dtype=torch.float32)
    human, target = (corners * scale).flatten(2)
    return feature_map, feature_mask, human, target, tokens[rows[0]], tokens[rows[1]]


@torch.no_grad()
def check_export(
    predictor: HOIPredictor, folder: Path, *, size: tuple[int, int], pairs: Sequence[int] = (1, 40)
) -> dict[str, float]:
    """The largest difference between onnxruntime's numbers and torch's.

    Args:
        predictor, size: as exported.
        folder: of the files.
        pairs: how many the head is given.

    Returns:
        Output of the detector, or "verb_logits of M pairs" -> difference.

    Raises:
        ImportError: onnxruntime is not installed; says how to get it.
    """
    try:
        from hoi_d2.export.runner import ExportedRmLR
    except ImportError as error:
        message = "the check needs the extra [export]: pip install 'hoi-d2[export]'"
        raise ImportError(f"{message} ({error})") from error
    exported, found = ExportedRmLR(folder), {}
    inputs = example_input(size)
    expected = DetectorGraph(predictor.model.entity_detector)(*inputs)
    given = exported.detector.run(None, {n: x.numpy() for n, x in zip(DETECTOR_INPUTS, inputs)})
    for name, a, b in zip(DETECTOR_OUTPUTS, expected, given):
        found[name] = float((a.double() - torch.from_numpy(b).double()).abs().max())
    for number in pairs:
        of_pairs = example_pairs(predictor.model, size, number=number)
        a = HeadGraph(predictor.model, size)(*of_pairs)
        wanted = {i.name for i in exported.head.get_inputs()}
        named = {n: x.numpy() for n, x in zip(HEAD_INPUTS, of_pairs) if n in wanted}
        [b] = exported.head.run(None, named)
        found[f"verb_logits of {number} pairs"] = float((a - torch.from_numpy(b)).abs().max())
    return found


def _export(
    graph: nn.Module,
    inputs: tuple[Tensor, ...],
    path: Path,
    input_names: tuple[str, ...],
    output_names: tuple[str, ...],
    **options: Any,
) -> None:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # every shape that is fixed on purpose is warned of
        torch.onnx.export(
            graph,
            inputs,
            str(path),
            input_names=list(input_names),
            output_names=list(output_names),
            opset_version=OPSET,
            dynamo=False,  # the other exporter needs the package onnxscript
            **options,
        )
