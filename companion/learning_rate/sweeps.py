"""Accuracy against learning rate, over seeds."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from companion.datasets import LabelledImages
from companion.evaluation import mean_interval, predict
from companion.inputs import IGNORE_INDEX, arrays_equal, distinct
from companion.learning_rate.figures import logarithmic_axes, mark
from companion.replicas import fit_replicas
from companion.states import own_randomness
from companion.training import NonFiniteLossError, check_data, fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Sweep:
    """Accuracy on validation after training, by learning rate and seed.

    `accuracy` (rates, seeds) float64; a network that diverged counts with the accuracy of
    guessing, 1 / classes, and is marked in `diverged`. `train_loss` is that of the last epoch,
    NaN where it diverged. Two are equal that hold the same numbers.
    """

    lrs: tuple[float, ...]
    seeds: tuple[int, ...]
    accuracy: Tensor = field(repr=False)
    train_loss: Tensor = field(repr=False)
    diverged: Tensor = field(repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sweep) and arrays_equal(vars(self), vars(other))

    @property
    def best(self) -> float:
        """The rate with the best mean accuracy."""
        return self.lrs[int(self.accuracy.mean(1).argmax())]

    @property
    def best_of_each_seed(self) -> list[float]:
        """The best rate for each seed alone: how far one run's choice may lie from the mean's."""
        return [self.lrs[int(index)] for index in self.accuracy.argmax(0)]

    def plateau(self, margin: float = 0.01) -> tuple[float, float]:
        """Return the lowest and highest rate around the best whose means lie within `margin` of it.

        Rates beyond a gap, where a mean falls lower, do not belong to it.
        """
        means = self.accuracy.mean(1).tolist()
        top = self.lrs.index(self.best)
        first = last = top
        while first > 0 and means[first - 1] >= means[top] - margin:
            first -= 1
        while last < len(means) - 1 and means[last + 1] >= means[top] - margin:
            last += 1
        return self.lrs[first], self.lrs[last]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw each seed's accuracy thin, the mean bold in its 95 % interval, and mark the best.

        A cross is a network that diverged. Draws on `ax`, on a new figure's axes where none is
        given, and returns the axes.

        >>> rates = torch.tensor([[0.1, 0.2], [0.8, 0.9]], dtype=torch.float64)
        >>> Sweep((1e-3, 1e-2), (0, 1), rates, rates, rates < 0).plot().get_ylabel()
        'validation accuracy'
        """
        import seaborn as sns

        ax, colours = logarithmic_axes(ax, "validation accuracy")
        table = self.accuracy.numpy()
        for column, run in enumerate(table.T):
            sns.lineplot(x=self.lrs, y=run, color=colours[7], linewidth=0.8, alpha=0.7, ax=ax)
            gone = self.diverged[:, column].numpy()
            rates = np.array(self.lrs)[gone]
            ax.plot(rates, run[gone], "x", color=colours[3], markersize=6)
        sns.lineplot(x=self.lrs, y=table.mean(1), color=colours[0], linewidth=2, ax=ax)
        if len(self.seeds) > 1:
            bands = [mean_interval(row) for row in table.tolist()]
            lows, highs = [band.low for band in bands], [band.high for band in bands]
            ax.fill_between(self.lrs, lows, highs, color=colours[0], alpha=0.25, linewidth=0)
        mark(ax, self.best, "best")
        return ax


def sweep(
    build: Callable[[int], nn.Module],
    train: Any,
    validation: Any,
    *,
    lrs: Iterable[float],
    seeds: Iterable[int],
    **options: Any,
) -> Sweep:
    """Train a network for each rate and seed; return their accuracies on validation.

    Two `LabelledImages` are trained on by `fit_replicas`, all networks at once; pairs of tensors
    and loaders by `fit`, one network after the other. `options` are theirs: epochs, optimizer,
    schedule, batch_size, … Accuracy is that of the last epoch: choosing the best would favour
    rates that are unstable.

    Raises `ValueError` for rates that are not positive, finite and ascending, and the errors of
    `fit_replicas` or `fit`.

    >>> from companion import digits, mlp
    >>> parts = digits().split([0.7, 0.3], seed=0)
    >>> build = lambda seed: mlp(10, inputs=64, hidden=(16,), seed=seed)
    >>> found = sweep(build, *parts, lrs=[1e-4, 1e-2], seeds=range(3), epochs=3)
    >>> found.best, found.accuracy.shape
    (0.01, torch.Size([2, 3]))
    """
    rates = ascending_rates(lrs)
    if not (isinstance(train, LabelledImages) and isinstance(validation, LabelledImages)):
        return _one_by_one(build, train, validation, rates, seeds, options)
    trained = fit_replicas(build, train, lrs=rates, seeds=seeds, **options)
    reached = trained.accuracy(validation)
    chance = 1 / len(train.classes)
    return Sweep(
        trained.lrs,
        trained.seeds,
        reached.nan_to_num(nan=chance),
        trained.train_loss[:, :, -1].where(~trained.diverged, torch.nan),
        trained.diverged,
    )


def _one_by_one(
    build: Callable[[int], nn.Module],
    train: Any,
    validation: Any,
    rates: list[float],
    seeds: Iterable[int],
    options: dict[str, Any],
) -> Sweep:
    inputs, asked = options.get("inputs"), options.get("labels")
    check_data(train, validation, selectors={"inputs": inputs, "labels": asked})
    names = distinct(seeds, "seed", "range(5)")
    accuracy = torch.full((len(rates), len(names)), torch.nan, dtype=torch.float64)
    losses, classes = accuracy.clone(), 0
    for row, lr in enumerate(rates):
        for column, seed in enumerate(names):
            with own_randomness(seed):
                model = build(seed)
            with contextlib.suppress(NonFiniteLossError):
                history = fit(model, train, lr=lr, seed=seed, **options)
                logits, labels = predict(
                    model, validation, inputs=inputs, labels=asked, with_labels=True
                )
                right = (logits.argmax(1) == labels)[labels != IGNORE_INDEX]
                accuracy[row, column] = right.double().mean()
                losses[row, column] = history.epochs[-1].train_loss
                classes = logits.shape[1]
    diverged = losses.isnan()
    # Where all have diverged, nobody has said how many classes there are.
    chance = 1 / classes if classes else 0.0
    return Sweep(tuple(rates), tuple(names), accuracy.nan_to_num(nan=chance), losses, diverged)


def ascending_rates(lrs: Iterable[float]) -> list[float]:
    """Return the rates; raise `ValueError` where they are no ascending row of positive numbers."""
    rates = [float(lr) for lr in lrs]
    positive = all(0 < lr < math.inf for lr in rates)
    if not rates or not positive or any(b <= a for a, b in pairwise(rates)):
        raise ValueError(
            "learning rates must be positive, finite and ascending, as they are an axis; received "
            f"{rates}. Try torch.logspace(-4, 0, 17).tolist()."
        )
    return rates
