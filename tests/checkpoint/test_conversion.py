"""Every layout of weights that users have, in and out, on small random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from detectron2.config import CfgNode
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from hoi_d2.checkpoint import HOICheckpointer, WeightsError
from hoi_d2.data.class_spaces import class_space
from hoi_d2.data.vocabulary import coco_objects, hico_object_order
from tests.checkpoint.published_detr import published_detr
from tests.checkpoint.small_models import small_model

COCO_91 = ("MODEL.DETR.NUM_CLASSES", 91, "MODEL.DETR.CLASSES", "coco_91")


def outputs(model: nn.Module, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, logits and boxes of the queries."""
    with torch.no_grad():
        out = model.network(image[None], torch.ones(1, *image.shape[1:], dtype=torch.bool))
    return out.tokens[0], out.logits[-1, 0], out.boxes[-1, 0]


def assert_same(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


@pytest.fixture
def image() -> Tensor:
    return torch.randn(3, 70, 101, generator=torch.Generator().manual_seed(1))


def test_facebook_layout_gives_the_published_outputs(tmp_path: Path, image: Tensor) -> None:
    published = published_detr(91)
    torch.save({"model": published.state_dict()}, tmp_path / "detr.pth")
    model = small_model(*COCO_91)
    report = HOICheckpointer(model).load(tmp_path / "detr.pth")
    assert report["layout"] == "facebook"
    expected = published(image)
    assert expected[1].shape == (7, 92)
    assert expected[0].std() > 0.3 and expected[2].std() > 0.01  # outputs worth comparing
    assert_same(outputs(model, image), expected)


@pytest.mark.parametrize("fast", [True, False])
def test_a_dilated_backbone_gives_the_published_outputs(
    tmp_path: Path, image: Tensor, fast: bool
) -> None:
    """DC5: torchvision's ResNet with dilation in place of the last stride, under the same names."""
    sizes = {"block": Bottleneck, "depths": (1, 1, 1, 3)}
    published = published_detr(91, dilation=True, **sizes)
    usual = published_detr(91, **sizes)
    assert published.state_dict().keys() == usual.state_dict().keys()
    torch.save({"model": published.state_dict()}, tmp_path / "detr.pth")
    model = small_model(
        *COCO_91,
        *("MODEL.DETR.RESNET.DILATION", True, "MODEL.DETR.RESNET.LAYER_TYPE", "bottleneck"),
        *("MODEL.DETR.RESNET.HIDDEN_SIZES", [256, 512, 1024, 2048]),
        *("MODEL.DETR.RESNET.DEPTHS", [1, 1, 1, 3], "MODEL.DETR.FOLD_BATCHNORM", fast),
        *("MODEL.DETR.CHANNELS_LAST", fast),
    )
    HOICheckpointer(model).load(tmp_path / "detr.pth")
    expected = published(image)
    assert_same(outputs(model, image), expected)
    assert model.network.stride == 16
    usual.load_state_dict(published.state_dict())
    assert (usual(image)[0] - expected[0]).abs().max() > 1e-3, "the dilation counts"
    with torch.no_grad():  # padding never changes what an image gives
        batch = model([{"image": image}, {"image": image[:, : image.shape[1] // 2]}])
        alone = model([{"image": image}])
    torch.testing.assert_close(
        batch[0]["instances"].scores, alone[0]["instances"].scores, rtol=0, atol=1e-5
    )


def test_coco_ids_become_coco_classes(tmp_path: Path, image: Tensor) -> None:
    """The 92-way softmax stays; classes are COCO's 80 and an unused output is never one."""
    published = published_detr(91)
    published.class_embed.weight.data[[12, 90]] = 0
    published.class_embed.bias.data[12] = 50.0  # an id that COCO does not use, sure of itself
    published.class_embed.bias.data[90] = 49.0  # toothbrush, the last class
    torch.save({"model": published.state_dict()}, tmp_path / "detr.pth")
    model = small_model(*COCO_91)
    HOICheckpointer(model).load(tmp_path / "detr.pth")
    with torch.no_grad():
        found = model([{"image": image}])[0]["instances"]
    assert found.pred_classes.tolist() == [79] * 7
    expected = torch.tensor([49.0, 50.0]).softmax(0)[0].item()
    assert found.scores.tolist() == pytest.approx([expected] * 7)


def test_91_outputs_become_80_by_name(tmp_path: Path, image: Tensor) -> None:
    published = published_detr(91)
    torch.save({"model": published.state_dict()}, tmp_path / "detr.pth")
    model = small_model()
    HOICheckpointer(model).load(tmp_path / "detr.pth")
    tokens, logits, boxes = published(image)
    names = class_space("coco_91")
    columns = [names.index(name) for name in coco_objects()] + [91]
    assert_same(outputs(model, image), (tokens, logits[:, columns], boxes))


def grouped_classifier(order: list[int]) -> Tensor:
    """(81, 32) rows that are alike within COCO's supercategories, as training makes them."""
    generator = torch.Generator().manual_seed(3)
    starts = torch.tensor([1, 9, 14, 24, 29, 39, 46, 56, 62, 68, 73])
    group = torch.bucketize(torch.arange(80), starts, right=True)
    rows = torch.randn(12, 32, generator=generator)[group]
    rows = rows + torch.randn(80, 32, generator=generator)
    return torch.cat([rows[order], torch.zeros(1, 32)])


HICO = hico_object_order().tolist()


@pytest.mark.parametrize(
    ("prefix", "rows", "classes", "order"),
    [
        ("", None, "", HICO),  # random rows tell nothing: HICO's order
        ("", grouped_classifier(HICO), "", HICO),
        ("", grouped_classifier(list(range(80))), "", list(range(80))),
        ("", grouped_classifier(list(range(80))), "hico_80", HICO),  # told: not guessed
        ("detector.", None, "", HICO),  # a whole UPT
    ],
)
def test_upt_layout(
    tmp_path: Path, image: Tensor, prefix: str, rows: Tensor | None, classes: str, order: list[int]
) -> None:
    published = published_detr(80)
    if rows is not None:
        published.class_embed.weight.data = rows
    state = {prefix + name: tensor for name, tensor in published.state_dict().items()}
    if prefix:
        state["interaction_head.box_pair_predictor.weight"] = torch.zeros(117, 8)
    torch.save({"model_state_dict": state, "epoch": 30}, tmp_path / "upt.pth")
    model = small_model()
    report = HOICheckpointer(model).load(tmp_path / "upt.pth", classes=classes)
    assert report["layout"] == "upt"
    tokens, logits, boxes = published(image)
    columns = [order.index(i) for i in range(80)] + [80]
    assert_same(outputs(model, image), (tokens, logits[:, columns], boxes))


@pytest.mark.parametrize("name", ["detr", "conditional_detr"])
def test_transformers_layout(tmp_path: Path, image: Tensor, name: str) -> None:
    """A directory that transformers itself wrote gives what transformers itself computes."""
    source = small_model("MODEL.DETR.NAME", name, *COCO_91, "MODEL.DETR.FOLD_BATCHNORM", False)
    theirs = source.network.detr
    theirs.config.auxiliary_loss = False
    theirs.config.id2label = dict(enumerate(class_space("coco_91")))
    randomise(theirs)
    theirs.save_pretrained(tmp_path / "hub")
    model = small_model("MODEL.DETR.NAME", name, *COCO_91)
    report = HOICheckpointer(model).load(tmp_path / "hub")
    assert report["layout"] == "transformers"
    with torch.no_grad():
        expected = theirs(pixel_values=image[None])
    parts = expected.last_hidden_state[0], expected.logits[0], expected.pred_boxes[0]
    assert_same(outputs(model, image), parts)


def test_transformers_4_names_of_the_hub(tmp_path: Path, image: Tensor) -> None:
    """facebook/detr-resnet-50 has timm's backbone and names of transformers 4."""
    published = published_detr(91)
    save_file(hub_names(published.state_dict()), tmp_path / "model.safetensors")
    model = small_model(*COCO_91)
    assert HOICheckpointer(model).load(tmp_path)["layout"] == "transformers"
    assert_same(outputs(model, image), published(image))


def hub_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Facebook's names -> those of the hub's files, one rule after the other."""
    replaced = {
        "transformer.": "model.",
        "backbone.0.body.": "model.backbone.conv_encoder.model.",
        "query_embed": "model.query_position_embeddings",
        "input_proj": "model.input_projection",
        "class_embed": "class_labels_classifier",
        "bbox_embed": "bbox_predictor",
        "multihead_attn": "encoder_attn",
        "linear1": "fc1",
        "linear2": "fc2",
        "decoder.norm.": "decoder.layernorm.",
        "norm1": "self_attn_layer_norm",
        "norm3": "final_layer_norm",
    }
    renamed = {}
    for name, tensor in state.items():
        new = name
        for old, replacement in replaced.items():
            new = new.replace(old, replacement)
        second = "final_layer_norm" if "encoder.layers" in new else "encoder_attn_layer_norm"
        new = new.replace("norm2", second)
        if "in_proj_" in new:
            for part, rows in zip("qkv", tensor.chunk(3)):
                renamed[new.replace("in_proj_", f"{part}_proj.")] = rows.clone()
        else:
            renamed[new] = tensor.contiguous()
    return renamed


@torch.no_grad()
def randomise(model: nn.Module) -> None:
    """No norm, bias or statistic is left at its trivial first value."""
    generator = torch.Generator().manual_seed(5)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.is_floating_point() and tensor.ndim == 1:
            tensor.add_(0.2 * torch.randn(tensor.shape, generator=generator))


@pytest.mark.parametrize("key", ["model", "model_state_dict", ""])
def test_model_weights_takes_other_layouts(tmp_path: Path, image: Tensor, key: str) -> None:
    """What MODEL.WEIGHTS of a training or an evaluation goes through."""
    published = published_detr(91)
    state = published.state_dict()
    torch.save({key: state} if key else state, tmp_path / "detr.pth")
    model = small_model(*COCO_91)
    checkpointer = HOICheckpointer(model)
    checkpointer.load(str(tmp_path / "detr.pth"))
    assert checkpointer.random_parts == []
    assert_same(outputs(model, image), published(image))


def test_model_weights_takes_a_directory(tmp_path: Path, image: Tensor) -> None:
    published = published_detr(91)
    save_file(hub_names(published.state_dict()), tmp_path / "model.safetensors")
    labels = {"id2label": dict(enumerate(class_space("coco_91")))}
    (tmp_path / "config.json").write_text(json.dumps(labels))
    model = small_model()
    HOICheckpointer(model).load(str(tmp_path))
    tokens, _, boxes = published(image)
    found = outputs(model, image)
    assert found[1].shape == (7, 81)
    assert_same((found[0], found[2]), (tokens, boxes))
    with pytest.raises(FileNotFoundError, match="no weight file"):
        HOICheckpointer(model).load(str(tmp_path / "nothing.pth"))


def test_a_training_starts_from_a_classifiers_backbone(tmp_path: Path, image: Tensor) -> None:
    """torchvision's ResNet fills the backbone; strict loading refuses it."""
    published = published_detr(91)
    body = published.backbone[0]["body"].state_dict()
    counters = {n.replace("running_mean", "num_batches_tracked"): torch.tensor(1) for n in body}
    classes = {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    counters = {n: t for n, t in counters.items() if n.endswith("num_batches_tracked")}
    torch.save(body | counters | classes, tmp_path / "resnet.pth")
    model = small_model(*COCO_91)
    checkpointer = HOICheckpointer(model)
    checkpointer.load(tmp_path / "resnet.pth", strict=False)
    assert checkpointer.random_parts == [""]  # the rest of it
    with torch.no_grad():
        found = model.network.features(image[None], None)
        expected = published.features(image)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(WeightsError, match=r"resnet\.pth does not fit Detr: .* missing"):
        HOICheckpointer(model).load(tmp_path / "resnet.pth")


def test_own_layout_comes_back_bit_for_bit(tmp_path: Path) -> None:
    model, cfg = small_model(*COCO_91), CfgNode({"A": 1})
    randomise(model)
    path = HOICheckpointer(model).save_weights(tmp_path / "own.safetensors", cfg=cfg)
    other = small_model(*COCO_91)
    report = HOICheckpointer(other).load(path)
    assert report["layout"] == "detr" and report["config"] == "A: 1\n"
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


def test_own_classes_are_matched_by_name(tmp_path: Path) -> None:
    source = small_model("MODEL.DETR.CLASSES", "hico_80")
    path = HOICheckpointer(source).save_weights(tmp_path / "own.safetensors")
    target = small_model()
    HOICheckpointer(target).load(path)
    found = target.network.detr.class_labels_classifier.weight
    expected = source.network.detr.class_labels_classifier.weight
    assert torch.equal(found[HICO], expected[:80]) and torch.equal(found[80], expected[80])


def test_a_class_that_the_file_lacks_is_named(tmp_path: Path) -> None:
    source = small_model("MODEL.DETR.CLASSES", "hico_80")
    source.classes = type(source.classes)(("unicorn", *source.classes.outputs[1:]), coco_objects())
    path = HOICheckpointer(source).save_weights(tmp_path / "own.safetensors")
    with pytest.raises(WeightsError, match="no output for airplane"):
        HOICheckpointer(small_model()).load(path)


def test_unknown_layout_says_what_is_known(tmp_path: Path) -> None:
    save_file({"layer1.0.conv1.weight": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match=r"layer1\.0\.conv1\.weight.*Facebook, UPT"):
        HOICheckpointer(small_model()).load(tmp_path / "x.safetensors")
