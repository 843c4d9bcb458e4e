"""Predictions in Parquet: one row per image, its interactions as a list in it.

`hoi-d2 predict` writes these files and `hoi-d2 eval --results` reads them. pyarrow (extra
`[predict]`) is imported when the first of them is written or read. docs/predict.md has the schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.evaluation.results import COLUMNS, HOIResults, ResultFormatError
from hoi_d2.utils.extras import import_extra
from hoi_d2.utils.files import write_atomically

SUFFIX = ".parquet"
METADATA = b"hoi_d2"
"""Key of the schema's metadata: a JSON object with the class names (`Vocabulary.as_dict`)."""
BLOCK = 1000
"""Images that are turned into arrays at a time."""
_BOX = ("x", "y", "width", "height")
_IDS = ("object_category_id", "verb_id", "hoi_id")


def arrow() -> tuple[Any, Any]:
    """The modules `pyarrow` and `pyarrow.parquet`.

    Raises:
        MissingExtraError: it is not installed.
    """
    names = ("pyarrow", "pyarrow.parquet")
    pyarrow, parquet = (import_extra(n, extra="predict", needed_by="a Parquet file") for n in names)
    return pyarrow, parquet


@dataclass(frozen=True)
class ImageRow:
    """One image.

    Args:
        image_id: its number in result files.
        file: its name.
        height, width: pixels; 0 where it could not be read.
        results: its interactions, best first.
        error: the reason why it could not be read, "" = it was.
    """

    image_id: int
    file: str
    height: int
    width: int
    results: HOIResults
    error: str = ""


def schema(vocabulary: Vocabulary) -> Any:
    """The columns of a file, as a `pyarrow.Schema` whose metadata holds the class names."""
    pa, _ = arrow()
    box = pa.struct([(name, pa.float32()) for name in _BOX])
    interaction = pa.struct(
        [
            pa.field("human_box", box, nullable=False),
            pa.field("object_box", box),
            *(pa.field(name, pa.int32(), nullable=False) for name in _IDS),
            pa.field("score", pa.float32(), nullable=False),
            pa.field("verb", pa.string(), nullable=False),
            pa.field("object", pa.string()),
        ]
    )
    columns = [
        pa.field("image_id", pa.int64(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("height", pa.int32()),
        pa.field("width", pa.int32()),
        pa.field("error", pa.string()),
        pa.field(
            "interactions",
            pa.list_(pa.field("element", interaction, nullable=False)),
            nullable=False,
        ),
    ]
    content = json.dumps({"version": 1, "vocabulary": vocabulary.as_dict()})
    return pa.schema(columns, metadata={METADATA: content.encode()})


def write_rows(path: Path, rows: Sequence[ImageRow], vocabulary: Vocabulary) -> None:
    """Writes a file completely or not at all.

    Args:
        path: of the file.
        rows: the images, in order.
        vocabulary: the class names of the model.
    """
    table = _table(rows, vocabulary)
    _, parquet = arrow()
    write_atomically(path, lambda file: parquet.write_table(table, file, compression="zstd"))


def _table(rows: Sequence[ImageRow], vocabulary: Vocabulary) -> Any:
    pa, _ = arrow()
    columns = schema(vocabulary)
    interaction = columns.field("interactions").type.value_type
    offsets = np.concatenate([[0], np.cumsum([len(row.results) for row in rows])])
    lists = pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()),
        _interactions(HOIResults.concatenate([r.results for r in rows]), vocabulary, interaction),
        type=columns.field("interactions").type,
    )
    values = [
        pa.array([row.image_id for row in rows], pa.int64()),
        pa.array([_text(row.file) for row in rows], pa.string()),
        pa.array([row.height or None for row in rows], pa.int32()),
        pa.array([row.width or None for row in rows], pa.int32()),
        pa.array([_text(row.error) or None for row in rows], pa.string()),
        lists,
    ]
    return pa.Table.from_arrays(values, schema=columns)


def _interactions(results: HOIResults, vocabulary: Vocabulary, kind: Any) -> Any:
    """A struct array of all rows."""
    pa, _ = arrow()
    columns = results.to_columns()
    objects = results.object_classes
    values = {
        "human_box": _boxes(columns["human_box"], kind.field("human_box").type),
        "object_box": _boxes(columns["object_box"], kind.field("object_box").type),
        **{name: pa.array(columns[name], pa.int32()) for name in _IDS},
        "score": pa.array(columns["score"], pa.float32()),
        "verb": _names(vocabulary.verbs, results.verb_classes, results.verb_classes >= 0),
        "object": _names(vocabulary.objects, objects, objects >= 0),
    }
    return pa.StructArray.from_arrays([values[f.name] for f in kind], fields=list(kind))


def _boxes(boxes: np.ndarray, kind: Any) -> Any:
    """(R, 4) as structs; a row of NaN becomes null."""
    pa, _ = arrow()
    sides = [pa.array(np.ascontiguousarray(side), pa.float32()) for side in boxes.T]
    absent = pa.array(np.isnan(boxes).any(axis=1))
    return pa.StructArray.from_arrays(sides, fields=list(kind), mask=absent)


def _names(names: Sequence[str], ids: np.ndarray, known: np.ndarray) -> Any:
    pa, _ = arrow()
    places = pa.array(np.where(known, ids, 0), pa.int32(), mask=~known)
    return pa.array([_text(name) for name in names], pa.string()).take(places)


def _text(text: str) -> str:
    """As UTF-8 can hold it: a file name of other bytes is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def read_results(path: str | Path, image_ids: np.ndarray | None = None) -> HOIResults:
    """The interactions of a file as the rows of a result file; boxes have float32's precision.

    Args:
        path: of the file.
        image_ids: (N,) only those of these images; the others never lie in memory together.

    Raises:
        MissingExtraError: pyarrow is not installed.
        ResultFormatError: the file is damaged, or of another schema.
    """
    pa, _ = arrow()
    try:
        return HOIResults.concatenate(list(_blocks(Path(path), image_ids)))
    except (pa.ArrowException, KeyError) as error:
        raise ResultFormatError(
            f"{path}: not a Parquet file as hoi-d2 predict writes it ({error})"
        ) from error


def _blocks(path: Path, image_ids: np.ndarray | None) -> Iterator[HOIResults]:
    pa, parquet = arrow()
    with parquet.ParquetFile(path) as file:
        if not {"image_id", "interactions"} <= set(file.schema_arrow.names):
            raise KeyError(f"its columns are {', '.join(file.schema_arrow.names)}")
        names = [f"interactions.list.element.{name}" for name in COLUMNS[1:]]
        for block in file.iter_batches(batch_size=BLOCK, columns=["image_id", *names]):
            if image_ids is not None:
                known = np.isin(block.column("image_id").to_numpy(), image_ids)
                block = block.filter(pa.array(known))
            yield _results(block, str(path))


def _results(block: Any, source: str) -> HOIResults:
    lists = block.column("interactions")
    counts = np.diff(lists.offsets.to_numpy())
    found = lists.flatten()
    columns: dict[str, Any] = {
        "image_id": np.repeat(block.column("image_id").to_numpy(), counts),
        "score": found.field("score").to_numpy(zero_copy_only=False),
    }
    for name in _IDS:
        columns[name] = found.field(name).to_numpy(zero_copy_only=False)
    for name in ("human_box", "object_box"):
        # flatten() hands the nulls of the boxes down to their numbers, which become NaN
        sides = [s.to_numpy(zero_copy_only=False) for s in found.field(name).flatten()]
        columns[name] = np.stack(sides, axis=1)
    return HOIResults.from_columns(columns, source=source)


def unreadable(path: Path) -> tuple[int, int]:
    """(images, images that could not be read) of a file."""
    _, parquet = arrow()
    errors = parquet.read_table(path, columns=["error"]).column("error")
    return len(errors), len(errors) - errors.null_count


def merge(parts: Sequence[Path], output: Path) -> int:
    """Writes the rows of all files into one, one file in memory at a time.

    Args:
        parts: the files, in order; at least one.
        output: written completely or not at all.

    Returns:
        Number of images.
    """
    _, parquet = arrow()
    images = 0

    def write(file: Any) -> None:
        nonlocal images
        columns = parquet.read_schema(parts[0])
        with parquet.ParquetWriter(file, columns, compression="zstd") as writer:
            for part in parts:
                table = parquet.read_table(part)
                writer.write_table(table)
                images += len(table)

    write_atomically(output, write)
    return images
