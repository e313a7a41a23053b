"""PyTorch's own optimisers over stacked weights, with groups for each learning rate."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn
from torch.optim import (
    ASGD,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from companion.replicas.stacks import Stack
from companion.training import OptimizerFactory, SchedulerFactory

# Each weight's step depends on its own gradients alone, so that stacking changes nothing.
ELEMENTWISE = (
    SGD,
    Adam,
    AdamW,
    Adamax,
    NAdam,
    RAdam,
    Adagrad,
    Adadelta,
    RMSprop,
    Rprop,
    ASGD,
)
ONE_BY_ONE = "Call fit for each seed, over processes with repeat."


def stacked_optimizer(factory: OptimizerFactory, stack: Stack, rates: Sequence[float]) -> Optimizer:
    """Return the optimiser of a whole stack, whose rows are as many for each of the rates.

    The factory is asked once for each rate, with the parameters of one network; its groups and
    their settings are then laid over that rate's rows of the stack. `stack.gradients` writes
    what a step uses.

    Raises `ValueError` for optimisers whose steps are not elementwise, for another kind for each
    rate, for hooks, and for one that does not hold exactly the parameters that it was given.
    """
    names = list(stack.parameters)
    own = [stack.template.get_parameter(name) for name in names]
    made = [factory(list(own), rate) for rate in rates]
    for each in made:
        _check(each, type(made[0]), dict(zip(map(id, own), names, strict=True)))
    places = {id(p): place for p, place in zip(own, _columns(stack), strict=True)}
    rows = len(stack) // len(rates)
    groups = [
        {
            **{name: value for name, value in group.items() if name != "params"},
            "params": list(_views(stack, slice(k * rows, (k + 1) * rows), group, places)),
        }
        for k, each in enumerate(made)
        for group in each.param_groups
    ]
    accepted = inspect.signature(type(made[0])).parameters
    settings = {name: value for name, value in made[0].defaults.items() if name in accepted}
    if _may_be_fused(groups):
        # A group for each rate makes a step mostly overhead; one kernel has a third of it.
        settings |= {"foreach": False, "fused": True}
        groups = [group | {"foreach": False, "fused": True} for group in groups]
    return type(made[0])(groups, **settings)


def stacked_scheduler(
    build: SchedulerFactory, optimizer: Optimizer, rates: Sequence[float]
) -> LRScheduler:
    """Return the scheduler of a stack's optimiser.

    Raises `ValueError` for one that watches a metric, and for one that sets the same rate for all.
    """
    per_rate = len(optimizer.param_groups) // len(rates)
    before = [float(group["lr"]) for group in optimizer.param_groups[::per_rate]]
    scheduler = build(optimizer)
    if isinstance(scheduler, ReduceLROnPlateau):
        raise ValueError(
            "replicas share one scheduler, and ReduceLROnPlateau lowers the rate by a metric, "
            f"which each network has its own of. Take another schedule, or {ONE_BY_ONE[0].lower()}"
            f"{ONE_BY_ONE[1:]}"
        )
    after = [float(group["lr"]) for group in optimizer.param_groups[::per_rate]]
    if len(set(before)) > 1 and max(after) > 0 and len(set(after)) == 1:
        raise ValueError(
            f"a schedule must keep the rates apart, which are {before}; {type(scheduler).__name__} "
            f"sets all of them to {after[0]:.3g}. Train each rate by a call of its own, or take a "
            "schedule that multiplies the rate, such as 'one-cycle'."
        )
    return scheduler


def _check(made: Any, kind: Any, names: dict[int, str]) -> None:
    """Raise `ValueError` for an optimiser that stacked weights would change the meaning of."""
    if type(made) not in ELEMENTWISE:
        allowed = ", ".join(each.__name__ for each in ELEMENTWISE)
        raise ValueError(
            "replicas need one of torch's optimisers that step each weight by its own gradients "
            f"alone: {allowed}; received {type(made).__name__}. {ONE_BY_ONE}"
        )
    if type(made) is not kind:
        raise ValueError(
            f"replicas share one kind of optimiser; the factory makes {kind.__name__} of one rate "
            f"and {type(made).__name__} of another. Train each rate by a call of its own."
        )
    if made._optimizer_step_pre_hooks or made._optimizer_step_post_hooks:
        raise ValueError(
            "replicas step all networks at once, and hooks on the optimiser would be told of none; "
            f"received one on {kind.__name__}. Remove it. {ONE_BY_ONE}"
        )
    held = {id(p) for group in made.param_groups for p in group["params"]}
    left_out = [name for key, name in names.items() if key not in held]
    if left_out or held - names.keys():
        received = f"left out {', '.join(left_out)}" if left_out else "held others besides"
        raise ValueError(
            f"the optimiser must hold the parameters that it is made for, all of them; it "
            f"{received}. Freeze what is not to be trained: requires_grad_(False)."
        )


def _columns(stack: Stack) -> Iterator[slice]:
    """Yield where each trainable parameter lies in a row of the stack."""
    start = 0
    for size in stack.sizes:
        yield slice(start, start + size)
        start += size


def _views(
    stack: Stack, rows: slice, group: dict[str, Any], places: dict[int, slice]
) -> Iterator[nn.Parameter]:
    """Yield the weights of one group and one rate, as few views as possible, with gradients."""
    joined: list[slice] = []
    for place in sorted((places[id(p)] for p in group["params"]), key=lambda each: each.start):
        if joined and joined[-1].stop == place.start:
            place = slice(joined.pop().start, place.stop)
        joined.append(place)
    for columns in joined:
        view = nn.Parameter(stack.weights[rows, columns])
        view.grad = stack.slopes[rows, columns]
        yield view


def _may_be_fused(groups: list[dict[str, Any]]) -> bool:
    """Whether PyTorch has one kernel for a step, and nobody chose another."""
    return all(
        group.get("fused", False) is None
        and not group["foreach"]
        and not group["differentiable"]
        and all(p.is_contiguous() and p.device.type in ("cpu", "cuda") for p in group["params"])
        for group in groups
    )
