#!/usr/bin/env python
"""Finds interactions with an exported RmLR; needs onnxruntime, numpy and OpenCV, nothing else.

    python run_hoi.py photo.jpg other.jpg > interactions.json

The folder of this file holds detector.onnx, head.onnx and model.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime


class ExportedRmLR:
    """The two graphs and what lies between them.

    Args:
        folder: with detector.onnx, head.onnx and model.json.
        providers: of onnxruntime.
    """

    def __init__(self, folder: str | Path, providers: tuple[str, ...] = ("CPUExecutionProvider",)):
        folder = Path(folder)
        self.settings: dict[str, Any] = json.loads((folder / "model.json").read_text())
        self.detector, self.head = (
            onnxruntime.InferenceSession(str(folder / name), providers=list(providers))
            for name in ("detector.onnx", "head.onnx")
        )
        words = self.settings["vocabulary"]
        self.verbs, self.objects, self.person = words["verbs"], words["objects"], words["person"]
        self.valid = np.zeros((len(self.objects), len(self.verbs)), dtype=np.float32)
        self.valid[tuple(np.asarray(words["valid"]).T)] = 1

    def __call__(self, picture: np.ndarray) -> list[dict[str, Any]]:
        """
        Args:
            picture: (H, W, 3) uint8 BGR, as OpenCV reads it.

        Returns:
            Interactions, best first: human_box, verb, object, object_box, score; XYXY pixels.
        """
        image, mask, inner = self.prepare(picture)
        found = self.detector.run(None, {"image": image, "mask": mask})
        boxes, scores, classes, tokens, feature_map, feature_mask = found
        boxes = boxes * np.asarray([inner[1], inner[0]] * 2, dtype=np.float32)
        rows = self.select(boxes, scores, classes)
        boxes = boxes[rows].clip(0, [inner[1], inner[0]] * 2).astype(np.float32)
        scores, classes, tokens = scores[rows], classes[rows], tokens[rows]
        human, target = self.pairs(classes)
        if not len(human):
            return []
        inputs = {
            "feature_map": feature_map,
            "feature_mask": feature_mask,
            "human_boxes": boxes[human],
            "object_boxes": boxes[target],
            "human_tokens": tokens[human],
            "object_tokens": tokens[target],
        }
        [logits] = self.head.run(None, {i.name: inputs[i.name] for i in self.head.get_inputs()})
        priors = (scores[human] * scores[target]) ** self.settings["prior_exponent"]
        values = self.valid[classes[target]] * priors[:, None] / (1 + np.exp(-logits))
        scale = np.asarray([picture.shape[1] / inner[1], picture.shape[0] / inner[0]] * 2)
        return self.interactions(values, boxes * scale, classes, human, target)

    def prepare(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
        """The detector's input, its mask, and the (height, width) that the picture has in it."""
        height, width = self.settings["size"]
        factor = min(height / picture.shape[0], width / picture.shape[1])
        inner = max(1, round(picture.shape[0] * factor)), max(1, round(picture.shape[1] * factor))
        if inner != picture.shape[:2]:
            way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
            picture = cv2.resize(picture, inner[::-1], interpolation=way)
        rgb = picture[:, :, ::-1].astype(np.float32)
        rgb = (rgb - self.settings["pixel_mean"]) / self.settings["pixel_std"]
        image = np.zeros((1, 3, height, width), dtype=np.float32)
        image[0, :, : inner[0], : inner[1]] = rgb.transpose(2, 0, 1)
        mask = np.zeros((1, height, width), dtype=bool)
        mask[:, : inner[0], : inner[1]] = True
        return image, mask, inner

    def select(self, boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Rows of the entities that are kept: humans, then objects, each by falling score."""
        order = self._suppress(boxes, scores, classes)
        is_human = classes[order] == self.person
        kept = []
        for rows in (order[is_human], order[~is_human]):
            above = int((scores[rows] >= self.settings["pair_score_threshold"]).sum())
            number = min(max(above, self.settings["min_instances"]), self.settings["max_instances"])
            kept.append(rows[:number])
        return np.concatenate(kept)

    def _suppress(self, boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Class-wise non-maximum suppression; rows by falling score."""
        left, kept = np.argsort(-scores, kind="stable"), []
        while len(left):
            best, left = left[0], left[1:]
            kept.append(best)
            same = classes[left] == classes[best]
            left = left[~(same & (_iou(boxes[best], boxes[left]) > self.settings["nms_threshold"]))]
        return np.asarray(kept, dtype=np.int64)

    def pairs(self, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Every human with every other entity."""
        humans = int((classes == self.person).sum())
        human, target = np.divmod(np.arange(humans * len(classes)), max(len(classes), 1))
        apart = human != target
        return human[apart], target[apart]

    def interactions(
        self,
        values: np.ndarray,
        boxes: np.ndarray,
        classes: np.ndarray,
        human: np.ndarray,
        target: np.ndarray,
    ) -> list[dict[str, Any]]:
        """The rows of (M, K) `values` that count, in words."""
        pair, verb = np.nonzero((values > 0) & (values >= self.settings["score_threshold"]))
        order = np.argsort(-values[pair, verb], kind="stable")
        order = order[: self.settings["max_detections"] or None]
        return [
            {
                "human_box": boxes[human[p]].tolist(),
                "verb": self.verbs[v],
                "object": self.objects[classes[target[p]]],
                "object_box": boxes[target[p]].tolist(),
                "score": float(values[p, v]),
            }
            for p, v in zip(pair[order], verb[order])
        ]


def _iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    inner = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    inner = inner.clip(min=0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + areas - inner
    return np.divide(inner, union, out=np.zeros_like(inner), where=union > 0)


def main(arguments: list[str]) -> int:
    """Prints the interactions of pictures as JSON; 1 where a file is no picture."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    model, found, bad = ExportedRmLR(Path(__file__).parent), {}, 0
    for name in arguments:
        picture = cv2.imread(name)
        if picture is None:
            print(f"skipped: {name} is not there or no picture", file=sys.stderr)
            bad += 1
        else:
            found[name] = model(picture)
    print(json.dumps(found, indent=1))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
