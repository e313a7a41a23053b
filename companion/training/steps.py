"""One epoch of optimisation steps, and one pass of scoring."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from companion.inputs import (
    IGNORE_INDEX,
    BatchReader,
    batches,
    check_labels_fit,
    compute_logits,
    moved,
)
from companion.states import Weights, evaluating, randomness_kept
from companion.training.checks import check_first_batch, check_loss_value
from companion.training.tallies import Tally, answers_in

Loss = Callable[[Tensor, Tensor], Tensor]
Batch = tuple[Any, Tensor]

AS_IT_IS = nullcontext()


@dataclass(frozen=True)
class Recipe:
    """How each step computes: what stays the same over all epochs of a run."""

    loss: Loss
    augment: Callable[[Tensor], Tensor] | None
    device: torch.device
    dtype: torch.dtype  # of the model, which inputs are given in
    precision: torch.dtype | None
    clip_norm: float | None
    accumulate: int
    classes: int | None
    reader: BatchReader = field(default_factory=BatchReader)
    last_of_one: bool = False
    held: bool = False  # all labels are there from the start

    def autocast(self) -> Any:
        """The context that a forward pass computes in."""
        if self.precision is None:
            return AS_IT_IS
        return torch.autocast(self.device.type, dtype=self.precision)


@dataclass
class Machine:
    """What takes the steps: a model, its optimiser, what moves its rate, and a loss scaler."""

    model: nn.Module
    optimizer: Optimizer
    after_step: Callable[[], None]
    scaler: torch.amp.GradScaler

    def forget_gradients(self) -> None:
        """Drop all gradients; PyTorch's `zero_grad` also opens a record for the profiler."""
        if getattr(self.optimizer.zero_grad, "__func__", None) is not Optimizer.zero_grad:
            self.optimizer.zero_grad(set_to_none=True)
            return
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def backward(self, value: Tensor) -> None:
        """Add to the gradients, scaled up where half precision would round them to nothing."""
        (self.scaler.scale(value) if self.scaler.is_enabled() else value).backward()

    def step(self, clip_norm: float | None) -> float:
        """Take one step with the gradients there are; return the rate that it was taken at."""
        groups, scaled = self.optimizer.param_groups, self.scaler.is_enabled()
        if clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], clip_norm)
        rate = float(groups[0]["lr"])
        if scaled:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self.optimizer.step()
        self.after_step()
        return rate


def train_epoch(
    machine: Machine, source: Iterator[Batch], recipe: Recipe, epoch: int, data: Any
) -> tuple[float, float, float]:
    """Train for one epoch; return loss and accuracy, each image weighted alike, and the rate."""
    model = machine.model.train()
    tally = Tally()
    while group := list(islice(source, recipe.accumulate)):
        machine.forget_gradients()
        shares = _shares(group)
        for (inputs, labels), share in zip(group, shares, strict=True):
            if recipe.augment is not None:
                inputs = recipe.augment(inputs)
            inputs = moved(inputs, recipe.device, recipe.dtype)
            first = not tally.losses
            if first:
                everything = data.labels if recipe.held else labels
                if recipe.last_of_one and isinstance(inputs, Tensor):
                    _try_one(model, inputs, labels, recipe)
            logits, value = forward(
                model, inputs, labels, recipe, everything=everything if first else None
            )
            if first:
                check_loss_value(value)
            if share:
                machine.backward(value if share == 1 else value * share)
            tally.add(logits, labels, value)
        tally.rates.append(machine.step(recipe.clip_norm))
    return tally.averages(epoch, accumulate=recipe.accumulate)


def _shares(group: list[Batch]) -> list[float]:
    """Return each batch's share of the labelled images, so that several count as one large one."""
    if len(group) == 1:
        return [1.0]
    sizes = [int((labels != IGNORE_INDEX).sum()) for _, labels in group]
    return [size / max(1, sum(sizes)) for size in sizes]


def forward(
    model: nn.Module, inputs: Any, labels: Tensor, recipe: Recipe, *, everything: Any = None
) -> tuple[Tensor, Tensor]:
    """Return the logits of a batch and its loss; `everything` are labels to hold the head to."""
    with recipe.autocast():
        logits = compute_logits(model, inputs, rows=len(labels))
        if everything is not None:
            check_first_batch(logits, everything, recipe.classes)
        elif labels.device.type == "cpu" and not recipe.held:
            check_labels_fit(labels, logits.shape[1], what="the batch's labels")
        return logits, recipe.loss(logits, moved(labels, recipe.device))


def _try_one(model: nn.Module, inputs: Any, labels: Tensor, recipe: Recipe) -> None:
    """Try a batch of a single image, as the last one will be, before any weight has changed."""
    before = Weights(model)  # a forward pass moves the statistics of BatchNorm
    try:
        with randomness_kept(recipe.device), torch.no_grad():
            forward(model, inputs[:1], labels[:1].clamp(min=0), recipe)
    finally:
        before.restore()


@dataclass(frozen=True)
class Scores:
    """What a model scored on a validation set, and the logits and labels that it came from."""

    loss: float
    accuracy: float
    logits: Tensor
    labels: Tensor


def score(model: nn.Module, data: Any, recipe: Recipe, *, most: int | None = None) -> Scores:
    """Return loss and accuracy in evaluation mode, each image weighted alike.

    `most` is the largest number of batches that is looked at.
    """
    total, logits, truths = 0.0, [], []
    with evaluating(model):
        for inputs, labels in batches(data, 512, reader=recipe.reader, most=most):
            inputs = moved(inputs, recipe.device, recipe.dtype)
            found, value = forward(model, inputs, labels, recipe, everything=labels)
            counted = int((labels != IGNORE_INDEX).sum())
            total += value.item() * counted if counted else 0.0
            logits.append(found.float())
            truths.append(labels.to(found.device))
    labels = torch.cat(truths) if truths else torch.empty(0, dtype=torch.int64)
    count = int((labels != IGNORE_INDEX).sum())
    if not count:
        raise ValueError(
            "validation data must yield a labelled image; received none. Look at the loader."
        )
    together = torch.cat(logits)
    right = int((answers_in(together) == labels).sum())
    return Scores(total / count, right / count, together, labels)
