"""Schedules: by name, as a function of the step, or one of torch's own, all as one thing."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    LambdaLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)

from companion.training.recipes import chosen_from

Schedule = Callable[[int, int], float]
"""From (step, total steps) to the factor that multiplies the learning rate."""
Scheduler = LRScheduler | ReduceLROnPlateau
SchedulerFactory = Callable[[Optimizer], Scheduler]


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


SCHEDULES: dict[str, Schedule] = {"one-cycle": one_cycle, "cosine": cosine, "constant": constant}


def scheduler_factory(chosen: Any, total: int) -> SchedulerFactory:
    """Return a function from an optimiser to its scheduler, for a run of `total` steps.

    `chosen` is a name; a function of (step, total) to the factor that multiplies each group's
    rate; or a function of the optimiser alone to one of torch's schedulers. The last two are told
    apart by the number of arguments that they need.

    Raises `ValueError` for an unknown name, `TypeError` for a scheduler that is made already and
    for what is no such function; the result raises `TypeError` where the function makes no
    scheduler, `ValueError` where it makes one for another optimiser, or a factor that is negative
    or not finite.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    >>> scheduler = scheduler_factory("cosine", 10)(optimizer)
    >>> type(scheduler).__name__, optimizer.param_groups[0]["lr"]
    ('LambdaLR', 0.5)
    """
    otherwise = "a function of (step, total) to a factor, or of the optimiser to a scheduler"
    if isinstance(chosen, LRScheduler | ReduceLROnPlateau):
        raise TypeError(
            "a scheduler belongs to the optimiser that it was made for; received a "
            f"{type(chosen).__name__}. Pass a function that makes it: lambda optimiser: "
            f"{type(chosen).__name__}(optimiser, …)."
        )
    function = chosen_from(chosen, SCHEDULES, "schedule", otherwise)
    if not isinstance(chosen, str) and _arguments_needed(function) == 1:
        return partial(_made_by, function)
    return lambda optimizer: LambdaLR(optimizer, lambda step: _factor(function, step, total))


def _arguments_needed(function: Any) -> int:
    """Return how many positional arguments a schedule must be given: one or two."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C
        return 2
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = sum(p.default is p.empty for p in positional)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters) and needed < 2:
        needed = 2
    if needed not in (1, 2) or (isinstance(function, type) and needed != 1):
        raise TypeError(
            "schedule must be a function of (step, total) to a factor, or of the optimiser alone "
            f"to a scheduler; received {getattr(function, '__name__', function)!r}, which needs "
            f"{needed} arguments. Pass lambda optimiser: StepLR(optimiser, 30)."
        )
    return needed


def _made_by(build: Any, optimizer: Optimizer) -> Scheduler:
    made = build(optimizer)
    if not isinstance(made, LRScheduler | ReduceLROnPlateau):
        raise TypeError(
            "a schedule of one argument maps the optimiser to one of torch's schedulers; it "
            f"returned {type(made).__name__}. Pass lambda optimiser: StepLR(optimiser, 30), or a "
            "function of (step, total) to a factor."
        )
    if made.optimizer is not optimizer:
        raise ValueError(
            "the function must make its scheduler for the optimiser that it is called with; "
            "it made one for another. Pass lambda optimiser: StepLR(optimiser, 30)."
        )
    return made


def long_enough(scheduler: Scheduler, calls: int) -> Scheduler:
    """Return a scheduler that can be stepped so often; raise `ValueError` for a shorter one.

    OneCycleLR raises in the middle of a run, also inside SequentialLR and ChainedScheduler.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    >>> long_enough(OneCycleLR(optimizer, 0.5, total_steps=9), 10)
    Traceback (most recent call last):
    ValueError: a schedule must be made for as many steps as it is moved on; this OneCycleLR is \
made for 9 and would be moved on 10 times. Pass total_steps=10.
    """
    if isinstance(scheduler, OneCycleLR) and calls > scheduler.total_steps:
        made = scheduler.total_steps
        raise ValueError(
            "a schedule must be made for as many steps as it is moved on; this OneCycleLR is made "
            f"for {made} and would be moved on {calls} times. Pass total_steps={calls}."
        )
    if isinstance(scheduler, ChainedScheduler):
        for part in scheduler._schedulers:
            long_enough(part, calls)
    if isinstance(scheduler, SequentialLR):
        starts = [0, *scheduler._milestones]
        ends = [*(start - 1 for start in starts[1:]), calls]  # each begins anew at its milestone
        for part, start, end in zip(scheduler._schedulers, starts, ends, strict=True):
            long_enough(part, min(end, calls) - start)
    return scheduler


def _factor(function: Schedule, step: int, total: int) -> float:
    try:
        factor = float(function(step, total))
    except (TypeError, ValueError) as error:
        if isinstance(error, ValueError) and "float" not in str(error):
            raise
        raise TypeError(
            f"a schedule returns a factor, a number; at step {step} of {total} it did not "
            f"({error}). Return 1.0 to keep the rate."
        ) from error
    if not 0 <= factor < math.inf:
        raise ValueError(
            f"a schedule's factor must be finite and at least 0; at step {step} of {total} it is "
            f"{factor}. Look at what the function does beyond its last step."
        )
    return factor
