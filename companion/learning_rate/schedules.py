"""What a scheduler will do, before any training depends on it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from companion.states import scheduler_kept

Build = Callable[[Optimizer], LRScheduler]


@dataclass(frozen=True)
class SimulatedSchedule:
    """The learning rates that a scheduler gives each step, and what is odd about them.

    `rates` is (steps, groups) float64: what each optimiser step would use. `given` are the rates
    that the groups had before the scheduler was made, None for one in use. `findings` are
    sentences, none for a schedule that reaches the rates given, rises at most once, then falls and
    ends with its steps. `error` is what the scheduler raised, None where it did not.
    """

    rates: Tensor = field(repr=False)
    given: tuple[float, ...] | None
    findings: tuple[str, ...]
    error: str | None = None


def simulate_schedule(
    scheduler: Build | LRScheduler,
    *,
    steps: int,
    lr: float | Sequence[float] = 0.1,
    every: int = 1,
    times: int = 1,
    metric: Callable[[int], float] | None = None,
) -> SimulatedSchedule:
    """Return the learning rate of every optimiser step that a scheduler would give.

    `scheduler` is a function from an optimiser to a scheduler, tried on an optimiser of its own
    with a group for each `lr`, or a scheduler in use, which is put back. It is stepped `times`
    times after each `every` steps: for one made to be stepped once an epoch pass the number of
    steps in an epoch; for a training loop that steps it once in each of four processes, pass 4.
    `metric` maps the number of the call, from 0, to what `ReduceLROnPlateau` is told.

    Nothing given is mutated. Raises `ValueError` for numbers below 1, for rates that are not
    positive and finite, and where `ReduceLROnPlateau` has no metric; `TypeError` for no scheduler.

    >>> cosine = lambda optimiser: torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 50)
    >>> found = simulate_schedule(cosine, steps=100)
    >>> print(*found.findings)
    the rate falls to 0 and rises again after step 50, as restarts do and a schedule that was made
    for fewer steps
    """
    for name, value in {"steps": steps, "every": every, "times": times}.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1; received {value!r}.")
    given: tuple[float, ...] | None = None  # what it was, a scheduler in use has written over
    if not isinstance(scheduler, (LRScheduler, ReduceLROnPlateau)):
        given = tuple([lr] if isinstance(lr, (int, float)) else lr)
        scheduler = _made(scheduler, given)
    with scheduler_kept(scheduler):
        rates, error, told = _run(scheduler, steps, every, times, metric)
        found = _findings(rates, given, error, steps)
        if isinstance(scheduler, ReduceLROnPlateau):
            found += _wrong_way(scheduler, rates, told)
        else:
            of_groups = filter(None, map(_shape, rates.T))
            found += next(of_groups, []) + _not_begun(scheduler, rates, steps // every * times)
    return SimulatedSchedule(rates, given, tuple(found), error)


def _made(build: Any, given: tuple[float, ...]) -> LRScheduler:
    if not given or not all(0 < rate < math.inf for rate in given):
        raise ValueError(f"lr must be positive and finite; received {list(given)}. Try 0.1.")
    # SGD with momentum, as some schedulers move it along with the rate
    optimizer = SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": r} for r in given], 0.1, 0.9)
    made = build(optimizer) if callable(build) else build
    if not isinstance(made, (LRScheduler, ReduceLROnPlateau)):
        raise TypeError(
            "scheduler must be one of torch.optim.lr_scheduler, or a function from an optimiser "
            f"to one; received {type(made).__name__}. Pass lambda optimiser: StepLR(optimiser, 30)."
        )
    if made.optimizer is not optimizer:
        raise ValueError(
            "the function must make its scheduler for the optimiser that it is called with; "
            "it made one for another. Pass lambda optimiser: StepLR(optimiser, 30)."
        )
    return made


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


def _findings(
    rates: Tensor, given: tuple[float, ...] | None, error: str | None, steps: int
) -> list[str]:
    """Say what of the schedule somebody would want to know before training."""
    found = []
    if error is not None:
        found.append(
            f"it raises after step {len(rates)} of {steps}: it was made for fewer steps, or is "
            "stepped too often"
        )
    peaks = rates.max(0).values.tolist()
    if given is None or all(map(partial(math.isclose, rel_tol=0.01), peaks, given)):
        return found
    if len(set(given)) > 1 and max(peaks) < 1.01 * min(peaks):
        found.append(
            f"groups that were given different rates, {_short(given)}, all rise to {peaks[0]:.3g}"
        )
    else:
        found.append(
            f"the rates given, {_short(given)}, are not used: they rise to {_short(peaks)}"
        )
    return found


def _wrong_way(plateau: ReduceLROnPlateau, rates: Tensor, told: list[float]) -> list[str]:
    """Say where a plateau is looked for in the wrong direction."""
    better = 1 if plateau.mode == "min" else -1
    if not told or better * (told[-1] - told[0]) <= 0 or rates[-1, 0] >= rates[0, 0]:
        return []
    return [
        f"the rate is lowered while the metric goes from {told[0]:.3g} to {told[-1]:.3g}, as "
        f"mode={plateau.mode!r} takes that for worse: 'min' is for a loss, 'max' for an accuracy"
    ]


def _not_begun(scheduler: LRScheduler, rates: Tensor, calls: int) -> list[str]:
    """Say where a scheduler is called too few times to do anything, by calling it on."""
    initial = [float(g.get("initial_lr", 0)) for g in scheduler.optimizer.param_groups]
    if bool((rates != torch.tensor(initial, dtype=torch.float64)).any()):
        return []
    further, _, _ = _run(scheduler, len(rates), 1, 1, None)
    moved = (further != rates[0]).any(1).nonzero().flatten()
    return [
        f"the rate does not change; it would after call {calls + int(first)} of the scheduler, "
        f"which is called {calls} times: it was made for more steps, or is stepped too seldom"
        for first in moved[:1]
    ]


def _short(rates: Sequence[float]) -> str:
    return ", ".join(f"{rate:.3g}" for rate in rates)


def _shape(rates: Tensor) -> list[str]:
    """Say where a rate rises again after it fell, and where it does not end with the steps."""
    moves = rates.diff()
    falling, rising = (moves < 0).nonzero().flatten(), (moves > 0).nonzero().flatten()
    if len(falling) and len(rising) and int(rising[-1]) > int(falling[0]):
        turn = int(rising[rising > falling[0]][0])
        lowest = "0" if rates[turn] < 1e-9 * rates.max() else f"{float(rates[turn]):.3g}"
        return [
            f"the rate falls to {lowest} and rises again after step {turn}, as "
            "restarts do and a schedule that was made for fewer steps"
        ]
    used = int((rates > 1e-6 * rates.max()).nonzero().max()) + 1 if len(falling) else len(rates)
    if used < 0.9 * len(rates):
        return [
            f"the rate is next to nothing after step {used} of {len(rates)}: it was made for fewer "
            "steps, or is stepped too often"
        ]
    if len(falling) and rates[-1] > 0.2 * rates.max():
        share = float(rates[-1] / rates.max())
        return [
            f"the rate ends at {share:.0%} of its peak: it was made for more steps, or is stepped "
            "too seldom"
        ]
    if len(rising) and float(moves[-1]) > 0:
        return ["the rate still rises at the end: it was made for more steps"]
    return []
