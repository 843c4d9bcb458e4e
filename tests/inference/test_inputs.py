"""Images in every form, and settings of a predictor."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hoi_d2 import HOIPredictor, get_model
from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.config.load import ConfigError
from hoi_d2.data.images import ImageFileError
from hoi_d2.data.toy import scene as toy
from hoi_d2.engine.ema import WeightAverage
from hoi_d2.engine.trained_weights import half_precision
from hoi_d2.inference import predictor as predictor_module
from hoi_d2.inference.inputs import ImageInputError, each_image, is_one_image, path_of, to_rgb
from hoi_d2.inference.predictor import PredictorError

BGR = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
RGB = BGR[:, :, ::-1]
CHW = torch.from_numpy(RGB.copy()).permute(2, 0, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two images, a text and a subfolder with one more."""
    root = tmp_path_factory.mktemp("images")
    (root / "below").mkdir()
    for name in ("b.png", "a.png", "below/c.png", "x[1].png"):
        Image.fromarray(RGB).save(root / name)
    (root / "notes.txt").write_text("none")
    return root


@pytest.mark.parametrize(
    "image",
    [BGR, CHW, CHW / 255, (CHW / 255).half(), Image.fromarray(RGB), (CHW / 255).requires_grad_()],
)
def test_to_rgb(image):
    assert np.array_equal(to_rgb(image), RGB)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, "cv2.imread gives None"),
        (3, "int is no image"),
        (BGR[:, :, 0], "uint8 BGR"),
        (BGR.astype(float), "float64"),
        (BGR[:0], r"\(0, 4, 3\)"),
        (CHW[0], r"\(3, H, W\) RGB"),
        (CHW.permute(1, 2, 0), r"\(3, H, W\) RGB"),
        (CHW.long(), "int64"),
        (CHW[:, :0], r"\(3, 0, 4\)"),
        (CHW.float(), r"of 0\.\.1, got 0\.\.23: divide by 255"),
        (CHW / 255 - 1, "undo the normalisation"),
        (torch.full((3, 2, 2), float("nan")), r"got nan\.\.nan"),
        ("https://example.org/a.jpg", "is an address: download the image"),
        ("rtsp://camera/1", "is an address"),
    ],
)
def test_what_is_no_image(image, message):
    with pytest.raises(ImageInputError, match=message):
        to_rgb(image)


def test_each_image(folder):
    files = [str(folder / name) for name in ("a.png", "b.png", "x[1].png")]

    def names(images):
        return [path_of(image) for image in each_image(images)]

    assert names([]) == [] and names(iter(())) == []
    assert names(folder) == names(str(folder)) == files
    assert names(f"{folder}/*.png") == files
    assert len(names(f"{folder}/**/*.png")) == 4
    assert names(files[2]) == [files[2]], "a file of that name is no glob"
    assert names([folder, files[0], [Image.open(files[1])]]) == [*files, files[0], files[1]]
    assert [image.shape for image in each_image(np.stack([BGR, BGR]))] == [(2, 4, 3)] * 2
    assert [image.shape for image in each_image(torch.stack([CHW]))] == [(3, 2, 4)]
    with pytest.raises(FileNotFoundError, match=r"below/\*\.jpg: no such image"):
        names(f"{folder}/below/*.jpg")
    with pytest.raises(ImageInputError, match="an address"):
        names(["https://example.org/*.jpg"])
    assert is_one_image("none.jpg") and is_one_image(None) and not is_one_image([])


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("scenes")
    for index in range(3):
        image = Image.fromarray(toy.render(toy.toy_scene("val", index))[:, :, ::-1])
        image.save(root / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def predictor() -> HOIPredictor:
    return HOIPredictor("toy/rmlr", device="cpu", batch_size=2)


def test_a_folder_is_its_images(predictor, scenes):
    found = predictor(scenes)
    assert [Path(p.path).name for p in found] == ["0.png", "1.png", "2.png"]
    tensor = torch.from_numpy(np.array(Image.open(scenes / "0.png"))).permute(2, 0, 1)
    assert predictor(tensor).path == ""
    alone = [p.to_json() for p in map(predictor, [tensor, scenes / "1.png"])]
    for one, other in zip(alone, found):  # a batch changes the last digits
        scores = [[t["score"] for t in json.loads(j)["triplets"]] for j in (one, other.to_json())]
        assert scores[0] == pytest.approx(scores[1], abs=2e-4)


def test_stream_reads_a_batch_at_a_time(predictor, scenes, monkeypatch):
    read = []
    monkeypatch.setattr(
        predictor_module, "to_rgb", lambda image: read.append(image) or to_rgb(image)
    )
    stream = predictor.stream(scenes)
    assert read == []
    next(stream)
    assert len(read) == 2
    assert len(list(stream)) == 2 and len(read) == 3


def test_a_missing_file_is_named(predictor):
    with pytest.raises(ImageFileError, match=r"none\.jpg"):
        predictor(["none.jpg"])


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"batch_size": 0}, PredictorError, "1 or more"),
        ({"device": "cuda:99"}, ConfigError, "cuda:99"),
        ({"device": "cpu", "half": True}, ConfigError, "half precision .* needs a GPU"),
        ({"options": ["MODEL.WEIGHTS"]}, ConfigError, "no value"),
    ],
)
def test_settings_that_cannot_be(settings, error, message):
    with pytest.raises(error, match=message):
        HOIPredictor("toy/rmlr", **settings)
    with pytest.raises(error, match=message):
        get_model("toy/rmlr", **settings)


def test_settings(predictor):
    assert (predictor.name, predictor.batch_size) == ("toy/rmlr", 2)
    assert predictor.cfg.MODEL.DEVICE == "cpu" and not predictor.cfg.TEST.HALF


def test_half_gives_nearly_the_same(predictor, scenes, monkeypatch):
    """By bfloat16 on the CPU: no GPU is here."""
    expected = predictor(scenes / "0.png")
    monkeypatch.setattr(
        predictor_module, "half_precision", lambda cfg: torch.autocast("cpu", torch.bfloat16)
    )
    found = predictor(scenes / "0.png")
    assert found.hoi_instances.scores.dtype == found.instances.scores.dtype == torch.float32
    json.loads(found.to_json())
    assert len(found.results()) == len(found) > 3
    assert found[0].verb == expected[0].verb
    assert found[0].score == pytest.approx(expected[0].score, abs=0.05)


def test_half_is_for_evaluation_too(predictor):
    cfg = predictor.cfg.clone()
    with half_precision(cfg):
        assert not torch.is_autocast_enabled("cpu")
    cfg.defrost()
    cfg.TEST.HALF = True
    with pytest.raises(ConfigError, match="needs a GPU"):
        half_precision(cfg)


def test_the_average_of_a_run_is_used(predictor, tmp_path):
    """As `hoi-d2 eval` does: the predictions are those that were scored."""
    model = predictor.model
    for name, parameter in model.named_parameters():  # as in training
        parameter.requires_grad_(not name.startswith("entity_detector"))
    average = WeightAverage(model, decay=0, frozen_prefixes=("entity_detector",))
    average.num_updates = 1
    before = {name: value.clone() for name, value in average.average.items()}
    average.average = {name: value + 1 for name, value in average.average.items()}
    cfg = predictor.cfg.clone()
    cfg.defrost()
    cfg.SOLVER.EMA.ENABLED = True
    checkpointer = HOICheckpointer(model, str(tmp_path), ema=average)
    checkpointer.save("model_final", config=cfg.dump())
    run = HOIPredictor(tmp_path, device="cpu")
    assert run.vocabulary.verbs == predictor.vocabulary.verbs
    name = next(name for name, value in before.items() if value.is_floating_point())
    torch.testing.assert_close(run.model.state_dict()[name], before[name] + 1)
    plain = HOIPredictor(tmp_path, ["SOLVER.EMA.ENABLED", False], device="cpu")
    torch.testing.assert_close(plain.model.state_dict()[name], before[name])
    assert plain.fingerprint == predictor.fingerprint != run.fingerprint
