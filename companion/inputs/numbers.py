"""Numbers as people pass them: counts, rates, seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
import torch

from companion.inputs.names import plain

Value = TypeVar("Value")


def whole_number(value: Any, name: str, *, least: int = 1, advice: str = "") -> int:
    """Return a whole number of at least `least`, NumPy's and PyTorch's scalars included.

    Raises `TypeError` for what is no whole number, a boolean among it, `ValueError` for one below.

    >>> whole_number(np.int64(3), "epochs")
    3
    >>> whole_number(0, "epochs", advice="Try 10.")
    Traceback (most recent call last):
    ValueError: epochs must be a whole number of at least 1; received 0. Try 10.
    """
    found = plain(value)
    if type(found) is not int or found < least:
        raise (ValueError if type(found) is int else TypeError)(
            f"{name} must be a whole number of at least {least}; received {value!r}. "
            f"{advice}".rstrip()
        )
    return found


def positive_number(value: Any, name: str, *, advice: str = "") -> float:
    """Return a positive finite number as a float.

    Raises `TypeError` for what is no number, `ValueError` for one that is not positive and finite.

    >>> positive_number(np.float32(0.5), "lr")
    0.5
    """
    found = plain(value)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise TypeError(f"{name} must be a number; received {value!r}. {advice}".rstrip())
    if not 0 < found < math.inf:
        raise ValueError(f"{name} must be positive and finite; received {found}. {advice}".rstrip())
    return float(found)


def distinct(values: Iterable[Value], what: str, example: str) -> list[Value]:
    """Return the values, plain, as a list; `example` shows what to pass.

    A repeated run would narrow an interval without adding evidence.
    Raises `TypeError` for a single value, a string among it, and for rows of values, `ValueError`
    for none and for one that occurs twice.

    >>> distinct(np.arange(3), "seed", "range(5)")
    [0, 1, 2]
    """
    alone = isinstance(values, str | bytes) or not isinstance(values, Iterable)
    if alone or getattr(values, "ndim", 1) == 0:
        raise TypeError(f"each {what} stands in a sequence; received {values!r}. Pass {example}.")
    listed = [plain(value) for value in values]
    if not listed:
        raise ValueError(f"at least one {what} is needed; received none. Pass {example}.")
    rows = [value for value in listed if isinstance(value, list | dict | np.ndarray | torch.Tensor)]
    if rows:
        raise TypeError(f"each {what} is a single value; received {rows[0]!r}. Pass {example}.")
    if len(set(listed)) < len(listed):
        raise ValueError(f"each {what} may occur once; received {listed}. Leave out what repeats.")
    return listed


def refuse_without_values(found: Any, what: str) -> None:
    """Raise `TypeError` for a tensor on the meta device, of which nothing is known but its shape.

    >>> refuse_without_values(torch.zeros(2), "labels")
    """
    if isinstance(found, torch.Tensor) and found.is_meta:
        raise TypeError(
            f"{what} must have values; received a tensor of shape {tuple(found.shape)} on the meta "
            "device, which has none. Load or compute them on a device that holds numbers."
        )


def arrays_equal(first: Any, second: Any) -> bool:
    """Return whether two values are equal, tensors and arrays by their contents, NaN like NaN.

    It is what `==` of a result that holds tensors means; Python's own would raise.

    >>> arrays_equal({"a": np.array([1.0, np.nan])}, {"a": np.array([1.0, np.nan])})
    True
    """
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(
            arrays_equal(first[key], second[key]) for key in first
        )
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(arrays_equal, first, second))
    if hasattr(first, "shape") and hasattr(second, "shape"):
        one, other = _as_array(first), _as_array(second)
        nan_alike = one.dtype.kind in "fc" and other.dtype.kind in "fc"
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=nan_alike)
    if isinstance(first, float) and isinstance(second, float) and math.isnan(first):
        return math.isnan(second)
    return type(first) is type(second) and bool(first == second)


def _as_array(values: Any) -> np.ndarray:
    if not isinstance(values, torch.Tensor):
        return np.asarray(values)
    found = values.detach().cpu()  # NumPy knows neither gradients nor other devices, nor bfloat16
    return (found.view(torch.int16) if found.dtype == torch.bfloat16 else found).numpy()
