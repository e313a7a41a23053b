"""A check of the training loop itself: a few of its steps are watched, and undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from companion.doctor.copies import LARGE, size_of
from companion.doctor.optimizer_checks import optimizer_of
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.words import NotRunError, Result, Seen, error, warning
from companion.inputs import device_of
from companion.states import everything_kept

WATCHED = 4  # steps of the loop, at least two of the optimiser's


@dataclass
class Watched:
    """What a loop did: how many gradients arrived before each optimiser step, and on what."""

    backwards: list[int] = field(default_factory=list)
    stale: list[bool] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    evaluating: int = 0
    forwards: int = 0
    arrived: Counter[int] = field(default_factory=Counter)
    fed: set[int] = field(default_factory=set)
    cleared: Counter[int] = field(default_factory=Counter)
    dirty: bool = False


@contextmanager
def watching(model: nn.Module, optimizer: Optimizer) -> Iterator[Watched]:
    """Count a loop's forward and backward passes and optimiser steps by hooks, for the block.

    >>> import torch
    >>> layer = nn.Linear(2, 1)
    >>> stepper = torch.optim.SGD(layer.parameters(), lr=0.1)
    >>> with watching(layer, stepper) as seen:
    ...     layer(torch.ones(1, 2)).sum().backward()
    ...     stepper.step()
    >>> seen.backwards, seen.stale
    ([1], [False])
    """
    seen = Watched()
    held = [p for p in model.parameters() if p.requires_grad]

    def forward(module: nn.Module, *_: Any) -> None:
        seen.forwards += 1
        seen.evaluating += not module.training

    def arriving(parameter: nn.Parameter, gradient: Tensor) -> None:
        # Of the first gradient after a step: whether the one of the step before is still there.
        first = not seen.arrived[id(parameter)] and bool(seen.backwards)
        seen.dirty |= first and parameter.grad is not None and bool((parameter.grad != 0).any())
        empty = parameter.grad is None or not bool((parameter.grad != 0).any())
        seen.cleared[id(parameter)] += empty and id(parameter) in seen.fed
        if bool((gradient != 0).any()):
            seen.fed.add(id(parameter))
        seen.arrived[id(parameter)] += 1

    def stepping(*_: Any) -> None:
        there = any(p.grad is not None and bool((p.grad != 0).any()) for p in held)
        seen.backwards.append(max(seen.arrived.values(), default=0) if there else 0)
        seen.stale.append(seen.dirty)
        seen.lost.append(max(seen.cleared.values(), default=0))
        seen.cleared.clear()
        seen.fed.clear()
        seen.arrived.clear()
        seen.dirty = False

    with ExitStack() as stack:
        for handle in (
            model.register_forward_pre_hook(forward),
            optimizer.register_step_pre_hook(stepping),
            *(p.register_hook(lambda gradient, p=p: arriving(p, gradient)) for p in held),
        ):
            stack.callback(handle.remove)
        yield seen


@check(
    "OPT112",
    chapter="protocol",
    needs=["model", "optimizer", "step"],
    explains=["SMP116", "PRO032", "OPT003"],
)
def loop_order(pipeline: Pipeline) -> Result:
    """The training loop leaves out a step, or takes gradients twice.

    Fault: `zero_grad()`, `backward()` or `step()` is missing, or the model is in evaluation mode
    while it trains.
    Evidence: A few calls of step=, watched by hooks on the model, a parameter and the optimiser,
    and undone: how many gradients arrive before each optimiser step, and whether those of the step
    before are still there; with accumulate=, whether they are cleared between the passes.
    Consequence: Without zero_grad() every step adds all gradients of the run so far; without
    backward() or step() nothing is learnt.
    Remedy: optimizer.zero_grad(); loss.backward(); optimizer.step(), in this order, for each batch.
    False alarms: Accumulation looks like a missing step: say accumulate=4 where it is meant. A
    model in evaluation mode is a warning.

    In code:
        examine(model, train=loader, optimizer=optimizer, step=lambda: train_step(next(batches)))
    """
    module, optimizer = pipeline.module, optimizer_of(pipeline)
    run: Callable[[], Any] = pipeline["step"]
    most = pipeline.given.get("accumulate", 1)
    if size_of(module) > LARGE:
        raise NotRunError("the loop's steps cannot be undone in a model of this size")
    if not any(p.requires_grad for p in module.parameters()):
        raise NotRunError("no parameter may change (OPT001)")
    calls = WATCHED * most
    kept = everything_kept(
        module,
        optimizer=optimizer,
        scheduler=pipeline.given.get("scheduler"),
        loaders=[pipeline.given[part] for part in pipeline.parts],
        device=device_of(module),
    )
    with kept:
        optimizer.zero_grad(set_to_none=True)
        with watching(module, optimizer) as seen:
            try:
                for _ in range(calls):
                    run()
            except StopIteration:
                pass
            except Exception as raised:
                return error(f"step= raises {type(raised).__name__}: {raised}")
    return _read(seen, calls, most)


def _read(seen: Watched, calls: int, most: int) -> Result:
    found: list[Seen] = []
    told = f"in {calls} calls of step= there were {len(seen.backwards)} optimiser steps"
    if not seen.backwards:
        return error(f"{told}, after {max(seen.arrived.values(), default=0)} backward passes")
    if 0 in seen.backwards:
        found.append(error(f"{told}, {seen.backwards.count(0)} of them without a backward pass"))
    if any(seen.stale):
        found.append(
            error(
                f"{told}, {sum(seen.stale)} of them with the gradients of the step "
                "before still there: they were not cleared"
            )
        )
    elif max(seen.backwards) != most and 0 not in seen.backwards:
        found.append(
            warning(
                f"{told}, each after {max(seen.backwards)} backward passes, where accumulate={most}"
            )
        )
    if most > 1 and any(seen.lost):
        found.append(
            error(
                f"{told}, and of the backward passes before a step {max(seen.lost)} were cleared "
                f"away before it, where accumulate={most}",
                remedy="Call zero_grad() after optimizer.step() alone.",
            )
        )
    if seen.evaluating:
        found.append(
            warning(
                f"the model was in evaluation mode in {seen.evaluating} of "
                f"{seen.forwards} forward passes of training"
            )
        )
    return found or f"{told}, each after {most} backward passes on cleared gradients"
