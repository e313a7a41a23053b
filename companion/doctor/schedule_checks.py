"""Checks of a scheduler before training depends on it: the findings of `simulate_schedule`."""

from __future__ import annotations

from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from companion.doctor.facts import kept
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.words import NotRunError, Result, Seen
from companion.learning_rate import SimulatedSchedule, simulate_schedule

MADE = (LRScheduler, ReduceLROnPlateau)


def simulated(pipeline: Pipeline) -> SimulatedSchedule:
    """Return the rates that the scheduler will give for the steps that are left of the run."""

    def found() -> SimulatedSchedule:
        scheduler, steps = pipeline["scheduler"], pipeline["total_steps"]
        if isinstance(scheduler, ReduceLROnPlateau):
            raise NotRunError("ReduceLROnPlateau goes by a metric: OPT104 looks at it")
        if isinstance(scheduler, LRScheduler):
            left = steps - max(0, scheduler.last_epoch)
            if left < 1:
                raise NotRunError(f"the scheduler was stepped {scheduler.last_epoch} times already")
            return simulate_schedule(scheduler, steps=left)
        groups = getattr(pipeline.given.get("optimizer"), "param_groups", None)
        rates = [float(group["lr"]) for group in groups] if groups else 0.1
        try:
            return simulate_schedule(scheduler, steps=steps, lr=rates)
        except TypeError as raised:
            raise NotRunError(f"the scheduler is none that is known here: {raised}") from raised

    return kept(pipeline.facts, "schedule", found)


def reported(pipeline: Pipeline, code: str) -> Result:
    """Return what the simulation found of a code, or the rates in a sentence."""
    schedule = simulated(pipeline)
    found = [each for each in schedule.findings if each.code == code]
    if not found:
        first, last = float(schedule.rates[0].max()), float(schedule.rates[-1].max())
        return f"{len(schedule.rates):,} steps, from {first:.3g} to {last:.3g}"
    return [Seen(each.severity, each.seen, each.why, each.remedy) for each in found]


NEEDED = ["scheduler", "total_steps"]


@check("OPT101", chapter="schedules", needs=NEEDED)
def raises_in_the_run(pipeline: Pipeline) -> Result:
    """The scheduler raises before the run ends.

    Fault: It was made for fewer steps, or is stepped too often.
    Evidence: The scheduler, stepped as often as total_steps says.
    Consequence: Training stops there.
    Remedy: Make it for the number of optimiser steps, epochs × batches, and step it once after
    each.
    False alarms: None, if total_steps is right.

    In code:
        OneCycleLR(optimizer, max_lr=0.1, total_steps=epochs)  # and stepped after each batch
    """
    return reported(pipeline, "OPT101")


@check("OPT102", chapter="rate-and-schedule", needs=[*NEEDED, "optimizer"])
def rates_not_used(pipeline: Pipeline) -> Result:
    """The rate that the optimiser was given is not used.

    Fault: The scheduler has a peak of its own.
    Evidence: The highest rate of the simulated run against the rate that was given.
    Consequence: The rate that was chosen decides nothing.
    Remedy: Give the scheduler the same peak, or the optimiser the scheduler's.
    False alarms: Only where scheduler= is a function that makes one: one in use has written over
    the rates already.

    In code:
        OneCycleLR(SGD(parameters, lr=0.5), max_lr=0.01, total_steps=1000)
    """
    if isinstance(pipeline["scheduler"], MADE):
        raise NotRunError("a scheduler in use has written over the rates that were given")
    return reported(pipeline, "OPT102")


@check("OPT105", chapter="schedules", needs=NEEDED)
def never_begins(pipeline: Pipeline) -> Result:
    """The scheduler is called too few times to do anything.

    Fault: It counts optimiser steps and is stepped once an epoch.
    Evidence: The rates of the run, and those of as many calls again.
    Consequence: The run is one at a constant rate.
    Remedy: Make it for the steps of this run, or step it after each of them.
    False alarms: A warning: a step that is only due in a longer run may be meant.

    In code:
        StepLR(optimizer, step_size=30_000)  # stepped 90 times
    """
    return reported(pipeline, "OPT105")


@check("OPT106", chapter="schedules", needs=NEEDED)
def rises_again(pipeline: Pipeline) -> Result:
    """The rate falls and rises again.

    Fault: A cosine was made for fewer steps than are taken, and goes back up.
    Evidence: The simulated rates.
    Consequence: What had settled is stirred up again.
    Remedy: CosineAnnealingLR(optimizer, T_max=total_steps).
    False alarms: Warm restarts and cycles do it on purpose: for schedulers of that name it passes.

    In code:
        CosineAnnealingLR(optimizer, T_max=epochs)  # and stepped after each batch
    """
    name = type(pipeline["scheduler"]).__name__
    if "Restart" in name or "Cyclic" in name:
        return f"{name} rises again on purpose"
    return reported(pipeline, "OPT106")


@check("OPT107", chapter="schedules", needs=NEEDED)
def ends_early(pipeline: Pipeline) -> Result:
    """The rate is next to nothing long before the run ends.

    Fault: The scheduler was made for fewer steps, or is stepped too often, as once in each of
    several processes.
    Evidence: The simulated rates: the step after which they are below a millionth of the peak.
    Consequence: The rest of the run changes nothing.
    Remedy: Make it for all steps, and step it once after each.
    False alarms: A warning: a run may be meant to end with a rest.

    In code:
        StepLR(optimizer, step_size=30)  # meant in epochs, stepped after each batch
    """
    return reported(pipeline, "OPT107")


@check("OPT108", chapter="schedules", needs=NEEDED)
def ends_high(pipeline: Pipeline) -> Result:
    """The rate has fallen little when the run ends.

    Fault: The scheduler was made for more steps, or is stepped too seldom.
    Evidence: The last simulated rate against the highest.
    Consequence: The last steps are too long for the weights to settle.
    Remedy: Make it for the steps of this run.
    False alarms: A warning: a gentle decay may be meant. Constant rates pass.

    In code:
        CosineAnnealingLR(optimizer, T_max=total_steps)  # and stepped once an epoch
    """
    return reported(pipeline, "OPT108")


@check("OPT109", chapter="schedules", needs=NEEDED)
def still_rising(pipeline: Pipeline) -> Result:
    """The rate still rises when the run ends.

    Fault: The warm-up is longer than the run.
    Evidence: The last two simulated rates.
    Consequence: The longest steps come last, and nothing settles.
    Remedy: Shorten the warm-up, or count its steps as the loop does.
    False alarms: A warning: a range test rises to its end on purpose.

    In code:
        LinearLR(optimizer, start_factor=0.01, total_iters=1000)  # in a run of 300 steps
    """
    return reported(pipeline, "OPT109")
