"""Evaluators over several ranks: real processes, a sampler that pads, one rank without images."""

from __future__ import annotations

import os

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.data import DatasetCatalog, MetadataCatalog

from hoi_d2.data.vocabulary import hico_det_vocabulary
from hoi_d2.evaluation.evaluators import HICODetEvaluator
from hoi_d2.evaluation.image_level_evaluators import HICOEvaluator
from hoi_d2.structures import make_hoi_instances

HOI, NAMES = 3, ("distributed_test_hico_det", "distributed_test_hico")
BOX, OTHER = [10.0, 10.0, 40.0, 80.0], [30.0, 50.0, 90.0, 95.0]


def register() -> None:
    vocabulary = hico_det_vocabulary()
    obj, verb = (int(v) for v in vocabulary.hois[HOI])
    entities = [{"bbox": BOX, "category_id": 0}, {"bbox": OTHER, "category_id": obj}]
    pair = {"human": 0, "object": 1, "verb": verb, "hoi": HOI}
    dicts = [
        {
            "file_name": f"{i}.jpg",
            "image_id": i,
            "annotations": entities,
            "hoi_annotations": [pair],
            "image_labels": torch.tensor([1, -1, 1 - 2 * (i % 2)]).numpy(),
        }
        for i in range(5)
    ]
    for name in NAMES:
        DatasetCatalog.register(name, lambda: dicts)
    MetadataCatalog.get(NAMES[0]).set(vocabulary=vocabulary, evaluated_hois=[HOI])


def output(image_id: int) -> dict:
    """Image 2 is found in the wrong place, the others rightly; scores fall with the id."""
    vocabulary = hico_det_vocabulary()
    obj, verb = (torch.tensor([int(v)]) for v in vocabulary.hois[HOI])
    shift = 30.0 if image_id == 2 else 0.0
    instances = make_hoi_instances(
        image_size=(100, 100),
        human_boxes=torch.tensor([BOX]) + shift,
        object_boxes=torch.tensor([OTHER]) + shift,
        object_classes=obj,
        verb_classes=verb,
        hoi_classes=torch.tensor([HOI]),
        scores=torch.tensor([1.0 - 0.1 * image_id]),
        pair_indices=torch.tensor([[0, 1]]),
    )
    scores = torch.tensor([0.5, 0.1 * image_id, 0.2])
    return {"hoi_instances": instances, "hoi_scores": scores}


def evaluate(images: list[int]) -> list[dict]:
    results = []
    for evaluator in (HICODetEvaluator(NAMES[0]), HICOEvaluator(NAMES[1])):
        evaluator.reset()
        for image_id in images:
            evaluator.process([{"image_id": image_id}], [output(image_id)])
        results.append(evaluator.evaluate())
    return results


def worker(rank: int, shares: list[list[int]], folder: str) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=len(shares)
    )
    torch.save(evaluate(shares[rank]), os.path.join(folder, f"{rank}.pt"))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def alone() -> list[dict]:
    register()
    yield evaluate([0, 1, 2, 3, 4])
    for name in NAMES:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.mark.parametrize("shares", [[[0, 2, 4, 1], [1, 3, 0]], [[4, 3, 2, 1, 0], [], [4]]])
def test_every_split_gives_the_same_numbers(tmp_path, alone, shares):
    mp.start_processes(
        worker, args=(shares, str(tmp_path)), nprocs=len(shares), start_method="fork"
    )
    assert torch.load(tmp_path / "0.pt", weights_only=False) == alone
    assert torch.load(tmp_path / "1.pt", weights_only=False) == [{}, {}]
    assert alone[0]["hico_det"]["mAP_default_full"] == pytest.approx(100 * (5 + 4 * 0.8) / 11)
