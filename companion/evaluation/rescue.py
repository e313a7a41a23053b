"""Whether a bad score hides a good network behind a scrambled label map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from companion.inputs import arrays_equal


@dataclass(frozen=True, eq=False)
class Rescue:
    """What renaming the outputs, one to one, does to an accuracy, and what it does by chance.

    `raw` is the accuracy as it was, `rescued` that after renaming, on images that did not choose
    the renaming; `by_chance` holds `rescued` for shuffled labels, ascending. `assignment` gives
    the label that each output stands for, chosen on all images, −1 where none is left for it.
    """

    raw: float
    rescued: float
    by_chance: Tensor = field(repr=False)
    assignment: Tensor = field(repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rescue) and arrays_equal(vars(self), vars(other))

    def __hash__(self) -> int:
        return hash((self.raw, self.rescued, *self.assignment.tolist()))

    @property
    def p_value(self) -> float:
        """The share of shuffled runs that get as far, counting the one at hand."""
        reached = int((self.by_chance >= self.rescued).sum())
        return (reached + 1) / (len(self.by_chance) + 1)


def permutation_rescue(
    predicted: Tensor | np.ndarray | Sequence[int],
    labels: Tensor | np.ndarray | Sequence[int],
    *,
    outputs: int,
    classes: int,
    seed: int,
    draws: int = 200,
) -> Rescue:
    """Return how far renaming a head's outputs, one to one, would lift its accuracy.

    `predicted` (N,) are indices of `outputs`, `labels` (N,) indices of `classes`, as tensors,
    arrays or lists. The images are cut in two halves; the assignment that agrees most with one half
    (`scipy.optimize.linear_sum_assignment`) is scored on the other, and the other way round, so
    that a lucky assignment cannot praise itself. The same is done `draws` times with shuffled
    labels, which shows what luck is worth. All randomness comes from `seed`.

    Raises `TypeError` for anything but integers, `ValueError` for shapes that differ, fewer than
    two images, indices outside the ranges given, and no draws.

    >>> labels = torch.arange(40) % 4
    >>> scrambled = torch.tensor([2, 0, 3, 1])[labels]  # output 2 stands for class 0, and so on
    >>> found = permutation_rescue(scrambled, labels, outputs=4, classes=4, seed=0)
    >>> found.raw, found.rescued, found.assignment.tolist(), found.p_value < 0.01
    (0.0, 1.0, [1, 3, 0, 2], True)
    """
    given, wanted = _tensor(predicted), _tensor(labels)
    _check(given, wanted, outputs, classes, draws)
    generator = np.random.default_rng(seed)
    answers, truth = (each.cpu().to(torch.int64).numpy() for each in (given, wanted))
    order = generator.permutation(len(truth))
    halves = np.array_split(order, 2)

    def cross_fitted(truth: np.ndarray) -> float:
        right = 0
        for chosen_on, scored_on in (halves, halves[::-1]):
            names = _assigned(answers[chosen_on], truth[chosen_on], outputs, classes)
            right += int((names[answers[scored_on]] == truth[scored_on]).sum())
        return right / len(truth)

    by_chance = [cross_fitted(generator.permutation(truth)) for _ in range(draws)]
    return Rescue(
        raw=float((answers == truth).mean()),
        rescued=cross_fitted(truth),
        by_chance=torch.tensor(by_chance, dtype=torch.float64).sort().values,
        assignment=torch.from_numpy(_assigned(answers, truth, outputs, classes)),
    )


def _assigned(answers: np.ndarray, truth: np.ndarray, outputs: int, classes: int) -> np.ndarray:
    """Return the label for each output that makes the most images right, one to one."""
    table = np.bincount(answers * classes + truth, minlength=outputs * classes)
    rows, columns = linear_sum_assignment(table.reshape(outputs, classes), maximize=True)
    names = np.full(outputs, -1)
    names[rows] = columns
    return names


def _tensor(values: Any) -> Tensor:
    if isinstance(values, Tensor):
        return values
    found = np.asarray(values)
    # PyTorch takes neither every byte order nor arrays that may not be written to.
    return torch.tensor(found.astype(np.int64) if found.dtype.kind in "iu" else found)


def _check(predicted: Tensor, labels: Tensor, outputs: int, classes: int, draws: int) -> None:
    for name, values, bound in (("predicted", predicted, outputs), ("labels", labels, classes)):
        if values.is_floating_point() or values.dtype == torch.bool:
            raise TypeError(
                f"{name} must be integer indices; received {values.dtype}. Take logits.argmax(1)."
            )
        if values.dim() != 1 or values.shape != labels.shape or len(values) < 2:
            raise ValueError(
                "predicted and labels must both be (N,), two images or more; received "
                f"{tuple(predicted.shape)} and {tuple(labels.shape)}."
            )
        if not 0 <= int(values.min()) <= int(values.max()) < bound:
            raise ValueError(
                f"{name} must lie in 0 … {bound - 1}; received {int(values.min())} … "
                f"{int(values.max())}. Leave out images of classes that the data do not declare."
            )
    if draws < 1:
        raise ValueError(f"a null distribution needs a draw; received draws={draws}. Use 200.")
