"""What the demo writes beside its images: what is drawn in words, and every row as JSON."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from hoi_d2.evaluation.result_files import write_results
from hoi_d2.evaluation.results import HOIResults
from hoi_d2.inference.prediction import HOIPrediction
from hoi_d2.visualization.visualizer import DRAW_THRESHOLD

RANDOM_WARNING = "WARNING: random weights, the scores mean nothing: {parts}"


@dataclass(frozen=True)
class DrawOptions:
    """Which interactions are drawn.

    Args:
        score_threshold: those below are not.
        top_k: at most that many in an image; None = all.
        verbs: names of verbs; empty = all.
    """

    score_threshold: float = DRAW_THRESHOLD
    top_k: int | None = 20
    verbs: tuple[str, ...] = ()

    def select(self, prediction: HOIPrediction) -> HOIPrediction:
        """The prediction with these interactions alone."""
        return prediction.select(
            score_threshold=self.score_threshold, top_k=self.top_k, verbs=self.verbs
        )


DEFAULT = DrawOptions()


class DemoReport:
    """Writes hoi_results.csv line by line and hoi_results.json at the end.

    Args:
        output: the folder.
        columns: names of the columns that come before the triplet.
    """

    HEADER = ("person_id", "verb", "object", "score", "human_box", "object_box", "note")

    def __init__(self, output: Path, columns: tuple[str, ...]) -> None:
        self.output = output
        self._rows: list[HOIResults] = []
        self._file = (output / "hoi_results.csv").open("w", newline="", encoding="utf-8")
        self._csv = csv.writer(self._file)
        self._csv.writerow([*columns, *self.HEADER])

    def add(
        self, image_id: int, values: tuple, everything: HOIPrediction, drawn: HOIPrediction
    ) -> None:
        """Notes an image: `everything` goes to the JSON, `drawn` with `values` to the CSV."""
        self._rows.append(everything.results(image_id))
        for t in drawn.triplets:
            boxes = [
                "" if box is None else " ".join(f"{v:.1f}" for v in box)
                for box in (t.human_box, t.object_box)
            ]
            person = "" if t.person_id is None else t.person_id
            words = (t.verb, t.object or "", f"{t.score:.4f}")
            self._csv.writerow([*values, person, *words, *boxes, drawn.note])

    def __enter__(self) -> DemoReport:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        write_results(self.output / "hoi_results.json", HOIResults.concatenate(self._rows))
