from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch import Tensor

from companion import RejectionCurve, detection, rejection_curve, threshold_keeping

quickly = settings(deadline=None, max_examples=50)
SCORE_LISTS = st.lists(st.integers(-8, 8).map(float), min_size=1, max_size=25)
IMAGES = st.lists(
    st.tuples(st.integers(-5, 5), st.sampled_from(["right", "wrong", "unseen"])),
    min_size=2,
    max_size=25,
).filter(lambda images: 0 < sum(kind == "unseen" for _, kind in images) < len(images))


def share_of_pairs(above: list[float], below: list[float], total: int) -> float:
    """How many pairs have the first above the second, ties half, as a share of `total`."""
    won = 0.0
    for first in above:
        for second in below:
            won += 1.0 if first > second else 0.5 if first == second else 0.0
    return won / total


def tensors(images: list[tuple[int, str]]) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, which images are named right and which are of a seen class."""
    scores = torch.tensor([float(score) for score, _ in images])
    right = torch.tensor([kind == "right" for _, kind in images])
    return scores, right, torch.tensor([kind != "unseen" for _, kind in images])


def curve_of(images: list[tuple[int, str]]) -> RejectionCurve:
    scores, right, seen = tensors(images)
    return rejection_curve(scores, right, seen=seen)


class TestDetection:
    @given(seen=SCORE_LISTS, unseen=SCORE_LISTS)
    @quickly
    def test_auroc_is_the_share_of_pairs_in_order(
        self, seen: list[float], unseen: list[float]
    ) -> None:
        found = detection(torch.tensor(seen), torch.tensor(unseen)).auroc
        assert found == pytest.approx(share_of_pairs(seen, unseen, len(seen) * len(unseen)))

    @given(seen=SCORE_LISTS, unseen=SCORE_LISTS, keep=st.sampled_from([0.05, 0.3, 0.5, 0.95, 1]))
    @quickly
    def test_the_rest_is_a_direct_count(
        self, seen: list[float], unseen: list[float], keep: float
    ) -> None:
        found = detection(torch.tensor(seen), torch.tensor(unseen), keep=keep)
        enough = [
            bound
            for bound in sorted(set(seen))
            if sum(score >= bound for score in seen) >= keep * len(seen) - 1e-9
        ]
        assert found.threshold == max(enough)
        accepted = sum(score >= found.threshold for score in unseen)
        assert found.unseen_accepted == pytest.approx(accepted / len(unseen))
        assert found.keep == keep

    @given(seen=SCORE_LISTS, unseen=SCORE_LISTS)
    @quickly
    def test_only_the_order_of_the_scores_matters(
        self, seen: list[float], unseen: list[float]
    ) -> None:
        plain = detection(torch.tensor(seen), torch.tensor(unseen))
        curved = [(torch.tensor(scores) / 3).double().exp() - 5 for scores in (seen, unseen)]
        found = detection(*curved)
        assert found.auroc == pytest.approx(plain.auroc)
        assert found.unseen_accepted == plain.unseen_accepted

    def test_higher_is_seen(self) -> None:
        high, low = torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0])
        assert (detection(high, low).auroc, detection(low, high).auroc) == (1.0, 0.0)

    def test_95_of_100_are_kept_by_default(self) -> None:
        found = detection(torch.arange(100.0), torch.arange(10.0))
        assert (found.keep, found.threshold, found.unseen_accepted) == (0.95, 5.0, 0.5)

    def test_float64_scores_are_not_rounded_to_ties(self) -> None:
        seen = torch.tensor([1 - 1e-12], dtype=torch.float64)
        found = detection(seen, torch.tensor([1 - 2e-12], dtype=torch.float64))
        assert (found.auroc, found.unseen_accepted) == (1.0, 0.0)

    def test_scores_with_gradients_are_taken_and_stay(self) -> None:
        seen = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)
        unseen = torch.tensor([2.5, 0.0])
        detection(seen, unseen)
        assert seen.tolist() == [3.0, 1.0, 2.0]
        assert unseen.tolist() == [2.5, 0.0]


class TestThresholdKeeping:
    @pytest.mark.parametrize("count", [7, 100, 1000])
    def test_it_keeps_the_share_and_no_higher_one_does(self, count: int) -> None:
        scores = torch.randperm(count, generator=torch.Generator().manual_seed(0)).double()
        for kept in range(1, count + 1, max(1, count // 50)):
            threshold = threshold_keeping(scores, kept / count)
            assert int((scores >= threshold).sum()) == kept

    def test_decimals_are_taken_as_they_are_written(self) -> None:
        scores = torch.arange(100.0)
        assert 0.07 * 100 > 7
        assert threshold_keeping(scores, 0.07) == 93.0

    def test_at_least_one_is_kept(self) -> None:
        assert threshold_keeping(torch.tensor([1.0, 2.0]), 1e-12) == 2.0

    @pytest.mark.parametrize("keep", [0, -0.5, 1.5, 95, math.nan])
    def test_keep_is_a_share(self, keep: float) -> None:
        message = rf"above 0 and at most 1; received {keep}\. To accept 95 of 100: 0\.95"
        with pytest.raises(ValueError, match=message):
            threshold_keeping(torch.ones(3), keep)
        with pytest.raises(ValueError, match=message):
            detection(torch.ones(3), torch.zeros(3), keep=keep)


class TestRejectionCurve:
    @given(images=IMAGES)
    @quickly
    def test_each_threshold_accepts_what_a_loop_accepts(
        self, images: list[tuple[int, str]]
    ) -> None:
        curve = curve_of(images)
        bounds = [math.inf, *sorted({float(score) for score, _ in images}, reverse=True)]
        assert curve.thresholds.tolist() == bounds
        unseen = sum(kind == "unseen" for _, kind in images)
        for index, bound in enumerate(bounds):
            kinds = [kind for score, kind in images if score >= bound]
            accepted = kinds.count("right") + kinds.count("wrong")
            seen = len(images) - unseen
            assert curve.seen_accepted[index].item() == pytest.approx(accepted / seen)
            assert curve.seen_right[index].item() == pytest.approx(kinds.count("right") / seen)
            assert curve.unseen_accepted[index].item() == pytest.approx(
                kinds.count("unseen") / unseen
            )

    @given(images=IMAGES)
    @quickly
    def test_the_area_is_a_share_of_pairs(self, images: list[tuple[int, str]]) -> None:
        right = [float(score) for score, kind in images if kind == "right"]
        unseen = [float(score) for score, kind in images if kind == "unseen"]
        pairs = (len(images) - len(unseen)) * len(unseen)
        assert curve_of(images).area == pytest.approx(share_of_pairs(right, unseen, pairs))

    @given(images=IMAGES, allowed=st.sampled_from([0, 0.1, 0.25, 0.5, 1]))
    @quickly
    def test_right_at_is_the_best_of_the_thresholds_allowed(
        self, images: list[tuple[int, str]], allowed: float
    ) -> None:
        unseen = [score for score, kind in images if kind == "unseen"]
        best = 0.0
        for bound in [math.inf, *(score for score, _ in images)]:
            if sum(score >= bound for score in unseen) <= allowed * len(unseen):
                right = sum(kind == "right" and score >= bound for score, kind in images)
                best = max(best, right / (len(images) - len(unseen)))
        assert curve_of(images).right_at(allowed) == pytest.approx(best)

    def test_where_all_are_right_the_area_is_the_auroc(self) -> None:
        scores = torch.tensor([3.0, 2.0, 2.0, 1.0])
        seen = torch.tensor([True, False, True, False])
        found = rejection_curve(scores, seen, seen=seen)
        assert found.area == pytest.approx(detection(scores[seen], scores[~seen]).auroc)

    def test_nothing_right_has_no_area(self) -> None:
        curve = curve_of([(3, "wrong"), (1, "unseen")])
        assert (curve.area, curve.right_at(1.0), curve.seen_accepted[-1].item()) == (0.0, 0.0, 1.0)

    def test_many_scores_need_no_table_of_all_pairs(self) -> None:
        count = 200_000
        scores = np.random.default_rng(0).normal(size=count)
        seen = torch.arange(count) % 2 == 0
        curve = rejection_curve(torch.from_numpy(scores), seen, seen=seen)
        assert len(curve.thresholds) == count + 1
        assert curve.area == pytest.approx(roc_auc_score(seen.numpy(), scores))

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_cuda_agrees_with_the_cpu(self) -> None:
        scores, right, seen = tensors([(3, "right"), (3, "unseen"), (1, "wrong"), (0, "unseen")])
        here = rejection_curve(scores, right, seen=seen)
        there = rejection_curve(scores.cuda(), right.cuda(), seen=seen.cuda())
        assert here.area == there.area
        assert torch.equal(here.seen_right, there.seen_right)
        on_device = detection(scores[seen].cuda(), scores[~seen].cuda())
        assert on_device == detection(scores[seen], scores[~seen])


class TestForms:
    def test_scores_and_masks_may_be_arrays(self) -> None:
        scores, right, seen = tensors([(3, "right"), (2, "wrong"), (1, "unseen"), (4, "unseen")])
        arrays = scores.numpy(), right.numpy(), seen.numpy()
        here = rejection_curve(scores, right, seen=seen)
        assert rejection_curve(arrays[0], arrays[1], seen=arrays[2]) == here
        assert rejection_curve(scores.half(), right, seen=arrays[2]) == here
        expected = detection(scores[seen], scores[~seen])
        assert detection(arrays[0][arrays[2]], arrays[0][~arrays[2]]) == expected
        assert threshold_keeping(arrays[0], 0.5) == threshold_keeping(scores, 0.5)

    def test_curves_are_equal_whose_numbers_are(self) -> None:
        images = [(3, "right"), (2, "wrong"), (1, "unseen")]
        first, same = curve_of(images), curve_of(images)
        other = curve_of([(3, "right"), (2, "right"), (1, "unseen")])
        assert first == same
        assert hash(first) == hash(same)
        assert len({first, same, other}) == 2
        assert first != "a curve"


class TestBadInput:
    @pytest.mark.parametrize(
        "scores", [torch.tensor([1, 2, 3]), np.array([1, 2, 3]), [1.0, 2.0, 3.0], None]
    )
    def test_scores_are_floating_point(self, scores: Any) -> None:
        for call in (
            lambda: detection(scores, torch.ones(2)),
            lambda: detection(torch.ones(2), scores),
            lambda: threshold_keeping(scores, 0.5),
            lambda: rejection_curve(scores, torch.zeros(3).bool(), seen=torch.ones(3).bool()),
        ):
            with pytest.raises(
                TypeError, match=r"images must be floating point.*not the predicted"
            ):
                call()

    def test_a_list_is_no_mask(self) -> None:
        with pytest.raises(TypeError, match=r"right must be a boolean.*received list\. Compare"):
            rejection_curve(torch.ones(2), [True, False], seen=torch.tensor([True, False]))

    @pytest.mark.parametrize(
        ("seen", "unseen", "message"),
        [
            ([], [1.0], r"scores of seen images must have shape \(N,\), at least one; .*\(0,\)"),
            ([1.0], [], r"scores of unseen images .*\(0,\)\. A set needs images of seen and of"),
            ([[1.0]], [1.0], r"seen images must have shape \(N,\).*received \(1, 1\)"),
            ([1.0], 1.0, r"unseen images must have shape \(N,\).*received \(\)"),
            ([math.nan], [1.0], "some of the seen images' are NaN or infinite. Look for NaN"),
            ([1.0], [math.inf], "some of the unseen images' are NaN or infinite"),
        ],
        ids=["no-seen", "no-unseen", "2-D", "0-D", "nan", "inf"],
    )
    def test_detection_needs_scores_of_both_kinds(
        self, seen: Any, unseen: Any, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            detection(torch.tensor(seen), torch.tensor(unseen))

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"right": torch.ones(3)}, TypeError, r"right must be a boolean .*torch\.float32 \(3,"),
            ({"seen": torch.ones(3).long()}, TypeError, r"seen must be .*torch\.int64 \(3,\)\. Co"),
            ({"right": torch.ones(2).bool()}, ValueError, r"scores \(3,\); .*torch\.bool \(2,\)"),
            ({"seen": torch.ones(3, 1).bool()}, ValueError, r"seen must be .*torch\.bool \(3, 1\)"),
            ({"right": torch.ones(3).bool()}, ValueError, r"cannot be named right; received 1 tha"),
            ({"seen": torch.ones(3).bool()}, ValueError, r"scores of unseen images .*at least one"),
            (
                {"right": torch.zeros(3).bool(), "seen": torch.zeros(3).bool()},
                ValueError,
                r"scores of seen images .*at least one",
            ),
            ({"scores": torch.tensor([1, math.nan, 2])}, ValueError, "scores must be finite"),
        ],
        ids=["float", "int", "short", "column", "unseen-right", "no-unseen", "no-seen", "nan"],
    )
    def test_masks_are_checked(
        self, change: dict[str, Tensor], error: type[Exception], message: str
    ) -> None:
        scores, right, seen = tensors([(3, "right"), (2, "wrong"), (1, "unseen")])
        given_ = {"scores": scores, "right": right, "seen": seen} | change
        before = {name: value.clone() for name, value in given_.items()}
        with pytest.raises(error, match=message):
            rejection_curve(given_["scores"], given_["right"], seen=given_["seen"])
        for name, value in given_.items():
            torch.testing.assert_close(value, before[name], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")], ids=str)
def test_right_at_takes_a_share(share: float) -> None:
    scores, seen = torch.tensor([2.0, 1.0]), torch.tensor([True, False])
    with pytest.raises(ValueError, match=rf"is a share; received {share}"):
        rejection_curve(scores, seen, seen=seen).right_at(share)
