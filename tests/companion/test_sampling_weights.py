from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from companion import (
    LabelledImages,
    WeightedLoss,
    class_counts,
    class_weights,
    fit,
    mlp,
)
from replica_runs import agreeing

quickly = settings(deadline=None, max_examples=60)
COUNTS = st.lists(st.integers(1, 300), min_size=1, max_size=5)
WEIGHTS = torch.tensor([0.25, 1.0, 4.0])


def labels_with(counts: list[int]) -> list[int]:
    return [label for label, count in enumerate(counts) for _ in range(count)]


def build(seed: int) -> nn.Module:
    return mlp(3, inputs=36, hidden=(8,), seed=seed)


def close(found: Tensor, expected: Any, tolerance: float = 1e-5) -> bool:
    return torch.allclose(
        found.double(), torch.as_tensor(expected).double(), atol=0, rtol=tolerance
    )


class TestClassCounts:
    @given(st.lists(st.integers(0, 6), min_size=1), st.integers(7, 9))
    @quickly
    def test_they_are_how_often_each_label_occurs(self, labels: list[int], width: int) -> None:
        counter = Counter(labels)
        assert class_counts(labels).tolist() == [counter[k] for k in range(max(labels) + 1)]
        assert class_counts(labels, num_classes=width).tolist() == [
            counter[k] for k in range(width)
        ]
        assert class_counts(labels).dtype == torch.int64

    def test_a_data_set_says_how_many_classes_there_are(self) -> None:
        data = LabelledImages(torch.zeros(3, 1, 1, 1), torch.tensor([1, 0, 1]), [*"abcd"])
        assert class_counts(data).tolist() == [1, 2, 0, 0]
        assert class_counts(data, num_classes=3).tolist() == [1, 2, 0]
        assert class_counts(Subset(data, [0, 2]), num_classes=4).tolist() == [0, 2, 0, 0]

    def test_images_without_a_label_count_for_no_class(self) -> None:
        assert class_counts([-100, 0, 2, -100, 0]).tolist() == [2, 0, 1]
        assert class_counts([-100], num_classes=2).tolist() == [0, 0]

    @pytest.mark.parametrize(("labels", "width"), [([0, 3, 1], 3), ([5], 1)])
    def test_a_label_beyond_the_classes_is_refused(self, labels: list[int], width: int) -> None:
        message = rf"below the number of classes, {width}; received {max(labels)}\. Count"
        for counted in (class_counts, class_weights):
            with pytest.raises(ValueError, match=message):
                counted(labels, num_classes=width)

    def test_a_label_beyond_the_declared_classes_is_refused(self) -> None:
        data: Any = TensorDataset(torch.zeros(2, 1), torch.tensor([0, 2]))
        data.classes = ["a", "b"]
        with pytest.raises(ValueError, match="below the number of classes, 2; received 2"):
            class_counts(data)

    def test_what_is_no_label_is_refused(self) -> None:
        with pytest.raises(TypeError, match="not weights, counts or logits"):
            class_counts(torch.tensor([0.5, 2.0]))


def effective_number(count: int, beta: float) -> float:
    """The sum 1 + β + β² + … over a class's images, which (1 − β^n) / (1 − β) is short for."""
    return math.fsum(beta**k for k in range(count))


DIRECTLY: dict[str, Callable[[int], float]] = {
    "inverse": lambda count: 1 / count,
    "square-root": lambda count: 1 / math.sqrt(count),
    "effective": lambda count: 1 / effective_number(count, 0.999),
}


class TestClassWeights:
    @given(COUNTS, st.sampled_from([*DIRECTLY]))
    @quickly
    def test_each_scheme_against_its_formula(self, counts: list[int], scheme: str) -> None:
        raw = [DIRECTLY[scheme](count) for count in counts]
        mean = sum(r * n for r, n in zip(raw, counts, strict=True)) / sum(counts)
        found = class_weights(labels_with(counts), scheme=scheme)
        assert close(found, [r / mean for r in raw])
        assert found.dtype == torch.float32

    @given(COUNTS, st.sampled_from([*DIRECTLY]))
    @quickly
    def test_the_mean_over_images_is_one(self, counts: list[int], scheme: str) -> None:
        labels = labels_with(counts)
        weights = class_weights(labels, scheme=scheme)
        assert weights[torch.tensor(labels)].double().mean().item() == pytest.approx(1, rel=1e-5)

    @pytest.mark.parametrize("beta", [0.5, 0.9, 0.9999])
    def test_beta_sets_the_effective_number(self, beta: float) -> None:
        found = class_weights(labels_with([2, 300]), scheme="effective", beta=beta)
        expected = effective_number(300, beta) / effective_number(2, beta)
        assert close(found[0] / found[1], expected)

    def test_effective_goes_from_equal_to_inverse(self) -> None:
        labels = labels_with([5, 50, 500])
        equal = class_weights(labels, scheme="effective", beta=0.0)
        assert equal.tolist() == [1, 1, 1]
        limit = class_weights(labels, scheme="effective", beta=1 - 1e-9)
        assert close(limit, class_weights(labels))

    def test_inverse_is_the_default_and_square_root_lies_halfway(self) -> None:
        labels = labels_with([100, 1])
        assert close(class_weights(labels), [101 / 200, 101 / 2])
        ratio = [class_weights(labels, scheme=scheme)[1] for scheme in ("inverse", "square-root")]
        other = [class_weights(labels, scheme=scheme)[0] for scheme in ("inverse", "square-root")]
        assert close(ratio[0] / other[0], 100)
        assert close(ratio[1] / other[1], 10)

    def test_images_without_a_label_change_nothing(self) -> None:
        labels = labels_with([3, 1])
        assert torch.equal(class_weights([-100, *labels, -100]), class_weights(labels))

    @pytest.mark.parametrize(
        ("labels", "options", "message"),
        [
            ([0, 0, 2], {}, r"classes \[1\] have none\. Leave them out of the label map"),
            ([0, 1], {"num_classes": 4}, r"classes \[2, 3\] have none"),
            ([-100, -100], {}, "all labels are -100"),
            (
                [0, 1],
                {"scheme": "inverted"},
                "inverse, square-root, effective; received 'inverted'",
            ),
            ([0, 1], {"beta": 1.0}, r"beta must lie in 0 … 1, below 1; received 1\.0"),
            ([0, 1], {"beta": -0.1}, r"received -0\.1\. Use 0\.999"),
            ([0, 1], {"beta": math.nan}, "received nan"),
        ],
        ids=["gap", "beyond", "unlabelled", "scheme", "beta 1", "beta below 0", "beta nan"],
    )
    def test_what_has_no_weights_is_refused(
        self, labels: list[int], options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            class_weights(labels, **options)


def by_hand(logits: Tensor, labels: Tensor, weights: Tensor, smoothing: float) -> float:
    """Σ weight × cross-entropy over the labelled images, through their number."""
    losses = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        if label != -100:
            logs = [score - math.log(sum(map(math.exp, row))) for score in row]
            asked = [smoothing / len(row) + (1 - smoothing) * (k == label) for k in range(len(row))]
            own = -sum(t * log for t, log in zip(asked, logs, strict=True))
            losses.append(weights[label].item() * own)
    return math.fsum(losses) / len(losses)


class TestWeightedLoss:
    @given(
        st.lists(st.sampled_from([0, 1, 2, -100]), min_size=1, max_size=12).filter(
            lambda labels: max(labels) >= 0
        ),
        st.sampled_from([0.0, 0.1, 0.7]),
        st.integers(0, 99),
    )
    @quickly
    def test_against_sums_by_hand(self, labels: list[int], smoothing: float, seed: int) -> None:
        asked = torch.tensor(labels)
        logits = torch.randn(len(labels), 3, generator=torch.Generator().manual_seed(seed)).double()
        found = WeightedLoss(WEIGHTS, label_smoothing=smoothing)(logits, asked)
        assert found.item() == pytest.approx(by_hand(logits, asked, WEIGHTS, smoothing), rel=1e-9)

    def test_its_gradient_is_weight_times_that_of_cross_entropy(self) -> None:
        logits = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
        labels = torch.tensor([0, 1, 2, 2, 1, 0])
        (found,) = torch.autograd.grad(WeightedLoss(WEIGHTS)(logits, labels), logits)
        plain = (logits.softmax(1) - F.one_hot(labels, 3)).detach() / 6
        assert torch.allclose(found, WEIGHTS.double()[labels, None] * plain)

    def test_a_batch_of_one_class_keeps_its_weight(self) -> None:
        logits, loss = torch.randn(5, 3), WeightedLoss(WEIGHTS)
        for label, weight in enumerate(WEIGHTS.tolist()):
            labels = torch.full((5,), label)
            plain = F.cross_entropy(logits, labels)
            assert close(loss(logits, labels), weight * plain)
            assert close(F.cross_entropy(logits, labels, weight=WEIGHTS), plain)

    def test_accumulated_halves_give_the_gradient_of_the_whole(self) -> None:
        logits = torch.randn(8, 3, dtype=torch.float64)
        labels = torch.tensor([0, 0, 0, 1, 0, 2, 2, 1])

        def gap(loss: Callable[[Tensor, Tensor], Tensor]) -> float:
            parts = zip(logits.split(4), labels.split(4), strict=True)
            halves = sum(loss(rows, asked) for rows, asked in parts) / 2
            return abs((halves - loss(logits, labels)).item())

        assert gap(WeightedLoss(WEIGHTS)) < 1e-12
        assert gap(lambda rows, asked: F.cross_entropy(rows, asked, weight=WEIGHTS.double())) > 0.01

    def test_smoothing_does_not_ask_a_majority_example_to_be_a_minority_one(self) -> None:
        weights, epsilon = torch.tensor([1.0, 100.0]), 0.1
        chances = torch.arange(1, 1000, dtype=torch.float64) / 1000
        logits = torch.stack([chances, 1 - chances], 1).log()
        majority = torch.tensor([0])

        def best(loss: Callable[[Tensor, Tensor], Tensor]) -> float:
            losses = torch.stack([loss(row[None], majority) for row in logits])
            return chances[losses.argmin()].item()

        def of_pytorch(rows: Tensor, asked: Tensor) -> Tensor:
            return F.cross_entropy(rows, asked, weight=weights.double(), label_smoothing=epsilon)

        assert best(WeightedLoss(weights, label_smoothing=epsilon)) == pytest.approx(0.95)
        assert best(of_pytorch) == pytest.approx(0.95 / (0.95 + 0.05 * 100), abs=6e-4)

    @pytest.mark.parametrize("smoothing", [0.0, 0.2])
    def test_weights_of_one_are_plain_cross_entropy(self, smoothing: float) -> None:
        logits, labels = torch.randn(5, 3), torch.tensor([0, -100, 2, 1, 1])
        found = WeightedLoss(torch.ones(3), label_smoothing=smoothing)(logits, labels)
        assert close(found, F.cross_entropy(logits, labels, label_smoothing=smoothing))

    def test_a_batch_without_a_label_has_no_mean_as_in_cross_entropy(self) -> None:
        nothing = torch.full((2,), -100)
        assert WeightedLoss(WEIGHTS)(torch.zeros(2, 3), nothing).isnan()
        assert F.cross_entropy(torch.zeros(2, 3), nothing).isnan()

    def test_a_class_may_weigh_nothing(self) -> None:
        loss = WeightedLoss(torch.tensor([0.0, 1.0]))
        assert loss(torch.zeros(2, 2), torch.tensor([0, 1])).item() == pytest.approx(
            math.log(2) / 2
        )

    def test_whole_numbers_are_weights_too(self) -> None:
        found = WeightedLoss(torch.tensor([1, 3]))(torch.zeros(1, 2), torch.tensor([1]))
        assert found.item() == pytest.approx(3 * math.log(2))

    def test_the_weights_are_kept_with_the_module_and_not_trained(self) -> None:
        loss = WeightedLoss(WEIGHTS)
        assert [*loss.state_dict()] == ["weights"]
        assert not [*loss.parameters()]

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
    def test_the_loss_has_the_type_of_the_logits(self, dtype: torch.dtype) -> None:
        found = WeightedLoss(WEIGHTS)(torch.zeros(2, 3, dtype=dtype), torch.tensor([0, 2]))
        assert found.dtype == dtype

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_cuda_agrees_with_the_cpu(self) -> None:
        logits, labels, loss = (
            torch.randn(4, 3),
            torch.tensor([0, 1, 2, -100]),
            WeightedLoss(WEIGHTS),
        )
        assert close(loss(logits.cuda(), labels.cuda()).cpu(), loss(logits, labels))

    @pytest.mark.parametrize("width", [2, 4])
    def test_logits_of_another_width_are_refused(self, width: int) -> None:
        with pytest.raises(
            ValueError, match=f"received 3 for logits of {width} classes. Count with"
        ):
            WeightedLoss(WEIGHTS)(torch.zeros(2, width), torch.tensor([0, 1]))

    @pytest.mark.parametrize(
        "weights",
        [[1.0, -0.5], [0.0, 0.0], [1.0, math.nan], [math.inf, 1.0], [[1.0, 2.0]], []],
        ids=["negative", "zero", "nan", "inf", "two rows", "none"],
    )
    def test_what_weighs_nothing_is_refused(self, weights: Any) -> None:
        message = r"class weights must be a row of finite numbers.*Take class_weights\(labels\)"
        with pytest.raises(ValueError, match=message):
            WeightedLoss(torch.tensor(weights))

    def test_long_rows_are_shortened_in_the_error(self) -> None:
        shown = r"received \[1\.0, 1\.0, 1\.0, 1\.0, 1\.0, 1\.0\]… of shape \(2, 50\)"
        with pytest.raises(ValueError, match=shown):
            WeightedLoss(torch.ones(2, 50))

    @pytest.mark.parametrize("smoothing", [-0.1, 1.0, math.nan])
    def test_smoothing_that_is_none_is_refused(self, smoothing: float) -> None:
        with pytest.raises(ValueError, match=f"0 … 1, below 1; received {smoothing}"):
            WeightedLoss(WEIGHTS, label_smoothing=smoothing)


class TestCountsAreNoWeights:
    def test_what_counted_is_refused_by_the_loss(self) -> None:
        message = "class weights are needed here; received class counts. Take class_weights"
        for counts in ([5, 3], [1, 1], [1, 7]):
            with pytest.raises(ValueError, match=message):
                WeightedLoss(class_counts(labels_with(counts)))

    @pytest.mark.parametrize(
        "row",
        [
            torch.tensor([900, 90, 10]),
            torch.tensor([900.0, 90.0, 2.0]),
            [30, 4, 0],
            class_counts([0, 0, 0, 1, 1]).double(),
        ],
        ids=["whole", "floats", "none-of-one", "a-copy"],
    )
    def test_what_looks_like_counts_is_refused(self, row: Any) -> None:
        message = r"lie around 1.*look like counts\. Take class_weights.*divide them by their mean"
        with pytest.raises(ValueError, match=message):
            WeightedLoss(row)

    @pytest.mark.parametrize(
        "row",
        [[1, 3], [1.0, 10.0, 100.0], [2.5, 4.0], [0, 1], [0.5, 2.0], [1.5, 3.25]],
        ids=str,
    )
    def test_weights_by_hand_are_taken(self, row: list[float]) -> None:
        assert WeightedLoss(row).weights.tolist() == row
        assert WeightedLoss(np.array(row)).weights.tolist() == row

    def test_what_is_computed_from_counts_is_no_count(self) -> None:
        counts = class_counts(labels_with([6, 2, 1]))
        found = WeightedLoss(counts.sum() / (3 * counts)).weights
        assert close(found, class_weights(labels_with([6, 2, 1])))

    def test_weights_that_were_shown_to_be_meant_are_taken(self) -> None:
        row = torch.tensor([2.0, 6.0])
        assert WeightedLoss(row / row.mean()).weights.tolist() == [0.5, 1.5]

    def test_the_loss_has_a_copy_of_its_own(self) -> None:
        given_ = class_weights(labels_with([6, 2]))
        before = given_.clone()
        WeightedLoss(given_).weights.zero_()
        assert torch.equal(given_, before)


class TestDenseLogits:
    @pytest.mark.parametrize("shape", [(2, 3, 4, 3), (2, 3, 3), (3, 3, 3, 3)], ids=str)
    def test_each_place_counts_as_an_image(self, shape: tuple[int, ...]) -> None:
        logits = torch.randn(shape, dtype=torch.float64)
        labels = torch.randint(3, shape[:1] + shape[2:])
        labels[0, 0] = -100
        flat = logits.movedim(1, -1).reshape(-1, 3)
        loss = WeightedLoss(WEIGHTS, label_smoothing=0.1)
        expected = by_hand(flat, labels.flatten(), WEIGHTS, 0.1)
        assert loss(logits, labels).item() == pytest.approx(expected)

    def test_classes_at_the_end_are_refused(self) -> None:
        with pytest.raises(ValueError, match="received 3 for logits of 5 classes"):
            WeightedLoss(WEIGHTS)(torch.zeros(2, 5, 3), torch.zeros(2, 5).long())


def test_soft_labels_have_no_weight() -> None:
    with pytest.raises(TypeError, match=r"labels must be integer indices.*received torch\.float32"):
        WeightedLoss(WEIGHTS)(torch.zeros(2, 3), torch.full((2, 3), 1 / 3))


def test_integer_logits_are_refused() -> None:
    with pytest.raises(TypeError, match=r"logits must be floating point; received torch\.int64"):
        WeightedLoss(WEIGHTS)(torch.zeros(2, 3).long(), torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("width", "error"), [(0, ValueError), (-2, ValueError), (2.0, TypeError), (True, TypeError)]
)
def test_the_number_of_classes_is_a_whole_number(width: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="num_classes must be a whole number of at least 1"):
        class_counts([0, 1], num_classes=width)


class TestInTraining:
    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    def test_fit_and_replicas_make_the_same_networks(
        self, patches: LabelledImages, smoothing: float
    ) -> None:
        agreeing(build, patches, loss=WeightedLoss(WEIGHTS, label_smoothing=smoothing))

    def test_fit_does_what_a_loop_by_hand_does(
        self, patches: LabelledImages, network: nn.Module
    ) -> None:
        expected = copy.deepcopy(network)
        optimizer, order = (
            torch.optim.SGD(expected.parameters(), 0.1),
            torch.Generator().manual_seed(4),
        )
        for rows in torch.randperm(60, generator=order).split(16):
            labels = patches.labels[rows]
            losses = F.cross_entropy(expected(patches.images[rows]), labels, reduction="none")
            optimizer.zero_grad()
            (losses * WEIGHTS[labels]).mean().backward()
            optimizer.step()

        fit(
            network,
            patches,
            epochs=1,
            lr=0.1,
            batch_size=16,
            seed=4,
            loss=WeightedLoss(WEIGHTS),
            optimizer=lambda parameters, lr: torch.optim.SGD(parameters, lr),
            schedule="constant",
        )
        assert torch.allclose(network(patches.images), expected(patches.images), atol=1e-5)

    def test_images_without_a_label_do_not_train(
        self, patches: LabelledImages, network: nn.Module
    ) -> None:
        labels = patches.labels.clone()
        labels[::2] = -100
        other = copy.deepcopy(network)
        blank = patches.images.clone()
        blank[::2] = 0.0
        for model, images in ((network, patches.images), (other, blank)):
            loader = DataLoader(TensorDataset(images, labels), batch_size=16)
            fit(model, loader, epochs=2, lr=0.01, loss=WeightedLoss(WEIGHTS))
        assert torch.allclose(network(patches.images), other(patches.images), atol=1e-6)
