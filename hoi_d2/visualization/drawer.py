"""`InteractionDrawer`: draws interactions on one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.utils.user_errors import UserError
from hoi_d2.visualization.canvas import GREY, HOIImage
from hoi_d2.visualization.painter import PERSON_COLORS, ScenePainter, paint_list
from hoi_d2.visualization.scene import DRAW_THRESHOLD, Interaction, build_scene, hoi_text
from hoi_d2.visualization.sources import (
    image_label_texts,
    interactions_from_instances,
    interactions_from_record,
)

_SMALL_IMAGE = 480
NOTHING_FOUND = "no interaction found (minimum score {:.2f})"


class VocabularyError(UserError, ValueError):
    """The class names of the interactions are not known, or are those of other classes."""


class InteractionDrawer:
    """Draws human-object interactions on one image.

    Each person has a solid box in its own colour; an object has a dashed box in the colours of the
    persons who interact with it, and a line connects them. The verbs of a pair share one label.
    Labels avoid faces, small objects and other labels; labels without space are numbered and listed
    below the image. The methods of one drawer draw on top of each other.

    `HOIVisualizer` does the same as detectron2's `Visualizer`, whose import and figure take longer.

    Args:
        image: (H, W, 3) RGB, uint8 or 0..255; (H, W) grey is accepted.
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

    Examples:
        >>> InteractionDrawer(image).draw_interactions(found, vocabulary).save("drawn.png")
    """

    def __init__(
        self,
        image: np.ndarray,
        *,
        scale: float | None = None,
        legend: bool = True,
        merge_iou: float = 0.6,
        font: str | None = None,
        note: str = "",
    ) -> None:
        self.image = as_rgb(image)
        self.scale = scale or max(1, -(-_SMALL_IMAGE // max(self.image.shape[:2])))
        self.legend = legend
        self.merge_iou = merge_iou
        self.font = font
        self.note = note
        self._drawn: HOIImage | None = None

    def draw_hoi_instances(
        self,
        hoi_instances: Any,
        vocabulary: Vocabulary | None = None,
        *,
        score_threshold: float = DRAW_THRESHOLD,
        top_k: int | None = 20,
    ) -> HOIImage:
        """Draws a model's output; an image without interactions says so below it.

        Args:
            hoi_instances: Instances with the fields of a result, for the size of this image.
            vocabulary: vocabulary of the model; None = the drawer's own.
            score_threshold: minimum score.
            top_k: maximum number of triplets, best first; None = all.

        Raises:
            VocabularyError: the interactions are of other classes.
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

    def draw_dataset_dict(
        self, dic: Mapping[str, Any], vocabulary: Vocabulary | None = None
    ) -> HOIImage:
        """Draws the annotations of a dataset dict.

        Entities without interaction get a thin grey box. Image-level labels (HICO, MPII) are listed
        below the image, ambiguous ones in grey.

        Args:
            dic: with `hoi_annotations` or `image_labels`.
            vocabulary: of the data set.

        Raises:
            ValueError: an index or box is wrong; the message names the image and the entry.
            VocabularyError: the annotations are of other classes.
        """
        vocabulary = self._vocabulary(vocabulary)
        interactions, others = interactions_from_record(dic)
        output = self.draw_interactions(interactions, vocabulary, other_boxes=others)
        texts = image_label_texts(dic.get("image_labels", ()), vocabulary)
        rows = [(text, PERSON_COLORS[0] if certain else GREY) for text, certain in texts]
        paint_list(output, rows, font=self.font)
        return output

    def draw_hoi_scores(
        self,
        hoi_scores: Sequence[float],
        vocabulary: Vocabulary | None = None,
        *,
        score_threshold: float = DRAW_THRESHOLD,
        top_k: int | None = 10,
    ) -> HOIImage:
        """Lists the scores of a recognition model below the image, best first.

        Args:
            hoi_scores: (C,) score of each HOI class.
            vocabulary: its C HOI classes; None = the drawer's own.
            score_threshold: minimum score.
            top_k: maximum number; None = all.
        """
        vocabulary = self._vocabulary(vocabulary)
        scores = np.asarray(hoi_scores, dtype=np.float64)
        best = np.argsort(-scores, kind="stable")
        best = best[scores[best] >= score_threshold][:top_k]
        output = self._canvas()
        rows = [(f"{hoi_text(vocabulary, c)} {scores[c]:.2f}", PERSON_COLORS[0]) for c in best]
        paint_list(output, rows, font=self.font)
        return output

    def draw_interactions(
        self,
        interactions: Sequence[Interaction],
        vocabulary: Vocabulary | None = None,
        *,
        other_boxes: Sequence[tuple[np.ndarray, int]] = (),
    ) -> HOIImage:
        """Draws a list of interactions; those with a state are coloured by it, not by person."""
        vocabulary = self._vocabulary(vocabulary)
        _check_verbs(interactions, vocabulary)
        scene = build_scene(
            interactions, vocabulary, merge_iou=self.merge_iou, other_boxes=other_boxes
        )
        output = self._canvas()
        ScenePainter(output, scene, vocabulary, legend=self.legend, font=self.font).paint()
        return output

    def _vocabulary(self, vocabulary: Vocabulary | None) -> Vocabulary:
        """The vocabulary to draw with."""
        if vocabulary is None:
            raise VocabularyError("no vocabulary was given, which names verbs and objects")
        return vocabulary

    def _canvas(self) -> HOIImage:
        """What was drawn so far, to draw on."""
        if self._drawn is None:
            self._drawn = HOIImage(self.image, self.scale)
        return self._drawn


def _check_verbs(interactions: Sequence[Interaction], vocabulary: Vocabulary) -> None:
    highest = max((item.verb for item in interactions), default=0)
    if highest >= len(vocabulary.verbs):
        raise VocabularyError(
            f"verb {highest} is not in the vocabulary {vocabulary.name!r}, which has "
            f"{len(vocabulary.verbs)}: draw with the vocabulary of the model"
        )


def as_rgb(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) RGB uint8.

    Raises:
        ValueError: the array does not have the shape of an image.
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"an image must be (H, W, 3) RGB or (H, W) grey, got {image.shape}")
    return image if image.dtype == np.uint8 else image.clip(0, 255).astype(np.uint8)
