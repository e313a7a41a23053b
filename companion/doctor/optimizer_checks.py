"""Checks of what an optimiser holds, and of what one step with it does to a copy."""

from __future__ import annotations

import math
from typing import Any

from torch import nn
from torch.optim import Optimizer

from companion.doctor.copies import uphill
from companion.doctor.loss_checks import slopes_at_zero
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.schedule_checks import simulated
from companion.doctor.words import NotRunError, Result, Seen, error, note, warning
from companion.inputs import brief


def optimizer_of(pipeline: Pipeline) -> Optimizer:
    """Return the optimiser; `NotRunError` for none of PyTorch's."""
    given = pipeline["optimizer"]
    if not hasattr(given, "param_groups"):
        raise NotRunError(f"a {type(given).__name__} is no optimiser with parameter groups")
    return given


def held_by(optimizer: Any) -> dict[int, nn.Parameter]:
    """Return the parameters that an optimiser holds, by their `id`."""
    return {id(p): p for group in optimizer.param_groups for p in group["params"]}


def head_names(pipeline: Pipeline) -> list[str]:
    """Return the names of the head's parameters, as the model has them; none for no head."""
    try:
        place = pipeline.head.name
    except NotRunError:
        return []
    below = [n for n, _ in pipeline.module.named_parameters() if n.startswith(f"{place}.")]
    return below if place else [n for n, _ in pipeline.module.named_parameters()]


@check(
    "OPT001",
    chapter="silent-surgery",
    needs=["model", "optimizer"],
    explains=["OPT003", "SMP116", "OPT007"],
)
def coverage(pipeline: Pipeline) -> Result:
    """The optimiser does not hold the parameters that are to learn.

    Fault: It was made before the head was replaced or parts were thawed, or of another model.
    Evidence: The parameters of model and loss that may change, against those in its groups, one
    by one.
    Consequence: What it does not hold never moves. A new head stays random, and the features bend
    to it.
    Remedy: Make it last: surgery, then freezing, then the optimiser.
    False alarms: An error for the head, for a model of which it holds nothing, and where it holds
    parameters of nobody in their place; leaving out single parameters may be meant: a warning.
    Parameters of something else besides, as of an average, are a note.

    In code:
        optimizer = SGD(model.parameters(), lr=0.1)
        model.fc = nn.Linear(512, 10)  # not in it
    """
    module, optimizer = pipeline.module, optimizer_of(pipeline)
    held = held_by(optimizer)
    own = dict(module.named_parameters())
    loss = pipeline.given.get("loss")
    of_loss = dict(loss.named_parameters()) if isinstance(loss, nn.Module) else {}
    trainable = [name for name, p in own.items() if p.requires_grad]
    if not trainable:
        return error(f"every one of {len(own)} parameters is frozen: nothing can be learnt")
    missing = [name for name in trainable if id(own[name]) not in held]
    known = {id(p) for p in [*own.values(), *of_loss.values()]}
    foreign = [p for key, p in held.items() if key not in known]
    found: list[Seen] = []
    if len(missing) == len(trainable):
        found.append(
            error(
                f"it holds none of the {len(trainable)} parameters that may change, and "
                f"{len(foreign)} that are not the model's"
            )
        )
    elif missing:
        head = [name for name in missing if name in head_names(pipeline)]
        told = (
            f"it lacks {len(missing)} of {len(trainable)} parameters that may change: "
            f"{brief(missing, 4)}"
        )
        if head:
            found.append(error(f"{told}; the head is among them"))
        elif foreign:
            found.append(error(f"{told}; and it holds {len(foreign)} that are nobody's"))
        else:
            found.append(warning(told))
    elif foreign:
        found.append(note(f"besides the model's it holds {len(foreign)} parameters"))
    lost = [name for name, p in of_loss.items() if p.requires_grad and id(p) not in held]
    if lost:
        found.append(warning(f"the loss has parameters that it does not hold: {brief(lost)}"))
    return found or f"it holds all {len(trainable)} parameters that may change"


@check("OPT002", chapter="freeze-by-hand", needs=["model", "optimizer"], explains=["OPT004"])
def frozen_and_moving(pipeline: Pipeline) -> Result:
    """Frozen parameters are still moved by the optimiser.

    Fault: They were frozen in the middle of a run: the optimiser has a momentum of them, and their
    gradients are zeros and not None.
    Evidence: Frozen parameters in its groups that have a gradient, and what it remembers of them.
    Consequence: Momentum and weight decay go on moving what is said to be frozen.
    Remedy: Freeze, then make the optimiser; or set their gradients to None:
    zero_grad(set_to_none=True).
    False alarms: Frozen parameters without a gradient are passed over by every optimiser of
    PyTorch's, and are fine.

    In code:
        model.body.requires_grad_(False); optimizer.zero_grad(set_to_none=False)
    """
    optimizer = optimizer_of(pipeline)
    names = {id(p): name for name, p in pipeline.module.named_parameters()}
    frozen = [p for p in held_by(optimizer).values() if not p.requires_grad]
    live = [p for p in frozen if p.grad is not None]
    told = f"{len(frozen)} frozen parameters are in its groups"
    if not live:
        return f"{told}, none with a gradient"
    remembered = [p for p in live if optimizer.state.get(p)]
    decays = any(float(group.get("weight_decay", 0)) > 0 for group in optimizer.param_groups)
    moved = (
        remembered or decays or any(bool((p.grad != 0).any()) for p in live if p.grad is not None)
    )
    if moved:
        which = brief([names.get(id(p), "?") for p in live], 3)
        return error(
            f"{told}; {len(live)} have gradients that are not None, and {len(remembered)} "
            f"a momentum: {which}"
        )
    return f"{told}, without momentum, decay or gradient"


@check(
    "OPT005",
    chapter="starting-rates",
    needs=["optimizer"],
    explains=["OPT003", "SMP116", "OPT107"],
)
def rate_is_none(pipeline: Pipeline) -> Result:
    """A learning rate is zero, negative or no number.

    Fault: A schedule left it at zero, or goes on below it; a typing slip, or a division by zero.
    Evidence: The rates of all groups, and with total_steps= those that the scheduler will give.
    Consequence: With zero nothing is learnt; a negative rate climbs.
    Remedy: Set a positive rate, 1e-3 for Adam, say.
    False alarms: Zero before a warm-up passes where scheduler= is given; zero in some of the
    groups is a note.

    In code:
        [group["lr"] for group in optimizer.param_groups]
    """
    rates = [float(group.get("lr", math.nan)) for group in optimizer_of(pipeline).param_groups]
    wrong = [rate for rate in rates if not math.isfinite(rate) or rate < 0]
    if wrong:
        return error(f"{len(wrong)} of {len(rates)} rates are negative or no number: {wrong}")
    late = _first_wrong_step(pipeline)
    if late:
        return error(f"the scheduler gives {late}")
    zero = sum(rate == 0 for rate in rates)
    if zero and "scheduler" in pipeline:
        return f"{zero} of {len(rates)} rates are 0, which a scheduler may raise"
    if zero:
        return (error if zero == len(rates) else note)(f"{zero} of {len(rates)} rates are 0")
    return f"rates {', '.join(f'{rate:.3g}' for rate in rates)}"


def _first_wrong_step(pipeline: Pipeline) -> str:
    """Return the first rate of the rest of the run that is negative or no number, in words."""
    if "scheduler" not in pipeline or "total_steps" not in pipeline:
        return ""
    try:
        planned = simulated(pipeline).rates
    except NotRunError:
        return ""
    # What a closed form leaves below zero by rounding moves nothing.
    wrong = (~planned.isfinite() | (planned < -1e-6 * planned.abs().max())).any(1).nonzero()
    if not len(wrong):
        return ""
    row, step = planned[int(wrong[0])], int(wrong[0])
    return (
        f"a rate of {float(row.min()):.3g} at step {step} of {len(planned)}, and {len(wrong)} "
        "rates that are negative or no number"
    )


@check("OPT006", chapter="rate-sweep", needs=["optimizer"], explains=["SMP116", "OPT007", "PRO032"])
def climbs(pipeline: Pipeline) -> Result:
    """The optimiser climbs.

    Fault: `maximize=True`, or a sign in an optimiser of one's own.
    Evidence: One step of an optimiser of the same kind and settings, without weight decay, on
    weights of its own with a known gradient, in float64: it has to go against the gradient.
    Consequence: The loss rises until it overflows.
    Remedy: Leave out maximize, unless a gain is maximised.
    False alarms: Right where the loss is a gain: with loss= it is only an error where the loss
    rewards the right class, see SMP113.

    In code:
        SGD(model.parameters(), lr=0.1, maximize=True)
    """
    optimizer = optimizer_of(pipeline)
    try:
        wrong = uphill(optimizer)
    except NotRunError:
        raise
    except Exception as raised:
        raise NotRunError(f"its step cannot be tried alone ({raised})") from raised
    if not wrong:
        return f"a step of {type(optimizer).__name__} goes against the gradient"
    told = f"a step of {type(optimizer).__name__} goes along the gradient, uphill"
    known = "loss" in pipeline and "train" in pipeline
    if known and max(slopes_at_zero(pipeline, pipeline.width)) > 0:
        return f"{told}; and the loss is a gain"
    return error(told)
