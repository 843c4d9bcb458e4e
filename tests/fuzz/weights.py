"""The forms of weights."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.checkpoint.class_names import vocabulary_in
from hoi_d2.checkpoint.conversion import detector_weights
from hoi_d2.checkpoint.convert_file import convert_file
from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.tfjs import read_convolutions
from hoi_d2.checkpoint.weight_files import WeightFile, read_weights
from hoi_d2.commands.strip_checkpoint import strip
from hoi_d2.data.vocabulary import Vocabulary
from tests.fuzz.form import Form, as_json

CONFIG = "MODEL: {DEVICE: cpu, META_ARCHITECTURE: Tiny}\nSOLVER:\n  BASE_LR: 0.1\n"
VOCABULARY = Vocabulary.from_hois("own", ["person", "cup"], ["hold", "wash"], [[1, 0], [1, 1]])


class Tiny(nn.Module):
    """A model that takes what a checkpoint holds: a head, a frozen part, class names."""

    finds_interactions = True
    frozen_prefixes = ("detector.",)
    vocabulary = VOCABULARY

    def __init__(self) -> None:
        super().__init__()
        self.detector, self.head = nn.Linear(2, 3), nn.Linear(3, 2)


def checkpoint() -> dict[str, Any]:
    """What a training of `Tiny` saves."""
    model = Tiny()
    weights = {n: t.detach().clone() for n, t in model.state_dict().items()}
    return {
        "model": {n: t for n, t in weights.items() if n.startswith("head.")},
        "frozen": {"detector.": "0" * 64},
        "random_parts": [],
        "vocabulary": VOCABULARY.as_dict(),
        "config": CONFIG,
        "iteration": 5,
        "ema": {"average": {"head.bias": torch.zeros(2)}},
    }


def facebook() -> dict[str, Any]:
    """Names by which Facebook's DETR is known, with small weights."""
    shapes = {
        "class_embed.weight": (92, 4),
        "class_embed.bias": (92,),
        "bbox_embed.layers.0.weight": (4, 4),
        "transformer.decoder.norm.weight": (4,),
        "transformer.encoder.layers.0.self_attn.in_proj_weight": (12, 4),
        "transformer.encoder.layers.0.self_attn.in_proj_bias": (12,),
        "backbone.0.body.layer1.0.conv1.weight": (4, 4, 1, 1),
        "query_embed.weight": (5, 4),
        "input_proj.weight": (4, 4, 1, 1),
    }
    return {"model": {name: torch.zeros(shape) for name, shape in shapes.items()}}


ODD_TENSORS = (
    *(torch.zeros(0), torch.tensor(torch.nan), torch.tensor([torch.inf]), torch.tensor(1)),
    *(torch.zeros(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.complex64)),
    *(torch.zeros(3, 2, dtype=torch.bool), torch.eye(2).to_sparse(), torch.ones(2, 1).expand(2, 9)),
    *(torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), torch.zeros(1, 1, 1, 1, 1)),
    *(np.zeros(2), "module.head.bias", nn.Parameter(torch.ones(2)), torch.device("cpu")),
    *(torch.Size([2]), torch.float16, {"weight_map": {}}, torch.zeros(2, device="meta")),
)


def read_model(path: Path) -> None:
    """As commands read weights: into a model, as a detector, names of classes, stripped."""
    errors = [error for use in USES if (error := _refused(use, path)) is not None]
    file = read_weights(path)
    _check(file)
    if len(errors) == len(USES):
        raise errors[0]


def _load(path: Path) -> None:
    HOICheckpointer(Tiny()).load(path)


def _resume(path: Path) -> None:
    model = Tiny()
    HOICheckpointer(model, config=CONFIG).resume_or_load(str(path), resume=False)
    assert all(t.isfinite().all() for t in model.state_dict().values())


def _detector(path: Path) -> None:
    detector_weights(read_weights(path))


def _strip(path: Path) -> None:
    strip(path, path.with_name("stripped.safetensors"))


def _convert(path: Path) -> None:
    convert_file(path, path.with_name("converted.safetensors"))


USES = (_load, _resume, _detector, vocabulary_in, _convert)


def _refused(use: Any, path: Path) -> WeightsError | None:
    try:
        use(path)
    except WeightsError as error:
        assert path.name in str(error) or path.parent.name in str(error), str(error)
        return error
    return None


def _check(file: WeightFile) -> None:
    """What everything that was read may rely on."""
    for name, tensor in file.weights.items():
        assert isinstance(name, str)
        assert isinstance(tensor, Tensor)
        assert not tensor.is_floating_point() or tensor.isfinite().all()


def as_pth(value: Any, rng: Random) -> bytes:
    """As torch.save writes, now and before version 1.6."""
    file = BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=rng.random() < 0.7)
    return file.getvalue()


def read_pth(path: Path) -> None:
    """A checkpoint, which can also be stripped."""
    if path.suffix == ".pth":
        _refused(_strip, path)
    read_model(path)


def inner_pickles() -> list[bytes]:
    """What is pickled in an archive of torch.save."""
    file = BytesIO()
    torch.save(checkpoint(), file)
    with zipfile.ZipFile(file) as archive:
        name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
        return [archive.read(name)]


def archived(pickled: bytes) -> bytes:
    """An archive of torch.save around another pickle, with checksums that are right."""
    source, file = BytesIO(), BytesIO()
    torch.save(checkpoint(), source)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            new.writestr(name, pickled if name.endswith("data.pkl") else old.read(name))
    return file.getvalue()


def as_zoo(value: Any, rng: Random) -> bytes:
    """As detectron2's zoo has it: arrays in a pickle."""
    arrays = {"model": {n: t.numpy() for n, t in facebook()["model"].items()}}
    return pickle.dumps(value or arrays, protocol=rng.randrange(2, 6))


def zoo() -> dict[str, Any]:
    arrays = {n: t.numpy() for n, t in facebook()["model"].items()}
    return {"model": arrays, "__author__": "x", "matching_heuristics": True}


def safetensors_parts() -> dict[str, Any]:
    """The header of a safetensors file as a nested value."""
    entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    bias = {"dtype": "F32", "shape": [2], "data_offsets": [24, 32]}
    metadata = {
        "format": "pt",
        "vocabulary": json.dumps(VOCABULARY.as_dict()),
        "frozen": json.dumps({"detector.": "0" * 64}),
        "config": "MODEL: {DEVICE: cpu}\n",
    }
    return {"__metadata__": metadata, "head.weight": entry, "head.bias": bias}


def as_safetensors(value: Any, rng: Random) -> bytes:
    """A file with this header."""
    header = as_json(value, rng)
    return struct.pack("<Q", len(header)) + header + bytes(32)


def metadata_entries() -> dict[str, Any]:
    """JSON in the metadata, as a nested value."""
    return {"vocabulary": VOCABULARY.as_dict(), "frozen": {"detector.": "0" * 64}, "classes": ["a"]}


def as_metadata(value: Any, rng: Random) -> bytes:
    """A file whose metadata hold this."""
    parts = safetensors_parts()
    parts["__metadata__"] |= {n: json.dumps(v) for n, v in value.items()}
    return as_safetensors(parts, Random(0))


def index() -> dict[str, Any]:
    return {"metadata": {}, "weight_map": {"head.weight": "a.safetensors", "b": "a.safetensors"}}


def _weights_beside(folder: Path) -> None:
    save_file(
        {"head.weight": torch.ones(2, 3), "head.bias": torch.zeros(2)}, folder / "a.safetensors"
    )
    save_file({"head.weight": torch.ones(2, 3)}, folder / "model.safetensors")


def read_folder(path: Path) -> None:
    """A folder as `save_pretrained` of transformers writes it."""
    _check(read_weights(path.parent))


def graph() -> dict[str, Any]:
    """A graph model of TensorFlow.js with one convolution."""
    node = [
        {"name": "convolution", "op": "Conv2D", "input": ["image", "kernel"]},
        {"name": "kernel", "op": "Const", "input": []},
        {"name": "bias", "op": "Const", "input": []},
        {"name": "add", "op": "AddV2", "input": ["convolution", "bias:0"]},
    ]
    weights = [
        {"name": "kernel", "shape": [1, 1, 3, 2], "dtype": "float32"},
        {"name": "bias", "shape": [2], "dtype": "float32", "quantization": {"dtype": "float16"}},
    ]
    manifest = [{"paths": ["x.bin"], "weights": weights}]
    return {"modelTopology": {"node": node}, "weightsManifest": manifest}


def _binary_beside(folder: Path) -> None:
    (folder / "x.bin").write_bytes(bytes(4 * 6 + 2 * 2))


def read_graph(path: Path) -> None:
    """The graph, and as `hoi-d2 convert-weights` reads it, which wants NanoDet."""
    _refused(_convert, path)
    for weight, bias in read_convolutions(path):
        assert weight.ndim == 4 and bias.ndim == 1


PTH = {"encode": as_pth, "odd": ODD_TENSORS, "suite": 100}
LABELS = {"id2label": {"0": "cup", "1": "person"}, "label2id": {"cup": 0}}
FORMS = [
    Form(
        "weights, .safetensors",
        "x.safetensors",
        lambda: [safetensors_parts()],
        read_model,
        as_safetensors,
        suite=100,
    ),
    Form(
        "weights, metadata",
        "x.safetensors",
        lambda: [metadata_entries()],
        read_model,
        as_metadata,
        suite=100,
    ),
    Form("weights, .pth", "x.pth", lambda: [checkpoint(), facebook()], read_pth, **PTH),
    Form("weights, .pth, pickle", "x.pth", inner_pickles, read_pth, seal=archived, suite=100),
    Form(
        "weights, .pkl of the zoo",
        "x.pkl",
        lambda: [zoo()],
        read_model,
        as_zoo,
        odd=(np.zeros(2), np.array(["a"])),
        suite=100,
    ),
    Form(
        "weights, index",
        "model.safetensors.index.json",
        lambda: [index()],
        read_folder,
        beside=_weights_beside,
    ),
    Form(
        "weights, config.json", "config.json", lambda: [LABELS], read_folder, beside=_weights_beside
    ),
    Form("weights, TensorFlow.js", "x.json", lambda: [graph()], read_graph, beside=_binary_beside),
]
