"""The result of one image: interactions in words, as tables and files, and as a drawing."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from detectron2.structures import Instances
from PIL import Image, ImageShow

from hoi_d2.data.vocabulary import NO_INTERACTION, Vocabulary
from hoi_d2.evaluation.results import HOIResults, xyxy_to_xywh
from hoi_d2.utils.files import write_atomically
from hoi_d2.utils.user_errors import UserError
from hoi_d2.visualization import HOIImage, InteractionDrawer
from hoi_d2.visualization.scene import DRAW_THRESHOLD

if TYPE_CHECKING:
    import pandas as pd
    import supervision as sv

CSV_COLUMNS = ("person_id", "verb", "object", "score", "human_box", "object_box", "note")
"""Columns of `HOIPrediction.to_csv`, and with the image's in front of them of the demo's table."""
_SHOWN = 3  # interactions in the one line of an image


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

    @property
    def words(self) -> str:
        """Verb and object for display: "talk on cell phone"."""
        return f"{self.verb} {self.object or ''}".replace("_", " ").strip()

    def __str__(self) -> str:
        return f"{self.words} {self.score:.2f}"

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it: boxes with a tenth of a pixel, the score with four digits."""
        boxes = {
            name: None if box is None else [round(v, 1) for v in box]
            for name, box in (("human_box", self.human_box), ("object_box", self.object_box))
        }
        words = {"verb": self.verb, "object": self.object, "score": round(self.score, 4)}
        person = {} if self.person_id is None else {"person_id": self.person_id}
        return words | boxes | person


@dataclass(frozen=True, eq=False, repr=False)
class HOIPrediction:
    """The result of one image: as long as its interactions, which it iterates over, best first.

    Attributes:
        image: (H, W, 3) RGB.
        instances: the entities.
        hoi_instances: the interactions, best first.
        vocabulary: of the model.
        note: what a user has to know of the model; drawn below the image.
        path: file of the image; "" = it came from no file.

    Examples:
        >>> for interaction in prediction.select(score_threshold=0.3):
        ...     print(interaction.verb, interaction.object, interaction.score)
    """

    image: np.ndarray
    instances: Instances
    hoi_instances: Instances
    vocabulary: Vocabulary
    note: str = ""
    path: str = ""

    def __len__(self) -> int:
        return len(self.hoi_instances)

    def __iter__(self) -> Iterator[Triplet]:
        return iter(self.triplets)

    def __getitem__(self, index: int) -> Triplet:
        return self.triplets[index]

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        name = f"{Path(self.path).name}, " if self.path else ""
        best = [str(t) for t in self.triplets[:_SHOWN]]
        words = f": {', '.join(best)}{', ...' if len(self) > _SHOWN else ''}" if best else ""
        number = f"{len(self)} interaction{'' if len(self) == 1 else 's'}"
        return f"HOIPrediction({name}{width} x {height}, {number}{words})"

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

    def to_csv(self) -> str:
        """A table with `CSV_COLUMNS`, as the demo writes it; boxes are x, y, width, height."""
        text = io.StringIO()
        csv.writer(text).writerows([CSV_COLUMNS, *self.csv_rows()])
        return text.getvalue()

    def csv_rows(self) -> list[tuple[Any, ...]]:
        """The lines of that table without its head."""
        return [
            (
                "" if t.person_id is None else t.person_id,
                t.verb,
                t.object or "",
                f"{t.score:.4f}",
                _xywh(t.human_box),
                _xywh(t.object_box),
                self.note,
            )
            for t in self.triplets
        ]

    def to_df(self) -> pd.DataFrame:
        """A pandas DataFrame (extra `[pandas]`), one row an interaction, see `data_frame`."""
        from hoi_d2.inference.conversions import data_frame

        return data_frame(self)

    def to_supervision(self) -> sv.Detections:
        """Entities and pairs for supervision (extra `[supervision]`), see `detections`."""
        from hoi_d2.inference.conversions import detections

        return detections(self)

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
        return InteractionDrawer(self.image, note=self.note, font=font).draw_hoi_instances(
            shown.hoi_instances, self.vocabulary, score_threshold=score_threshold, top_k=None
        )

    def save(self, path: str | Path, **drawing: Any) -> Path:
        """Writes the drawing, or with `.json` and `.csv` the text of `to_json` and `to_csv`.

        Args:
            path: its suffix decides; folders are made, an existing file is replaced.
            drawing: arguments of `draw`.

        Returns:
            The path.

        Raises:
            ValueError: no such format, or arguments of a drawing for a text.
        """
        path = Path(path)
        texts = {".json": lambda: self.to_json(indent=1) + "\n", ".csv": self.to_csv}
        if path.suffix.lower() not in texts:
            self.draw(**drawing).save(path)
            return path
        if drawing:
            raise ValueError(f"{path} is no drawing: {', '.join(drawing)} go with select()")
        path.parent.mkdir(parents=True, exist_ok=True)
        content = texts[path.suffix.lower()]().encode()
        write_atomically(path, lambda file: file.write(content))
        return path

    def show(self, **drawing: Any) -> None:
        """Shows the drawing: in a notebook below the cell, else in this machine's image viewer.

        Args:
            drawing: arguments of `draw`.

        Raises:
            UserError: there is neither a notebook nor a viewer.
        """
        image = Image.fromarray(self.draw(**drawing).get_image())
        if not ImageShow.show(image, title=Path(self.path).name or None):
            raise UserError('no image viewer on this machine; write a file: .save("drawn.png")')


def _xywh(box: tuple[float, ...] | None) -> str:
    if box is None:
        return ""
    return " ".join(f"{v:.1f}" for v in xyxy_to_xywh(np.asarray([box]))[0])
