"""transformers' RT-DETR learns by its own loss, and what it learnt is an entity detector."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from detectron2.structures import Boxes, Instances
from torch import nn

from hoi_d2.checkpoint.checkpointer import weights_hash
from hoi_d2.modeling.entity_detector.build import build_entity_detector
from tests.checkpoint.small_models import small_config, small_model

CONFIG = str(Path(__file__).parents[3] / "configs/toy/rt_detr_v2.json")
KEYS = (
    *("MODEL.HOI.VOCABULARY", "hico_det", "MODEL.ENTITY_DETECTOR.TRANSFORMERS.CONFIG", CONFIG),
    *("MODEL.ENTITY_DETECTOR.TRANSFORMERS.SIZE", [96, 128]),
)


def detector() -> nn.Module:
    torch.manual_seed(0)
    return small_model(*KEYS, architecture="TransformersDetector")


def image(boxes: list[list[float]]) -> dict:
    image = torch.randint(0, 256, (3, 60, 100), generator=torch.Generator().manual_seed(0))
    classes = torch.arange(len(boxes)) + 40
    instances = Instances((60, 100), gt_boxes=Boxes(torch.tensor(boxes).reshape(-1, 4).float()))
    instances.gt_classes = classes
    return {"image": image.byte(), "instances": instances, "height": 120, "width": 300}


@pytest.mark.parametrize("boxes", [[], [[10, 5, 60, 50]]])
def test_the_loss_falls_and_reaches_the_backbone(boxes: list[list[float]]) -> None:
    model, inputs = detector().train(), [image(boxes), image([[0, 0, 30, 30]])]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = model(inputs)["loss_detection"]
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    backbone = model.network.model.backbone.parameters()
    assert all(p.grad is not None for p in backbone if p.requires_grad)


def test_results_are_in_the_image_on_disk() -> None:
    with torch.no_grad():
        (output,) = detector()([image([])])
    found = output["instances"]
    assert found.image_size == (120, 300) and len(found) > 0
    assert float(found.pred_boxes.tensor[:, 2].max()) <= 300


def test_it_becomes_an_entity_detector(tmp_path: Path) -> None:
    source, path = detector(), tmp_path / "model_final.pth"
    torch.save({"model": source.state_dict(), "iteration": 3}, path)
    cfg = small_config(
        *KEYS, "MODEL.ENTITY_DETECTOR.NAME", "TransformersEntityDetector", architecture="RmLR"
    )
    target = build_entity_detector(cfg)
    target.load_weights(path)
    assert weights_hash(target.state_dict()) == weights_hash(source.state_dict())
