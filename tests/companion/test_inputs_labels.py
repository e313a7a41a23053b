from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from companion.inputs import IGNORE_INDEX, check_labels_fit, integer_labels


class TestForms:
    @pytest.mark.parametrize(
        "labels",
        [
            [2, 0],
            (2, 0),
            range(2, -1, -2),
            (label for label in (2, 0)),
            [np.int64(2), np.int64(0)],
            [torch.tensor(2), torch.tensor(0)],
            np.array([2, 0], dtype=np.uint8),
            np.array([2, 0], dtype=">i4"),
            np.array([0, 2])[::-1],
            torch.tensor([2, 0], dtype=torch.int16),
        ],
        ids=[
            "list",
            "tuple",
            "range",
            "generator",
            "NumPy's integers",
            "tensors",
            "bytes",
            "the other byte order",
            "backwards",
            "tensor",
        ],
    )
    def test_whole_numbers_become_int64(self, labels: Any) -> None:
        found = integer_labels(labels, rows=2)
        assert (found.dtype, found.tolist()) == (torch.int64, [2, 0])

    def test_minus_one_hundred_is_no_label(self) -> None:
        assert integer_labels([1, IGNORE_INDEX]).tolist() == [1, -100]

    def test_what_was_given_stays(self) -> None:
        labels = np.array([2, 0])
        integer_labels(labels).fill_(9)
        assert labels.tolist() == [2, 0]

    def test_an_array_that_cannot_be_written_is_read(self) -> None:
        labels = np.array([2, 0])
        labels.setflags(write=False)
        assert integer_labels(labels).tolist() == [2, 0]


class TestRefusals:
    @pytest.mark.parametrize(
        ("labels", "error", "message"),
        [
            ([], ValueError, "at least one label is needed; received none as targets"),
            ([0.0, 1.0], TypeError, r"float32 of shape \(2,\)\. .*labels\.long\(\)"),
            ([True, False], TypeError, r"received bool of shape \(2,\)"),
            (np.array([1j]), TypeError, "received complex128"),
            (np.eye(2, dtype=int), TypeError, r"int64 of shape \(2, 2\)\. Take argmax\(1\)"),
            ([[0], [1]], TypeError, r"received int64 of shape \(2, 1\)\. .*squeeze a column"),
            ([[0, 1], [1]], TypeError, "must be integer indices"),
            (3, TypeError, r"received int64 of shape \(\)"),
            (None, TypeError, r"integer indices \(.*\)\. Encode names"),
            ("10", TypeError, r"integer indices \(.*\)\. Encode names with LabelMap\.encode"),
            (["cat", "dog"], TypeError, "Encode names"),
            (np.array(["cat"]), TypeError, "Encode names"),
            (np.array([1, None]), TypeError, "Encode names"),
            ({0: 3, 1: 5}, TypeError, "in the order of the items; received a dict. Pass a list"),
            ({3, 5}, TypeError, "in the order of the items; received a set. Pass a list"),
            ([0, -1], ValueError, "at least 0, or -100 for none; received -1. Look for an index"),
            ([0, 1, 2], ValueError, r"shape \(2,\), one for each row; received \(3,\)"),
        ],
        ids=[
            "none",
            "floats",
            "mask",
            "complex",
            "one-hot",
            "column",
            "ragged",
            "single",
            "None",
            "string",
            "names",
            "array of names",
            "objects",
            "mapping",
            "set",
            "negative",
            "too many",
        ],
    )
    def test_what_is_no_row_of_indices(
        self, labels: Any, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            integer_labels(labels, rows=2, what="targets")

    def test_a_label_beyond_the_head(self) -> None:
        check_labels_fit(torch.tensor([0, 1, IGNORE_INDEX]), 2)
        with pytest.raises(ValueError, match=r"lie in 0 … 1, .*; received 2\. Build the head"):
            check_labels_fit(torch.tensor([0, 2]), 2)
