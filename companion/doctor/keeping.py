"""What an examination puts back: all of it, bit for bit, whatever happens inside."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.utils.data import Dataset

from companion.doctor.copies import LARGE, size_of
from companion.inputs import device_of
from companion.states import (
    everything_kept,
    loader_randomness_kept,
    modes_kept,
    randomness_kept,
    scheduler_kept,
)

DEPTH = 5  # how far into data sets and their transforms generators are looked for
WIDTH = 200  # attributes and items looked at in one object


@contextmanager
def pipeline_kept(
    model: Any, *, optimizer: Any = None, scheduler: Any = None, parts: Iterable[Any] = ()
) -> Iterator[None]:
    """Restore a pipeline after the block: model, optimiser, scheduler, random states, loaders.

    Weights of more than a gigabyte are not copied to be put back, as nothing here writes to them:
    their buffers are, and modes. What is no module, optimiser or scheduler is left alone.

    >>> layer = nn.BatchNorm1d(2)
    >>> with pipeline_kept(layer):
    ...     _ = layer(torch.ones(2, 2))
    >>> int(layer.num_batches_tracked)
    0
    """
    data = list(parts)
    known = isinstance(model, nn.Module)
    lazy = known and any(isinstance(p, nn.UninitializedParameter) for p in model.parameters())
    meta = known and any(p.is_meta for p in model.parameters())
    light = lazy or meta or (known and size_of(model) > LARGE)
    device = device_of(model) if known and not meta else torch.device("cpu")
    stepper = optimizer if isinstance(optimizer, Optimizer) else None
    schedule = scheduler if isinstance(scheduler, LRScheduler | ReduceLROnPlateau) else None
    with ExitStack() as stack:
        stack.enter_context(data_randomness_kept(data))
        if known and not light:
            stack.enter_context(
                everything_kept(
                    model, optimizer=stepper, scheduler=schedule, loaders=data, device=device
                )
            )
        else:
            stack.enter_context(randomness_kept(device))
            for each in data:
                stack.enter_context(loader_randomness_kept(each))
            if schedule is not None:
                stack.enter_context(scheduler_kept(schedule))
            if known and not lazy and not meta:
                stack.enter_context(modes_kept(model))
                stack.enter_context(_buffers_kept(model))
        yield


@contextmanager
def _buffers_kept(model: nn.Module) -> Iterator[None]:
    held = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, values in held:
                if not torch.equal(buffer, values):
                    buffer.copy_(values)


@contextmanager
def data_randomness_kept(parts: Iterable[Any]) -> Iterator[None]:
    """Restore the random generators that data sets and their transforms carry.

    >>> class Data(Dataset):
    ...     generator = np.random.default_rng(0)
    >>> data = Data()
    >>> with data_randomness_kept([data]):
    ...     first = data.generator.random()
    >>> bool(data.generator.random() == first)
    True
    """
    kept = [(each, _state_of(each)) for each in generators_in(parts)]
    try:
        yield
    finally:
        for generator, state in kept:
            _set_state(generator, state)


def generators_in(parts: Iterable[Any]) -> list[Any]:
    """Return the random generators in data sets, their subsets and transforms, each once.

    >>> generators_in([torch.zeros(2)])
    []
    """
    found: dict[int, Any] = {}
    seen: set[int] = set()
    waiting = [(each, 0) for each in parts]
    kinds = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
    while waiting:
        each, depth = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, kinds):
            found[id(each)] = each
        elif depth < DEPTH:
            waiting += [(inner, depth + 1) for inner in _inside(each)]
    return list(found.values())


def _inside(each: Any) -> list[Any]:
    """Return what an object holds, as far as generators may be in it."""
    if isinstance(each, torch.Tensor | np.ndarray | str | bytes | int | float | type | None):
        return []
    if isinstance(each, Mapping):
        return list(each.values())[:WIDTH]
    if isinstance(each, list | tuple):
        return list(each)[:WIDTH]
    held = list(vars(each).values()) if hasattr(each, "__dict__") else []
    if isinstance(each, Dataset):  # also what the class holds for all of its data sets
        held += [v for kind in type(each).__mro__[:-1] for v in vars(kind).values()]
    closure = getattr(each, "__closure__", None) or ()
    return [*held[:WIDTH], *(cell.cell_contents for cell in closure if _filled(cell))]


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _state_of(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, np.random.RandomState):
        return generator.get_state()
    return generator.getstate()


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, torch.Generator | np.random.RandomState):
        generator.set_state(state)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    else:
        generator.setstate(state)
