"""Training from stored outputs takes the steps of training from images."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from hoi_d2.config.load import ConfigError
from hoi_d2.engine.trainer import HOITrainer
from hoi_d2.inference import cache_detections as filling
from hoi_d2.modeling.entity_detector import augmented
from hoi_d2.modeling.entity_detector.augmented import AugmentedOutputs, MissingOutputsError
from hoi_d2.modeling.entity_detector.caching import SETTINGS_NAME
from tests import toy_few

NAME = "few_files"
KEY = "MODEL.ENTITY_DETECTOR.CACHE"
OPTIONS = (
    *("DATASETS.TRAIN", (NAME,), "DATASETS.TEST", (), "SOLVER.AMP.ENABLED", False),
    *("SOLVER.MAX_ITER", 6, "SOLVER.IMS_PER_BATCH", 2, f"{KEY}_AUGMENTATIONS", 2),
)


@pytest.fixture(scope="module", autouse=True)
def files(tmp_path_factory) -> Iterator[Path]:
    """The dataset `few_files`: four images of the toy world as files."""
    from hoi_d2.data.images import read_image

    folder, records = tmp_path_factory.mktemp("files"), []
    for record in toy_few.load("train")[:4]:
        name = str(folder / f"{record['image_id']}.png")
        cv2.imwrite(name, read_image(record["file_name"])[:, :, ::-1])
        records.append({**record, "file_name": name})
    DatasetCatalog.register(NAME, lambda: records)
    MetadataCatalog.get(NAME).set(**toy_few.toy_metadata(), evaluator_type="hico_det")
    yield folder
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def fill(output: Path, *options: object) -> dict[str, int]:
    opts = [*toy_few.OVERRIDES, *OPTIONS, *options]
    return filling.cache_detections(toy_few.CONFIG, str(output), "", opts, training=True)


@pytest.fixture(scope="module")
def stored(files, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("cache")
    assert fill(output) == {"stored": 8, "kept": 0}
    return output


@pytest.fixture
def filled(stored, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(stored, tmp_path / "cache"))


def entries(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.safetensors"))


def losses(folder: Path, *options: object) -> tuple[list[float], list[bool]]:
    """Of each step; and whether each image was read."""
    torch.manual_seed(0)
    trainer = HOITrainer(toy_few.few_cfg(*OPTIONS, "OUTPUT_DIR", str(folder), *options))
    trainer.resume_or_load(resume=False)
    found: list[float] = []
    read: list[bool] = []

    def keep(module, inputs, output):
        found.append(sum(float(v.detach()) for v in output.values()))
        read.extend("image" in x for x in inputs[0])

    trainer.model.register_forward_hook(keep)
    trainer.build_writers = list
    with EventStorage(0):
        trainer.train()
    return found, read


def test_steps_are_those_from_images(tmp_path, stored):
    online, read = losses(tmp_path / "a")
    cached, unread = losses(tmp_path / "b", KEY, str(stored))
    assert all(read) and len(online) == 6 and not any(unread)
    assert cached == pytest.approx(online, rel=1e-3)  # float16 has 3 digits
    assert len(set(online)) == 6


def test_what_is_not_stored_is_computed(tmp_path, filled, files):
    entries(filled)[0].unlink()
    entries(filled)[3].write_bytes(entries(filled)[3].read_bytes()[:200])  # damaged
    online, _ = losses(tmp_path / "a")
    cached, read = losses(tmp_path / "b", KEY, str(filled))
    assert cached == pytest.approx(online, rel=1e-3)
    assert 0 < sum(read) < len(read)
    assert len(entries(filled)) == 7  # training writes nothing
    assert fill(filled) == {"stored": 2, "kept": 6}


@pytest.mark.parametrize(
    "options, message",
    [
        (("INPUT.RANDOM_FLIP", "none"), "there: INPUT.RANDOM_FLIP: horizontal; here: INPUT.RAN"),
        (("MODEL.DETR.PRECISION", "bfloat16"), "there: PRECISION: float32; here: PRECISION: bfl"),
    ],
)
def test_other_settings_are_named(tmp_path, stored, options, message):
    with pytest.raises(MissingOutputsError, match=rf"only of others.*{message}.*hoi-d2 cache --tr"):
        losses(tmp_path, KEY, str(stored), *options)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(MissingOutputsError, match=r"no stored detections.*settings\. MODEL"):
        losses(tmp_path / "a", KEY, str(tmp_path / "nothing"))


def test_a_model_without_a_detector_is_refused(tmp_path, stored):
    with pytest.raises(ConfigError, match="Detr has no frozen detector"):
        losses(tmp_path, KEY, str(stored), "MODEL.META_ARCHITECTURE", "Detr")


def test_a_mapper_that_needs_images_is_refused(tmp_path):
    mapper = "hoi_d2.data.layout_mapper.LayoutMapper"
    with pytest.raises(ConfigError, match="LayoutMapper has no method `without_image`"):
        fill(tmp_path, "DATALOADER.MAPPER", mapper)


@pytest.mark.parametrize("number, error", [(0, "is 0"), (-1, "is -1")])
def test_a_number_is_needed(tmp_path, number, error):
    with pytest.raises(ConfigError, match=error):
        fill(tmp_path, f"{KEY}_AUGMENTATIONS", number)


def test_a_disk_that_is_too_small_is_told_first(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(filling.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(filling.CacheSpaceError, match=r"MB in .* where 0\.0 MB are free: lower"):
        fill(tmp_path)
    assert not entries(tmp_path)


def test_a_full_disk_leaves_whole_entries(filled, monkeypatch):
    for path in entries(filled)[2:]:
        path.unlink()
    put, calls = AugmentedOutputs.put, []

    def until_full(self, *args):
        calls.append(put(self, *args))
        if len(calls) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(AugmentedOutputs, "put", until_full)
    with pytest.raises(OSError, match="No space left"):
        fill(filled)
    monkeypatch.undo()
    assert fill(filled) == {"stored": 3, "kept": 5}


def test_the_estimate_is_that_of_the_files(stored, caplog):
    with caplog.at_level(logging.INFO, logger=filling.logger.name):
        fill(stored)
    assert (
        "8 of 8 augmentations are stored" in caplog.text
        and "storing the outputs takes" not in caplog.text
    )
    cfg = toy_few.few_cfg(*OPTIONS)
    mapper = filling.build_mapper(cfg, is_train=True)
    detector = filling.build_entity_detector(cfg)
    found = augmented.estimated_bytes(DatasetCatalog.get(NAME), mapper, detector)
    real = sum(path.stat().st_size for path in entries(stored)) / 8
    tokens = 2 * 30 * 128  # of 30 queries, which the estimate leaves out
    assert found == pytest.approx(real - tokens, rel=0.1)


def test_unreadable_images_are_left_out(tmp_path, caplog):
    records = DatasetCatalog.get(NAME)
    records.append({**records[0], "file_name": str(tmp_path / "gone.png")})
    try:
        assert fill(tmp_path) == {"stored": 8, "kept": 0}
    finally:
        records.pop()
    assert "gone.png" in caplog.text and "skipped" in caplog.text


def outputs_and_record(folder: Path) -> tuple[AugmentedOutputs, dict]:
    (folder / "a.png").write_bytes(b"first")
    return AugmentedOutputs(folder, settings="s"), {"file_name": str(folder / "a.png")}


def instances(number: int) -> Instances:
    rng = np.random.default_rng(0)
    boxes = torch.from_numpy(rng.uniform(0, 1333, (number, 4))).float()
    fields = {"scores": torch.rand(number), "pred_classes": torch.arange(number)}
    return Instances((800, 1333), pred_boxes=Boxes(boxes), tokens=torch.rand(number, 5), **fields)


@pytest.mark.parametrize("number", [0, 1, 7])
def test_entries_are_rounded_where_that_does_not_matter(tmp_path, number):
    outputs, record = outputs_and_record(tmp_path)
    given, feature_map = instances(number), torch.rand(3, 4, 5)
    outputs.put(record, 1, given, feature_map)
    assert outputs.get(record, 0) is None and outputs.is_fresh(record, 1)
    found, stored_map = outputs.get(record, 1)
    assert torch.equal(found.pred_boxes.tensor, given.pred_boxes.tensor)
    assert torch.equal(found.scores, given.scores) and found.image_size == (800, 1333)
    assert found.tokens.dtype == stored_map.dtype == torch.float16
    torch.testing.assert_close(stored_map.float(), feature_map, rtol=1e-3, atol=1e-4)
    assert given.tokens.dtype == torch.float32  # the caller's are as they were


def test_values_beyond_float16_are_kept(tmp_path):
    outputs, record = outputs_and_record(tmp_path)
    feature_map = torch.tensor([1e5, 1.0]).view(2, 1, 1)
    outputs.put(record, 0, instances(1), feature_map)
    assert torch.equal(outputs.get(record, 0)[1], feature_map)


@pytest.mark.parametrize("change", ["content", "ignore_exif"])
def test_a_changed_image_is_noticed(tmp_path, change):
    outputs, record = outputs_and_record(tmp_path)
    outputs.put(record, 0, instances(1), torch.rand(1, 1, 1))
    if change == "content":
        Path(record["file_name"]).write_bytes(b"second")
    else:
        record["ignore_exif"] = True
    assert outputs.get(record, 0) is None and not outputs.is_fresh(record, 0)


def test_only_old_unfinished_files_are_removed(tmp_path, monkeypatch):
    outputs, _ = outputs_and_record(tmp_path)
    outputs.start_writing()
    assert (outputs.folder / SETTINGS_NAME).read_text() == "s"
    unfinished = outputs.folder / "x.safetensors.1234.tmp"
    unfinished.touch()
    outputs.start_writing()
    assert unfinished.is_file()  # of another process, perhaps
    monkeypatch.setattr(augmented, "_OLD", -1)
    outputs.start_writing()
    assert not unfinished.exists()
