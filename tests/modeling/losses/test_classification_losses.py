"""The losses of image-level recognition against float64 oracles, at the ends of the numbers."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hoi_d2.data.samplers import LabelCounts
from hoi_d2.modeling.losses.classification import (
    BCE,
    CLASSIFICATION_LOSS_REGISTRY,
    Focal,
    LSESign,
    WeightedBCE,
    build_classification_loss,
)
from hoi_d2.modeling.losses.lse_sign import lse_sign_loss
from tests.modeling.tiny import tiny_config

POSITIVE, AMBIGUOUS, NEGATIVE, UNKNOWN = 1, 0, -1, -2
LABELS = torch.tensor([POSITIVE, AMBIGUOUS, NEGATIVE, UNKNOWN], dtype=torch.int8)


def random_case(images, classes, *, spread=3.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, classes, generator=generator) * spread
    labels = LABELS[torch.randint(0, 4, (images, classes), generator=generator)]
    return logits, labels


def all_losses(ambiguous="negative", classes=7):
    weight = torch.linspace(0.5, 9, classes)
    return {
        "LSESign": LSESign(ambiguous=ambiguous),
        "BCE": BCE(ambiguous=ambiguous),
        "WeightedBCE": WeightedBCE(positive_weight=weight, ambiguous=ambiguous),
        "Focal": Focal(ambiguous=ambiguous),
    }


def oracle(name, logits, labels, *, ambiguous, weight):
    """Class by class in Python's floats, straight from the formulas."""
    total = 0.0
    for row, row_labels in zip(logits.tolist(), labels.tolist()):
        terms = []
        for s, label, w in zip(row, row_labels, weight.tolist()):
            if label == AMBIGUOUS and ambiguous == "left_out":
                continue
            y = 1 if label == POSITIVE else -1
            softplus = math.log1p(math.exp(-y * s))
            p = 1 / (1 + math.exp(-y * s))
            if name == "LSESign":
                terms.append(math.exp(-y * s))
            elif name == "BCE":
                terms.append(softplus)
            elif name == "WeightedBCE":
                terms.append(softplus * (w if y == 1 else 1))
            else:
                terms.append((0.25 if y == 1 else 0.75) * (1 - p) ** 2 * softplus)
        total += math.log(1 + sum(terms)) if name == "LSESign" else sum(terms) / len(row)
    return total / len(logits)


@pytest.mark.parametrize("ambiguous", ["negative", "left_out"])
@pytest.mark.parametrize("name", ["LSESign", "BCE", "WeightedBCE", "Focal"])
@pytest.mark.parametrize("images, classes", [(1, 1), (3, 7), (5, 40)])
def test_values_equal_the_formulas(name, images, classes, ambiguous):
    logits, labels = random_case(images, classes)
    loss = all_losses(ambiguous, classes)[name]
    weight = torch.linspace(0.5, 9, classes)
    expected = oracle(name, logits.double(), labels, ambiguous=ambiguous, weight=weight)
    value = loss(logits, labels)
    assert value.dtype == torch.float32 and value.shape == ()
    assert float(value) == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize("left_out", [False, True])
def test_lse_sign_gradient_by_finite_differences(left_out):
    logits, labels = random_case(4, 9)
    logits = logits.double().requires_grad_()
    hidden = labels == AMBIGUOUS if left_out else None
    assert torch.autograd.gradcheck(lambda s: lse_sign_loss(s, labels == POSITIVE, hidden), logits)


@pytest.mark.parametrize("size", [0.0, 1.0, 100.0, 1e4])
def test_lse_sign_equals_autograd_through_logsumexp_in_float64(size):
    """Value and gradient (equation 4) against the unfused form, up to |s| = 1e4."""
    logits, labels = random_case(6, 600, spread=1.0)
    logits = (logits.sign() * size if size else logits * 0).requires_grad_()
    exact = logits.detach().double().requires_grad_()
    signed = torch.where(labels == POSITIVE, -exact, exact)
    expected = torch.logsumexp(F.pad(signed, (1, 0)), dim=1)
    expected.sum().backward()
    value = lse_sign_loss(logits, labels == POSITIVE)
    value.sum().backward()
    assert value.isfinite().all() and logits.grad.isfinite().all()
    torch.testing.assert_close(value.double(), expected.detach(), rtol=1e-6, atol=0)
    torch.testing.assert_close(logits.grad.double(), exact.grad, rtol=1e-5, atol=1e-7)
    assert (logits.grad.abs().sum(dim=1) <= 1 + 1e-5).all()


def test_lse_sign_is_log_classes_plus_one_at_zero():
    value = lse_sign_loss(torch.zeros(2, 600), torch.zeros(2, 600, dtype=torch.bool))
    torch.testing.assert_close(value, torch.full((2,), math.log(601)))


def test_lse_sign_with_every_class_left_out_is_zero():
    logits = torch.randn(2, 5, requires_grad=True)
    every = torch.ones(2, 5, dtype=torch.bool)
    value = lse_sign_loss(logits, torch.zeros_like(every), every)
    value.sum().backward()
    assert value.tolist() == [0, 0] and not logits.grad.any()


class LargeTensors(torch.utils._python_dispatch.TorchDispatchMode):
    """Memory of each new storage of at least `size` elements that an operator gives back."""

    def __init__(self, size):
        super().__init__()
        self.size, self.new = size, {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        known = {t.untyped_storage().data_ptr() for t in args if isinstance(t, torch.Tensor)}
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor) and tensor.numel() >= self.size:
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in known:
                    self.new[str(function)] = storage.nbytes()
        return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lse_sign_makes_one_tensor_of_the_size_of_the_logits(dtype):
    batch, classes = 32, 600
    logits, labels = random_case(batch, classes)
    logits = logits.to(dtype).requires_grad_()
    positive = labels == POSITIVE
    with LargeTensors(batch * classes) as made:
        value = lse_sign_loss(logits, positive)
    assert list(made.new.values()) == [batch * (classes + 1) * 4], made.new
    kept = value.grad_fn.saved_tensors
    assert [tuple(t.shape) for t in kept] == [(batch, classes + 1)]
    value.sum().backward()
    again = lse_sign_loss(logits.detach(), positive)  # nothing is kept without a gradient
    assert again.grad_fn is None and torch.equal(again, value)


def peak_memory(function):
    """Bytes at the highest point, by torch's own account of the allocator."""
    with torch.profiler.profile(profile_memory=True, record_shapes=False) as profile:
        function()
    now = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    return peak


def test_lse_sign_peak_memory():
    """Forward: one (B, C + 1); the positives' positions are the only other thing that grows."""
    batch, classes = 64, 600
    logits = torch.randn(batch, classes, requires_grad=True)
    positive = torch.zeros(batch, classes, dtype=torch.bool)
    positive[:, :3] = True
    peak = peak_memory(lambda: lse_sign_loss(logits, positive))
    assert batch * (classes + 1) * 4 <= peak < 1.15 * batch * (classes + 1) * 4


@pytest.mark.parametrize("name", ["LSESign", "BCE", "WeightedBCE", "Focal"])
@pytest.mark.parametrize("size", [0.0, 100.0, 1e4])
@pytest.mark.parametrize("case", ["no positives", "all positive", "mixed", "one image empty"])
def test_finite_everywhere(name, size, case):
    logits, labels = random_case(3, 7)
    logits = (logits.sign() * size).requires_grad_()
    if case == "no positives":
        labels = labels.clamp(max=0)
    elif case == "all positive":
        labels = torch.ones_like(labels)
    elif case == "one image empty":
        labels[1] = UNKNOWN
    value = all_losses()[name](logits, labels)
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all() and value >= 0


@pytest.mark.parametrize("name", ["LSESign", "BCE", "WeightedBCE", "Focal"])
def test_no_image_gives_zero_with_a_gradient(name):
    logits = torch.zeros(0, 7, requires_grad=True)
    value = all_losses()[name](logits, torch.zeros(0, 7, dtype=torch.int8))
    value.backward()
    assert float(value.detach()) == 0


@pytest.mark.parametrize("name", ["LSESign", "BCE", "WeightedBCE", "Focal"])
def test_float32_under_autocast_and_for_half_precision_logits(name):
    logits, labels = random_case(3, 7, spread=80.0)
    expected = all_losses()[name](logits.bfloat16().float(), labels)
    half = logits.bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        value = all_losses()[name](half, labels)
    value.backward()
    assert value.dtype == torch.float32 and half.grad.dtype == torch.bfloat16
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("name", ["LSESign", "BCE", "WeightedBCE", "Focal"])
def test_equal_parts_of_a_batch_average_to_the_whole(name):
    logits, labels = random_case(6, 7)
    loss = all_losses("left_out")[name]
    parts = [loss(logits[i : i + 2], labels[i : i + 2]) for i in (0, 2, 4)]
    torch.testing.assert_close(sum(parts) / 3, loss(logits, labels))


def test_ambiguous_labels_have_no_gradient_when_left_out():
    for name, loss in all_losses("left_out").items():
        logits, labels = random_case(5, 7)
        logits.requires_grad_()
        loss(logits, labels).backward()
        hidden = labels == AMBIGUOUS
        assert hidden.any() and not logits.grad[hidden].any(), name
        assert logits.grad[~hidden].all(), name


def test_weighted_bce_balances_positives_and_negatives():
    cfg = tiny_config("DEFR", "MODEL.DEFR.LOSS.NAME", "WeightedBCE")
    counts = LabelCounts(np.array([0, 1, 50]), np.array([0, 0, 10]), 100)
    loss = build_classification_loss(cfg, label_counts=counts)
    assert loss.positive_weight.tolist() == [100, 99, 1]
    cfg.MODEL.DEFR.LOSS.AMBIGUOUS = "left_out"
    loss = build_classification_loss(cfg, label_counts=counts)
    assert loss.positive_weight.tolist() == pytest.approx([100, 99, 0.8])


def test_weighted_bce_without_training_data_says_so():
    cfg = tiny_config("DEFR", "MODEL.DEFR.LOSS.NAME", "WeightedBCE")
    with pytest.raises(RuntimeError, match=r"labels of DATASETS.TRAIN"):
        build_classification_loss(cfg)(torch.zeros(1, 3), torch.zeros(1, 3))


def test_registry_and_config():
    cfg = tiny_config("DEFR", "MODEL.DEFR.LOSS.FOCAL_GAMMA", 1.5)
    names = sorted(name for name, _ in CLASSIFICATION_LOSS_REGISTRY)
    assert names == ["BCE", "Focal", "LSESign", "WeightedBCE"]
    for name in names:
        cfg.MODEL.DEFR.LOSS.NAME = name
        assert type(build_classification_loss(cfg)).__name__ == name
    cfg.MODEL.DEFR.LOSS.NAME = "Focal"
    assert build_classification_loss(cfg).gamma == 1.5


@pytest.mark.parametrize("wrong", ["positive", ""])
def test_wrong_words_are_refused(wrong):
    with pytest.raises(ValueError, match="AMBIGUOUS"):
        LSESign(ambiguous=wrong)


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 4\)"):
        LSESign()(torch.zeros(2, 3), torch.zeros(2, 4))
