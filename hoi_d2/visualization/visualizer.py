"""`HOIVisualizer`: detectron2's `Visualizer` that also draws interactions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from detectron2.utils.visualizer import ColorMode, VisImage, Visualizer

from hoi_d2.data.vocabulary import NO_INTERACTION, Vocabulary
from hoi_d2.visualization.canvas import HOIImage
from hoi_d2.visualization.drawer import InteractionDrawer, VocabularyError


class HOIVisualizer(InteractionDrawer, Visualizer):
    """Draws human-object interactions on one image, and everything that detectron2 draws.

    `draw_instance_predictions` and `draw_dataset_dict` draw the interactions of `Instances` and
    dataset dicts that have some, and do what detectron2 does with all others.

    Interactions look as `InteractionDrawer` draws them. Results are `HOIImage`s (detectron2's
    VisImage interface). As in detectron2, the methods of one visualizer draw on top of each other;
    masks have to come first.

    Args:
        img_rgb: (H, W, 3) RGB, uint8 or 0..255; (H, W) grey is accepted.
        metadata: of the data set; its `vocabulary` names the classes of interactions, its
            `thing_classes` those of entities.
        instance_mode: `ColorMode.IMAGE_BW` draws on a grey image; the other two do not differ for
            interactions.
        scale, legend, merge_iou, font, note: of `InteractionDrawer`.

    Raises:
        ValueError: the array does not have the shape of an image.

    Examples:
        >>> visualizer = HOIVisualizer(image[:, :, ::-1], MetadataCatalog.get("hico_det_test"))
        >>> visualizer.draw_instance_predictions(outputs["hoi_instances"]).save("drawn.png")
    """

    output: VisImage | HOIImage

    def __init__(
        self,
        img_rgb: np.ndarray,
        metadata: Any = None,
        scale: float | None = None,
        instance_mode: ColorMode = ColorMode.IMAGE,
        *,
        legend: bool = True,
        merge_iou: float = 0.6,
        font: str | None = None,
        note: str = "",
    ) -> None:
        InteractionDrawer.__init__(
            self, img_rgb, scale=scale, legend=legend, merge_iou=merge_iou, font=font, note=note
        )
        Visualizer.__init__(self, self.image, metadata, self.scale, instance_mode)

    def draw_instance_predictions(self, predictions: Any) -> VisImage | HOIImage:
        """Draws a model's `hoi_instances`, or its `instances` as detectron2 does.

        Args:
            predictions: Instances on any device. Of interactions the 20 best of at least
                `DRAW_THRESHOLD` are drawn, without HICO's `no_interaction`; of entities all.

        Raises:
            VocabularyError: the metadata has no vocabulary, or another one than the model.
        """
        if predictions.has("human_boxes"):
            verbs, vocabulary = predictions.verb_classes, self._vocabulary(None)
            if NO_INTERACTION in vocabulary.verbs:
                predictions = predictions[verbs != vocabulary.verbs.index(NO_INTERACTION)]
            return self.draw_hoi_instances(predictions, vocabulary)
        return Visualizer.draw_instance_predictions(self, predictions.to("cpu"))

    def draw_dataset_dict(
        self, dic: Mapping[str, Any], vocabulary: Vocabulary | None = None
    ) -> VisImage | HOIImage:
        """Draws the annotations of a dataset dict; one without interactions as detectron2 does.

        Args:
            dic: detectron2's, perhaps with `hoi_annotations` or `image_labels`.
            vocabulary: of the data set; None = that of the metadata.

        Raises:
            ValueError: an index or box is wrong; the message names the image and the entry.
            VocabularyError: the metadata has no vocabulary, or another one than the annotations.
        """
        if {"hoi_annotations", "image_labels"} & dic.keys():
            return InteractionDrawer.draw_dataset_dict(self, dic, vocabulary)
        return Visualizer.draw_dataset_dict(self, dic)

    def _vocabulary(self, vocabulary: Vocabulary | None) -> Vocabulary:
        """What was given, else that of the metadata."""
        found = vocabulary or self.metadata.get("vocabulary")
        if found is None:
            name = self.metadata.get("name")
            raise VocabularyError(
                f"the metadata {f'of {name!r} ' if name else ''}has no `vocabulary`, which names "
                "verbs and objects: take that of an HOI data set, "
                'MetadataCatalog.get("hico_det_test"), or set `vocabulary` of your own'
            )
        return found

    def _canvas(self) -> HOIImage:
        """What was drawn so far, to draw interactions on; from now on the output."""
        drawn = self.output
        if isinstance(drawn, HOIImage) and drawn.figure is None:
            return drawn
        if isinstance(drawn, HOIImage) or _has_drawings(drawn):
            self.output = HOIImage.of_canvas(drawn.get_image(), self.scale)
        else:  # enlarges the image itself better than matplotlib does, and in less time
            is_grey = self._instance_mode == ColorMode.IMAGE_BW
            image = self._create_grayscale_image().astype(np.uint8) if is_grey else self.img
            self.output = HOIImage(image, self.scale)
        return self.output


def _has_drawings(image: VisImage) -> bool:
    """Whether detectron2 has drawn anything but the image itself."""
    ax = image.ax
    return len(ax.images) > 1 or bool(ax.patches or ax.lines or ax.texts)
