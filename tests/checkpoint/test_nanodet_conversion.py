"""A graph model of TensorFlow.js, written here for a narrow network, becomes that network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hoi_d2.checkpoint import WeightsError
from hoi_d2.checkpoint.convert_file import convert_file
from hoi_d2.checkpoint.nanodet_conversion import convolution_names, nanodet_weights
from hoi_d2.checkpoint.weight_files import read_weights
from hoi_d2.modeling.entity_detector.nanodet_network import NanoDetNetwork
from hoi_d2.utils.files import sha256_of

Model = dict[str, Any]


def narrow_network() -> NanoDetNetwork:
    """NanoDet-g with few channels; its weights are whole numbers, which float16 can hold."""
    torch.manual_seed(0)
    network = NanoDetNetwork(
        num_classes=3, stem_width=4, widths=(4, 8, 8, 12), pan_width=4, num_bins=2
    )
    for parameter in network.parameters():
        parameter.data = torch.randint(-9, 10, parameter.shape).float()
    return network.eval()


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [network.get_submodule(n) for n in convolution_names()]  # type: ignore[misc]


def write_graph(network: nn.Module, path: Path, *, quantized: bool = True) -> Model:
    """A graph with each convolution's kernel, bias and a padding between them, in odd order."""
    nodes: list[dict[str, Any]] = []
    weights: list[dict[str, Any]] = []
    data: list[bytes] = []

    def constant(name: str, values: np.ndarray) -> None:
        kind = "int32" if values.dtype == np.int32 else "float32"
        entry: dict[str, Any] = {"name": name, "shape": list(values.shape), "dtype": kind}
        if quantized and kind == "float32":
            entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
            values = values.astype(np.float16)
        weights.append(entry)
        data.append(values.tobytes())
        nodes.append({"name": name, "op": "Const"})

    for index, conv in reversed(list(enumerate(convolutions(network)))):
        suffix = f"_{index}" if index else ""
        kernel = conv.weight.detach().numpy()
        kernel = kernel[:, ::-1] if index == 0 else kernel  # blue first
        constant(f"pad{suffix}", np.zeros((4, 2), np.int32))
        constant(f"kernel{suffix}", np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)))
        constant(f"bias{suffix}", conv.bias.detach().numpy())
        name = f"convolution{suffix}"
        nodes += [
            {"name": f"sum{suffix}", "op": "Add", "input": [name, f"bias{suffix}"]},
            {"name": name, "op": "Conv2D", "input": ["image", f"turned{suffix}:0"]},
            {"name": f"turned{suffix}", "op": "Identity", "input": [f"kernel{suffix}"]},
        ]
    nodes.append({"name": "residual", "op": "Add", "input": ["sum", "sum_1"]})
    (path.parent / "net.bin").write_bytes(b"".join(data))
    model: Model = {
        "modelTopology": {"node": nodes},
        "weightsManifest": [{"paths": ["net.bin"], "weights": weights}],
    }
    path.write_text(json.dumps(model))
    return model


@pytest.mark.parametrize("quantized", [True, False])
def test_the_weights_of_a_graph(tmp_path: Path, quantized: bool) -> None:
    network, path = narrow_network(), tmp_path / "net.json"
    write_graph(network, path, quantized=quantized)
    found, expected = nanodet_weights(path), network.state_dict()
    assert found.keys() == expected.keys()
    kind = torch.float16 if quantized else torch.float32
    assert all(tensor.dtype == kind for tensor in found.values())
    assert all(torch.equal(found[name].float(), expected[name]) for name in expected)


def test_a_converted_file(tmp_path: Path) -> None:
    network, path, output = narrow_network(), tmp_path / "net.json", tmp_path / "net.safetensors"
    write_graph(network, path)
    sha256 = sha256_of(tmp_path / "net.bin")
    metadata = convert_file(path, output, sha256=sha256[:8])
    assert metadata["layout"] == "nanodet" and metadata["source_sha256"] == sha256
    file = read_weights(output)
    assert file.extra["license"] == "Apache-2.0" and len(file.extra["classes"]) == 80
    loaded = narrow_network()
    for parameter in loaded.parameters():
        parameter.data.zero_()
    loaded.load_state_dict(file.weights)
    image = torch.randn(1, 3, 64, 32)
    assert torch.equal(loaded(image).logits, network(image).logits)
    with pytest.raises(WeightsError, match=rf"has SHA-256 {sha256}, not 12345678"):
        convert_file(path, tmp_path / "other.safetensors", sha256="12345678")
    assert not (tmp_path / "other.safetensors").exists()


def truncate(model: Model, folder: Path) -> None:
    file = folder / "net.bin"
    file.write_bytes(file.read_bytes()[:-3])


def append(model: Model, folder: Path) -> None:
    file = folder / "net.bin"
    file.write_bytes(file.read_bytes() + b"\0")


def remove_binary(model: Model, folder: Path) -> None:
    (folder / "net.bin").unlink()


def rename_kernel(model: Model, folder: Path) -> None:
    [entry] = [w for w in model["weightsManifest"][0]["weights"] if w["name"] == "kernel_7"]
    entry["name"] = "something"


def remove_bias(model: Model, folder: Path) -> None:
    nodes = model["modelTopology"]["node"]
    nodes[:] = [node for node in nodes if node["name"] != "sum_5"]


def remove_convolution(model: Model, folder: Path) -> None:
    nodes = model["modelTopology"]["node"]
    nodes[:] = [node for node in nodes if node["name"] != "convolution_33"]


def unknown_type(model: Model, folder: Path) -> None:
    model["weightsManifest"][0]["weights"][1]["quantization"]["dtype"] = "uint8"


def no_graph(model: Model, folder: Path) -> None:
    del model["modelTopology"]


DAMAGE = [
    (truncate, WeightsError, r"net\.bin: expected \d+ bytes .*, got \d+.*truncated"),
    (append, WeightsError, r"net\.bin: expected \d+ bytes"),
    (remove_binary, FileNotFoundError, r"net\.json needs net\.bin next to it"),
    (rename_kernel, WeightsError, r"tensor 'kernel_7' of convolution_7 is missing"),
    (remove_bias, WeightsError, r"the bias of convolution_5 is missing"),
    (remove_convolution, WeightsError, r"expected 34 convolutions, got 33"),
    (unknown_type, WeightsError, r"tensor 'kernel_33' has type uint8"),
    (no_graph, WeightsError, r"not a graph model of TensorFlow\.js"),
]


@pytest.mark.parametrize(("damage", "error", "message"), DAMAGE, ids=lambda x: "")
def test_damage_is_named(tmp_path: Path, damage, error: type[Exception], message: str) -> None:
    path = tmp_path / "net.json"
    model = write_graph(narrow_network(), path)
    damage(model, tmp_path)
    path.write_text(json.dumps(model))
    with pytest.raises(error, match=message):
        convert_file(path, tmp_path / "net.safetensors")
    assert not (tmp_path / "net.safetensors").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "net.json"
    path.write_text(content)
    with pytest.raises(WeightsError, match=r"net\.json is not"):
        nanodet_weights(path)
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        nanodet_weights(tmp_path / "nothing.json")
