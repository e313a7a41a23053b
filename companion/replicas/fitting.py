"""Training many small networks at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import vmap
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from companion.datasets import LabelledImages
from companion.inputs import IGNORE_INDEX, distinct, moved, whole_number
from companion.replicas.course import Course
from companion.replicas.draws import Draws, Sampler, drawn_together
from companion.replicas.optimizers import stacked_optimizer, stacked_scheduler
from companion.replicas.options import check_data, checked_rates
from companion.replicas.results import Replicas
from companion.replicas.stacks import Stack
from companion.states import own_randomness
from companion.training import (
    Loss,
    OptimizerFactory,
    Schedule,
    SchedulerFactory,
    check_loss,
    checked_device,
    count_batches,
    last_batch_size,
    long_enough,
    optimizer_factory,
    scheduler_factory,
    shows_progress,
    warn_of_length,
)


@dataclass(frozen=True)
class _Recipe:
    """How each step computes: what stays the same over all epochs."""

    scheduler: LRScheduler
    loss: Loss
    batch_size: int


def fit_replicas(
    build: Callable[[int], nn.Module],
    train: LabelledImages,
    *,
    seeds: Iterable[int],
    lrs: float | Iterable[float],
    epochs: int,
    validation: LabelledImages | None = None,
    batch_size: int = 128,
    optimizer: str | OptimizerFactory = "adamw",
    schedule: str | Schedule | SchedulerFactory = "one-cycle",
    loss: Loss = F.cross_entropy,
    sampler: Sampler | None = None,
    device: torch.device | str | None = None,
    progress: bool | None = None,
) -> Replicas:
    """Train one network for each learning rate and seed, all at once, and return them.

    What each becomes is, to rounding, what `fit(build(seed), train, lr=lr, seed=seed, …)` makes
    of it, with the same batches in the same order; only the time differs, as small networks
    spend most of it between their operations. Weights are stacked and computed by `torch.func`.
    `build` maps a seed to a network, called with the global random state seeded by it. Options
    are those of `fit`; `sampler` maps a seed to an iterable of positions, asked anew each epoch,
    `optimizer` must make one of torch's own that step each weight by itself (SGD, Adam, RMSprop,
    …; groups and settings may differ from rate to rate), `schedule` must leave the rates apart
    and watch no metric, and `torch.func.vmap` must be able to compute the network and the loss.
    On a CPU, convolutions gain little.

    A network whose loss becomes NaN or infinite is marked as diverged, and the others go on.

    Nothing given is mutated, and the global random state is as before. Raises the errors of
    `fit` for options and data, and `ValueError` for rates or seeds that are none or occur twice,
    for networks that differ in structure, for hooks on gradients, which would not be called, for
    dropout, whose draws depend on the order, and for an optimiser or a schedule that stacked
    weights would change the meaning of; `TypeError` for a `DataLoader`.

    Source of the method: PyTorch's tutorial "Model ensembling" (torch.func).

    >>> from companion import digits, mlp
    >>> train, test = digits().split([0.8, 0.2], seed=0)
    >>> build = lambda seed: mlp(10, inputs=64, hidden=(16,), seed=seed)
    >>> replicas = fit_replicas(build, train, seeds=range(3), lrs=[0.001, 0.01], epochs=5)
    >>> accuracy = replicas.accuracy(test)
    >>> accuracy.shape, bool((accuracy[1] > accuracy[0]).all())
    (torch.Size([2, 3]), True)
    """
    check_data(train, validation)
    check_loss(loss)
    rates, names = checked_rates(lrs), distinct(seeds, "seed", "range(5)")
    epochs, batch_size = whole_number(epochs, "epochs"), whole_number(batch_size, "batch_size")
    make, target = optimizer_factory(optimizer), checked_device(device)
    scheduler_factory(schedule, 1)  # an unknown name, before anything is built
    train = train.to(target)
    stack = Stack(_built(build, names, target) * len(rates), target)
    draws = [Draws(len(train), sampler, seed) for seed in names]
    planned = count_batches(train, draws[0].sampler, batch_size)
    total = max(1, epochs * planned)
    schedules = scheduler_factory(schedule, total)
    scheduler = stacked_scheduler(schedules, stacked_optimizer(make, stack, rates), rates)
    long_enough(scheduler, total)
    recipe = _Recipe(scheduler, loss, batch_size)
    if last_batch_size(train, draws[0].sampler, batch_size) == 1:
        _try_one(stack, train)
    course = Course(stack, None if validation is None else validation.to(target))
    show = shows_progress() if progress is None else progress
    for epoch in tqdm(range(epochs), desc="epochs", disable=not show, delay=2, leave=False):
        drawn = drawn_together(draws)
        if not epoch and schedule != "constant":
            warn_of_length(draws[0].sampler, -(-drawn.shape[1] // batch_size), planned)
        _train_epoch(course, recipe, train, drawn.repeat(len(rates), 1).to(target))
    return course.finish(tuple(rates), tuple(names), train.label_map)


def _built(
    build: Callable[[int], nn.Module], seeds: list[int], device: torch.device
) -> list[nn.Module]:
    models = []
    for seed in seeds:
        with own_randomness(seed, device):
            models.append(build(seed))
    return models


def _train_epoch(course: Course, recipe: _Recipe, train: LabelledImages, rows: Tensor) -> None:
    """Train every network for one epoch on its rows (R, draws) of the data."""
    stack = course.stack
    stack.template.train()
    batches, labels = rows.split(recipe.batch_size, 1), train.labels[rows]
    losses: list[Tensor] = []
    right = torch.zeros(len(stack), device=rows.device, dtype=torch.int64)
    for chosen, asked in zip(batches, labels.split(recipe.batch_size, 1), strict=True):
        images, _ = train.batch(chosen.flatten())
        logits = stack.forward(moved(images, rows.device, stack.dtype).unflatten(0, chosen.shape))
        _check_width(logits, len(train.classes))
        values = _losses(recipe.loss, logits, asked)
        stack.gradients(values)
        recipe.scheduler.optimizer.step()
        recipe.scheduler.step()
        losses.append(values.detach())
        right += (logits.detach().argmax(-1) == asked).sum(1)
    sizes = [(each != IGNORE_INDEX).sum(1) for each in labels.split(recipe.batch_size, 1)]
    course.end_epoch(torch.stack(losses, 1), torch.stack(sizes, 1), right)


def _try_one(stack: Stack, train: LabelledImages) -> None:
    """Try a batch of a single image, as the last one will be, before any weight has changed."""
    before = stack.snapshot()  # a forward pass moves the statistics of BatchNorm
    stack.template.train()
    images, _ = train.batch(torch.zeros(1, dtype=torch.int64, device=train.device))
    with torch.no_grad():
        stack.forward(moved(images, train.device, stack.dtype), shared=True)
    stack.restore(before)


def _losses(loss: Loss, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean loss of each network's batch, (R,)."""
    if loss is not F.cross_entropy:
        return vmap(loss)(logits, labels)
    # The usual case, as one call over all networks' images: a fifth of a step's time less.
    each = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return each.view(labels.shape).sum(1) / (labels != IGNORE_INDEX).sum(1)


def _check_width(logits: Tensor, classes: int) -> None:
    if logits.dim() != 3 or logits.shape[2] < classes:
        raise ValueError(
            f"each network must return logits (images, {classes}) or wider, one for each class; "
            f"received {tuple(logits.shape[1:])}. Build it with len(train.classes)."
        )
