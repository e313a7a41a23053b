"""Checks of a scheduler as it was made: for which optimiser, with which peaks, in which mode."""

from __future__ import annotations

from typing import Any

from torch.optim.lr_scheduler import CosineAnnealingLR, CyclicLR, OneCycleLR, ReduceLROnPlateau

from companion.doctor.curves import curves_of
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.schedule_checks import MADE, reported
from companion.doctor.words import NotRunError, Result, error, warning


@check("OPT103", chapter="head-and-backbone", needs=["scheduler", "optimizer"])
def groups_made_equal(pipeline: Pipeline) -> Result:
    """A scheduler gives all groups of parameters one rate.

    Fault: `OneCycleLR(max_lr=0.01)` and CyclicLR with one number set every group's peak to it.
    Evidence: The peaks of the groups; and whether the groups differ in anything else, as by their
    weight decay.
    Consequence: What was meant to change slowly, a pretrained body, changes as fast as the head.
    Remedy: Pass a peak for each group: max_lr=[1e-4, 1e-2].
    False alarms: Groups that differ in another setting pass: it is the reason for them.

    In code:
        OneCycleLR(AdamW([{"params": body, "lr": 1e-4}, {"params": head, "lr": 1e-2}]), max_lr=1e-2)
    """
    scheduler = pipeline["scheduler"]
    if not isinstance(scheduler, MADE):
        return reported(pipeline, "OPT103")
    groups = scheduler.optimizer.param_groups
    if not isinstance(scheduler, OneCycleLR | CyclicLR) or len(groups) < 2:
        return f"{type(scheduler).__name__} scales the rates of {len(groups)} groups"
    peaks = [float(group["max_lr"]) for group in groups if "max_lr" in group]
    peaks = peaks or [float(each) for each in getattr(scheduler, "max_lrs", [])]
    settings = [{k: v for k, v in g.items() if k not in ("params", "name")} for g in groups]
    if peaks and len({*peaks}) == 1 and all(each == settings[0] for each in settings):
        return warning(f"{len(groups)} groups that differ in nothing all rise to {peaks[0]:.3g}")
    return f"peaks {', '.join(f'{peak:.3g}' for peak in peaks)}"


@check("OPT104", chapter="schedules", needs=["scheduler"])
def plateau_the_wrong_way(pipeline: Pipeline) -> Result:
    """`ReduceLROnPlateau` looks in the wrong direction.

    Fault: Its mode is "min", the default, and it is told an accuracy; or "max" and a loss.
    Evidence: The best value that it remembers, found among the curves of history=.
    Consequence: The rate is lowered because training goes well.
    Remedy: ReduceLROnPlateau(optimizer, mode="max") for an accuracy.
    False alarms: None is known: the value has to be in a curve of one kind and in none of the
    other.

    In code:
        ReduceLROnPlateau(optimizer).step(validation_accuracy)
    """
    plateau = pipeline["scheduler"]
    if not isinstance(plateau, ReduceLROnPlateau):
        raise NotRunError("the scheduler goes by no metric")
    curves = curves_of(pipeline)
    best = float(plateau.best)
    kinds = {
        "loss" if "loss" in name else "accuracy"
        for name, values in curves.items()
        if "loss" in name or "acc" in name
        if any(value is not None and abs(value - best) < 1e-9 for value in values)
    }
    wrong = {"min": {"accuracy"}, "max": {"loss"}}[plateau.mode]
    if kinds == wrong:
        now = [float(group["lr"]) for group in plateau.optimizer.param_groups]
        return error(
            f"mode={plateau.mode!r}, and the best value that it remembers, {best:.4g}, is one of "
            f"{kinds.pop()}; the rates are {now} now"
        )
    if not kinds:
        raise NotRunError("the value that the plateau remembers is in none of the curves")
    return f"mode={plateau.mode!r} and a curve of {' and '.join(sorted(kinds))}"


@check("OPT110", chapter="schedules", needs=["scheduler", "optimizer"], explains=["OPT105"])
def another_optimizer(pipeline: Pipeline) -> Result:
    """The scheduler belongs to another optimiser.

    Fault: The optimiser was made anew, after surgery or on resuming, and the scheduler was not.
    Evidence: The optimiser that the scheduler holds.
    Consequence: The rates of the optimiser in use never change.
    Remedy: Make optimiser and scheduler together, in this order.
    False alarms: Wrappers that hold the optimiser inside pass.

    In code:
        scheduler.optimizer is optimizer
    """
    scheduler, optimizer = pipeline["scheduler"], pipeline["optimizer"]
    own: Any = getattr(scheduler, "optimizer", None)
    if own is None:
        raise NotRunError("the scheduler does not say which optimiser it is for")
    inner = getattr(optimizer, "optimizer", optimizer)
    outer = getattr(own, "optimizer", own)
    if own is optimizer or outer is inner or own.param_groups is optimizer.param_groups:
        return "it is for the optimiser that was given"
    return error(
        f"{type(scheduler).__name__} holds another {type(own).__name__} than the "
        f"{type(optimizer).__name__} that was given"
    )


@check("OPT111", chapter="scheduler-rates", needs=["scheduler"])
def floor_above_the_rate(pipeline: Pipeline) -> Result:
    """A cosine ends higher than it began.

    Fault: `eta_min` lies above the rate of a group.
    Evidence: `eta_min` of CosineAnnealingLR against the rate that each group began with.
    Consequence: The rate of the slowest group rises through the whole run.
    Remedy: Lower eta_min below the smallest rate, or scale each group by a factor.
    False alarms: None is known.

    In code:
        CosineAnnealingLR(SGD([{"params": body, "lr": 1e-5}], lr=1e-2), T_max=100, eta_min=1e-4)
    """
    scheduler = pipeline["scheduler"]
    if not isinstance(scheduler, CosineAnnealingLR):
        raise NotRunError("the scheduler is no CosineAnnealingLR")
    rates = [float(rate) for rate in scheduler.base_lrs]
    floor = float(scheduler.eta_min)
    under = [rate for rate in rates if 0 < rate < floor]
    if under:
        return error(
            f"{len(under)} of {len(rates)} groups begin at {min(under):.3g} and end at "
            f"eta_min={floor:.3g}, which is higher"
        )
    return f"eta_min={floor:.3g} is below {len(rates)} rates"
