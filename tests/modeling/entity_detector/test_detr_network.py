"""The network's outputs: equal to others' DETR, whatever the batch, padding and speed keys are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hoi_d2.checkpoint import HOICheckpointer
from hoi_d2.config.load import load_config
from hoi_d2.modeling.entity_detector.detr_network import DetrOutput
from tests.checkpoint.reference_weights import reference_weights
from tests.checkpoint.small_models import small_config, small_model
from tests.checkpoint.test_conversion import randomise

SIZES = [(70, 101), (64, 64), (97, 33), (101, 101)]


def random_images(seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3, h, w, generator=generator) for h, w in SIZES]


def batch_of(images: list[Tensor], *, padding: float, height: int = 0) -> tuple[Tensor, Tensor]:
    """Images and mask, padded with a number that must not matter."""
    height = max(height, *(i.shape[1] for i in images))
    width = max(i.shape[2] for i in images)
    batch = torch.full((len(images), 3, height, width), padding)
    mask = torch.zeros(len(images), height, width, dtype=torch.bool)
    for row, valid, image in zip(batch, mask, images):
        row[:, : image.shape[1], : image.shape[2]] = image
        valid[: image.shape[1], : image.shape[2]] = True
    return batch, mask


def run(model: nn.Module, images: list[Tensor], **padding: float) -> DetrOutput:
    with torch.no_grad():
        return model.network(*batch_of(images, **{"padding": 0.0, **padding}))


@pytest.mark.parametrize("padding", [0.0, 7.0, float("nan")])
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("name", ["detr", "conditional_detr"])
def test_a_batch_gives_what_each_image_gives_alone(name: str, fast: bool, padding: float) -> None:
    model = small_model(
        *("MODEL.DETR.NAME", name, "MODEL.DETR.FOLD_BATCHNORM", fast),
        *("MODEL.DETR.CHANNELS_LAST", fast),
    )
    randomise(model)
    images = random_images()
    together = run(model, images, padding=padding, height=133)
    for i, image in enumerate(images):
        alone = run(model, [image])
        rows, columns = alone.feature_map.shape[2:]
        assert int(together.feature_mask[i].sum()) == rows * columns
        cells = together.feature_map[i, :, :rows, :columns]
        torch.testing.assert_close(cells, alone.feature_map[0], rtol=1e-5, atol=1e-5)
        for kind in ("tokens", "logits", "boxes"):
            found, expected = getattr(together, kind), getattr(alone, kind)
            found = found[i] if kind == "tokens" else found[-1, i]
            expected = expected[0] if kind == "tokens" else expected[-1, 0]
            torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_published_padding_equals_transformers() -> None:
    """With MASK_PADDING False a padded batch is what transformers makes of it, leaks and all."""
    model = small_model("MODEL.DETR.MASK_PADDING", False)
    randomise(model)
    theirs = model.network.detr
    theirs.config.auxiliary_loss = False
    batch, mask = batch_of(random_images(), padding=0.0)
    with torch.no_grad():
        found = model.network(batch, mask)
        expected = theirs(pixel_values=batch, pixel_mask=mask.long())
    torch.testing.assert_close(found.tokens, expected.last_hidden_state, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.logits[-1], expected.logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.boxes[-1], expected.pred_boxes, rtol=0, atol=1e-5)
    model.network.features.mask_padding = True
    with torch.no_grad():
        ours = model.network(batch, mask)
    assert (ours.tokens - found.tokens).abs().max() > 1e-3  # what the leak is worth


@pytest.mark.parametrize(
    "keys",
    [
        ("FOLD_BATCHNORM",),
        ("CHANNELS_LAST",),
        ("FOLD_BATCHNORM", "CHANNELS_LAST"),
        pytest.param(("FOLD_BATCHNORM", "COMPILE"), marks=pytest.mark.slow),
    ],
)
def test_speed_keys_change_nothing(keys: tuple[str, ...]) -> None:
    switches = ("FOLD_BATCHNORM", "CHANNELS_LAST")
    off = [x for k in switches for x in (f"MODEL.DETR.{k}", False)]
    plain = small_model(*off)
    randomise(plain)
    fast = small_model(*off, *(x for key in keys for x in (f"MODEL.DETR.{key}", True)))
    fast.load_state_dict(plain.state_dict())
    expected, found = run(plain, random_images()), run(fast, random_images())
    for kind in ("feature_map", "memory", "tokens", "logits", "boxes"):
        a, b = getattr(found, kind), getattr(expected, kind)
        if kind == "feature_map":
            inside = expected.feature_mask[:, None].expand_as(a)
            a, b = a[inside], b[inside]
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5)


def test_bfloat16_is_close_and_comes_out_as_float32() -> None:
    plain, fast = small_model(), small_model("MODEL.DETR.PRECISION", "bfloat16")
    randomise(plain)
    fast.load_state_dict(plain.state_dict())
    expected, found = run(plain, random_images()), run(fast, random_images())
    for kind in ("feature_map", "memory", "tokens", "logits", "boxes"):
        assert getattr(found, kind).dtype == torch.float32, kind
    assert 0 < (found.boxes - expected.boxes).abs().max() < 0.02
    with pytest.raises(
        ValueError, match=r"MODEL\.DETR\.PRECISION must be one of float32, bfloat16"
    ):
        small_model("MODEL.DETR.PRECISION", "float16")


def test_the_fast_copy_follows_the_weights() -> None:
    model, image = small_model(), random_images()[:1]
    first = run(model, image).tokens
    other = small_model()
    randomise(other)
    model.load_state_dict(other.state_dict())
    assert not torch.allclose(run(model, image).tokens, first)
    torch.testing.assert_close(run(model, image).tokens, run(other, image).tokens)
    with torch.no_grad():
        layer = model.network.detr.model.backbone.model.encoder.stages[3].layers[0].layer[0]
        layer.normalization.running_var.mul_(4)
    assert not torch.allclose(run(model, image).tokens, run(other, image).tokens)


def test_state_dict_has_transformers_names_alone() -> None:
    names = small_model().state_dict().keys()
    assert all(name.startswith("network.detr.") for name in names)
    plain = small_model("MODEL.DETR.FOLD_BATCHNORM", False, "MODEL.DETR.CHANNELS_LAST", False)
    assert list(names) == list(plain.state_dict())


def test_training_reaches_all_but_stem_and_first_stage() -> None:
    """What DETR's recipe trains; transformers would freeze every stage."""
    model = small_model("MODEL.DETR.SCORE_THRESHOLD", 0.0).train()
    output = model.network(*batch_of(random_images()[:2], padding=0.0))
    assert len(output.logits) == len(output.boxes) == 2  # every decoder layer
    (output.logits.sum() + output.boxes.sum()).backward()
    stages = {f"stages.{i}": [] for i in range(4)} | {"embedder.embedder": []}
    for name, parameter in model.named_parameters():
        if ".backbone." in name:
            stage = next(s for s in stages if s in name)
            stages[stage].append(parameter.grad is not None and bool(parameter.grad.any()))
        else:
            assert parameter.grad is not None, name
    assert not any(stages["embedder.embedder"] + stages["stages.0"])
    assert all(stages["stages.1"] + stages["stages.2"] + stages["stages.3"])


def test_layers_in_training_end_with_the_layer_of_inference() -> None:
    model = small_model("MODEL.DETR.DROPOUT", 0.0)
    randomise(model)
    batch = batch_of(random_images()[:1], padding=0.0)
    with torch.no_grad():
        expected = model.network(*batch)
        found = model.train().network(*batch)
    assert len(expected.logits) == 1 and len(found.logits) == 2
    torch.testing.assert_close(found.logits[-1:], expected.logits, rtol=1e-4, atol=1e-5)
    shallow = small_model("MODEL.DETR.DECODER_LAYERS", 1)
    shallow.load_state_dict(model.state_dict(), strict=False)
    with torch.no_grad():
        first = shallow.network(*batch)
    torch.testing.assert_close(found.logits[:1], first.logits, rtol=1e-4, atol=1e-5)


def test_norm_between_layers_is_another_network() -> None:
    """transformers' `auxiliary_loss` norms the states that the next layer starts from."""
    model, other = small_model(), small_model("MODEL.DETR.NORM_BETWEEN_LAYERS", True)
    randomise(model)
    other.load_state_dict(model.state_dict())
    image = random_images()[:1]
    assert not torch.allclose(run(model, image).logits, run(other, image).logits, atol=1e-3)


@pytest.mark.parametrize("classes", ["coco_91", "nonsense"])
def test_class_names_must_fit_the_number_of_outputs(classes: str) -> None:
    error, message = (ValueError, "91 outputs") if classes == "coco_91" else (KeyError, "coco_80")
    with pytest.raises(error, match=message):
        small_model("MODEL.DETR.CLASSES", classes)


@pytest.fixture(scope="module")
def reference(real_data: Path, tmp_path_factory: pytest.TempPathFactory):
    """Facebook's DETR R-101 with known weights: the loaded model and its expected arrays."""
    from detectron2.modeling import build_model

    folder = real_data / "reference"
    weights = reference_weights(json.loads((folder / "detr_r101_shapes.json").read_text()))
    path = tmp_path_factory.mktemp("reference") / "detr-r101.pth"
    torch.save({"model": weights}, path)
    cfg = small_config()
    cfg.merge_from_file(str(Path(__file__).parents[3] / "configs/Detr/R101.yaml"))
    cfg.merge_from_list([x for k in _defaults() for x in k])
    model = build_model(cfg).eval()
    HOICheckpointer(model).load(path)
    path.unlink()
    with np.load(folder / "detr_r101_expected.npz") as arrays:
        return model, {name: torch.from_numpy(arrays[name]) for name in arrays}


def _defaults() -> list[tuple[str, object]]:
    """Sizes of the published DETR, which `small_config` made small."""

    cfg = load_config("")
    node = cfg.MODEL.DETR
    keys = ("NUM_QUERIES", "HIDDEN_DIM", "FFN_DIM", "NUM_HEADS", "ENCODER_LAYERS", "DECODER_LAYERS")
    rows = [(f"MODEL.DETR.{key}", node[key]) for key in keys]
    kept = ("EMBEDDING_SIZE", "HIDDEN_SIZES", "LAYER_TYPE")
    return rows + [(f"MODEL.DETR.RESNET.{key}", node.RESNET[key]) for key in kept]


@pytest.mark.parametrize("batched", [False, True])
def test_equal_to_facebooks_detr_r101(reference, batched: bool) -> None:
    model, expected = reference
    image = {"image": expected["image"].permute(2, 0, 1)}
    larger = {"image": torch.randint(0, 256, (3, 545, 703), dtype=torch.uint8)}
    inputs = [larger, image] if batched else [image]
    with torch.no_grad():
        images, mask = model.preprocess(inputs)
        output = model.network(images.tensor, mask)
    assert output.logits.shape[2:] == (100, 92)
    torch.testing.assert_close(output.logits[-1, -1:], expected["pred_logits"], rtol=0, atol=1e-4)
    torch.testing.assert_close(output.boxes[-1, -1:], expected["pred_boxes"], rtol=0, atol=1e-4)
    torch.testing.assert_close(output.tokens[-1:], expected["tokens"], rtol=0, atol=1e-4)
    boxes, scores, classes = model.detections(output)[-1]
    torch.testing.assert_close(scores, expected["scores"], rtol=0, atol=1e-5)
    assert (classes == 5).all() and (expected["labels"] == 6).all()  # bus: id 6, sixth of the 80
    pixels = boxes * boxes.new_tensor([640, 480, 640, 480])
    torch.testing.assert_close(pixels, expected["boxes"], rtol=1e-5, atol=2e-3)
