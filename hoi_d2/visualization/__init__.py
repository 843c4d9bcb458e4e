"""Draws interactions, datasets, errors and figures.

Start here: `drawer` draws interactions on one image.

- `drawer`: draws ground truth, predictions or a list of interactions.
- `visualizer`: the same as detectron2's Visualizer.
- `scene`: merges boxes and decides what is drawn, without pixels.
- `layout`: places labels so that they do not overlap.
- `painter`: draws a scene on a canvas.
- `canvas`: the image with shapes and text on it.
- `sources`: dataset dicts and model outputs as interactions.
- `video`: reads and writes videos.
- `pages.browse`: selects records of a dataset.
- `pages.comparison`: the metric's matches of results and ground truth, per image.
- `pages.report`: numbers, curves and tables of an evaluation.
- `pages.folders`: folders of drawn images.
- `pages.html`: a static page over such a folder.
- `plots`: figures of training logs, datasets, AP and error causes, each with a CSV file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hoi_d2.visualization.canvas import HOIImage
from hoi_d2.visualization.drawer import InteractionDrawer
from hoi_d2.visualization.scene import Interaction

if TYPE_CHECKING:
    from hoi_d2.visualization.visualizer import HOIVisualizer

__all__ = ["HOIImage", "HOIVisualizer", "Interaction", "InteractionDrawer"]


def __getattr__(name: str) -> Any:
    if name != "HOIVisualizer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hoi_d2.visualization.visualizer import HOIVisualizer  # detectron2's takes long to import

    return HOIVisualizer
