"""The result of one image: triplets in words, JSON, rows of a result file, a drawing."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from detectron2.structures import Instances

from hoi_d2.data.vocabulary import NO_INTERACTION, Vocabulary
from hoi_d2.evaluation.results import HOIResults
from hoi_d2.visualization import HOIImage, HOIVisualizer
from hoi_d2.visualization.visualizer import DRAW_THRESHOLD


@dataclass(frozen=True)
class Triplet:
    """One interaction.

    Attributes:
        human_box: XYXY pixels of the image.
        verb: its name.
        object: name of the object; None = no object.
        object_box: XYXY pixels; None = no object.
        score: 0..1.
        person_id: number of the person over the frames of a video; None = nobody is followed.
    """

    human_box: tuple[float, ...]
    verb: str
    object: str | None
    object_box: tuple[float, ...] | None
    score: float
    person_id: int | None = None

    def __str__(self) -> str:
        words = f"{self.verb} {self.object or ''}".replace("_", " ").strip()
        return f"{words} {self.score:.2f}"

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it: boxes with a tenth of a pixel, the score with four digits."""
        boxes = {
            name: None if box is None else [round(v, 1) for v in box]
            for name, box in (("human_box", self.human_box), ("object_box", self.object_box))
        }
        words = {"verb": self.verb, "object": self.object, "score": round(self.score, 4)}
        person = {} if self.person_id is None else {"person_id": self.person_id}
        return words | boxes | person


@dataclass(frozen=True)
class HOIPrediction:
    """The result of one image.

    Attributes:
        image: (H, W, 3) RGB.
        instances: the entities.
        hoi_instances: the interactions, best first.
        vocabulary: of the model.
        note: what a user has to know of the model; drawn below the image.
    """

    image: np.ndarray
    instances: Instances
    hoi_instances: Instances
    vocabulary: Vocabulary
    note: str = ""

    @property
    def triplets(self) -> list[Triplet]:
        """The interactions in words, best first."""
        found, words = self.hoi_instances, self.vocabulary
        followed = found.person_ids.tolist() if found.has("person_ids") else []
        people = [i if i >= 0 else None for i in followed] or [None] * len(found)
        rows = zip(
            found.human_boxes.tensor.tolist(),
            found.verb_classes.tolist(),
            found.object_classes.tolist(),
            found.object_boxes.tensor.tolist(),
            found.scores.tolist(),
            people,
        )
        return [
            Triplet(
                tuple(human),
                words.verbs[verb],
                words.objects[obj] if obj >= 0 else None,
                tuple(box) if obj >= 0 else None,
                score,
                person,
            )
            for human, verb, obj, box, score, person in rows
        ]

    def select(
        self,
        *,
        score_threshold: float = 0.0,
        top_k: int | None = None,
        verbs: tuple[str, ...] = (),
    ) -> HOIPrediction:
        """The same image with fewer interactions.

        Args:
            score_threshold: those below go.
            top_k: at most that many; None = all.
            verbs: names of verbs that stay; empty = all but HICO's `no_interaction`.
        """
        found, names = self.hoi_instances, self.vocabulary.verbs
        shown = set(verbs) or set(names) - {NO_INTERACTION}
        keep = found.scores >= score_threshold
        keep &= keep.new_tensor([names[v] in shown for v in found.verb_classes.tolist()])
        rows = keep.nonzero().squeeze(1)[:top_k]
        return replace(self, hoi_instances=found[rows])

    def to_json(self, *, indent: int | None = None) -> str:
        """An object with `width`, `height` and `triplets`; boxes are XYXY pixels."""
        height, width = self.image.shape[:2]
        triplets = [t.as_dict() for t in self.triplets]
        note = {"note": self.note} if self.note else {}
        content = {"width": width, "height": height, **note, "triplets": triplets}
        return json.dumps(content, indent=indent)

    def results(self, image_id: int = 0) -> HOIResults:
        """The rows of a result file."""
        return HOIResults.from_hoi_instances(image_id, self.hoi_instances)

    def draw(
        self,
        *,
        score_threshold: float = DRAW_THRESHOLD,
        top_k: int | None = 20,
        font: str | None = None,
    ) -> HOIImage:
        """The image with its interactions; `.save(path)` writes it.

        Args:
            score_threshold: interactions below are not drawn.
            top_k: at most that many; None = all.
            font: a font file; None = one of this machine that has the letters of the names.
        """
        shown = self.select(score_threshold=score_threshold, top_k=top_k)
        return HOIVisualizer(self.image, note=self.note, font=font).draw_hoi_instances(
            shown.hoi_instances, self.vocabulary, score_threshold=score_threshold, top_k=None
        )
