"""What the tools are given of a patient: a model, batches, a loss, an optimiser, a loop."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset

from companion.inputs import BatchReader, called, is_held, is_pair, logits_of
from companion.ward import Patient

STEPS = 60  # of training, for tools that watch it
SPEED = "speed"  # in the place of a level: advice on speed is no alarm


class CannotTakeError(Exception):
    """A tool has no way to be given this patient: the message says why."""


@dataclass(frozen=True)
class Alarm:
    """What a tool says: its own word for what it saw, and whether that is an error or a warning."""

    level: str
    rule: str


@dataclass
class Taken:
    """A patient as a user of another tool would hand it over."""

    model: nn.Module
    train: Any
    validation: Any
    loss: Callable[[Any, Any], Tensor]
    optimizer: Any
    given: dict[str, Any]

    @property
    def batches(self) -> Iterator[tuple[Any, Any]]:
        """The training batches, each as inputs and targets, for as long as they are asked for."""
        while True:
            empty = True
            for batch in self.train:
                empty = False
                yield self.split(batch)
            if empty:
                raise CannotTakeError("the training data are empty")

    @property
    def batch(self) -> tuple[Any, Any]:
        """The first training batch."""
        return next(self.batches)

    @property
    def plain_batch(self) -> tuple[Tensor, Tensor]:
        """The first training batch, where it is a pair of tensors."""
        inputs, targets = self.batch
        if not isinstance(inputs, Tensor) or not isinstance(targets, Tensor):
            raise CannotTakeError("batches are no pairs of tensors")
        return inputs, targets

    def split(self, batch: Any) -> tuple[Any, Any]:
        """Return inputs and targets of a batch as they are."""
        reader = BatchReader(self.given.get("inputs"), self.given.get("labels"))
        return reader.inputs_of(batch), reader.labels_as_given(batch)

    def value(self, outputs: Any, targets: Any) -> Tensor:
        """Return the loss of what the model answers, of which the logits count."""
        return self.loss(outputs if isinstance(outputs, Tensor) else logits_of(outputs), targets)

    def run(self, steps: int = STEPS) -> Iterator[float | None]:
        """Train, by the patient's own loop where it has one, and give the loss after each step."""
        own = self.given.get("step")
        if own is not None:
            for _ in range(steps):
                told = own()
                number = isinstance(told, float) or (isinstance(told, Tensor) and told.numel() == 1)
                yield float(told) if number else None
            return
        self.model.train()
        scheduler = self.given.get("scheduler")
        for inputs, targets in itertools.islice(self.batches, steps):
            self.optimizer.zero_grad()
            value = self.value(called(self.model, inputs), targets)
            value.backward()
            self.optimizer.step()
            loss = float(value.detach())
            if scheduler is not None:  # after each step, so that a tool sees much of the schedule
                scheduler.step(*([loss] if isinstance(scheduler, ReduceLROnPlateau) else []))
            yield loss


def batched(data: Any) -> Any:
    """Return data as something that gives batches."""
    if is_held(data):
        return DataLoader(TensorDataset(data.images, data.labels), 32, shuffle=True)
    if is_pair(data):
        return DataLoader(TensorDataset(*map(torch.as_tensor, data)), 32, shuffle=True)
    return data


def taken(patient: Patient, made: dict[str, Any]) -> Taken:
    """Return a patient as other tools can be given it; `CannotTakeError` where it has no model."""
    if patient.entry != "examine":
        raise CannotTakeError(f"it is for {patient.entry}: there is no model to run")
    model = made["model"]
    learning = [p for p in model.parameters() if p.requires_grad]
    held_out = made.get("validation", made.get("test"))
    return Taken(
        model,
        batched(made["train"]),
        None if held_out is None else batched(held_out),
        made.get("loss") or nn.functional.cross_entropy,
        made.get("optimizer") or torch.optim.Adam(learning or model.parameters(), lr=1e-3),
        made,
    )
