"""Images of interactions, datasets, errors and figures."""

from hoi_d2.visualization.canvas import HOIImage
from hoi_d2.visualization.scene import Interaction
from hoi_d2.visualization.visualizer import HOIVisualizer

__all__ = ["HOIImage", "HOIVisualizer", "Interaction"]
