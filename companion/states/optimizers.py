"""What optimisers and schedulers hold: their state, their rates, and the tensors in both."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau


@contextmanager
def optimizer_kept(optimizer: Optimizer) -> Iterator[None]:
    """Restore an optimiser's state, groups and rates after the block, not the weights it holds.

    Groups stay the same dictionaries, and a rate that is kept as a tensor the same tensor, since
    somebody may hold them.

    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = torch.optim.SGD([weight], lr=0.1)
    >>> with optimizer_kept(optimizer):
    ...     optimizer.param_groups[0]["lr"] = 5.0
    >>> optimizer.param_groups[0]["lr"]
    0.1
    """
    groups = list(optimizer.param_groups)
    members = [list(group["params"]) for group in groups]
    settings = [dict(group) for group in groups]
    rates = [(v, v.clone()) for group in groups for v in group.values() if isinstance(v, Tensor)]
    state = copy.deepcopy(optimizer.state_dict())
    try:
        yield
    finally:
        optimizer.param_groups[:] = groups
        for group, own in zip(groups, members, strict=True):
            group["params"] = own
        optimizer.load_state_dict(state)
        for group, before in zip(groups, settings, strict=True):
            group.clear()
            group.update(before)
        optimizer.param_groups[:] = groups
        with torch.no_grad():
            for rate, value in rates:
                rate.copy_(value)


@contextmanager
def scheduler_kept(scheduler: LRScheduler | ReduceLROnPlateau) -> Iterator[None]:
    """Restore a scheduler, those inside it, and its optimiser's settings, whatever happens.

    The optimiser's state and its weights are not touched: see `optimizer_kept`.

    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    >>> scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    >>> optimizer.step()
    >>> with scheduler_kept(scheduler):
    ...     scheduler.step()
    >>> scheduler.last_epoch, optimizer.param_groups[0]["lr"]
    (0, 0.1)
    """
    groups = scheduler.optimizer.param_groups
    tensors = {id(v): (v, v.clone()) for g in groups for v in g.values() if isinstance(v, Tensor)}
    settings = [{name: v for name, v in group.items() if name != "params"} for group in groups]
    everything = _parts(scheduler)
    states = [dict(each.__dict__) for each in everything]
    copies = [
        {name: copy.deepcopy(value) for name, value in state.items() if _is_plain(value)}
        for state in states
    ]
    try:
        yield
    finally:
        for each, state, plain in zip(everything, states, copies, strict=True):
            each.__dict__.clear()
            each.__dict__.update(state | plain)
        for group, before in zip(groups, settings, strict=True):
            group.update(before)
        with torch.no_grad():
            for changed, value in tensors.values():  # a rate kept as a tensor is written into
                changed.copy_(value)


def _parts(scheduler: Any) -> list[Any]:
    """Return a scheduler, those inside it at any depth, and factors that are objects."""
    inside = [part for each in getattr(scheduler, "_schedulers", []) for part in _parts(each)]
    factors = [each for each in getattr(scheduler, "lr_lambdas", []) if hasattr(each, "__dict__")]
    return [scheduler, *inside, *factors]


def _is_plain(value: object) -> bool:
    """Whether a scheduler's attribute is a part of its state, and no optimiser or function."""
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    return isinstance(value, (int, float, str, dict, Tensor, type(None)))
