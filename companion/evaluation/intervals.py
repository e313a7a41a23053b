"""Means over seeds, with the interval that says how far to trust them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from companion.inputs import brief


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
    mean, runs = numbers.mean().item(), len(numbers)
    error = numbers.std().item() / math.sqrt(runs)
    half = error * float(stats.t.ppf((1 + _checked(confidence)) / 2, runs - 1))
    return Interval(mean, mean - half, mean + half, runs)


def share_interval(
    hits: Iterable[bool] | Tensor | np.ndarray, *, confidence: float = 0.95
) -> Interval:
    """Return the share of independent cases that came out true, with Wilson's interval.

    `hits` holds one truth value for each case, at least one. The interval stays within 0 … 1 and
    does not shrink to a point where all cases came out alike. Raises `ValueError` for no cases, for
    values other than 0 and 1, and for a confidence outside 0 … 1.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference".

    >>> found = share_interval([True] * 19 + [False])
    >>> round(found.low, 3), round(found.mean, 3), round(found.high, 3)
    (0.764, 0.95, 0.991)
    """
    values = torch.as_tensor(hits if isinstance(hits, Tensor | np.ndarray) else [*hits])
    if values.dim() != 1 or not len(values) or not bool(((values == 0) | (values == 1)).all()):
        raise ValueError(
            f"a share needs one true or false for each case; received {brief(values.tolist())}. "
            "Compare answers with labels first."
        )
    count, cases = int(values.sum()), len(values)
    found = stats.binomtest(count, cases).proportion_ci(_checked(confidence), method="wilson")
    return Interval(count / cases, float(found.low), float(found.high), cases)


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
    one, other = _pairs(first, second)
    return mean_interval(one - other, confidence=confidence)


def paired_ratio(
    first: Iterable[float] | Tensor | np.ndarray,
    second: Iterable[float] | Tensor | np.ndarray,
    *,
    confidence: float = 0.95,
) -> Interval:
    """Return the interval of `first / second`, run by run: what is left of a healthy score.

    Both may be sequences, arrays or tensors, each of its kind; pairs share a seed. Raises
    `ValueError` for shapes that differ and for zeros in `second`, and the errors of
    `mean_interval`.

    >>> print(paired_ratio([0.4, 0.44, 0.38], [0.8, 0.88, 0.76]))
    0.500 ± 0.000
    """
    one, other = _pairs(first, second)
    if bool((other == 0).any()):
        raise ValueError(
            f"a ratio needs a second value that is not 0; received {other.tolist()}. State the "
            "difference instead: paired_difference."
        )
    return mean_interval(one / other, confidence=confidence)


def crossed_interval(
    outcomes: Iterable[Iterable[float]] | Iterable[Tensor] | Tensor | np.ndarray,
    baseline: Iterable[Iterable[float]] | Iterable[Tensor] | Tensor | np.ndarray | None = None,
    *,
    confidence: float = 0.95,
) -> Interval:
    """Return a mean over runs and test images with the interval that both of them leave open.

    `outcomes` holds a row for each run and a column for each image of one test set, such as
    `[report.correct for report in reports]`; with a `baseline` of the same shape the mean is of
    the difference, run by run and image by image. An interval over seeds alone speaks of these
    very images; this one of others drawn like them as well. The error is the root of the sum of
    both variances, those of the rows' means and of the columns' means, which is a little too wide
    rather than too narrow (Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1,
    2007), with the degrees of freedom of Satterthwaite, and never narrower than the interval
    over either alone. It takes images to be drawn independently.

    Raises `ValueError` for fewer than two rows or columns, shapes that differ, and values that
    are not finite; `TypeError` for what are no numbers.

    >>> hits = [[1, 1, 0, 1], [1, 1, 0, 0], [1, 0, 0, 1]]
    >>> print(mean_interval([0.75, 0.5, 0.5]), "over runs;", crossed_interval(hits), "over both")
    0.583 ± 0.359 over runs; 0.583 ± 0.667 over both
    """
    table = _table(outcomes)
    if baseline is not None:
        other = _table(baseline)
        if other.shape != table.shape:
            raise ValueError(
                "outcomes and baseline must be of the same runs and images; received shapes "
                f"{tuple(table.shape)} and {tuple(other.shape)}. Use the same seeds and test set."
            )
        table = table - other
    if not bool(torch.isfinite(table).all()):
        raise ValueError("an interval needs finite values; received some that are not.")
    sources = [(table.mean(1 - along).var() / table.shape[along]).item() for along in (0, 1)]
    error = math.sqrt(sum(sources))
    # Satterthwaite: a sum of variances is known as well as its parts, weighted by their squares.
    doubt = sum(v**2 / (count - 1) for v, count in zip(sources, table.shape, strict=True))
    freedom = sum(sources) ** 2 / doubt if doubt else 1.0
    half = error * float(stats.t.ppf((1 + _checked(confidence)) / 2, freedom))
    alone = [mean_interval(table.mean(1 - k), confidence=confidence).margin for k in (0, 1)]
    mean, half = table.mean().item(), max(half, *alone)
    return Interval(mean, mean - half, mean + half, len(table))


def _table(rows: Iterable[Iterable[float]] | Iterable[Tensor] | Tensor | np.ndarray) -> Tensor:
    if not isinstance(rows, Tensor | np.ndarray):
        listed = [_numbers(row) for row in rows]
        if len({tuple(row.shape) for row in listed}) > 1:
            raise ValueError(
                "every run must have the same images; received rows of the lengths "
                f"{sorted({len(row) for row in listed})}. Report on one test set."
            )
        rows = torch.stack(listed) if listed else torch.empty(0, 0)
    table = _numbers(rows)
    if table.dim() != 2 or min(table.shape) < 2:
        raise ValueError(
            "outcomes must be (runs, images), at least two of each; received shape "
            f"{tuple(table.shape)}. For one number a run, use mean_interval."
        )
    return table


def _pairs(
    first: Iterable[float] | Tensor | np.ndarray, second: Iterable[float] | Tensor | np.ndarray
) -> tuple[Tensor, Tensor]:
    one, other = _numbers(first), _numbers(second)
    if one.shape != other.shape:
        shapes = [len(each) if each.dim() == 1 else tuple(each.shape) for each in (one, other)]
        raise ValueError(
            f"paired runs must be as many on both sides; received {shapes[0]} and {shapes[1]}. "
            "Use the same seeds for both."
        )
    return one, other


def _checked(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1; received {confidence}. Use 0.95.")
    return confidence


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
