"""The options of a run: what they are by default, and what they have to be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from companion.evaluation import label_map_of
from companion.inputs import BatchReader, Selector, dtype_of, is_held
from companion.labels import LabelMap
from companion.training.batching import count_batches, held, last_batch_size
from companion.training.checks import (
    PRECISIONS,
    check_accumulated,
    check_loss,
    check_numbers,
    check_precision,
)
from companion.training.data_checks import check_data, check_sampling
from companion.training.monitors import Monitor, check_monitor
from companion.training.recipes import OptimizerFactory, optimizer_factory
from companion.training.schedules import (
    Schedule,
    SchedulerFactory,
    long_enough,
    scheduler_factory,
)
from companion.training.steps import Loss, Recipe
from companion.training.storing import described, digest_of, name_of


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of `fit`, which says what they mean."""

    epochs: int
    lr: float
    validation: Any = None
    batch_size: int | None = None
    optimizer: str | OptimizerFactory = "adamw"
    schedule: str | Schedule | SchedulerFactory = "one-cycle"
    schedule_every: str = "step"
    loss: Loss = F.cross_entropy
    sampler: Iterable[int] | None = None
    augment: Callable[[Tensor], Tensor] | None = None
    monitor: Monitor = "accuracy"
    patience: int | None = None
    seed: int = 0
    device: torch.device | str | None = None
    precision: str = "float32"
    clip_norm: float | None = None
    accumulate: int = 1
    steps_per_epoch: int | None = None
    inputs: Selector = None
    labels: Selector = None

    def check(self, model: nn.Module, train: Any) -> None:
        """Raise `ValueError` or `TypeError` for what is wrong, contradicts or would be ignored."""
        check_numbers(
            self.validation,
            epochs=self.epochs,
            lr=self.lr,
            batch_size=self.batch_size,
            patience=self.patience,
            accumulate=self.accumulate,
            steps_per_epoch=self.steps_per_epoch,
            clip_norm=self.clip_norm,
        )
        check_precision(self.precision, model)
        check_loss(self.loss)
        check_accumulated(self.loss, self.accumulate)
        check_monitor(self.monitor, validated=self.validation is not None)
        check_data(
            train,
            self.validation,
            batch_size=self.batch_size,
            sampler=self.sampler,
            selectors={"inputs": self.inputs, "labels": self.labels},
        )
        if self.schedule_every not in ("step", "epoch"):
            raise ValueError(
                "schedule_every says when a schedule moves on, 'step' or 'epoch'; received "
                f"{self.schedule_every!r}."
            )
        check_sampling(held(train), self.sampler, self.loss)
        optimizer_factory(self.optimizer)
        scheduler_factory(self.schedule, 1)

    @property
    def names(self) -> LabelMap | None:
        """What the labels of the validation set are called, as far as it says."""
        # What is taken out of the batches may be called something else.
        own = self.inputs is None and self.labels is None
        return label_map_of(self.validation) if own else None

    @property
    def rows(self) -> int:
        """The number of images in a batch of what is held as tensors."""
        return int(self.batch_size or 128)

    def batches_of(self, train: Any) -> int:
        """Return the number of batches in an epoch."""
        return count_batches(train, self.sampler, self.rows, given=self.steps_per_epoch)

    def scheduler(self, train: Any) -> SchedulerFactory:
        """Return the function that makes the run's scheduler."""
        steps = -(-self.batches_of(train) // self.accumulate)
        each = 1 if self.schedule_every == "epoch" else steps
        total = max(1, self.epochs * each)
        make = scheduler_factory(self.schedule, total)
        return lambda optimizer: long_enough(make(optimizer), total)

    def recipe(self, model: nn.Module, train: Any, device: torch.device) -> Recipe:
        """Return how each step computes."""
        label_map = getattr(train, "label_map", None) if is_held(train) else None
        return Recipe(
            loss=self.loss.to(device) if isinstance(self.loss, nn.Module) else self.loss,
            augment=self.augment,
            device=device,
            dtype=dtype_of(model),
            precision=PRECISIONS[self.precision],
            clip_norm=self.clip_norm,
            accumulate=self.accumulate,
            classes=None if label_map is None else len(label_map),
            reader=BatchReader(self.inputs, self.labels),
            held=is_held(train),
            last_of_one=last_batch_size(train, self.sampler, self.rows) == 1,
        )

    def described(self, model: nn.Module, train: Any) -> dict[str, Any]:
        """Return what a checkpoint says of its run, as plain values, to be compared later."""
        own = {
            item.name: name_of(getattr(self, item.name))
            for item in fields(self)
            if item.name not in ("validation", "device")
        }
        data = digest_of(train, self.batches_of(train))
        seen = held(self.validation)
        batches = len(seen) if isinstance(seen, Sized) and not is_held(seen) else 0
        return {
            "model": described(model),
            "train": data,
            "validation": digest_of(seen, batches),
            **own,
        }
