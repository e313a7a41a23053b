"""Optimisers and schedules by name, or built by the caller."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import nn
from torch.optim import Optimizer

T = TypeVar("T")
OptimizerFactory = Callable[[Iterable[nn.Parameter], float], Optimizer]
Schedule = Callable[[int, int], float]
"""From (step, total steps) to the factor that multiplies the learning rate."""


def sgd(parameters: Iterable[nn.Parameter], lr: float) -> Optimizer:
    """Return SGD with Nesterov momentum 0.9 and weight decay 5e-4."""
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4)


def adam(parameters: Iterable[nn.Parameter], lr: float) -> Optimizer:
    """Return Adam with PyTorch's defaults."""
    return torch.optim.Adam(parameters, lr=lr)


def adamw(parameters: Iterable[nn.Parameter], lr: float) -> Optimizer:
    """Return AdamW with PyTorch's defaults (weight decay 0.01)."""
    return torch.optim.AdamW(parameters, lr=lr)


def constant(step: int, total: int) -> float:
    """Keep the rate."""
    return 1.0


def cosine(step: int, total: int) -> float:
    """Fall along half a cosine from 1 to 0.

    >>> [round(cosine(step, 4), 2) for step in range(5)]
    [1.0, 0.85, 0.5, 0.15, 0.0]
    """
    return 0.5 * (1 + math.cos(math.pi * step / total))


def one_cycle(step: int, total: int, *, warm_up: float = 0.3) -> float:
    """Rise linearly for the first 30 % of the steps, then fall along half a cosine.

    Source of the shape: Smith and Topin, "Super-Convergence", 2019.

    >>> [round(one_cycle(step, 10), 2) for step in (0, 2, 3, 10)]
    [0.25, 0.75, 1.0, 0.0]
    """
    rising = max(1, round(total * warm_up))
    if step < rising:
        return (step + 1) / (rising + 1)
    return cosine(step - rising, max(1, total - rising))


OPTIMIZERS: dict[str, OptimizerFactory] = {"adamw": adamw, "adam": adam, "sgd": sgd}
SCHEDULES: dict[str, Schedule] = {"one-cycle": one_cycle, "cosine": cosine, "constant": constant}


def optimizer_factory(chosen: str | OptimizerFactory) -> OptimizerFactory:
    """Return the factory of that name, or the factory given."""
    return _chosen(chosen, OPTIMIZERS, "optimizer", "a function of (parameters, lr)")


def schedule_function(chosen: str | Schedule) -> Schedule:
    """Return the schedule of that name, or the function given."""
    return _chosen(chosen, SCHEDULES, "schedule", "a function of (step, total) to a factor")


def _chosen(chosen: str | T, table: dict[str, T], what: str, otherwise: str) -> T:
    if isinstance(chosen, str):
        if chosen not in table:
            raise ValueError(
                f"{what} must be one of {', '.join(table)}, or {otherwise}; received {chosen!r}."
            )
        return table[chosen]
    if not callable(chosen):
        raise TypeError(
            f"{what} must be one of {', '.join(table)}, or {otherwise}; received "
            f"{type(chosen).__name__}."
        )
    return chosen
