"""First rows of a classifier: what random, factor, centred and whitened rows have in common."""

import pytest
import torch
from torch.nn import functional as F

from hoi_d2.data.vocabulary import hico_det_vocabulary
from hoi_d2.modeling.language.class_rows import adjusted_rows, factor_rows, random_rows

HOIS = torch.from_numpy(hico_det_vocabulary().hois)


def narrow(classes, width=16):
    """Unit vectors in a narrow cone, as a language model gives them."""
    torch.manual_seed(0)
    return F.normalize(torch.randn(classes, width) * torch.linspace(0.1, 1, width) + 2, dim=1)


def mean_cosine(rows):
    off_diagonal = (rows @ rows.T)[~torch.eye(len(rows), dtype=torch.bool)]
    return off_diagonal.mean().item()


@pytest.mark.parametrize("classes", [0, 1, 7])
@pytest.mark.parametrize("head", ["cosine", "linear"])
def test_random_rows_have_the_shape_of_the_head(classes, head):
    rows = random_rows(classes, 5, head=head)
    assert rows.shape == (classes, 5) and rows.isfinite().all() and not rows.requires_grad


def test_factor_rows_are_alike_where_they_share_an_object_or_a_verb():
    torch.manual_seed(0)
    rows = factor_rows(HOIS, 256)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(600))
    same = HOIS[:, None] == HOIS[None]  # (C, C, 2)
    cosines = rows @ rows.T
    for part in (0, 1):
        alone = same[..., part] & ~same[..., 1 - part]
        assert cosines[alone].mean() == pytest.approx(0.5, abs=0.03)
    assert cosines[~same.any(dim=2)].mean() == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("classes", [0, 1, 2, 40])
@pytest.mark.parametrize("adjustment", ["plain", "centred", "whitened"])
def test_adjusted_rows_are_finite_and_of_length_one_or_zero(classes, adjustment):
    rows = adjusted_rows(narrow(classes), adjustment)
    assert rows.shape == (classes, 16) and rows.dtype == torch.float32
    expected = torch.zeros(1) if classes == 1 and adjustment != "plain" else torch.ones(classes)
    torch.testing.assert_close(rows.norm(dim=1), expected, atol=1e-4, rtol=0)


def test_plain_rows_stay_and_the_others_leave_the_cone():
    rows = narrow(200)
    assert adjusted_rows(rows, "plain") is rows and mean_cosine(rows) > 0.8
    for adjustment in ("centred", "whitened"):
        assert abs(mean_cosine(adjusted_rows(rows, adjustment))) < 0.02


def test_whitening_evens_out_the_directions():
    def unevenness(rows):
        values = torch.linalg.eigvalsh(rows.T @ rows)
        return (values.max() / values.min()).item()

    rows = narrow(200)
    centred, whitened = (adjusted_rows(rows, a) for a in ("centred", "whitened"))
    assert unevenness(whitened) < unevenness(centred) / 5


def test_another_word_is_refused():
    with pytest.raises(ValueError, match=r"CLASSIFIER\.ROWS must be one of .*, got 'white'"):
        adjusted_rows(narrow(3), "white")
