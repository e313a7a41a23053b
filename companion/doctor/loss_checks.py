"""Checks of the loss as a function: its arguments, its sign, its scale, what it expects."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import SGD

from companion.doctor.pipeline import Pipeline
from companion.doctor.registry import check
from companion.doctor.stepping import (
    forms_of,
    loss_called,
    loss_of,
    other_way_round,
    own_loss,
    targets_of,
)
from companion.doctor.taking import tensor_in
from companion.doctor.words import NotRunError, Result, error, note, warning

CROSS_ENTROPIES = ("CrossEntropyLoss", "cross_entropy", "WeightedLoss", "LogitAdjustedLoss")
LIKELIHOODS = ("NLLLoss", "nll_loss")


def kind_of(loss: Any) -> str:
    """Return what a loss is called, the function inside a partial one.

    >>> kind_of(torch.nn.CrossEntropyLoss()), kind_of(F.cross_entropy)
    ('CrossEntropyLoss', 'cross_entropy')
    """
    inner = getattr(loss, "func", loss)
    return getattr(inner, "__name__", type(inner).__name__)


@check("SMP111", chapter="swapped-arguments", needs=["loss", "train"])
def loss_runs(pipeline: Pipeline) -> Result:
    """The loss does not run on logits and labels.

    Fault: A class was passed and no instance, the arguments are wanted the other way round, or
    the labels have a form that it does not take.
    Evidence: One call with the model's outputs and the labels of a batch.
    Consequence: Training stops there.
    Remedy: Read what it raised. cross_entropy(logits, labels) takes logits first.
    False alarms: A loss that reads rows, as BCEWithLogitsLoss, where the loader gives indices, is a
    note, and so is one that wants its arguments the other way round, as the loop may
    well do it; and one that wants more than two, which cannot be called here.

    In code:
        loss = nn.CrossEntropyLoss   # without the brackets
    """
    loss = pipeline["loss"]
    if isinstance(loss, type):
        return error(
            f"loss is the class {loss.__name__}, and no instance of it",
            remedy=f"Make one: {loss.__name__}().",
        )
    if not callable(loss):
        return error(f"loss is a {type(loss).__name__}, which cannot be called")
    outputs, targets = _batch(pipeline)
    copy = own_loss(pipeline)
    try:
        copy(outputs, targets)
    except TypeError as raised:
        if "argument" in str(raised):
            return note(f"the loss takes other arguments than (logits, labels): {raised}")
        return error(f"on a batch the loss raises TypeError: {raised}")
    except Exception as raised:
        if other_way_round(copy, outputs, targets):
            return note("the loss takes its arguments the other way round: (labels, logits)")
        for rows in forms_of(outputs, targets)[1:]:
            with suppress(Exception):
                copy(outputs, rows)
                return note(
                    "the loss does not take labels as the loader gives them, and takes rows of "
                    f"{tuple(rows.shape)} that the loop may make of them"
                )
        return error(f"on a batch the loss raises {type(raised).__name__}: {_first(raised)}")
    return "it runs on a batch"


def _first(raised: Exception) -> str:
    return str(raised).splitlines()[0] if str(raised) else ""


def _batch(pipeline: Pipeline) -> tuple[Tensor, Tensor]:
    """Return the model's outputs for some images, and their labels as the loss is given them."""
    task = pipeline.task
    outputs = tensor_in(pipeline.answer)
    assert outputs is not None
    targets = targets_of(pipeline, len(outputs)).to(outputs.device)
    if task == "classes" and not targets.is_floating_point():
        targets = targets.long()
    return outputs.detach(), targets


@check("SMP112", chapter="first-checks", needs=["loss", "train"])
def loss_is_one_number(pipeline: Pipeline) -> Result:
    """The loss returns no single number that can be minimised.

    Fault: `reduction="none"` gives a number for each image; `.item()` or `.detach()` takes the
    gradient away.
    Evidence: Shape and gradient of what the loss returns for a batch.
    Consequence: `backward()` raises, or there is nothing to follow.
    Remedy: Take the mean over the batch, and keep the tensor until backward() was called.
    False alarms: A number for each image is a note, as the loop may take their mean.

    In code:
        loss = nn.CrossEntropyLoss(reduction="none")(logits, labels).mean()
    """
    outputs, targets = _batch(pipeline)
    outputs.requires_grad_(True)
    value = loss_called(pipeline, outputs, targets)
    if not isinstance(value, Tensor):
        return error(f"the loss returns a {type(value).__name__}, which has no gradient")
    if not value.requires_grad:
        return error("the loss returns a tensor without a gradient")
    if value.dim():
        return note(f"the loss returns a tensor of shape {tuple(value.shape)} for a batch")
    return "it returns one number with a gradient"


@check(
    "SMP113", chapter="swapped-arguments", needs=["loss", "train"], explains=["SMP116", "PRO032"]
)
def loss_rewards(pipeline: Pipeline) -> Result:
    """The loss falls when the right class becomes less likely.

    Fault: The sign is wrong, the arguments are swapped, or `NLLLoss` is given what it does not
    read.
    Evidence: The slope of the loss, class by class, where all logits are zero: the logit of the
    right class must lower it.
    Consequence: Training makes the network worse than guessing, with a loss that falls.
    Remedy: Minimise cross_entropy(logits, labels); of a gain, minimise its negative.
    False alarms: None is known: at zero logits label smoothing, focal losses, margins, weights and
    logit adjustment all reward the right class. A class whose weight is zero is a note.

    In code:
        loss = lambda logits, labels: -F.cross_entropy(logits, labels)
    """
    width = pipeline.width
    slopes = slopes_at_zero(pipeline, width)
    wrong = [index for index, slope in enumerate(slopes) if slope > 1e-9]
    still = [index for index, slope in enumerate(slopes) if abs(slope) <= 1e-9]
    if wrong:
        return error(
            f"for {len(wrong)} of {width} classes the loss falls when the right logit "
            f"falls (slope {slopes[wrong[0]]:.3g} where it has to be negative)"
        )
    if still:
        return note(f"the loss does not depend on the right logit for classes {still[:6]}")
    return f"the right logit lowers the loss for each of {width} classes"


def slopes_at_zero(pipeline: Pipeline, width: int) -> list[float]:
    """Return the slope of the loss by the right logit, for each class, where logits are zero."""
    form = pipeline.read("train").labels
    rows = form is not None and form.form in ("one-hot", "soft rows")
    found = []
    for index in range(width):
        logits = torch.zeros(2, width, requires_grad=True)
        labels = torch.full((2,), index)
        targets = F.one_hot(labels, width).float() if rows else labels
        try:
            value = loss_called(pipeline, logits, targets)
            (slope,) = torch.autograd.grad(value.sum(), logits)
        except Exception as raised:
            raise NotRunError(f"the loss cannot be tried on zeros ({_first(raised)})") from raised
        found.append(float(slope[:, index].sum()))
    return found


@check("SMP114", chapter="batch-size", needs=["loss", "train"], explains=["OPT007"])
def loss_is_a_sum(pipeline: Pipeline) -> Result:
    """The loss grows with the number of images in a batch.

    Fault: The losses of the images are added up and not averaged: `reduction="sum"`.
    Evidence: The loss of a batch, and of the same batch twice over.
    Consequence: The step is as many times as long as there are images in the batch, and changes
    with the batch size; a last batch counts for less.
    Remedy: Take the mean over the batch, or divide by a fixed number of images.
    False alarms: A sum with a small rate, and one that the loop divides, are right: a warning only
    where the given optimiser is SGD and its rate, times the images of a batch, over 1 − momentum,
    is above 1, as no mean is trained; else a note. Losses within a batch, contrastive ones, differ
    otherwise and pass.

    In code:
        nn.CrossEntropyLoss(reduction="sum")(logits, labels) / 128
    """
    outputs, targets = _batch(pipeline)
    once = float(loss_of(pipeline, outputs, targets))
    twice = float(loss_of(pipeline, torch.cat([outputs] * 2), torch.cat([targets] * 2)))
    if once and math.isclose(twice, 2 * once, rel_tol=1e-3):
        told = (
            f"the loss of {len(outputs)} images is {once:.4g}, and of the same images "
            f"twice {twice:.4g}"
        )
        rate = rate_of_a_mean(pipeline)
        if rate is None or rate <= 1:
            return note(told)
        return warning(f"{told}; the rate is as one of {rate:.3g} for a mean without momentum")
    return f"the loss of {len(outputs)} images is {once:.4g}, and of the same twice {twice:.4g}"


def rate_of_a_mean(pipeline: Pipeline) -> float | None:
    """Return the rate that a mean would need for the steps that SGD makes with a sum."""
    optimizer = pipeline.given.get("optimizer")
    if not isinstance(optimizer, SGD):
        return None
    images = max(pipeline.read("train").sizes)
    return max(
        float(group["lr"]) * images / max(1 - float(group["momentum"]), 1e-3)
        for group in optimizer.param_groups
    )


@check("SMP115", chapter="swapped-arguments", needs=["loss", "train"], explains=["SMP116"])
def negative_loss(pipeline: Pipeline) -> Result:
    """A loss that cannot be negative is negative.

    Fault: `NLLLoss` is given logits or probabilities where it reads their logarithms, or
    one-hot labels and logits have changed places in a cross-entropy.
    Evidence: The loss of a batch, and for `NLLLoss` whether the outputs are logarithms of
    probabilities: the logarithm of the sum of their exponentials is 0.
    Consequence: The loss falls without end and has no minimum where the answers are right.
    Remedy: Use cross_entropy(logits, labels), which reads logits; or end with log_softmax.
    False alarms: Losses of one's own may be negative: for those a note.

    In code:
        nn.NLLLoss()(model(images).softmax(1), labels)  # about −0.1 and never above 0
    """
    outputs, targets = _batch(pipeline)
    kind = kind_of(pipeline["loss"])
    value = float(loss_of(pipeline, outputs, targets))
    if kind in LIKELIHOODS:
        apart = float(outputs.float().logsumexp(1).abs().max())
        if apart > 1e-2:
            return error(
                f"{kind} reads logarithms of probabilities; the outputs are none (the "
                f"logarithm of their sum is up to {apart:.3g} and has to be 0)"
            )
    if value < -1e-6:
        return (error if kind in CROSS_ENTROPIES else note)(f"{kind} of a batch is {value:.4g}")
    return f"{kind} of a batch is {value:.4g}"
