"""What is put back: one context manager each for all that trying something may change.

One of the three lowest rooms: it imports nothing from the rest of the package.
"""

from companion.states.modules import (
    Weights,
    evaluating,
    frozen_flags_kept,
    gradients_kept,
    modes_kept,
    weights_kept,
)
from companion.states.optimizers import optimizer_kept, scheduler_kept
from companion.states.randomness import (
    checked_seed,
    loader_generators,
    loader_randomness_kept,
    loader_samplers,
    own_randomness,
    randomness_kept,
    reseed_loader,
    seeded,
    seeded_generator,
)
from companion.states.streams import RandomStream
from companion.states.together import everything_kept

__all__ = [
    "RandomStream",
    "Weights",
    "checked_seed",
    "evaluating",
    "everything_kept",
    "frozen_flags_kept",
    "gradients_kept",
    "loader_generators",
    "loader_randomness_kept",
    "loader_samplers",
    "modes_kept",
    "optimizer_kept",
    "own_randomness",
    "randomness_kept",
    "reseed_loader",
    "scheduler_kept",
    "seeded",
    "seeded_generator",
    "weights_kept",
]
