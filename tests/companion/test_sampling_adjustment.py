from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from companion import (
    LabelledImages,
    LogitAdjustedLoss,
    class_weights,
    fit,
    logit_adjustment,
    mlp,
    shift_prior,
)
from replica_runs import agreeing

quickly = settings(deadline=None, max_examples=60)
TAUS = [0.0, 0.5, 1.0, 2.0, -1.0]
each_tau = pytest.mark.parametrize("tau", TAUS)
SHARES = st.lists(st.integers(1, 500), min_size=3, max_size=3).map(torch.tensor)
ROWS = st.lists(st.lists(st.floats(-8, 8), min_size=3, max_size=3), min_size=1, max_size=4).map(
    lambda rows: torch.tensor(rows, dtype=torch.float64)
)
COUNTS = torch.tensor([900, 90, 10])

# How often each of four images occurs with each of three classes: classes of 810, 90 and 9.
JOINT = torch.tensor([[450, 10, 1], [270, 20, 1], [80, 40, 2], [10, 20, 5]])


def build(seed: int) -> nn.Module:
    return mlp(3, inputs=36, hidden=(8,), seed=seed)


def menon_loss(logits: Tensor, labels: Tensor, shares: Tensor, tau: float) -> float:
    """Equation 10 as it stands: −log of π_y^τ e^{f_y} / Σ_j π_j^τ e^{f_j}, averaged."""
    losses = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        parts = [p**tau * math.exp(f) for p, f in zip(shares.tolist(), row, strict=True)]
        losses.append(-math.log(parts[label] / math.fsum(parts)))
    return math.fsum(losses) / len(losses)


def expanded(joint: Tensor) -> tuple[Tensor, Tensor]:
    """The images and labels that a table of counts stands for."""
    images, labels = joint.nonzero().unbind(1)
    return images.repeat_interleave(joint[images, labels]), labels.repeat_interleave(
        joint[images, labels]
    )


def minimiser(loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The table of logits, one row for each image, with the least loss over the joint table."""
    table = torch.zeros(JOINT.shape, dtype=torch.float64, requires_grad=True)
    images, labels = expanded(JOINT)
    search = torch.optim.LBFGS([table], max_iter=500, line_search_fn="strong_wolfe")
    search.param_groups[0].update(tolerance_grad=1e-10, tolerance_change=1e-14)

    def closure() -> Tensor:
        search.zero_grad()
        value = loss(table[images], labels)
        value.backward()
        return value

    search.step(closure)
    return table.detach()


def balanced_accuracy(rule: Any) -> float:
    """The mean over classes of the share of its images that the rule gives to it."""
    given_class = JOINT.double() / JOINT.sum(0)
    return float(sum(given_class[image, chosen] for image, chosen in enumerate(rule)) / 3)


def best_balanced_accuracy() -> float:
    return max(map(balanced_accuracy, itertools.product(range(3), repeat=4)))


class TestLogitAdjustment:
    @each_tau
    def test_against_the_formula(self, tau: float) -> None:
        logits = torch.randn(5, 3, dtype=torch.float64)
        expected = [
            [f - tau * math.log(n / 1000) for f, n in zip(r, (900, 90, 10), strict=True)]
            for r in logits.tolist()
        ]
        found = logit_adjustment(logits, COUNTS, tau=tau)
        assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64), atol=1e-5)
        assert found.dtype == torch.float64

    @given(ROWS, SHARES, st.sampled_from(TAUS))
    @quickly
    def test_it_takes_back_what_was_added(self, logits: Tensor, counts: Tensor, tau: float) -> None:
        prior = (counts / counts.sum()).log().double()
        assert torch.allclose(
            logit_adjustment(logits + tau * prior, counts, tau=tau), logits, atol=1e-5
        )

    @given(ROWS, SHARES)
    @quickly
    def test_at_one_it_is_a_shift_to_equal_shares(self, logits: Tensor, counts: Tensor) -> None:
        shifted = shift_prior(logits, trained=counts, used=torch.ones(3))
        assert torch.allclose(
            logit_adjustment(logits, counts).softmax(1), shifted.softmax(1), atol=1e-6
        )

    def test_counts_and_shares_are_the_same(self) -> None:
        logits = torch.randn(2, 3)
        found = logit_adjustment(logits, COUNTS / COUNTS.sum())
        assert torch.allclose(found, logit_adjustment(logits, COUNTS), atol=1e-6)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
    def test_the_type_of_the_logits_stays(self, dtype: torch.dtype) -> None:
        logits = torch.zeros(1, 3, dtype=dtype)
        assert logit_adjustment(logits, COUNTS).dtype == dtype
        assert shift_prior(logits, trained=COUNTS, used=torch.ones(3)).dtype == dtype

    def test_rare_classes_gain_and_the_logits_given_stay(self) -> None:
        logits = torch.zeros(1, 3)
        assert logit_adjustment(logits, COUNTS).argmax() == 2
        assert logit_adjustment(logits, COUNTS, tau=-1).argmax() == 0
        assert not logits.any()


class TestShiftPrior:
    @given(ROWS, SHARES, SHARES)
    @quickly
    def test_there_and_back_changes_nothing(
        self, logits: Tensor, here: Tensor, there: Tensor
    ) -> None:
        moved = shift_prior(logits, trained=here, used=there)
        assert torch.allclose(shift_prior(moved, trained=there, used=here), logits, atol=1e-5)
        assert torch.allclose(shift_prior(logits, trained=here, used=here), logits)

    @pytest.mark.parametrize("used", [(1, 1, 1), (5, 3, 2), (1, 98, 1)])
    def test_against_bayes_rule(self, used: tuple[int, ...]) -> None:
        totals = JOINT.sum(0).tolist()
        for row in JOINT.tolist():
            joint = [Fraction(n, totals[k]) * used[k] for k, n in enumerate(row)]
            expected = [float(value / sum(joint)) for value in joint]
            trained = torch.tensor(row).double().log()[None]  # the posterior, to a constant
            found = shift_prior(trained, trained=JOINT.sum(0), used=torch.tensor(used))
            assert torch.allclose(found.softmax(1)[0], torch.tensor(expected).double(), atol=1e-6)

    def test_after_a_balanced_sampler_the_real_shares_return(self) -> None:
        found = shift_prior(torch.zeros(1, 3), trained=torch.ones(3), used=COUNTS)
        assert torch.allclose(found.softmax(1), torch.tensor([[0.9, 0.09, 0.01]]))


class TestLogitAdjustedLoss:
    @each_tau
    def test_against_the_formula(self, tau: float) -> None:
        logits, labels = torch.randn(6, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 2, 1, 0])
        found = LogitAdjustedLoss(COUNTS, tau=tau)(logits, labels)
        shares = COUNTS.double() / 1000
        assert found.item() == pytest.approx(menon_loss(logits, labels, shares, tau), rel=1e-6)

    @each_tau
    def test_its_gradient(self, tau: float) -> None:
        logits = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
        labels = torch.tensor([0, 1, 2, 2, 1, 0])
        loss = LogitAdjustedLoss(COUNTS, tau=tau)
        assert torch.autograd.gradcheck(lambda rows: loss(rows, labels), logits)
        (found,) = torch.autograd.grad(loss(logits, labels), logits)
        odds = (COUNTS / 1000.0) ** tau * logits.detach().exp()
        expected = (odds / odds.sum(1, keepdim=True) - F.one_hot(labels, 3)) / 6
        assert torch.allclose(found, expected, atol=1e-6)

    def test_it_is_the_loss_that_the_adjustment_takes_back(self) -> None:
        logits, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 2])
        found = LogitAdjustedLoss(COUNTS, tau=1.5)(
            logit_adjustment(logits, COUNTS, tau=1.5), labels
        )
        assert torch.allclose(found, F.cross_entropy(logits, labels))

    def test_labels_of_minus_100_count_for_nothing(self) -> None:
        logits, labels = torch.randn(4, 3), torch.tensor([0, -100, 1, -100])
        loss = LogitAdjustedLoss(COUNTS)
        assert torch.allclose(loss(logits, labels), loss(logits[::2], labels[::2]))

    def test_the_prior_is_kept_with_the_module_and_not_trained(self) -> None:
        loss = LogitAdjustedLoss(COUNTS)
        assert [*loss.state_dict()] == ["log_prior"]
        assert not [*loss.parameters()]
        assert loss(torch.zeros(1, 3).bfloat16(), torch.tensor([0])).dtype == torch.bfloat16

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_cuda_agrees_with_the_cpu(self) -> None:
        logits, labels, loss = torch.randn(3, 3), torch.tensor([0, 1, 2]), LogitAdjustedLoss(COUNTS)
        assert torch.allclose(loss(logits.cuda(), labels.cuda()).cpu(), loss(logits, labels))
        there = logit_adjustment(logits.cuda(), COUNTS)
        assert torch.allclose(there.cpu(), logit_adjustment(logits, COUNTS))

    def test_fit_and_replicas_make_the_same_networks(self, patches: LabelledImages) -> None:
        agreeing(build, patches, loss=LogitAdjustedLoss(COUNTS))

    def test_fit_takes_a_loader_with_images_without_a_label(
        self, patches: LabelledImages, network: nn.Module
    ) -> None:
        labels = patches.labels.clone()
        labels[::2] = -100
        loader = DataLoader(TensorDataset(patches.images, labels), batch_size=16)
        history = fit(network, loader, epochs=1, lr=1e-9, loss=LogitAdjustedLoss(COUNTS))
        with torch.no_grad():
            expected = LogitAdjustedLoss(COUNTS)(network(patches.images), labels)
        assert history.epochs[0].train_loss == pytest.approx(expected.item(), rel=1e-5)


class TestConsistency:
    """On a table of four images and three classes, where every rule can be tried."""

    def test_the_least_loss_predicts_for_balanced_accuracy(self) -> None:
        table = minimiser(LogitAdjustedLoss(JOINT.sum(0)))
        given_class = JOINT.double() / JOINT.sum(0)
        assert table.argmax(1).tolist() == given_class.argmax(1).tolist()
        assert balanced_accuracy(table.argmax(1).tolist()) == best_balanced_accuracy()

    def test_its_probabilities_are_those_of_balanced_classes(self) -> None:
        given_class = JOINT.double() / JOINT.sum(0)
        expected = given_class / given_class.sum(1, keepdim=True)
        found = minimiser(LogitAdjustedLoss(JOINT.sum(0))).softmax(1)
        assert torch.allclose(found, expected, atol=1e-4)

    def test_adjusting_afterwards_comes_to_the_same(self) -> None:
        plain = minimiser(F.cross_entropy)
        adjusted = logit_adjustment(plain, JOINT.sum(0))
        trained = minimiser(LogitAdjustedLoss(JOINT.sum(0)))
        assert torch.allclose(adjusted.softmax(1), trained.softmax(1), atol=1e-4)

    def test_plain_cross_entropy_predicts_for_accuracy(self) -> None:
        chosen = minimiser(F.cross_entropy).argmax(1).tolist()
        assert chosen == JOINT.argmax(1).tolist()
        assert balanced_accuracy(chosen) < best_balanced_accuracy() - 0.2


class TestDenseLogits:
    """Logits (N, classes, …): an answer in each place, the classes in dimension 1."""

    @pytest.mark.parametrize("shape", [(2, 3, 4, 3), (2, 3, 3), (3, 3, 3, 3), (2, 3, 2, 1, 3)])
    def test_each_place_is_adjusted_as_an_image_is(self, shape: tuple[int, ...]) -> None:
        logits = torch.randn(shape, dtype=torch.float64)
        labels = torch.randint(3, shape[:1] + shape[2:])
        labels[0] = -100
        flat = logits.movedim(1, -1).reshape(-1, 3)
        loss = LogitAdjustedLoss(COUNTS, tau=1.5)
        assert torch.allclose(loss(logits, labels), loss(flat, labels.flatten()))
        for adjusted in (
            lambda each: logit_adjustment(each, COUNTS),
            lambda each: shift_prior(each, trained=COUNTS, used=torch.ones(3)),
        ):
            assert torch.allclose(adjusted(logits).movedim(1, -1).reshape(-1, 3), adjusted(flat))

    def test_one_image_alone_has_its_classes_in_its_only_dimension(self) -> None:
        logits = torch.randn(3)
        loss, label = LogitAdjustedLoss(COUNTS), torch.tensor(2)
        assert torch.allclose(loss(logits, label), loss(logits[None], label[None]))
        assert torch.equal(
            logit_adjustment(logits, COUNTS), logit_adjustment(logits[None], COUNTS)[0]
        )

    def test_classes_at_the_end_are_refused(self) -> None:
        for call in CALLS.values():
            with pytest.raises(ValueError, match=r"logits of 5 classes.*\(N, classes, …\)"):
                call(torch.zeros(2, 5, 3), COUNTS)


CALLS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "adjustment": logit_adjustment,
    "trained": lambda logits, row: shift_prior(logits, trained=row, used=torch.ones(3)),
    "used": lambda logits, row: shift_prior(logits, trained=torch.ones(3), used=row),
    "loss": lambda logits, row: LogitAdjustedLoss(row)(logits, torch.zeros(2, dtype=torch.int64)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
class TestRefusals:
    def test_rows_of_another_width(self, call: Callable[[Tensor, Tensor], Any]) -> None:
        for row in (torch.ones(2), torch.ones(4), torch.ones(1), torch.tensor([0.5, 0.5])):
            with pytest.raises(ValueError, match=f"received {len(row)} for logits of 3 classes"):
                call(torch.zeros(2, 3), row)

    def test_a_class_without_images(self, call: Callable[[Tensor, Tensor], Any]) -> None:
        with pytest.raises(ValueError, match=r"log 0 is infinite; classes \[0, 2\] have none"):
            call(torch.zeros(2, 3), torch.tensor([0, 5, 0]))

    @pytest.mark.parametrize(
        "row", [[1.0, -1.0, 1.0], [1.0, math.nan, 1.0], [1.0, math.inf, 1.0], [[1.0, 1.0, 1.0]]]
    )
    def test_what_counts_nothing(self, call: Callable[[Tensor, Tensor], Any], row: Any) -> None:
        message = r"class counts must be a row of finite numbers.*Take class_counts\(labels\)"
        with pytest.raises(ValueError, match=message):
            call(torch.zeros(2, 3), torch.tensor(row))

    @pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.bool], ids=str)
    def test_integer_logits_which_would_cut_the_prior(
        self, call: Callable[[Tensor, Tensor], Any], dtype: torch.dtype
    ) -> None:
        message = rf"logits must be floating point; received {dtype}\. Pass what the head returns"
        with pytest.raises(TypeError, match=message):
            call(torch.ones(2, 3, dtype=dtype), COUNTS)

    def test_weights_in_place_of_counts(self, call: Callable[[Tensor, Tensor], Any]) -> None:
        weights = class_weights([0] * 90 + [1] * 9 + [2])
        with pytest.raises(
            ValueError, match="class counts are needed here; received class weights"
        ):
            call(torch.zeros(2, 3), weights)
        for row in (weights.clone(), weights.double(), torch.tensor([0.5, 1.5, 4.0])):
            with pytest.raises(ValueError, match="whole numbers, or shares that sum to 1"):
                call(torch.zeros(2, 3), row)

    @pytest.mark.parametrize("row", ["many", {"cat": 3}, None, [[1], [1, 2]]])
    def test_what_is_no_row(self, call: Callable[[Tensor, Tensor], Any], row: Any) -> None:
        with pytest.raises(TypeError, match="class counts must be a row of numbers"):
            call(torch.zeros(2, 3), row)


def test_balanced_weights_are_no_counts_either() -> None:
    with pytest.raises(ValueError, match="class counts are needed here; received class weights"):
        LogitAdjustedLoss(class_weights([0, 1, 2]))


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor], ids=["list", "array", "tensor"])
@pytest.mark.parametrize(
    "row",
    [[900, 90, 10], [900.0, 90.0, 10.0], [0.9, 0.09, 0.01]],
    ids=["whole", "floats", "shares"],
)
def test_counts_and_shares_may_come_from_anywhere(kind: Callable[[Any], Any], row: Any) -> None:
    logits = torch.randn(4, 3)
    expected = logit_adjustment(logits, COUNTS)
    assert torch.allclose(logit_adjustment(logits, kind(row)), expected, atol=1e-6)
    labels = torch.tensor([0, 1, 2, 0])
    assert torch.allclose(
        LogitAdjustedLoss(kind(row))(logits, labels), LogitAdjustedLoss(COUNTS)(logits, labels)
    )


def test_shares_of_many_classes_sum_to_one_in_any_type() -> None:
    shares = torch.full((1000,), 1 / 1000)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        LogitAdjustedLoss(shares.to(dtype))


def test_logits_may_be_an_array() -> None:
    logits = np.random.default_rng(0).normal(size=(4, 3))
    expected = logit_adjustment(torch.from_numpy(logits), COUNTS)
    assert torch.equal(logit_adjustment(logits, COUNTS), expected)
    moved = shift_prior(logits, trained=COUNTS, used=np.ones(3))
    assert torch.allclose(moved.softmax(1), expected.softmax(1))


def test_gradients_go_through_an_adjustment() -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    logit_adjustment(logits, COUNTS).sum().backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[1, 1, 1]] * 2


@pytest.mark.parametrize("tau", [math.nan, math.inf])
def test_tau_is_finite(tau: float) -> None:
    for call in (
        lambda: LogitAdjustedLoss(COUNTS, tau=tau),
        lambda: logit_adjustment(torch.zeros(1, 3), COUNTS, tau=tau),
    ):
        with pytest.raises(ValueError, match=f"tau must be finite; received {tau}"):
            call()
