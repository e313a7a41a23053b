"""What optimisers and schedulers hold: their state, their rates, and the tensors in both."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau


@contextmanager
def optimizer_kept(optimizer: Optimizer) -> Iterator[None]:
    """Restore an optimiser's state, groups and rates after the block, not the weights it holds.

    Groups stay the same dictionaries, and tensors in them and in the state the same tensors, since
    somebody may hold them.

    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = torch.optim.SGD([weight], lr=0.1)
    >>> with optimizer_kept(optimizer):
    ...     optimizer.param_groups[0]["lr"] = 5.0
    >>> optimizer.param_groups[0]["lr"]
    0.1
    """
    groups = list(optimizer.param_groups)
    members = [(group["params"], list(group["params"])) for group in groups]
    settings = [{k: _kept(v) for k, v in group.items() if k != "params"} for group in groups]
    # Not by load_state_dict, which some override, and which casts to the type of the weights.
    state = {parameter: _kept(inner) for parameter, inner in optimizer.state.items()}
    try:
        yield
    finally:
        optimizer.param_groups[:] = groups
        with torch.no_grad():
            for group, (listed, own), before in zip(groups, members, settings, strict=True):
                listed[:] = own
                group.clear()
                group.update({"params": listed} | {k: back() for k, back in before.items()})
            optimizer.state.clear()
            for parameter, back in state.items():
                optimizer.state[parameter] = back()


def _kept(value: Any) -> Callable[[], Any]:
    """Return a function that gives a value as it is now: the same containers and tensors."""
    if isinstance(value, Tensor):
        numbers = value.clone()
        return lambda: value.copy_(numbers)
    if isinstance(value, dict):
        held = {name: _kept(each) for name, each in value.items()}

        def refilled() -> Any:
            new = {name: back() for name, back in held.items()}
            value.clear()
            value.update(new)
            return value

        return refilled
    if type(value) in (list, tuple):
        items = [_kept(each) for each in value]

        def relisted() -> Any:
            new = [back() for back in items]
            if isinstance(value, tuple):
                return tuple(new)
            value[:] = new
            return value

        return relisted
    copied = copy.deepcopy(value)
    return lambda: copied


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
