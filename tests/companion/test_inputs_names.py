from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from companion.inputs import brief, listed_names, plain, plain_names


class TestPlain:
    @pytest.mark.parametrize(
        "value",
        [3, np.int64(3), np.uint8(3), np.array(3), torch.tensor(3)],
        ids=["int", "NumPy", "byte", "array without sides", "tensor"],
    )
    def test_a_number_of_any_kind_is_pythons(self, value: Any) -> None:
        assert (plain(value), type(plain(value))) == (3, int)

    @pytest.mark.parametrize("value", [np.str_("owl"), np.array("owl"), "owl"])
    def test_a_name_of_any_kind_is_pythons(self, value: Any) -> None:
        assert (plain(value), type(plain(value))) == ("owl", str)

    def test_anything_else_stays(self) -> None:
        rows = [1]
        assert plain(rows) is rows
        assert plain(None) is None


class TestListedNames:
    @pytest.mark.parametrize(
        "names",
        [
            ["b", "a"],
            ("b", "a"),
            np.array(["b", "a"]),
            {"b": 0, "a": 1}.keys(),
            (name for name in "ba"),
            [np.str_("b"), np.array("a")],
        ],
        ids=["list", "tuple", "array", "keys", "generator", "NumPy's strings"],
    )
    def test_names_come_in_their_order(self, names: Any) -> None:
        assert listed_names(names, what="classes", ordered=True) == ["b", "a"]

    def test_a_tensor_counts_as_its_values(self) -> None:
        found = listed_names(torch.tensor([3, 1]), what="classes")
        assert found == [3, 1]
        assert {type(name) for name in found} == {int}

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            ("10", r"the string '10'\. Put it in a list: \['10'\]\."),
            (np.str_("10"), r"the string '10'\. Put"),
            (np.array("10"), r"the string '10'\. Put"),
            (b"10", r"b'10'\. Put"),
            (7, r"7\. Put it in a list: \[7\]\."),
            (torch.tensor(7), r"7\. Put it in a list: \[7\]\."),
            (None, "None"),
            ({"a": 1}, r"a mapping, whose values would be lost\. Pass the names that you mean"),
        ],
        ids=["str", "NumPy's", "array", "bytes", "int", "tensor", "None", "mapping"],
    )
    def test_what_is_no_sequence(self, names: Any, message: str) -> None:
        with pytest.raises(
            TypeError, match=f"seen must be a sequence of names; received {message}"
        ):
            listed_names(names, what="seen")

    def test_a_set_is_taken_where_order_means_nothing(self) -> None:
        assert sorted(listed_names({"b", "a"}, what="seen")) == ["a", "b"]
        with pytest.raises(TypeError, match=r"order changes from process to process\. Pass sorted"):
            listed_names({"b", "a"}, what="classes", ordered=True)


class TestPlainNames:
    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            ({"a.png": 3}, "one for each item in order; received a dict"),
            ({3, 4}, "one for each item in order; received a set"),
            (frozenset([3]), "received a frozenset"),
            (b"ab", "received b'ab'"),
            ([b"a"], "strings or integers; received 'bytes'"),
            ([[1], [2]], "received 'list'"),
            ([np.float32(1)], "received 'float'"),
            ([np.bool_(True)], "received 'bool'"),
        ],
        ids=["mapping", "set", "frozen set", "bytes", "list of bytes", "rows", "float", "bool"],
    )
    def test_what_is_no_sequence_of_labels(self, labels: Any, message: str) -> None:
        with pytest.raises(TypeError, match=message):
            plain_names(labels)

    def test_an_array_without_sides_is_no_sequence(self) -> None:
        with pytest.raises(ValueError, match=r"shape \(N,\); received \(\)"):
            plain_names(np.array(3))


def test_what_is_long_is_cut() -> None:
    assert brief(["a", "b", "c"], most=2) == "'a', 'b' and 1 more"
    assert brief(["a", "b"], most=2, quote=False) == "a, b"
    assert brief([]) == ""
