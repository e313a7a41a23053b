"""What a sampler really draws, and what it can be expected to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from companion.labels import IGNORE_INDEX
from companion.sampling.reading import labels_of
from companion.sampling.weights import checked_weights, class_counts


@dataclass(frozen=True)
class Draw:
    """What a sampler drew: for each class its share of the draws and how much of it was seen.

    `shares` and `coverage` are (classes,) float64, averages over the epochs looked at; coverage
    is the share of a class's images that an epoch draws at least once, NaN for a class without
    images. `problems` says in sentences what no intended sampler does.
    """

    shares: Tensor
    coverage: Tensor
    positions: Tensor = field(repr=False)
    problems: tuple[str, ...]

    def weighted_by(self, weights: Tensor) -> Tensor:
        """Return each class's share of the loss when the draws are weighted as well.

        Two corrections multiply: a balanced draw with inverse weights turns the imbalance round.

        >>> draw = audit_sampler([0, 1, 2, 3], [0, 0, 0, 1])
        >>> draw.weighted_by(torch.tensor([1.0, 3.0]))
        tensor([0.5000, 0.5000], dtype=torch.float64)
        """
        row = checked_weights(weights).double()
        if len(row) != len(self.shares):
            raise ValueError(
                f"one weight for each of the {len(self.shares)} classes is needed; received "
                f"{len(row)}. Take class_weights(labels)."
            )
        return row * self.shares / (row * self.shares).sum()


def audit_sampler(
    sampler: Iterable[int], labels: Any, *, num_classes: int | None = None, epochs: int = 2
) -> Draw:
    """Iterate over a sampler for some epochs, and report what it draws.

    `labels` is the data set that the positions are for, or its labels (`labels_of`). It finds
    class weights passed as sample weights, a sampler made for other data, a class that never
    comes up, and an epoch that repeats the one before.

    Mutated: the sampler's own random state, as by any iteration. Raises `ValueError` for a
    sampler that draws nothing or fewer than one epoch, and the errors of `class_counts`.

    >>> labels = torch.tensor([0] * 50 + [1] * 50)
    >>> wrong = torch.utils.data.WeightedRandomSampler([1.0, 1.0], 100)
    >>> print(*audit_sampler(wrong, labels).problems, sep="; ")
    only the first 2 of 100 positions are drawn, as by class weights in place of sample weights
    """
    found = labels_of(labels)
    counts = class_counts(labels, num_classes=num_classes)
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1; received {epochs}.")
    drawn = [torch.as_tensor(list(sampler), dtype=torch.int64) for _ in range(epochs)]
    if not all(len(rows) for rows in drawn):
        raise ValueError(
            "the sampler must draw something in each epoch; received none. An iterator ends after "
            "one epoch: pass the sampler itself."
        )
    inside = [rows[(rows >= 0) & (rows < len(found))] for rows in drawn]
    shares, coverage = torch.zeros(len(counts)).double(), torch.zeros(len(counts)).double()
    for every, rows in zip(drawn, inside, strict=True):
        shares += _count(found[rows], len(counts)) / len(every) / epochs
        coverage += _count(found[rows.unique()], len(counts)) / counts / epochs
    everything = torch.cat(drawn)
    return Draw(shares, coverage, everything, _problems(drawn, counts, shares, len(found)))


def _count(labels: Tensor, width: int) -> Tensor:
    return torch.bincount(labels[labels != IGNORE_INDEX], minlength=width).double()


def _problems(drawn: list[Tensor], counts: Tensor, shares: Tensor, items: int) -> tuple[str, ...]:
    rows = torch.cat(drawn)
    problems = []
    beyond = int(((rows < 0) | (rows >= items)).sum())
    if beyond:
        problems.append(
            f"{beyond} of {len(rows)} positions lie outside the {items} images, as by a sampler "
            "made for other data"
        )
    if len(counts) < items and int(rows.max()) < len(counts) and len(rows) > len(counts):
        problems.append(
            f"only the first {len(counts)} of {items} positions are drawn, as by class weights in "
            "place of sample weights"
        )
    never = ((shares == 0) & (counts > 0)).nonzero().flatten().tolist()
    if never and not problems:
        problems.append(f"classes {never} have images and are never drawn")
    in_order = torch.equal(drawn[0].sort().values, drawn[0])
    if not in_order and any(torch.equal(a, b) for a, b in pairwise(drawn)):
        problems.append("an epoch repeats the one before, draw by draw; its seed does not advance")
    return tuple(problems)


def expected_coverage(labels: Any, *, draws: int | None = None) -> Tensor:
    """Return the share of each class's images that a balanced epoch is expected to see, (classes,).

    A class of n images among K classes with images is drawn with chance 1/K, each of its images
    with 1/(K·n); after D draws an image has come up with chance 1 − (1 − 1/(K·n))^D. `draws` is D,
    by default the number of images. NaN for a class without images.

    >>> expected_coverage([0] * 990 + [1] * 10)
    tensor([0.3966, 1.0000], dtype=torch.float64)
    """
    counts = class_counts(labels).double()
    present = int((counts > 0).sum())
    total = len(labels_of(labels)) if draws is None else draws
    return torch.where(counts > 0, 1 - (1 - 1 / (present * counts)) ** total, torch.nan)
