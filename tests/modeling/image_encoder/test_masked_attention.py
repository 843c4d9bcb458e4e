"""The cheap last stage equals the whole network run once for every mask."""

import pytest
import torch

from hoi_d2.modeling.image_encoder import build_image_encoder
from hoi_d2.modeling.image_encoder.masked_attention import attend_rows, row_weights
from tests.modeling.image_encoder.small_encoders import VIT, encoder_config, small_encoder

PAIRS = [  # images, image of each mask
    (1, []),
    (1, [0]),
    (2, [0, 1]),
    (3, [2, 0, 2, 2, 0]),  # in no order, and an image without any
]


def masks(number, patches, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(number, patches, generator=generator) > 0.6
    if number > 1:
        mask[0], mask[1] = False, True  # nothing but the query's own token; everything
    return mask


def naive_vit(encoder, image, mask, masked_blocks):
    """timm's own blocks on the one image, the CLS row masked by an N x N mask."""
    network = encoder.network
    x = network.norm_pre(network._pos_embed(network.patch_embed(image[None])))
    allowed = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool)
    allowed[0, 1:] = mask
    first_masked = len(network.blocks) - masked_blocks
    for number, block in enumerate(network.blocks):
        x = block(x, attn_mask=allowed[None, None] if number >= first_masked else None)
    return network.norm(x)[0, 0]


def naive_pool(encoder, image, mask, masked_blocks):
    """The pool's softmax written out for the one image."""
    pool = encoder.network.head
    cells = encoder.network.forward_features(image[None])[0].flatten(1).T
    x = torch.cat([cells.mean(dim=0, keepdim=True), cells]) + pool.pos_embed
    keep = torch.cat([torch.tensor([True]), mask])
    heads = []
    for q, k, v in zip(*(f(x).split(pool.head_dim, dim=1) for f in (pool.q, pool.k, pool.v))):
        weights = (q[0] @ k[keep].T * pool.head_dim**-0.5).softmax(dim=0)
        heads.append(weights @ v[keep])
    return pool.proj(torch.cat(heads))


CASES = [("vit", 1), ("vit", 2), ("vit", 3), ("resnet", 1)]


@pytest.mark.parametrize("images, image_index", PAIRS)
@pytest.mark.parametrize("kind, masked_blocks", CASES)
@torch.no_grad()
def test_equals_the_naive_way(kind, masked_blocks, images, image_index):
    encoder = small_encoder(kind, size=32 if kind == "vit" else 96)
    naive = naive_vit if kind == "vit" else naive_pool
    raw_images = torch.randn(images, 3, encoder.image_size, encoder.image_size)
    mask = masks(len(image_index), encoder.grid[0] * encoder.grid[1])
    tokens = encoder.tokens_before_last(raw_images, masked_blocks=masked_blocks)
    index = torch.tensor(image_index, dtype=torch.int64)
    rows = encoder.attend(tokens, mask, index, masked_blocks=masked_blocks)
    expected = [naive(encoder, raw_images[i], m, masked_blocks) for i, m in zip(image_index, mask)]
    assert rows.shape == (len(image_index), encoder.width)
    for row, right in zip(rows, expected):
        torch.testing.assert_close(row, right, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind, masked_blocks", CASES)
@torch.no_grad()
def test_nothing_masked_is_the_networks_own_forward(kind, masked_blocks):
    encoder = small_encoder(kind, size=32 if kind == "vit" else 64)
    images = torch.randn(2, 3, encoder.image_size, encoder.image_size)
    network = encoder.network
    right = network.forward_features(images)[:, 0] if kind == "vit" else network(images)
    torch.testing.assert_close(encoder(images), right, atol=1e-5, rtol=1e-5)
    tokens = encoder.tokens_before_last(images, masked_blocks=masked_blocks)
    everything = torch.ones(2, encoder.grid[0] * encoder.grid[1], dtype=torch.bool)
    for arguments in ((), (everything, torch.arange(2))):
        rows = encoder.attend(tokens, *arguments, masked_blocks=masked_blocks)
        torch.testing.assert_close(rows, right, atol=1e-5, rtol=1e-5)


def test_a_hidden_patch_changes_nothing_and_an_open_one_does():
    encoder = small_encoder()
    tokens = torch.randn(1, 17, 32)
    mask, index = masks(3, 16)[2:], torch.zeros(1, dtype=torch.int64)
    row = encoder.attend(tokens, mask, index)
    for patch in range(16):
        changed = tokens.clone()
        changed[:, 1 + patch] += torch.randn(32)
        same = torch.equal(encoder.attend(changed, mask, index), row)
        assert same != bool(mask[0, patch])


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_attention_is_what_the_rows_are_made_of(kind):
    encoder = small_encoder(kind, size=32 if kind == "vit" else 96)
    images = torch.randn(2, 3, encoder.image_size, encoder.image_size)
    tokens = encoder.tokens_before_last(images)
    index = torch.tensor([1, 0, 1])
    mask = masks(3, encoder.grid[0] * encoder.grid[1])
    weights = encoder.attention(tokens, mask, index)
    assert weights.shape[2:] == encoder.grid
    assert not weights.flatten(2)[~mask[:, None].expand(-1, weights.shape[1], -1)].any()
    query, keys, values = encoder.query_keys_values(tokens)
    own = torch.cat([torch.ones(3, 1, dtype=torch.bool), mask], dim=1)
    full = row_weights(query, keys, own, index)
    torch.testing.assert_close(full.sum(dim=2), torch.ones(full.shape[:2]))
    rows = torch.einsum("mhn,mhnd->mhd", full, values[index]).flatten(1)
    torch.testing.assert_close(attend_rows(query, keys, values, own, index), rows)
    assert encoder.attention(tokens).shape[0] == 2


def test_gradients_flow_and_recomputing_changes_none():
    plain, saving = small_encoder(), small_encoder()
    saving.activation_checkpointing = True
    images = torch.randn(2, 3, 32, 32)
    for encoder in (plain, saving):
        encoder.train()(images).square().sum().backward()
    for (name, a), b in zip(plain.named_parameters(), saving.parameters()):
        assert a.grad is not None and a.grad.abs().max() > 0, name
        torch.testing.assert_close(a.grad, b.grad, msg=name)


@pytest.mark.parametrize("kind, blocks", [("vit", 0), ("vit", 4), ("resnet", 2)])
def test_blocks_that_are_not_there(kind, blocks):
    encoder = small_encoder(kind)
    with pytest.raises(ValueError, match="masked blocks"):
        encoder.tokens_before_last(torch.randn(1, 3, 32, 32), masked_blocks=blocks)


def test_images_of_another_size():
    with pytest.raises(ValueError, match=r"40 x 32.*IMAGE_SIZE"):
        small_encoder()(torch.randn(1, 3, 32, 40))


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_bfloat16_is_for_inference_alone(kind):
    encoder = small_encoder(kind, size=32 if kind == "vit" else 96)
    image = torch.randn(1, 3, encoder.image_size, encoder.image_size)
    with torch.no_grad():
        expected = encoder(image)
        encoder.precision = torch.bfloat16
        found = encoder(image)
    assert found.dtype == torch.float32 and not torch.equal(found, expected)
    assert torch.nn.functional.cosine_similarity(found, expected).item() > 0.999
    torch.testing.assert_close(encoder(image).detach(), expected, rtol=1e-5, atol=1e-5)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match=r"PRECISION must be one of float32, bfloat16, got 'half'"):
        build_image_encoder(encoder_config(options=VIT, PRECISION="half"))
