from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from companion.inputs import (
    arrays_equal,
    checked_logits,
    distinct,
    positive_number,
    real_numbers,
    whole_number,
)


class TestSingleNumbers:
    @pytest.mark.parametrize("value", [3, np.int64(3), np.array(3), torch.tensor(3)], ids=repr)
    def test_a_whole_number_of_any_kind(self, value: Any) -> None:
        assert type(whole_number(value, "epochs")) is int

    @pytest.mark.parametrize(
        "value", [True, np.bool_(True), 3.0, "3", None, [3], torch.tensor([3])], ids=repr
    )
    def test_what_is_no_whole_number(self, value: Any) -> None:
        with pytest.raises(TypeError, match=r"epochs must be a whole .*least 1; received .*Try 10"):
            whole_number(value, "epochs", advice="Try 10.")

    def test_the_least_is_allowed_and_one_below_is_not(self) -> None:
        assert whole_number(0, "seed", least=0) == 0
        with pytest.raises(ValueError, match="at least 0; received -1"):
            whole_number(-1, "seed", least=0)

    @pytest.mark.parametrize("value", [2, np.float32(2), torch.tensor(2.0)], ids=repr)
    def test_a_positive_number_of_any_kind(self, value: Any) -> None:
        found = positive_number(value, "lr")
        assert (found, type(found)) == (2.0, float)

    @pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, np.float64("nan")], ids=repr)
    def test_a_rate_is_positive_and_finite(self, value: Any) -> None:
        with pytest.raises(ValueError, match="lr must be positive and finite; received"):
            positive_number(value, "lr")

    @pytest.mark.parametrize("value", [True, "0.1", None, 1j, [0.1]], ids=repr)
    def test_what_is_no_number(self, value: Any) -> None:
        with pytest.raises(TypeError, match="lr must be a number; received"):
            positive_number(value, "lr")


class TestDistinct:
    @pytest.mark.parametrize(
        "values", [range(2), np.arange(2), torch.arange(2), [np.int64(0), 1]], ids=repr
    )
    def test_values_are_plain(self, values: Any) -> None:
        found = distinct(values, "seed", "range(5)")
        assert (found, {type(value) for value in found}) == ([0, 1], {int})

    @pytest.mark.parametrize("values", [5, "012", np.array(5), torch.tensor(5), None], ids=repr)
    def test_one_value_is_no_sequence(self, values: Any) -> None:
        with pytest.raises(TypeError, match=r"each seed stands in a seq.*Pass range\(5\)"):
            distinct(values, "seed", "range(5)")

    @pytest.mark.parametrize("values", [[[1], [2]], np.eye(2), torch.eye(2)], ids=repr)
    def test_rows_are_no_values(self, values: Any) -> None:
        with pytest.raises(TypeError, match=r"each seed is a single value; .* Pass range\(5\)"):
            distinct(values, "seed", "range(5)")

    @pytest.mark.parametrize(("values", "message"), [([], "needed"), ([1, np.int64(1)], "occur")])
    def test_none_and_twice(self, values: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            distinct(values, "seed", "range(5)")


class TestEquality:
    @pytest.mark.parametrize(
        "value",
        [
            torch.tensor([1.0, math.nan]),
            torch.tensor([1.0], requires_grad=True),
            torch.tensor([1.0], dtype=torch.bfloat16),
            np.array(["a"]),
            {"a": (np.array([1]), None)},
            math.nan,
            np.float64("nan"),
        ],
        ids=repr,
    )
    def test_a_value_equals_itself(self, value: Any) -> None:
        assert arrays_equal(value, value)

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (torch.tensor([1.0]), torch.tensor([2.0])),
            (torch.tensor([1.0]), torch.tensor([1.0, 1.0])),
            (torch.tensor([1.0]), torch.tensor([1])),
            (torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.bfloat16)),
            (torch.tensor([1.0], dtype=torch.bfloat16), torch.tensor([2.0], dtype=torch.bfloat16)),
            ({"a": 1}, {"b": 1}),
            ([1], [1, 2]),
            (1.0, math.nan),
            (math.nan, 1.0),
            (np.array([1]), [1]),
            (1, True),
            (None, 0),
        ],
        ids=repr,
    )
    def test_other_values_differ(self, first: Any, second: Any) -> None:
        assert not arrays_equal(first, second)
        assert not arrays_equal(second, first)


class TestRealNumbers:
    @pytest.mark.parametrize(
        "values",
        [
            np.array([0.5, 1], dtype=np.float16),
            np.array([0.5, 1], dtype=">f4"),
            np.array([1, 0.5])[::-1],
            np.array([0.5, 1], dtype=np.longdouble),
            torch.tensor([0.5, 1], dtype=torch.bfloat16),
            torch.tensor([0.5, 1], requires_grad=True),
        ],
        ids=["half", "byte order", "backwards", "long double", "bfloat16", "with gradient"],
    )
    def test_they_come_in_many_forms(self, values: Any) -> None:
        found = real_numbers(values, what="scores")
        assert found.tolist() == [0.5, 1.0]
        assert found.dtype in (torch.float32, torch.float64)
        assert not found.requires_grad

    @pytest.mark.parametrize(
        ("values", "kind"),
        [
            (np.array([1]), "torch.int64"),
            (np.array([True]), "torch.bool"),
            (torch.tensor([1]), "torch.int64"),
            (np.array([1j]), "complex128"),
            (np.array(["1"]), "<U1"),
            ([0.5], "list"),
            (None, "NoneType"),
        ],
        ids=["integers", "bools", "integer tensor", "complex", "strings", "list", "None"],
    )
    def test_anything_else_is_named(self, values: Any, kind: str) -> None:
        with pytest.raises(TypeError, match=f"scores must be floating .*received {kind}. Do this"):
            real_numbers(values, what="scores", advice="Do this.")


class TestLogits:
    def test_an_array_is_read(self) -> None:
        found = checked_logits(np.array([[0.5, 1.0]]), rows=1, width=2)
        assert found.tolist() == [[0.5, 1.0]]

    @pytest.mark.parametrize(
        ("logits", "error", "message"),
        [
            (torch.zeros(2, 3).long(), TypeError, r"received torch\.int64\. Pass what the head"),
            (torch.zeros(2), ValueError, r"shape \(N, classes\); received \(2,\)"),
            (torch.zeros(2, 3, 1), ValueError, r"received \(2, 3, 1\)"),
            (torch.zeros(0, 3), ValueError, r"received \(0, 3\)"),
            (torch.zeros(4, 3), ValueError, "each of the 2 images; received 4 rows"),
            (torch.zeros(2, 4), ValueError, r"shape \(N, 3\).*received \(2, 4\)\. Pass label_map="),
            (torch.tensor([[0, math.nan, 0], [0, 0, 0]]), ValueError, "those of 1 of 2 images"),
            (torch.full((2, 3), math.inf), ValueError, "those of 2 of 2 images hold NaN or"),
            (torch.tensor([[0.0, -math.inf, 0]] * 2), ValueError, "Leave out columns"),
        ],
        ids=["integers", "row", "cube", "none", "rows", "width", "NaN", "infinite", "masked"],
    )
    def test_what_no_classifier_returns(
        self, logits: Any, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            checked_logits(logits, rows=2, width=3)

    def test_a_column_may_be_ruled_out_where_that_is_meant(self) -> None:
        masked = torch.tensor([[0.0, -math.inf]])
        assert torch.equal(checked_logits(masked, masked=True), masked)

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ([-math.inf, -math.inf], "a class that is not ruled out"),
            ([math.inf, 0.0], "must be finite"),
            ([math.nan, 0.0], "must be finite"),
        ],
        ids=["all", "plus infinity", "NaN"],
    )
    def test_what_masking_does_not_explain(self, row: list[float], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            checked_logits(torch.tensor([row]), masked=True)
