#!/usr/bin/env python
"""Finds interactions with an exported model; needs only onnxruntime, numpy and Pillow.

    python run_hoi.py photo.jpg folder [--score-threshold 0.2] > interactions.json

The folder of this file holds image_decoding.py, image_resizing.py, model.json and the graphs:
detector.onnx, head.onnx, and for a DEFR-Det encoder.onnx. Boxes are XYXY in pixels.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

try:  # a copy in the folder of an exported model
    from image_decoding import read_rgb, reason  # type: ignore[import-not-found]
    from image_resizing import stretch, trained_size  # type: ignore[import-not-found]
except ImportError:
    from hoi_d2.data.decoding import read_rgb, reason
    from hoi_d2.export.resizing import stretch, trained_size

Arrays = dict[str, np.ndarray]


class ExportedModel:
    """The graphs of a model and the steps between them.

    Args:
        folder: the folder with model.json and the graphs.
        providers: execution providers of onnxruntime.

    Raises:
        FileNotFoundError: a file is missing in the folder.
    """

    def __init__(self, folder: str | Path, providers: tuple[str, ...] = ("CPUExecutionProvider",)):
        folder, self.providers = Path(folder), list(providers)
        self.settings: dict[str, Any] = json.loads(_needed(folder / "model.json").read_text())
        self.detector = self._session(folder / "detector.onnx")
        self.head = self._session(folder / "head.onnx")
        if self.settings["kind"] == "DEFR-Det":
            self.encoder = self._session(folder / "encoder.onnx")
        words = self.settings["vocabulary"]
        self.verbs, self.objects, self.person = words["verbs"], words["objects"], words["person"]
        self.valid = np.zeros((len(self.objects), len(self.verbs)), dtype=np.float32)
        self.valid[tuple(np.asarray(words["valid"], dtype=np.int64).reshape(-1, 2).T)] = 1

    def _session(self, file: Path) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(str(_needed(file)), providers=self.providers)

    def __call__(self, image: np.ndarray) -> list[dict[str, Any]]:
        """
        Args:
            image: (H, W, 3) uint8 BGR, as OpenCV reads it.

        Returns:
            Interactions, best first: human_box, verb, object, object_box, score; XYXY pixels.
        """
        scaled = self.scale(image[:, :, ::-1])
        fitted = self.fit(scaled)
        found = self.entities(fitted)
        human, target = self.pairs(found["scores"], found["classes"])
        if not len(human):
            return []
        [logits] = self.head.run(
            None, self.head_inputs(scaled, fitted.shape[:2], found, human, target)
        )
        power_human, power_object = self.settings["powers"]
        prior = found["scores"][human] ** power_human * found["scores"][target] ** power_object
        object_classes = found["classes"][target]
        values = self.verb_scores(logits, object_classes)
        values = (values * prior[:, None] * self.valid[object_classes]).astype(np.float32)
        if self.settings.get("one_object"):
            values = values * best_objects(values, human, object_classes)
        size = [image.shape[1], image.shape[0]] * 2
        factor = np.divide(size, [fitted.shape[1], fitted.shape[0]] * 2)
        boxes = (found["boxes"] * factor).clip(0, size)
        return self.interactions(values, boxes, found["classes"], human, target)

    def scale(self, image: np.ndarray) -> np.ndarray:
        """Resizes an image (H, W, 3) uint8 to the size that the model was trained for.

        It is smaller if that size does not fit into the graph.
        """
        old = height, width = image.shape[:2]
        new = trained_size(
            height, width, self.settings["shorter_side"], self.settings["longer_side"]
        )
        if "detector_longer_side" not in self.settings:  # otherwise `fit` resizes the image
            fit = min(1.0, *(room / side for room, side in zip(self.settings["size"], new)))
            new = tuple(max(1, round(side * fit)) for side in new)
        height, width = new
        if (height, width) == old:
            return image
        # Rounded to bytes after each pass, as in Pillow, which resized the training images.
        for side in (width, height):
            stretched = stretch(image, side, curve="bilinear", precision=np.float64)
            image = np.floor(stretched + 0.5).clip(0, 255).astype(np.uint8)
        return image

    def fit(self, scaled: np.ndarray) -> np.ndarray:
        """Resizes an image to the fixed size of the detector, if it has one."""
        longer = self.settings.get("detector_longer_side")
        if longer is None:
            return scaled
        factor = longer / max(scaled.shape[:2])
        height, width = (max(1, round(side * factor)) for side in scaled.shape[:2])
        for side in (width, height):
            scaled = stretch(scaled, side, curve="bilinear", precision=np.float32)
        return scaled

    def entities(self, scaled: np.ndarray) -> Arrays:
        """Runs the detector on `scaled` (h, w, 3).

        Returns `boxes` (XYXY pixels of `scaled`), `scores`, `classes` and more, with one row per
        selected entity.
        """
        image, mask = self.padded(scaled)
        names = [output.name for output in self.detector.get_outputs()]
        found = dict(zip(names, self.detector.run(None, {"image": image, "mask": mask})))
        size = np.asarray([scaled.shape[1], scaled.shape[0]] * 2, dtype=np.float32)
        found["boxes"] = found["boxes"] * size
        rows = self.select(found["boxes"], found["scores"], found["classes"])
        for name in {"boxes", "scores", "classes", "tokens"} & found.keys():
            found[name] = found[name][rows]
        found["boxes"] = found["boxes"].clip(0, size)
        return found

    def padded(self, scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the detector's input (1, 3, H, W) and its mask (1, H, W)."""
        height, width = scaled.shape[:2]
        mean, std = (
            np.asarray(self.settings[name], dtype=np.float32)
            for name in ("pixel_mean", "pixel_std")
        )
        image = np.zeros((1, 3, *self.settings["size"]), dtype=np.float32)
        image[0, :, :height, :width] = ((scaled - mean) / std).transpose(2, 0, 1)
        mask = np.zeros((1, *self.settings["size"]), dtype=bool)
        mask[:, :height, :width] = True
        return image, mask

    def select(self, boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Returns the rows of the selected entities: humans, then objects, by descending score."""
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= self.settings["detector_threshold"]]
        if "detector_nms_threshold" in self.settings:  # the detector's own NMS
            order = suppress(boxes, classes, order, self.settings["detector_nms_threshold"])
            order = order[: self.settings["detector_max"]]
        order = suppress(boxes, classes, order, self.settings["nms_threshold"])
        is_human = classes[order] == self.person
        kept = []
        for rows in (order[is_human], order[~is_human]):
            above = int((scores[rows] >= self.settings["pair_score_threshold"]).sum())
            number = min(max(above, self.settings["min_instances"]), self.settings["max_instances"])
            kept.append(rows[:number])
        return np.concatenate(kept)

    def pairs(self, scores: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs every human with every other entity; the best pairs if there are too many."""
        humans = int((classes == self.person).sum())
        human, target = np.divmod(np.arange(humans * len(classes)), max(len(classes), 1))
        kept, most = np.flatnonzero(human != target), self.settings["max_pairs"]
        if 0 < most < len(kept):
            order = np.argsort(-scores[human[kept]] * scores[target[kept]], kind="stable")
            kept = kept[np.sort(order[:most])]
        return human[kept], target[kept]

    def head_inputs(
        self,
        scaled: np.ndarray,
        size: tuple[int, ...],
        found: Arrays,
        human: np.ndarray,
        target: np.ndarray,
    ) -> Arrays:
        """Returns the inputs of the head for the pairs (`human`, `target`), rows of the entities.

        The boxes are in pixels of an image of (height, width) `size`.
        """
        boxes = found["boxes"]
        if self.settings["kind"] == "DEFR-Det":
            [tokens] = self.encoder.run(None, {"square": self.square(scaled)})
            shares = boxes / np.asarray([size[1], size[0]] * 2, dtype=np.float64)
            grid, mask = self.settings["grid"], self.settings["mask"]
            patches = pair_patches(shares[human], shares[target], grid, mask)
            inputs = {"tokens": tokens, "open_patches": patches}
        elif self.settings["kind"] == "LayoutRmLR":
            inputs = {
                "entity_boxes": boxes,
                "entity_classes": found["classes"],
                "entity_scores": found["scores"],
                "pair_rows": np.stack([human, target], axis=1),
            }
        else:
            inputs = {
                "feature_map": found["feature_map"],
                "feature_mask": found["feature_mask"],
                "image_size": np.asarray(size, dtype=np.int64),
                "human_boxes": boxes[human],
                "object_boxes": boxes[target],
                "human_tokens": found["tokens"][human],
                "object_tokens": found["tokens"][target],
            }
        return {
            i.name: inputs[i.name] for i in self.head.get_inputs()
        }  # a graph may not have all of them

    def square(self, scaled: np.ndarray) -> np.ndarray:
        """Resizes the image to the encoder's square input (1, 3, R, R)."""
        for _ in range(2):
            scaled = stretch(
                scaled,
                self.settings["square"],
                curve=self.settings["resize"],
                precision=np.float32,
            )
        return np.rint(scaled).clip(0, 255).transpose(2, 0, 1)[None].astype(np.float32)

    def verb_scores(self, logits: np.ndarray, object_classes: np.ndarray) -> np.ndarray:
        """Converts the head's logits to (M, K) scores of the verbs with each pair's object.

        This is not in the graph, because onnxruntime's sigmoid saturates at logits of -18, whose
        order still matters.
        """
        logits = logits.astype(np.float64) / self.settings["temperature"]
        if "class_of" in self.settings:  # (M, C) classes with an object each, not yet verbs
            classes = np.asarray(self.settings["class_of"])[object_classes]
            # Own classes compete with the sentence "a person and a horse", which is dropped.
            rest = np.asarray(self.settings["together"])[object_classes, None]
            classes = np.concatenate([classes, rest], axis=1)
            logits = np.take_along_axis(logits, classes.clip(min=0), axis=1)
            logits = np.where(classes < 0, -np.inf, logits)
            if self.settings["score"] == "softmax":
                return softmax(logits)[:, :-1]
            logits = logits[:, :-1]
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-logits))

    def interactions(
        self,
        values: np.ndarray,
        boxes: np.ndarray,
        classes: np.ndarray,
        human: np.ndarray,
        target: np.ndarray,
    ) -> list[dict[str, Any]]:
        """Converts (M, K) `values` to interactions with names, highest score first."""
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


def best_objects(values: np.ndarray, human: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Returns (M, K) bool: the pair has the best object of its class for the person and verb."""
    keys = np.stack([human, classes], axis=1)
    _, group = np.unique(keys, axis=0, return_inverse=True)
    group = group.reshape(-1)  # its shape differs in numpy 2.0
    best = np.zeros((group.max() + 1, values.shape[1]), values.dtype)
    np.maximum.at(best, group, values)
    return values >= best[group]


def suppress(
    boxes: np.ndarray, classes: np.ndarray, order: np.ndarray, threshold: float
) -> np.ndarray:
    """Applies NMS per class to rows `order` (best first); returns the remaining rows."""
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        same = classes[order] == classes[best]
        order = order[~(same & (_iou(boxes[best], boxes[order]) > threshold))]
    return np.asarray(kept, dtype=np.int64)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Computes softmax over the last axis; rows with only minus infinity become 0."""
    highest = logits.max(axis=-1, keepdims=True)
    powers = np.exp(logits - np.where(np.isfinite(highest), highest, 0))
    sums = powers.sum(axis=-1, keepdims=True)
    return np.divide(powers, sums, out=np.zeros_like(powers), where=sums > 0)


def pair_patches(
    human: np.ndarray, target: np.ndarray, grid: tuple[int, int], mask: str
) -> np.ndarray:
    """Returns (M, rows * columns) bool: the patches that each pair's query attends to.

    Boxes are (M, 4), relative to the image. `mask` "human_or_object": patches that overlap either
    box; "union": those that overlap the box around both; "image": all.
    """
    if mask == "image":
        return np.ones((len(human), grid[0] * grid[1]), dtype=bool)
    if mask == "union":
        corners = np.minimum(human, target)[:, :2], np.maximum(human, target)[:, 2:]
        return box_patches(np.concatenate(corners, axis=1), grid)
    return box_patches(human, grid) | box_patches(target, grid)


def box_patches(boxes: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Returns (M, rows * columns) bool: the patches that boxes (M, 4, relative) overlap."""
    rows, columns = grid
    edges = boxes * np.asarray([columns, rows] * 2, dtype=np.float64)
    # A box side on the border of a patch must not add the next patch by a rounding error.
    edges = np.where(np.abs(edges - np.rint(edges)) < 1e-4, np.rint(edges), edges)
    (x1, y1), (x2, y2) = np.floor(edges[:, :2]).T, np.ceil(edges[:, 2:]).T
    row, column = np.arange(rows), np.arange(columns)
    in_rows = (row >= y1[:, None]) & (row < y2[:, None])
    in_columns = (column >= x1[:, None]) & (column < x2[:, None])
    return (in_rows[:, :, None] & in_columns[:, None]).reshape(len(boxes), rows * columns)


def _iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    inner = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    inner = inner.clip(min=0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + areas - inner
    return np.divide(inner, union, out=np.zeros_like(inner), where=union > 0)


def _needed(file: Path) -> Path:
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist; keep all exported files in one folder")
    return file


def read_image(file: str | Path) -> np.ndarray:
    """Reads an image as the predictor does, (H, W, 3) uint8 BGR.

    Raises:
        OSError: the image cannot be read; the message says why.
    """
    try:
        return np.ascontiguousarray(read_rgb(file)[:, :, ::-1])
    except Exception as error:  # decoders raise many kinds of errors on a broken file
        raise OSError(f"{file}: {reason(file, error)}") from error


def images_of(names: list[str]) -> Iterator[str]:
    """Returns the given files and the files in folders, except hidden ones."""
    for name in names:
        if not Path(name).is_dir():
            yield name
            continue
        files = (path for path in sorted(Path(name).iterdir()) if not path.is_dir())
        yield from (str(path) for path in files if not path.name.startswith("."))


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Rounds boxes to a tenth of a pixel and the score to four digits."""
    boxes = {k: [round(v, 1) for v in row[k]] for k in ("human_box", "object_box")}
    return row | boxes | {"score": round(row["score"], 4)}


def main(arguments: list[str]) -> int:
    """Prints the interactions of images as JSON.

    Returns 1 if a file is not an image, 2 if nothing was processed.
    """
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="images or folders")
    parser.add_argument("--score-threshold", type=float, default=0.0, help="lowest score")
    args = parser.parse_args(arguments)
    try:
        model = ExportedModel(Path(__file__).parent)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    found: dict[str, list[dict[str, Any]]] = {}
    bad = 0
    for name in images_of(args.images):
        try:
            rows = model(read_image(name))
        except OSError as error:
            print(f"skipped: {error}", file=sys.stderr)
            bad += 1
        else:
            found[name] = [rounded(r) for r in rows if r["score"] >= args.score_threshold]
    print(json.dumps(found, indent=1))
    return (1 if found else 2) if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
