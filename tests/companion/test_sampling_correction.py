from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from companion import (
    LogitAdjustedLoss,
    WeightedLoss,
    audit_sampler,
    balanced_sampler,
    class_counts,
    class_weights,
)
from companion.sampling import double_correction
from companion.sampling.correction import fitted_prior, loss_factors

LABELS = torch.tensor([0] * 160 + [1] * 30 + [2] * 10)
COUNTS = class_counts(LABELS)
DATA = TensorDataset(torch.zeros(200, 1), LABELS)
EACH = class_weights(LABELS)
# Of 1/160, 1/30 and 1/10 the last is 0.1 / 0.1396.
SEEN = "sampler and loss both correct: class 2, with 5% of the images, has 72% of the pull"


def weighted(weights: Tensor) -> WeightedRandomSampler:
    return WeightedRandomSampler(weights[LABELS].tolist(), 200)


CORRECTING: dict[str, Any] = {
    "weighted": WeightedLoss(EACH),
    "adjusted": LogitAdjustedLoss(COUNTS),
    "of PyTorch": nn.CrossEntropyLoss(weight=EACH),
    "of log probabilities": nn.NLLLoss(weight=EACH),
    "a partial": partial(F.cross_entropy, weight=EACH),
}
NEUTRAL: dict[str, Any] = {
    "none": None,
    "plain": nn.CrossEntropyLoss(),
    "function": F.cross_entropy,
    "smoothed": partial(F.cross_entropy, label_smoothing=0.1),
    "equal weights": WeightedLoss(torch.ones(3)),
    "tau 0": LogitAdjustedLoss(COUNTS, tau=0.0),
    "the prior that is drawn": LogitAdjustedLoss(torch.ones(3)),
    "one's own": nn.MSELoss(),
}
SAMPLERS: dict[str, Any] = {
    "balanced": balanced_sampler(LABELS, seed=0),
    "in a loader": DataLoader(DATA, sampler=balanced_sampler(LABELS, seed=0)),
    "in batches": DataLoader(
        DATA, batch_sampler=BatchSampler(balanced_sampler(LABELS, seed=0), 8, False)
    ),
    "of PyTorch in a loader": DataLoader(DATA, sampler=weighted(EACH)),
}


class TestDoubleCorrection:
    @pytest.mark.parametrize("loss", CORRECTING.values(), ids=CORRECTING)
    @pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
    def test_each_sampler_with_each_correcting_loss_is_found(self, sampler: Any, loss: Any) -> None:
        found = double_correction(sampler, loss)
        assert found is not None
        assert (found.code, found.severity, found.seen) == ("SMP105", "warning", SEEN)
        assert found.remedy.startswith("Keep one of the two")

    @pytest.mark.parametrize("loss", NEUTRAL.values(), ids=NEUTRAL)
    @pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
    def test_a_loss_that_corrects_nothing_is_meant(self, sampler: Any, loss: Any) -> None:
        assert double_correction(sampler, loss) is None

    @pytest.mark.parametrize("loss", CORRECTING.values(), ids=CORRECTING)
    @pytest.mark.parametrize(
        "sampler",
        [
            None,
            RandomSampler(DATA),
            DataLoader(DATA, shuffle=True),
            range(200),
            weighted(EACH / EACH),
        ],
        ids=["none", "random", "loader", "range", "equal-weights"],
    )
    def test_a_sampler_that_corrects_nothing_is_meant(self, sampler: Any, loss: Any) -> None:
        assert double_correction(sampler, loss) is None

    def test_two_halves_of_a_correction_are_one(self) -> None:
        half = class_weights(LABELS, scheme="square-root")
        sampler = balanced_sampler(LABELS, seed=0, scheme="square-root")
        for loss in (WeightedLoss(half), LogitAdjustedLoss(COUNTS, tau=0.5)):
            assert double_correction(sampler, loss) is None
        assert double_correction(sampler, WeightedLoss(EACH)) is not None

    def test_labels_say_what_a_sampler_of_pytorch_draws(self) -> None:
        loss = WeightedLoss(EACH)
        assert double_correction(weighted(EACH), loss) is None
        found = double_correction(weighted(EACH), loss, labels=DATA)
        assert found is not None
        assert found.seen == SEEN

    def test_balanced_data_have_nothing_to_correct(self) -> None:
        labels = [0, 1, 2] * 20
        sampler = balanced_sampler(labels, seed=0)
        assert double_correction(sampler, WeightedLoss(class_weights(labels))) is None
        assert double_correction(sampler, WeightedLoss([1.0, 1.0, 5.0])) is None

    def test_one_of_the_two_that_goes_too_far_is_not_two(self) -> None:
        steep = weighted(EACH**2)
        assert double_correction(steep, WeightedLoss(torch.ones(3)), labels=LABELS) is None
        heavy = audit_sampler(RandomSampler(DATA), DATA, loss=WeightedLoss(EACH**2))
        assert heavy.findings == ()

    def test_raising_the_common_class_is_no_second_correction(self) -> None:
        loss = WeightedLoss([4.0, 1.0, 1.0])
        assert double_correction(balanced_sampler(LABELS, seed=0), loss) is None

    def test_a_class_without_images_and_images_without_a_class_do_not_count(self) -> None:
        labels = torch.cat([LABELS, torch.full((500,), -100)])
        found = double_correction(balanced_sampler(labels, seed=0), WeightedLoss(EACH))
        assert found is not None
        assert found.seen == SEEN
        gap = torch.tensor([0] * 90 + [2] * 10)
        sampler = WeightedRandomSampler((1.0 + 8 * (gap == 2)).tolist(), 100)
        found = double_correction(sampler, WeightedLoss([0.5, 1.0, 4.5]), labels=gap)
        assert found is not None
        assert "class 2, with 10% of the images, has 90%" in found.seen

    def test_a_head_may_have_more_classes_than_the_labels(self) -> None:
        loss = LogitAdjustedLoss(torch.tensor([160, 30, 10, 5]))
        assert double_correction(balanced_sampler(LABELS, seed=0), loss) is not None
        narrow = WeightedLoss([0.5, 1.5])
        assert double_correction(balanced_sampler(LABELS, seed=0), narrow) is None

    def test_nothing_is_drawn_and_no_random_state_changes(self) -> None:
        data = Drawing(LABELS.tolist())
        before, sampler = torch.get_rng_state(), balanced_sampler(LABELS, seed=0)
        loader = DataLoader(data, sampler=weighted(EACH))
        assert double_correction(loader, WeightedLoss(EACH)) is not None
        assert double_correction(sampler, WeightedLoss(EACH)) is not None
        assert torch.equal(torch.get_rng_state(), before)
        assert sampler.epoch == 0
        assert 0 < data.read < 30

    def test_items_are_not_all_read_to_know(self) -> None:
        data = Drawing(LABELS.tolist())
        del data.targets
        loader = DataLoader(data, sampler=weighted(EACH))
        assert double_correction(loader, WeightedLoss(EACH)) is None
        assert data.read < 30
        assert double_correction(loader, WeightedLoss(EACH), labels=data) is not None


class Drawing(Dataset[Any]):
    """Items that draw a number each, as by augmentation, and count how often they are read."""

    def __init__(self, labels: list[int]) -> None:
        self.own = self.targets = labels
        self.read = 0

    def __len__(self) -> int:
        return len(self.own)

    def __getitem__(self, index: int) -> Any:
        self.read += 1
        return torch.rand(1), self.own[index]


class TestInTheAudit:
    @pytest.mark.parametrize("loss", CORRECTING.values(), ids=CORRECTING)
    def test_what_is_drawn_and_the_loss_are_seen_together(self, loss: Any) -> None:
        draw = audit_sampler(balanced_sampler(LABELS, seed=0), LABELS, loss=loss, epochs=20)
        assert [each.code for each in draw.findings] == ["SMP105"]
        plain = audit_sampler(RandomSampler(DATA), DATA, loss=loss)
        assert plain.findings == ()

    @pytest.mark.parametrize("loss", NEUTRAL.values(), ids=NEUTRAL)
    def test_one_correction_is_none_too_many(self, loss: Any) -> None:
        assert audit_sampler(balanced_sampler(LABELS, seed=0), LABELS, loss=loss).findings == ()

    def test_what_draws_wrongly_has_no_second_finding(self) -> None:
        wrong = WeightedRandomSampler(EACH.tolist(), 200)
        found = audit_sampler(wrong, LABELS, loss=WeightedLoss(EACH)).findings
        assert [each.code for each in found] == ["SMP102"]


def minimised(counts: list[int], loss: Any) -> Tensor:
    """The probabilities that a network without any input comes to on labels of these counts."""
    labels = torch.tensor([k for k, count in enumerate(counts) for _ in range(count)])
    logits = torch.zeros(1, len(counts), dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Any:
        search.zero_grad()
        value = loss(logits.expand(len(labels), -1), labels)
        value.backward()
        return value

    search.step(closure)
    return logits.detach().softmax(1)[0]


class TestFittedPrior:
    @given(st.lists(st.integers(1, 20), min_size=3, max_size=3), st.sampled_from([0.5, 1.0, 2.0]))
    @settings(deadline=None, max_examples=10)
    def test_it_is_what_a_network_that_sees_nothing_answers(
        self, counts: list[int], tau: float
    ) -> None:
        drawn, weights = torch.tensor(counts).double(), torch.tensor([0.5, 1.0, 3.0])
        prior = torch.tensor([6, 3, 1])
        for loss in (
            WeightedLoss(weights),
            LogitAdjustedLoss(prior, tau=tau),
            nn.CrossEntropyLoss(weight=weights.double()),
        ):
            found = fitted_prior(drawn / drawn.sum(), loss)
            assert torch.allclose(found, minimised(counts, loss), atol=1e-3)

    def test_without_weights_it_is_what_is_drawn(self) -> None:
        drawn = torch.tensor([0.7, 0.3])
        assert torch.allclose(fitted_prior(drawn, F.cross_entropy), drawn.double())
        assert loss_factors(F.cross_entropy) is None

    def test_factors_of_the_adjusted_loss_are_the_inverse_prior(self) -> None:
        found = loss_factors(LogitAdjustedLoss([90, 10], tau=2.0))
        assert found is not None
        assert found.tolist() == pytest.approx([1 / 0.81, 1 / 0.01], rel=1e-5)
        assert math.isclose(found[1] / found[0], 81, rel_tol=1e-5)

    @pytest.mark.parametrize("width", [1, 3])
    def test_each_class_has_one_weight(self, width: int) -> None:
        with pytest.raises(ValueError, match=f"each of the 2 classes; it has {width}"):
            fitted_prior(torch.tensor([0.5, 0.5]), WeightedLoss(torch.ones(width)))
