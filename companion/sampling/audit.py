"""What a sampler really draws, and what it can be expected to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from companion.findings import Finding, by_severity
from companion.inputs import IGNORE_INDEX, arrays_equal, whole_number
from companion.sampling.correction import corrected_twice, fitted_prior
from companion.sampling.mistakes import mistakes
from companion.sampling.reading import labels_of
from companion.sampling.rows import checked_weights
from companion.sampling.weights import class_counts


@dataclass(frozen=True, eq=False)
class Draw:
    """What a sampler drew: for each class its share of the draws and how much of it was seen.

    `shares` and `coverage` are (classes,) float64, averages over the epochs looked at; coverage
    is the share of a class's images that an epoch draws at least once, NaN for a class without
    images. `findings` says what no intended sampler does, `problems` the same in sentences.
    Draws are equal whose numbers and findings are.
    """

    shares: Tensor
    coverage: Tensor
    positions: Tensor = field(repr=False)
    findings: tuple[Finding, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Draw) and arrays_equal(vars(self), vars(other))

    def __hash__(self) -> int:
        return hash((len(self.shares), len(self.positions), self.findings))

    @property
    def problems(self) -> tuple[str, ...]:
        """What was seen in each of the findings."""
        return tuple(finding.seen for finding in self.findings)

    def weighted_by(self, weights: Any) -> Tensor:
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

    def fitted_prior(self, loss: Any) -> Tensor:
        """Return the shares that the classes have for a network trained on this with a loss.

        As `weighted_by`, for any loss that `double_correction` knows, `LogitAdjustedLoss` among
        them. Equal shares are one full correction. Raises `ValueError` for another number of
        classes.

        >>> draw = audit_sampler([0, 1, 2, 3], [0, 0, 0, 1])
        >>> draw.fitted_prior(torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0])))
        tensor([0.5000, 0.5000], dtype=torch.float64)
        """
        return fitted_prior(self.shares, loss)


def audit_sampler(
    sampler: Iterable[Any],
    labels: Any = None,
    *,
    num_classes: int | None = None,
    epochs: int = 2,
    loss: Any = None,
) -> Draw:
    """Iterate over a sampler for some epochs, and report what it draws.

    `sampler` gives positions, or batches of them, or is a `DataLoader`, whose own sampler is
    looked at and whose images are not loaded. `labels` is the data set that the positions are
    for, or its labels (`labels_of`); a loader has it. With the `loss` that is trained with, a
    correction in both is found as well.

    Findings: positions outside the data (SMP101), class weights passed as sample weights
    (SMP102), a class that never comes up (SMP103), an epoch that repeats the one before (SMP104),
    two corrections (SMP105), a sampler made for another number of images (SMP106), a
    `DistributedSampler` around a sampler (SMP107).

    Mutated: the sampler's own random state, as by any iteration. Raises `TypeError` where labels
    are missing and for a sampler of anything but whole numbers, `ValueError` for one that draws
    nothing and for fewer than one epoch, and the errors of `class_counts`.

    >>> labels = torch.tensor([0] * 50 + [1] * 50)
    >>> wrong = torch.utils.data.WeightedRandomSampler([1.0, 1.0], 100)
    >>> print(*audit_sampler(wrong, labels).findings, sep="; ")
    SMP102 error: only the first 2 of 100 positions are drawn, as by class weights in place of \
sample weights
    """
    whole_number(epochs, "epochs")
    data = sampler.dataset if labels is None and isinstance(sampler, DataLoader) else labels
    if data is None:
        raise TypeError(
            "labels say what the positions are of; received none. Pass the data set that they are "
            "for, or its labels, or a DataLoader, which has it."
        )
    found, counts = labels_of(data), class_counts(data, num_classes=num_classes)
    drawn = _drawn(sampler, epochs)
    inside = [rows[(rows >= 0) & (rows < len(found))] for rows in drawn]
    shares, coverage = torch.zeros(len(counts)).double(), torch.zeros(len(counts)).double()
    for every, rows in zip(drawn, inside, strict=True):
        shares += _count(found[rows], len(counts)) / len(every) / epochs
        coverage += _count(found[rows.unique()], len(counts)) / counts / epochs
    findings = mistakes(sampler, drawn, counts, shares, len(found))
    if not any(finding.severity == "error" for finding in findings):
        twice = corrected_twice(counts, shares, loss)
        findings = (*findings, twice) if twice else findings
    return Draw(shares, coverage, torch.cat(drawn), by_severity(findings))


def _drawn(sampler: Any, epochs: int) -> list[Tensor]:
    """Return the positions of each epoch, those of batches one after the other."""
    source = sampler
    if isinstance(sampler, DataLoader):
        source = sampler.sampler if sampler.batch_sampler is None else sampler.batch_sampler
    drawn = []
    for _ in range(epochs):
        each = list(source)
        if each and not isinstance(each[0], int):
            each = [row for part in each for row in torch.as_tensor(part).flatten().tolist()]
        rows = torch.as_tensor(each)
        if each and (rows.is_floating_point() or rows.dtype == torch.bool):
            raise TypeError(
                f"a sampler gives positions, whole numbers; received {rows.dtype}. Take the "
                "positions of a mask: mask.nonzero().flatten()."
            )
        drawn.append(rows.long())
    if not all(len(rows) for rows in drawn):
        raise ValueError(
            "the sampler must draw something in each epoch; received none. An iterator ends after "
            "one epoch: pass the sampler itself."
        )
    return drawn


def _count(labels: Tensor, width: int) -> Tensor:
    return torch.bincount(labels[labels != IGNORE_INDEX], minlength=width).double()


def expected_coverage(labels: Any, *, draws: int | None = None) -> Tensor:
    """Return the share of each class's images that a balanced epoch is expected to see, (classes,).

    A class of n images among K classes with images is drawn with chance 1/K, each of its images
    with 1/(K·n); after D draws an image has come up with chance 1 − (1 − 1/(K·n))^D. `draws` is D,
    by default the number of images. NaN for a class without images.

    Raises `TypeError` and `ValueError` for draws that are no whole number of at least 1.

    >>> expected_coverage([0] * 990 + [1] * 10)
    tensor([0.3966, 1.0000], dtype=torch.float64)
    """
    total = len(labels_of(labels)) if draws is None else whole_number(draws, "draws")
    counts = class_counts(labels).double()
    present = int((counts > 0).sum())
    return torch.where(counts > 0, 1 - (1 - 1 / (present * counts)) ** total, torch.nan)
