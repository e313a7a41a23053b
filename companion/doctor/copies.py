"""Copies to be trained in the place of what was given: a model's, and its optimiser's."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim import Optimizer

from companion.doctor.words import NotRunError

LARGE = 2**30  # bytes of weights beyond which no copy is made


def unwrapped(model: Any) -> Any:
    """Return the model inside compiled and parallel ones, which compute the same.

    >>> layer = nn.Linear(2, 2)
    >>> unwrapped(nn.DataParallel(layer)) is layer
    True
    """
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif isinstance(model, DataParallel | DistributedDataParallel):
            model = model.module
        else:
            return model


def size_of(model: nn.Module) -> int:
    """Return how many bytes the weights and buffers of a model have.

    >>> size_of(nn.Linear(2, 2))
    24
    """
    return sum(t.nelement() * t.element_size() for t in [*model.parameters(), *model.buffers()])


def copied(model: nn.Module) -> nn.Module:
    """Return a deep copy of a model, without gradients; `NotRunError` where there can be none.

    >>> copied(nn.Linear(2, 2)).weight.shape
    torch.Size([2, 2])
    """
    size = size_of(model)
    if size > LARGE:
        raise NotRunError(
            f"it trains a copy, and the model has {size / 1e9:.1f} GB of weights: more than "
            f"{LARGE / 1e9:.1f} GB are not copied"
        )
    try:
        made = copy.deepcopy(model)
    except Exception as error:  # whatever other people's modules hold
        raise NotRunError(f"the model cannot be copied ({error})") from error
    for parameter in made.parameters():
        parameter.grad = None
    return made


def pairs_of(model: nn.Module, made: nn.Module) -> dict[int, nn.Parameter]:
    """Return the copy's parameter for each of the model's, by the `id` of the latter.

    >>> layer = nn.Linear(2, 2)
    >>> len(pairs_of(layer, copied(layer)))
    2
    """
    return {id(a): b for a, b in zip(model.parameters(), made.parameters(), strict=True)}


def shadow_of(optimizer: Optimizer, pairs: Mapping[int, nn.Parameter]) -> Optimizer:
    """Return an optimiser of the same kind and settings for copied parameters, without a past.

    Parameters that have no copy, of a loss say, are left out; a rate of 0, as before a warm-up,
    becomes the one that the group began with, or 0.001. Hooks are not taken along.

    >>> layer = nn.Linear(2, 2)
    >>> made = copied(layer)
    >>> found = shadow_of(torch.optim.SGD(layer.parameters(), lr=0.1), pairs_of(layer, made))
    >>> found.param_groups[0]["params"][0] is made.weight
    True
    """
    groups = []
    for group in optimizer.param_groups:
        settings = {key: copy.deepcopy(v) for key, v in group.items() if key != "params"}
        if not float(settings.get("lr", 1)) > 0:
            settings["lr"] = float(settings.get("initial_lr", 0)) or 1e-3
        held = [pairs[id(p)] for p in group["params"] if id(p) in pairs]
        groups.append({"params": held} | settings)
    made: Any = object.__new__(type(optimizer))
    own = {
        key: value
        for key, value in vars(optimizer).items()
        if key not in ("param_groups", "state", "step", "zero_grad") and "hook" not in key
    }
    try:
        made.__setstate__(own | {"state": defaultdict(dict), "param_groups": groups})
    except Exception as error:
        raise NotRunError(f"the optimiser cannot be copied ({error})") from error
    return made


def uphill(optimizer: Optimizer) -> bool:
    """Return whether an optimiser's step goes where the loss rises, tried on weights of its own.

    >>> weight = nn.Parameter(torch.ones(1))
    >>> uphill(torch.optim.SGD([weight], lr=0.1, maximize=True))
    True
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    small = {id(p): nn.Parameter(torch.zeros(2, 2, dtype=torch.float64)) for p in parameters}
    stepper = shadow_of(optimizer, small)
    for group in stepper.param_groups:
        group["weight_decay"] = 0.0
    with torch.enable_grad():
        for weight in small.values():
            weight.grad = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
        stepper.step()
    moved = [(w.detach() * w.grad).sum() for w in small.values() if w.grad is not None]
    return any(float(each) > 0 for each in moved)
