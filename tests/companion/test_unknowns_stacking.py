from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from companion import (
    LabelledImages,
    LabelMap,
    SeenUnseenCurve,
    UnknownLabelError,
    calibrated_stacking,
    report,
    seen_unseen_curve,
)

HEAD = LabelMap(["cow", "ant", "bee", "doe"])
SEEN = ["ant", "doe"]
quickly = settings(deadline=None, max_examples=40)

# Quarters, and distinct values within an image, so that sums are exact and no argmax is a tie.
ROWS = st.lists(st.integers(-6, 6).map(lambda step: step / 4), min_size=4, max_size=4, unique=True)
CASES = st.lists(st.tuples(ROWS, st.sampled_from([*"abcdz"])), min_size=2, max_size=16).filter(
    lambda images: 0 < sum(name in "ad" for _, name in images) < len(images)
)
Case = list[tuple[list[float], str]]


def case_of(images: Case) -> tuple[Tensor, LabelledImages]:
    """Logits in the order of the head, and data whose own map has another order and a class more.

    The class that the head lacks, "zebu", counts as unseen and cannot be right.
    """
    own = ["zebu", "ant", "bee", "cow", "doe"]
    labels = torch.tensor(["zabcd".index(name) for _, name in images])
    data = LabelledImages(torch.zeros(len(images), 1, 1, 1), labels, own)
    return torch.tensor([row for row, _ in images]), data


def curve_of(images: Case) -> SeenUnseenCurve:
    logits, data = case_of(images)
    return seen_unseen_curve(logits, data, label_map=HEAD, seen=SEEN)


def accuracies(images: Case, penalty: float) -> tuple[float, float]:
    """Both accuracies at one penalty, from the report of the stacked logits."""
    logits, data = case_of(images)
    stacked = calibrated_stacking(logits, penalty, label_map=HEAD, seen=SEEN)
    result = report(stacked, data, label_map=HEAD, seen=SEEN)
    return result.seen_accuracy, result.unseen_accuracy


def swept(images: Case) -> list[tuple[float, float]]:
    """Both accuracies at penalties so dense that each turn lies between two of them."""
    points = [accuracies(images, step / 4 + 0.125) for step in range(-14, 14)]
    return [point for index, point in enumerate(points) if index == 0 or point != points[index - 1]]


class TestCalibratedStacking:
    def test_the_columns_of_seen_classes_are_lowered(self) -> None:
        logits = torch.tensor([[0.0, 1.0, 2.0, 3.0], [1.0, 0.0, 0.0, 0.0]])
        found = calibrated_stacking(logits, 0.5, label_map=HEAD, seen=SEEN)
        assert found.tolist() == [[0.0, 0.5, 2.0, 2.5], [1.0, -0.5, 0.0, -0.5]]

    @given(images=CASES, penalty=st.floats(-5, 5))
    @quickly
    def test_seen_and_unseen_columns_apart_keep_their_differences(
        self, images: Case, penalty: float
    ) -> None:
        logits = case_of(images)[0].double()
        for index, row in enumerate(
            calibrated_stacking(logits, penalty, label_map=HEAD, seen=SEEN)
        ):
            for column, name in enumerate(HEAD.classes):
                expected = logits[index, column].item() - (penalty if name in SEEN else 0.0)
                assert row[column].item() == expected

    @given(images=CASES)
    @quickly
    def test_no_penalty_is_no_change(self, images: Case) -> None:
        logits = case_of(images)[0]
        assert torch.equal(calibrated_stacking(logits, 0, label_map=HEAD, seen=SEEN), logits)

    def test_dtype_and_logits_stay(self) -> None:
        logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).half()
        before = logits.clone()
        assert calibrated_stacking(logits, 1.0, label_map=HEAD, seen=SEEN).dtype == torch.float16
        assert torch.equal(logits, before)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_cuda_agrees_with_the_cpu(self) -> None:
        logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
        here = calibrated_stacking(logits, 0.5, label_map=HEAD, seen=SEEN)
        there = calibrated_stacking(logits.cuda(), 0.5, label_map=HEAD, seen=SEEN)
        assert there.device.type == "cuda"
        assert torch.equal(here, there.cpu())
        data = LabelledImages(torch.zeros(6, 1, 1, 1), torch.arange(6) % 4, HEAD)
        on_device = seen_unseen_curve(logits.cuda(), data.to("cuda"), label_map=HEAD, seen=SEEN)
        assert on_device.area == seen_unseen_curve(logits, data, label_map=HEAD, seen=SEEN).area


class TestCurve:
    @given(images=CASES)
    @quickly
    def test_every_point_is_what_stacking_and_report_give(self, images: Case) -> None:
        curve = curve_of(images)
        for index, penalty in enumerate(curve.penalties.tolist()):
            seen, unseen = accuracies(images, penalty)
            assert curve.seen_accuracy[index].item() == pytest.approx(seen)
            assert curve.unseen_accuracy[index].item() == pytest.approx(unseen)

    @given(images=CASES)
    @quickly
    def test_no_point_of_a_dense_sweep_is_missing(self, images: Case) -> None:
        curve = curve_of(images)
        pairs = list(zip(curve.seen_accuracy.tolist(), curve.unseen_accuracy.tolist(), strict=True))
        assert curve.penalties.tolist() == sorted(set(curve.penalties.tolist()))
        for point in swept(images):
            assert any(point == pytest.approx(pair) for pair in pairs)

    @given(images=CASES)
    @quickly
    def test_the_ends_are_all_seen_and_all_unseen(self, images: Case) -> None:
        curve = curve_of(images)
        first, last = accuracies(images, -1000.0), accuracies(images, 1000.0)
        assert (curve.seen_accuracy[0].item(), curve.unseen_accuracy[0].item()) == (first[0], 0)
        assert (curve.seen_accuracy[-1].item(), curve.unseen_accuracy[-1].item()) == (0, last[1])

    @given(images=CASES)
    @quickly
    def test_the_area_is_that_of_the_dense_sweep(self, images: Case) -> None:
        points = swept(images)
        area = sum(
            (unseen_after - unseen) * (seen + seen_after) / 2
            for (seen, unseen), (seen_after, unseen_after) in pairwise(points)
        )
        assert curve_of(images).area == pytest.approx(area)

    @given(images=CASES)
    @quickly
    def test_the_best_penalty_has_the_largest_harmonic_mean(self, images: Case) -> None:
        def harmonic(point: tuple[float, float]) -> float:
            return 2 * point[0] * point[1] / sum(point) if sum(point) else 0.0

        best = harmonic(accuracies(images, curve_of(images).best_penalty()))
        assert best == pytest.approx(max(harmonic(point) for point in swept(images)))

    def test_images_of_a_class_that_the_head_lacks_count_as_unseen(self) -> None:
        images = [([0.0, 1.0, -1.0, -2.0], "a"), ([3.0, 0.0, 0.5, 1.0], "c"), ([0.0] * 4, "z")]
        curve = curve_of(images)
        assert curve.unseen_accuracy.max().item() == 0.5
        assert curve.seen_accuracy.max().item() == 1.0

    def test_nothing_given_is_mutated(self) -> None:
        logits, data = case_of([([0.0, 1.0, 2.0, 3.0], "a"), ([1.0, 0.0, 0.5, 0.25], "b")])
        before, labels = logits.double().clone(), data.labels.clone()
        double = logits.double()
        seen_unseen_curve(double, data, label_map=HEAD, seen=iter(SEEN))
        assert torch.equal(double, before)
        assert torch.equal(data.labels, labels)

    def test_many_images_need_no_table_of_all_pairs(self) -> None:
        count = 200_000
        generator = np.random.default_rng(0)
        labels = generator.integers(0, 2, size=count)
        logits = np.stack([generator.normal(size=count), np.zeros(count)], 1)
        data = LabelledImages(torch.zeros(count, 1, 1, 1), torch.from_numpy(labels), ["old", "new"])
        curve = seen_unseen_curve(
            torch.from_numpy(logits), data, label_map=data.label_map, seen=["old"]
        )
        middle = int(torch.searchsorted(curve.penalties, 0.3))
        accepted = logits[:, 0] > curve.penalties[middle].item()
        assert curve.seen_accuracy[middle].item() == pytest.approx(accepted[labels == 0].mean())
        assert curve.unseen_accuracy[middle].item() == pytest.approx(
            (~accepted)[labels == 1].mean()
        )
        assert curve.area == pytest.approx(0.5, abs=0.01)


class TestForms:
    def test_labels_and_their_names_need_no_images(self) -> None:
        images: Case = [
            ([0.0, 1.0, 2.0, 3.0], "a"),
            ([1.0, 0.0, 0.5, 0.25], "b"),
            ([2.0, 0.0, 0.5, 0.25], "z"),
            ([0.0, 1.0, 0.5, 2.25], "d"),
        ]
        logits, data = case_of(images)
        expected = seen_unseen_curve(logits, data, label_map=HEAD, seen=SEEN)
        for labels in (data.labels, data.labels.numpy(), data.labels.tolist()):
            for classes in (data.classes, data.label_map):
                found = seen_unseen_curve(
                    logits, labels, classes=classes, label_map=HEAD, seen=SEEN
                )
                assert found == expected

    def test_labels_alone_are_indices_of_the_head(self) -> None:
        logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
        data = LabelledImages(torch.zeros(4, 1, 1, 1), torch.arange(4), HEAD)
        found = seen_unseen_curve(logits, range(4), label_map=HEAD, seen=SEEN)
        assert found == seen_unseen_curve(logits, data, label_map=HEAD, seen=SEEN)

    def test_images_without_a_label_do_not_count(self) -> None:
        logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
        labels = torch.tensor([0, -100, 1, 2, -100, 3])
        found = seen_unseen_curve(logits, labels, label_map=HEAD, seen=SEEN)
        kept = labels >= 0
        assert found == seen_unseen_curve(logits[kept], labels[kept], label_map=HEAD, seen=SEEN)
        void = LabelMap(HEAD.classes, ignore="void", ignore_index=-1)
        data = LabelledImages(torch.zeros(4, 1, 1, 1), labels[kept], void)
        assert found == seen_unseen_curve(logits[kept], data, label_map=HEAD, seen=SEEN)

    def test_logits_may_be_an_array(self) -> None:
        logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
        found = seen_unseen_curve(logits.numpy(), range(4), label_map=HEAD, seen=SEEN)
        assert found == seen_unseen_curve(logits, range(4), label_map=HEAD, seen=SEEN)
        stacked = calibrated_stacking(logits.numpy(), 0.5, label_map=HEAD, seen=SEEN)
        assert torch.equal(stacked, calibrated_stacking(logits, 0.5, label_map=HEAD, seen=SEEN))

    def test_a_column_that_was_ruled_out_stays_so(self) -> None:
        logits = torch.tensor([[0.0, -math.inf, 1.0, 2.0]])
        found = calibrated_stacking(logits, 0.5, label_map=HEAD, seen=SEEN)
        assert found.tolist() == [[0.0, -math.inf, 1.0, 1.5]]

    def test_gradients_go_through_a_penalty(self) -> None:
        logits = torch.zeros(1, 4, requires_grad=True)
        calibrated_stacking(logits, 0.5, label_map=HEAD, seen=SEEN).sum().backward()
        assert logits.grad is not None

    def test_curves_are_equal_whose_numbers_are(self) -> None:
        logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
        first, same = (
            seen_unseen_curve(logits, range(4), label_map=HEAD, seen=SEEN) for _ in range(2)
        )
        other = seen_unseen_curve(-logits, range(4), label_map=HEAD, seen=SEEN)
        assert first == same
        assert hash(first) == hash(same)
        assert len({first, same, other}) == 2
        assert first != "a curve"


class TestBadInput:
    @pytest.mark.parametrize("dtype", [torch.int64, torch.bool], ids=str)
    def test_integer_logits_would_cut_the_penalty(self, dtype: torch.dtype) -> None:
        with pytest.raises(TypeError, match="logits must be floating point"):
            calibrated_stacking(torch.ones(2, 4, dtype=dtype), 0.5, label_map=HEAD, seen=SEEN)

    def test_logits_that_are_no_numbers_are_refused(self) -> None:
        with pytest.raises(ValueError, match="logits must be finite"):
            calibrated_stacking(torch.full((2, 4), math.nan), 0.5, label_map=HEAD, seen=SEEN)

    def test_classes_beside_data_that_have_theirs_are_refused(self) -> None:
        data = LabelledImages(torch.zeros(4, 1, 1, 1), torch.arange(4), HEAD)
        with pytest.raises(TypeError, match="received it with LabelledImages, which has its own"):
            seen_unseen_curve(torch.zeros(4, 4), data, classes=HEAD, label_map=HEAD, seen=SEEN)

    @pytest.mark.parametrize(
        ("labels", "error", "message"),
        [
            ([0, 1, 2, 4], ValueError, "must lie in 0 … 3.*received 4"),
            ([0, 1, 2, -1], ValueError, "at least 0, or -100 for none; received -1"),
            ([0, 1, 2], ValueError, "each of the 3 images; received 4 rows"),
            ([0.0, 1.0, 2.0, 3.0], TypeError, "labels must be integer indices"),
            ([[0], [1], [2], [3]], TypeError, "labels must be integer indices"),
        ],
        ids=["beyond", "negative", "short", "floats", "column"],
    )
    def test_labels_are_checked(self, labels: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            seen_unseen_curve(torch.zeros(4, 4), labels, label_map=HEAD, seen=SEEN)

    @pytest.mark.parametrize("width", [3, 5])
    def test_a_column_for_each_class(self, width: int) -> None:
        data = LabelledImages(torch.zeros(4, 1, 1, 1), torch.arange(4), HEAD)
        message = rf"\(N, 4\), a column for each class of the map; received \(4, {width}\)"
        with pytest.raises(ValueError, match=message):
            calibrated_stacking(torch.zeros(4, width), 1.0, label_map=HEAD, seen=SEEN)
        with pytest.raises(ValueError, match=message):
            seen_unseen_curve(torch.zeros(4, width), data, label_map=HEAD, seen=SEEN)

    def test_one_image_alone_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"shape \(N, classes\); received \(4,\)\. Pass"):
            calibrated_stacking(torch.zeros(4), 1.0, label_map=HEAD, seen=SEEN)

    def test_seen_classes_that_the_head_lacks_are_named(self) -> None:
        data = LabelledImages(torch.zeros(4, 1, 1, 1), torch.arange(4), HEAD)
        with pytest.raises(UnknownLabelError, match="received 'emu' in seen"):
            calibrated_stacking(torch.zeros(4, 4), 1.0, label_map=HEAD, seen=["ant", "emu"])
        with pytest.raises(UnknownLabelError, match="received 'emu' in seen"):
            seen_unseen_curve(torch.zeros(4, 4), data, label_map=HEAD, seen=["ant", "emu"])

    @pytest.mark.parametrize("classes", [2, 120])
    def test_what_the_map_ignores_is_no_seen_class(self, classes: int) -> None:
        label_map = LabelMap([f"c{index}" for index in range(classes)], ignore="void")
        with pytest.raises(UnknownLabelError, match="void"):
            calibrated_stacking(torch.zeros(1, classes), 1.0, label_map=label_map, seen=["void"])

    @pytest.mark.parametrize(
        ("labels", "seen", "received"),
        [
            (
                [0, 1, 2, 3],
                HEAD.classes,
                "4 seen of 4 outputs and 4 images of seen classes among 4",
            ),
            ([0, 1, 2, 3], [], "0 seen of 4 outputs and 0 images"),
            ([1, 3, 1, 1], SEEN, "2 seen of 4 outputs and 4 images of seen classes among 4"),
            ([0, 2, 2, 2], SEEN, "2 seen of 4 outputs and 0 images of seen classes among 4"),
        ],
        ids=["all-seen", "none-seen", "no-unseen-image", "no-seen-image"],
    )
    def test_a_trade_off_needs_both_kinds(self, labels: Any, seen: Any, received: str) -> None:
        data = LabelledImages(torch.zeros(4, 1, 1, 1), torch.tensor(labels), HEAD)
        with pytest.raises(ValueError, match=f"needs seen and unseen classes.*received {received}"):
            seen_unseen_curve(torch.zeros(4, 4), data, label_map=HEAD, seen=seen)

    def test_a_head_without_an_unseen_class_has_no_trade_off(self) -> None:
        logits, data = case_of([([0.0, 1.0, 2.0, 3.0], "a"), ([1.0, 0.0, 0.5, 0.25], "z")])
        with pytest.raises(ValueError, match="4 seen of 4 outputs and 1 images of seen"):
            seen_unseen_curve(logits, data, label_map=HEAD, seen=HEAD.classes)

    @pytest.mark.parametrize(
        ("logits", "error", "message"),
        [
            (torch.zeros(3, 4), ValueError, "each of the 4 images; received 3 rows"),
            (torch.zeros(4, 4).long(), TypeError, "logits must be floating point"),
            (torch.full((4, 4), math.nan), ValueError, "logits must be finite"),
        ],
        ids=["short", "int", "nan"],
    )
    def test_logits_are_checked(self, logits: Tensor, error: type[Exception], message: str) -> None:
        data = LabelledImages(torch.zeros(4, 1, 1, 1), torch.arange(4), HEAD)
        with pytest.raises(error, match=message):
            seen_unseen_curve(logits, data, label_map=HEAD, seen=SEEN)

    def test_data_and_head_share_a_class(self) -> None:
        data = LabelledImages(torch.zeros(2, 1, 1, 1), torch.arange(2), ["x", "y"])
        with pytest.raises(ValueError, match="no class in common"):
            seen_unseen_curve(torch.zeros(2, 4), data, label_map=HEAD, seen=SEEN)


@pytest.mark.parametrize("penalty", [float("nan"), float("inf")], ids=str)
def test_a_penalty_is_finite(penalty: float) -> None:
    with pytest.raises(ValueError, match=rf"must be finite; received {penalty}"):
        calibrated_stacking(torch.zeros(1, 2), penalty, label_map=LabelMap(["a", "b"]), seen=["a"])


def test_a_single_string_is_not_taken_for_its_letters() -> None:
    label_map = LabelMap(["1", "0", "x"])
    with pytest.raises(TypeError, match="received the string '10'"):
        calibrated_stacking(torch.zeros(2, 3), 1.0, label_map=label_map, seen="10")
