import re
import sys
import types
from pathlib import Path

import pytest
import timm
import torch
import torchvision
import transformers
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.structures import Instances
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[2] / "projects" / "pose_ire"))
from pose_heads import HumanPose, MissingPoseError, PoseInteractionHeads
from pose_networks import (
    CROWDPOSE_JOINTS,
    PointsAsHeatmaps,
    VitPoseNetwork,
    from_weights,
    pose_network,
)

from hoi_d2.checkpoint.checkpointer import weights_hash
from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.config.load import ConfigError
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


def rmlr(folder, *options, boxes=BOXES, scores=(0.9, 0.8, 0.7), classes=(0, 1, 0), size=None):
    torch.manual_seed(0)
    cfg = tiny_config("RmLR", "MODEL.RMLR.HEADS", "PoseInteractionHeads", *options)
    cfg.MODEL.RMLR.EXTRA.POSE_MODEL = folder
    if size:
        cfg.MODEL.RMLR.EXTRA.POSE_SIZE = size
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
    pose = HumanPose(VitPoseNetwork(small_vitpose()))
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


@pytest.mark.parametrize("source", ["nobody/no-such-pose", "gone.pth"])
def test_a_model_that_is_not_here_is_refused_or_says_that_it_is_random(source, caplog):
    node = CfgNode({"POSE_MODEL": source})
    with pytest.raises(MissingPoseError, match=f"{source} is not available here"):
        HumanPose.from_config(node, random_allowed=False)
    pose = HumanPose.from_config(node, random_allowed=True)
    assert "RANDOM WEIGHTS" in caplog.text and source in pose.stand_in
    with pytest.raises(ConfigError, match="POSE_MODEL"):
        HumanPose.from_config(CfgNode(), random_allowed=True)


def random_weights(shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        n: torch.ones(s) if n.endswith("running_var") else torch.randn(s, generator=generator) * 0.1
        for n, s in shapes.items()
    }


def mmpose_resnet50():
    """SimpleBaseline as mmpose 0.x saves it: torchvision's names below `backbone.`, and a head."""
    torch.manual_seed(0)
    network = torchvision.models.resnet50(weights=None).eval()
    weights = {
        f"backbone.{n}": t for n, t in network.state_dict().items() if not n.startswith("fc.")
    }
    shapes, inner = {}, 2048
    for number in (0, 3, 6):
        head = f"keypoint_head.deconv_layers.{number}"
        shapes[f"{head}.weight"] = (inner, 16, 4, 4)
        norm = f"keypoint_head.deconv_layers.{number + 1}"
        shapes |= {f"{norm}.{k}": (16,) for k in ("weight", "bias", "running_mean", "running_var")}
        inner = 16
    shapes["keypoint_head.final_layer.weight"] = (14, 16, 1, 1)
    shapes["keypoint_head.final_layer.bias"] = (14,)
    return network, weights | random_weights(shapes)


def test_a_resnet_of_mmpose(tmp_path):
    """14 joints of CrowdPose at a quarter of the resolution; a plain forward as the oracle."""
    resnet, weights = mmpose_resnet50()
    torch.save({"meta": {}, "state_dict": weights}, tmp_path / "res50.pth")
    network = pose_network(str(tmp_path / "res50.pth"), crop_size=(64, 32)).eval()
    assert (network.num_joints, network.crop_size) == (len(CROWDPOSE_JOINTS), (64, 32))
    x = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        found = network(x)
        body = torch.nn.Sequential(*list(resnet.children())[:-2])
        y = body(x)
        for n in (0, 3, 6):
            head = f"keypoint_head.deconv_layers.{n}"
            norm = [
                weights[f"keypoint_head.deconv_layers.{n + 1}.{k}"]
                for k in ("running_mean", "running_var", "weight", "bias")
            ]
            y = F.conv_transpose2d(y, weights[f"{head}.weight"], stride=2, padding=1)
            y = F.batch_norm(y, *norm).relu()
        y = F.conv2d(y, *(weights[f"keypoint_head.final_layer.{k}"] for k in ("weight", "bias")))
    assert found.shape == (2, 14, 16, 8)
    torch.testing.assert_close(found, y, rtol=1e-4, atol=1e-5)
    # mmpose 1.x has the same below `head.`
    newer = {n.replace("keypoint_head.", "head."): t for n, t in weights.items()}
    with torch.no_grad():
        torch.testing.assert_close(from_weights(newer, crop_size=(64, 32)).eval()(x), found)


def test_an_hrnet_of_mmpose():
    """timm's names below `backbone.`; of the last exchange it has the finest map alone."""
    torch.manual_seed(0)
    timm_network = timm.create_model("hrnet_w18", pretrained=False).eval()
    pattern = re.compile(r"incre_modules|downsamp_modules|final_layer|classifier")
    other_maps = re.compile(r"stage4\.2\.fuse_layers\.[123]\.")
    weights = {
        f"backbone.{n}": t
        for n, t in timm_network.state_dict().items()
        if not pattern.match(n) and not other_maps.match(n)
    }
    shapes = {"head.final_layer.weight": (14, 18, 1, 1), "head.final_layer.bias": (14,)}
    weights |= random_weights(shapes)
    network, x = from_weights(weights, crop_size=(64, 64)).eval(), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        net = timm_network
        stem = net.act2(net.bn2(net.conv2(net.act1(net.bn1(net.conv1(x))))))
        expected = F.conv2d(net.stages(stem)[0], *(weights[n] for n in shapes))
        torch.testing.assert_close(network(x), expected)
    assert expected.shape == (1, 14, 16, 16)


@pytest.mark.parametrize("simple", [True, False])
def test_vitpose_under_its_own_names(simple):
    """Names of transformers' model turned into those of ViTPose's repository, and back."""
    torch.manual_seed(0)
    backbone = transformers.VitPoseBackboneConfig(
        image_size=[32, 24], patch_size=[8, 8], hidden_size=128, num_hidden_layers=2,
        num_attention_heads=2, out_indices=[2], layer_norm_eps=1e-6,
    )  # fmt: skip
    config = transformers.VitPoseConfig(
        backbone_config=backbone, num_labels=14, use_simple_decoder=simple
    )
    model = transformers.VitPoseForPoseEstimation(config).eval()
    torch.nn.init.normal_(model.backbone.embeddings.position_embeddings)
    state, theirs = model.state_dict(), {}
    renames = [
        ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
        ("embeddings.position_embeddings", "pos_embed"), ("encoder.layer", "blocks"),
        ("attention.output.dense", "attn.proj"), ("layernorm_before", "norm1"),
        ("layernorm_after", "norm2"), ("backbone.layernorm", "backbone.last_norm"),
        ("head.conv", "keypoint_head.final_layer"),
        ("head.deconv1", "keypoint_head.deconv_layers.0"),
        ("head.batchnorm1", "keypoint_head.deconv_layers.1"),
        ("head.deconv2", "keypoint_head.deconv_layers.3"),
        ("head.batchnorm2", "keypoint_head.deconv_layers.4"),
    ]  # fmt: skip
    for name, tensor in state.items():
        if ".attention.attention." in name:
            start, part = name.split(".attention.attention.")
            if part.startswith("query"):
                kind = part.split(".")[1]
                three = [state[f"{start}.attention.attention.{p}.{kind}"] for p in
                         ("query", "key", "value")]  # fmt: skip
                start = start.replace("encoder.layer", "blocks")
                theirs[f"{start}.attn.qkv.{kind}"] = torch.cat(three)
            continue
        for ours, other in renames:
            name = name.replace(ours, other)
        theirs[name] = tensor
    network = from_weights(theirs, crop_size=(32, 24)).eval()
    x = torch.randn(2, 3, 32, 24)
    with torch.no_grad():
        torch.testing.assert_close(network(x), model(pixel_values=x).heatmaps)
    assert network.num_joints == 14 and network.crop_size == (32, 24)


def test_weights_that_are_no_pose_network():
    _, weights = mmpose_resnet50()
    with pytest.raises(WeightsError, match="neither those of a ResNet"):
        from_weights({"a.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match="has no heatmap head"):
        from_weights({n: t for n, t in weights.items() if "final_layer" not in n})
    lost = {n: t for n, t in weights.items() if n != "backbone.layer1.0.conv1.weight"}
    with pytest.raises(WeightsError, match=r"1 weights are missing.*layer1\.0\.conv1"):
        from_weights(lost)
    with pytest.raises(WeightsError, match="size mismatch"):
        from_weights(weights | {"backbone.conv1.weight": torch.zeros(1, 3, 7, 7)})


def test_points_become_bumps():
    """MoveNet gives y, x and a score for 17 joints; the peak lies there and is the score."""
    points = torch.tensor([[0.25, 0.5, 0.9], [0.9, 0.1, 0.2]]).expand(1, 2, 3)
    network = PointsAsHeatmaps(lambda crops: points, num_joints=2, crop_size=(192, 192))
    maps = network(torch.zeros(1, 3, 192, 192))
    assert maps.shape == (1, 2, 48, 48)
    for joint, (y, x, score) in enumerate(points[0].tolist()):
        peak = maps[0, joint].flatten().argmax().item()
        assert abs(peak // 48 + 0.5 - y * 48) <= 0.5 and abs(peak % 48 + 0.5 - x * 48) <= 0.5
        assert maps[0, joint].max() == pytest.approx(score, rel=0.1)


def test_a_function_may_make_the_network(monkeypatch):
    module = types.ModuleType("my_pose")
    module.make = lambda: PointsAsHeatmaps(torch.nn.Identity(), crop_size=(192, 192))
    monkeypatch.setitem(sys.modules, "my_pose", module)
    assert HumanPose(pose_network("my_pose:make")).num_joints == 17


def test_the_head_takes_any_number_of_joints(tmp_path):
    """A CrowdPose file in the config, as in the rows of Table 9."""
    torch.save({"state_dict": mmpose_resnet50()[1]}, tmp_path / "crowdpose.pth")
    model = rmlr(str(tmp_path / "crowdpose.pth"), size=[64, 48])
    assert model.interaction_heads.to_union[0].in_features == (14 + 1) * 7 * 7
    assert len(model.eval()([model_input()])) == 1
