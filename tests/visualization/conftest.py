"""A small vocabulary, a few records with images on disk, and results for them."""

import numpy as np
import pytest
from drawing_cases import BALL, BICYCLE, HOLD, HUG, PERSON, RIDE, entity, hoi, make_results
from PIL import Image

import hoi_d2  # noqa: F401  prepares detectron2 before a test imports it
from hoi_d2.data.dataset import Dataset
from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.evaluation.results import HOIResults


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return Vocabulary.from_hois(
        "small",
        ("person", "bicycle", "sports ball"),
        ("ride", "hold", "hug"),
        [(BICYCLE, RIDE), (BICYCLE, HOLD), (BALL, HOLD), (PERSON, HUG)],
    )


@pytest.fixture(scope="session")
def verbs_only() -> Vocabulary:
    """As V-COCO: action-roles and no HOI classes."""
    return Vocabulary(
        "verbs",
        ("person", "bicycle", "sports ball"),
        ("ride_instr", "hold_obj", "walk"),
        ("ride_instr", "hold_obj", "walk"),
        np.zeros((0, 2), dtype=np.int64),
        np.ones((3, 3), dtype=bool),
    )


@pytest.fixture
def dataset(tmp_path, vocabulary) -> Dataset:
    """Three images: a rider, a person with a ball, nobody."""
    rider = [entity([20, 20, 60, 100], PERSON), entity([10, 60, 90, 120], BICYCLE)]
    player = [entity([50, 10, 90, 110], PERSON), entity([100, 50, 120, 70], BALL)]
    scenes = [
        (rider, [hoi(0, 1, RIDE, 0), hoi(0, 1, HOLD, 1)]),
        (player, [hoi(0, 1, HOLD, 2)]),
        ([entity([5, 5, 30, 30], BALL)], []),
    ]
    records = []
    for number, (annotations, interactions) in enumerate(scenes, start=1):
        file = tmp_path / f"scene_{number}.png"
        Image.fromarray(np.full((128, 160, 3), 60 * number, dtype=np.uint8)).save(file)
        records.append(
            {
                "file_name": str(file),
                "image_id": number,
                "height": 128,
                "width": 160,
                "annotations": annotations,
                "hoi_annotations": interactions,
            }
        )
    return Dataset("small", records, vocabulary, rare_hois=frozenset({1}))


@pytest.fixture
def results() -> HOIResults:
    """A hit, its duplicate, a wrong verb and a detection where nobody is."""
    human, bicycle = [21, 20, 60, 99], [11, 60, 90, 120]
    return make_results(
        [
            (1, human, bicycle, BICYCLE, RIDE, -1, 0.9),
            (1, human, bicycle, BICYCLE, RIDE, 0, 0.8),
            (2, [50, 10, 90, 110], [0, 0, 20, 20], BALL, HOLD, 2, 0.7),
            (3, [5, 5, 30, 30], [40, 40, 60, 60], BICYCLE, HOLD, 1, 0.3),
        ]
    )
