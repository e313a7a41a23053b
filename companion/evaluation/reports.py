"""What a classifier got right, by class and by name."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from companion.inputs import ClassName, arrays_equal

if TYPE_CHECKING:  # Matplotlib takes a second to import, and few reports are drawn
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Report:
    """What a classifier got right on one set, in all the ways that the book compares.

    Shares lie in 0 … 1 and are NaN where there is nothing to count. `recall` has the classes
    that occur in the data; `confusion` counts images, (classes of the data, classes of the head),
    in the orders of `classes` and `head_classes`; `candidates` are the classes among which the
    argmax was taken; `predicted` has a name for every image and `correct` whether it is the
    right one, in order. Images without a label (−100) are in `predicted` alone. Reports are equal
    where all their numbers are.
    """

    accuracy: float
    balanced_accuracy: float
    recall: dict[ClassName, float] = field(repr=False)
    seen_accuracy: float
    unseen_accuracy: float
    harmonic_mean: float
    seen_share: float
    candidates: tuple[ClassName, ...] = field(repr=False)
    confusion: Tensor = field(repr=False)
    predicted: list[ClassName] = field(repr=False)
    classes: tuple[ClassName, ...] = field(repr=False)
    head_classes: tuple[ClassName, ...] = field(repr=False)
    correct: Tensor = field(repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Report) and arrays_equal(vars(self), vars(other))

    def __hash__(self) -> int:
        # NaN has a hash for each object, so the counts stand for the shares.
        return hash((self.candidates, tuple(self.predicted), str(self.confusion.tolist())))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the confusion as a heat map, each row as shares of its class; return the axes.

        Rows are the classes of the data, columns those of the head, in their orders. Up to twelve
        classes the cells bear the counts; a class without images has an empty row.

        >>> import torch
        >>> from companion.evaluation.scoring import report
        >>> found = report(torch.eye(2), [0, 1], classes=["cat", "dog"])
        >>> [label.get_text() for label in found.plot().get_yticklabels()]
        ['cat', 'dog']
        """
        from companion.evaluation.heat_maps import draw_confusion

        return draw_confusion(self.confusion, self.classes, self.head_classes, ax)


def mean(values: Tensor) -> float:
    """Return the mean, NaN of nothing.

    >>> import torch
    >>> mean(torch.tensor([True, False])), mean(torch.tensor([]))
    (0.5, nan)
    """
    return values.double().mean().item() if len(values) else math.nan


def harmonic_mean(first: float, second: float) -> float:
    """Return the harmonic mean of two shares, 0 where both are, NaN where one is.

    >>> harmonic_mean(0.5, 1.0), harmonic_mean(0.0, 0.0)
    (0.6666666666666666, 0.0)
    """
    if math.isnan(first) or math.isnan(second):
        return math.nan
    return 2 * first * second / (first + second) if first + second else 0.0
