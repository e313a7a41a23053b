"""Learning rate: sweeps, the range test, sharpness, and schedules looked at before use.

Imports `training`, `replicas` and what is below them.
"""

from companion.learning_rate.curves import RangeTest
from companion.learning_rate.range_test import range_test
from companion.learning_rate.schedules import SimulatedSchedule, simulate_schedule
from companion.learning_rate.sharpness import SharpnessNotFoundError, sharpness
from companion.learning_rate.sweeps import Sweep, sweep

__all__ = [
    "RangeTest",
    "SharpnessNotFoundError",
    "SimulatedSchedule",
    "Sweep",
    "range_test",
    "sharpness",
    "simulate_schedule",
    "sweep",
]
