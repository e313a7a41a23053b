"""A training run as an iterator over its epochs, which can be stopped, stored and taken up."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from companion.inputs import HeldSet, brief, trainable_parameters
from companion.states import (
    RandomStream,
    Weights,
    gradients_kept,
    loader_randomness_kept,
    modes_kept,
)
from companion.training.batching import held, training_batches
from companion.training.checkpoints import check_same_run, read_checkpoint, write_checkpoint
from companion.training.checks import check_optimizer, check_plateau
from companion.training.devices import checked_device
from companion.training.errors import NonFiniteLossError, tell
from companion.training.history import Epoch, History
from companion.training.monitors import improves, monitored
from companion.training.options import Options
from companion.training.recipes import optimizer_factory
from companion.training.steps import Machine, Scores, score, train_epoch
from companion.training.storing import (
    Tensors,
    copied,
    draws_of,
    name_of,
    not_finite,
    put_draws,
    put_tensors,
    tensors_of,
)


class TrainingRun:
    """A run of `fit` as an iterator over its epochs, with a body of your own between them.

    The options are those of `fit`, and so is what is mutated. It is a context manager, whose end
    gives the model the weights of its best epoch; the body may look at the model and at `history`,
    call `save`, and `stop`. Random draws in the body are yours, not the run's. What raises inside,
    an interruption too, leaves the model with the best epoch so far, or as it was where there is
    none, and the error has the `history` up to there.

    Raises the errors of `fit`, and `RuntimeError` where it is not entered by `with`.

    >>> from companion import digits, linear
    >>> train, validation = digits().split([0.8, 0.2], seed=0)
    >>> model = linear(10, inputs=64, seed=0)
    >>> with TrainingRun(model, train, validation=validation, epochs=9, lr=0.01) as run:
    ...     for epoch in run:
    ...         if epoch.validation_accuracy > 0.8:
    ...             run.stop()
    >>> len(run.history) < 9, run.history.best_epoch.validation_accuracy > 0.8
    (True, True)
    """

    def __init__(self, model: nn.Module, train: Any, **options: Any) -> None:
        self.options, self.model = Options(**options), model
        self.options.check(model, train)
        self.train, self.validation = held(train), held(self.options.validation)
        self.scheduler_of = self.options.scheduler(self.train)
        self.device = checked_device(self.options.device)
        self.trainable = trainable_parameters(model, "training")
        self.history = History(monitor=str(name_of(self.options.monitor)))
        self._best: Tensors | None = None
        self._stopped = False
        self._undone: ExitStack | None = None

    def __enter__(self) -> TrainingRun:
        with ExitStack() as undone:
            undone.enter_context(modes_kept(self.model))
            undone.enter_context(gradients_kept(list(self.model.parameters())))
            self._before = Weights(self.model)
            try:
                self._prepare()
            except BaseException:
                self._before.restore()
                raise
            self._undone = undone.pop_all()
        return self

    def _prepare(self) -> None:
        options, model = self.options, self.model.to(self.device)
        self.train, self.validation = (
            data.to(self.device) if isinstance(data, HeldSet) and hasattr(data, "to") else data
            for data in (self.train, self.validation)
        )
        self.optimizer = optimizer_factory(options.optimizer)(self.trainable, options.lr)
        check_optimizer(self.optimizer, model)
        self.scheduler = self.scheduler_of(self.optimizer)
        if isinstance(self.scheduler, ReduceLROnPlateau):
            check_plateau(
                self.scheduler,
                lower_is_better=options.monitor == "loss",
                each_epoch=options.schedule_every == "epoch" and self.validation is not None,
            )
        scaled = options.precision == "float16"
        self.machine = Machine(
            model,
            self.optimizer,
            self.scheduler.step if self._steps_each_time else lambda: None,
            torch.amp.GradScaler(self.device.type, enabled=scaled),
        )
        self.recipe = options.recipe(model, self.train, self.device)
        self.order = torch.Generator().manual_seed(options.seed)
        self.stream = RandomStream(options.seed, self.device)
        self._never_finite = not_finite(tensors_of(model))
        if self.validation is not None:  # a whole epoch is too late to find that it is unusable
            with loader_randomness_kept(self.validation), RandomStream(0, self.device).drawing():
                score(model, self.validation, self.recipe, most=1)

    @property
    def _steps_each_time(self) -> bool:  # one that changes nothing would still take its time
        return self.options.schedule_every == "step" and self.options.schedule != "constant"

    def __iter__(self) -> Iterator[Epoch]:
        if self._undone is None:
            raise RuntimeError(
                "a run is entered before it is iterated over, so that it can put things back: "
                "with TrainingRun(…) as run: for epoch in run: …"
            )
        while not self.finished:
            yield self._epoch()

    @property
    def finished(self) -> bool:
        """Whether no epoch is to come: all are done, patience is at its end, or `stop` was said."""
        stopped = self._stopped or self.history.stopped_early
        return stopped or len(self.history) >= self.options.epochs

    def stop(self) -> None:
        """Let the present epoch be the last."""
        self._stopped = True

    def _epoch(self) -> Epoch:
        options, number = self.options, len(self.history)
        with self.stream.drawing(), warnings.catch_warnings():
            # A loss scaler skips the first steps, and PyTorch takes that for a wrong order.
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
            source = training_batches(
                self.train, options.sampler, self.order, options.rows, self.device,
                reader=self.recipe.reader, most=options.steps_per_epoch,
            )  # fmt: skip
            trained = train_epoch(self.machine, source, self.recipe, number, self.train)
            if self.validation is None or options.monitor != "accuracy":
                self._refuse_non_finite()
            scores = None
            if self.validation is not None:
                scores = score(self.model, self.validation, self.recipe)
        epoch = self._noted(trained, scores)
        self._step_schedule(epoch)
        return epoch

    def _noted(self, trained: tuple[float, float, float], scores: Scores | None) -> Epoch:
        history, found = self.history, None
        if scores is not None:
            label_map = getattr(self.validation, "label_map", None)
            found = monitored(self.options.monitor, scores, label_map)
        best = history.epochs[history.best].monitored if len(history) else None
        improved = found is None or improves(self.options.monitor, found, best)
        if improved:
            self._refuse_non_finite()
            self._best, history.best = copied(tensors_of(self.model)), len(history)
        loss, accuracy = (scores.loss, scores.accuracy) if scores else (None, None)
        history.epochs.append(Epoch(*trained, loss, accuracy, found))
        if not improved and self.options.patience is not None:
            history.stopped_early = len(history) - 1 - history.best >= self.options.patience
        return history.epochs[-1]

    def _step_schedule(self, epoch: Epoch) -> None:
        if self.options.schedule_every == "epoch":
            told = [epoch.monitored] if isinstance(self.scheduler, ReduceLROnPlateau) else []
            self.scheduler.step(*told)  # type: ignore[arg-type]

    def _refuse_non_finite(self) -> None:
        """Catch a last step that diverged, which no loss was computed after."""
        broken = not_finite(tensors_of(self.model)) - self._never_finite
        if broken:
            raise NonFiniteLossError(
                f"weights must stay finite; after the last step of epoch {len(self.history) + 1} "
                f"{brief(sorted(broken), quote=False)} are not. Lower lr."
            )

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        undone, self._undone = self._undone, None
        if undone is not None:
            with undone:
                if self._best is None:
                    self._before.restore()
                else:
                    put_tensors(self.model, self._best)
        if error is not None:
            tell(error, self.history, kept=self._best is not None)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the rest of the run depends on, as plain values and tensors.

        "model" is the model's `state_dict` as it is now, "best" that of the best epoch so far.
        """
        label_map = getattr(self.train, "label_map", None)
        return {
            "run": self.options.described(self.model, self.train),
            "model": self.model.state_dict(),
            "tensors": tensors_of(self.model),
            "best": self._best,
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
        check_same_run(state["run"], self.options.described(self.model, self.train), path)
        put_draws(state["draws"], self.train, self.options.sampler)
        put_tensors(self.model, state["tensors"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.machine.scaler.load_state_dict(state["scaler"])
        self.order.set_state(state["order"])
        self.stream.load_state_dict(state["stream"])
        self._best = state["best"]
        stored = dict(state["history"])
        epochs = [Epoch(**each) for each in stored.pop("epochs")]
        self.history = History(epochs, **stored)
