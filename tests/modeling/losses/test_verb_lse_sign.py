"""LSE-Sign of pairs against the formula, pair by pair."""

from __future__ import annotations

import math

import pytest
import torch

from hoi_d2.config.load import load_config
from hoi_d2.modeling.losses import VerbLSESign, build_verb_loss
from hoi_d2.modeling.losses.normalizer import step_counts


def slow(logits, priors, verbs):
    total, positives = 0.0, 0
    for pair in range(len(logits)):
        terms = [
            math.exp(-s if y else s)
            for s, p, y in zip(*(t[pair].tolist() for t in (logits, priors, verbs)))
            if p > 0
        ]
        total += math.log(1 + sum(terms))
        positives += int((verbs[pair] * (priors[pair] > 0)).sum())
    return total / max(positives, 1)


@pytest.mark.parametrize(("pairs", "positive"), [(0, 0.0), (1, 0.0), (1, 1.0), (5, 0.3)])
def test_equals_the_formula(pairs, positive):
    generator = torch.Generator().manual_seed(pairs)
    logits = torch.randn(pairs, 7, generator=generator, requires_grad=True)
    priors = torch.rand(pairs, 7, generator=generator).round(decimals=1)
    priors[:, 0] = 0
    verbs = (torch.rand(pairs, 7, generator=generator) < positive).float()
    loss = VerbLSESign()(logits, priors, verbs)
    assert loss.item() == pytest.approx(slow(logits, priors, verbs), rel=1e-5)
    loss.backward()
    assert not logits.grad[priors == 0].any(), "impossible verbs have no term"


def test_impossible_verbs_may_be_minus_infinity():
    logits = torch.tensor([[-torch.inf, 2.0]], requires_grad=True)
    VerbLSESign()(logits, torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 1.0]])).backward()
    assert logits.grad.isfinite().all()


def test_divides_by_the_positives_of_the_step():
    logits, priors, verbs = torch.zeros(2, 3), torch.ones(2, 3), torch.eye(2, 3)
    with step_counts({"verbs": 8.0}, micro_batches=1):
        assert VerbLSESign()(logits, priors, verbs).item() == pytest.approx(2 * math.log(4) / 8)


def test_is_registered():
    cfg = load_config("")
    cfg.MODEL.RMLR.LOSS.NAME = "VerbLSESign"
    assert isinstance(build_verb_loss(cfg), VerbLSESign)
