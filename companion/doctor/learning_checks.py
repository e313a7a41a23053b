"""Checks of whether training can begin: the first loss, and one batch learnt by heart."""

from __future__ import annotations

import math
import time

import torch

from companion.doctor.facts import kept
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.stepping import BATCH, loss_of, losses_of_training, one_step, targets_of
from companion.doctor.taking import tensor_in
from companion.doctor.words import NotRunError, Result, note, warning

STEPS = 40
SECONDS = 15.0  # that one check may train for, by the time that one step takes
FREE_STEPS = 60  # of outputs that are free to move


@check("SMP118", chapter="first-checks", needs=["model", "train"])
def first_loss(pipeline: Pipeline) -> Result:
    """The loss at hand is higher than that of a network that knows nothing.

    Fault: Weights are far too large, inputs are not scaled, or labels are numbered otherwise than
    the outputs.
    Evidence: The cross-entropy of the sampled training images, in evaluation mode, against ln K.
    Consequence: The first steps only undo it; a trained network with such a loss is confidently
    wrong.
    Remedy: Scale the inputs, look at the labels; make a new head's weights small.
    False alarms: A note: a head that was pretrained on other classes begins like that.

    In code:
        F.cross_entropy(model(images), labels), math.log(num_classes)
    """
    logits, labels = pipeline.judged("train")
    value = float(torch.nn.functional.cross_entropy(logits, labels))
    chance = math.log(logits.shape[1])
    told = f"the loss of {len(labels)} training images is {value:.3g}, ln K is {chance:.3g}"
    return note(told) if value > 1.5 * chance + 0.5 else told


@check("SMP116", chapter="first-checks", needs=["model", "train"], explains=["PRO032"])
def one_batch(pipeline: Pipeline) -> Result:
    """One batch cannot be learnt by heart.

    Fault: The gradient does not reach the weights, the loss asks for something else, or the
    optimiser is the cause.
    Evidence: The loss of one batch over up to 40 steps on copies: with the given optimiser; where
    that does not learn it, with Adam at 0.001, and with Adam without dropout and batch statistics.
    What separates the three says where to look. Beside them what the loss can reach at all: with
    outputs that are free to move, and with one answer for all images.
    Consequence: What cannot learn one batch learns nothing.
    Remedy: Where Adam learns it, look at the optimiser and its rate; where only the copy without
    dropout does, at the regularisation; where none does, at frozen parts, the loss and the labels.
    False alarms: A warning: strong regularisation and small heads learn slowly. A loss that is
    near the lowest that it can reach passes, as with label smoothing.

    In code:
        for _ in range(100): step(images, labels)  # of one batch: the loss goes to 0
    """
    took = seconds_of_a_step(pipeline)
    steps = min(STEPS, int(SECONDS / 3 / max(took, 1e-6)))
    if steps < 10:
        raise NotRunError(f"a step takes {took:.1f} s: it would take long")
    if not any(p.requires_grad for p in pipeline.module.parameters()):
        raise NotRunError("no parameter may change (OPT001)")
    begun = losses_of_training(pipeline, steps=1, rate=1e-3)[0]
    floor, constant = reachable(pipeline)
    if floor < 0:  # without a bound for outputs that are free, as of logarithms: it tells nothing
        floor, constant = 0.0, math.inf
    if begun < 0.1 or begun - floor < 0.1 * (constant - floor):
        return f"the loss of a batch is {begun:.3g} already"
    several = len(targets_of(pipeline, BATCH // 2).unique(dim=0)) > 1
    if several and constant < math.inf and constant - floor < 1e-3 * abs(constant):
        return warning(
            f"outputs that are free to move bring the loss of a batch to {floor:.3g}, and one "
            f"answer for all images to {constant:.3g}: the loss is the cause",
            remedy="Print the shapes of outputs and labels in the loss: one image's answer has to "
            "be compared with its own label.",
        )
    enough = floor + (min(begun, constant) - floor) / 2
    own: list[float] = []
    said = {}
    if "optimizer" in pipeline and hasattr(pipeline["optimizer"], "param_groups"):
        own = losses_of_training(pipeline, steps=steps, rate=None, enough=enough)
        said = {f"the given optimiser: {_course(own)}": own}
        if own[-1] <= enough:
            return f"in {len(own)} steps the loss of one batch goes from {_course(own)}"
    adam = losses_of_training(pipeline, steps=steps, rate=1e-3, enough=enough)
    plain = losses_of_training(pipeline, steps=steps, rate=1e-3, plain=True, enough=enough)
    said |= {f"Adam at 0.001: {_course(adam)}": adam, f"Adam without dropout: {_course(plain)}": []}
    told = f"in {steps} steps on one batch the loss goes, with {'; with '.join(said)}"
    falls = [_falls(losses, floor) for losses in (own, adam, plain)]
    if not any(falls):
        return warning(told)
    slower = own and own[-1] > adam[-1]
    if slower and _falls(adam, floor) and (not _falls(own, floor, 0.01) or _stuck(own, constant)):
        return warning(
            f"{told}: the optimiser is the cause",
            remedy="Look at its rate, at its weight decay, at what it holds (OPT001) and at the "
            "sign of its step (OPT006).",
        )
    return told


def _falls(losses: list[float], floor: float, share: float = 0.05) -> bool:
    whole = [value for value in losses if math.isfinite(value)]
    if len(whole) < 2:
        return False
    tail = sorted(whole[len(whole) // 2 :])
    return whole[0] - tail[len(tail) // 2] > share * abs(whole[0] - floor)


def _stuck(losses: list[float], constant: float) -> bool:
    """Return whether losses have come to rest where one answer for all images would be as good.

    A descent that is only slow makes a quarter of its way in the last quarter of the steps.
    """
    quarter = len(losses) // 4
    if quarter < 2 or not all(map(math.isfinite, losses)):
        return False
    before, last = (
        sum(part) / quarter for part in (losses[-2 * quarter : -quarter], losses[-quarter:])
    )
    return last > 0.98 * constant and before - last < 0.1 * (losses[0] - last)


def reachable(pipeline: Pipeline) -> tuple[float, float]:
    """Return the lowest loss of a batch for outputs that are free, and for one answer to all.

    0 and infinity where the loss cannot be tried on outputs alone.
    """
    found = tensor_in(pipeline.answer)
    assert found is not None
    count = min(BATCH // 2, pipeline.read("train").sizes[0])
    targets = targets_of(pipeline, count)
    lowest = []
    for rows in (count, 1):
        free = torch.zeros(rows, *found.shape[1:], requires_grad=True)
        stepper = torch.optim.Adam([free], lr=0.5)
        values = []
        try:
            for _ in range(FREE_STEPS):
                stepper.zero_grad()
                value = loss_of(pipeline, free.expand(count, *free.shape[1:]), targets)
                value.backward()
                stepper.step()
                values.append(float(value.detach()))
        except (NotRunError, RuntimeError):
            return 0.0, math.inf
        lowest.append(min([v for v in values if math.isfinite(v)], default=math.nan))
    if not all(map(math.isfinite, lowest)):
        return 0.0, math.inf
    return lowest[0], max(lowest)


def _course(losses: list[float]) -> str:
    return f"{losses[0]:.3g} to {losses[-1]:.3g}"


def seconds_of_a_step(pipeline: Pipeline) -> float:
    """Return about how long a step takes where nothing else runs: the processor's own time.

    Of two measurements the shorter: the first one may pay for what torch loads at its first step.
    """
    one_step(pipeline)
    return kept(
        pipeline.facts,
        "seconds of a step",
        lambda: min(_seconds_of_one_step(pipeline) for _ in range(2)),
    )


def _seconds_of_one_step(pipeline: Pipeline) -> float:
    begun = time.process_time()
    losses_of_training(pipeline, steps=1, rate=1e-3)
    return (time.process_time() - begun) / torch.get_num_threads()
