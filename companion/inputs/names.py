"""Names as people pass them: plain values, listed, never the letters of one string."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

ClassName = str | int
"""What a class is called in the data: a name, or the raw integer label."""


def plain(name: Any) -> Any:
    """Return NumPy's and PyTorch's scalars as Python's own, and leave the rest as it is.

    >>> plain(np.int64(3)), plain("owl")
    (3, 'owl')
    """
    if isinstance(name, np.generic) or (isinstance(name, Tensor | np.ndarray) and name.ndim == 0):
        return name.item()
    return name


def listed_names(names: Any, *, what: str, ordered: bool = False) -> list[Any]:
    """Return names in the order given, plain; `what` they are stands in the error.

    An array or a tensor counts as its values. Raises `TypeError` for one string, whose letters
    would be taken for names, for a single value, for a mapping, whose values would be lost, and,
    where their order means something (`ordered`), for a set, which has none.

    >>> listed_names(np.array(["owl", "cat"]), what="classes")
    ['owl', 'cat']
    >>> listed_names("10", what="classes")
    Traceback (most recent call last):
    TypeError: classes must be a sequence of names; received the string '10'. Put it in a list: \
['10'].
    """
    if isinstance(names, Mapping):
        raise TypeError(
            f"{what} must be a sequence of names; received a mapping, whose values would be lost. "
            "Pass the names that you mean, in a list."
        )
    alone = isinstance(names, str | bytes) or not isinstance(names, Iterable)
    if alone or getattr(names, "ndim", 1) == 0:
        value = plain(names)
        received = f"the string {value!r}" if isinstance(value, str) else repr(value)
        raise TypeError(
            f"{what} must be a sequence of names; received {received}. "
            f"Put it in a list: [{value!r}]."
        )
    if ordered and isinstance(names, set | frozenset):
        raise TypeError(
            f"{what} must be a sequence of names, as the position of each is its index; received a "
            "set, whose order changes from process to process. Pass sorted(...) of it."
        )
    return [plain(name) for name in (names.tolist() if hasattr(names, "tolist") else names)]


def plain_names(labels: Any) -> list[ClassName]:
    """Return labels in any of the accepted forms as a list of plain strings or integers.

    Raises `TypeError` for one string or value, for a set or a mapping, which have no label for
    each item in order, and for labels that are neither strings nor integers, `ValueError` for a
    tensor or an array of another shape than (N,).

    >>> plain_names(np.array([2, 0], dtype=np.uint8))
    [2, 0]
    """
    if isinstance(labels, str | bytes) or not isinstance(labels, Iterable):
        received = f"the string {labels!r}" if isinstance(labels, str) else repr(labels)
        raise TypeError(
            f"labels must be a sequence of labels; received {received}. Put it in a list."
        )
    if isinstance(labels, set | frozenset | Mapping):
        raise TypeError(
            "labels must be a sequence, one for each item in order; received a "
            f"{type(labels).__name__}. Pass a list."
        )
    if isinstance(labels, Tensor | np.ndarray):
        if labels.ndim != 1:
            raise ValueError(
                f"labels must have shape (N,); received {tuple(labels.shape)}. "
                "Take argmax(1) of one-hot rows, or squeeze a column."
            )
        labels = labels.tolist()
    names = [plain(label) for label in labels]
    wrong = {type(name).__name__ for name in names if type(name) not in (str, int)}
    if wrong:
        raise TypeError(
            f"labels must be strings or integers; received {brief(sorted(wrong))}. "
            "Convert them first: labels.long() for floats that hold whole numbers."
        )
    return names


def brief(values: Sequence[Any], most: int = 6, *, quote: bool = True) -> str:
    """Return the first few values and how many more there are.

    >>> brief([1, 2, 3], most=2)
    '1, 2 and 1 more'
    """
    shown = ", ".join(repr(value) if quote else str(value) for value in values[:most])
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"
