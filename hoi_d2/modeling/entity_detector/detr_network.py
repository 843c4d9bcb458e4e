"""DETR's network from transformers' modules: backbone, encoder, decoder and heads, step by step.

transformers' own forward hides the backbone map, which RmLR needs; the steps are therefore called
here one by one. `detr` (Carion et al., 2020) and `conditional_detr` (Meng et al., 2021) share them.
"""

from __future__ import annotations

import copy
import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from hoi_d2.modeling.entity_detector.resnet import ResNetFeatures, dilate_last_stage, stride_of_mask
from hoi_d2.modeling.layers.precision import precision_named

if TYPE_CHECKING:  # transformers takes seconds to import
    from transformers import ConditionalDetrConfig, DetrConfig


@dataclass
class DetrOutput:
    """The output of DETR for a batch.

    Attributes:
        feature_map: (B, C, h, w) last map of the backbone.
        feature_mask: (B, h, w) bool, True inside the images.
        memory: (B, h * w, d) encoder output.
        tokens: (B, Q, d) last decoder layer after its norm.
        logits: (L, B, Q, C) class logits of every decoder layer in training, of the last one else.
        boxes: (L, B, Q, 4) centre x, y, width, height, as shares of each image without padding.
    """

    feature_map: Tensor
    feature_mask: Tensor
    memory: Tensor
    tokens: Tensor
    logits: Tensor
    boxes: Tensor


class DetrNetwork(nn.Module):
    """DETR or Conditional DETR over transformers' modules.

    Args:
        name: "detr" (softmax over classes and no-object) or "conditional_detr" (sigmoid).
        num_classes: object classes, without no-object.
        hidden_dim, ffn_dim, num_heads, encoder_layers, decoder_layers, num_queries, dropout: of
            the transformer.
        backbone: keyword arguments of transformers' `ResNetConfig`.
        dilation: of the backbone's last stage in place of its stride ("DC5").
        frozen_batchnorm: statistics and affine of the backbone fixed: right for pre-trained
            weights, no normalisation at all for a backbone that is trained from scratch.
        query_groups: in training, so many sets of queries are matched one-to-one each
            (Group DETR, Chen et al., 2022); only the first is used afterwards.
        norm_between_layers: the decoder's last norm also stands between its layers. transformers
            5 trains so (`auxiliary_loss`); DETR and all public weights do not.
        mask_padding, fold_batchnorm, channels_last, compiled: see `ResNetFeatures`.
        precision: of the network where no gradient is asked for, "float32" or "bfloat16"; the two
            heads are in float32 in either case.
    """

    detr: Any  # transformers types the parts of a model as plain modules or tensors

    def __init__(
        self,
        *,
        name: str,
        num_classes: int,
        hidden_dim: int,
        ffn_dim: int,
        num_heads: int,
        encoder_layers: int,
        decoder_layers: int,
        num_queries: int,
        dropout: float,
        backbone: dict,
        dilation: bool = False,
        frozen_batchnorm: bool = True,
        query_groups: int = 1,
        norm_between_layers: bool = False,
        mask_padding: bool = True,
        fold_batchnorm: bool = False,
        channels_last: bool = False,
        precision: str = "float32",
        compiled: bool = False,
    ) -> None:
        super().__init__()
        dtype = precision_named(precision, key="MODEL.DETR.PRECISION")
        config_class, model_class = _transformers_classes(name)
        from transformers import ResNetConfig

        config = config_class(
            backbone_config=ResNetConfig(**backbone),
            num_labels=num_classes,
            d_model=hidden_dim,
            encoder_ffn_dim=ffn_dim,
            decoder_ffn_dim=ffn_dim,
            encoder_attention_heads=num_heads,
            decoder_attention_heads=num_heads,
            encoder_layers=encoder_layers,
            decoder_layers=decoder_layers,
            num_queries=num_queries,
            dropout=dropout,
            auxiliary_loss=True,
        )
        self.detr = model_class(config)
        self.is_conditional = name == "conditional_detr"
        self.num_classes, self.num_queries = num_classes, num_queries
        self.hidden_dim = hidden_dim
        self.feature_channels = self.detr.model.backbone.intermediate_channel_sizes[-1]
        # Stem 4, then twice that at each stage.
        self.stride = 2 ** (len(backbone["depths"]) + (0 if dilation else 1))
        self.precision = dtype
        self.norm_between_layers = norm_between_layers
        decoder = self.detr.model.decoder  # its own config: the losses read the other one
        decoder.config = copy.deepcopy(config)
        decoder.config.auxiliary_loss = norm_between_layers
        if frozen_batchnorm:
            self._train_upper_stages()
        else:
            self._thaw_batchnorm(config)
        if self.is_conditional:  # focal loss starts from rare positives (RetinaNet's prior 0.01)
            nn.init.constant_(self.detr.class_labels_classifier.bias, -math.log(99))
        if dilation:
            dilate_last_stage(self.detr.model.backbone.model)
        self.extra_queries = None
        if query_groups > 1:
            self.extra_queries = nn.Embedding((query_groups - 1) * num_queries, hidden_dim)
            nn.init.normal_(self.extra_queries.weight)
        self.features = ResNetFeatures(
            self.detr.model.backbone.model,
            mask_padding=mask_padding,
            fold_batchnorm=fold_batchnorm,
            channels_last=channels_last,
            dtype=self.precision,
            compiled=compiled,
        )
        if compiled:
            self.detr.model.encoder.compile()
            decoder.compile()

    def _thaw_batchnorm(self, config: DetrConfig | ConditionalDetrConfig) -> None:
        """transformers freezes the batch norm of every backbone; puts a live one in its place."""
        from transformers import AutoBackbone

        self.detr.model.backbone.model = AutoBackbone.from_config(config.backbone_config)

    def _train_upper_stages(self) -> None:
        """DETR trains all but the stem and the first stage; transformers freezes every stage."""
        for stage in self.detr.model.backbone.model.encoder.stages[1:]:
            stage.requires_grad_(True)

    @property
    def config(self) -> DetrConfig | ConditionalDetrConfig:
        """transformers' configuration, which its loss functions read."""
        return self.detr.config

    @property
    def needs_gradient(self) -> bool:
        """Whether the present call is part of training this network."""
        return torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters())

    def _autocast(self, device: torch.device, *, enabled: bool) -> AbstractContextManager:
        """The network's own precision; in training, and at float32, whatever the caller has."""
        if self.precision == torch.float32 or self.needs_gradient:
            return nullcontext()
        return torch.autocast(device.type, dtype=self.precision, enabled=enabled)

    def forward(self, images: Tensor, mask: Tensor) -> DetrOutput:
        """Computes tokens, class logits and boxes of all queries.

        Args:
            images: (B, 3, H, W) normalised, padded at the right and bottom.
            mask: (B, H, W) bool, True inside the images.

        Returns:
            With `query_groups` > 1 and in training, tokens, logits and boxes have B * groups
            entries, the groups of an image one after the other.
        """
        with self._autocast(images.device, enabled=True):
            feature_map, feature_mask, padded = self.map_features(images, mask)
            memory, positions = self._encode(feature_map, feature_mask, padded)
            decoded = self._decode(memory, positions, feature_mask.flatten(1) if padded else None)
        return DetrOutput(feature_map, feature_mask, memory.float(), *decoded)

    def map_features(self, images: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, bool]:
        """Feature map (B, C, h, w), its mask (B, h, w), and whether any cell is padding."""
        padded = not bool(mask.all())
        feature_map = self.features(images, mask if padded else None)
        if self.features.mask_padding:
            feature_mask = stride_of_mask(mask, self.stride)
        else:
            feature_mask = F.interpolate(mask[None].float(), size=feature_map.shape[-2:])[0].bool()
        return feature_map, feature_mask, padded

    def _encode(
        self, feature_map: Tensor, feature_mask: Tensor, padded: bool
    ) -> tuple[Tensor, Tensor]:
        """Encoder output and sine positions, both (B, h * w, d)."""
        model = self.detr.model
        positions = model.position_embedding(
            shape=feature_map.shape,
            device=feature_map.device,
            dtype=torch.float32,  # sines of bfloat16 angles would be noise
            mask=feature_mask if padded else None,
        )
        positions = positions.flatten(2).transpose(1, 2)
        memory = model.encoder(
            inputs_embeds=model.input_projection(feature_map).flatten(2).transpose(1, 2),
            attention_mask=feature_mask.flatten(1)[:, None, None] if padded else None,
            spatial_position_embeddings=positions,
        ).last_hidden_state
        return memory, positions

    def _decode(
        self, memory: Tensor, positions: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, logits and boxes of the queries; `mask` (B, h * w) or None = all cells count."""
        model, batch = self.detr.model, len(memory)
        queries = model.query_position_embeddings.weight[None]
        if self.training and self.extra_queries is not None:
            groups = self.extra_queries.weight.reshape(-1, self.num_queries, self.hidden_dim)
            queries = torch.cat([queries, groups])
            memory, positions = (
                x.repeat_interleave(len(queries), dim=0) for x in (memory, positions)
            )
            mask = None if mask is None else mask.repeat_interleave(len(queries), dim=0)
        queries = queries.repeat(batch, 1, 1)
        decoded = model.decoder(
            inputs_embeds=torch.zeros_like(queries),
            attention_mask=None,
            spatial_position_embeddings=positions,
            object_queries_position_embeddings=queries,
            encoder_hidden_states=memory,
            # Four dimensions are taken as they are: transformers makes a wrong one from two for
            # Conditional DETR, as long as there are queries.
            encoder_attention_mask=None if mask is None else mask[:, None, None],
            output_hidden_states=self.training and not self.norm_between_layers,
        )
        reference = decoded.reference_points if self.is_conditional else None
        return decoded.last_hidden_state.float(), *self._heads(self._states(decoded), reference)

    def _states(self, decoded: Any) -> Tensor:
        """(L, B, Q, d) normed states of the decoder layers; of the last one alone in inference."""
        if self.norm_between_layers:
            states = decoded.intermediate_hidden_states
            return states if self.training else states[-1:]
        if not self.training:
            return decoded.last_hidden_state[None]
        # The first is what went in, and the last one is normed already.
        before = [self.detr.model.decoder.layernorm(h) for h in decoded.hidden_states[1:-1]]
        return torch.stack([*before, decoded.last_hidden_state])

    def _heads(self, states: Tensor, reference: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits and boxes; `reference` (Q, B, 2) points of Conditional DETR."""
        with self._autocast(states.device, enabled=False):  # 8 bits of a box are some pixels
            offsets = self.detr.bbox_predictor(states.float())
            logits = self.detr.class_labels_classifier(states.float())
        if reference is not None:
            points = reference.transpose(0, 1).float().clamp(1e-5, 1 - 1e-5)
            offsets = torch.cat([offsets[..., :2] + points.logit(), offsets[..., 2:]], dim=-1)
        return logits, offsets.sigmoid()

    def scores(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """(..., C) logits -> score and class of each query's best class, both (...)."""
        return self.probabilities(logits).max(dim=-1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """(..., num_classes) of (..., C) logits, without no-object."""
        if self.is_conditional:
            return logits.sigmoid()
        return logits.softmax(dim=-1)[..., :-1]


def build_detr_network(cfg: CfgNode) -> DetrNetwork:
    """The network that `cfg.MODEL.DETR` describes."""
    node = cfg.MODEL.DETR
    resnet = node.RESNET
    return DetrNetwork(
        name=node.NAME,
        num_classes=node.NUM_CLASSES,
        hidden_dim=node.HIDDEN_DIM,
        ffn_dim=node.FFN_DIM,
        num_heads=node.NUM_HEADS,
        encoder_layers=node.ENCODER_LAYERS,
        decoder_layers=node.DECODER_LAYERS,
        num_queries=node.NUM_QUERIES,
        dropout=node.DROPOUT,
        backbone={
            "embedding_size": resnet.EMBEDDING_SIZE,
            "hidden_sizes": list(resnet.HIDDEN_SIZES),
            "depths": list(resnet.DEPTHS),
            "layer_type": resnet.LAYER_TYPE,
            "out_features": [f"stage{len(resnet.DEPTHS)}"],
        },
        dilation=resnet.DILATION,
        frozen_batchnorm=node.FROZEN_BATCHNORM,
        query_groups=node.QUERY_GROUPS,
        norm_between_layers=node.NORM_BETWEEN_LAYERS,
        mask_padding=node.MASK_PADDING,
        fold_batchnorm=node.FOLD_BATCHNORM,
        channels_last=node.CHANNELS_LAST,
        precision=node.PRECISION,
        compiled=node.COMPILE,
    )


def _transformers_classes(name: str) -> tuple[Any, Any]:
    """Configuration and model of that name."""
    import transformers

    classes = {
        "detr": ("DetrConfig", "DetrForObjectDetection"),
        "conditional_detr": ("ConditionalDetrConfig", "ConditionalDetrForObjectDetection"),
    }
    if name not in classes:
        raise ValueError(f"MODEL.DETR.NAME must be one of {sorted(classes)}, got {name!r}")
    return tuple(getattr(transformers, n) for n in classes[name])
