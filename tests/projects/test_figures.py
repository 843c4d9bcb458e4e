"""The papers' figures: similarities of people (RmLR, 1, 6), neighbours of rows (DEFR, 1, 3)."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

PROJECTS = Path(__file__).parents[2] / "projects"


@pytest.fixture
def project(monkeypatch):
    """Imports a module of a project's folder; other projects have files of the same names."""
    loaded = []

    def load(folder, name):
        monkeypatch.syspath_prepend(str(PROJECTS / folder))
        before = set(sys.modules)
        module = importlib.import_module(name)
        loaded.extend(n for n in set(sys.modules) - before if "." not in n)
        return module

    yield load
    for name in loaded:
        sys.modules.pop(name, None)


def test_similarities_of_people(project):
    people = project("interaction_loss", "people")
    x = torch.tensor([[1.0, 0], [0, 2], [-3, 0]])
    expected = torch.tensor([[1.0, 0, -1], [0, 1, 0], [-1, 0, 1]])
    torch.testing.assert_close(people.cosine(x), expected)
    lengths = torch.tensor([5.0, 16, 13]).sqrt()  # of 0-1, 0-2 and 1-2
    found = people.euclidean(x)
    torch.testing.assert_close(found[[0, 0, 1], [1, 2, 2]], lengths / lengths.mean())
    assert people.euclidean(x[:1]).tolist() == [[0.0]]


def test_same_place_and_same_action_are_told_apart(project):
    """Tokens that hold the place alone, features that hold the action alone."""
    run = project("interaction_loss", "run")
    acts = [SimpleNamespace(place=p, action=a) for p in (0, 1) for a in ("kick", "throw")]
    place, action = torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([[1.0, 0], [0, 1]])
    tokens = torch.stack([place[act.place] for act in acts])
    relations = torch.stack([action[int(act.action == "throw")] for act in acts])
    rows = run.summary(acts, {"tokens": tokens, "relations": relations})
    of_tokens, of_relations = rows["detector's tokens"], rows["IRE's features"]
    assert of_tokens["cosine, same place, other action"] == pytest.approx(1)
    assert of_tokens["cosine, other place, same action"] == pytest.approx(0)
    assert of_tokens["distance, same place, other action"] == pytest.approx(0)
    assert of_relations["cosine, same place, other action"] == pytest.approx(0)
    assert of_relations["cosine, other place, same action"] == pytest.approx(1)


def test_neighbours_of_rows(project):
    """ride - ride are nearest; eat's nearest is ride's; wash has no other."""
    tsne = project("language_classifier", "tsne")
    degrees = np.radians([0.0, 5, 40, 90, 120])
    rows = np.stack([np.cos(degrees), np.sin(degrees)], axis=1)
    words = np.array(["ride", "ride", "eat", "eat", "wash"])
    assert tsne.alike_neighbours(rows, words) == pytest.approx(50)
