"""The demo on images, folders and globs."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from hoi_d2.data.find_images import PHOTOGRAPHS, find_images, image_ids
from hoi_d2.data.images import ImageFileError, read_image
from hoi_d2.demo.report import DEFAULT, DemoReport, DrawOptions
from hoi_d2.inference.predictor import HOIPredictor
from hoi_d2.visualization.pages.folders import image_names

__all__ = ["find_images", "image_ids", "run_on_images"]


def run_on_images(
    predictor: HOIPredictor,
    paths: Sequence[Path],
    output: Path,
    *,
    draw: DrawOptions = DEFAULT,
    resume: bool = False,
    left_out: Mapping[str, int] | None = None,
) -> int:
    """Writes a drawing of each image, hoi_results.json, hoi_results.csv and images.json.

    The drawing of a photograph (JPEG, WebP, ...) is a JPEG, that of another image a PNG. A file
    that cannot be read is named and skipped.

    Args:
        predictor: the model.
        paths: the images.
        output: the folder.
        draw: what is drawn.
        resume: skip the images that `output` holds results of.
        left_out: reason -> number of files that were not taken for images, for the summary.

    Returns:
        0, or 1 where a file was skipped, or 2 where all were.

    Raises:
        ValueError: a drawing would overwrite one of the images.
        ResumeError: `output` holds results in another form.
    """
    names = dict(zip(paths, drawing_names(paths)))
    keep_originals(paths, [output / name for name in names.values()])
    bad: list[Path] = []
    with DemoReport(output, ("image",), predictor.vocabulary, resume=resume) as report:
        ids, earlier = _ids(paths, report.files), set(report.files.values())
        waiting = [path for path in paths if str(path) not in earlier]
        with tqdm(total=len(waiting), unit="image") as bar:
            for chunk in _chunks(waiting, predictor.batch_size):
                read = list(_readable(chunk, bad))
                found = predictor([rgb[:, :, ::-1] for _, rgb in read])
                for (path, _), prediction in zip(read, found):
                    drawn = draw.select(prediction)
                    image = drawn.draw(
                        score_threshold=draw.score_threshold, top_k=None, font=draw.font
                    )
                    image.save(output / names[path])
                    report.add(ids[path], (str(path),), prediction, drawn, file=str(path))
                bar.set_postfix_str(f"{len(bad)} unreadable" if bad else "", refresh=False)
                bar.update(len(chunk))
    done = len(waiting) - len(bad)
    print(_summary(done, len(paths) - len(waiting), len(bad), left_out or {}, output))
    return (1 if len(bad) < len(paths) else 2) if bad else 0


def _summary(done: int, earlier: int, bad: int, left_out: Mapping[str, int], output: Path) -> str:
    before = f", {earlier} were done before" if earlier else ""
    reasons = ", ".join(f"{number} {why}" for why, number in Counter(left_out).most_common())
    others = f", {sum(left_out.values())} left out ({reasons})" if left_out else ""
    return f"{done} drawn{before}, {bad} could not be read{others}; results in {output}"


def _ids(paths: Sequence[Path], earlier: Mapping[int, str]) -> dict[Path, int]:
    """Image ids; those of an earlier run stay, and new images do not take them."""
    known = {file: number for number, file in earlier.items()}
    ids = dict(zip(paths, image_ids(paths)))
    if not known:
        return ids
    after = max([*earlier, *ids.values()]) + 1
    for path, number in ids.items():
        if str(path) in known:
            ids[path] = known[str(path)]
        elif number in earlier:
            ids[path], after = after, after + 1
    return ids


def drawing_names(paths: Sequence[Path]) -> list[str]:
    """A file name for the drawing of each image."""
    kinds = [".jpg" if path.suffix.lower() in PHOTOGRAPHS else ".png" for path in paths]
    stems = image_names([{"file_name": str(path)} for path in paths], "")
    return [stem + kind for stem, kind in zip(stems, kinds)]


def keep_originals(sources: Sequence[Path], written: Sequence[Path]) -> None:
    """Raises ValueError where what is written would overwrite what is read.

    Folders are compared, not files: 100,000 files are not looked at before the first one is read.
    """
    folders: dict[str, str] = {}

    def place(path: Path) -> tuple[str, str]:
        folder = os.path.dirname(path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        return folders[folder], os.path.basename(path)

    originals = {place(path) for path in sources}
    lost = next((path for path in written if place(path) in originals), None)
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
