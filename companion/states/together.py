"""All that trying something on a training set-up must leave as it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from companion.states.modules import frozen_flags_kept, gradients_kept, modes_kept, weights_kept
from companion.states.optimizers import optimizer_kept, scheduler_kept
from companion.states.randomness import loader_randomness_kept, randomness_kept


@contextmanager
def everything_kept(
    *modules: nn.Module,
    optimizer: Optimizer | None = None,
    scheduler: LRScheduler | ReduceLROnPlateau | None = None,
    loaders: Iterable[object] = (),
    device: torch.device | str = "cpu",
) -> Iterator[None]:
    """Restore a whole training set-up after the block, bit for bit, whatever happens inside.

    That is: weights, buffers, gradients, frozen flags, modes and device of the modules and of
    what the optimiser holds besides, the state of optimiser and scheduler, the generators of
    the loaders, and the global random states.

    >>> model = nn.Linear(2, 2)
    >>> optimizer = torch.optim.AdamW(model.parameters())
    >>> before = model.weight.clone()
    >>> with everything_kept(model, optimizer=optimizer):
    ...     model(torch.ones(1, 2)).sum().backward()
    ...     optimizer.step()
    >>> bool((model.weight == before).all()), model.weight.grad, len(optimizer.state)
    (True, None, 0)
    """
    known = {id(parameter) for module in modules for parameter in module.parameters()}
    groups = [] if optimizer is None else optimizer.param_groups
    besides = [p for group in groups for p in group["params"] if id(p) not in known]
    others = nn.ParameterList(besides)  # of a loss, say; it shares the memory of plain tensors
    with ExitStack() as kept:
        kept.enter_context(randomness_kept(device))
        for loader in loaders:
            kept.enter_context(loader_randomness_kept(loader))
        if optimizer is not None:
            kept.enter_context(optimizer_kept(optimizer))
        if scheduler is not None:
            kept.enter_context(scheduler_kept(scheduler))
        kept.enter_context(gradients_kept(besides))
        for module in (*modules, others):
            kept.enter_context(gradients_kept(list(module.parameters())))
            kept.enter_context(frozen_flags_kept(module))
            kept.enter_context(weights_kept(module))
            kept.enter_context(modes_kept(module))
        yield
