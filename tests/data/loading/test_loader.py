"""The loader: same batches for any workers, bad images replaced and counted, deaths explained."""

import logging
from itertools import islice

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog

from hoi_d2.data.loading import build as loader_module
from hoi_d2.data.loading.build import (
    build_mapper,
    build_test_loader,
    build_train_loader,
    load_records,
)
from tests import tiny_world as tiny


@pytest.fixture
def cfg(tmp_path):
    return tiny.tiny_cfg(tmp_path)


@pytest.fixture
def dataset(monkeypatch):
    """A function that registers records for the test's time."""
    names = []

    def register(records: list[dict], name: str = "some") -> str:
        names.append(name)
        DatasetCatalog.register(name, lambda: records)
        MetadataCatalog.get(name).set(thing_classes=["a", "b", "c"], evaluator_type="tiny")
        return name

    yield register
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def images(loader, number: int) -> list[torch.Tensor]:
    return [torch.stack([item["image"] for item in batch]) for batch in islice(loader, number)]


def with_bad(indices: list[int], prefix: str = "missing", number: int = 21) -> list[dict]:
    records = tiny.tiny_records(number)
    for index in indices:
        records[index]["file_name"] = f"{prefix}{index}.png"
    return records


def test_batches_do_not_depend_on_workers_nor_on_the_generators(cfg, monkeypatch):
    monkeypatch.setattr(loader_module, "usable_workers", lambda wanted: wanted)
    alone = images(build_train_loader(cfg), 8)
    cfg.DATALOADER.NUM_WORKERS = 2
    torch.rand(5)
    together = images(build_train_loader(cfg), 8)
    assert all(map(torch.equal, alone, together))


def test_a_second_pass_is_augmented_differently(cfg):
    cfg.SOLVER.IMS_PER_BATCH = 21
    first, second = build_train_loader(cfg), build_train_loader(cfg)
    passes = [{i["image_id"]: i["image"] for i in batch} for batch in islice(first, 2)]
    again = {i["image_id"]: i["image"] for i in next(iter(second))}
    assert all(torch.equal(passes[0][key], again[key]) for key in again)
    assert not any(torch.equal(passes[0][key], passes[1][key]) for key in again)


def test_state_goes_on_with_the_next_batch(cfg):
    cfg.SOLVER.ACCUMULATE = 2
    whole = images(build_train_loader(cfg), 12)
    first = build_train_loader(cfg)
    images(first, 4)
    second = build_train_loader(cfg, seed=99)
    second.load_state_dict(first.state_dict())
    assert first.state_dict() == second.state_dict()
    assert all(map(torch.equal, whole[4:], images(second, 8)))


def test_state_of_another_batch_size_skips_what_was_seen(cfg, caplog):
    first = build_train_loader(cfg)
    images(first, 6)
    cfg.SOLVER.IMS_PER_BATCH = 8
    second = build_train_loader(cfg)
    second.load_state_dict(first.state_dict())
    assert second.stream.first_batch == 3
    assert "resumed on other data" in caplog.text


@pytest.mark.parametrize("bad", [[], [3], [3, 5, 20]])
def test_bad_images_are_replaced_and_named_once(cfg, dataset, caplog, bad):
    cfg.DATASETS.TRAIN = (dataset(with_bad(bad)),)
    cfg.DATALOADER.MAX_BAD_IMAGE_SHARE = 0.5
    loader = build_train_loader(cfg)
    seen = [item["image_id"] for batch in islice(loader, 30) for item in batch]
    assert len(seen) == 120 and not set(seen) & set(bad)
    assert sorted(loader.bad_images) == sorted(f"missing{i}.png" for i in bad)
    for index in bad:
        assert caplog.text.count(f"cannot read missing{index}.png") == 1
    again = [item["image_id"] for batch in islice(build_train_loader(cfg), 30) for item in batch]
    assert seen == again


def test_too_many_bad_images_stop_the_run(cfg, dataset):
    cfg.DATASETS.TRAIN = (dataset(with_bad(list(range(8)))),)
    with pytest.raises(OSError, match=r"of \d+ images could not be read.*missing\d"):
        images(build_train_loader(cfg), 50)


def test_no_image_can_be_read(cfg, dataset):
    cfg.DATASETS.TRAIN = (dataset(with_bad(list(range(21)))),)
    with pytest.raises(OSError, match="consecutive images could not be read"):
        images(build_train_loader(cfg), 1)


def test_a_mapper_that_fails_names_the_record(cfg, monkeypatch):
    def fail(self, record):
        raise KeyError("annotations")

    monkeypatch.setattr(tiny.TinyMapper, "__call__", fail)
    with pytest.raises(RuntimeError, match=r"mapper failed on \d+.png: KeyError"):
        images(build_train_loader(cfg), 1)


def test_a_worker_that_dies_names_the_file(cfg, dataset):
    cfg.DATASETS.TRAIN = (dataset(with_bad([7], prefix="kill")),)
    cfg.DATALOADER.NUM_WORKERS = 1
    loader = build_train_loader(cfg)
    with pytest.raises(RuntimeError, match=r"worker died .* were reading: kill7.png"):
        with loader.explained_deaths():
            images(loader, 50)


def test_evaluation_leaves_bad_images_out(cfg, dataset, caplog):
    name = dataset(with_bad([1], number=4))
    loader = build_test_loader(cfg, name)
    assert len(loader) == 4
    assert [item["image_id"] for batch in loader for item in batch] == [0, 2, 3]
    assert "missing1.png" in caplog.text and "not found" in caplog.text


def test_images_without_annotations_stay_unless_asked(cfg, dataset, caplog):
    caplog.set_level(logging.INFO)
    records = tiny.tiny_records(3)
    records[1]["annotations"] = [{"category_id": 0}]
    name = dataset(records)
    assert len(load_records((name,))) == 3
    assert [r["image_id"] for r in load_records((name,), filter_empty=True)] == [1]
    assert "2 of 3 images have no annotations" in caplog.text


@pytest.mark.parametrize("names, error", [((), "no dataset"), (("empty",), "empty is empty")])
def test_no_data_is_an_error(dataset, names, error):
    dataset([], "empty")
    with pytest.raises(ValueError, match=error):
        load_records(names)


def test_an_unknown_mapper_is_named(cfg):
    cfg.DATALOADER.MAPPER = "tests.tiny_world.NoMapper"
    with pytest.raises(ValueError, match=r"tests.tiny_world has no NoMapper"):
        build_mapper(cfg, is_train=True)
