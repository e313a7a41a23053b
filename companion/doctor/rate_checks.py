"""Checks of the given learning rate, by what steps at it do to copies."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

import torch
from torch import Tensor

from companion.doctor.copies import copied, pairs_of, shadow_of
from companion.doctor.learning_checks import SECONDS, seconds_of_a_step
from companion.doctor.optimizer_checks import optimizer_of
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.stepping import loss_of
from companion.doctor.taking import cut
from companion.doctor.words import NotRunError, Result, note, warning
from companion.inputs import called, device_of, dtype_of, moved
from companion.states import own_randomness

PROBE = 12  # steps of a run
FEW = 16  # images of its batches
RUNS = 3
FAR = 100.0  # times the loss of a network that knows nothing: no start is that rough


@check("OPT007", chapter="range-test", needs=["model", "train", "optimizer"], explains=["SMP116"])
def rate_probed(pipeline: Pipeline) -> Result:
    """At the given learning rate the loss explodes.

    Fault: The rate is too high for this optimiser and network, or the loss is a sum.
    Evidence: Three runs of 12 steps on copies, from the weights as they are, at the given rates,
    with an optimiser of the same kind and settings. A run is lost where a loss is a hundred times
    that of a network that knows nothing, or no number; or where its last losses are above twice
    that level (for a network that knew something: above it) and no longer fall, and a tenth of the
    rate leads to less than half of them.
    Consequence: The weights are lost in the first steps.
    Remedy: Choose a lower rate: range_test(model, train).suggestion() names one.
    False alarms: A warning, where all three runs are lost. The optimiser's past is not taken
    along, so that the first steps may be rough: what recovers passes. A warm-up lets a network
    bear more: with a scheduler that begins lower it is a note.

    In code:
        range_test(model, train, optimizer=optimizer).plot()
    """
    optimizer = optimizer_of(pipeline)
    width = pipeline.width
    rate = max(float(group["lr"]) for group in optimizer.param_groups)
    started = max(float(g.get("initial_lr", g["lr"])) for g in optimizer.param_groups)
    top = max([rate, *(float(g["max_lr"]) for g in optimizer.param_groups if "max_lr" in g)])
    if not 0 < top < math.inf:
        raise NotRunError(f"the rate is {top}")
    took = seconds_of_a_step(pipeline)
    if RUNS * PROBE * took > SECONDS:
        raise NotRunError(f"a step takes {took:.1f} s: call range_test(model, train) yourself")
    data = _batches(pipeline)
    chance = _of_nothing(pipeline, data, width)
    told = ""
    for run in range(RUNS):
        begun, losses = _run(pipeline, data, run, rate=top)
        told = (
            f"in {len(losses)} steps at the rate {top:.3g} the loss goes from {begun:.3g} to "
            f"{losses[-1]:.3g}, at most {max(losses):.3g}; of a network that knows nothing it is "
            f"{chance:.3g}"
        )
        if not is_lost(begun, losses, chance):
            return told
        if exploded(begun, losses, chance):
            continue
        _, slower = _run(pipeline, data, run, rate=top / 10)
        if not _end(losses) > 2 * _end(slower):
            return f"{told}; a tenth of it does no better"
    told += f", in {RUNS} of {RUNS} runs"
    return (note if "scheduler" in pipeline and min(rate, started) < top else warning)(told)


def exploded(begun: float, losses: list[float], chance: float) -> bool:
    """Return whether a loss has been NaN, infinite, or far beyond any network's.

    >>> exploded(2.3, [2.3, 1e5, 2.0, 1.9], 2.3)
    True
    """
    return not all(map(math.isfinite, losses)) or max(losses) > FAR * max(chance, begun)


def is_lost(begun: float, losses: list[float], chance: float) -> bool:
    """Return whether a run's losses have left for good.

    >>> is_lost(2.3, [2.3, 40.0, 30.0, 3.0], 2.3), is_lost(2.3, [2.3, 40.0, 90.0, 80.0], 2.3)
    (False, True)
    """
    if exploded(begun, losses, chance):
        return True
    quarter = max(1, len(losses) // 4)
    before, last = median(losses[-2 * quarter : -quarter]), median(losses[-quarter:])
    recovers = last < 0.8 * before
    knew = begun < chance / 2
    return not recovers and last > (chance if knew else 2 * max(chance, begun))


def _end(losses: list[float]) -> float:
    return median(losses[-max(1, len(losses) // 4) :])


def _run(
    pipeline: Pipeline, data: list[tuple[Any, Tensor]], seed: int, *, rate: float
) -> tuple[float, list[float]]:
    """Return the loss before the first step, over all batches, and those of the steps."""
    given = optimizer_of(pipeline)
    made = copied(pipeline.module).train()
    stepper: Any = shadow_of(given, pairs_of(pipeline.module, made))
    kept = {id(p) for group in stepper.param_groups for p in group["params"]}
    if not kept or any(p.requires_grad and id(p) not in kept for p in made.parameters()):
        raise NotRunError("the optimiser does not hold every parameter (OPT001)")
    highest = max(float(group["lr"]) for group in stepper.param_groups)
    for group in stepper.param_groups:
        group["lr"] = float(group["lr"]) * rate / highest
    device, dtype = device_of(made), dtype_of(made)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed)).tolist()

    def loss_at(place: int) -> Tensor:
        inputs, targets = data[order[place % len(order)]]
        return loss_of(pipeline, called(made, moved(inputs, device, dtype)), targets)

    losses = []
    with own_randomness(pipeline.seed + seed, device):
        with torch.no_grad():
            begun = median(float(loss_at(place)) for place in range(min(len(data), 4)))
        for place in range(PROBE):
            for parameter in made.parameters():
                parameter.grad = None
            value = loss_at(place)
            losses.append(float(value.detach()))
            if not math.isfinite(losses[-1]) or not value.requires_grad:
                break
            value.backward()
            stepper.step()
    return begun, losses


def _of_nothing(pipeline: Pipeline, data: list[tuple[Any, Tensor]], width: int) -> float:
    """Return the loss of outputs that are all zero, else ln K."""
    try:
        return median(
            float(loss_of(pipeline, torch.zeros(len(targets), width), targets))
            for _, targets in data
        )
    except NotRunError:
        return math.log(width)


def _batches(pipeline: Pipeline) -> list[tuple[Any, Tensor]]:
    sample = pipeline.read("train")
    if sample.labels is None:
        raise NotRunError("the labels of train could not be read (LBL001)")
    named = sample.labels.form == "names"
    given = pipeline.labels("train").split(sample.sizes) if named else sample.given
    found = [
        (cut(inputs, FEW), torch.as_tensor(targets)[:FEW])
        for inputs, size, targets in zip(sample.inputs, sample.sizes, given, strict=False)
        if size > 1
    ]
    if not found:
        raise NotRunError("no batch of train has two images")
    return found
