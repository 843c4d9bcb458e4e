"""Parses UPT's .mat files in a process of its own: a damaged one can crash scipy's parser.

    python hoi_d2/evaluation/foreign/upt_mat_reader.py FOLDER OUTPUT.npz

The output has a row for each detection: `object` (1..80, of the file), `hoi` (row of the file),
`image` (column), `values` (human and object box, score), and for each file `shapes` (rows and
columns).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def read(folder: Path, files: int) -> dict[str, np.ndarray]:
    """Returns the detections of all files.

    Raises:
        ValueError: a file is not of this form; names it.
    """
    from scipy.io import loadmat

    places: list[np.ndarray] = []
    values: list[np.ndarray] = [np.zeros((0, 9))]
    shapes = np.zeros((files, 2), dtype=np.int64)
    for number in range(1, files + 1):
        name = f"detections_{number:02d}.mat"
        if not (folder / name).is_file():
            raise ValueError(f"{name} is missing; there are {files} of them")
        cells = loadmat(folder / name, variable_names=["all_boxes"]).get("all_boxes")
        if not isinstance(cells, np.ndarray) or cells.dtype != object or cells.ndim != 2:
            raise ValueError(f"{name} has no cell array all_boxes (HOIs of the object x images)")
        shapes[number - 1] = cells.shape
        for hoi, image in np.argwhere(np.vectorize(np.size, otypes=[int])(cells) > 0):
            rows = np.asarray(cells[hoi, image], dtype=np.float64)
            if rows.ndim != 2 or rows.shape[1] != 9:
                raise ValueError(f"{name}: cell {hoi + 1}, {image + 1} is {rows.shape}, not (n, 9)")
            values.append(rows)
            places.append(np.tile([number, hoi, image], (len(rows), 1)))
    table = np.concatenate([np.zeros((0, 3), dtype=np.int64), *places])
    columns = dict(zip(("object", "hoi", "image"), table.T))
    return {**columns, "values": np.concatenate(values), "shapes": shapes}


def main() -> int:
    """Reads the folder that the first argument names; errors go to stderr, in one line."""
    folder, output = Path(sys.argv[1]), sys.argv[2]
    try:
        found = read(folder, 80)
    except Exception as error:  # scipy raises many kinds of errors for damaged files
        print(str(error) or type(error).__name__, file=sys.stderr)
        return 1
    np.savez(output, **found)  # type: ignore[arg-type]
    return 0


if __name__ == "__main__":
    sys.exit(main())
