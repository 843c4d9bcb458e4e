"""detectron2's pickles: arrays come through, code does not."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hoi_d2.checkpoint import WeightsError
from hoi_d2.checkpoint.zoo_pickle import read_zoo_pickle
from hoi_d2.checkpoint.zoo_weights import load_zoo_weights


class Attack:
    def __reduce__(self):
        return (os.system, ("echo harm",))


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_come_through(tmp_path: Path, protocol: int) -> None:
    weights = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.ones(2, "f4")}
    data = {"model": weights, "__author__": "someone", "matching_heuristics": False}
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({**data, "scale": np.float64(2)}, protocol=protocol))
    found = read_zoo_pickle(path)
    assert found["scale"] == 2 and np.array_equal(found["model"]["weight"], weights["weight"])
    layer = nn.Linear(3, 2)
    load_zoo_weights(layer, path)
    assert torch.equal(layer.weight, torch.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize("content", [Attack(), {"model": {"weight": Attack()}}, [print]])
def test_code_is_refused(tmp_path: Path, content: object, capfd) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(WeightsError, match=r"refused.*(posix\.system|builtins\.print)"):
        read_zoo_pickle(path)
    assert "harm" not in capfd.readouterr().out


@pytest.mark.parametrize("content", [b"", b"\x80\x04cut", pickle.dumps([1])])
def test_no_dict_of_weights(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"model\.pkl (is|holds)"):
        read_zoo_pickle(path)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    weights = {"weight": np.zeros((5, 5)), "extra": np.zeros(1)}
    path.write_bytes(pickle.dumps({"model": weights, "__author__": "someone"}))
    with pytest.raises(WeightsError, match="1 missing: bias; 1 unexpected: extra; 1 of another"):
        load_zoo_weights(nn.Linear(3, 2), path)
    with pytest.raises(WeightsError, match="has SHA-256"):
        load_zoo_weights(nn.Linear(3, 2), path, sha256="0" * 64)
