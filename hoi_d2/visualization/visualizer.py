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
"""Minimum score of the interactions that are drawn, where none is given."""
NOTHING_FOUND = "no interaction found (minimum score {:.2f})"


class HOIVisualizer:
    """Draws human-object interactions on one image.

    People have a solid box in a colour of their own, objects a dashed box in the colours of those
    who use them; a line goes from the one to the other. The verbs of a pair share one label. Labels
    keep off faces, small objects and one another; those that find no room are numbered and listed
    below the image. Results are `HOIImage`s (detectron2's VisImage interface).

    Args:
        image: (H, W, 3) RGB, uint8 or 0..255; (H, W) grey is accepted.
        metadata: unused; detectron2's Visualizer has it in this place.
        scale: canvas size / image size. None: 1, but images below 480 pixels are enlarged by a
            whole number so that text on them can be read.
        legend: False keeps the size of the image (video): a number in the corner says how many
            labels found no room.
        merge_iou: see `build_scene`.
        font: a font file for the class names; None = DejaVu Sans, or for letters that it lacks a
            font of this machine that has them. Letters that no font has are warned of.
        note: a line below the image, if there is a legend.

    Raises:
        ValueError: the image is not an image.
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
        """A model's output; an image without interactions says so below it.

        Args:
            hoi_instances: Instances with the fields of a result, on this image's size.
            vocabulary: of the model.
            score_threshold: triplets below are left out.
            top_k: at most that many triplets, best first; None = all.
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
        """The annotations of a dataset dict; entities without interaction get a thin grey box, and
        image-level labels (HICO, MPII) are listed below the image, ambiguous ones in grey.

        Raises:
            ValueError: an index or box is wrong; names the image and the entry.
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
            hoi_scores: (C,) of each HOI class.
            vocabulary: its C HOI classes.
            score_threshold: classes below are left out.
            top_k: at most that many, None = all.
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
        """Any list of interactions; those with a state are coloured by it, not by person."""
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
