"""Training: a run and its epochs, its history, and the same run repeated over seeds.

Imports `evaluation` and what is below it.
"""

from companion.training.batching import (
    count_batches,
    epochs_for,
    last_batch_size,
    positions,
    training_batches,
    warn_of_length,
)
from companion.training.checkpoints import CheckpointError, read_checkpoint, write_checkpoint
from companion.training.checks import check_loss, check_optimizer
from companion.training.data_checks import check_data, check_sampling
from companion.training.devices import checked_device, default_device, shows_progress
from companion.training.errors import NonFiniteLossError
from companion.training.history import Epoch, History
from companion.training.loop import fit
from companion.training.recipes import OptimizerFactory, optimizer_factory
from companion.training.repetition import repeat
from companion.training.run import TrainingRun
from companion.training.schedules import (
    Schedule,
    Scheduler,
    SchedulerFactory,
    long_enough,
    scheduler_factory,
)
from companion.training.steps import Loss

__all__ = [
    "CheckpointError",
    "Epoch",
    "History",
    "Loss",
    "NonFiniteLossError",
    "OptimizerFactory",
    "Schedule",
    "Scheduler",
    "SchedulerFactory",
    "TrainingRun",
    "check_data",
    "check_loss",
    "check_optimizer",
    "check_sampling",
    "checked_device",
    "count_batches",
    "default_device",
    "epochs_for",
    "fit",
    "last_batch_size",
    "long_enough",
    "optimizer_factory",
    "positions",
    "read_checkpoint",
    "repeat",
    "scheduler_factory",
    "shows_progress",
    "training_batches",
    "warn_of_length",
    "write_checkpoint",
]
