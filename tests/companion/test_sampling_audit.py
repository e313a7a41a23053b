from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from companion import (
    Draw,
    LabelledImages,
    WeightedLoss,
    audit_sampler,
    balanced_sampler,
    class_counts,
    class_weights,
    expected_coverage,
)
from companion.sampling import mismatched_sampler

quickly = settings(deadline=None, max_examples=60)
LABELS = torch.tensor([0] * 160 + [1] * 30 + [2] * 10)
DATA = TensorDataset(torch.zeros(200, 1), LABELS)
REPEATS = "an epoch repeats the one before, draw by draw; its seed does not advance"
ONLY_FIRST = (
    "only the first 3 of 200 positions are drawn, as by class weights in place of sample weights"
)


class Script:
    """A sampler whose epochs are written down beforehand, and come round again."""

    def __init__(self, *epochs: Iterable[int]) -> None:
        self.epochs = itertools.cycle([list(epoch) for epoch in epochs])

    def __iter__(self) -> Iterator[int]:
        return iter(next(self.epochs))


class Reseeded:
    """A sampler that makes its generator anew in each epoch, from the same seed."""

    def __init__(self, weights: Tensor) -> None:
        self.weights = weights

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(0)
        return iter(WeightedRandomSampler(self.weights, 200, generator=generator))


class EpochSet:
    """A distributed sampler as a careful loop uses it."""

    def __init__(self, sampler: DistributedSampler[Any]) -> None:
        self.sampler, self.epoch = sampler, 0  # `sampler` as loaders and batch samplers have it

    def __iter__(self) -> Iterator[int]:
        self.sampler.set_epoch(self.epoch)
        self.epoch += 1
        return iter(self.sampler)


def shard(rank: int, **options: Any) -> DistributedSampler[Any]:
    return DistributedSampler(DATA, num_replicas=2, rank=rank, **options)


WEIGHTED = WeightedRandomSampler(class_weights(LABELS)[LABELS], 200)
HEALTHY: dict[str, Iterable[int]] = {
    "random": RandomSampler(DATA),
    "random with replacement": RandomSampler(DATA, replacement=True),
    "sequential": SequentialSampler(DATA),
    "range": range(200),
    "balanced": balanced_sampler(LABELS, seed=0),
    "square root": balanced_sampler(LABELS, seed=0, scheme="square-root"),
    "few draws": balanced_sampler(LABELS, seed=0, draws=30),
    "one of two": balanced_sampler(LABELS, seed=0, rank=1, world_size=2),
    "weighted": WEIGHTED,
    "batches": BatchSampler(WEIGHTED, 16, drop_last=False),
    "subset": SubsetRandomSampler([*range(0, 200, 2)]),
    "shard in order": shard(1, shuffle=False),
    "shard": EpochSet(shard(0)),
}
MISUSES: dict[str, tuple[Iterable[int], str]] = {
    "class weights": (WeightedRandomSampler(class_weights(LABELS), 200), ONLY_FIRST),
    "class weights, few draws": (WeightedRandomSampler(class_weights(LABELS), 4), ONLY_FIRST),
    "other data": (
        Script(range(100, 300), range(300)),
        "200 of 500 positions lie outside the 200 images, as by a sampler made for other data",
    ),
    "the labels of the parent": (
        Script([*range(200), 200], [199, 0, 70, 180]),
        "1 of 205 positions lie outside the 200 images, as by a sampler made for other data",
    ),
    "below zero": (
        Script([-1, *range(200)], [180, 170, 5]),
        "1 of 204 positions lie outside the 200 images, as by a sampler made for other data",
    ),
    "a class never drawn": (
        SubsetRandomSampler([*range(190)]),
        "classes [2] have images and are never drawn",
    ),
    "a few images of one class": (
        Script([3, 0, 1, 2], [0, 1, 2, 3]),
        "classes [1, 2] have images and are never drawn",
    ),
    "one draw": (Script([2], [0]), "classes [1, 2] have images and are never drawn"),
    "two classes never drawn": (
        SubsetRandomSampler([*range(160)]),
        "classes [1, 2] have images and are never drawn",
    ),
    "the same seed in each epoch": (Reseeded(class_weights(LABELS)[LABELS]), REPEATS),
    "set_epoch forgotten": (shard(0), REPEATS),
    "a sampler in a distributed one": (
        EpochSet(DistributedSampler(WEIGHTED, num_replicas=2, rank=0)),
        "a DistributedSampler around a WeightedRandomSampler takes its length and not its draws",
    ),
    "weights of a part": (
        WeightedRandomSampler(torch.ones(150), 200),
        "the sampler was made for 150 images and draws from 200",
    ),
    "balanced for a part": (
        balanced_sampler(LABELS[:180], seed=0),
        "the sampler was made for 180 images and draws from 200",
    ),
    "an order of a part": (
        RandomSampler(range(190)),
        "the sampler was made for 190 images and draws from 200",
    ),
}
CODES = {
    "outside the": ("SMP101", "error"),
    "only the first": ("SMP102", "error"),
    "never drawn": ("SMP103", "warning"),
    "repeats the one before": ("SMP104", "warning"),
    "was made for": ("SMP106", "error"),
    "a DistributedSampler": ("SMP107", "error"),
}


class TestProblems:
    @pytest.mark.parametrize("sampler", HEALTHY.values(), ids=HEALTHY)
    def test_none_is_reported_for_what_is_meant(self, sampler: Iterable[int]) -> None:
        assert audit_sampler(sampler, DATA, epochs=3).problems == ()

    @pytest.mark.parametrize(("sampler", "problem"), MISUSES.values(), ids=MISUSES)
    def test_each_misuse_has_its_sentence(self, sampler: Iterable[int], problem: str) -> None:
        assert audit_sampler(sampler, DATA).problems == (problem,)

    @pytest.mark.parametrize(("sampler", "problem"), MISUSES.values(), ids=MISUSES)
    def test_each_finding_has_its_code_and_says_what_to_do(
        self, sampler: Iterable[int], problem: str
    ) -> None:
        (found,) = audit_sampler(sampler, DATA).findings
        expected = [pair for words, pair in CODES.items() if words in problem]
        assert [(found.code, found.severity)] == expected
        assert found.seen == problem
        assert found.why.endswith(".")
        assert found.remedy.endswith(".")

    def test_a_repeated_epoch_is_found_wherever_it_is(self) -> None:
        orders = [torch.randperm(200).tolist() for _ in range(2)]
        for drawn in (orders[:1] * 2 + orders[1:], orders[:1] + orders[1:] * 2):
            assert audit_sampler(Script(*drawn), DATA, epochs=3).problems == (REPEATS,)
        apart = [*orders, orders[0]]
        assert audit_sampler(Script(*apart), DATA, epochs=3).problems == ()
        assert audit_sampler(Script(orders[0]), DATA, epochs=1).problems == ()

    def test_several_problems_are_all_told(self) -> None:
        found = audit_sampler(Reseeded(torch.ones(300)), DATA).problems
        assert len(found) == 2
        assert "outside the 200 images" in found[0]
        assert found[1] == REPEATS

    def test_a_class_that_one_epoch_draws_is_not_missed(self) -> None:
        drawn = [torch.randperm(190).tolist(), torch.randperm(200).tolist()]
        assert audit_sampler(Script(*drawn), DATA).problems == ()

    def test_a_declared_class_without_images_is_no_problem(self) -> None:
        data = LabelledImages(torch.zeros(40, 1, 1, 1), torch.arange(40) % 2, [*"abc"])
        draw = audit_sampler(RandomSampler(data), data)
        assert draw.problems == ()
        assert draw.shares.tolist() == [0.5, 0.5, 0]
        assert draw.coverage.isnan().tolist() == [False, False, True]

    def test_the_first_of_equally_many_images_and_classes_are_all(self) -> None:
        assert audit_sampler(SequentialSampler([0, 1, 2]), [0, 1, 2]).problems == ()

    def test_a_sampler_of_the_parent_is_found_at_its_subset(self) -> None:
        subset = Subset(DATA, range(150, 200))
        found = audit_sampler(balanced_sampler(LABELS, seed=0), subset, num_classes=3).problems
        assert len(found) == 1
        assert "outside the 50 images" in found[0]
        own = balanced_sampler(subset.dataset[150:200][1], seed=0)
        assert audit_sampler(own, subset).problems == ()


def loader_of(data: Any, **options: Any) -> DataLoader[Any]:
    return DataLoader(data, **options)


class TestLoaders:
    def test_a_loader_has_its_labels_and_its_sampler(self) -> None:
        loader = loader_of(DATA, batch_size=16, sampler=balanced_sampler(DATA, seed=3))
        found = audit_sampler(loader)
        assert found == audit_sampler(balanced_sampler(DATA, seed=3), DATA)
        assert found.findings == ()

    def test_a_subsets_sampler_on_its_parents_loader_is_found(self) -> None:
        part = Subset(DATA, [*range(0, 200, 2)])
        for sampler in (
            balanced_sampler(part, seed=0),
            WeightedRandomSampler(torch.ones(100), 100),
            RandomSampler(part),
            shard_of(part),
        ):
            loader = loader_of(DATA, batch_size=16, sampler=sampler)
            (finding,) = audit_sampler(loader).findings
            assert finding.code == "SMP106"
            assert finding.seen == "the sampler was made for 100 images and draws from 200"
            assert mismatched_sampler(loader) == finding
            batched = loader_of(DATA, batch_sampler=BatchSampler(sampler, 7, False))
            assert mismatched_sampler(batched) == finding

    @pytest.mark.parametrize("sampler", HEALTHY.values(), ids=HEALTHY)
    def test_a_sampler_of_the_data_is_where_it_belongs(self, sampler: Any) -> None:
        assert mismatched_sampler(loader_of(DATA, sampler=sampler)) is None

    def test_nothing_is_drawn_or_read_to_see_it(self) -> None:
        sampler = balanced_sampler(LABELS, seed=0)
        assert mismatched_sampler(loader_of(range(200), sampler=sampler)) is None
        assert sampler.epoch == 0

    def test_batches_are_what_is_drawn(self) -> None:
        for loader in (
            loader_of(DATA, batch_size=16, drop_last=True),
            loader_of(DATA, batch_sampler=BatchSampler(range(200), 16, True)),
        ):
            assert audit_sampler(loader).positions.tolist() == [*range(192)] * 2
        alone = loader_of(DATA, batch_size=None)
        assert audit_sampler(alone).positions.tolist() == [*range(200)] * 2

    def test_labels_may_be_given_beside_a_loader(self) -> None:
        found = audit_sampler(loader_of(range(3), batch_size=2), [1, 0, 1], epochs=1)
        assert found.shares.tolist() == pytest.approx([1 / 3, 2 / 3])

    def test_images_are_not_loaded(self) -> None:
        class Unreadable(Dataset[Any]):
            def __len__(self) -> int:
                return 4

            def __getitem__(self, index: int) -> Any:
                raise OSError("the disk is gone")

        assert audit_sampler(loader_of(Unreadable()), [0, 1, 1, 1]).shares.tolist() == [0.25, 0.75]

    def test_a_stream_has_no_positions(self) -> None:
        with pytest.raises(TypeError, match="labels must have positions"):
            audit_sampler(loader_of(Stream()))
        assert mismatched_sampler(loader_of(Stream())) is None

    def test_a_sampler_alone_does_not_know_its_labels(self) -> None:
        with pytest.raises(TypeError, match=r"what the positions are of.*or a DataLoader"):
            audit_sampler(RandomSampler(DATA))


class Stream(IterableDataset[Any]):
    """Items without positions."""

    def __iter__(self) -> Iterator[Any]:
        return iter([(0.0, 1)])


def shard_of(data: Any) -> EpochSet:
    return EpochSet(DistributedSampler(data, num_replicas=1, rank=0))


class TestEquality:
    def test_draws_are_equal_whose_numbers_are(self) -> None:
        first, same = (audit_sampler(balanced_sampler(LABELS, seed=1), DATA) for _ in range(2))
        other = audit_sampler(balanced_sampler(LABELS, seed=2), DATA)
        assert first == same
        assert hash(first) == hash(same)
        assert len({first, same, other}) == 2
        assert first != other
        assert first != "a draw"

    def test_a_class_without_images_is_like_itself(self) -> None:
        first, same = (audit_sampler(range(3), [0, 2, 2]) for _ in range(2))
        assert first.coverage.isnan().any()
        assert first == same

    def test_findings_count(self) -> None:
        there = audit_sampler(WeightedRandomSampler(class_weights(LABELS), 9), DATA)
        assert there != dataclasses.replace(there, findings=())


SCRIPTS = st.lists(st.lists(st.integers(-2, 13), min_size=1, max_size=9), min_size=1, max_size=3)


class TestMeasures:
    @given(st.lists(st.sampled_from([0, 1, 2, -100]), min_size=10, max_size=10), SCRIPTS)
    @quickly
    def test_against_counting_by_hand(self, labels: list[int], epochs: list[list[int]]) -> None:
        draw = audit_sampler(Script(*epochs), labels, num_classes=3, epochs=len(epochs))
        for label in range(3):
            own = {position for position, k in enumerate(labels) if k == label}
            shares = [sum(p in own for p in epoch) / len(epoch) for epoch in epochs]
            assert draw.shares[label].item() == pytest.approx(sum(shares) / len(epochs))
            if own:
                seen = sum(len(own & set(epoch)) / len(own) for epoch in epochs) / len(epochs)
                assert draw.coverage[label].item() == pytest.approx(seen)
            else:
                assert draw.coverage[label].isnan()
        assert draw.positions.tolist() == [position for epoch in epochs for position in epoch]

    def test_an_order_sees_everything_at_its_share(self) -> None:
        draw = audit_sampler(SequentialSampler(DATA), DATA)
        assert torch.allclose(draw.shares, torch.tensor([0.8, 0.15, 0.05]).double())
        assert draw.coverage.tolist() == [1, 1, 1]
        assert (draw.shares.dtype, draw.coverage.dtype) == (torch.float64, torch.float64)

    def test_a_balanced_sampler_draws_and_sees_what_is_expected(self) -> None:
        draw = audit_sampler(balanced_sampler(LABELS, seed=0), LABELS, epochs=100)
        assert torch.allclose(draw.shares, torch.full((3,), 1 / 3).double(), atol=0.015)
        assert torch.allclose(draw.coverage, expected_coverage(LABELS), atol=0.015)

    def test_its_epochs_are_the_next_ones_of_the_sampler(self) -> None:
        sampler, same = (balanced_sampler(LABELS, seed=0) for _ in range(2))
        draw = audit_sampler(sampler, LABELS)
        assert draw.positions.tolist() == [*same, *same]
        assert sampler.epoch == 2

    def test_positions_stay_out_of_the_text(self) -> None:
        assert "positions=" not in repr(audit_sampler(SequentialSampler(DATA), DATA))


class TestWeightedBy:
    def test_weights_multiply_the_shares(self) -> None:
        draw = audit_sampler(SequentialSampler(DATA), DATA)
        found = draw.weighted_by(torch.tensor([1.0, 2.0, 10.0]))
        assert torch.allclose(found, torch.tensor([0.5, 0.1875, 0.3125]).double())
        assert torch.allclose(
            draw.weighted_by(class_weights(LABELS)), torch.full((3,), 1 / 3).double()
        )

    def test_two_corrections_turn_the_imbalance_round(self) -> None:
        draw = audit_sampler(balanced_sampler(LABELS, seed=0), LABELS, epochs=20)
        found = draw.weighted_by(class_weights(LABELS))
        raw = 1 / class_counts(LABELS).double()
        assert torch.allclose(found, raw / raw.sum(), atol=0.02)

    def test_counts_are_no_weights(self) -> None:
        draw = audit_sampler(SequentialSampler(DATA), DATA)
        with pytest.raises(
            ValueError, match="class weights are needed here; received class counts"
        ):
            draw.weighted_by(class_counts(LABELS))

    def test_a_loss_says_its_weights_itself(self) -> None:
        draw = audit_sampler(SequentialSampler(DATA), DATA)
        weights = torch.tensor([1.0, 2.0, 10.0])
        expected = draw.weighted_by(weights)
        assert torch.allclose(draw.fitted_prior(WeightedLoss(weights)), expected)
        assert torch.allclose(draw.fitted_prior(nn.CrossEntropyLoss()), draw.shares)

    @pytest.mark.parametrize("width", [2, 4, 1])
    def test_each_class_has_one_weight(self, width: int) -> None:
        draw = audit_sampler(SequentialSampler(DATA), DATA)
        message = f"each of the 3 classes is needed; received {width}"
        with pytest.raises(ValueError, match=message):
            draw.weighted_by(torch.ones(width))

    def test_what_weighs_nothing_is_refused(self) -> None:
        draw = Draw(torch.ones(1), torch.ones(1), torch.zeros(1), ())
        for weights in (torch.tensor([-1.0]), torch.tensor([0.0]), torch.tensor([math.nan])):
            with pytest.raises(ValueError, match="must be a row of finite numbers"):
                draw.weighted_by(weights)


@pytest.mark.parametrize(
    ("sampler", "options", "message"),
    [
        (iter(range(200)), {}, "received none. An iterator ends after one epoch"),
        ([], {}, "must draw something in each epoch"),
        (Script([0, 1], []), {}, "must draw something in each epoch"),
        (range(200), {"epochs": 0}, r"epochs must be a whole number of at least 1; received 0"),
        (range(200), {"num_classes": 2}, "below the number of classes, 2; received 2"),
    ],
    ids=["iterator", "none", "none-later", "no-epoch", "classes"],
)
def test_what_cannot_be_audited_is_refused(
    sampler: Any, options: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        audit_sampler(sampler, DATA, **options)


@pytest.mark.parametrize(
    "sampler",
    [[True, False] * 100, [0.5, 1.5], Script([torch.tensor([True, False])])],
    ids=["mask", "floats", "mask-in-batches"],
)
def test_a_mask_is_no_sampler(sampler: Any) -> None:
    with pytest.raises(TypeError, match=r"gives positions, whole numbers; received .*mask.nonzero"):
        audit_sampler(sampler, DATA)


def test_one_epoch_of_an_iterator_can_be_audited() -> None:
    assert audit_sampler(iter(range(200)), DATA, epochs=1).coverage.tolist() == [1, 1, 1]


class TestExpectedCoverage:
    @pytest.mark.parametrize(
        ("labels", "draws"),
        [([0, 0, 1], 3), ([0, 0, 1], 1), ([0, 0, 0, 1, 2], 4), ([0, 0, 0], 3)],
    )
    def test_against_every_draw_there_is(self, labels: list[int], draws: int) -> None:
        sizes = class_counts(labels).tolist()
        chances = [Fraction(1, len(sizes) * sizes[k]) for k in labels]
        expected = [Fraction(0)] * len(sizes)
        for drawn in itertools.product(range(len(labels)), repeat=draws):
            chance = math.prod((chances[position] for position in drawn), start=Fraction(1))
            for position in set(drawn):
                expected[labels[position]] += chance / sizes[labels[position]]
        found = expected_coverage(labels, draws=draws)
        assert found.tolist() == pytest.approx([float(value) for value in expected])
        assert found.dtype == torch.float64

    @pytest.mark.parametrize(
        ("counts", "draws"),
        [
            ((990, 10), None),
            ((900, 100), None),
            ((50, 50), None),
            ((800, 150, 50), 400),
            ((100, 3), 5),
        ],
    )
    def test_against_many_epochs(self, counts: tuple[int, ...], draws: int | None) -> None:
        labels = [label for label, count in enumerate(counts) for _ in range(count)]
        sampler = balanced_sampler(labels, seed=0, draws=draws)
        runs = [audit_sampler(sampler, labels, epochs=1).coverage for _ in range(150)]
        seen = torch.stack(runs)
        gap = (seen.mean(0) - expected_coverage(labels, draws=draws)).abs()
        assert bool((gap <= 5.5 * seen.std(0) / math.sqrt(len(seen)) + 1e-9).all())

    @pytest.mark.parametrize(
        ("draws", "error"), [(-5, ValueError), (0, ValueError), (2.5, TypeError), (True, TypeError)]
    )
    def test_draws_are_a_whole_number(self, draws: Any, error: type[Exception]) -> None:
        message = f"draws must be a whole number of at least 1; received {draws}"
        with pytest.raises(error, match=message):
            expected_coverage([0, 1], draws=draws)
        assert torch.equal(
            expected_coverage([0, 1], draws=np.int64(3)),
            expected_coverage([0, 1], draws=3),
        )

    def test_at_99_to_1_most_of_the_majority_is_not_seen(self) -> None:
        found = expected_coverage([0] * 9900 + [1] * 100)
        assert found[0].item() == pytest.approx(1 - math.exp(-1 / 1.98), abs=1e-4)
        assert found[1].item() == pytest.approx(1)

    def test_images_without_a_label_make_the_epoch_longer_as_in_the_sampler(self) -> None:
        labels = [-100] * 90 + [0] * 8 + [1] * 2
        length = len(balanced_sampler(labels, seed=0))
        assert length == 100
        assert torch.equal(expected_coverage(labels), expected_coverage(labels, draws=length))

    def test_a_class_without_images_has_none_to_see(self) -> None:
        data = LabelledImages(torch.zeros(4, 1, 1, 1), torch.tensor([0, 0, 0, 2]), [*"abcd"])
        found = expected_coverage(data)
        assert found.isnan().tolist() == [False, True, False, True]
        assert torch.equal(found[[0, 2]], expected_coverage([0, 0, 0, 1]))
