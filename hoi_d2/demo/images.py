"""The demo on images, folders and globs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hoi_d2.data.images import ImageFileError, read_image
from hoi_d2.demo.report import DEFAULT, DemoReport, DrawOptions
from hoi_d2.inference.predictor import HOIPredictor
from hoi_d2.visualization.pages.folders import image_names

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".gif"}


def find_images(inputs: Sequence[str]) -> list[Path]:
    """The images that paths, folders (not their subfolders) and globs (`**`: with subfolders)
    name, in order.

    Raises:
        FileNotFoundError: one of them names nothing.
    """
    found: dict[Path, None] = {}
    for name in inputs:
        path = Path(name)
        if path.is_dir():
            matches = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        else:
            named = [name] if path.exists() else sorted(glob(name, recursive=True))
            matches = [Path(p) for p in named if not Path(p).is_dir()]
        if not matches:
            raise FileNotFoundError(f"--input {name}: {_nothing_there(path)}")
        found.update(dict.fromkeys(matches))
    return list(found)


def _nothing_there(path: Path) -> str:
    if not path.is_dir():
        return "no such image"
    below = any(child.is_dir() for child in path.iterdir())
    return "no images in it" + (f"; with its subfolders: '{path}/**/*.jpg'" if below else "")


def image_ids(paths: Sequence[Path]) -> list[int]:
    """The number in each file name (HICO's and COCO's ids); positions if two share one."""
    numbers = [re.findall(r"\d+", path.stem) for path in paths]
    ids = [int(n[-1]) if n else -1 for n in numbers]
    unique = len(set(ids)) == len(ids) and -1 not in ids
    return ids if unique else list(range(1, len(paths) + 1))


def run_on_images(
    predictor: HOIPredictor,
    paths: Sequence[Path],
    output: Path,
    *,
    draw: DrawOptions = DEFAULT,
) -> int:
    """Writes a drawn PNG for each image, hoi_results.json, hoi_results.csv and images.json.

    A file that cannot be read is named and skipped.

    Returns:
        0, or 1 where a file was skipped, or 2 where all were.

    Raises:
        ValueError: a drawing would overwrite one of the images.
    """
    ids, bad = dict(zip(paths, image_ids(paths))), list[Path]()
    files: dict[Any, str] = {}
    names = dict(zip(paths, image_names([{"file_name": str(p)} for p in paths], ".png")))
    keep_originals(paths, [output / name for name in names.values()])
    with DemoReport(output, ("image",)) as report, tqdm(total=len(paths), unit="image") as bar:
        for chunk in _chunks(paths, predictor.batch_size):
            read = list(_readable(chunk, bad))
            for (path, _), prediction in zip(read, predictor([rgb[:, :, ::-1] for _, rgb in read])):
                drawn = draw.select(prediction)
                drawn.draw(score_threshold=draw.score_threshold, top_k=None).save(
                    output / names[path]
                )
                report.add(ids[path], (str(path),), prediction, drawn)
                files[ids[path]] = str(path)
            bar.update(len(chunk))
    (output / "images.json").write_text(json.dumps(files, indent=1))
    print(f"{len(files)} drawn, {len(bad)} could not be read; results in {output}")
    return (1 if files else 2) if bad else 0


def keep_originals(sources: Sequence[Path], written: Sequence[Path]) -> None:
    """Raises ValueError where what is written would overwrite what is read."""
    originals = {path.resolve() for path in sources}
    lost = next((path for path in written if path.resolve() in originals), None)
    if lost is not None:
        raise ValueError(f"--output: {lost} is one of the inputs; choose another folder")


def _chunks(paths: Sequence[Path], size: int) -> Iterator[Sequence[Path]]:
    for start in range(0, len(paths), size):
        yield paths[start : start + size]


def _readable(paths: Sequence[Path], bad: list[Path]) -> Iterator[tuple[Path, np.ndarray]]:
    """Those that can be read, with their RGB pixels; the others are named and kept in `bad`."""
    for path in paths:
        try:
            yield path, read_image(path)
        except ImageFileError as error:
            bad.append(path)
            tqdm.write(f"skipped: {error}", file=sys.stderr)
