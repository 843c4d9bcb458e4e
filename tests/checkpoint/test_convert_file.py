"""Converting once and loading later is the same as converting on the fly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from hoi_d2.checkpoint import HOICheckpointer, WeightsError
from hoi_d2.checkpoint.checkpointer import weights_hash
from hoi_d2.checkpoint.convert_file import convert_file
from hoi_d2.checkpoint.weight_files import read_weights
from hoi_d2.data.class_spaces import class_space
from tests.checkpoint.published_detr import published_detr
from tests.checkpoint.small_models import small_model

LAYOUTS = [("model", 91, "coco_91"), ("model_state_dict", 80, "hico_80")]


@pytest.mark.parametrize(("key", "outputs", "space"), LAYOUTS)
@pytest.mark.parametrize("fitted", [False, True])
def test_converted_weights_load_the_same(
    tmp_path: Path, key: str, outputs: int, space: str, fitted: bool
) -> None:
    source, output = tmp_path / "detr.pth", tmp_path / "new/detr.safetensors"
    torch.save({key: published_detr(outputs).state_dict()}, source)
    metadata = convert_file(source, output, model=small_model() if fitted else None)
    expected = class_space("coco_80" if fitted else space)
    assert json.loads(metadata["classes"]) == list(expected)
    direct, converted = small_model(), small_model()
    HOICheckpointer(direct).load(source)
    report = HOICheckpointer(converted).load(output)
    assert report["layout"] == "detr"
    assert weights_hash(converted.state_dict()) == weights_hash(direct.state_dict())


def test_nothing_is_written_where_it_does_not_fit(tmp_path: Path) -> None:
    source, output = tmp_path / "detr.pth", tmp_path / "detr.safetensors"
    state = published_detr(91).state_dict()
    del state["input_proj.bias"]
    torch.save({"model": state}, source)
    with pytest.raises(WeightsError, match=r"input_projection\.bias"):
        convert_file(source, output, model=small_model())
    with pytest.raises(ValueError, match=r"saved as \.safetensors"):
        convert_file(source, tmp_path / "detr.pth")
    assert not output.exists() and read_weights(source).weights.keys() == state.keys()
