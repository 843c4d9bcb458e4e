import sys
from pathlib import Path

import pytest
import torch
import transformers
from detectron2.modeling import build_model
from detectron2.structures import Instances

sys.path.insert(0, str(Path(__file__).parents[2] / "projects" / "pose_ire"))
from pose_heads import HumanPose, PoseInteractionHeads

from hoi_d2.checkpoint.checkpointer import weights_hash
from hoi_d2.modeling.language import linguistic_knowledge
from hoi_d2.modeling.roi_heads.pair_generator import PairGenerator
from tests.modeling.language.small_encoders import encoded
from tests.modeling.tiny import GivenDetections, model_input, tiny_config

BOXES = [[5, 5, 30, 60], [10, 30, 60, 62], [40, 2, 70, 50]]


def small_vitpose():
    torch.manual_seed(0)
    backbone = transformers.VitPoseBackboneConfig(
        image_size=[32, 24], patch_size=[8, 8], hidden_size=16, num_hidden_layers=1,
        num_attention_heads=2, out_indices=[1],
    )  # fmt: skip
    config = transformers.VitPoseConfig(backbone_config=backbone, num_labels=5)
    return transformers.VitPoseForPoseEstimation(config)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pose")
    small_vitpose().save_pretrained(path)
    return str(path)


def rmlr(folder, *options, boxes=BOXES, scores=(0.9, 0.8, 0.7), classes=(0, 1, 0)):
    torch.manual_seed(0)
    cfg = tiny_config("RmLR", "MODEL.RMLR.HEADS", "PoseInteractionHeads", *options)
    cfg.MODEL.RMLR.EXTRA.POSE_MODEL = folder
    model = build_model(cfg)
    model.entity_detector.detect = GivenDetections(model.entity_detector, boxes, scores, classes)
    return model


@pytest.mark.parametrize("boxes", [[], BOXES[:1], BOXES])
def test_it_runs_and_trains(folder, boxes, monkeypatch):
    monkeypatch.setattr(linguistic_knowledge, "encode_sentences", lambda s, **_: encoded(s))
    count = len(boxes)
    scores, classes = [0.9, 0.8, 0.7][:count], [0, 1, 0][:count]
    options = ("MODEL.RMLR.CML.ENABLED", True)
    model = rmlr(folder, *options, boxes=boxes, scores=scores, classes=classes).train()
    pose = weights_hash(model.state_dict(), "interaction_heads.pose")
    losses = model([model_input(), model_input(96, 64, seed=1)])
    sum(losses.values()).backward()
    trained = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert not any(".pose." in n or "relation_encoder" in n for n in trained)
    assert all(g is not None and torch.isfinite(g).all() for g in trained.values())
    if count == 3:
        assert trained["interaction_heads.to_union.0.weight"].abs().sum() > 0
    torch.optim.AdamW(model.parameters(), lr=0.1).step()
    assert weights_hash(model.state_dict(), "interaction_heads.pose") == pose
    assert not any(m.training for m in model.interaction_heads.pose.modules())
    assert len(model.eval()([model_input()])) == 1


def test_padding_changes_nothing(folder):
    model = rmlr(folder).eval()
    inputs = [model_input(64, 80), model_input(96, 70, seed=1)]
    kept = []
    model.interaction_heads.register_forward_hook(lambda m, i, o: kept.append(o.verb_logits))
    with torch.no_grad():
        model(inputs)
        for x in inputs:
            model([x])
    torch.testing.assert_close(kept[0], torch.cat(kept[1:]), rtol=1e-4, atol=1e-5)


def test_crops_have_the_models_shape_and_hold_the_person():
    pose = HumanPose(small_vitpose())
    boxes = torch.tensor([[10.0, 10, 20, 90], [0, 0, 90, 10], [5, 5, 5, 5]])
    crops = pose.crops(boxes)
    size = crops[:, 2:] - crops[:, :2]
    torch.testing.assert_close(size[:, 0] / size[:, 1], torch.full((3,), 24 / 32))
    assert (crops[:, :2] <= boxes[:, :2]).all() and (crops[:, 2:] >= boxes[:, 2:]).all()
    assert size.min() > 0


def test_a_joint_lies_where_it_is_in_the_union_box(folder):
    """A heatmap with one hot cell: the pair's pose map has its peak at that place."""
    heads = rmlr(folder).interaction_heads
    assert isinstance(heads, PoseInteractionHeads)
    human, object_ = [20.0, 20, 44, 52], [60.0, 20, 84, 52]  # union: 64 x 32
    found = Instances((100, 100))
    from detectron2.structures import Boxes

    found.pred_boxes = Boxes(torch.tensor([human, object_]))
    found.scores, found.pred_classes = torch.tensor([0.9, 0.8]), torch.tensor([0, 1])
    found.tokens = torch.zeros(2, 32)
    pairs = PairGenerator()([found])
    hot = torch.zeros(1, 5, 32, 24)
    crop = heads.pose.crops(torch.tensor([human]))[0]
    joint = torch.tensor([38.0, 45.0])  # left of the middle of the union, near its bottom
    column, row = ((joint - crop[:2]) / (crop[2:] - crop[:2]) * torch.tensor([24.0, 32.0])).long()
    hot[0, 3, row, column] = 1

    class Given(torch.nn.Module):
        crops = staticmethod(heads.pose.crops)

        def forward(self, images, image_index, boxes):
            return hot

    heads.pose = Given()
    maps = heads.pose_maps(torch.zeros(1, 3, 100, 100), pairs)
    assert maps.shape == (1, 6, 7, 7)
    peak = maps[0, 3].flatten().argmax().item()
    expected_column, expected_row = int((38 - 20) / 64 * 7), int((45 - 20) / 32 * 7)
    assert abs(peak % 7 - expected_column) <= 1 and abs(peak // 7 - expected_row) <= 1
    assert maps[0, :3].sum() == 0
    assert maps[0, 5].sum(dim=0).tolist() == [0, 0, 0, 0, 7, 7, 7]  # the object: right of 4/7


def test_a_model_that_is_not_here_is_random_and_says_so(caplog, monkeypatch):
    monkeypatch.setattr(transformers, "VitPoseForPoseEstimation", StandIn, raising=True)
    pose = HumanPose.from_name("nobody/no-such-pose")
    assert "RANDOM WEIGHTS" in caplog.text and "hf download nobody/no-such-pose" in pose.stand_in


class StandIn(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config

    @classmethod
    def from_pretrained(cls, name):
        raise OSError("offline")
