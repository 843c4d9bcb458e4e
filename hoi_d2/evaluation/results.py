"""The results of HOI detection as columns; `result_files` reads and writes them.

One row is one scored interaction. In memory boxes are XYXY; in files they are XYWH as COCO writes
them. Both are continuous, 0-based, absolute pixels. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.utils.user_errors import UserError

COLUMNS = (
    "image_id",
    "human_box",
    "object_box",
    "object_category_id",
    "verb_id",
    "hoi_id",
    "score",
)
"""Names of the columns in a file, in the order of `HOIResults`' fields."""

NO_OBJECT = -1
NO_HOI = -1


class ResultFormatError(UserError, ValueError):
    """A result file or table cannot be scored; the message names the row and the remedy."""


@dataclass(frozen=True, eq=False)
class HOIResults:
    """R detected interactions.

    Args:
        image_ids: (R,) int64.
        human_boxes: (R, 4) XYXY, continuous 0-based absolute pixels.
        object_boxes: (R, 4), a row of NaN where the interaction has no visible object.
        object_classes: (R,) entity class (COCO order in the built-in datasets), -1 = none.
        verb_classes: (R,).
        hoi_classes: (R,), -1 = the vocabulary has no such class.
        scores: (R,) higher is better.
    """

    image_ids: np.ndarray
    human_boxes: np.ndarray
    object_boxes: np.ndarray
    object_classes: np.ndarray
    verb_classes: np.ndarray
    hoi_classes: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, rows: np.ndarray | slice) -> HOIResults:
        """Returns the rows of a mask, an index array or a slice."""
        return HOIResults(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def empty(cls) -> HOIResults:
        """No rows."""
        return cls.from_columns({name: [] for name in COLUMNS})

    @classmethod
    def concatenate(cls, parts: Sequence[HOIResults]) -> HOIResults:
        """Returns the rows of all parts, in order."""
        if len(parts) < 2:
            return parts[0] if parts else cls.empty()
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    @classmethod
    def from_hoi_instances(cls, image_id: int, hoi_instances: Any) -> HOIResults:
        """Returns the rows of one image's `hoi_instances` (see `hoi_d2.structures`)."""

        def array(value: Any, dtype: type | None = None) -> np.ndarray:
            return np.asarray(getattr(value, "tensor", value).detach().cpu().numpy(), dtype)

        return cls(
            image_ids=np.full(len(hoi_instances), image_id, dtype=np.int64),
            human_boxes=array(hoi_instances.human_boxes),
            object_boxes=array(hoi_instances.object_boxes),
            object_classes=array(hoi_instances.object_classes, np.int32),
            verb_classes=array(hoi_instances.verb_classes, np.int32),
            hoi_classes=array(hoi_instances.hoi_classes, np.int32),
            scores=array(hoi_instances.scores),
        )

    @classmethod
    def from_columns(
        cls, columns: dict[str, Any], *, source: str = "results", first_row: int = 0
    ) -> HOIResults:
        """Results from the columns of a file (boxes XYWH).

        Args:
            columns: the arrays or lists named in `COLUMNS`; others are ignored.
            source: name of the columns in an error.
            first_row: the number of their first row, in an error.

        Raises:
            ResultFormatError: a column is missing, or its shape or type is wrong.
        """
        _check_shapes(columns, source)

        def ids(name: str, dtype: type = np.int32) -> np.ndarray:
            return _integers(columns[name], name, dtype, source, first_row)

        def floats(name: str) -> np.ndarray:
            return _floats(columns[name], name, source)

        return cls(
            image_ids=ids("image_id", np.int64),
            human_boxes=xywh_to_xyxy(floats("human_box").reshape(-1, 4)),
            object_boxes=xywh_to_xyxy(floats("object_box").reshape(-1, 4)),
            object_classes=ids("object_category_id"),
            verb_classes=ids("verb_id"),
            hoi_classes=ids("hoi_id"),
            scores=floats("score"),
        )

    def to_columns(self) -> dict[str, np.ndarray]:
        """The columns of a file; boxes are XYWH in float64, so that reading gives them back."""
        boxes = [xyxy_to_xywh(b.astype(np.float64)) for b in (self.human_boxes, self.object_boxes)]
        ids = [self.object_classes, self.verb_classes, self.hoi_classes]
        return dict(zip(COLUMNS, [self.image_ids, *boxes, *ids, self.scores]))


def xywh_to_xyxy(boxes: np.ndarray) -> np.ndarray:
    """Converts (N, 4) x, y, width, height to corners."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def xyxy_to_xywh(boxes: np.ndarray) -> np.ndarray:
    """Converts (N, 4) corners to x, y, width, height."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def fill_hoi_classes(results: HOIResults, vocabulary: Vocabulary) -> HOIResults:
    """Results whose `hoi_classes` follow from object and verb where they are -1."""
    missing = results.hoi_classes == NO_HOI
    missing &= (results.object_classes >= 0) & (results.verb_classes >= 0)
    if not missing.any() or not len(vocabulary.hois):
        return results
    hois = results.hoi_classes.copy()
    objects, verbs = results.object_classes[missing], results.verb_classes[missing]
    hois[missing] = vocabulary.hoi_of[objects, verbs]
    columns = {f.name: getattr(results, f.name) for f in fields(results)}
    return HOIResults(**{**columns, "hoi_classes": hois})


def _check_shapes(columns: dict[str, Any], source: str) -> None:
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise ResultFormatError(
            f"{source}: no column {', '.join(missing)}; a result file has {', '.join(COLUMNS)}"
        )
    count = len(np.atleast_1d(columns["score"]))
    for name in COLUMNS:
        shape = np.shape(columns[name])
        expected = (count, 4) if name.endswith("_box") else (count,)
        if shape != expected and not (count == 0 and shape[:1] == (0,)):
            raise ResultFormatError(
                f"{source}: column {name} has shape {shape}, expected {expected} "
                f"(as many rows as score)"
            )


def _floats(values: Any, name: str, source: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "iuf" and array.size:  # text and truth values would be converted
        raise ResultFormatError(f"{source}: column {name} is {array.dtype}, expected numbers")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _integers(values: Any, name: str, dtype: type, source: str, first_row: int) -> np.ndarray:
    array = np.asarray(values)
    # float16 cannot hold 2049: ids in it may have been rounded
    if (array.dtype.kind not in "iuf" or array.dtype == np.float16) and len(array):
        raise ResultFormatError(f"{source}: column {name} is {array.dtype}, expected whole numbers")
    limits = np.iinfo(dtype)
    with np.errstate(invalid="ignore"):
        fits = (array >= limits.min) & (array <= limits.max)
        whole: np.ndarray = np.where(fits, array, 0).astype(dtype)
    wrong = np.flatnonzero(whole != array)
    if len(wrong):
        raise ResultFormatError(
            f"{source}: row {first_row + wrong[0]}: {name} is {array[wrong[0]]}, expected a whole "
            "number"
        )
    return whole
