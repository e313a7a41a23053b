from __future__ import annotations

import pytest
import torch
from scipy import stats

from companion import LabelledImages, few_of_each, long_tailed, noisy_labels


def classes_of(sizes: list[int]) -> LabelledImages:
    """A set with this many images of each class, each image holding its position."""
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    images = torch.arange(len(labels)).float().reshape(-1, 1, 1, 1)
    return LabelledImages(images, labels, range(len(sizes)))


class TestLongTailed:
    @pytest.mark.parametrize(
        ("sizes", "ratio", "expected"),
        [
            ([100, 100, 100], 100, [100, 10, 1]),
            ([100, 100, 100], 4, [100, 50, 25]),
            ([81, 90, 200, 81, 81], 81, [81, 27, 9, 3, 1]),
            ([10, 10], 1, [10, 10]),
            ([10, 10, 10], 1000, [10, 1, 1]),
            ([7], 5, [7]),
        ],
        ids=["100", "4", "smallest class leads", "1 keeps all", "at least one", "one class"],
    )
    def test_the_profile(self, sizes: list[int], ratio: float, expected: list[int]) -> None:
        assert list(long_tailed(classes_of(sizes), ratio).counts().values()) == expected

    def test_images_keep_their_labels_and_occur_once(self) -> None:
        data = classes_of([20, 20, 20])
        tail = long_tailed(data, 10)
        rows = tail.images.flatten().long()
        assert torch.equal(data.labels[rows], tail.labels)
        assert len(rows.unique()) == len(rows)
        assert tail.classes == data.classes

    def test_the_seed_draws_the_images(self) -> None:
        drawn = [long_tailed(classes_of([20, 20]), 4, seed=seed).images for seed in (0, 0, 1)]
        assert torch.equal(drawn[0], drawn[1])
        assert not torch.equal(drawn[0], drawn[2])

    @pytest.mark.parametrize("ratio", [0.5, 0, -3, float("nan")], ids=str)
    def test_a_ratio_below_one_is_refused(self, ratio: float) -> None:
        with pytest.raises(ValueError, match=rf"at least 1; received {ratio}\. Pass largest over"):
            long_tailed(classes_of([5, 5]), ratio)

    def test_a_class_without_images_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"\[1\] have none\. Use only\(\) first"):
            long_tailed(classes_of([5, 0, 5]), 10)


class TestNoisyLabels:
    @pytest.mark.parametrize("rate", [0.0, 0.1, 0.25, 0.333, 1.0], ids=str)
    def test_exactly_the_rate_is_changed(self, rate: float) -> None:
        data = classes_of([50, 50, 50])
        changed = noisy_labels(data, rate).labels != data.labels
        assert int(changed.sum()) == round(rate * 150)

    @pytest.mark.parametrize("seed", range(5))
    def test_no_label_becomes_itself(self, seed: int) -> None:
        data = classes_of([100, 100])
        assert bool((noisy_labels(data, 1.0, seed=seed).labels != data.labels).all())

    def test_every_other_class_is_as_likely(self) -> None:
        data = classes_of([4000, 1, 1, 1])
        moved = noisy_labels(data, 1.0).labels[:4000]
        counts = torch.bincount(moved, minlength=4)
        assert counts[0] == 0
        assert stats.chisquare(counts[1:].numpy()).pvalue > 0.001

    def test_images_classes_and_the_original_stay(self) -> None:
        data = classes_of([5, 5])
        noisy = noisy_labels(data, 0.5)
        assert torch.equal(noisy.images, data.images)
        assert noisy.label_map == data.label_map
        assert data.labels.tolist() == [0] * 5 + [1] * 5

    def test_the_seed_decides(self) -> None:
        drawn = [noisy_labels(classes_of([30, 30]), 0.5, seed=seed).labels for seed in (0, 0, 1)]
        assert torch.equal(drawn[0], drawn[1])
        assert not torch.equal(drawn[0], drawn[2])

    @pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")], ids=str)
    def test_a_rate_that_is_no_share_is_refused(self, rate: float) -> None:
        with pytest.raises(
            ValueError, match=rf"must lie in 0 … 1; received {rate}\. It is a share"
        ):
            noisy_labels(classes_of([5, 5]), rate)

    def test_one_class_has_nowhere_to_move(self) -> None:
        with pytest.raises(ValueError, match="need a second class to move to; received one class"):
            noisy_labels(classes_of([5]), 0.5)


def test_the_global_random_state_stays() -> None:
    before = torch.get_rng_state()
    noisy_labels(long_tailed(classes_of([20, 20]), 2), 0.5)
    assert torch.equal(torch.get_rng_state(), before)


class TestFewOfEach:
    def test_every_class_keeps_that_many_or_all_it_has(self) -> None:
        labels = torch.tensor([0] * 5 + [1] * 2 + [2] * 3)
        data = LabelledImages(torch.rand(10, 1, 4, 4), labels, ["a", "b", "c"])
        kept = few_of_each(data, 3, seed=0)
        assert kept.counts() == {"a": 3, "b": 2, "c": 3}
        assert kept.labels.tolist() == sorted(kept.labels.tolist())

    def test_images_keep_their_labels_and_are_drawn_from_the_seed(self) -> None:
        labels = torch.arange(40) % 2
        images = torch.arange(40.0).reshape(40, 1, 1, 1).expand(40, 1, 4, 4)
        data = LabelledImages(images, labels, ["even", "odd"])
        draws = [few_of_each(data, 4, seed=seed) for seed in (0, 0, 1)]
        numbers = [draw.images[:, 0, 0, 0].long() for draw in draws]
        assert torch.equal(numbers[0], numbers[1])
        assert not torch.equal(numbers[0], numbers[2])
        assert all(torch.equal(n % 2, d.labels) for n, d in zip(numbers, draws, strict=True))
        assert numbers[0].max() > 8

    @pytest.mark.parametrize("count", [0, -1])
    def test_a_count_below_one_is_refused(self, count: int) -> None:
        data = LabelledImages(torch.rand(2, 1, 4, 4), torch.tensor([0, 1]), ["a", "b"])
        with pytest.raises(ValueError, match=rf"at least 1 image of each class; received {count}"):
            few_of_each(data, count, seed=0)
