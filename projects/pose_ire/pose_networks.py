"""Networks that find the joints of a person: crops in, heatmaps out, with anybody's weights.

| source | weights | joints |
|---|---|---|
| a hub id or folder of transformers | ViTPose, ViTPose+ | 17 of COCO |
| a `.pth` of mmpose | SimpleBaseline (ResNet), HRNet | 14 of CrowdPose, or what it was trained on |
| a `.pth` of ViTPose's own repository | ViTPose | 17 of COCO, or what it was trained on |
| `module:function` | any, by that function | any |

All of them want ImageNet's mean and standard deviation, as DETR does.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence

import timm
import torch
import torchvision
from torch import Tensor, nn

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.weight_files import read_weights

CROWDPOSE_JOINTS = (
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
    *("top_head", "neck"),
)
"""The 14 joints of CrowdPose, in the order of its annotations (arXiv 1812.00324)."""

SIZE = (256, 192)
"""Height and width of a crop, of all published models but those with "320x256" in their names."""
_RESNET_DEPTHS = {6: "resnet50", 23: "resnet101", 36: "resnet152"}  # by the blocks of stage 3
_HRNET_WIDTHS = (18, 30, 32, 40, 44, 48, 64)  # that timm has
_HEADS = {384: 12, 768: 12, 1024: 16, 1280: 16}  # of ViTPose S, B, L and H, by the width
_VIT_NAMES = (
    ("patch_embed.proj.", "embeddings.patch_embeddings.projection."),
    ("pos_embed", "embeddings.position_embeddings"),
    ("blocks.", "encoder.layer."),
    (".attn.proj.", ".attention.output.dense."),
    (".norm1.", ".layernorm_before."),
    (".norm2.", ".layernorm_after."),
    ("last_norm.", "layernorm."),
)
_DECONV_NAMES = {"0": "deconv1", "1": "batchnorm1", "3": "deconv2", "4": "batchnorm2"}


class PoseNetwork(nn.Module):
    """A backbone and a head: (N, 3, H, W) normalised crops to (N, joints, h, w) heatmaps.

    Args:
        backbone: crops to a map.
        head: the map to heatmaps.
        num_joints: heatmaps of a person.
        crop_size: height and width of the crops.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        *,
        num_joints: int,
        crop_size: Sequence[int] = SIZE,
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.num_joints, self.crop_size = num_joints, (crop_size[0], crop_size[1])

    def forward(self, crops: Tensor) -> Tensor:
        return self.head(self.backbone(crops))


class VitPoseNetwork(nn.Module):
    """transformers' `VitPoseForPoseEstimation` as a pose network."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.num_joints: int = model.config.num_labels
        self.crop_size: tuple[int, int] = tuple(model.config.backbone_config.image_size)

    def forward(self, crops: Tensor) -> Tensor:
        # ViTPose+ has an expert for each data set it was trained on; the first is COCO's.
        several = self.model.config.backbone_config.num_experts > 1
        index = {"dataset_index": torch.zeros(len(crops), dtype=torch.long)} if several else {}
        return self.model(pixel_values=crops, **index).heatmaps


class PointsAsHeatmaps(nn.Module):
    """A model that gives points, such as MoveNet, as a pose network: a bump at each joint.

    Args:
        model: (N, 3, H, W) crops to (N, joints, 3): y and x as shares of the crop, and a score.
        num_joints, crop_size: of the model; MoveNet has COCO's 17 joints.
        spread: standard deviation of a bump, in cells of the heatmap, which are 4 pixels wide.
    """

    def __init__(
        self, model: nn.Module, *, num_joints: int = 17, crop_size: Sequence[int], spread: float = 2
    ) -> None:
        super().__init__()
        self.model, self.num_joints, self.spread = model, num_joints, spread
        self.crop_size = (crop_size[0], crop_size[1])

    def forward(self, crops: Tensor) -> Tensor:
        points = self.model(crops).to(crops)
        height, width = self.crop_size[0] // 4, self.crop_size[1] // 4
        rows = torch.arange(height, device=crops.device).view(-1, 1) + 0.5
        columns = torch.arange(width, device=crops.device) + 0.5
        y, x, score = points[..., None, None].unbind(dim=2)
        squares = (rows - y * height) ** 2 + (columns - x * width) ** 2
        return score * (-squares / (2 * self.spread**2)).exp()


def pose_network(source: str, *, crop_size: Sequence[int] = SIZE, sha256: str = "") -> nn.Module:
    """The network of a source, with its weights.

    Args:
        source: see the table above.
        crop_size: of a `.pth`, which does not say it.
        sha256: of a `.pth`; its beginning is enough, and "" is not checked.

    Raises:
        OSError: a hub id that is not on this machine and cannot be downloaded; no such file.
        WeightsError: a `.pth` of another layout, or with weights that do not fit.
    """
    if ":" in source and "://" not in source:
        module, _, function = source.partition(":")
        return getattr(importlib.import_module(module), function)()
    if source.endswith((".pth", ".pt", ".safetensors")):
        return from_weights(
            read_weights(source, sha256=sha256).weights, name=source, crop_size=crop_size
        )
    from transformers import VitPoseForPoseEstimation

    return VitPoseNetwork(VitPoseForPoseEstimation.from_pretrained(source))


def from_weights(
    weights: Mapping[str, Tensor], *, name: str = "the weights", crop_size: Sequence[int] = SIZE
) -> nn.Module:
    """The network of mmpose's or ViTPose's weights; its architecture is read off their names.

    Heads are below `keypoint_head.` (mmpose 0.x and ViTPose) or `head.` (mmpose 1.x).

    Raises:
        WeightsError: another layout, or weights that do not fit.
    """
    weights = {n.removeprefix("module."): t for n, t in weights.items()}
    weights = {n.replace("keypoint_head.", "head.", 1): t for n, t in weights.items()}
    if "backbone.patch_embed.proj.weight" in weights:
        return _vitpose(weights, name, crop_size)
    backbone = _convolutional(weights, name)
    head = _deconvolution_head(_below(weights, "head."), name)
    joints = len(weights["head.final_layer.weight"])
    network = PoseNetwork(backbone, head, num_joints=joints, crop_size=crop_size)
    names = {f"backbone.network.{n}": t for n, t in _below(weights, "backbone.").items()}
    names |= {n: t for n, t in weights.items() if n.startswith("head.")}
    _load(network, names, name)
    return network


def _below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in weights.items() if n.startswith(prefix)}


class _ResNetMap(nn.Module):
    """The last map of torchvision's ResNet, whose names mmpose keeps; stride 32."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.network = torchvision.models.get_model(name, weights=None)
        del self.network.fc

    def forward(self, x: Tensor) -> Tensor:
        net = self.network
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        return net.layer4(net.layer3(net.layer2(net.layer1(x))))


class _HRNetMap(nn.Module):
    """The finest map of timm's HRNet, whose names mmpose keeps; stride 4."""

    def __init__(self, name: str) -> None:
        super().__init__()
        net = timm.create_model(name, pretrained=False)
        net.incre_modules = net.downsamp_modules = net.final_layer = net.classifier = None
        # The last exchange makes one map for a pose; timm's makes four, for classes.
        last = net.stage4[-1]
        last.fuse_layers = last.fuse_layers[:1]
        self.network = net

    def forward(self, x: Tensor) -> Tensor:
        net = self.network
        x = net.act2(net.bn2(net.conv2(net.act1(net.bn1(net.conv1(x))))))
        return net.stages(x)[0]


def _convolutional(weights: Mapping[str, Tensor], name: str) -> nn.Module:
    width = weights.get("backbone.stage4.0.branches.0.0.conv1.weight")
    if width is not None and len(width) in _HRNET_WIDTHS:
        return _HRNetMap(f"hrnet_w{len(width)}")
    blocks = {n.split(".")[2] for n in weights if n.startswith("backbone.layer3.")}
    if len(blocks) in _RESNET_DEPTHS and "backbone.layer3.0.conv3.weight" in weights:
        return _ResNetMap(_RESNET_DEPTHS[len(blocks)])
    raise WeightsError(
        f"{name}: the names of its weights are neither those of a ResNet-50, -101 or -152 nor of "
        f"an HRNet of mmpose, nor of ViTPose: {', '.join(list(weights)[:3])}, ..."
    )


def _deconvolution_head(weights: Mapping[str, Tensor], name: str) -> nn.Module:
    """mmpose's heatmap head: deconvolutions, each with a norm, and a last convolution."""
    if "final_layer.weight" not in weights:
        raise WeightsError(f"{name} has no heatmap head (head.final_layer)")
    layers: list[nn.Module] = []
    while (kernel := weights.get(f"deconv_layers.{len(layers)}.weight")) is not None:
        inner, outer, size, _ = kernel.shape
        padding, more = {4: (1, 0), 3: (1, 1), 2: (0, 0)}[size]  # each doubles the resolution
        up = nn.ConvTranspose2d(inner, outer, size, 2, padding, more, bias=False)
        layers += [up, nn.BatchNorm2d(outer), nn.ReLU()]
    joints, inner, size, _ = weights["final_layer.weight"].shape
    head = nn.Sequential()
    head.add_module("deconv_layers", nn.Sequential(*layers))
    head.add_module("final_layer", nn.Conv2d(inner, joints, size, padding=size // 2))
    return head


def _vitpose(weights: Mapping[str, Tensor], name: str, crop_size: Sequence[int]) -> nn.Module:
    """ViTPose's own names as those of transformers, and the model they belong to."""
    from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation

    dim, _, patch, _ = weights["backbone.patch_embed.proj.weight"].shape
    depth = len({n.split(".")[2] for n in weights if n.startswith("backbone.blocks.")})
    backbone = VitPoseBackboneConfig(
        image_size=list(crop_size), patch_size=[patch, patch], hidden_size=dim,
        num_hidden_layers=depth, num_attention_heads=_HEADS.get(dim, max(dim // 64, 1)),
        out_indices=[depth], layer_norm_eps=1e-6,
    )  # fmt: skip
    simple = "head.deconv_layers.0.weight" not in weights
    joints = len(weights["head.final_layer.weight"])
    config = VitPoseConfig(
        backbone_config=backbone, num_labels=joints, use_simple_decoder=simple, scale_factor=4
    )
    network = VitPoseNetwork(VitPoseForPoseEstimation(config))
    renamed: dict[str, Tensor] = {}
    for key, tensor in weights.items():
        if ".attn.qkv." in key:
            start, kind = key.split(".attn.qkv.")
            start = start.replace("blocks.", "encoder.layer.")
            for part, value in zip(("query", "key", "value"), tensor.chunk(3)):
                renamed[f"model.{start}.attention.attention.{part}.{kind}"] = value
        else:
            renamed[f"model.{_vit_name(key)}"] = tensor
    renamed.pop("model.backbone.cls_token", None)  # of its pre-training
    _load(network, renamed, name)
    return network


def _vit_name(key: str) -> str:
    if key.startswith("head.deconv_layers."):
        _, _, number, kind = key.split(".")
        return f"head.{_DECONV_NAMES.get(number, number)}.{kind}"
    for theirs, ours in _VIT_NAMES:
        key = key.replace(theirs, ours)
    return key.replace("head.final_layer.", "head.conv.")


def _load(network: nn.Module, weights: Mapping[str, Tensor], name: str) -> None:
    """Every weight must be there and fit."""
    try:
        missing, unexpected = network.load_state_dict(dict(weights), strict=False)
    except RuntimeError as error:  # other shapes
        raise WeightsError(f"{name}: {str(error).splitlines()[1].strip()}") from error
    missing = [n for n in missing if not n.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise WeightsError(
            f"{name} does not fit: {len(missing)} weights are missing ({', '.join(missing[:3])}), "
            f"{len(unexpected)} are unknown ({', '.join(unexpected[:3])})"
        )
