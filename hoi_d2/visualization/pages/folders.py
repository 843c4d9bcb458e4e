"""Writes folders of drawn images with a page: ground truth of a dataset, errors of a result."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from hoi_d2.data.dataset import Dataset
from hoi_d2.data.mappers import read_dataset_image
from hoi_d2.visualization.canvas import HOIImage, load_font, text_mask
from hoi_d2.visualization.drawer import InteractionDrawer
from hoi_d2.visualization.pages.browse import FACETS, filter_rows
from hoi_d2.visualization.pages.comparison import Comparison
from hoi_d2.visualization.pages.html import GalleryImage, GalleryTable, write_gallery
from hoi_d2.visualization.scene import FALSE_ALARM, HIT, MISS, Interaction

STATE_FACETS = (*FACETS, "state")
"""Filters of a page of a comparison."""

Draw = Callable[[dict[str, Any]], tuple[HOIImage, list, dict[str, float]]]
"""Draws a record: the image, its rows for the page's filters, the numbers to sort by."""

_DARK = 40


def draw_dataset(
    dataset: Dataset,
    records: Sequence[dict[str, Any]],
    output: str | Path,
    *,
    page: bool = True,
    suffix: str = ".png",
    merge_iou: float = 0.6,
) -> list[str]:
    """Draws the ground truth of records into `output/images`, and `output/index.html` over them.

    Args:
        dataset: the dataset, for names and rare classes.
        records: dataset dicts, e.g. from `select_records`.
        output: the output folder.
        page: whether to write the page.
        suffix: suffix of the images; `.jpg` files have a fifth of the size.
        merge_iou: see `build_scene`.

    Returns:
        A message for each record that could not be drawn and was skipped.
    """

    def draw(record: dict[str, Any]) -> tuple[HOIImage, list, dict[str, float]]:
        visualizer = InteractionDrawer(read_dataset_image(record), merge_iou=merge_iou)
        rows = filter_rows(record, dataset)
        drawn = visualizer.draw_dataset_dict(record, dataset.vocabulary)
        return drawn, rows, {"interactions": len(rows), "boxes": len(record["annotations"])}

    images, failures = _draw_all(records, draw, Path(output), suffix)
    if page:
        total = sum(p.numbers["interactions"] for p in images)
        summary = (
            f"Ground truth of {len(images)} of {len(dataset.records)} images, {total:.0f} "
            "interactions. Solid boxes are people, one colour each; dashed boxes are objects, in "
            "the colours of those who use them; grey boxes have no interaction."
        )
        write_gallery(
            Path(output) / "index.html",
            title=dataset.name,
            summary=_with_failures(summary, failures),
            facets=FACETS,
            images=images,
        )
    return failures


def draw_comparison(
    dataset: Dataset,
    comparison: Comparison,
    images: Sequence[int],
    output: str | Path,
    *,
    score_threshold: float,
    classes: Sequence[int] = (),
    suffix: str = ".png",
    summary: str = "",
    figures: Sequence[tuple[str, str]] = (),
    tables: Sequence[GalleryTable] = (),
) -> list[str]:
    """Draws ground truth and predictions side by side into `output/images`, and writes a page.

    Args:
        dataset: the dataset.
        comparison: of its records with results.
        images: rows of `comparison.truth.image_ids`, in the order of the page.
        output: the output folder.
        score_threshold: minimum score of a detection.
        classes: only these interactions; empty = all.
        suffix: of the files.
        summary, figures, tables: see `write_gallery`.

    Returns:
        A message for each record that could not be drawn and was skipped.
    """
    ids = comparison.truth.image_ids[np.asarray(images, dtype=np.int64)].tolist()
    record_of = {record["image_id"]: record for record in dataset.records}
    row_of = dict(zip(ids, images))

    def draw(record: dict[str, Any]) -> tuple[HOIImage, list, dict[str, float]]:
        annotated, detected = comparison.interactions_of(
            row_of[record["image_id"]], score_threshold=score_threshold, classes=classes
        )
        image = _side_by_side(record, annotated, detected, comparison, score_threshold)
        missed = [item for item in annotated if item.state == MISS]
        rows = [_facets(item, dataset) for item in [*detected, *missed]]
        return image, rows, _counts(annotated, detected)

    records = [record_of[i] for i in ids]
    raw_images, failures = _draw_all(records, draw, Path(output), suffix)
    write_gallery(
        Path(output) / "index.html",
        title=f"{dataset.name}: ground truth and prediction",
        summary=_with_failures(summary, failures),
        facets=STATE_FACETS,
        images=raw_images,
        figures=figures,
        tables=tables,
        image_width=800,
    )
    return failures


def _draw_all(
    records: Sequence[dict[str, Any]], draw: Draw, output: Path, suffix: str
) -> tuple[list[GalleryImage], list[str]]:
    """Draws and saves records one by one; those that cannot be drawn are reported and skipped."""
    images: list[GalleryImage] = []
    failures: list[str] = []
    names = image_names(records, suffix)
    for record, name in zip(tqdm(records, desc="drawing", unit=" images", disable=None), names):
        try:
            drawn, rows, numbers = draw(record)
        except (OSError, ValueError) as error:
            failures.append(str(error))
            continue
        drawn.save(output / "images" / name)
        title = f"{record.get('image_id')}: {Path(str(record.get('file_name'))).name}"
        size = (drawn.width, drawn.height)
        images.append(GalleryImage(f"images/{name}", title, size, rows, numbers))
    return images, failures


def image_names(records: Iterable[dict[str, Any]], suffix: str) -> list[str]:
    """Returns a unique name per image, from its file name, safe for file systems and links."""
    names: dict[str, None] = {}
    for record in records:
        file = str(record.get("file_name") or record.get("image_id"))
        stem = file if "://" in file else Path(file).stem
        base = name = re.sub(r"[^\w-]+", "_", stem)
        number = 2
        while name + suffix in names:
            name, number = f"{base}_{number}", number + 1
        names[name + suffix] = None
    return list(names)


def _side_by_side(
    record: dict[str, Any],
    annotated: list[Interaction],
    detected: list[Interaction],
    comparison: Comparison,
    score_threshold: float,
) -> HOIImage:
    image = read_dataset_image(record)
    found = sum(item.state == HIT for item in annotated)
    alarms = sum(item.state == FALSE_ALARM for item in detected)
    right = sum(item.state == HIT for item in detected)
    titles = (
        f"ground truth: {found} of {len(annotated)} found",
        f"predicted, score >= {score_threshold:.2f}: {right} right, {alarms} false",
    )
    panels = []
    # predicted boxes are not merged, so that their overlap can be seen
    for title, items, merge_iou in zip(titles, (annotated, detected), (0.6, 0.95)):
        visualizer = InteractionDrawer(image, merge_iou=merge_iou)
        panel = visualizer.draw_interactions(items, comparison.vocabulary)
        panels.append(_titled(panel, title))
    height = max(len(panel) for panel in panels)
    gap = np.full((height, 8, 3), 255, dtype=np.uint8)
    padded = [
        np.pad(p, ((0, height - len(p)), (0, 0), (0, 0)), constant_values=_DARK) for p in panels
    ]
    return HOIImage(np.concatenate([padded[0], gap, padded[1]], axis=1))


def _titled(panel: HOIImage, title: str) -> np.ndarray:
    """Adds a dark strip with white text above the panel, fitted to its width."""
    size = max(12, round(panel.width / 36))
    mask = text_mask(title, load_font(size), size // 3)
    if mask.shape[1] > panel.width:
        factor = panel.width / mask.shape[1]
        mask = cv2.resize(mask, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    strip = np.full((mask.shape[0], panel.width), _DARK, dtype=np.uint8)
    strip[:, : mask.shape[1]] += (mask * ((255 - _DARK) / 255)).astype(np.uint8)
    strip = np.repeat(strip[:, :, None], 3, axis=2)
    return np.concatenate([strip, panel.get_image()])


def _facets(item: Interaction, dataset: Dataset) -> tuple[str, str, str, str]:
    vocabulary = dataset.vocabulary
    name = vocabulary.objects[item.object_class] if item.object_class >= 0 else ""
    hoi = vocabulary.hoi_of[item.object_class, item.verb] if item.object_class >= 0 else -1
    rare = "rare" if int(hoi) in dataset.rare_hois else ""
    return vocabulary.verbs[item.verb], name, rare, item.state


def _counts(annotated: list[Interaction], detected: list[Interaction]) -> dict[str, float]:
    return {
        "misses": sum(item.state == MISS for item in annotated),
        "false alarms": sum(item.state == FALSE_ALARM for item in detected),
        "hits": sum(item.state == HIT for item in annotated),
    }


def _with_failures(summary: str, failures: Sequence[str]) -> str:
    if not failures:
        return summary
    return "\n".join([summary, f"{len(failures)} images could not be drawn:", *failures[:20]])
