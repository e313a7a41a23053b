from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    recall_score,
)
from torch import Tensor, nn

from companion import LabelledImages, LabelMap, Report, UnknownLabelError, evaluate, report


def images_of(labels: Sequence[int] | Tensor, classes: Sequence[str]) -> LabelledImages:
    labels = torch.as_tensor(labels)
    return LabelledImages(torch.zeros(len(labels), 1, 1, 8), labels, classes)


def said(names: Sequence[str], head: Sequence[str]) -> Tensor:
    """Logits of a head that says these names."""
    return torch.eye(len(head))[[list(head).index(name) for name in names]]


def scored(truth: Sequence[str], answers: Sequence[str], head: str, **options: object) -> Report:
    """The report of answers in the order of `head` on truth in the order a, b, c, d."""
    data = images_of(["abcd".index(name) for name in truth], [*"abcd"])
    return report(said(answers, head), data, label_map=LabelMap(head), **options)  # type: ignore[arg-type]


@pytest.fixture
def random_case() -> tuple[Tensor, LabelledImages]:
    """Logits of a fair classifier over five classes, one of which the data lack."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (200,), generator=generator)
    logits = torch.randn(200, 5, generator=generator)
    logits[torch.arange(200), labels] += 1
    return logits, images_of(labels, [*"abcde"])


class TestAgainstScikitLearn:
    def test_accuracy(self, random_case: tuple[Tensor, LabelledImages]) -> None:
        logits, data = random_case
        expected = accuracy_score(data.labels, logits.argmax(1))
        assert report(logits, data, label_map=data.label_map).accuracy == pytest.approx(expected)

    @pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
    def test_balanced_accuracy(self, random_case: tuple[Tensor, LabelledImages]) -> None:
        logits, data = random_case
        expected = balanced_accuracy_score(data.labels, logits.argmax(1))
        found = report(logits, data, label_map=data.label_map).balanced_accuracy
        assert found == pytest.approx(expected, abs=1e-6)

    def test_recall(self, random_case: tuple[Tensor, LabelledImages]) -> None:
        logits, data = random_case
        expected = recall_score(data.labels, logits.argmax(1), labels=range(4), average=None)
        recall = report(logits, data, label_map=data.label_map).recall
        assert list(recall) == ["a", "b", "c", "d"]
        assert list(recall.values()) == pytest.approx(expected.tolist(), abs=1e-6)

    def test_confusion(self, random_case: tuple[Tensor, LabelledImages]) -> None:
        logits, data = random_case
        expected = confusion_matrix(data.labels, logits.argmax(1), labels=range(5))
        found = report(logits, data, label_map=data.label_map).confusion
        assert np.array_equal(found.numpy(), expected)


class TestByName:
    def test_heads_in_another_order_score_alike(self) -> None:
        truth, answers = "aabbcd", "abbbcc"
        first, second = scored(truth, answers, [*"abcd"]), scored(truth, answers, [*"cbda"])
        assert first.accuracy == second.accuracy == pytest.approx(4 / 6)
        assert first.recall == second.recall
        assert first.predicted == second.predicted == list(answers)

    def test_a_narrow_head_on_a_wide_test_set(self) -> None:
        result = scored("aabbccdd", "aabbacbb", [*"acb"])
        assert result.accuracy == pytest.approx(5 / 8)
        assert result.recall == pytest.approx({"a": 1.0, "b": 1.0, "c": 0.5, "d": 0.0})
        assert result.seen_accuracy == pytest.approx(5 / 6)
        assert result.unseen_accuracy == 0.0
        assert result.harmonic_mean == 0.0
        assert result.seen_share == pytest.approx(6 / 8)
        assert result.balanced_accuracy == pytest.approx((1 + 1 + 0.5 + 0) / 4)

    def test_confusion_has_data_classes_by_head_classes(self) -> None:
        result = scored("aabd", "bcbc", [*"cb"])
        # Rows a, b, c, d; columns c, b.
        assert result.confusion.tolist() == [[1, 1], [0, 1], [0, 0], [1, 0]]

    def test_full_accuracy_is_seen_accuracy_times_the_seen_share(self) -> None:
        result = scored("abcdabcd", "aabbabab", [*"ab"])
        assert result.accuracy == pytest.approx(result.seen_accuracy * result.seen_share)


class TestSeenAndUnseen:
    def test_by_hand(self) -> None:
        result = scored("aaaabbccdd", "aaabbbacda", [*"abcd"], seen=[*"ab"])
        assert result.seen_accuracy == pytest.approx(5 / 6)
        assert result.unseen_accuracy == pytest.approx(2 / 4)
        assert result.harmonic_mean == pytest.approx(2 / (6 / 5 + 4 / 2))
        assert result.seen_share == pytest.approx(6 / 10)

    def test_nothing_to_count_is_nan(self) -> None:
        all_seen = scored([*"ab"], [*"ab"], [*"abcd"])
        assert all_seen.seen_accuracy == 1.0
        assert math.isnan(all_seen.unseen_accuracy)
        assert math.isnan(all_seen.harmonic_mean)
        none_seen = scored("cd", "cd", [*"abcd"], seen=[*"ab"])
        assert math.isnan(none_seen.seen_accuracy)
        assert none_seen.unseen_accuracy == 1.0
        assert none_seen.seen_share == 0.0

    def test_both_wrong_have_harmonic_mean_zero(self) -> None:
        assert scored("ac", "bb", [*"abc"], seen=["a"]).harmonic_mean == 0.0


class TestCandidates:
    def test_the_argmax_runs_over_the_candidates_alone(self) -> None:
        logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0], [1.0, 2.0, 0.0]])
        data = images_of([2, 1, 0], [*"abc"])
        everything = report(logits, data, label_map=LabelMap([*"abc"]))
        restricted = report(logits, data, label_map=LabelMap([*"abc"]), candidates=["c", "b"])
        assert everything.predicted == ["a", "b", "b"]
        assert restricted.predicted == ["c", "b", "b"]
        assert restricted.candidates == ("c", "b")
        assert everything.accuracy == pytest.approx(1 / 3)
        assert restricted.accuracy == pytest.approx(2 / 3)

    def test_all_classes_of_the_head_are_the_default(self) -> None:
        assert scored([*"ab"], [*"ab"], [*"bca"]).candidates == ("b", "c", "a")

    def test_candidates_may_be_an_iterator(self) -> None:
        result = scored([*"ab"], [*"ab"], [*"abc"], candidates=iter([*"ab"]), seen=iter("a"))
        assert (result.candidates, result.seen_share) == (("a", "b"), 0.5)

    def test_candidates_that_the_head_lacks_are_named(self) -> None:
        with pytest.raises(UnknownLabelError, match=r"3 classes .*received 'd' in candidates"):
            scored([*"ab"], [*"ab"], [*"abc"], candidates=["d", "a"])

    def test_no_candidates_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"needs a candidate; received none\. Pass None"):
            scored([*"ab"], [*"ab"], [*"abc"], candidates=[])


class TestEvaluate:
    def test_it_is_the_report_of_the_models_logits(self, lookup: type[nn.Module]) -> None:
        images = torch.zeros(3, 1, 1, 4)
        images[:, 0, 0, :2] = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
        data = LabelledImages(images, torch.tensor([0, 1, 2]), [*"abc"])
        result = evaluate(lookup(2), data, label_map=LabelMap([*"ba"]), batch_size=2)
        assert result.predicted == ["a", "b", "a"]
        assert result.accuracy == pytest.approx(2 / 3)

    def test_the_datas_map_is_the_default(self, lookup: type[nn.Module]) -> None:
        data = images_of([0, 1], [*"ab"])
        assert evaluate(lookup(2), data).predicted == ["a", "a"]

    @pytest.mark.parametrize("width", [2, 4])
    def test_a_head_of_another_width_than_its_map(
        self, lookup: type[nn.Module], width: int
    ) -> None:
        model = lookup(width)
        with pytest.raises(
            ValueError, match=rf"shape \(N, 3\).*received \(2, {width}\)\. Pass label_map="
        ):
            evaluate(model, images_of([0, 1], [*"abc"]))
        assert model.training

    def test_a_map_that_shares_no_class(self) -> None:
        with pytest.raises(ValueError, match="no class in common"):
            report(torch.zeros(1, 2), images_of([0], [*"ab"]), label_map=LabelMap([*"xy"]))

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_cuda_agrees_with_the_cpu(self, random_case: tuple[Tensor, LabelledImages]) -> None:
        logits, data = random_case
        images = torch.zeros(200, 1, 1, 5)
        images[:, 0, 0] = logits
        data = LabelledImages(images, data.labels, data.label_map)
        head = nn.Linear(5, 5)
        nn.init.eye_(head.weight)
        model = nn.Sequential(nn.Flatten(), head)
        here = evaluate(model, data)
        there = evaluate(model.cuda(), data.to("cuda"))
        assert here.accuracy == pytest.approx(there.accuracy, abs=0.011)
        on_device = report(logits.cuda(), data.to("cuda"), label_map=data.label_map)
        assert on_device.accuracy == report(logits, data, label_map=data.label_map).accuracy


def test_names_that_nobody_declares_are_no_seen_classes() -> None:
    data = LabelledImages(torch.zeros(2, 1, 2, 2), torch.tensor([0, 1]), ["a", "b"])
    with pytest.raises(UnknownLabelError, match="received 'cat' in seen"):
        report(torch.zeros(2, 2), data, label_map=data.label_map, seen=["a", "cat"])
