"""The training loop."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from tqdm import tqdm

from companion.datasets import LabelledImages
from companion.inputs import batches, trainable_parameters
from companion.labels import IGNORE_INDEX
from companion.states import evaluating, modes_kept, own_randomness, weights_kept
from companion.training.batching import count_steps, on_device, training_batches
from companion.training.devices import checked_device, shows_progress
from companion.training.history import Epoch, History
from companion.training.options import PRECISIONS, check_options
from companion.training.recipes import (
    OptimizerFactory,
    Schedule,
    optimizer_factory,
    schedule_function,
)

Loss = Callable[[Tensor, Tensor], Tensor]


class NonFiniteLossError(ArithmeticError):
    """A loss that became NaN or infinite: when, and at which learning rate."""


@dataclass(frozen=True)
class _Recipe:
    """How each step computes: what stays the same over all epochs of a run."""

    loss: Loss
    augment: Callable[[Tensor], Tensor] | None
    device: torch.device
    precision: torch.dtype | None
    batch_size: int
    classes: int | None


def fit(
    model: nn.Module,
    train: LabelledImages | DataLoader,
    *,
    validation: LabelledImages | DataLoader | None = None,
    epochs: int,
    lr: float,
    batch_size: int | None = None,
    optimizer: str | OptimizerFactory = "adamw",
    schedule: str | Schedule = "one-cycle",
    loss: Loss = F.cross_entropy,
    sampler: Iterable[int] | None = None,
    augment: Callable[[Tensor], Tensor] | None = None,
    patience: int | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    precision: str = "float32",
    progress: bool | None = None,
) -> History:
    """Train a model in place, keep the epoch with the best validation accuracy, return the history.

    A `LabelledImages` is moved to the device once and its batches are indexed there (`batch_size`
    128 unless given, drawn without replacement or by `sampler`, an iterable of positions); a
    `DataLoader` decides on batches itself. `optimizer` is "adamw", "adam", "sgd" or a function of
    (parameters, lr); `schedule` "one-cycle", "cosine", "constant" or a function of (step, total)
    to a factor; `loss` a mean over the batch, of (logits, labels). `augment` maps a training
    batch to one of the same shape. `patience` stops after that many epochs without a better
    validation accuracy. Averages weigh each labelled image alike, and a label of −100 is none,
    as for cross-entropy. `precision` other than "float32" is autocast; weights stay float32.

    Mutated: the model's weights and, where it was elsewhere, its device. Its train/eval modes,
    module by module, and the global random state are as before; the same seed gives the same
    weights on the same machine. After an error or an interruption the weights are as before too.

    Raises `ValueError` for a rate or a number of epochs that is not positive, an option that
    would be ignored, data that yield nothing, a validation set with another label map and a
    head with fewer outputs than there are classes, a model with every parameter frozen;
    `TypeError` for integer images; `NonFiniteLossError` for a loss that is NaN or infinite.

    >>> from companion import digits, small_cnn
    >>> train, validation = digits().split([0.8, 0.2], seed=0)
    >>> history = fit(small_cnn(10, seed=0), train, validation=validation, epochs=2, lr=0.01)
    >>> history.best_epoch.validation_accuracy > 0.5
    True
    """
    check_options(train, validation, epochs, lr, batch_size, sampler, patience, precision)
    build, factor = optimizer_factory(optimizer), schedule_function(schedule)
    target = checked_device(device)
    classes = len(train.classes) if isinstance(train, LabelledImages) else None
    recipe = _Recipe(loss, augment, target, PRECISIONS[precision], batch_size or 128, classes)
    if isinstance(train, LabelledImages):
        train = train.to(target)
    if isinstance(validation, LabelledImages):
        validation = validation.to(target)
    total = max(1, epochs * count_steps(train, sampler, recipe.batch_size))
    show = shows_progress() if progress is None else progress
    with modes_kept(model), weights_kept(model, on_error_only=True), own_randomness(seed, target):
        model.to(target)
        history, best_state = History(), copy.deepcopy(model.state_dict())
        order = torch.Generator().manual_seed(seed)
        trainable = trainable_parameters(model, "training")
        stepper = build(trainable, lr)
        scheduler = LambdaLR(stepper, lambda step: factor(step, total))
        for epoch in tqdm(range(epochs), desc="epochs", disable=not show, delay=2, leave=False):
            source = training_batches(train, sampler, order, recipe.batch_size, target)
            trained = _train_epoch(model, source, scheduler, recipe, epoch)
            scored = _score(model, validation, recipe) if validation is not None else (None, None)
            history.epochs.append(Epoch(*trained, *scored))
            if validation is None or _improved(history):
                history.best = len(history) - 1
                best_state = copy.deepcopy(model.state_dict())
            elif patience is not None and len(history) - 1 - history.best >= patience:
                history.stopped_early = True
                break
        _refuse_non_finite(best_state)
        model.load_state_dict(best_state)
    return history


def _train_epoch(
    model: nn.Module,
    source: Iterator[tuple[Tensor, Tensor]],
    scheduler: LambdaLR,
    recipe: _Recipe,
    epoch: int,
) -> tuple[float, float, float]:
    """Train for one epoch; return loss and accuracy, each image weighted alike, and the rate."""
    model.train()
    optimizer = scheduler.optimizer
    losses, sizes, rates = [], [], []
    # Counted on the device: reading a number back at every step would make a GPU wait.
    right = torch.zeros((), device=recipe.device, dtype=torch.int64)
    for images, labels in source:
        if recipe.augment is not None:
            images = recipe.augment(images)
        logits, value = _forward(model, images, labels, recipe)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
        losses.append(value.detach())
        sizes.append((labels != IGNORE_INDEX).sum())
        right += (logits.detach().argmax(1) == labels).sum()
    if not losses:
        raise ValueError(
            f"training data must yield a batch in each epoch; received none in epoch {epoch + 1}. "
            "Look at the length of the loader or sampler; an iterator ends after one epoch."
        )
    values, weights = torch.stack(losses).double().cpu(), torch.stack(sizes).double().cpu()
    if not bool(torch.isfinite(values).all()):
        step = int((~torch.isfinite(values)).nonzero()[0])
        raise NonFiniteLossError(
            f"the loss must stay finite; it became {values[step].item()} in epoch {epoch + 1}, "
            f"step {step + 1}, at learning rate {rates[step]:.3g}. Lower lr, or look for NaN in "
            f"images and for batches with no label but {IGNORE_INDEX}, which means none. The "
            "weights are as before the call."
        )
    if not weights.sum():
        raise ValueError(
            f"training data must yield a labelled image in each epoch; all labels of epoch "
            f"{epoch + 1} are {IGNORE_INDEX}, which means none. Look at how they were encoded."
        )
    loss = ((values * weights).sum() / weights.sum()).item()
    return loss, right.item() / weights.sum().item(), rates[-1]


def _score(
    model: nn.Module, data: LabelledImages | DataLoader, recipe: _Recipe
) -> tuple[float, float]:
    """Return loss and accuracy in evaluation mode, each image weighted alike."""
    total, right, count = 0.0, 0, 0
    with evaluating(model):
        for images, labels in batches(data, 512):
            images, labels = on_device(images, labels, recipe.device)
            logits, value = _forward(model, images, labels, recipe)
            counted = int((labels != IGNORE_INDEX).sum())
            total += value.item() * counted if counted else 0.0
            right += int((logits.argmax(1) == labels).sum())
            count += counted
    if not count:
        raise ValueError(
            "validation data must yield a labelled image; received none. Look at the loader."
        )
    return total / count, right / count


def _forward(
    model: nn.Module, images: Tensor, labels: Tensor, recipe: _Recipe
) -> tuple[Tensor, Tensor]:
    with torch.autocast(
        recipe.device.type, dtype=recipe.precision, enabled=recipe.precision is not None
    ):
        logits = model(images)
        if logits.dim() != 2 or len(logits) != len(labels):
            raise ValueError(
                f"a classifier returns logits of shape ({len(labels)}, classes); received "
                f"{tuple(logits.shape)}. Flatten before the head."
            )
        if recipe.classes is not None and logits.shape[1] < recipe.classes:
            # Found here, because on a GPU the loss would bring down the whole process.
            raise ValueError(
                f"the head needs an output for each of the {recipe.classes} classes; it has "
                f"{logits.shape[1]}. Build it with len(train.classes), or use train.only(...)."
            )
        return logits, recipe.loss(logits, labels)


def _refuse_non_finite(state: dict[str, Tensor]) -> None:
    """Catch a last step that diverged, which no loss was computed after."""
    broken = [name for name, values in state.items() if not bool(torch.isfinite(values).all())]
    if broken:
        raise NonFiniteLossError(
            f"weights must stay finite; after the last step {', '.join(broken)} are not. "
            "Lower lr. The weights are as before the call."
        )


def _improved(history: History) -> bool:
    """Whether the newest epoch has a better validation accuracy than any before it."""
    newest = len(history) - 1
    if newest == 0:
        return True
    scores = [epoch.validation_accuracy or 0.0 for epoch in history.epochs]
    return scores[newest] > scores[history.best]
