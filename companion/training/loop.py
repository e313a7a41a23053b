"""Training in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from companion.inputs import Selector
from companion.training.checkpoints import check_place
from companion.training.devices import shows_progress
from companion.training.history import History
from companion.training.monitors import Monitor
from companion.training.recipes import OptimizerFactory
from companion.training.run import TrainingRun
from companion.training.schedules import Schedule, SchedulerFactory
from companion.training.steps import Loss


def fit(
    model: nn.Module,
    train: Any,
    *,
    validation: Any = None,
    epochs: int,
    lr: float,
    batch_size: int | None = None,
    optimizer: str | OptimizerFactory = "adamw",
    schedule: str | Schedule | SchedulerFactory = "one-cycle",
    schedule_every: str = "step",
    loss: Loss = F.cross_entropy,
    sampler: Iterable[int] | None = None,
    augment: Callable[[Tensor], Tensor] | None = None,
    monitor: Monitor = "accuracy",
    patience: int | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    precision: str = "float32",
    clip_norm: float | None = None,
    accumulate: int = 1,
    steps_per_epoch: int | None = None,
    inputs: Selector = None,
    labels: Selector = None,
    checkpoint: str | Path | None = None,
    on_epoch: Callable[[TrainingRun], None] | None = None,
    progress: bool | None = None,
) -> History:
    """Train a model in place, keep the best epoch on validation, return the history.

    Data. `train` and `validation` are a `LabelledImages`, a pair (inputs, labels) of tensors, or
    any iterable of batches. What is held as tensors is moved to the device once and its batches
    are indexed there (`batch_size` 128 unless given, drawn without replacement or by `sampler`, an
    iterable of positions); a loader decides on batches itself. `inputs` and `labels` say where
    they are in a batch that is neither a pair nor has the usual keys (see `BatchReader`), and that
    its numbers are meant as they are: joined sets that number other classes alike need it.
    `steps_per_epoch` ends an epoch of a loader that has no end or no length; validation has to
    end, as `list(itertools.islice(loader, 10))` does. `augment` maps a training batch to one of the
    same shape. A label of −100 is none, as for cross-entropy, and averages weigh each labelled
    image alike.

    Steps. `optimizer` is "adamw" or "adam" with PyTorch's settings, "sgd" with Nesterov momentum
    0.9 and weight decay 5e-4, a class of `torch.optim` or a function of (parameters, lr).
    `schedule` is "one-cycle", "cosine", "constant", a function of (step, total) to a factor, or of
    the optimiser to a torch scheduler; it moves on `schedule_every` "step" or "epoch", of which it
    then counts. `loss` is a mean over the batch, of (logits, labels). `clip_norm` limits the norm
    of the gradient, `accumulate` makes one step of so many batches, as if they were one, and of
    what is left at the end. `precision` "bfloat16" or "float16" is autocast, the latter with a
    loss scaler; weights stay float32.

    Epochs. `monitor` decides which is best: "accuracy", "loss", another number of the `Report`,
    or a function of the report, higher being better, which is tried on the untrained network;
    `patience` stops after that many epochs without a better one. `checkpoint` is a file that is
    written after each epoch and resumed from where it is there: what comes out is bit for bit the
    run that was not interrupted, but for what keeps a state that nobody can ask for: persistent
    workers, an `augment` with a generator of its own, a loader that remembers its place. `on_epoch`
    is called with the `TrainingRun` after each epoch, before the file is written.

    Mutated: the model's weights and, where it was elsewhere, its device. Its train/eval modes,
    module by module, its gradients and the global random state are as before; the same seed gives
    the same weights on the same machine. What raises before the first epoch is complete leaves the
    weights as they were; later they are those of the best epoch so far, the error says which, and
    its `history` has the figures up to there. An interruption is such an error.

    Raises `ValueError` and `TypeError` for options and data that are wrong, contradict each other
    or would be ignored, before the first step; `NonFiniteLossError` for a loss or weights that
    become NaN or infinite; `CheckpointError` for a checkpoint of another run.

    >>> from companion import digits, small_cnn
    >>> train, validation = digits().split([0.8, 0.2], seed=0)
    >>> history = fit(small_cnn(10, seed=0), train, validation=validation, epochs=2, lr=0.01)
    >>> history.best_epoch.validation_accuracy > 0.5
    True
    """
    run = TrainingRun(
        model, train, validation=validation, epochs=epochs, lr=lr, batch_size=batch_size,
        optimizer=optimizer, schedule=schedule, schedule_every=schedule_every, loss=loss,
        sampler=sampler, augment=augment, monitor=monitor, patience=patience, seed=seed,
        device=device, precision=precision, clip_norm=clip_norm, accumulate=accumulate,
        steps_per_epoch=steps_per_epoch, inputs=inputs, labels=labels,
    )  # fmt: skip
    if on_epoch is not None and not callable(on_epoch):
        raise TypeError(f"on_epoch is called with the run after each epoch; received {on_epoch!r}.")
    if checkpoint is not None:
        check_place(checkpoint)
    show = shows_progress() if progress is None else progress
    with run:
        if checkpoint is not None and Path(checkpoint).exists():
            run.resume(checkpoint)
        bar = tqdm(
            run, "epochs", epochs, initial=len(run.history), disable=not show, delay=2, leave=False
        )
        for _ in bar:
            if on_epoch is not None:
                on_epoch(run)
            if checkpoint is not None:
                run.save(checkpoint)
    return run.history
