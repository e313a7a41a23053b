from __future__ import annotations

import random
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from companion import Rescue, permutation_rescue

quickly = settings(deadline=None, max_examples=40)
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30)


def answers_of(
    count: int, classes: int, *, skill: float, seed: int = 0, scramble: bool = False
) -> tuple[Tensor, Tensor]:
    """Predictions that know the label with the chance `skill`, and guess otherwise."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=count)
    guesses = generator.integers(classes, size=count)
    predicted = np.where(generator.random(count) < skill, labels, guesses)
    if scramble:
        predicted = np.roll(np.arange(classes), 1)[predicted]
    return torch.from_numpy(predicted), torch.from_numpy(labels)


def most_right(predicted: Tensor, labels: Tensor, outputs: int, classes: int) -> int:
    """The most images that any way to name the outputs, one to one, makes right."""
    names = [*range(classes), *[-1] * max(0, outputs - classes)]
    pairs = list(zip(predicted.tolist(), labels.tolist(), strict=True))
    return max(
        sum(order[output] == label for output, label in pairs)
        for order in set(permutations(names, outputs))
    )


class TestAssignment:
    @given(pairs=PAIRS)
    @quickly
    def test_no_permutation_makes_more_right(self, pairs: list[tuple[int, int]]) -> None:
        predicted, labels = torch.tensor(pairs).T
        found = permutation_rescue(predicted, labels, outputs=4, classes=4, seed=0, draws=1)
        assert sorted(found.assignment.tolist()) == [0, 1, 2, 3]
        right = int((found.assignment[predicted] == labels).sum())
        assert right == most_right(predicted, labels, 4, 4)

    @pytest.mark.parametrize(("outputs", "classes"), [(5, 3), (3, 5), (4, 1), (1, 4)])
    def test_heads_may_be_wider_or_narrower(self, outputs: int, classes: int) -> None:
        generator = torch.Generator().manual_seed(0)
        predicted = torch.randint(outputs, (40,), generator=generator)
        labels = torch.randint(classes, (40,), generator=generator)
        found = permutation_rescue(
            predicted, labels, outputs=outputs, classes=classes, seed=0, draws=1
        )
        names = found.assignment.tolist()
        assert len(names) == outputs
        assert names.count(-1) == max(0, outputs - classes)
        used = [name for name in names if name >= 0]
        assert len(set(used)) == len(used) == min(outputs, classes)
        right = int((found.assignment[predicted] == labels).sum())
        assert right == most_right(predicted, labels, outputs, classes)

    def test_it_says_which_label_an_output_stands_for(self) -> None:
        labels = torch.arange(30) % 3
        stands_for = torch.tensor([1, 2, 0])
        predicted = torch.tensor([2, 0, 1])[labels]
        found = permutation_rescue(predicted, labels, outputs=3, classes=3, seed=0, draws=1)
        assert torch.equal(found.assignment, stands_for)
        assert torch.equal(found.assignment[predicted], labels)


class TestAccuracies:
    @given(pairs=PAIRS, seed=st.integers(0, 5))
    @quickly
    def test_raw_is_a_count_and_rescued_is_no_better_than_the_best_renaming(
        self, pairs: list[tuple[int, int]], seed: int
    ) -> None:
        predicted, labels = torch.tensor(pairs).T
        found = permutation_rescue(predicted, labels, outputs=4, classes=4, seed=seed, draws=1)
        assert found.raw == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
        assert 0 <= found.rescued <= most_right(predicted, labels, 4, 4) / len(pairs) + 1e-12

    def test_scrambled_predictions_are_rescued(self) -> None:
        plain = permutation_rescue(
            *answers_of(300, 6, skill=0.8), outputs=6, classes=6, seed=0, draws=50
        )
        scrambled = permutation_rescue(
            *answers_of(300, 6, skill=0.8, scramble=True), outputs=6, classes=6, seed=0, draws=50
        )
        assert scrambled.raw < 0.15
        assert scrambled.rescued == pytest.approx(plain.raw)
        assert plain.rescued == pytest.approx(plain.raw)
        assert scrambled.p_value == pytest.approx(1 / 51)

    def test_a_lucky_assignment_cannot_praise_itself(self) -> None:
        # Thirty outputs on sixty images: the best renaming agrees with many of them by luck.
        rescued, praised = [], []
        for seed in range(20):
            predicted, labels = answers_of(60, 30, skill=0.0, seed=seed)
            found = permutation_rescue(
                predicted, labels, outputs=30, classes=30, seed=seed, draws=1
            )
            rescued.append(found.rescued)
            praised.append((found.assignment[predicted] == labels).double().mean().item())
        assert np.mean(praised) > 0.4
        assert np.mean(rescued) == pytest.approx(1 / 30, abs=0.03)

    def test_two_images_leave_one_to_choose_on(self) -> None:
        labels = torch.tensor([0, 1])
        found = permutation_rescue(labels, labels, outputs=2, classes=2, seed=0, draws=3)
        # From one image follows, with two classes, the name of the other output.
        assert (found.raw, found.rescued) == (1.0, 1.0)

    def test_an_odd_image_is_scored_too(self) -> None:
        labels = torch.arange(41) % 2
        found = permutation_rescue(1 - labels, labels, outputs=2, classes=2, seed=0, draws=1)
        assert (found.raw, found.rescued) == (0.0, 1.0)


class TestChance:
    def test_predictions_that_know_nothing_are_no_surprise(self) -> None:
        values = []
        for seed in range(20):
            predicted, labels = answers_of(120, 5, skill=0.0, seed=seed)
            found = permutation_rescue(predicted, labels, outputs=5, classes=5, seed=seed, draws=60)
            values.append(found.p_value)
        assert sum(value > 0.05 for value in values) >= 16
        assert 0.3 < np.mean(values) < 0.75

    def test_by_chance_is_ascending_and_near_the_share_of_a_class(self) -> None:
        predicted, labels = answers_of(400, 4, skill=0.7, scramble=True)
        found = permutation_rescue(predicted, labels, outputs=4, classes=4, seed=0)
        values = found.by_chance.tolist()
        assert len(values) == 200
        assert values == sorted(values)
        assert len(set(values)) > 20
        assert np.mean(values) == pytest.approx(0.25, abs=0.02)

    def test_a_common_class_raises_what_chance_reaches(self) -> None:
        labels = (torch.arange(200) % 10 == 0).long()
        found = permutation_rescue(
            torch.zeros(200).long(), labels, outputs=2, classes=2, seed=0, draws=30
        )
        assert found.by_chance.tolist() == pytest.approx([0.9] * 30)
        assert (found.raw, found.rescued, found.p_value) == (0.9, 0.9, 1.0)

    @pytest.mark.parametrize(
        ("rescued", "expected"), [(0.55, 2 / 5), (0.5, 3 / 5), (0.7, 1 / 5), (0.0, 1.0)]
    )
    def test_the_p_value_counts_the_run_at_hand(self, rescued: float, expected: float) -> None:
        by_chance = torch.tensor([0.1, 0.2, 0.5, 0.6], dtype=torch.float64)
        assert Rescue(0.1, rescued, by_chance, torch.arange(2)).p_value == pytest.approx(expected)


class TestRandomness:
    def test_the_seed_decides(self) -> None:
        predicted, labels = answers_of(60, 10, skill=0.3)
        runs = []
        for global_seed, seed in [(1, 5), (2, 5), (1, 6)]:
            torch.manual_seed(global_seed)
            np.random.seed(global_seed)
            runs.append(
                permutation_rescue(predicted, labels, outputs=10, classes=10, seed=seed, draws=20)
            )
        assert runs[0].rescued == runs[1].rescued
        assert torch.equal(runs[0].by_chance, runs[1].by_chance)
        assert not torch.equal(runs[0].by_chance, runs[2].by_chance)

    def test_global_state_and_inputs_stay(self) -> None:
        def state() -> tuple[Any, ...]:
            return torch.get_rng_state().tolist(), repr(np.random.get_state()), random.getstate()

        predicted, labels = answers_of(40, 4, skill=0.5)
        kept, given_, before = predicted.clone(), labels.clone(), state()
        permutation_rescue(predicted, labels, outputs=4, classes=4, seed=0, draws=5)
        assert state() == before
        assert torch.equal(predicted, kept)
        assert torch.equal(labels, given_)

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32], ids=str)
    def test_small_integers_count_as_large_ones(self, dtype: torch.dtype) -> None:
        predicted, labels = answers_of(400, 20, skill=0.8, scramble=True)
        options: dict[str, Any] = {"outputs": 20, "classes": 20, "seed": 0, "draws": 3}
        expected = permutation_rescue(predicted, labels, **options)
        found = permutation_rescue(predicted.to(dtype), labels.to(dtype), **options)
        assert (found.raw, found.rescued) == (expected.raw, expected.rescued)
        assert torch.equal(found.assignment, expected.assignment)

    @pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint16, np.uint64, ">i4"], ids=str)
    def test_arrays_and_lists_count_as_tensors(self, dtype: Any) -> None:
        predicted, labels = answers_of(60, 4, skill=0.8, scramble=True)
        options: dict[str, Any] = {"outputs": 4, "classes": 4, "seed": 0, "draws": 3}
        expected = permutation_rescue(predicted, labels, **options)
        array = predicted.numpy().astype(dtype)
        array.flags.writeable = False
        assert permutation_rescue(array, labels.tolist(), **options) == expected

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_cuda_agrees_with_the_cpu(self) -> None:
        predicted, labels = answers_of(40, 4, skill=0.5)
        options: dict[str, Any] = {"outputs": 4, "classes": 4, "seed": 0, "draws": 5}
        here = permutation_rescue(predicted, labels, **options)
        there = permutation_rescue(predicted.cuda(), labels.cuda(), **options)
        assert (here.raw, here.rescued) == (there.raw, there.rescued)
        assert torch.equal(here.by_chance, there.by_chance)


GOOD = torch.tensor([0, 1, 1, 0])


def test_rescues_are_equal_where_their_numbers_are() -> None:
    options: dict[str, Any] = {"outputs": 2, "classes": 2, "seed": 0, "draws": 3}
    first, second = (permutation_rescue(GOOD, GOOD, **options) for _ in range(2))
    other = permutation_rescue(GOOD, GOOD, **options | {"seed": 1, "draws": 4})
    assert first == second
    assert hash(first) == hash(second)
    assert first != other
    assert first != "found"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"predicted": GOOD.float()}, TypeError, r"predicted must be .*torch\.float32\. Take log"),
        ({"labels": GOOD.bool()}, TypeError, r"labels must be integer .*received torch\.bool"),
        ({"labels": GOOD[:3]}, ValueError, r"both be \(N,\).*received \(4,\) and \(3,\)"),
        ({"predicted": GOOD[None], "labels": GOOD[None]}, ValueError, r"\(1, 4\) and \(1, 4\)"),
        ({"predicted": GOOD[:1], "labels": GOOD[:1]}, ValueError, r"two images or more; .*\(1,\)"),
        ({"predicted": GOOD[:0], "labels": GOOD[:0]}, ValueError, r"two images or more; .*\(0,\)"),
        ({"outputs": 1}, ValueError, r"predicted must lie in 0 … 0; received 0 … 1\. Leave out"),
        ({"classes": 1}, ValueError, r"labels must lie in 0 … 0; received 0 … 1\. Leave out"),
        ({"labels": GOOD - 1}, ValueError, r"labels must lie in 0 … 1; received -1 … 0"),
        ({"predicted": GOOD - 100}, ValueError, r"predicted must lie in 0 … 1; received -100 …"),
        ({"draws": 0}, ValueError, r"needs a draw; received draws=0\. Use 200"),
    ],
    ids=[
        "float", "bool", "short", "2-D", "one", "none", "outputs", "classes", "negative",
        "ignored", "no-draws",
    ],
)  # fmt: skip
def test_bad_input_is_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    options: dict[str, Any] = {"predicted": GOOD, "labels": GOOD, "outputs": 2, "classes": 2}
    with pytest.raises(error, match=message):
        permutation_rescue(**options | {"seed": 0} | change)
    assert GOOD.tolist() == [0, 1, 1, 0]
