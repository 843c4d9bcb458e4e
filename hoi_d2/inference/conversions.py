"""A prediction as a table of pandas and as detections of supervision; both are optional extras."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hoi_d2.utils.extras import import_extra

if TYPE_CHECKING:
    import pandas as pd
    import supervision as sv

    from hoi_d2.inference.prediction import HOIPrediction

_CORNERS = ("x_min", "y_min", "x_max", "y_max")


def data_frame(prediction: HOIPrediction) -> pd.DataFrame:
    """One row an interaction, best first.

    Args:
        prediction: of one image.

    Returns:
        Columns verb, object (None = no object), score, human_x_min, human_y_min, human_x_max,
        human_y_max, the same of the object (NaN = no object) in pixels, person_id (NA = nobody is
        followed).

    Raises:
        MissingExtraError: pandas is not installed.
    """
    pd = import_extra("pandas", extra="pandas", needed_by="to_df()")
    triplets, found = prediction.triplets, prediction.hoi_instances
    columns = {
        "verb": pd.Series([t.verb for t in triplets], dtype=object),
        "object": pd.Series([t.object for t in triplets], dtype=object),
        "score": found.scores.double().numpy(),
    }
    for name, boxes in (("human", found.human_boxes), ("object", found.object_boxes)):
        corners = boxes.tensor.double().numpy().T
        columns |= {f"{name}_{corner}": values for corner, values in zip(_CORNERS, corners)}
    columns["person_id"] = pd.array([t.person_id for t in triplets], dtype="Int64")
    return pd.DataFrame(columns)


def detections(prediction: HOIPrediction) -> sv.Detections:
    """The entities as supervision's Detections, with their pairs.

    Annotators, zones and filters of supervision work on the entities. The pairs are of the whole
    image and survive filters: their indices are values of `data["entity"]`.

    Args:
        prediction: of one image.

    Returns:
        N entities: `xyxy`, `confidence`, `class_id` and in `data` their `class_name`, their number
        `entity` (0..N-1) and `interactions`, what people among them do, for labels. In `metadata`
        R interactions, best first: `pair_indices` (R, 2) human and object (-1 = no object), `verb`
        (R,) names, `verb_id` (R,), `score` (R,).

    Raises:
        MissingExtraError: supervision is not installed.
    """
    sv = import_extra("supervision", extra="supervision", needed_by="to_supervision()")
    entities, pairs, words = prediction.instances, prediction.hoi_instances, prediction.vocabulary
    classes = entities.pred_classes.numpy()
    indices = pairs.pair_indices.numpy().copy()
    indices[pairs.object_classes.numpy() < 0, 1] = -1
    verbs = pairs.verb_classes.numpy()
    return sv.Detections(
        xyxy=entities.pred_boxes.tensor.numpy().reshape(-1, 4),
        confidence=entities.scores.numpy(),
        class_id=classes,
        data={
            "class_name": np.array([words.objects[c] for c in classes], dtype=str),
            "entity": np.arange(len(classes)),
            "interactions": _texts(prediction, indices, len(classes)),
        },
        metadata={
            "pair_indices": indices,
            "verb": np.array([words.verbs[v] for v in verbs], dtype=str),
            "verb_id": verbs,
            "score": pairs.scores.numpy(),
        },
    )


def _texts(prediction: HOIPrediction, indices: np.ndarray, number: int) -> np.ndarray:
    """What each entity does, best first: "ride bicycle, hold bicycle"; "" = nothing."""
    found: list[list[str]] = [[] for _ in range(number)]
    for human, triplet in zip(indices[:, 0], prediction):
        if triplet.words not in found[human]:
            found[human].append(triplet.words)
    return np.array([", ".join(words) for words in found], dtype=str)
