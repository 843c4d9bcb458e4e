"""The study on Stanford 40: which photographs, which rows, what a mask shows, what a map says."""

import pytest
import torch

from hoi_d2.modeling.image_encoder import build_image_encoder
from tests.modeling.image_encoder.small_encoders import encoder_config
from tests.projects.stanford40_modules import stanford40_modules

_MODULES = ("figures", "masks", "photographs", "recogniser", "tables")
ACTIONS = ("riding_a_bike", "riding_a_horse", "feeding_a_horse", *(f"act{i}" for i in range(37)))


@pytest.fixture
def project(monkeypatch, tmp_path):
    with stanford40_modules(monkeypatch, tmp_path, actions=ACTIONS, names=_MODULES) as modules:
        yield modules


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return build_image_encoder(encoder_config("tf_efficientnet_lite0", 224, {})).eval()


def photographs(project, maps, **changes):
    count = len(maps)
    parts = {
        "ids": torch.arange(count),
        "actions": torch.arange(count),
        "maps": maps,
        "crops": maps,
        "persons": torch.tensor([[0.0, 0.0, 0.25, 1.0]]).repeat(count, 1),
        "objects": torch.zeros(count, 2, 6),
    }
    return project["photographs"].Photographs(**parts | changes)


def test_few_photographs(project):
    few, actions = project["recogniser"].few, torch.arange(40).repeat(50)
    assert len(few(actions, "all", seed=1)) == 2000
    for shots in ("1", "5"):
        rows = few(actions, shots, seed=1)
        assert actions[rows].bincount().tolist() == [int(shots)] * 40
        assert not torch.equal(rows, few(actions, shots, seed=2))
    counts = actions[few(actions, "tail", seed=1)].bincount().sort(descending=True).values
    assert counts[0] == 50 and counts[-1] == 1 and 5 < counts[20] < 10  # equal ratios


def test_words_are_shared(project):
    rows = project["recogniser"].word_rows(ACTIONS, 5000)
    rows = torch.nn.functional.normalize(rows, dim=1)
    cosines = rows @ rows.T
    assert 0.4 < cosines[0, 1] < 0.6 and 0.4 < cosines[1, 2] < 0.6  # riding; horse
    assert cosines[0, 2].abs() < 0.1  # "a" is no word


@pytest.mark.parametrize("loss", ["LSE-Sign", "BCE", "weighted BCE", "focal"])
@pytest.mark.parametrize("rows", ["random", "words", "direct"])
def test_learns_what_can_be_learnt(project, loss, rows):
    recogniser = project["recogniser"]
    actions = torch.arange(40).repeat(3)
    features = torch.zeros(120, recogniser.FEATURES)
    features[torch.arange(120), actions] = 1.0
    variant = recogniser.Variant(rows, loss, steps=60, rate=1e-2)
    model = recogniser.train(variant, features, actions, seed=1)
    found = recogniser.logits_of(model, features).argmax(axis=1)
    assert (found == actions.numpy()).mean() > 0.9


def test_masks_show_boxes(project):
    objects = torch.zeros(3, 2, 6)
    objects[0, 0] = torch.tensor([0.2, 0.9, 1.0, 1.0, 0.9, 5.0])  # touches the person
    objects[1, 0] = torch.tensor([0.2, 0.9, 1.0, 1.0, 0.1, 5.0])  # too unsure
    objects[2, 0] = torch.tensor([0.5, 0.9, 1.0, 1.0, 0.9, 5.0])  # elsewhere
    some = photographs(project, torch.zeros(3, 50, 1), objects=objects)
    cells = project["masks"].open_cells
    person = cells(some, "person").unflatten(1, (7, 7))
    assert person[:, :, :2].all() and not person[:, :, 2:].any()
    assert torch.equal(cells(some, "elsewhere"), ~cells(some, "person"))
    near = cells(some, "person or objects").unflatten(1, (7, 7))
    assert near[0, 6].all() and torch.equal(near[1:], person[1:])
    assert cells(some, "whole").all()


def test_masks_of_a_mosaic_are_in_their_quarter(project):
    class Encoder:
        grid = (14, 14)

    some = photographs(project, torch.zeros(4, 50, 1))
    tile = torch.arange(4)
    quarters = project["masks"].open_cells(some, "quarter", tile=tile, encoder=Encoder)
    assert torch.equal(quarters.sum(dim=0), torch.ones(196).long())
    assert quarters[1].unflatten(0, (14, 14))[:7, 7:].all()  # tile 1 is at the top, on the right
    persons = project["masks"].open_cells(some, "person", tile=tile, encoder=Encoder)
    assert (persons <= quarters).all() and persons.any(dim=1).all()


@torch.no_grad()
def test_maps_add_up_to_the_logit(project, encoder):
    images = torch.randn(3, 3, 224, 224)
    tokens = encoder.tokens_before_last(images, masked_blocks=5)
    torch.testing.assert_close(
        project["masks"].unmasked_blocks(encoder, tokens, 1), encoder.tokens_before_last(images)
    )
    recogniser = project["recogniser"]
    variant = recogniser.Variant("random", "LSE-Sign", gamma=7.0)
    model = recogniser.Recogniser(variant, variant.config()).eval()
    model.layer.bias.zero_()  # else a cell of it goes to every cell
    some = photographs(project, tokens)
    maps = project["figures"].activation_maps(encoder, model, some)
    vector = model.layer(encoder(images))
    logits = recogniser.logits_of(model, encoder(images))
    expected = torch.from_numpy(logits).diagonal() * vector.norm(dim=1) / 7.0
    torch.testing.assert_close(
        torch.from_numpy(maps).mean(dim=(1, 2)), expected, atol=0.02, rtol=0.02
    )
