"""What an evaluator keeps while a model runs: arrays per image, gathered over all ranks."""

from __future__ import annotations

from typing import Any

import numpy as np
from detectron2.utils import comm

from hoi_d2.evaluation.results import HOIResults


class ResultCollector:
    """Collects the rows of images as they come, in arrays.

    A sampler that pads the last batch shows some images to more than one rank; of such an image
    the rows of the first visit are kept.

    Args:
        distributed: gather over ranks; False = only this process has seen the data set.
    """

    def __init__(self, *, distributed: bool = True) -> None:
        self._distributed = distributed
        self.reset()

    def reset(self) -> None:
        """Forgets everything."""
        self._parts: list[HOIResults] = []
        self._visits: list[int] = []

    def add(self, image_id: int, hoi_instances: Any) -> None:
        """Keeps the result of one image."""
        self._visits.append(int(image_id))
        self._parts.append(HOIResults.from_hoi_instances(int(image_id), hoi_instances))

    def gather(self) -> tuple[HOIResults, np.ndarray] | None:
        """All ranks' rows, image by image, and the ids of the images that were processed.

        Returns:
            None on every rank but the first.
        """
        counts = np.asarray([len(p) for p in self._parts], dtype=np.int64)
        own = (
            np.asarray(self._visits, dtype=np.int64),
            counts,
            HOIResults.concatenate(self._parts),
        )
        everyone = [own]
        if self._distributed and comm.get_world_size() > 1:
            comm.synchronize()
            everyone = comm.gather(own, dst=0)
            if not comm.is_main_process():
                return None
        visits, counts = (np.concatenate([part[i] for part in everyone]) for i in (0, 1))
        results = HOIResults.concatenate([part[2] for part in everyone])
        return first_visits(results, visits, counts)


def first_visits(
    results: HOIResults, visits: np.ndarray, counts: np.ndarray
) -> tuple[HOIResults, np.ndarray]:
    """Rows of the first visit to each image, ordered by image id.

    Args:
        results: the rows of all visits, one visit after the other.
        visits: (V,) image id of each visit.
        counts: (V,) rows of each visit.

    Returns:
        The rows; the (N,) image ids, ascending.
    """
    images, first = np.unique(visits, return_index=True)
    starts = np.cumsum(counts) - counts
    sizes = counts[first]
    begins = np.cumsum(sizes) - sizes
    rows = np.arange(sizes.sum()) + np.repeat(starts[first] - begins, sizes)
    return results[rows], images
