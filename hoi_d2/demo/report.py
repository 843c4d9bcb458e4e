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
from hoi_d2.evaluation.results import HOIResults
from hoi_d2.inference.prediction import CSV_COLUMNS, HOIPrediction
from hoi_d2.utils.files import TEMPORARY_SUFFIX, write_json
from hoi_d2.utils.user_errors import UserError
from hoi_d2.visualization.scene import DRAW_THRESHOLD

RESULTS, TABLE, FILES = "hoi_results.json", "hoi_results.csv", "images.json"
_META = "meta"  # key of images.json among the ids
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


@dataclass(frozen=True)
class ModelIdentity:
    """Which model has written a folder.

    Args:
        model: its name.
        sha256: of its weights and class names (`HOIPredictor.fingerprint`).
    """

    model: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.model} (SHA-256 {str(self.sha256)[:12]}...)"


class DemoReport:
    """Writes the result files of the demo.

    hoi_results.csv is written line by line; hoi_results.json and, for images, images.json every
    30 seconds and at the end. Files are replaced atomically. Boxes are x, y, width, height in
    pixels in both, and both contain the names of verb and object.

    Args:
        output: the output folder.
        columns: names of the columns before the triplet.
        vocabulary: vocabulary of the model.
        model: identity of the model; images.json has it under `meta`.
        resume: whether to continue with the results in the folder; `files` then has the images
            that are done.

    Raises:
        ResumeError: the results in the folder have another format, or are of another model.
    """

    def __init__(
        self,
        output: Path,
        columns: tuple[str, ...],
        vocabulary: Vocabulary,
        *,
        model: ModelIdentity | None = None,
        resume: bool = False,
    ) -> None:
        self.output, self.vocabulary, self.model = output, vocabulary, model
        self.files: dict[int, str] = {}
        self._of_images = columns[0] == "image"
        self._header = [*columns, *CSV_COLUMNS]
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
        self._csv.writerows([*values, *row] for row in drawn.csv_rows())
        if time.monotonic() - self._saved_at > max(_SAVE_SECONDS, _SAVE_SHARE * self._save_cost):
            self.save()

    def save(self) -> None:
        """Writes the results of all images added so far."""
        start = time.monotonic()
        self._file.flush()
        self._rows = [HOIResults.concatenate(self._rows)]
        write_results(self.output / RESULTS, self._rows[0], vocabulary=self.vocabulary)
        if self._of_images:
            meta = {_META: vars(self.model)} if self.model else {}
            write_json(self.output / FILES, meta | self.files)
        self._saved_at = time.monotonic()
        self._save_cost = self._saved_at - start

    def _earlier(self) -> list[list[str]]:
        """Loads the results of an earlier run; returns the lines of its table."""
        if not (self.output / FILES).is_file():
            return []
        try:
            named = json.loads((self.output / FILES).read_text(encoding="utf-8"))
            meta = named.pop(_META, None)
            self.files = {int(number): str(file) for number, file in named.items()}
            earlier = ModelIdentity(**meta) if meta else None
        except (ValueError, AttributeError, TypeError) as error:
            raise ResumeError(f"--resume: {self.output / FILES} is damaged ({error})") from error
        self._check_model(earlier)
        results = read_results(self.output / RESULTS)
        done = np.isin(results.image_ids, list(self.files))
        self._rows = [HOIResults(**{k: v[done] for k, v in vars(results).items()})]
        return self._earlier_lines()

    def _check_model(self, earlier: ModelIdentity | None) -> None:
        """Results of two models in one folder could not be told apart."""
        if earlier and self.model and earlier.sha256 != self.model.sha256:
            raise ResumeError(
                f"--resume: {self.output} holds results of the model {earlier}, this run has "
                f"{self.model}. Take the model of the first run, or choose another --output"
            )

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
