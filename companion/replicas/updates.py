"""Optimiser steps for stacked weights: PyTorch's own rules, with a learning rate for each row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from companion.training.recipes import OptimizerFactory

UNSUPPORTED = ("amsgrad", "maximize", "dampening")


Update = Callable[[Tensor, Tensor, Tensor], None]
"""One step: changes weights (R, P) in place, by gradients (R, P) and learning rates (R, 1)."""


def update_like(factory: OptimizerFactory, lrs: Sequence[float]) -> tuple[Update, list[float]]:
    """Return the stacked form of the optimiser that a factory makes, and its own rate for each lr.

    Settings and rates are read from optimisers of one dummy parameter, so that they stand in one
    place. Raises `ValueError` for optimisers other than SGD, Adam and AdamW, for settings that
    the stacked form lacks, and for settings that depend on lr.
    """
    made, *others = [factory([nn.Parameter(torch.zeros(1))], lr) for lr in lrs]
    settings = _settings(made)
    rules: dict[type, type[_Momentum] | type[_Moments]] = {SGD: _Momentum, Adam: _Moments}
    rule = rules.get(type(made)) or (_Moments if type(made) is AdamW else None)
    unsupported = [name for name in UNSUPPORTED if settings.get(name)]
    if rule is None or unsupported or len(made.param_groups) > 1:
        raise ValueError(
            "replicas train by SGD, Adam or AdamW, one group, without "
            f"{', '.join(UNSUPPORTED)}; received {type(made).__name__} with "
            f"{len(made.param_groups)} groups{' and ' if unsupported else ''}"
            f"{', '.join(unsupported)}. Call fit for each seed, over processes with repeat."
        )
    if any(type(other) is not type(made) or _settings(other) != settings for other in others):
        raise ValueError(
            "replicas share an optimiser's settings, all but the learning rate; those that the "
            f"factory makes of the rates {list(lrs)} differ. Train each rate by a call of its own."
        )
    # A setting of Adam in newer versions of PyTorch; AdamW is Adam with it.
    decoupled = settings.get("decoupled_weight_decay", type(made) is AdamW)
    return rule(settings, decoupled=decoupled), [
        each.param_groups[0]["lr"] for each in (made, *others)
    ]


def _settings(made: Optimizer) -> dict[str, Any]:
    group = made.param_groups[0]
    return {name: value for name, value in group.items() if name not in ("params", "lr")}


class _Momentum:
    """`torch.optim.SGD`, with or without momentum and Nesterov's form."""

    def __init__(self, settings: dict[str, Any], *, decoupled: bool) -> None:
        self.momentum, self.nesterov = settings["momentum"], settings["nesterov"]
        self.decay = settings["weight_decay"]
        self.buffer: Tensor | None = None

    def __call__(self, weights: Tensor, gradients: Tensor, lrs: Tensor) -> None:
        step = gradients.add(weights, alpha=self.decay) if self.decay else gradients
        if self.momentum:
            if self.buffer is None:
                self.buffer = step.clone()
            else:
                self.buffer.mul_(self.momentum).add_(step)
            step = step.add(self.buffer, alpha=self.momentum) if self.nesterov else self.buffer
        weights.sub_(lrs * step)


class _Moments:
    """`torch.optim.Adam`, and `AdamW` where the decay is decoupled from the gradient."""

    def __init__(self, settings: dict[str, Any], *, decoupled: bool) -> None:
        self.betas, self.epsilon = settings["betas"], settings["eps"]
        self.decay, self.decoupled = settings["weight_decay"], decoupled
        self.steps = 0
        self.first: Tensor | None = None
        self.second: Tensor | None = None

    def __call__(self, weights: Tensor, gradients: Tensor, lrs: Tensor) -> None:
        if self.first is None or self.second is None:
            self.first, self.second = torch.zeros_like(weights), torch.zeros_like(weights)
        self.steps += 1
        if self.decay and self.decoupled:
            weights.mul_(1 - lrs * self.decay)
        elif self.decay:
            gradients = gradients.add(weights, alpha=self.decay)
        self.first.lerp_(gradients, 1 - self.betas[0])
        self.second.mul_(self.betas[1]).addcmul_(gradients, gradients, value=1 - self.betas[1])
        corrections = [1 - beta**self.steps for beta in self.betas]
        scale = (self.second.sqrt() / corrections[1] ** 0.5).add_(self.epsilon)
        weights.sub_(lrs / corrections[0] * self.first.div(scale))
