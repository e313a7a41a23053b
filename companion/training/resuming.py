"""What a run writes down after an epoch, and how it is taken up from there."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from companion.states import RandomStream
from companion.training.checkpoints import (
    check_same_run,
    check_whole,
    read_checkpoint,
    write_checkpoint,
)
from companion.training.history import Epoch, History
from companion.training.options import Options
from companion.training.schedules import Scheduler
from companion.training.steps import Machine
from companion.training.storing import ModelState, draws_of, extra_of, put_draws, tensors_of


class Resumable:
    """The part of a `TrainingRun` that stores it and takes it up again."""

    options: Options
    model: nn.Module
    train: Any
    optimizer: Optimizer
    scheduler: Scheduler
    machine: Machine
    order: torch.Generator
    stream: RandomStream
    history: History
    _best: ModelState | None
    _loss: nn.Module | None

    def state_dict(self) -> dict[str, Any]:
        """Return all that the rest of the run depends on, as plain values and tensors.

        "model" is the model's `state_dict` as it is now, "best" that of the best epoch so far.
        """
        label_map = getattr(self.train, "label_map", None)
        return {
            "run": self.options.described(self.model, self.train),
            "model": self.model.state_dict(),
            "tensors": tensors_of(self.model),
            "extra": extra_of(self.model),
            "loss": {} if self._loss is None else self._loss.state_dict(),
            "best": None if self._best is None else vars(self._best),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.machine.scaler.state_dict(),
            "order": self.order.get_state(),
            "stream": self.stream.state_dict(),
            "draws": draws_of(self.train, self.options.sampler),
            "history": asdict(self.history),
            "label_map": None if label_map is None else label_map.to_dict(),
        }

    def save(self, path: str | Path) -> None:
        """Write a checkpoint, whole or not at all; see `write_checkpoint` for what it raises."""
        write_checkpoint(self.state_dict(), path)

    def resume(self, path: str | Path) -> None:
        """Go on from a checkpoint of this run, as if it had never stopped.

        Raises `CheckpointError` for a file that is broken or of another run, before anything has
        changed, and the errors of `read_checkpoint`.
        """
        state = read_checkpoint(path)
        check_whole(state, set(self.state_dict()), path)
        check_same_run(state["run"], self.options.described(self.model, self.train), path)
        put_draws(state["draws"], self.train, self.options.sampler)
        ModelState(state["tensors"], state["extra"]).put(self.model)
        if self._loss is not None:
            self._loss.load_state_dict(state["loss"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.machine.scaler.load_state_dict(state["scaler"])
        self.order.set_state(state["order"])
        self.stream.load_state_dict(state["stream"])
        self._best = None if state["best"] is None else ModelState(**state["best"])
        stored = dict(state["history"])
        epochs = [Epoch(**each) for each in stored.pop("epochs")]
        self.history = History(epochs, **stored)
