"""What is odd about the learning rates of a schedule, each mistake by a code of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from companion.findings import Finding

FEWER = "Make it for the number of optimiser steps of the run, and step it once after each."
MORE = "Make it for the steps of this run, or step it after each of them and not once an epoch."
UNSETTLED = "The last steps are too long for the weights to settle."


def of_peaks(
    rates: Tensor, given: tuple[float, ...] | None, error: str | None, steps: int
) -> list[Finding]:
    """Find a schedule that ends in an error, and peaks that are not the rates given."""
    found = []
    if error is not None:
        found.append(
            Finding(
                "OPT101",
                "error",
                f"it raises after step {len(rates)} of {steps}: it was made for fewer steps, or is "
                "stepped too often",
                why=f"Training stops there: {error}",
                remedy=FEWER,
            )
        )
    peaks = rates.max(0).values.tolist()
    if given is None or all(map(partial(math.isclose, rel_tol=0.01), peaks, given)):
        return found
    if len(set(given)) > 1 and max(peaks) < 1.01 * min(peaks):
        found.append(
            Finding(
                "OPT103",
                "warning",
                f"groups that were given different rates, {_short(given)}, all rise to "
                f"{peaks[0]:.3g}",
                why="What was meant to change slowly, a pretrained body, changes as fast as the "
                "rest.",
                remedy="Pass the schedule a peak for each group.",
            )
        )
    else:
        found.append(
            Finding(
                "OPT102",
                "warning",
                f"the rates given, {_short(given)}, are not used: they rise to {_short(peaks)}",
                why="The rate that was chosen for the optimiser decides nothing.",
                remedy="Give the schedule the same peak, or the optimiser the schedule's.",
            )
        )
    return found


def wrong_way(plateau: ReduceLROnPlateau, rates: Tensor, told: list[float]) -> list[Finding]:
    """Find a plateau that is looked for in the wrong direction."""
    better = 1 if plateau.mode == "min" else -1
    if not told or better * (told[-1] - told[0]) <= 0 or rates[-1, 0] >= rates[0, 0]:
        return []
    return [
        Finding(
            "OPT104",
            "error",
            f"the rate is lowered while the metric goes from {told[0]:.3g} to {told[-1]:.3g}, as "
            f"mode={plateau.mode!r} takes that for worse: 'min' is for a loss, 'max' for an "
            "accuracy",
            why="Training is slowed down because it goes well.",
            remedy=f"Pass mode={'max' if plateau.mode == 'min' else 'min'!r}.",
        )
    ]


def not_begun(rates: Tensor, further: Tensor | None, calls: int) -> list[Finding]:
    """Find a scheduler that is called too few times to do anything, by what comes after."""
    if further is None:
        return []
    moved = (further != rates[0]).any(1).nonzero().flatten()
    return [
        Finding(
            "OPT105",
            "warning",
            f"the rate does not change; it would after call {calls + int(first)} of the scheduler, "
            f"which is called {calls} times: it was made for more steps, or is stepped too seldom",
            why="The run is one at a constant rate.",
            remedy=MORE,
        )
        for first in moved[:1]
    ]


def of_shape(rates: Tensor) -> list[Finding]:
    """Find what is odd about the shape of the first group that has something odd."""
    return next(filter(None, map(_shape, rates.T)), [])


def _shape(rates: Tensor) -> list[Finding]:
    """Find where a rate rises again after it fell, and where it does not end with the steps."""
    moves = rates.diff()
    falling, rising = (moves < 0).nonzero().flatten(), (moves > 0).nonzero().flatten()
    if len(falling) and len(rising) and int(rising[-1]) > int(falling[0]):
        turn = int(rising[rising > falling[0]][0])
        lowest = "0" if rates[turn] < 1e-9 * rates.max() else f"{float(rates[turn]):.3g}"
        return _warning(
            "OPT106",
            f"the rate falls to {lowest} and rises again after step {turn}, as "
            "restarts do and a schedule that was made for fewer steps",
            "Unless restarts are meant, what had settled is stirred up again.",
            FEWER,
        )
    used = int((rates > 1e-6 * rates.max()).nonzero().max()) + 1 if len(falling) else len(rates)
    if used < 0.9 * len(rates):
        return _warning(
            "OPT107",
            f"the rate is next to nothing after step {used} of {len(rates)}: it was made for fewer "
            "steps, or is stepped too often",
            "The rest of the run changes nothing.",
            FEWER,
        )
    if len(falling) and rates[-1] > 0.2 * rates.max():
        return _warning(
            "OPT108",
            f"the rate ends at {float(rates[-1] / rates.max()):.0%} of its peak: it was made for "
            "more steps, or is stepped too seldom",
            UNSETTLED,
            MORE,
        )
    if len(rising) and float(moves[-1]) > 0:
        return _warning(
            "OPT109",
            "the rate still rises at the end: it was made for more steps",
            UNSETTLED,
            MORE,
        )
    return []


def _warning(code: str, seen: str, why: str, remedy: str) -> list[Finding]:
    return [Finding(code, "warning", seen, why=why, remedy=remedy)]


def _short(rates: Sequence[Any]) -> str:
    return ", ".join(f"{rate:.3g}" for rate in rates)
