"""detectron2's own predictor and the code of its demo work with a model of this project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog
from detectron2.engine import DefaultPredictor
from detectron2.structures import Instances
from detectron2.utils.video_visualizer import VideoVisualizer
from detectron2.utils.visualizer import ColorMode, Visualizer

import hoi_d2.model_zoo as zoo
from hoi_d2 import HOIPredictor, HOIVideoVisualizer, HOIVisualizer, add_hoi_config
from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.structures import empty_hoi_instances
from hoi_d2.visualization.painter import PERSON_COLORS
from tests.demo.toy_clip import crossing, write_clip

CONFIG = "configs/toy/rmlr.yaml"
WEIGHTS = "hoi_d2://toy/rmlr.safetensors"
THRESHOLD = 0.3


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "cache_root", lambda: folder)
        yield folder


def setup(weights: str = WEIGHTS) -> Any:
    """A config as detectron2's demo makes it, with one line more."""
    cfg = get_cfg()
    add_hoi_config(cfg)
    cfg.merge_from_file(str(zoo.configs_root() / "toy/rmlr.yaml"))
    cfg.merge_from_list(["MODEL.WEIGHTS", weights, "MODEL.DEVICE", "cpu"])
    cfg.freeze()
    return cfg


class Demo:
    """What detectron2's demo does: one predictor, an image, or the frames of a video.

    Args:
        cfg: with the weights.
        kind: which of a model's outputs is drawn.
        drawn_by: the two visualizers.
    """

    def __init__(self, cfg: Any, kind: str, *drawn_by: Any, mode: ColorMode = ColorMode.IMAGE):
        self.metadata = MetadataCatalog.get(cfg.DATASETS.TEST[0])
        self.predictor, self.kind, self.mode = DefaultPredictor(cfg), kind, mode
        self.visualizer, self.video_visualizer = drawn_by

    def run_on_image(self, image: np.ndarray) -> tuple[dict, Any]:
        predictions = self.predictor(image)
        visualizer = self.visualizer(image[:, :, ::-1], self.metadata, instance_mode=self.mode)
        found = predictions[self.kind].to(torch.device("cpu"))
        return predictions, visualizer.draw_instance_predictions(predictions=found)

    def run_on_video(self, video: cv2.VideoCapture) -> Iterator[np.ndarray]:
        visualizer = self.video_visualizer(self.metadata, self.mode)
        while video.isOpened():
            success, frame = video.read()
            if not success:
                break
            found = self.predictor(frame)[self.kind].to(torch.device("cpu"))
            frame = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            drawn = visualizer.draw_instance_predictions(frame, found)
            yield cv2.cvtColor(drawn.get_image(), cv2.COLOR_RGB2BGR)


@pytest.fixture(scope="module")
def demo(cache) -> Demo:
    return Demo(setup(), "hoi_instances", HOIVisualizer, HOIVideoVisualizer)


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    return list(crossing(8))


def has_color(image: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((image == color).all(axis=2).any())


def test_weights_of_the_package_are_read_by_detectron2(demo, cache, frames):
    """The same interactions as of this project's predictor, which reads the file itself."""
    assert [path.suffix for path in (cache / "detectron2").iterdir()] == [".pth"]
    found = demo.predictor(frames[3])["hoi_instances"]
    expected = HOIPredictor("toy/rmlr", device="cpu")(frames[3]).hoi_instances
    best = found.scores.argsort(descending=True, stable=True)
    assert len(expected) > 3 and float(expected.scores[0]) > THRESHOLD
    torch.testing.assert_close(found.scores[best], expected.scores)
    torch.testing.assert_close(
        found[best].human_boxes.tensor, expected.human_boxes.tensor, rtol=1e-4, atol=1e-3
    )


def test_a_checkpoint_of_a_run_is_read_by_detectron2(demo, frames, tmp_path):
    HOICheckpointer(demo.predictor.model, str(tmp_path)).save("model_final")
    again = DefaultPredictor(setup(str(tmp_path / "model_final.pth")))
    scores = [p(frames[3])["hoi_instances"].scores for p in (demo.predictor, again)]
    assert torch.equal(*scores)


def test_the_order_of_the_channels_is_that_of_the_config(demo, frames):
    rgb = demo.predictor(frames[3][:, :, ::-1])["hoi_instances"]
    bgr = demo.predictor(frames[3])["hoi_instances"]
    assert demo.predictor.input_format == "RGB"
    assert not torch.equal(rgb.scores, bgr.scores)


@pytest.mark.parametrize("mode", [ColorMode.IMAGE, ColorMode.IMAGE_BW, ColorMode.SEGMENTATION])
def test_an_image(demo, frames, mode, monkeypatch):
    monkeypatch.setattr(demo, "mode", mode)
    predictions, drawn = demo.run_on_image(frames[3])
    assert (predictions["hoi_instances"].scores > THRESHOLD).any()
    image = drawn.get_image()
    assert image.dtype == np.uint8 and image.shape[1] == frames[3].shape[1] * 3
    assert has_color(image, PERSON_COLORS[0])
    grey = (image == image[:, :, :1]).all(axis=2).mean()
    assert (grey > 0.7) == (mode == ColorMode.IMAGE_BW)


def test_a_video(demo, frames, tmp_path):
    write_clip(tmp_path / "clip.avi", frames, rate=10)
    drawn = list(demo.run_on_video(cv2.VideoCapture(str(tmp_path / "clip.avi"))))
    assert [image.shape for image in drawn] == [frames[0].shape] * len(frames)
    assert all((image != frame).any() for image, frame in zip(drawn, frames))


def test_the_entities_are_drawn_as_detectron2_draws_them(cache, frames, monkeypatch):
    """Images and frames; the colours are random, so that detectron2's choice of them is fixed."""
    import detectron2.utils.video_visualizer as of_videos
    import detectron2.utils.visualizer as of_images

    for module in (of_images, of_videos):
        monkeypatch.setattr(module, "random_color", lambda **_: (0.2, 0.9, 0.4))
    ours = Demo(setup(), "instances", HOIVisualizer, HOIVideoVisualizer)
    found = ours.predictor(frames[3])["instances"]
    found, rgb = found[found.scores > THRESHOLD], frames[3][:, :, ::-1]
    assert len(found) > 1
    of_image = [
        kind(rgb, ours.metadata, 1.0).draw_instance_predictions(found).get_image()
        for kind in (HOIVisualizer, Visualizer)
    ]
    of_frame = [
        kind(ours.metadata).draw_instance_predictions(rgb, found).get_image()
        for kind in (HOIVideoVisualizer, VideoVisualizer)
    ]
    for own, original in (of_image, of_frame):
        assert np.array_equal(own, original) and not np.array_equal(own, rgb)


@pytest.mark.parametrize("scores", [[], [0.9], [0.9, 0.2], [0.9, 0.6]])
def test_people_keep_their_colour_over_the_frames(scores):
    """Who is surest changes from frame to frame, the colour of a person does not."""
    metadata = MetadataCatalog.get("hico_det_test")
    visualizer = HOIVideoVisualizer(metadata, frame_rate=10)
    left, right = [10.0, 10, 60, 150], [150.0, 10, 200, 150]
    colors = []
    for step in range(4):
        rows = list(zip([left, right], scores))
        if step % 2 and scores == [0.9, 0.6]:  # the other is surer now, and first
            rows = list(zip([right, left], scores))
        found = interactions(rows, shift=3.0 * step)
        frame = np.full((160, 220, 3), 90, dtype=np.uint8)
        image = visualizer.draw_instance_predictions(frame, found).get_image()
        assert image.shape == frame.shape
        halves = image[120:140, :110], image[120:140, 110:]  # below the labels
        colors.append([{c for c in PERSON_COLORS if has_color(h, c)} for h in halves])
    shown = sum(score > THRESHOLD for score in scores)
    assert len({tuple(map(frozenset, c)) for c in colors}) == 1
    assert [len(half) for half in colors[0]] == [1 if shown > 0 else 0, 1 if shown > 1 else 0]
    assert shown < 2 or colors[0][0] != colors[0][1]


def interactions(rows: list, *, shift: float = 0.0) -> Instances:
    """One interaction a person, (human box, score), without object."""
    found = empty_hoi_instances((160, 220))
    if not rows:
        return found
    boxes, scores = zip(*rows)
    number = len(rows)
    fields = {
        "human_boxes": type(found.human_boxes)(torch.tensor(boxes) + shift),
        "object_boxes": type(found.human_boxes)(torch.full((number, 4), torch.nan)),
        "object_classes": torch.full((number,), -1),
        "verb_classes": torch.arange(number),
        "hoi_classes": torch.full((number,), -1),
        "scores": torch.tensor(scores),
        "pair_indices": torch.stack([torch.arange(number), torch.full((number,), -1)], dim=1),
    }
    return Instances((160, 220), **fields)
