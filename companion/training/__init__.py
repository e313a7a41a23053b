"""Training: one loop, its history, and the same run repeated over seeds.

Imports `labels`, `datasets` and `evaluation`, and nothing above them.
"""

from companion.training.batching import count_steps, epochs_for, positions, training_batches
from companion.training.caching import trained_once
from companion.training.devices import checked_device, default_device, shows_progress
from companion.training.history import Epoch, History
from companion.training.loop import Loss, NonFiniteLossError, fit
from companion.training.options import check_options
from companion.training.recipes import (
    OptimizerFactory,
    Schedule,
    Scheduler,
    SchedulerFactory,
    optimizer_factory,
    scheduler_factory,
)
from companion.training.repetition import repeat

__all__ = [
    "Epoch",
    "History",
    "Loss",
    "NonFiniteLossError",
    "OptimizerFactory",
    "Schedule",
    "Scheduler",
    "SchedulerFactory",
    "check_options",
    "checked_device",
    "count_steps",
    "default_device",
    "epochs_for",
    "fit",
    "optimizer_factory",
    "positions",
    "repeat",
    "scheduler_factory",
    "shows_progress",
    "trained_once",
    "training_batches",
]
