"""Result files of the demo: a table of the drawn interactions, and all interactions as JSON."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.evaluation.result_files import read_results, write_results
from hoi_d2.evaluation.results import HOIResults, xyxy_to_xywh
from hoi_d2.inference.prediction import HOIPrediction
from hoi_d2.utils.files import TEMPORARY_SUFFIX, write_json
from hoi_d2.utils.user_errors import UserError
from hoi_d2.visualization.visualizer import DRAW_THRESHOLD

RANDOM_WARNING = "WARNING: random weights, the scores mean nothing: {parts}"
RESULTS, TABLE, FILES = "hoi_results.json", "hoi_results.csv", "images.json"
_SAVE_SECONDS = 30.0
_SAVE_SHARE = 20  # saving takes at most about 1/20 of the time


class ResumeError(UserError, ValueError):
    """The output folder has no results that `--resume` can continue."""


@dataclass(frozen=True)
class DrawOptions:
    """Which interactions are drawn.

    Args:
        score_threshold: minimum score.
        top_k: maximum number per image; None = all.
        verbs: names of verbs; empty = all.
        font: font file for class names; None = an installed font that has their letters.
    """

    score_threshold: float = DRAW_THRESHOLD
    top_k: int | None = 20
    verbs: tuple[str, ...] = ()
    font: str | None = None

    def select(self, prediction: HOIPrediction) -> HOIPrediction:
        """Returns the prediction reduced to the interactions that are drawn."""
        return prediction.select(
            score_threshold=self.score_threshold, top_k=self.top_k, verbs=self.verbs
        )


DEFAULT = DrawOptions()


class DemoReport:
    """Writes the result files of the demo.

    hoi_results.csv is written line by line; hoi_results.json and, for images, images.json every
    30 seconds and at the end. Files are replaced atomically. Boxes are x, y, width, height in
    pixels in both, and both contain the names of verb and object.

    Args:
        output: the output folder.
        columns: names of the columns before the triplet.
        vocabulary: vocabulary of the model.
        resume: whether to continue with the results in the folder; `files` then has the images
            that are done.

    Raises:
        ResumeError: the results in the folder have another format.
    """

    HEADER = ("person_id", "verb", "object", "score", "human_box", "object_box", "note")

    def __init__(
        self,
        output: Path,
        columns: tuple[str, ...],
        vocabulary: Vocabulary,
        *,
        resume: bool = False,
    ) -> None:
        self.output, self.vocabulary = output, vocabulary
        self.files: dict[int, str] = {}
        self._of_images = columns[0] == "image"
        self._header = [*columns, *self.HEADER]
        self._rows: list[HOIResults] = []
        self._saved_at, self._save_cost = time.monotonic(), 0.0
        lines = self._earlier() if resume else []
        self._start_table(lines)
        self._file = (output / TABLE).open("a", newline="", encoding="utf-8")
        self._csv = csv.writer(self._file)

    def add(
        self,
        image_id: int,
        values: tuple,
        everything: HOIPrediction,
        drawn: HOIPrediction,
        *,
        file: str | None = None,
    ) -> None:
        """Adds an image: `everything` is written to the JSON, `values` and `drawn` to the CSV."""
        self._rows.append(everything.results(image_id))
        if file is not None:
            self.files[image_id] = file
        for t in drawn.triplets:
            boxes = [_xywh(box) for box in (t.human_box, t.object_box)]
            person = "" if t.person_id is None else t.person_id
            words = (t.verb, t.object or "", f"{t.score:.4f}")
            self._csv.writerow([*values, person, *words, *boxes, drawn.note])
        if time.monotonic() - self._saved_at > max(_SAVE_SECONDS, _SAVE_SHARE * self._save_cost):
            self.save()

    def save(self) -> None:
        """Writes the results of all images added so far."""
        start = time.monotonic()
        self._file.flush()
        self._rows = [HOIResults.concatenate(self._rows)]
        write_results(self.output / RESULTS, self._rows[0], vocabulary=self.vocabulary)
        if self._of_images:
            write_json(self.output / FILES, self.files)
        self._saved_at = time.monotonic()
        self._save_cost = self._saved_at - start

    def _earlier(self) -> list[list[str]]:
        """Loads the results of an earlier run; returns the lines of its table."""
        if not (self.output / FILES).is_file():
            return []
        try:
            named = json.loads((self.output / FILES).read_text(encoding="utf-8"))
            self.files = {int(number): str(file) for number, file in named.items()}
        except (ValueError, AttributeError) as error:
            raise ResumeError(f"--resume: {self.output / FILES} is damaged ({error})") from error
        results = read_results(self.output / RESULTS)
        done = np.isin(results.image_ids, list(self.files))
        self._rows = [HOIResults(**{k: v[done] for k, v in vars(results).items()})]
        return self._earlier_lines()

    def _earlier_lines(self) -> list[list[str]]:
        """Returns the lines of finished images; after a crash the table has others as well."""
        with (self.output / TABLE).open(newline="", encoding="utf-8") as file:
            header, *lines = list(csv.reader(file)) or [[]]
        if header != self._header:
            raise ResumeError(
                f"--resume: {self.output / TABLE} has the columns {', '.join(header)}, "
                f"expected {', '.join(self._header)}. Choose another --output"
            )
        done = set(self.files.values())
        return [line for line in lines if len(line) == len(header) and line[0] in done]

    def _start_table(self, lines: Sequence[Sequence[Any]]) -> None:
        path = self.output / TABLE
        partial = path.with_name(path.name + TEMPORARY_SUFFIX)
        with partial.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([self._header, *lines])
        partial.replace(path)

    def __enter__(self) -> DemoReport:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.save()
        self._file.close()


def _xywh(box: tuple[float, ...] | None) -> str:
    if box is None:
        return ""
    return " ".join(f"{v:.1f}" for v in xyxy_to_xywh(np.asarray([box]))[0])
