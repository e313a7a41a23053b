"""Means over seeds, with the interval that says how far to trust them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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


def mean_interval(values: Sequence[float] | Tensor, *, confidence: float = 0.95) -> Interval:
    """Return the mean over independent runs and its interval by Student's t.

    `values` holds one number for each seed, at least two.
    Raises `ValueError` for fewer, for values that are not finite, and for a confidence outside
    0 … 1.

    >>> print(mean_interval([0.80, 0.82, 0.81]))
    0.810 ± 0.025
    """
    numbers = torch.as_tensor(values, dtype=torch.float64)
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
    first: Sequence[float], second: Sequence[float], *, confidence: float = 0.95
) -> Interval:
    """Return the interval of `first − second`, run by run; pairs share a seed.

    Raises `ValueError` for lengths that differ, and the errors of `mean_interval`.

    >>> paired_difference([0.9, 0.8, 0.7], [0.8, 0.7, 0.61]).excludes_zero
    True
    """
    if len(first) != len(second):
        raise ValueError(
            f"paired runs must be as many on both sides; received {len(first)} and {len(second)}. "
            "Use the same seeds for both."
        )
    pairs = [a - b for a, b in zip(first, second, strict=True)]
    return mean_interval(pairs, confidence=confidence)
