"""What a scheduler will do, before any training depends on it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from companion.findings import Finding
from companion.inputs import arrays_equal, plain, positive_number, whole_number
from companion.learning_rate.oddities import not_begun, of_peaks, of_shape, wrong_way
from companion.states import scheduler_kept
from companion.training import Schedule, SchedulerFactory, scheduler_factory


@dataclass(frozen=True, eq=False)
class SimulatedSchedule:
    """The learning rates that a scheduler gives each step, and what is odd about them.

    `rates` is (steps, groups) float64: what each optimiser step would use. `given` are the rates
    that the groups had before the scheduler was made, None for one in use. `findings` are none
    for a schedule that reaches the rates given, rises at most once, then falls and ends with its
    steps. `error` is what the scheduler raised, None where it did not. Two are equal that hold
    the same numbers and findings.
    """

    rates: Tensor = field(repr=False)
    given: tuple[float, ...] | None
    findings: tuple[Finding, ...]
    error: str | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SimulatedSchedule) and arrays_equal(vars(self), vars(other))

    @property
    def problems(self) -> tuple[str, ...]:
        """What the findings say was seen, each a sentence without its code."""
        return tuple(finding.seen for finding in self.findings)


def simulate_schedule(
    scheduler: str | Schedule | SchedulerFactory | LRScheduler | ReduceLROnPlateau,
    *,
    steps: int,
    lr: float | Iterable[float] = 0.1,
    every: int = 1,
    times: int = 1,
    metric: Callable[[int], float] | None = None,
) -> SimulatedSchedule:
    """Return the learning rate of every optimiser step that a scheduler would give.

    `scheduler` is what `fit` takes as `schedule`: a name, a function of (step, total), whose total
    is `steps`, or a function from an optimiser to a scheduler, tried on an optimiser of its own
    with a group for each `lr`. Or it is a scheduler in use, which is put back. It is stepped
    `times` times after each `every` steps: for one made to be stepped once an epoch pass the
    number of steps in an epoch; for a training loop that steps it once in each of four processes,
    pass 4. `metric` maps the number of the call, from 0, to what `ReduceLROnPlateau` is told.

    Nothing given is mutated. Raises `ValueError` for numbers below 1, for rates that are not
    positive and finite, for an unknown name, and where `ReduceLROnPlateau` has no metric;
    `TypeError` for no scheduler.

    >>> cosine = lambda optimiser: torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 50)
    >>> found = simulate_schedule(cosine, steps=100)
    >>> print(*found.problems)
    the rate falls to 0 and rises again after step 50, as restarts do and a schedule that was made
    for fewer steps
    >>> [finding.code for finding in found.findings], simulate_schedule("cosine", steps=9).findings
    (['OPT106'], ())
    """
    steps, every = whole_number(steps, "steps"), whole_number(every, "every")
    times = whole_number(times, "times")
    given: tuple[float, ...] | None = None  # what it was, a scheduler in use has written over
    used: Any = scheduler
    if not isinstance(scheduler, (LRScheduler, ReduceLROnPlateau)):
        given = _checked_rates(lr)
        used = _made(scheduler_factory(scheduler, steps), given)
    with scheduler_kept(used):
        rates, error, told = _run(used, steps, every, times, metric)
        found = of_peaks(rates, given, error, steps)
        if isinstance(used, ReduceLROnPlateau):
            found += wrong_way(used, rates, told)
        else:
            further = _further(used, rates)
            found += of_shape(rates) + not_begun(rates, further, steps // every * times)
    return SimulatedSchedule(rates, given, tuple(found), error)


def _checked_rates(lr: Any) -> tuple[float, ...]:
    alone = plain(lr)
    listed = [alone] if isinstance(alone, int | float) else list(alone)
    if not listed:
        raise ValueError("lr must be positive and finite; received none. Try 0.1.")
    return tuple(positive_number(rate, "lr", advice="Try 0.1.") for rate in listed)


def _made(build: SchedulerFactory, given: tuple[float, ...]) -> Any:
    # SGD with momentum, as some schedulers move it along with the rate
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in given]
    return build(SGD(groups, 0.1, 0.9))


def _further(scheduler: Any, rates: Tensor) -> Tensor | None:
    """Return the rates of as many calls again, where none has moved them so far."""
    initial = [float(g.get("initial_lr", 0)) for g in scheduler.optimizer.param_groups]
    if bool((rates != torch.tensor(initial, dtype=torch.float64)).any()):
        return None
    return _run(scheduler, len(rates), 1, 1, None)[0]


def _run(
    scheduler: LRScheduler,
    steps: int,
    every: int,
    times: int,
    metric: Callable[[int], float] | None,
) -> tuple[Tensor, str | None, list[float]]:
    """Step the scheduler as a loop would; return rates (steps, groups), error and metrics."""
    plateau = isinstance(scheduler, ReduceLROnPlateau)
    if plateau and metric is None:
        raise ValueError(
            "ReduceLROnPlateau looks at a metric; pass metric=, a function from the number of "
            "the call to what it would be told, such as lambda epoch: 1 / (epoch + 1)."
        )
    rows: list[list[float]] = []
    told: list[float] = []
    with warnings.catch_warnings():
        # No optimiser steps here, so the order that PyTorch warns of is not wrong.
        warnings.simplefilter("ignore")
        for step in range(steps):
            rows.append([float(group["lr"]) for group in scheduler.optimizer.param_groups])
            for _ in range(times if (step + 1) % every == 0 else 0):
                if metric is not None:
                    told.append(float(metric(len(told))))
                try:
                    scheduler.step(*told[-1:] if plateau else ())
                except (ValueError, RuntimeError, LookupError) as error:
                    return torch.tensor(rows, dtype=torch.float64), str(error), told
    return torch.tensor(rows, dtype=torch.float64), None, told
