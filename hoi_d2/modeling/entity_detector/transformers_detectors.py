"""DETR's relatives in transformers as entity detectors: Deformable DETR, RT-DETR, D-FINE, ..."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_convert

from hoi_d2.checkpoint.deformable_conversion import deformable_weights, is_deformable
from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.hub import hub_folder, is_hub_id
from hoi_d2.checkpoint.strict import load_strictly
from hoi_d2.checkpoint.weight_files import WeightFile, read_weights
from hoi_d2.data.class_spaces import class_space
from hoi_d2.model_zoo import config_file
from hoi_d2.model_zoo.published import HubModel
from hoi_d2.modeling.entity_detector.detector_classes import (
    DetectorClasses,
    classes_of,
    dataset_objects,
)
from hoi_d2.modeling.entity_detector.interface import (
    ENTITY_DETECTOR_REGISTRY,
    Entities,
    EntityDetector,
)
from hoi_d2.modeling.entity_detector.mixed_selection import add_mixed_selection
from hoi_d2.modeling.entity_detector.same_size import groups_of_one_size, pad_maps


@ENTITY_DETECTOR_REGISTRY.register()
class TransformersEntityDetector(EntityDetector):
    """A `...ForObjectDetection` of transformers with a `model.backbone`; every query a detection.

    RT-DETR and D-FINE know no padding mask: images are resized to `size`, as they were in
    training. Without a size, images of one size go through the network together.

    Args:
        network: the model.
        classes: what its labels mean.
        size: (height, width) of the network's input; None = as the images come.
        stride: of the backbone's last map.
        feature_map: "backbone" gives its last map, "encoder" the encoder's tokens of that map.
        pixel_mean, pixel_std: of the channels, on 0..255.
        score_threshold: detections below it are dropped.
    """

    network: Any
    class_map: Tensor

    @configurable
    def __init__(
        self,
        *,
        network: nn.Module,
        classes: DetectorClasses,
        size: tuple[int, int] | None,
        stride: int,
        feature_map: str = "backbone",
        pixel_mean: tuple[float, ...],
        pixel_std: tuple[float, ...],
        score_threshold: float = 0.0,
    ) -> None:
        super().__init__(pixel_mean=pixel_mean, pixel_std=pixel_std)
        self.network, self.classes, self.size = network, classes, size
        self.stride, self.score_threshold = stride, score_threshold
        self.token_dim = self.network.config.d_model
        if feature_map not in ("backbone", "encoder"):
            raise ValueError(
                "MODEL.ENTITY_DETECTOR.TRANSFORMERS.FEATURE_MAP: expected backbone or encoder, got "
                f"{feature_map}"
            )
        self.feature_map = feature_map
        self.register_buffer("class_map", classes.map, persistent=False)
        self._maps: list[Tensor] = []  # what the hook on the backbone keeps
        self.network.model.backbone.register_forward_hook(self._keep_maps)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        from transformers import AutoModelForObjectDetection

        node = cfg.MODEL.ENTITY_DETECTOR
        source = node.TRANSFORMERS.CONFIG or node.WEIGHTS
        config = _network_config(source, node.REVISION)
        if node.CLASSES and source.endswith(".json"):  # says nothing of what its labels mean
            config.num_labels = len(class_space(node.CLASSES))
        network = AutoModelForObjectDetection.from_config(config)
        backbone = getattr(getattr(network, "model", None), "backbone", None)
        if not hasattr(backbone, "intermediate_channel_sizes"):  # YOLOS, DAB-DETR
            raise ValueError(f"{type(network).__name__} has no backbone that says its channels")
        add_mixed_selection(network)
        names = tuple(config.id2label[i] for i in range(config.num_labels))
        if node.CLASSES:
            names = class_space(node.CLASSES)
        elif names[0] == "LABEL_0":  # transformers' word for "not named"
            names = dataset_objects(cfg)
        strides = getattr(config, "feat_strides", None)
        return {
            "network": network,
            "classes": classes_of(names, dataset_objects(cfg), source=type(network).__name__),
            "size": tuple(node.TRANSFORMERS.SIZE) or None,
            "stride": strides[-1] if strides else 32,
            "feature_map": node.TRANSFORMERS.FEATURE_MAP,
            "pixel_mean": tuple(cfg.MODEL.PIXEL_MEAN),
            "pixel_std": tuple(cfg.MODEL.PIXEL_STD),
            "score_threshold": cfg.MODEL.DETR.SCORE_THRESHOLD,
        }

    def output_shape(self) -> ShapeSpec:
        """Channels and stride of the feature map."""
        config = self.network.config
        # The encoder of RT-DETR and D-FINE may be wider than their decoder.
        channels = getattr(config, "encoder_hidden_dim", self.token_dim)
        if self.feature_map == "backbone":
            channels = self.network.model.backbone.intermediate_channel_sizes[-1]
        return ShapeSpec(channels=channels, stride=self.stride)

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """`size`, where there is one."""
        return self.size or (height, width)

    def _resized(self, image: Tensor) -> Tensor:
        if self.size is None:
            return image
        return F.interpolate(image[None], self.size, mode="bilinear", antialias=True)[0]

    @torch.no_grad()
    def detect(self, images: ImageList, mask: Tensor) -> Entities:
        """All queries above the score threshold, with the decoder's tokens."""
        instances: list[Any] = [None] * len(images)
        maps: list[Any] = [None] * len(images)
        for indices, raw_images in groups_of_one_size(images):
            output = self.network(pixel_values=raw_images)
            scores, classes = self._classify(output.logits.float())
            boxes = box_convert(output.pred_boxes.float(), "cxcywh", "xyxy")
            found_maps = self._maps[-1]
            if self.feature_map == "encoder":
                found_maps = _encoded_map(output.encoder_last_hidden_state, self._maps)
            for row, index in enumerate(indices):
                tokens = output.last_hidden_state[row].float()
                found = scores[row], classes[row], tokens
                instances[index] = self._entities(boxes[row], *found, images.image_sizes[index])
                maps[index] = found_maps[row].float()
        self._maps = []
        return Entities(instances, *pad_maps(maps))

    def load_weights(
        self, path: str | os.PathLike, *, sha256: str = "", revision: str = ""
    ) -> None:
        """From a directory or hub id of transformers, or from a file.

        A file is one that this project saved, or of Deformable DETR's or H-DETR's own code.

        Raises:
            FileNotFoundError: nothing of that name.
            WeightsError: it does not fit; names the keys.
        """
        if Path(path).is_file():
            file = read_weights(path, sha256=sha256)
            load_strictly(self, self._own_names(file), source=file.name)
            return
        if getattr(self.network.config, "mixed_selection", False):
            raise WeightsError(f"{path}: transformers saves no mixed selection; name a file")
        if sha256:
            raise WeightsError(f"{path}: a hash is for one file; name it, or pin the revision")
        network, info = type(self.network).from_pretrained(
            _folder(os.fspath(path), revision),
            config=self.network.config,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
        wrong = {kind: info[kind] for kind in info if info[kind] and kind.endswith("_keys")}
        if wrong:
            raise WeightsError(f"{path} does not fit {type(network).__name__}: {wrong}")
        self.network.load_state_dict(network.state_dict())

    def _own_names(self, file: WeightFile) -> dict[str, Tensor]:
        """The weights of a file under this module's names."""
        if not is_deformable(file.weights):
            return file.weights
        config = self.network.config
        weights = deformable_weights(
            file,
            num_queries=config.two_stage_num_proposals if config.two_stage else config.num_queries,
            mixed_selection=getattr(config, "mixed_selection", False),
        )
        return {f"network.{name}": tensor for name, tensor in weights.items()}

    def _keep_maps(self, module: nn.Module, inputs: tuple, outputs: Any) -> None:
        self._maps = [each[0] if isinstance(each, tuple) else each for each in outputs]

    def _classify(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Best dataset class of each query; a last output beyond the labels is no-object."""
        with_no_object = logits.shape[-1] > len(self.class_map)
        chances = logits.softmax(-1)[..., :-1] if with_no_object else logits.sigmoid()
        usable = self.class_map.ge(0).nonzero().squeeze(1)
        scores, best = chances[..., usable].max(dim=-1)
        return scores, self.class_map[usable][best]

    def _entities(
        self, boxes: Tensor, scores: Tensor, classes: Tensor, tokens: Tensor, size: tuple[int, int]
    ) -> Instances:
        height, width = size
        found = Instances(
            (height, width),
            pred_boxes=Boxes(boxes * boxes.new_tensor([width, height, width, height])),
            scores=scores,
            pred_classes=classes,
            tokens=tokens,
        )
        return found[scores >= self.score_threshold]


def _encoded_map(memory: Tensor | list[Tensor], maps: list[Tensor]) -> Tensor:
    """The encoder's output at the backbone's last map, (B, d, h, w).

    Args:
        memory: a map for each of the backbone's (RT-DETR, D-FINE), or (B, N, d) tokens of all maps
            one after the other, finest first; maps that the detector adds come behind them.
        maps: of the backbone.
    """
    if not isinstance(memory, Tensor):
        return memory[len(maps) - 1]
    height, width = maps[-1].shape[-2:]
    before = 0 if memory.shape[1] == height * width else sum(m[0, 0].numel() for m in maps[:-1])
    tokens = memory[:, before : before + height * width]
    return tokens.transpose(1, 2).unflatten(2, (height, width))


def _network_config(source: str, revision: str) -> Any:
    """transformers' configuration from a JSON file, a directory or the hub."""
    from transformers import AutoConfig

    if not source:
        raise ValueError(
            "MODEL.ENTITY_DETECTOR.TRANSFORMERS.CONFIG is empty: name a directory or a model of "
            "the hub (PekingU/rtdetr_v2_r50vd), or the JSON file of a configuration"
        )
    if source.endswith(".json"):
        path = Path(source if Path(source).is_file() else config_file(source))
        content = json.loads(path.read_text())
        return AutoConfig.for_model(content.pop("model_type"), **content)
    return AutoConfig.from_pretrained(_folder(source, revision))


def _folder(source: str, revision: str) -> str:
    """A folder as `save_pretrained` writes it, of this machine or of the hub.

    Raises:
        FileNotFoundError: it is neither here nor on the hub.
    """
    if Path(source).is_dir():
        return source
    if not is_hub_id(source):
        raise FileNotFoundError(f"{source} is no folder here and no id of the Hugging Face hub")
    return str(hub_folder(HubModel(source, revision)))
