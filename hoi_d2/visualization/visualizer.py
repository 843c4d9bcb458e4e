"""`HOIVisualizer`: draws the interactions of one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.visualization.canvas import GREY, HOIImage
from hoi_d2.visualization.painter import PERSON_COLORS, ScenePainter, paint_list
from hoi_d2.visualization.scene import Interaction, build_scene, hoi_text
from hoi_d2.visualization.sources import (
    image_label_texts,
    interactions_from_instances,
    interactions_from_record,
)

_SMALL_IMAGE = 480
DRAW_THRESHOLD = 0.3
"""Default minimum score of the interactions that are drawn."""
NOTHING_FOUND = "no interaction found (minimum score {:.2f})"


class HOIVisualizer:
    """Draws human-object interactions on one image.

    Each person has a solid box in its own colour; an object has a dashed box in the colours of the
    persons who interact with it, and a line connects them. The verbs of a pair share one label.
    Labels avoid faces, small objects and other labels; labels without space are numbered and listed
    below the image. Results are `HOIImage`s (detectron2's VisImage interface).

    Args:
        image: (H, W, 3) RGB, uint8 or 0..255; (H, W) grey is accepted.
        metadata: unused; detectron2's Visualizer has this argument in the same position.
        scale: canvas size / image size. None: 1, but images below 480 pixels are enlarged by an
            integer factor so that text can be read.
        legend: False keeps the size of the image (video): a number in the corner shows how many
            labels had no space.
        merge_iou: see `build_scene`.
        font: font file for class names; None = DejaVu Sans, or an installed font if letters are
            missing in it. A warning names letters that no font has.
        note: a line below the image, if there is a legend.

    Raises:
        ValueError: the array does not have the shape of an image.
    """

    def __init__(
        self,
        image: np.ndarray,
        metadata: Any = None,
        *,
        scale: float | None = None,
        legend: bool = True,
        merge_iou: float = 0.6,
        font: str | None = None,
        note: str = "",
    ) -> None:
        self.image = _as_rgb(image)
        if scale is None:
            scale = max(1, -(-_SMALL_IMAGE // max(self.image.shape[:2])))
        self.scale = scale
        self.legend = legend
        self.merge_iou = merge_iou
        self.font = font
        self.note = note

    def draw_hoi_instances(
        self,
        hoi_instances: Any,
        vocabulary: Vocabulary,
        *,
        score_threshold: float = DRAW_THRESHOLD,
        top_k: int | None = 20,
    ) -> HOIImage:
        """Draws a model's output; an image without interactions says so below it.

        Args:
            hoi_instances: Instances with the fields of a result, for the size of this image.
            vocabulary: vocabulary of the model.
            score_threshold: minimum score.
            top_k: maximum number of triplets, best first; None = all.
        """
        interactions = interactions_from_instances(
            hoi_instances, score_threshold=score_threshold, top_k=top_k
        )
        output = self.draw_interactions(interactions, vocabulary)
        remarks = [] if interactions else [NOTHING_FOUND.format(score_threshold)]
        remarks += [self.note] * bool(self.note)
        if self.legend:
            paint_list(output, [(text, GREY) for text in remarks], font=self.font)
        return output

    def draw_ground_truth(
        self, dataset_dict: Mapping[str, Any], vocabulary: Vocabulary
    ) -> HOIImage:
        """Draws the annotations of a dataset dict.

        Entities without interaction get a thin grey box. Image-level labels (HICO, MPII) are listed
        below the image, ambiguous ones in grey.

        Raises:
            ValueError: an index or box is wrong; the message names the image and the entry.
        """
        interactions, others = interactions_from_record(dataset_dict)
        output = self.draw_interactions(interactions, vocabulary, other_boxes=others)
        texts = image_label_texts(dataset_dict.get("image_labels", ()), vocabulary)
        rows = [(text, PERSON_COLORS[0] if certain else GREY) for text, certain in texts]
        paint_list(output, rows, font=self.font)
        return output

    def draw_hoi_scores(
        self,
        hoi_scores: Sequence[float],
        vocabulary: Vocabulary,
        *,
        score_threshold: float = DRAW_THRESHOLD,
        top_k: int | None = 10,
    ) -> HOIImage:
        """Lists the scores of a recognition model below the image, best first.

        Args:
            hoi_scores: (C,) score of each HOI class.
            vocabulary: its C HOI classes.
            score_threshold: minimum score.
            top_k: maximum number; None = all.
        """
        scores = np.asarray(hoi_scores, dtype=np.float64)
        best = np.argsort(-scores, kind="stable")
        best = best[scores[best] >= score_threshold][:top_k]
        output = HOIImage(self.image, self.scale)
        rows = [(f"{hoi_text(vocabulary, c)} {scores[c]:.2f}", PERSON_COLORS[0]) for c in best]
        paint_list(output, rows, font=self.font)
        return output

    def draw_interactions(
        self,
        interactions: Sequence[Interaction],
        vocabulary: Vocabulary,
        *,
        other_boxes: Sequence[tuple[np.ndarray, int]] = (),
    ) -> HOIImage:
        """Draws a list of interactions; those with a state are coloured by it, not by person."""
        scene = build_scene(
            interactions, vocabulary, merge_iou=self.merge_iou, other_boxes=other_boxes
        )
        output = HOIImage(self.image, self.scale)
        ScenePainter(output, scene, vocabulary, legend=self.legend, font=self.font).paint()
        return output


def _as_rgb(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"an image must be (H, W, 3) RGB or (H, W) grey, got {image.shape}")
    return image if image.dtype == np.uint8 else image.clip(0, 255).astype(np.uint8)
