"""A training run as an iterator over its epochs, which can be stopped, stored and taken up."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from companion.inputs import is_held, trainable_parameters
from companion.states import (
    RandomStream,
    Weights,
    gradients_kept,
    loader_randomness_kept,
    modes_kept,
    seeded_generator,
)
from companion.training.batching import held, training_batches
from companion.training.checks import check_optimizer, check_plateau
from companion.training.devices import checked_device
from companion.training.errors import nan_on_validation, ruined, tell
from companion.training.history import Epoch, History
from companion.training.monitors import improves, monitored, try_monitor
from companion.training.options import Options
from companion.training.recipes import optimizer_factory
from companion.training.resuming import Resumable
from companion.training.steps import Machine, Scores, score, train_epoch
from companion.training.storing import (
    ModelState,
    extra_of,
    name_of,
    not_finite,
    tensors_of,
)


class TrainingRun(Resumable):
    """A run of `fit` as an iterator over its epochs, with a body of your own between them.

    The options are those of `fit` but for `checkpoint`, `on_epoch` and `progress`, and so is what
    is mutated. It is a context manager, whose end
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
        self._loss = self.options.loss if isinstance(self.options.loss, nn.Module) else None
        self._best: ModelState | None = None
        self._stopped = False
        self._undone: ExitStack | None = None

    def __enter__(self) -> TrainingRun:
        with ExitStack() as undone:
            undone.enter_context(modes_kept(self.model))
            for module in filter(None, (self.model, self._loss)):
                undone.enter_context(gradients_kept(list(module.parameters())))
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
            data.to(self.device) if is_held(data) and hasattr(data, "to") else data
            for data in (self.train, self.validation)
        )
        self.optimizer = optimizer_factory(options.optimizer)(self.trainable, options.lr)
        check_optimizer(self.optimizer, model, options.loss)
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
        self.order = seeded_generator(options.seed)
        self.stream = RandomStream(options.seed, self.device)
        self._never_finite = not_finite(tensors_of(model))
        if self.validation is not None:  # a whole epoch is too late to find that it is unusable
            with loader_randomness_kept(self.validation), RandomStream(0, self.device).drawing():
                # A number of the report is of the whole set.
                most = 1 if options.monitor in ("accuracy", "loss") else None
                tried = score(model, self.validation, self.recipe, most=most)
            self._refuse_nan(tried)
            try_monitor(options.monitor, tried, options.names)

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
        check_optimizer(self.optimizer, self.model)  # the body may have thawed a part
        with self.stream.drawing(), warnings.catch_warnings():
            # A loss scaler skips the first steps, and PyTorch takes that for a wrong order.
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
            source = training_batches(
                self.train, options.sampler, self.order, options.rows, self.device,
                reader=self.recipe.reader, most=options.steps_per_epoch,
                planned=self._steps_each_time and not number,
            )  # fmt: skip
            trained = train_epoch(self.machine, source, self.recipe, number, self.train)
            if self._looked_at_unscored:
                self._refuse_non_finite()
            scores = None
            if self.validation is not None:
                scores = score(self.model, self.validation, self.recipe)
        if scores is not None:
            self._refuse_nan(scores)
        epoch = self._noted(trained, scores)
        self._step_schedule(epoch)
        return epoch

    @property
    def _looked_at_unscored(self) -> bool:
        """Whether the weights are looked at after each epoch, or only those of a better one."""
        return self.validation is None or self.options.monitor != "accuracy"

    def _noted(self, trained: tuple[float, float, float], scores: Scores | None) -> Epoch:
        history, found = self.history, None
        if scores is not None:
            found = monitored(self.options.monitor, scores, self.options.names)
        best = history.epochs[history.best].monitored if len(history) else None
        improved = found is None or improves(self.options.monitor, found, best)
        if improved:
            if not self._looked_at_unscored:
                self._refuse_non_finite()
            self._best = ModelState(tensors_of(self.model), extra_of(self.model))
            history.best = len(history)
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
            raise ruined(broken, len(self.history) + 1)

    def _refuse_nan(self, scores: Scores) -> None:
        """Refuse NaN on validation that no ruined weight explains: argmax would take it for one."""
        if not bool(scores.logits.isnan().any()):
            return
        if not not_finite(tensors_of(self.model)) - self._never_finite:
            raise nan_on_validation()

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        undone, self._undone = self._undone, None
        if undone is not None:
            with undone:
                if self._best is None:
                    self._before.restore()
                else:
                    self._best.put(self.model)
        if error is not None:
            tell(error, self.history, kept=self._best is not None)
