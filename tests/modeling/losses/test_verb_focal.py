import math

import pytest
import torch

from hoi_d2.modeling.losses.verb_focal import VerbFocalLoss, verb_focal_loss

ALPHA, GAMMA = 0.5, 0.2


def published_form(logits, prior, y, alpha=ALPHA, gamma=GAMMA):
    """UPT's expression in float64, its denominator summed in the order that loses nothing."""
    logits, prior, y = (t.double() for t in (logits, prior, y))
    possible = prior > 0
    logits, prior, y = logits[possible], prior[possible], y[possible]
    x = torch.log(prior / ((1 - prior) + torch.exp(-logits)))
    ce = torch.nn.functional.binary_cross_entropy_with_logits(x, y, reduction="none")
    return ((1 - y - alpha).abs() * ((y - x.sigmoid()).abs() + 1e-6) ** gamma * ce).sum()


def loss_of(logits, prior, y):
    return verb_focal_loss(logits, prior, y, alpha=ALPHA, gamma=GAMMA)


@pytest.mark.parametrize("alpha, gamma", [(ALPHA, GAMMA), (0.25, 2.0), (0.9, 0.0)])
def test_equals_the_published_form_where_that_is_finite(alpha, gamma):
    """At alpha 0.5 positives and negatives weigh alike: the other rows tell them apart."""
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(1000, 7, generator=generator)
    prior, kept, y = (torch.rand(1000, 7, generator=generator) for _ in range(3))
    prior, y = prior * (kept > 0.3), (y > 0.9).float()
    torch.testing.assert_close(
        verb_focal_loss(logits, prior, y, alpha=alpha, gamma=gamma).double(),
        published_form(logits, prior, y, alpha, gamma),
        rtol=2e-5,
        atol=1e-4,
    )


@pytest.mark.parametrize("y", [0.0, 1.0])
@pytest.mark.parametrize("prior", [0.0, 1e-30, 1e-6, 0.5, 1 - 1e-7, 1.0])
@pytest.mark.parametrize("logit", [-1e4, -100.0, -89.0, -17.0, 0.0, 17.0, 89.0, 100.0, 1e4])
def test_value_and_gradient_are_finite(logit, prior, y):
    logits = torch.full((1, 1), logit, requires_grad=True)
    loss = loss_of(logits, torch.full((1, 1), prior), torch.full((1, 1), y))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("y", [0.0, 1.0])
@pytest.mark.parametrize("prior", [1e-6, 0.5, 1 - 1e-7, 1.0])
@pytest.mark.parametrize("logit", [-600.0, -89.0, -20.0, -3.0, 0.0, 3.0, 14.0, 20.0, 89.0, 600.0])
def test_each_entry_equals_the_published_form(logit, prior, y):
    """Also where that one overflows in float32: prior 1 from logit 17 on, logits below -89."""
    entry = [torch.full((1, 1), value) for value in (logit, prior, y)]
    torch.testing.assert_close(
        loss_of(*entry).double(), published_form(*entry), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize(("label", "weight"), [(1.0, 0.9), (0.0, 0.1)])
def test_alpha_is_the_weight_of_a_positive(label, weight):
    logits, y = torch.zeros(1, 1), torch.full((1, 1), label)
    loss = VerbFocalLoss(alpha=0.9, gamma=0.0)(logits, torch.ones(1, 1), y)
    torch.testing.assert_close(loss, torch.tensor(weight * math.log(2)))


@pytest.mark.parametrize("logit", [5.0, 14.0, 100.0])
def test_a_confident_mistake_at_prior_one_still_has_a_gradient(logit):
    logits = torch.full((1, 1), logit, requires_grad=True)
    loss_of(logits, torch.ones(1, 1), torch.zeros(1, 1)).backward()
    assert logits.grad.item() > 0.3


@pytest.mark.parametrize("rows", [0, 3])
def test_no_positives_divide_by_one(rows):
    logits = torch.zeros(rows, 4, requires_grad=True)
    prior, y = torch.full((rows, 4), 0.5), torch.zeros(rows, 4)
    loss = VerbFocalLoss(alpha=ALPHA, gamma=GAMMA)(logits, prior, y)
    loss.backward()
    torch.testing.assert_close(loss, loss_of(logits, prior, y))


def test_impossible_verbs_take_no_part():
    logits = torch.zeros(1, 2, requires_grad=True)
    loss_of(logits, torch.tensor([[0.5, 0.0]]), torch.tensor([[0.0, 1.0]])).backward()
    assert logits.grad[0, 1] == 0


def test_impossible_positives_are_not_counted():
    """Two possible positives and one impossible: the sum is divided by 2."""
    logits, prior = torch.zeros(2, 2), torch.tensor([[0.5, 0.0], [0.5, 0.5]])
    y = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    loss = VerbFocalLoss(alpha=ALPHA, gamma=GAMMA)(logits, prior, y)
    torch.testing.assert_close(loss, loss_of(logits, prior, y) / 2)


def test_half_precision_logits_are_computed_in_fp32():
    logits = torch.randn(5, 3)
    prior, y = torch.rand(5, 3), (torch.rand(5, 3) > 0.5).float()
    loss = loss_of(logits.bfloat16(), prior, y)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, loss_of(logits.bfloat16().float(), prior, y))
