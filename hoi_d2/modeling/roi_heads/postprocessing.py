"""Turns pairs and scores into `instances` and `hoi_instances` of the original image size."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from hoi_d2.modeling.roi_heads.pair_generator import CandidatePairs
from hoi_d2.structures import ImageResults, make_hoi_instances


def hoi_postprocess(
    pairs: CandidatePairs,
    scores: Tensor,
    output_sizes: list[tuple[int, int]],
    *,
    hoi_of: Tensor,
    score_threshold: float,
    max_detections: int,
    one_object: bool = False,
) -> list[ImageResults]:
    """Makes {"instances", "hoi_instances"} of each image, on the CPU.

    On a GPU every step would wait for the device, and there are many small ones in each image.

    Args:
        pairs: the pairs of the batch.
        scores: (M, K) scores of the verbs; entries that are 0 are impossible and dropped.
        output_sizes: (height, width) of each original image, for the boxes.
        hoi_of: (num_objects, K) HOI class of an object and verb, -1 = none.
        score_threshold: the minimum score of an interaction.
        max_detections: the number of interactions to keep per image, the best ones; 0 = all.
        one_object: a person does a thing with one object of a class, the one of the best score.
    """
    results, scores, hoi_of = [], scores.cpu(), hoi_of.cpu()
    for found, index, image_scores, size in zip(
        pairs.instances, pairs.pair_indices, scores.split(pairs.counts), output_sizes
    ):
        instances = _rescale(found, size)
        if one_object:
            image_scores = image_scores * best_objects(image_scores, index, found.pred_classes)
        keep = (image_scores > 0) & (image_scores >= score_threshold)
        row, verb = keep.nonzero(as_tuple=True)
        values = image_scores[row, verb]
        if 0 < max_detections < len(values):
            values, best = values.topk(max_detections)
            row, verb = row[best], verb[best]
        pair = index[row]
        boxes, object_classes = instances.pred_boxes.tensor, instances.pred_classes[pair[:, 1]]
        hoi_instances = make_hoi_instances(
            image_size=size,
            human_boxes=boxes[pair[:, 0]],
            object_boxes=boxes[pair[:, 1]],
            object_classes=object_classes,
            verb_classes=verb,
            hoi_classes=hoi_of[object_classes, verb],
            scores=values,
            pair_indices=pair,
        )
        results.append({"instances": instances, "hoi_instances": hoi_instances})
    return results


def best_objects(scores: Tensor, pairs: Tensor, classes: Tensor) -> Tensor:
    """Which object of a class is the best one for a person and a verb.

    Args:
        scores: (M, K) of the pairs of an image.
        pairs: (M, 2) entity indices, human first.
        classes: (N,) of the entities.

    Returns:
        (M, K) bool; False where another object of the class has a higher score with the same
        person and verb.
    """
    keys = torch.stack([pairs[:, 0], classes[pairs[:, 1]]], dim=1)
    groups, group = keys.unique(dim=0, return_inverse=True)
    best = scores.new_zeros(len(groups), scores.shape[1])
    index = group[:, None].expand_as(scores)
    best = best.scatter_reduce(0, index, scores, reduce="amax")
    return scores >= best[group]


def original_sizes(
    batched_inputs: list[dict[str, Any]], pairs: CandidatePairs
) -> list[tuple[int, int]]:
    """(height, width) of each image before resizing; the input's size if it is not given."""
    return [
        (x.get("height", found.image_size[0]), x.get("width", found.image_size[1]))
        for x, found in zip(batched_inputs, pairs.instances)
    ]


def _rescale(found: Instances, size: tuple[int, int]) -> Instances:
    """Scales entities to another image size; none is dropped, so that pair indices stay valid."""
    height, width = size
    boxes = found.pred_boxes.tensor.float()
    scale = boxes.new_tensor([width / found.image_size[1], height / found.image_size[0]] * 2)
    clipped = torch.minimum((boxes * scale).clamp(min=0), boxes.new_tensor([width, height] * 2))
    return Instances(
        size,
        pred_boxes=Boxes(clipped),
        scores=found.scores,
        pred_classes=found.pred_classes,
    )
