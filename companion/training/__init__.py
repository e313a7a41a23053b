"""Training: one loop, its history, and the same run repeated over seeds.

Imports `labels`, `datasets` and `evaluation`, and nothing above them.
"""

from companion.training.batching import epochs_for
from companion.training.caching import trained_once
from companion.training.devices import default_device
from companion.training.history import Epoch, History
from companion.training.loop import NonFiniteLossError, fit
from companion.training.repetition import repeat

__all__ = [
    "Epoch",
    "History",
    "NonFiniteLossError",
    "default_device",
    "epochs_for",
    "fit",
    "repeat",
    "trained_once",
]
