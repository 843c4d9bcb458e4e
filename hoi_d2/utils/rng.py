"""Reads, sets, preserves and seeds the random number generators of a process."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def rng_state() -> dict[str, Any]:
    """The state of the generators of Python, numpy, torch and this process's GPU.

    It holds only tensors, numbers and tuples, so that a checkpoint with it can be loaded with
    `weights_only=True`.
    """
    words: Any = np.random.get_state()
    name, keys, position, has_gauss, cached = words
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Sets a state that `rng_state` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


@contextmanager
def preserved_rng() -> Iterator[None]:
    """Inside, random numbers can be drawn without changing those drawn afterwards."""
    state = rng_state()
    try:
        yield
    finally:
        set_rng_state(state)


@contextmanager
def sample_rng(*key: int) -> Iterator[None]:
    """Inside, the CPU generators start from `key`; afterwards they are as before.

    So an augmentation depends only on the sample's position in the data stream, not on the worker
    or on the number of samples before a restart.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence(key).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    # Not torch.manual_seed, which would also reset the GPU's generator.
    torch.default_generator.manual_seed(int(words[2]))
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
