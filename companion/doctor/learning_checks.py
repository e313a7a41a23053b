"""Checks of whether training can begin: the first loss, one batch learnt, the rate probed."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from torch import Tensor

import companion.learning_rate as rates
from companion.doctor.copies import copied, pairs_of, shadow_of
from companion.doctor.loss_checks import CROSS_ENTROPIES, kind_of
from companion.doctor.optimizer_checks import optimizer_of
from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.stepping import losses_of_training, one_step, own_loss
from companion.doctor.taking import cut
from companion.doctor.words import NotRunError, Result, note, warning

STEPS = 40
SECONDS = 15.0  # that one check may train for, by the time that one step takes
PROBE = 12  # rates of a range test
FEW = 16  # images of its batches


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
    Evidence: The loss of one batch over up to 40 steps on copies: with the given optimiser, with
    Adam at 0.001, and with Adam without dropout and batch statistics. What separates the three
    says where to look.
    Consequence: What cannot learn one batch learns nothing.
    Remedy: Where Adam learns it, look at the optimiser and its rate; where only the copy without
    dropout does, at the regularisation; where none does, at frozen parts, the loss and the labels.
    False alarms: A warning: strong regularisation and small heads learn slowly. A loss that is low
    already passes.

    In code:
        for _ in range(100): step(images, labels)  # of one batch: the loss goes to 0
    """
    took = _seconds_of_a_step(pipeline)
    steps = min(STEPS, int(SECONDS / 3 / max(took, 1e-6)))
    if steps < 10:
        raise NotRunError(f"a step takes {took:.1f} s: it would take long")
    if not any(p.requires_grad for p in pipeline.module.parameters()):
        raise NotRunError("no parameter may change (OPT001)")
    adam = losses_of_training(pipeline, steps=steps, rate=1e-3)
    if adam[0] < 0.1:
        return f"the loss of a batch is {adam[0]:.3g} already"
    plain = losses_of_training(pipeline, steps=steps, rate=1e-3, plain=True)
    said = {f"Adam at 0.001: {_course(adam)}": adam, f"without dropout: {_course(plain)}": plain}
    own: list[float] = []
    if "optimizer" in pipeline and hasattr(pipeline["optimizer"], "param_groups"):
        own = losses_of_training(pipeline, steps=steps, rate=None)
        said = {f"the given optimiser: {_course(own)}": own} | said
    told = f"in {steps} steps on one batch the loss goes, with {'; with '.join(said)}"
    if not _falls(adam) and not _falls(plain) and not _falls(own):
        return warning(told)
    if own and not _falls(own, 0.01) and _falls(adam):
        return warning(
            f"{told}: the optimiser is the cause",
            remedy="Look at its rate, at what it "
            "holds (OPT001) and at the sign of its step (OPT006).",
        )
    return told


def _falls(losses: list[float], share: float = 0.05) -> bool:
    whole = [value for value in losses if math.isfinite(value)]
    if len(whole) < 2:
        return False
    tail = sorted(whole[len(whole) // 2 :])
    return whole[0] - tail[len(tail) // 2] > share * abs(whole[0])


def _course(losses: list[float]) -> str:
    return f"{losses[0]:.3g} to {losses[-1]:.3g}"


def _seconds_of_a_step(pipeline: Pipeline) -> float:
    """Return about how long a step takes where nothing else runs: the processor's own time.

    Of two measurements the shorter: the first one may pay for what torch loads at its first step.
    """
    one_step(pipeline)
    return min(_seconds_of_one_step(pipeline) for _ in range(2))


def _seconds_of_one_step(pipeline: Pipeline) -> float:
    begun = time.process_time()
    losses_of_training(pipeline, steps=1, rate=1e-3)
    return (time.process_time() - begun) / torch.get_num_threads()


@check("OPT007", chapter="range-test", needs=["model", "train", "optimizer"], explains=["SMP116"])
def rate_probed(pipeline: Pipeline) -> Result:
    """At the given learning rate the loss explodes.

    Fault: The rate is too high for this optimiser and network, or the loss is a sum.
    Evidence: A range test on copies, three seeds, from a thirtieth to thirty times the highest
    rate of the groups, with an optimiser of the same kind and settings: the rate at which each
    run's loss doubles.
    Consequence: The weights are lost in the first steps.
    Remedy: Choose a rate below the range that is given: range_test(model, train).suggestion().
    False alarms: A warning, found where all three runs explode at less than half of the rate. A
    warm-up lets a network bear more: with a scheduler that begins lower it is a note.

    In code:
        range_test(model, train, optimizer=optimizer).plot()
    """
    optimizer = optimizer_of(pipeline)
    _ = pipeline.width
    rate = max(float(group["lr"]) for group in optimizer.param_groups)
    started = max(float(g.get("initial_lr", g["lr"])) for g in optimizer.param_groups)
    top = max([rate, *(float(g["max_lr"]) for g in optimizer.param_groups if "max_lr" in g)])
    if not 0 < top < math.inf:
        raise NotRunError(f"the rate is {top}")
    took = _seconds_of_a_step(pipeline)
    if 3 * PROBE * took > SECONDS:
        raise NotRunError(f"a step takes {took:.1f} s: call range_test(model, train) yourself")
    data = _batches(pipeline)
    made = copied(pipeline.module)
    stepper: Any = shadow_of(optimizer, pairs_of(pipeline.module, made))
    kept = [p for group in stepper.param_groups for p in group["params"]]
    if not kept or any(
        p.requires_grad and all(p is not q for q in kept) for p in made.parameters()
    ):
        raise NotRunError("the optimiser does not hold every parameter (OPT001)")
    try:
        found = rates.range_test(
            made,
            data,
            low=top / 30,
            high=top * 30,
            steps=PROBE,
            seeds=range(3),
            optimizer=stepper,
            loss=own_loss(pipeline),
            progress=False,
        )
    except (ValueError, TypeError, RuntimeError) as raised:
        raise NotRunError(f"the range test refuses: {raised}") from raised
    stops = [_stop(run, found.lrs) for run in found.losses]
    whole = [stop for stop in stops if stop is not None]
    told = f"the rate is {top:.3g}; " + (
        f"{len(whole)} of 3 runs explode, from {min(whole):.3g} to {max(whole):.3g}"
        if whole
        else f"no run explodes up to {float(found.lrs[-1]):.3g}"
    )
    if len(whole) == 3 and max(whole) < top / 2:
        return (note if "scheduler" in pipeline and min(rate, started) < top else warning)(told)
    return told


def _stop(losses: Tensor, lrs: Tensor) -> float | None:
    ended = losses.isnan().nonzero().flatten()
    return float(lrs[int(ended[0])]) if len(ended) else None


def _batches(pipeline: Pipeline) -> list[tuple[Any, Tensor]]:
    sample, labels = pipeline.read("train"), pipeline.labels("train")
    starts = torch.tensor([0, *sample.sizes]).cumsum(0).tolist()
    data = [
        (cut(inputs, FEW), labels[start : start + min(size, FEW)])
        for inputs, size, start in zip(sample.inputs, sample.sizes, starts, strict=False)
        if size > 1
    ]
    if not data:
        raise NotRunError("no batch of train has two images")
    kind = kind_of(pipeline.loss)
    if (
        "loss" in pipeline
        and kind not in CROSS_ENTROPIES
        and sample.labels is not None
        and (sample.labels.form != "indices")
    ):
        raise NotRunError(f"the labels are {sample.labels.form}")
    return data
