from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from companion import (
    Interval,
    crossed_interval,
    mean_interval,
    paired_difference,
    paired_ratio,
    share_interval,
)

FIRST = [0.81, 0.84, 0.79, 0.86, 0.80]
SECOND = [0.78, 0.83, 0.77, 0.80, 0.81]


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("values", [FIRST, FIRST[:2], [3, 5, 4]], ids=["five", "two", "integers"])
def test_the_interval_is_students(values: Sequence[float], confidence: float) -> None:
    found = mean_interval(values, confidence=confidence)
    low, high = stats.t.interval(
        confidence, len(values) - 1, loc=np.mean(values), scale=stats.sem(values)
    )
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), low, high))
    assert found.runs == len(values)
    assert found.margin == pytest.approx((high - low) / 2)


def test_the_default_is_95_percent() -> None:
    assert mean_interval(FIRST) == mean_interval(FIRST, confidence=0.95)


def test_a_tensor_is_taken_as_double() -> None:
    single = torch.tensor(FIRST, dtype=torch.float32)
    assert mean_interval(single).mean == pytest.approx(single.double().mean().item(), abs=1e-15)


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_paired_difference_is_that_of_the_paired_t_test(confidence: float) -> None:
    found = paired_difference(FIRST, SECOND, confidence=confidence)
    expected = stats.ttest_rel(FIRST, SECOND).confidence_interval(confidence)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_pairing_sees_what_separate_intervals_hide() -> None:
    first = [0.1, 0.5, 0.9]
    second = [value - 0.01 for value in first]
    assert paired_difference(first, [value + 0.001 * i for i, value in enumerate(second)]).low > 0
    assert mean_interval(first).low < mean_interval(second).high


def test_equal_runs_have_no_width() -> None:
    interval = mean_interval([0.5, 0.5, 0.5])
    assert (interval.low, interval.high, interval.margin) == (0.5, 0.5, 0.0)


@pytest.mark.parametrize(
    ("low", "high", "excludes"),
    [(0.1, 0.3, True), (-0.3, -0.1, True), (-0.1, 0.1, False), (0.0, 0.2, False)],
    ids=["above", "below", "around", "touching"],
)
def test_excludes_zero(low: float, high: float, excludes: bool) -> None:
    assert Interval((low + high) / 2, low, high, 5).excludes_zero is excludes


def test_an_interval_reads_as_mean_and_margin() -> None:
    assert str(Interval(0.5, 0.45, 0.55, 5)) == "0.500 ± 0.050"


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([0.5], {}, r"two runs or more; received shape \(1,\)\. Repeat"),
        ([], {}, r"two runs or more; received shape \(0,\)"),
        ([[0.1, 0.2]], {}, r"received shape \(1, 2\)"),
        ([0.1, float("nan")], {}, r"finite values; received \[0\.1, nan\]\. Find out"),
        ([0.1, float("inf")], {}, "finite values"),
        ([0.1, 0.2], {"confidence": 0.0}, r"between 0 and 1; received 0\.0\. Use 0\.95"),
        ([0.1, 0.2], {"confidence": 1}, "between 0 and 1; received 1"),
        ([0.1, 0.2], {"confidence": 95}, "between 0 and 1; received 95"),
    ],
    ids=["one", "none", "table", "nan", "inf", "0", "1", "percent"],
)
def test_bad_values_are_refused(
    values: Sequence[float], options: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        mean_interval(values, **options)


FORMS = {"list": list, "array": np.array, "tensor": torch.tensor, "iterator": iter}
FORMS |= {"double": lambda values: torch.tensor(values, dtype=torch.float64)}
FORMS |= {"numbers-of-arrays": lambda values: [*np.array(values)]}
FORMS |= {"tensors": lambda values: [torch.tensor(value) for value in values]}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_numbers_may_come_from_anywhere(form: Callable[[list[float]], Any]) -> None:
    assert mean_interval(form(FIRST)).low == pytest.approx(mean_interval(FIRST).low, abs=1e-7)
    expected = paired_difference(FIRST, SECOND)
    for other in FORMS.values():
        found = paired_difference(form(FIRST), other(SECOND))
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-7)


@pytest.mark.parametrize("values", [["a", "b"], 0.5, None, "0.5", [0.1, [0.2]], [{}, {}]], ids=str)
def test_what_are_no_numbers_is_refused(values: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"an interval needs (numbers|values of two)"):
        mean_interval(values)


def test_pairs_must_be_complete() -> None:
    with pytest.raises(ValueError, match=r"received 5 and 2\. Use the same seeds"):
        paired_difference(FIRST, SECOND[:2])


class TestPairedRatio:
    def test_it_is_the_mean_of_the_ratios(self) -> None:
        found = paired_ratio([0.2, 0.9], np.array([0.4, 0.6]))
        assert found == mean_interval([0.5, 1.5])

    @pytest.mark.parametrize(
        ("second", "message"),
        [([0.5, 0.0], "not 0; .*paired_difference"), ([0.5], "as many on both sides")],
    )
    def test_what_has_no_ratio_is_refused(self, second: list[float], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            paired_ratio([0.1, 0.2], second)


class TestCrossedInterval:
    @staticmethod
    def outcomes(runs: int, images: int, seed: int) -> torch.Tensor:
        """Hits that depend on the run and on the image."""
        generator = torch.Generator().manual_seed(seed)
        run = 0.5 * torch.randn(runs, 1, generator=generator)
        image = torch.randn(1, images, generator=generator)
        return (torch.randn(runs, images, generator=generator) + run + image > 0).double()

    def test_without_differences_between_images_it_is_the_interval_over_runs(self) -> None:
        over_runs = torch.tensor([0.2, 0.4, 0.3])
        found = crossed_interval(over_runs[:, None].expand(3, 50))
        wanted = mean_interval(over_runs)
        assert [found.mean, found.low, found.high] == pytest.approx(
            [wanted.mean, wanted.low, wanted.high]
        )
        assert found.runs == 3

    def test_without_differences_between_runs_it_is_the_interval_over_images(self) -> None:
        images = torch.arange(20.0)
        found, wanted = crossed_interval(images.expand(4, 20)), mean_interval(images)
        assert [found.low, found.high] == pytest.approx([wanted.low, wanted.high])

    def test_it_is_not_narrower_than_either(self) -> None:
        hits = self.outcomes(6, 40, seed=0)
        both = crossed_interval(hits).margin
        assert both >= mean_interval(hits.mean(1)).margin
        assert both >= mean_interval(hits.mean(0)).margin

    def test_it_holds_the_true_mean_about_as_often_as_it_says(self) -> None:
        found = [crossed_interval(self.outcomes(5, 60, seed)) for seed in range(400)]
        covered = sum(each.low <= 0.5 <= each.high for each in found) / len(found)
        assert 0.93 <= covered <= 0.995
        over_runs = [mean_interval(self.outcomes(5, 60, seed).mean(1)) for seed in range(400)]
        assert sum(each.low <= 0.5 <= each.high for each in over_runs) / 400 < covered

    def test_a_baseline_is_subtracted_run_by_run_and_image_by_image(self) -> None:
        first, second = self.outcomes(5, 30, seed=1), self.outcomes(5, 30, seed=2)
        rows = [row.bool() for row in first]
        assert crossed_interval(rows, second.numpy()) == crossed_interval(first - second)

    @pytest.mark.parametrize(
        ("outcomes", "baseline", "message"),
        [
            ([0.5, 0.6], None, r"received shape .*use mean_interval"),
            ([[1, 0]], None, r"at least two of each; received shape \(1, 2\)"),
            ([], None, r"at least two of each; received shape \(0, 0\)"),
            ([[1, 0], [1]], None, r"same images; received rows of the lengths \[1, 2\]"),
            ([[1, 0], [1, 1]], [[1, 0, 1], [1, 1, 1]], "same runs and images"),
            ([[1, math.nan], [1, 1]], None, "finite values"),
        ],
    )
    def test_what_is_no_table_is_refused(self, outcomes: Any, baseline: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            crossed_interval(outcomes, baseline)


class TestShareInterval:
    def test_is_that_of_wilsons_paper_for_a_known_case(self) -> None:
        found = share_interval([True] * 81 + [False] * 182)  # Newcombe (1998), table I
        assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)

    def test_does_not_shrink_to_a_point_where_all_came_out_alike(self) -> None:
        found = share_interval(torch.ones(30))
        assert (found.mean, found.runs) == (1.0, 30)
        assert 0.85 < found.low < 0.95

    def test_a_higher_confidence_is_wider(self) -> None:
        hits = [True, False] * 10
        assert share_interval(hits, confidence=0.99).margin > share_interval(hits).margin

    @pytest.mark.parametrize("hits", [[], [0.5], torch.zeros(2, 2), [2, 0]])
    def test_refuses_what_are_no_truth_values(self, hits: object) -> None:
        with pytest.raises(ValueError, match="one true or false for each case"):
            share_interval(hits)  # type: ignore[arg-type]
