"""Means over seeds, with the interval that says how far to trust them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor


@dataclass(frozen=True)
class Interval:
    """A mean over runs and the interval that holds the true mean with the stated confidence."""

    mean: float
    low: float
    high: float
    runs: int

    @property
    def margin(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval leaves out zero: for a difference, that it is one."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.margin:.3f}"


def mean_interval(
    values: Iterable[float] | Tensor | np.ndarray, *, confidence: float = 0.95
) -> Interval:
    """Return the mean over independent runs and its interval by Student's t.

    `values` holds one number for each seed, at least two: a sequence, an array or a tensor.
    Raises `ValueError` for fewer, for values that are not finite, and for a confidence outside
    0 … 1; `TypeError` for what are no numbers.

    >>> print(mean_interval([0.80, 0.82, 0.81]))
    0.810 ± 0.025
    """
    numbers = _numbers(values)
    if numbers.dim() != 1 or len(numbers) < 2:
        raise ValueError(
            "an interval needs values of two runs or more; received shape "
            f"{tuple(numbers.shape)}. Repeat the run with other seeds."
        )
    if not bool(torch.isfinite(numbers).all()):
        raise ValueError(
            f"an interval needs finite values; received {numbers.tolist()}. Find out which run "
            "failed before averaging."
        )
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1; received {confidence}. Use 0.95.")
    mean, runs = numbers.mean().item(), len(numbers)
    error = numbers.std().item() / math.sqrt(runs)
    half = error * float(stats.t.ppf((1 + confidence) / 2, runs - 1))
    return Interval(mean, mean - half, mean + half, runs)


def paired_difference(
    first: Iterable[float] | Tensor | np.ndarray,
    second: Iterable[float] | Tensor | np.ndarray,
    *,
    confidence: float = 0.95,
) -> Interval:
    """Return the interval of `first − second`, run by run; pairs share a seed.

    Both may be sequences, arrays or tensors, each of its kind. Raises `ValueError` for shapes
    that differ, and the errors of `mean_interval`.

    >>> paired_difference([0.9, 0.8, 0.7], np.array([0.8, 0.7, 0.61])).excludes_zero
    True
    """
    one, other = _numbers(first), _numbers(second)
    if one.shape != other.shape:
        shapes = [len(each) if each.dim() == 1 else tuple(each.shape) for each in (one, other)]
        raise ValueError(
            f"paired runs must be as many on both sides; received {shapes[0]} and {shapes[1]}. "
            "Use the same seeds for both."
        )
    return mean_interval(one - other, confidence=confidence)


def _numbers(values: Iterable[float] | Tensor | np.ndarray) -> Tensor:
    try:
        if isinstance(values, Tensor):
            return values.detach().cpu().to(torch.float64)
        if not isinstance(values, np.ndarray) and isinstance(values, Iterable):
            values = [float(each) if np.ndim(each) == 0 else each for each in values]
        return torch.tensor(np.array(values, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"an interval needs numbers, one for each run; received {values!r} ({error}). Pass "
            "the same measure of every run."
        ) from error
