"""The config keys of the image encoder."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_image_encoder_config(cfg: CfgNode) -> None:
    """Adds `cfg.MODEL.IMAGE_ENCODER`, in place."""
    node = cfg.MODEL.IMAGE_ENCODER = CfgNode()
    # A model of timm with the exact tag of its weights. CLIP: the one below, patch16 for B/16,
    # vit_large_patch14 for L/14, "resnet50_clip.openai", "resnet101_clip.openai". ImageNet-1K and
    # -21K: "vit_base_patch32_224.augreg_in1k", ".augreg_in21k". 224 is the size of pre-training.
    # Without a tag the encoder starts at random. CLIP's ViTs were trained with QuickGELU: their
    # names without "quickgelu" compute something else.
    node.NAME = "vit_base_patch32_clip_quickgelu_224.openai"
    # Own weights in the place of the tag's: a file, a folder or a hub id, of the same architecture
    # (timm's, OpenAI's, open_clip's or transformers' names, or a DEFR checkpoint).
    # Neither is read where MODEL.WEIGHTS is set, which holds the encoder too.
    node.WEIGHTS = ""
    # Of the hub's model: branch, tag or commit; "" = its newest.
    node.REVISION = ""
    # Of the weight file in hex, its beginning is enough; "" = not checked.
    node.SHA256 = ""
    # Side of the square input; position embeddings are resized to it (bicubic).
    # 0 = INPUT.SQUARE_SIZE.
    node.IMAGE_SIZE = 0
    # Keep less for the backward pass and compute it again; for large inputs.
    node.ACTIVATION_CHECKPOINTING = False
    # Further arguments of timm's constructor, for an encoder of another size. A ViT takes
    # patch_size, embed_dim, depth, num_heads, ..., and visual_projection, the width of CLIP's.
    # A CLIP-ResNet: depths, channels and strides of its stages (stem: 4), block ("bottle" or
    # "basic"), stem_chs (three), head_hidden_size (of the pool, 64 a head), num_classes (output).
    node.OPTIONS = CfgNode(new_allowed=True)
