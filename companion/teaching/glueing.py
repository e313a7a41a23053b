"""Numbers for the prose: rounded, with their half widths, in the units that sentences use."""

from __future__ import annotations

import math
from typing import Any

from companion.evaluation import Interval

MOST_PLACES = 6
ROUNDING = 1e-12


def glue_number(name: str, value: float, *, places: int = 2) -> None:
    """Store a number, rounded, for the prose to show with the glue role; shows nothing here.

    >>> glue_number("ceiling", 0.2)  # doctest: +SKIP
    """
    _glue(name, f"{value:.{places}f}")


def glue_interval(name: str, interval: Interval, *, places: int = 2) -> None:
    """Store an interval as "mean ± half width" for the prose; shows nothing here.

    A half width that rounds to nothing gets as many places as its first digit needs, and the
    mean with it; one below 1e-12 is rounding, and stays 0.

    >>> glue_interval("gain", mean_interval([0.2, 0.3, 0.25]))  # doctest: +SKIP
    """
    _glue(name, as_text(interval, places=places))


def glue_percent(name: str, share: float | Interval, *, places: int = 0) -> None:
    """Store a share as per cent, "84 %" or "84 ± 2 %", for the prose; shows nothing here.

    >>> glue_percent("accuracy", 0.84)  # doctest: +SKIP
    """
    _glue(name, f"{as_text(share, places=places, times=100)} %")


def glue_points(name: str, difference: float | Interval, *, places: int = 0) -> None:
    """Store a difference of shares as percentage points, "8 ± 2 points"; shows nothing here.

    >>> glue_points("gain", 0.08)  # doctest: +SKIP
    """
    _glue(name, f"{as_text(difference, places=places, times=100)} points")


def as_text(value: float | Interval, *, places: int, times: float = 1.0) -> str:
    """Return a number, or a mean with its half width, multiplied and rounded.

    >>> as_text(Interval(0.5, 0.498, 0.502, 5), places=0, times=100)
    '50.0 ± 0.2'
    >>> as_text(-0.071, places=0, times=100)
    '−7'
    """
    if not isinstance(value, Interval):
        return _rounded(value * times, places)
    mean, half = value.mean * times, value.margin * times
    if ROUNDING * times < half < 10 ** -(places + 1) * 5:
        places = min(MOST_PLACES, -math.floor(math.log10(half)))
    return f"{_rounded(mean, places)} ± {half:.{places}f}"


def _rounded(value: float, places: int) -> str:
    """Return the number with a minus sign that is one, and none before nothing."""
    text = f"{value:.{places}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def _glue(name: str, text: Any) -> None:
    from myst_nb import glue  # only the book needs it

    glue(name, text, display=False)
