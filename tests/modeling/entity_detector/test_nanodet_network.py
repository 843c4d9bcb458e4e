"""NanoDet-g's network: the published graph's numbers, any size, and the cells' geometry."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from hoi_d2.checkpoint.nanodet_conversion import convolution_names, nanodet_weights
from hoi_d2.checkpoint.weight_files import read_weights
from hoi_d2.model_zoo import PREFIX, shipped_weights
from hoi_d2.modeling.entity_detector.nanodet import PIXEL_MEAN, PIXEL_STD
from hoi_d2.modeling.entity_detector.nanodet_network import STRIDES, NanoDetNetwork, cell_centres

SHIPPED = f"{PREFIX}photo/nanodet_g.safetensors"


def published(name: str) -> Path:
    """A file of the published network; skips where test data is not at hand."""
    data = os.environ.get("HOI_D2_TEST_DATA")
    if not data:
        pytest.skip("HOI_D2_TEST_DATA is not set")
    path = Path(data).parent / "weights/nanodet_g" / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return path


@pytest.fixture(scope="module")
def network() -> NanoDetNetwork:
    network = NanoDetNetwork().eval()
    network.load_state_dict(read_weights(SHIPPED).weights)
    return network


@pytest.mark.parametrize("name", ["a", "b"])
@torch.no_grad()
def test_scores_and_distances_are_those_of_the_graph(network: NanoDetNetwork, name: str) -> None:
    expected = np.load(published("expected.npz"))
    image = (expected[f"image_{name}"].astype(np.float32) - PIXEL_MEAN) / np.float32(PIXEL_STD)
    maps = network.pan(network.backbone(torch.from_numpy(image).float().permute(2, 0, 1)[None]))
    output = network(torch.from_numpy(image).float().permute(2, 0, 1)[None])
    start = 0
    for stride, level, head in zip(STRIDES, maps, network.heads):
        scores, bins = (expected[f"{kind}_{stride}_{name}"] for kind in ("scores", "distances"))
        rows = slice(start, start := start + len(scores))
        found = output.logits[0, rows].sigmoid().numpy()
        np.testing.assert_allclose(found, scores, atol=1e-3, rtol=0)
        cells, _ = head(level)
        np.testing.assert_allclose(cells[0, 80:].flatten(1).T, bins, atol=1e-3, rtol=0)
        np.testing.assert_allclose(
            output.distances[0, rows], expected_distances(bins) * stride, atol=1e-2, rtol=0
        )
    assert start == output.logits.shape[1] and float(output.logits.sigmoid().max()) > 0.7


def expected_distances(bins: np.ndarray) -> np.ndarray:
    """(N, 44) -> (N, 4) in cells, one side and one bin after the other."""
    found = np.zeros((len(bins), 4))
    for side in range(4):
        powers = np.exp(bins[:, side * 11 : (side + 1) * 11].astype(np.float64))
        for distance in range(11):
            found[:, side] += distance * powers[:, distance] / powers.sum(axis=1)
    return found


def test_the_shipped_weights_are_a_fresh_conversion() -> None:
    fresh, shipped = nanodet_weights(published("nanodet.json")), read_weights(SHIPPED).weights
    assert fresh.keys() == shipped.keys()
    assert all(fresh[n].dtype == shipped[n].dtype == torch.float16 for n in fresh)
    assert all(torch.equal(fresh[name], shipped[name]) for name in fresh)


def test_the_shipped_file_says_what_it_is() -> None:
    path = shipped_weights(SHIPPED)
    assert path.stat().st_size <= 8_000_000
    extra = read_weights(SHIPPED).extra
    assert extra["license"] == "Apache-2.0" and "RangiLyu/nanodet" in extra["source"]
    assert len(extra["classes"]) == 80 and extra["classes"][0] == "person"
    notice = (Path(__file__).parents[3] / "NOTICE").read_text()
    assert extra["source_sha256"] in notice and extra["authors"] in notice
    with safe_open(path, framework="pt") as file:
        assert {name.rsplit(".", 1)[0] for name in file.keys()} == set(convolution_names())


@pytest.mark.parametrize("size", [(32, 32), (64, 160), (96, 32)])
@torch.no_grad()
def test_any_multiple_of_32(network: NanoDetNetwork, size: tuple[int, int]) -> None:
    output = network(torch.zeros(2, 3, *size))
    cells = [(size[0] // s, size[1] // s) for s in STRIDES]
    number = sum(rows * columns for rows, columns in cells)
    assert output.logits.shape == (2, number, 80) and output.tokens.shape == (2, number, 128)
    assert output.distances.shape == (2, number, 4) and float(output.distances.min()) >= 0
    assert [m.shape for m in output.maps] == [(2, 128, *c) for c in cells]
    centres = [
        ((x + 0.5) * s, (y + 0.5) * s)
        for s, (rows, columns) in zip(STRIDES, cells)
        for y in range(rows)
        for x in range(columns)
    ]
    assert cell_centres(cells, torch.device("cpu")).tolist() == [list(c) for c in centres]


@pytest.mark.parametrize("size", [(33, 32), (32, 48)])
def test_other_sizes_are_refused(network: NanoDetNetwork, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        network(torch.zeros(1, 3, *size))
