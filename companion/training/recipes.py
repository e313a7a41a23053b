"""Optimisers by name, or built by the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import nn
from torch.optim import Optimizer

T = TypeVar("T")
OptimizerFactory = Callable[[Iterable[nn.Parameter], float], Optimizer]


def sgd(parameters: Iterable[nn.Parameter], lr: float) -> Optimizer:
    """Return SGD with Nesterov momentum 0.9 and weight decay 5e-4."""
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4)


def adam(parameters: Iterable[nn.Parameter], lr: float) -> Optimizer:
    """Return Adam with PyTorch's defaults."""
    return torch.optim.Adam(parameters, lr=lr)


def adamw(parameters: Iterable[nn.Parameter], lr: float) -> Optimizer:
    """Return AdamW with PyTorch's defaults (weight decay 0.01)."""
    return torch.optim.AdamW(parameters, lr=lr)


OPTIMIZERS: dict[str, OptimizerFactory] = {"adamw": adamw, "adam": adam, "sgd": sgd}


def optimizer_factory(chosen: str | OptimizerFactory) -> OptimizerFactory:
    """Return the factory of that name, or the factory given: a function of (parameters, lr).

    Torch's own classes are such functions. Raises `ValueError` for an unknown name, `TypeError`
    for an optimiser that is made already and for what is no function.

    >>> optimizer_factory(torch.optim.SGD)([nn.Parameter(torch.zeros(1))], 0.1).defaults["lr"]
    0.1
    """
    if isinstance(chosen, Optimizer):
        raise TypeError(
            "an optimiser is made when the model is on its device; received a "
            f"{type(chosen).__name__} that is made already. Pass a function that makes it: "
            f"lambda parameters, lr: {type(chosen).__name__}(parameters, lr=lr)."
        )
    return chosen_from(chosen, OPTIMIZERS, "optimizer", "a function of (parameters, lr)")


def chosen_from(chosen: str | T, table: dict[str, T], what: str, otherwise: str) -> T:
    """Return what a table has under a name, or the function given in its place."""
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
